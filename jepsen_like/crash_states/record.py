"""What was asked of a disk, in order, and what had been promised meanwhile.

An operation has two events: it began (from here on a crash may leave its effect, or a part of
it), and it ended (from here on, if it was a sync, what it covered is durable). Operations of
different files overlap.

Beside each event stand two promises: the one at the event, and the last before the next event.
A crash right after the event finds a disk on which at least the second must be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jepsen_like.crash_states.promise import NOTHING_PROMISED, Promise


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the Disk port that changes something, or makes something durable."""

    number: int
    """From 0, in the order in which they began."""
    kind: str
    """open, create, mkdir, rename, remove, remove_tree, sync_directory, write, write_durable,
    sync, truncate."""
    path: str
    handle: int = 0
    """Of the open file, for operations of files."""
    offset: int = 0
    """Of a write; the new size in a truncation."""
    data: bytes = b""
    target: str = ""
    """Of a rename."""

    def __str__(self) -> str:
        match self.kind:
            case "write" | "write_durable":
                where = f"[{self.offset}, {self.offset + len(self.data)})"
            case "truncate":
                where = f"to {self.offset} bytes"
            case "rename":
                where = f"to {self.target}"
            case _:
                where = ""
        return f"#{self.number} {self.kind} {self.path} {where}".rstrip()


@dataclass(slots=True)
class Event:
    """An operation began or ended."""

    operation: Operation
    ended: bool
    promised: Promise
    """At the event."""
    kept: Promise
    """Just before the next event."""


class Record:
    """Everything that happened to a disk."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.events: list[Event] = []
        self.promise = NOTHING_PROMISED
        self._handles = 0

    def until(self, point: int) -> Record:
        """A record of its own that begins with the events up to and including `point`."""
        begun = Record()
        begun.events = [replace(event) for event in self.events[: point + 1]]
        begun.operations = [e.operation for e in begun.events if not e.ended]
        begun.promise = begun.events[-1].kept
        begun._handles = self._handles
        return begun

    def promised(self, promise: Promise) -> None:
        """From now on so much is promised."""
        self.promise = promise
        if self.events:
            self.events[-1].kept = promise

    def new_handle(self) -> int:
        """A number for an open file."""
        self._handles += 1
        return self._handles

    def began(
        self,
        kind: str,
        path: str,
        *,
        handle: int = 0,
        offset: int = 0,
        buffers: Sequence[bytes] = (),
        target: str = "",
    ) -> Operation:
        """An operation begins."""
        operation = Operation(
            len(self.operations), kind, path, handle, offset, b"".join(buffers), target
        )
        self.operations.append(operation)
        self.events.append(Event(operation, ended=False, promised=self.promise, kept=self.promise))
        return operation

    def ended(self, operation: Operation) -> None:
        """It returned."""
        self.events.append(Event(operation, ended=True, promised=self.promise, kept=self.promise))

    def refused(self, operation: Operation) -> None:
        """It failed at once and changed nothing: the newest operation is taken back."""
        assert self.operations[-1] is operation
        assert self.events[-1].operation is operation
        self.operations.pop()
        self.events.pop()
        if self.events:
            self.events[-1].kept = self.promise
