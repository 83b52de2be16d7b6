"""The newest frames of a log in memory: what is not written yet, and a while longer.

A frame enters when it is appended, so reads see it at once; its bytes were checked on the way in
and need no second check. Frames that are not yet written to their segment stay; written ones stay
as long as the node's budget (`TailMemory`) allows, oldest first out across all logs: tailing
consumers and followers are served without the disk. Each frame also keeps what undoes it, so a
truncation within the tail is exact and needs no I/O.

Invariant: the tail is contiguous and reaches to the log's end; written frames come before
unwritten ones.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from replication.errors import invariant
from streamlog.storage.segments.log_state import StateUndo

TAIL_BYTES_MAX: Final = 32 * 1024 * 1024
"""Default budget of a node for written frames that stay in memory."""
FRAME_OVERHEAD_BYTES: Final = 400
"""What a frame costs besides its bytes."""

_COMPACT_AT: Final = 256


@dataclass(slots=True, eq=False)
class TailFrame:
    """One frame in memory. The `..._before` values are from before it was appended."""

    segment_base: int
    position: int
    base: int
    end: int
    frame: bytes
    open_crc_before: int
    max_timestamp_before: int
    undo: StateUndo | None
    alive: bool = True
    """It is still in its tail."""


class TailMemory:
    """The node's budget for written frames of all tails: first written, first out."""

    def __init__(self, limit_bytes: int = TAIL_BYTES_MAX) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._written: deque[tuple[LogTail, TailFrame]] = deque()

    def add(self, tail: LogTail, frames: Sequence[TailFrame]) -> None:
        """Frames of a tail were written; older ones leave when the budget is spent."""
        for frame in frames:
            self._written.append((tail, frame))
            self.used_bytes += len(frame.frame) + FRAME_OVERHEAD_BYTES
        while self.used_bytes > self.limit_bytes and self._written:
            owner, oldest = self._written.popleft()
            if oldest.alive:
                owner.drop_oldest(oldest)
                self.forget(oldest)
                # The tail forgets the frame itself only now and then; its bytes go at once.
                oldest.frame = b""

    def forget(self, frame: TailFrame) -> None:
        """A written frame left its tail."""
        frame.alive = False
        self.used_bytes -= len(frame.frame) + FRAME_OVERHEAD_BYTES


class LogTail:
    """The tail of one log."""

    def __init__(self, memory: TailMemory) -> None:
        self._memory = memory
        self._frames: list[TailFrame] = []
        self._bases: list[int] = []
        self._head = 0
        self._written = 0
        """Frames below this index are written. Invariant: _head <= _written <= len(_frames)."""
        self.pending_bytes = 0

    @property
    def first(self) -> TailFrame | None:
        """The oldest frame in memory."""
        return self._frames[self._head] if self._head < len(self._frames) else None

    @property
    def first_unwritten(self) -> TailFrame | None:
        """The oldest frame that is not written."""
        return self._frames[self._written] if self._written < len(self._frames) else None

    def push(self, frame: TailFrame) -> None:
        """A frame was appended to the log."""
        self._frames.append(frame)
        self._bases.append(frame.base)
        self.pending_bytes += len(frame.frame)

    def next_run(self, end: int, bytes_max: int, frames_max: int) -> list[TailFrame]:
        """The oldest unwritten frames of one segment, none that begins at or above `end`; may be
        empty."""
        run: list[TailFrame] = []
        size = 0
        for frame in self._frames[self._written : self._written + frames_max]:
            if frame.base >= end or (
                run
                and (
                    frame.segment_base != run[0].segment_base or size + len(frame.frame) > bytes_max
                )
            ):
                break
            run.append(frame)
            size += len(frame.frame)
        return run

    def mark_written(self, run: Sequence[TailFrame]) -> None:
        """The run, as `next_run` gave it, is in its file."""
        invariant(
            self._frames[self._written : self._written + len(run)] == list(run),
            "runs are written in order",
        )
        self._written += len(run)
        self.pending_bytes -= sum(len(frame.frame) for frame in run)
        self._memory.add(self, run)

    def pop_from(self, end: int) -> list[TailFrame]:
        """Remove the frames whose base is at or above `end`; newest first."""
        keep = max(self._head, bisect_left(self._bases, end, self._head))
        removed = self._frames[keep:]
        for index, frame in enumerate(removed, keep):
            if index < self._written:
                self._memory.forget(frame)
            else:
                self.pending_bytes -= len(frame.frame)
                frame.alive = False
        del self._frames[keep:], self._bases[keep:]
        self._written = min(self._written, keep)
        removed.reverse()
        return removed

    def collect(self, start: int, end: int, max_bytes: int) -> list[bytes]:
        """Frames from the one that holds `start`, which must be in the tail, none that begins at
        or above `end`, at most `max_bytes` but at least one."""
        index = bisect_right(self._bases, start, self._head) - 1
        invariant(index >= self._head, "the tail holds the offset", start=start)
        stop = bisect_left(self._bases, end, index)
        found: list[bytes] = []
        size = 0
        while index < stop:
            frame = self._frames[index].frame
            size += len(frame)
            if found and size > max_bytes:
                break
            found.append(frame)
            index += 1
        return found

    def frames_from(self, offset: int) -> list[bytes]:
        """Every frame whose base is at or above `offset`."""
        return [f.frame for f in self._frames[bisect_left(self._bases, offset, self._head) :]]

    def drop_oldest(self, frame: TailFrame) -> None:
        """The budget is spent; called by TailMemory."""
        invariant(
            self._head < self._written and self._frames[self._head] is frame,
            "frames leave a tail oldest first",
        )
        self._head += 1
        if self._head >= _COMPACT_AT and self._head * 2 >= len(self._frames):
            del self._frames[: self._head], self._bases[: self._head]
            self._written -= self._head
            self._head = 0

    def clear(self) -> None:
        """The log is gone: give the memory back."""
        self.pop_from(-1)
