"""Writes a history while the simulation runs, and makes the values that clients send.

A value tells what it is, `producer-partition-number-size`, and is padded to that size, so that a
reader sees any change of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jepsen_like.checkers.history import Kind, Operation, What
from jepsen_like.sim.ports.scheduler import Scheduler


class Recorder:
    """One history for all clients.

    Invariant: operation numbers are unique; an invocation and its end share one.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.history: list[Operation] = []
        self.ends: dict[int, int] = {}
        """After the last acknowledged record, by partition."""
        self._scheduler = scheduler
        self._operations = 0

    def invoke(
        self,
        process: str,
        what: What,
        partition: int,
        *,
        value: str = "",
        number: int = -1,
        idempotent: bool = False,
        **told: Any,
    ) -> Operation:
        """An operation begins."""
        return self._begin(
            process,
            "invoke",
            what,
            partition,
            value=value,
            number=number,
            idempotent=idempotent,
            **told,
        )

    def ok(self, invoked: Operation, **told: Any) -> None:
        """It succeeded; `told` are fields of its end."""
        self._end(invoked, "ok", **told)
        if invoked.what == "send":
            end = told.get("offset", -1) + 1
            self.ends[invoked.partition] = max(end, self.ends.get(invoked.partition, 0))

    def happened(self, process: str, what: What, partition: int, **told: Any) -> None:
        """One line: something that was not asked for."""
        self._begin(process, "ok", what, partition, **told)

    def _begin(
        self, process: str, kind: Kind, what: What, partition: int, **told: Any
    ) -> Operation:
        """The first line of an operation."""
        self._operations += 1
        operation = Operation(
            index=len(self.history),
            time_ms=round(self._scheduler.now * 1000, 3),
            process=process,
            kind=kind,
            what=what,
            op=self._operations,
            partition=partition,
            **told,
        )
        self.history.append(operation)
        return operation

    def fail(self, invoked: Operation, error: str, *, end: int = -1) -> None:
        """It certainly did not happen; `end`: that a condition met."""
        self._end(invoked, "fail", error=error, end=end)

    def info(self, invoked: Operation, error: str) -> None:
        """Nobody knows whether it happened."""
        self._end(invoked, "info", error=error)

    def _end(self, invoked: Operation, kind: Kind, **told: Any) -> None:
        time_ms = round(self._scheduler.now * 1000, 3)
        index = len(self.history)
        self.history.append(replace(invoked, kind=kind, index=index, time_ms=time_ms, **told))


def make_value(producer: str, partition: int, number: int, size: int) -> tuple[str, bytes]:
    """A value's name and its bytes, at least `size` of them."""
    name = f"{producer}-{partition}-{number}-{size}"
    return name, _padded(name, size)


def _padded(name: str, size: int) -> bytes:
    head = name.encode() + b"|"
    missing = size - len(head)
    if missing <= 0:
        return head
    pattern = name.encode()
    return head + (pattern * (missing // len(pattern) + 1))[:missing]


def name_of(value: bytes | None) -> str:
    """The name of a value that was read; a changed one gets a name that nobody sent."""
    if value is None:
        return "ALTERED: null"
    name = value.partition(b"|")[0].decode(errors="replace")
    size = name.rpartition("-")[2]
    if not size.isdecimal() or _padded(name, int(size)) != value:
        return f"ALTERED: {value[:60]!r}"
    return name
