"""Operations with their calls and returns, as the search takes them: one JSON object a line.

| field | what |
|---|---|
| `key` | what the operation is on; keys are judged one by one |
| `process` | whose it was, for readers |
| `call`, `return` | whole numbers that grow with time; two operations may share a moment only if they may have overlapped |
| `outcome` | `ok`; `refused`: no effect, and why tells the state; `open`: nobody was told, maybe it takes effect later |
| `what` | an operation of the model, with the fields below |

Model `append`, a partition's log; `end`s are exclusive:

| what | ok | refused |
|---|---|---|
| `append`: `expected` (the data's end that it asks for; left out: any), `count` of records (default 1) | `offset` of the first; left out: not told | `end` that the condition met |
| `end` | `end` of the committed log, which may lie behind that of the data | – |

Model `topic`, a topic of one name with one setting:

| what | ok | refused |
|---|---|---|
| `create`: `value` | it is there now | it was there |
| `alter`: `value` | the setting is `value` now | there is no topic |
| `delete` | it is gone | there is no topic |
| `inspect` | the setting's `value` | there is no topic |

An open `append` with an `offset` is one that took effect, as was found out later; nobody knows when.
What was refused for another reason happened never and says nothing: leave it out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from jepsen_like.checkers.evidence import Evidence
from jepsen_like.checkers.history import Operation

Outcome = Literal["ok", "refused", "open"]


@dataclass(frozen=True, slots=True)
class Timed:
    """One operation; fields that do not apply have their defaults."""

    line: int
    """Where to find it: its invocation's line in the history, from 1."""
    key: str
    process: str
    call: int
    returned: int
    """Of no meaning when it is open."""
    what: str
    outcome: Outcome
    value: str = ""
    expected: int = -1
    count: int = 1
    offset: int = -1
    end: int = -1


def to_json_lines(operations: Iterable[Timed]) -> str:
    """For the search."""
    lines = []
    for one in operations:
        entries = {
            "line": one.line,
            "key": one.key,
            "process": one.process,
            "call": one.call,
            "return": one.returned,
            "what": one.what,
            "outcome": one.outcome,
            "value": one.value,
            "expected": one.expected,
            "count": one.count,
            "offset": one.offset,
            "end": one.end,
        }
        lines.append(json.dumps(entries, separators=(",", ":")) + "\n")
    return "".join(lines)


def appends(history: Sequence[Operation]) -> list[Timed]:
    """The sends of a history, and what clients were told of ends; keys are partitions.

    Moments are the places in the history. A send that failed for another reason than its condition
    is left out; so is one of unknown outcome that a drain of the whole log shows to be missing. The
    drain tells the place of one that is there.

    Where there are conditions, let producers be idempotent: a second copy that a retry stored moves
    the end, and is no operation of the history.
    """
    evidence = Evidence(history)
    operations = []
    for send in evidence.sends:
        invoked, ended = send.invoked, send.ended
        if send.acknowledged:
            operations.append(_timed(invoked, ended, "append", "ok"))
        elif send.refused:
            if ended is not None and ended.end >= 0:
                operations.append(_timed(invoked, ended, "append", "refused"))
        else:
            one = _timed(invoked, None, "append", "open")
            log = evidence.log(invoked.partition)
            if log is None or log.drain is None or log.start > 0:
                operations.append(one)
            elif (offset := log.offset_of(invoked.value)) >= 0:
                operations.append(replace(one, offset=offset))
    asked = {o.op: o for o in history if o.what == "end" and o.kind == "invoke"}
    operations.extend(
        _timed(asked[told.op], told, "end", "ok")
        for told in history
        if told.what == "end" and told.kind == "ok" and told.op in asked
    )
    return operations


def _timed(invoked: Operation, ended: Operation | None, what: str, outcome: Outcome) -> Timed:
    told = invoked if ended is None else ended
    return Timed(
        line=invoked.index + 1,
        key=str(invoked.partition),
        process=invoked.process,
        call=invoked.index,
        returned=told.index,
        what=what,
        outcome=outcome,
        value=invoked.value,
        expected=invoked.expected,
        offset=told.offset,
        end=told.end,
    )
