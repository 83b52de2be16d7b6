"""Where a group is to be moved: what people write, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.groups.names import TopicChoice, pairs_of, parse_topics
from streamlog.cli.groups.places import (
    Pair,
    ResetPlan,
    bounds_of,
    offsets_of,
    parse_shift,
    parse_to,
)
from streamlog.cli.records.positions import OFFSET_MAX, Place
from streamlog.client import Admin, GroupDescription, OffsetAtTime, TopicPartition
from tests.fakes.described_group import described, partition

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("earliest", Place("start")),
        ("start", Place("start")),
        ("latest", Place("end")),
        ("end", Place("end")),
        ("0", Place("offset", 0)),
        ("120000", Place("offset", 120_000)),
        (str(OFFSET_MAX), Place("offset", OFFSET_MAX)),
        ("@1700000000000", Place("time", 1_700_000_000_000)),
        ("@2026-01-31T00:00:00Z", Place("time", 1_769_817_600_000)),
        ("@-1h", Place("time", NOW_MS - 3_600_000)),
        ("-2h", Place("time", NOW_MS - 7_200_000)),
        ("-1d12h30m5s7ms", Place("time", NOW_MS - 131_405_007)),
    ],
)
def test_places(text: str, place: Place) -> None:
    """Every form of --to."""
    assert parse_to(text, NOW_MS) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "-5",
        "+5",
        "2h",
        "first",
        "1.5",
        "-2x",
        "-h",
        "@",
        "@yesterday",
        "-99999w",
        "0x10",
        str(OFFSET_MAX + 1),
        "@" + "9" * 19,
        "1_000",
        " 5",
    ],
)
def test_no_places(text: str) -> None:
    """What is none is a wrong command line."""
    with pytest.raises(CommandFailed, match="--to") as caught:
        parse_to(text, NOW_MS)
    assert caught.value.exit_code == EXIT_USAGE


def test_shifts() -> None:
    """A number with its sign; without one it might be meant as an offset."""
    assert (parse_shift("+10"), parse_shift("-1000"), parse_shift("+0")) == (10, -1_000, 0)
    for text in ("10", "", "-", "+", "--1", "+1.0", "-1h", "+" + "9" * 20):
        with pytest.raises(CommandFailed, match=r"\+100 or -100"):
            parse_shift(text)


def test_choices_of_topics() -> None:
    """All partitions, some, a range; in order and each once."""
    assert parse_topics(["a", "b:3,0,3", "c:2-4,7"]) == [
        TopicChoice("a", None),
        TopicChoice("b", (0, 3)),
        TopicChoice("c", (2, 3, 4, 7)),
    ]
    for bad in ("", ":1", "a:", "a:x", "a:1,", "a:-1", "a:3-1", "a:1-9999999999", "a:0-9999999"):
        with pytest.raises(CommandFailed) as caught:
            parse_topics([bad])
        assert caught.value.exit_code == EXIT_USAGE
    with pytest.raises(CommandFailed, match="a is given twice"):
        parse_topics(["a:1", "a:2"])


class Offsets:
    """An Admin that knows logs: (start, end) by partition, and the time of each offset is its
    number."""

    def __init__(self, logs: dict[Pair, tuple[int, int]]) -> None:
        self._logs = logs

    async def list_offsets(
        self, pairs: Sequence[Pair], position: str | int
    ) -> dict[TopicPartition, OffsetAtTime]:
        found = {}
        for pair in pairs:
            start, end = self._logs[pair]
            at = {"earliest": start, "latest": end}.get(str(position), position)
            found[TopicPartition(*pair)] = OffsetAtTime(int(at), None)
        return found

    async def describe_topic(self, name: str) -> Any:
        numbers = [number for topic, number in self._logs if topic == name]
        return type("Topic", (), {"partitions": [type("P", (), {"partition": n}) for n in numbers]})


LOGS = {("a", 0): (10, 100), ("a", 1): (0, 0), ("b", 0): (50, 60)}
ADMIN = cast("Admin", Offsets(LOGS))
STARTS = {pair: start for pair, (start, _) in LOGS.items()}
ENDS = {pair: end for pair, (_, end) in LOGS.items()}


def group() -> GroupDescription:
    return described(
        partition("a", 0, offset=20, member="m1"),
        partition("a", 1, offset=None, member="m2"),
        partition("b", 0, offset=55),
    )


def test_the_place_is_looked_up_in_each_log() -> None:
    """Its start, its end, an offset as it is, a time within what the log holds."""

    async def main() -> None:
        assert await bounds_of(ADMIN, list(LOGS)) == (STARTS, ENDS)
        assert await offsets_of(ADMIN, Place("start"), STARTS, ENDS) == STARTS
        assert await offsets_of(ADMIN, Place("end"), STARTS, ENDS) == ENDS
        assert await offsets_of(ADMIN, Place("offset", 57), STARTS, ENDS) == dict.fromkeys(LOGS, 57)
        by_time = await offsets_of(ADMIN, Place("time", 57), STARTS, ENDS)
        assert by_time == {("a", 0): 57, ("a", 1): 0, ("b", 0): 57}
        pairs = await pairs_of(ADMIN, parse_topics(["b", "a:1"]))
        assert pairs == [("b", 0), ("a", 1)]
        with pytest.raises(CommandFailed, match="a has partitions 0 to 1, not 7"):
            await pairs_of(ADMIN, parse_topics(["a:1,7"]))

    asyncio.run(main())


def test_a_plan_tells_what_changes() -> None:
    """Old and new position, by how much, whose it is; what stays is no change."""
    plan = ResetPlan(group(), STARTS, ENDS)
    rows = [each.row() for each in plan.to({("a", 0): 10, ("a", 1): 0, ("b", 0): 55})]
    assert [(row["offset"], row["new_offset"], row["change"]) for row in rows] == [
        (20, 10, -10),
        (None, 0, None),
        (55, 55, 0),
    ]
    assert [row["member"] for row in rows] == ["m1", "m2", None]
    assert [each.changes for each in plan.to({("a", 1): 0, ("b", 0): 55})] == [True, False]
    assert plan.without_position() == [("a", 1)]


def test_an_offset_that_a_log_does_not_have_is_refused() -> None:
    """By name and range, for the first few; exit code as for other failures."""
    plan = ResetPlan(group(), STARTS, ENDS)
    with pytest.raises(CommandFailed) as caught:
        plan.to({("a", 0): 9, ("a", 1): 1, ("b", 0): 55})
    assert caught.value.exit_code == 1
    assert "9 of a/0 (it has 10 to 100), 1 of a/1 (it has 0 to 0)" in caught.value.message
    many = {("t", number): (0, 0) for number in range(8)}
    empty = ResetPlan(None, dict.fromkeys(many, 0), dict.fromkeys(many, 0))
    with pytest.raises(CommandFailed, match="and 3 more"):
        empty.to(dict.fromkeys(many, 5))
    assert [each.offset for each in empty.to(dict.fromkeys(many, 0))] == [None] * 8


@pytest.mark.parametrize(
    ("by", "wanted", "limited"),
    [
        (5, {"a": 25, "b": 60}, []),
        (-5, {"a": 15, "b": 50}, []),
        (-30, {"a": 10, "b": 50}, ["a", "b"]),
        (OFFSET_MAX, {"a": 100, "b": 60}, ["a", "b"]),
        (6, {"a": 26, "b": 60}, ["b"]),
    ],
)
def test_a_shift_stays_within_the_log(by: int, wanted: dict[str, int], limited: list[str]) -> None:
    """And says where it was cut short; without a position there is nothing to shift."""
    planned = ResetPlan(group(), STARTS, ENDS).shifted(by)
    assert {each.topic: each.new_offset for each in planned} == wanted
    assert [each.topic for each in planned if each.limited] == limited
