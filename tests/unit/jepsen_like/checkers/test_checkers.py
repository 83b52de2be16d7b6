"""Each checker is silent on a good history and catches the planted bad one of its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from jepsen_like.checkers import CHECKERS, check
from jepsen_like.checkers.history import Operation, What, to_json_lines
from jepsen_like.checkers.history_file import from_json_lines


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


def overtake(history: list[Operation]) -> list[Operation]:
    """Two sends of the idempotent producer, under way together, are stored in the wrong order."""
    both = [history[2], history[4], history[3], history[5]]
    return edit(3, "ok", offset=2)(edit(2, "info", kind="ok", offset=3)(both))


def read_first(history: list[Operation]) -> list[Operation]:
    """The first poll happens before anything else."""
    return history[14:16] + history[:14] + history[16:]


WHOLE = ((1, "sure-0-0"), (2, "plain-0-0"), (3, "sure-0-1"), (4, "sure-0-2"))

BAD_HISTORIES: list[tuple[str, Callable[[list[Operation]], list[Operation]], str, tuple[int, ...]]]
BAD_HISTORIES = [
    (
        "lost_writes",
        edit(13, "ok", records=(WHOLE[0], WHOLE[2], WHOLE[3])),
        "plain-0-0 was acknowledged at offset 2",
        (7, 8, 23),
    ),
    ("lost_writes", edit(13, "ok", records=WHOLE[:3], end=5), "read up to offset 5", (5, 6, 23)),
    ("unseen_writes", edit(13, "ok", records=WHOLE[:3]), "reading ended at offset 4", (5, 6, 23)),
    ("unseen_writes", edit(14, "ok", kind="info"), "nobody read the partition", (11, 12)),
    (
        "duplicates",
        edit(13, "ok", records=(*WHOLE, (5, "sure-0-1"))),
        "offset 3 of partition 0 and offset 5",
        (18, 23),
    ),
    ("duplicates", edit(3, "ok", offset=5), "offset 4 of partition 0 and offset 5", (6, 21)),
    ("aborted_reads", edit(13, "ok", records=(*WHOLE, (5, "plain-0-1"))), "refused", (9, 10, 23)),
    ("phantom_reads", edit(9, "ok", records=((1, "invented"),)), "invented", (16,)),
    (
        "phantom_reads",
        edit(13, "ok", records=(*WHOLE, (5, "plain-1-0"))),
        "plain-1-0 at offset 5 of partition 0 (operation 13) was never sent there",
        (23,),
    ),
    (
        "precommitted_reads",
        edit(10, "ok", records=((5, "sure-0-1"),)),
        "where the final log (read up to offset 5) has nothing",
        (18, 23),
    ),
    (
        "precommitted_reads",
        read_first,
        "before it was sent (operation 1)",
        (2, 3),
    ),
    ("inconsistent_offsets", edit(9, "ok", records=((1, "plain-0-0"),)), "offset 1", (2, 16)),
    ("inconsistent_offsets", edit(4, "ok", offset=3), "offset 3", (8, 18)),
    (
        "internal_poll_skips",
        edit(12, "ok", records=(WHOLE[1], WHOLE[3])),
        "went from offset 2 of partition 0 to 4 and missed 3",
        (21,),
    ),
    (
        "external_poll_skips",
        edit(12, "ok", records=WHOLE[2:]),
        "waited for offset 2 of partition 0, got 3 and missed 2",
        (19, 21),
    ),
    ("external_poll_skips", edit(10, "ok", records=(WHOLE[3],)), "missed 3", (16, 18)),
    (
        "internal_nonmonotonic_polls",
        edit(12, "ok", records=(WHOLE[1], WHOLE[1], *WHOLE[2:])),
        "plain-0-0 at offset 2 of partition 0 after offset 2",
        (21,),
    ),
    ("internal_nonmonotonic_polls", edit(13, "ok", records=WHOLE[::-1]), "after offset 4", (23,)),
    (
        "external_nonmonotonic_polls",
        edit(10, "ok", records=(WHOLE[1],)),
        "3 was the least",
        (16, 18),
    ),
    (
        "external_nonmonotonic_polls",
        edit(12, "ok", records=WHOLE),
        "2 was the least",
        (19, 21),
    ),
    (
        "internal_nonmonotonic_sends",
        overtake,
        "sure-0-2 was sent after sure-0-1 by the same idempotent producer at offset 3",
        (1, 2, 3, 4),
    ),
    (
        "external_nonmonotonic_sends",
        edit(3, "ok", offset=0),
        "acknowledged at offset 1 of partition 0, but lies at 0",
        (1, 2, 5, 6),
    ),
    (
        "external_nonmonotonic_sends",
        edit(13, "ok", records=((1, "sure-0-1"), (2, "sure-0-0"))),
        "sure-0-1 was sent after sure-0-0",
        (1, 2, 3, 4),
    ),
    ("divergent_replicas", edit(17, "ok", end=6), "end at 5 and 6", (26, 28)),
    (
        "divergent_replicas",
        edit(16, "ok", records=(*WHOLE[:3], (4, "other"))),
        "offset 4",
        (26, 27),
    ),
    ("divergent_replicas", edit(16, "ok", records=(*WHOLE[:2], WHOLE[3])), "offset 3", (26, 27)),
]


def test_good_history_has_no_violation() -> None:
    """Unknown outcomes, a plain producer's duplicate and a moved consumer are all right."""
    assert check(good_history()) == []


