"""Each checker is silent on a good history and catches the planted bad one of its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from jepsen_like.checkers import CHECKERS, check
from jepsen_like.checkers.history import Operation, What, from_json_lines, to_json_lines


def good_history() -> list[Operation]:
    """Two producers and a consumer on two partitions, a drain and three replicas."""
    history: list[Operation] = []

    def add(operation: Operation) -> None:
        history.append(replace(operation, index=len(history), time_ms=float(len(history))))

    def send(
        op: int, process: str, partition: int, number: int, outcome: str, *, offset: int = -1
    ) -> None:
        idempotent = process == "sure"
        value = f"{process}-{partition}-{number}"
        base = Operation(0, 0, process, "invoke", "send", op, partition, value, number, idempotent)
        add(base)
        if outcome == "ok":
            add(replace(base, kind="ok", offset=offset))
        elif outcome == "fail":
            add(replace(base, kind="fail", error="refused"))
        elif outcome == "info":
            add(replace(base, kind="info", error="timeout"))

    def read(what: What, op: int, process: str, partition: int, *records: tuple[int, str]) -> None:
        add(Operation(0, 0, process, "invoke", what, op, partition))
        add(Operation(0, 0, process, "ok", what, op, partition, records=records))

    send(1, "sure", 0, 0, "ok", offset=1)
    send(2, "sure", 0, 1, "info")
    send(3, "sure", 0, 2, "ok", offset=4)
    send(4, "plain", 0, 0, "ok", offset=2)
    send(5, "plain", 0, 1, "fail")
    send(6, "plain", 1, 0, "ok", offset=1)
    send(7, "plain", 1, 1, "never")
    add(Operation(0, 0, "consumer", "ok", "assign", 8, 0, offset=0))
    read("poll", 9, "consumer", 0, (1, "sure-0-0"), (2, "plain-0-0"))
    read("poll", 10, "consumer", 0, (3, "sure-0-1"))
    add(Operation(0, 0, "consumer", "ok", "assign", 11, 0, offset=2))
    read("poll", 12, "consumer", 0, (2, "plain-0-0"), (3, "sure-0-1"), (4, "sure-0-2"))
    whole = ((1, "sure-0-0"), (2, "plain-0-0"), (3, "sure-0-1"), (4, "sure-0-2"))
    read("drain", 13, "drainer", 0, *whole)
    read("drain", 14, "drainer", 1, (1, "plain-1-0"), (2, "plain-1-0"))
    for node in (1, 2, 3):
        add(
            Operation(
                0, 0, f"n{node}", "ok", "replica", 14 + node, 0, records=whole, node=node, end=5
            )
        )
    return history


def edit(op: int, at: str, /, **changes: object) -> Callable[[list[Operation]], list[Operation]]:
    """Change one operation of a history."""

    def apply(history: list[Operation]) -> list[Operation]:
        return [
            replace(o, **changes)  # type: ignore[arg-type]
            if o.op == op and o.kind == at
            else o
            for o in history
        ]

    return apply


WHOLE = ((1, "sure-0-0"), (2, "plain-0-0"), (3, "sure-0-1"), (4, "sure-0-2"))

BAD_HISTORIES: list[tuple[str, Callable[[list[Operation]], list[Operation]], str]] = [
    ("lost_writes", edit(13, "ok", records=(WHOLE[0], WHOLE[2], WHOLE[3])), "plain-0-0"),
    ("unseen_writes", edit(13, "ok", records=WHOLE[:3]), "sure-0-2"),
    ("unseen_writes", edit(14, "ok", kind="info"), "plain-1-0"),
    ("duplicates", edit(13, "ok", records=(*WHOLE, (5, "sure-0-1"))), "offset 3"),
    ("phantom_reads", edit(9, "ok", records=((1, "invented"),)), "invented"),
    ("phantom_reads", edit(13, "ok", records=(*WHOLE, (5, "plain-0-1"))), "refused"),
    ("phantom_reads", edit(13, "ok", records=(*WHOLE, (5, "plain-1-0"))), "never sent there"),
    (
        "reordered_writes",
        edit(13, "ok", records=((1, "sure-0-1"), (2, "sure-0-0"))),
        "number 0 of sure",
    ),
    ("reordered_writes", edit(3, "ok", offset=0), "was stored at 0"),
    ("inconsistent_offsets", edit(9, "ok", records=((1, "plain-0-0"),)), "offset 1"),
    ("inconsistent_offsets", edit(4, "ok", offset=3), "offset 3"),
    (
        "nonmonotonic_polls",
        edit(10, "ok", records=((2, "plain-0-0"),)),
        "3 was the least",
    ),
    ("nonmonotonic_polls", edit(12, "ok", records=((1, "sure-0-0"),)), "2 was the least"),
    ("skipped_records", edit(12, "ok", records=((3, "sure-0-1"), (4, "sure-0-2"))), "missed 2"),
    ("divergent_replicas", edit(17, "ok", end=6), "end at 5 and 6"),
    ("divergent_replicas", edit(16, "ok", records=(*WHOLE[:3], (4, "other"))), "offset 4"),
    ("divergent_replicas", edit(16, "ok", records=(*WHOLE[:2], WHOLE[3])), "offset 3"),
]


def test_good_history_has_no_violation() -> None:
    """Unknown outcomes, a plain producer's duplicate and a moved consumer are all right."""
    assert check(good_history()) == []


@pytest.mark.parametrize(("checker", "spoil", "detail"), BAD_HISTORIES)
def test_planted_violation_is_caught(
    checker: str, spoil: Callable[[list[Operation]], list[Operation]], detail: str
) -> None:
    """The checker named finds it and says where."""
    found = [v for v in check(spoil(good_history())) if v.checker == checker]
    assert any(detail in violation.message for violation in found), check(spoil(good_history()))


def test_every_checker_has_a_planted_violation() -> None:
    """No checker goes untested."""
    assert {c.__name__ for c in CHECKERS} == {name for name, _, _ in BAD_HISTORIES}


def test_histories_survive_their_file_format() -> None:
    """Writing and reading JSON lines changes nothing."""
    history = good_history()
    text = to_json_lines(history)
    assert len(text.splitlines()) == len(history)
    assert from_json_lines(text) == history
