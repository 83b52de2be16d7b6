"""Histories: what clients asked for and what they were told, one operation after the other.

An operation is invoked and then ends `ok`, `fail` (it certainly did not happen) or `info` (nobody
knows). Invocation and end share an `op`. A history is written as JSON lines.

| what | invoke | ok |
|---|---|---|
| `send` | partition, value, number, idempotent | offset; -1: stored, but where is not known |
| `assign` | – | partition, offset: the consumer goes on from there |
| `poll` | – | partition, records |
| `drain` | – | partition, records: everything from the log's start to its committed end |
| `replica` | – | node, partition, records (offset and digest), end: what its log holds |
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

Kind = Literal["invoke", "ok", "fail", "info"]
What = Literal["send", "assign", "poll", "drain", "replica"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of a history; fields that do not apply have their defaults."""

    index: int
    """Place in the history, from 0."""
    time_ms: float
    process: str
    """Who did it; one operation of a consumer at a time, sends may overlap."""
    kind: Kind
    what: What
    op: int
    """Same for an invocation and its end; unique otherwise."""
    partition: int = -1
    value: str = ""
    """Unique over all sends."""
    number: int = -1
    """Of a send within its producer and partition, ascending in the order of the calls."""
    idempotent: bool = False
    offset: int = -1
    records: tuple[tuple[int, str], ...] = ()
    """(offset, value or digest), in the order in which they came."""
    node: int = -1
    end: int = -1
    """Exclusive."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not happen did."""

    checker: str
    message: str

    def __str__(self) -> str:
        return f"{self.checker}: {self.message}"


_DEFAULTS: Final[dict[str, Any]] = {
    f.name: f.default for f in fields(Operation) if isinstance(f.default, (int, str, tuple))
}


def to_json_lines(history: Iterable[Operation]) -> str:
    """One line an operation, defaults left out, keys in a fixed order."""
    lines = []
    for operation in history:
        entries = {f.name: getattr(operation, f.name) for f in fields(operation)}
        kept = {
            name: value
            for name, value in entries.items()
            if name not in _DEFAULTS or value != _DEFAULTS[name]
        }
        lines.append(json.dumps(kept, separators=(",", ":")) + "\n")
    return "".join(lines)


def from_json_lines(text: str) -> list[Operation]:
    """The history of `to_json_lines`."""
    history = []
    for line in text.splitlines():
        entries = json.loads(line)
        records = entries.get("records")
        if records is not None:
            entries["records"] = tuple((offset, value) for offset, value in records)
        history.append(Operation(**entries))
    return history


@dataclass(frozen=True, slots=True)
class Send:
    """A send from invocation to end."""

    invoked: Operation
    ended: Operation | None
    """None: it never ended, which is as good as `info`."""

    @property
    def acknowledged(self) -> bool:
        """The client was told that the record is stored."""
        return self.ended is not None and self.ended.kind == "ok"

    @property
    def refused(self) -> bool:
        """The client was told that the record is not stored and never will be."""
        return self.ended is not None and self.ended.kind == "fail"


def sends(history: Sequence[Operation]) -> list[Send]:
    """All sends, in the order of their invocations."""
    ends = {o.op: o for o in history if o.what == "send" and o.kind != "invoke"}
    return [Send(o, ends.get(o.op)) for o in history if o.what == "send" and o.kind == "invoke"]


def drained(history: Sequence[Operation]) -> dict[int, tuple[tuple[int, str], ...]]:
    """What the final drain found, by partition."""
    return {o.partition: o.records for o in history if o.what == "drain" and o.kind == "ok"}
