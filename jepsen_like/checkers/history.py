"""Histories: what clients asked for and what they were told, one operation after the other.

An operation is invoked and then ends `ok`, `fail` (it certainly did not happen) or `info` (nobody
knows; the same as an operation that has no end). Invocation and end share an `op`. A history is
written as JSON lines: one event a line, in the order in which they happened. Fields:

| field | in | what |
|---|---|---|
| `process` | all | who did it; text |
| `kind` | all | `invoke`, `ok`, `fail`, `info` |
| `what` | all | one of the table below |
| `op` | all | whole number, the same in an invocation and its end, unique otherwise |
| `index`, `time_ms` | any | for readers; the order of the lines is what counts |
| `partition` | all | from 0 |
| `error` | `fail`, `info` | why, for readers |

| what | invoke | end |
|---|---|---|
| `send` | `value` (unique over all sends); `idempotent` (default false); `number` (for readers); `expected`: store only if the log's data ends there | ok: `offset` (left out: stored, but where is not known); fail: `end`, where the log ended instead |
| `assign` | – | ok: `offset` from which this process goes on to poll (left out: unknown) |
| `poll` | – | ok: `records`, a list of `[offset, value]`, as they came |
| `drain` | – | ok: `records` of the whole log, read after everything else; `offset`: where the log starts (default 0); `end`: where it ends (default: after the last record) |
| `end` | – | ok: `end` of the log, as a client was told; `linearizability` looks at it |
| `replica` | – | ok: `node`, `records` (`[offset, digest]`), `end`: what the node's log holds |

Consumer groups; `group` is in each of these lines, and `member` in what a member does:

| what | invoke | end |
|---|---|---|
| `grant` | – | ok: the member is told for the first time that it owns the partition since `grant` (an epoch), at its member epoch `epoch`; `offset`: the position committed by then (left out: none) |
| `own` | – | ok: the member is told a newer `epoch`, and owns the partition still |
| `done` | – | ok: the member is through with the records of `[offset, end)`, under `grant` |
| `commit` | `offset`; of a member: `grant` under which it holds the partition, `epoch` that it claims (0: by nobody's membership) | |
| `reset` | `offset` that an operator sets | ok: `epoch` of the group afterwards |
| `forget` | – | an operator deletes the position |
| `committed` | – | ok: `offset` that the coordinator answers (left out: none) |
| `settle` | `number`: milliseconds that it may take | ok: the partition has an owner that knows it |

A poll of a member has `group`, `member` and `grant` as well.
Only sends need an invocation. Lines of a small history:

    {"process":"p1","kind":"invoke","what":"send","op":1,"partition":0,"value":"a","idempotent":true}
    {"process":"p1","kind":"ok","what":"send","op":1,"partition":0,"offset":1}
    {"process":"c1","kind":"ok","what":"assign","op":2,"partition":0,"offset":0}
    {"process":"c1","kind":"ok","what":"poll","op":3,"partition":0,"records":[[1,"a"]]}
    {"process":"last","kind":"ok","what":"drain","op":4,"partition":0,"records":[[1,"a"]],"end":2}

Ends are exclusive. `history_file` reads such a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

Kind = Literal["invoke", "ok", "fail", "info"]
What = Literal[
    "send",
    "assign",
    "poll",
    "drain",
    "end",
    "replica",
    "grant",
    "own",
    "done",
    "commit",
    "reset",
    "forget",
    "committed",
    "settle",
]


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of a history; fields that do not apply have their defaults."""

    index: int
    """Place in the history, from 0; the number of the line is one more."""
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
    expected: int = -1
    """Of a conditional send: the end of the log's data that it asks for; -1: any."""
    offset: int = -1
    records: tuple[tuple[int, str], ...] = ()
    """(offset, value or digest), in the order in which they came."""
    node: int = -1
    end: int = -1
    """Exclusive."""
    error: str = ""
    group: str = ""
    member: str = ""
    """One life of a member of the group."""
    grant: int = 0
    """Epoch since which the member owns the partition; 0: it does not, or that is not known."""
    epoch: int = 0
    """Of the member, or of the group; 0: none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that a client asked for, from invocation to end."""

    invoked: Operation
    ended: Operation | None
    """None: it never ended, which is as good as `info`."""

    @property
    def acknowledged(self) -> bool:
        """The client was told that it is done."""
        return self.ended is not None and self.ended.kind == "ok"

    @property
    def refused(self) -> bool:
        """The client was told that it is not done and never will be."""
        return self.ended is not None and self.ended.kind == "fail"


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not happen did."""

    checker: str
    message: str
    lines: tuple[int, ...] = ()
    """Numbers, from 1, of the lines that show it, ascending."""

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
