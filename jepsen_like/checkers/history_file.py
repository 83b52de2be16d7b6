"""Reads histories that anybody may have written: says which line is wrong, and why.

A checker that guesses what a bad line meant may acquit. So every line must have exactly the fields
that `history` lists, of the right types, and the lines must agree with each other.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Final, get_args

from jepsen_like.checkers.history import Kind, Operation, What

_REQUIRED: Final = ("process", "kind", "what", "op", "partition")
_NAMES: Final = tuple(f.name for f in fields(Operation))
_TEXTS: Final = ("process", "value", "error", "group", "member")
_WHOLE_NUMBERS: Final = (
    "op",
    "partition",
    "number",
    "expected",
    "offset",
    "node",
    "end",
    "index",
    "grant",
    "epoch",
)
_OF_GROUPS: Final = ("grant", "own", "done", "commit", "reset", "forget", "committed", "settle")
"""Operations that need a `group`."""
_CHOICES: Final = {"kind": get_args(Kind), "what": get_args(What)}


class HistoryUnreadable(Exception):
    """A line that is none of a history, by its number from 1."""

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(f"line {line}: {reason}")


def from_json_lines(text: str) -> list[Operation]:
    """The history that a file holds; `index` is the place of the line, blank ones counted.

    Raises HistoryUnreadable, also for a history without operations: there is nothing to acquit.
    """
    history: list[Operation] = []
    for index, line in enumerate(text.split("\n")):
        if line.strip():
            history.append(_operation(index, line))
    if not history:
        raise HistoryUnreadable(1, "the history is empty")
    _check_agreement(history)
    return history


def _operation(index: int, line: str) -> Operation:
    try:
        entries = json.loads(line)
    except ValueError as error:
        raise HistoryUnreadable(index + 1, f"not JSON: {error}") from error
    if not isinstance(entries, dict):
        raise HistoryUnreadable(index + 1, "not a JSON object")
    missing = [name for name in _REQUIRED if name not in entries]
    if missing:
        raise HistoryUnreadable(index + 1, f"`{missing[0]}` is missing")
    for name, value in entries.items():
        reason = _wrong(name, value)
        if reason:
            raise HistoryUnreadable(index + 1, reason)
    if "records" in entries:
        entries["records"] = tuple((offset, value) for offset, value in entries["records"])
    operation = Operation(**{"time_ms": 0.0, **entries, "index": index})
    if operation.partition < 0:
        raise HistoryUnreadable(index + 1, f"partition is {operation.partition}, not from 0")
    if operation.what in _OF_GROUPS and not operation.group:
        raise HistoryUnreadable(index + 1, f"a {operation.what} without `group`")
    return operation


def _wrong(name: str, value: Any) -> str:
    """What is wrong with a field; empty: nothing."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if name in _CHOICES:
        choices = _CHOICES[name]
        return "" if value in choices else f"`{name}` is {value!r}, not one of {', '.join(choices)}"
    if name in _TEXTS:
        return "" if isinstance(value, str) else f"`{name}` is {value!r}, not text"
    if name in _WHOLE_NUMBERS:
        return "" if whole else f"`{name}` is {value!r}, not a whole number"
    if name == "time_ms":
        return "" if whole or isinstance(value, float) else f"`time_ms` is {value!r}, not a number"
    if name == "idempotent":
        return "" if isinstance(value, bool) else f"`idempotent` is {value!r}, not true or false"
    if name == "records":
        return "" if _are_records(value) else "`records` is not a list of [offset, text]"
    return f"`{name}` is no field of a history; known are {', '.join(_NAMES)}"


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], int)
        and not isinstance(pair[0], bool)
        and pair[0] >= 0
        and isinstance(pair[1], str)
        for pair in value
    )


def _check_agreement(history: list[Operation]) -> None:
    """Invocations and ends belong together, and no two sends have the same value."""
    invoked: dict[int, Operation] = {}
    ended: dict[int, Operation] = {}
    values: dict[str, Operation] = {}
    for operation in history:
        line, op = operation.index + 1, operation.op
        known = invoked if operation.kind == "invoke" else ended
        if op in known:
            first = known[op].index + 1
            verb = "invoked" if operation.kind == "invoke" else "ended"
            raise HistoryUnreadable(line, f"op {op} was {verb} before, in line {first}")
        known[op] = operation
        if operation.kind == "invoke" and op in ended:
            raise HistoryUnreadable(line, f"op {op} ended before, in line {ended[op].index + 1}")
        if operation.kind != "invoke":
            _check_end(operation, invoked.get(op))
        elif operation.what == "send":
            if not operation.value:
                raise HistoryUnreadable(line, f"send {op} has no `value`")
            first_send = values.setdefault(operation.value, operation)
            if first_send is not operation:
                raise HistoryUnreadable(
                    line,
                    f"the value {operation.value!r} was sent before, in line"
                    f" {first_send.index + 1}; nobody could tell the two apart",
                )


def _check_end(ended: Operation, invoked: Operation | None) -> None:
    line = ended.index + 1
    if invoked is None:
        if ended.what == "send":
            raise HistoryUnreadable(line, f"send {ended.op} was never invoked")
        return
    for name in ("process", "what", "partition", "group", "member"):
        before, now = getattr(invoked, name), getattr(ended, name)
        if before != now:
            raise HistoryUnreadable(
                line,
                f"op {ended.op} ends with {name} {now!r}, but was invoked with {before!r} in line"
                f" {invoked.index + 1}",
            )