@pytest.mark.parametrize(("checker", "spoil", "detail", "lines"), BAD_HISTORIES)
def test_planted_violation_is_caught(
    checker: str,
    spoil: Callable[[list[Operation]], list[Operation]],
    detail: str,
    lines: tuple[int, ...],
) -> None:
    """The checker named finds it, says where, and names the lines that show it."""
    history = [replace(o, index=index) for index, o in enumerate(spoil(good_history()))]
    found = [v for v in check(history) if v.checker == checker and detail in v.message]
    assert found, check(history)
    assert lines in [violation.lines for violation in found]


def test_every_checker_has_a_planted_violation() -> None:
    """No checker goes untested; those of groups are in `test_group_checkers`."""
    names = [checker.name for checker in CHECKERS if checker.of == "logs"]
    assert set(names) == {name for name, *_ in BAD_HISTORIES}


def without_drains(history: list[Operation]) -> list[Operation]:
    return [o for o in history if o.what != "drain" and o.partition == 0]


def test_without_a_drain_the_polls_decide() -> None:
    """What no poll brought is lost when readers got past it, and unseen when they did not."""
    assert check(without_drains(good_history())) == []
    lost = edit(9, "ok", records=WHOLE[:1])(good_history())
    lost = edit(12, "ok", records=WHOLE[2:])(without_drains(lost))
    assert [(v.checker, v.lines) for v in check(lost)] == [("lost_writes", (7, 8))]
    unseen = edit(12, "ok", records=WHOLE[1:3])(without_drains(good_history()))
    assert [(v.checker, v.lines) for v in check(unseen)] == [("unseen_writes", (5, 6))]


def test_what_retention_took_is_not_lost() -> None:
    """Records before the drained log's start may have been acknowledged and read; nobody can
    tell of a record that was acknowledged without its place."""
    history = edit(13, "ok", records=WHOLE[1:], offset=2)(good_history())
    history = edit(1, "ok", offset=-1)([o for o in history if o.what != "replica"])
    assert check(history) == []
    convicted = edit(13, "ok", records=WHOLE[1:], offset=1)(good_history())
    assert "precommitted_reads" in [v.checker for v in check(convicted)]
    assert "lost_writes" in [v.checker for v in check(convicted)]


def test_a_record_acknowledged_without_its_place_can_be_lost() -> None:
    """A drain of the whole log tells; without one nobody knows where it would have been."""
    history = edit(4, "ok", offset=-1)(good_history())
    assert check(history) == []
    lost = edit(13, "ok", records=(WHOLE[0], WHOLE[2], WHOLE[3]))(history)
    assert "plain-0-0 was acknowledged at an untold place of partition 0" in str(check(lost)[0])
    assert check(lost)[0].checker == "lost_writes"
    history = edit(9, "ok", records=WHOLE[:1])(without_drains(history))
    unseen = edit(12, "ok", records=WHOLE[2:])(history)
    assert [v.checker for v in check(unseen)] == ["unseen_writes"]


def test_a_consumer_that_was_not_assigned_may_begin_anywhere() -> None:
    """Only from its first poll on can it skip."""
    history = [o for o in good_history() if o.what != "assign" and o.op not in {9, 12}]
    assert check(history) == []


def test_histories_survive_their_file_format() -> None:
    """Writing and reading JSON lines changes nothing."""
    history = good_history()
    text = to_json_lines(history)
    assert len(text.splitlines()) == len(history)
    assert from_json_lines(text) == history
