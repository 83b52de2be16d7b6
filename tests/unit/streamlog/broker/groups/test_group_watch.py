"""What a node's round over its consumer groups comes to: counts, lag cut to what is shown, alarms told
once."""

from __future__ import annotations

import logging

import pytest

from consumer_groups.coordinator.queries import GroupPhase
from consumer_groups.types import GroupName, MemberId, PartitionNumber, Position, TopicId
from consumer_groups.types import TopicPartition as Pair
from streamlog.broker.groups import group_alarms, group_watch
from streamlog.broker.groups.group_alarms import GroupAlarms
from streamlog.broker.groups.group_lag import Unread
from streamlog.broker.groups.group_watch import report_of
from streamlog.groups.survey import GroupPosition, GroupSurvey

WALL_MS = 1_000_000


def pair(number: int, topic_id: int = 7) -> Pair:
    return Pair(TopicId(topic_id), PartitionNumber(number))


def position(group: str, number: int, offset: int) -> GroupPosition:
    return GroupPosition(GroupName(group), pair(number), Position(offset))


def name_of(partition: Pair) -> str:
    return f"orders/{partition.partition}"


async def test_a_report_sums_what_is_known() -> None:
    """Two groups on one partition have each their own lag; a position that nobody answered for is
    counted as unmeasured and no lag at all."""
    survey = GroupSurvey(
        members={GroupName("a"): 2, GroupName("b"): 0, GroupName("c"): 1},
        positions=[
            position("a", 0, 5),
            position("a", 1, 9),
            position("b", 0, 9),
            position("b", 2, 1),
        ],
        positions_left_out=3,
    )
    survey.phases[GroupPhase.STABLE] = 2
    unread = {
        (7, 0, 5): Unread(4, WALL_MS - 1_500),
        (7, 0, 9): Unread(0, None),
        (7, 1, 9): Unread(2, WALL_MS + 50),
    }
    report = await report_of(survey, unread, 17.0, WALL_MS)
    assert report.taken_at_ms == 17.0
    assert report.phases[GroupPhase.STABLE] == 2
    assert report.members == 3
    assert [(g.group, g.members, g.records, g.lag_ms) for g in report.groups] == [
        ("a", 2, 6, 1_500),
        ("b", 0, 0, 0),
        ("c", 1, 0, 0),
    ]
    assert [(p.group, p.partition.partition, p.records, p.lag_ms) for p in report.partitions] == [
        ("a", 0, 4, 1_500),
        ("a", 1, 2, 0),
        ("b", 0, 0, 0),
    ]
    assert report.unmeasured == 4


async def test_a_report_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The groups and partitions with most lag are kept; of equal ones always the same."""
    monkeypatch.setattr(group_watch, "GROUPS_SHOWN_MAX", 2)
    monkeypatch.setattr(group_watch, "PARTITIONS_SHOWN_MAX", 3)
    monkeypatch.setattr(group_watch, "POSITIONS_AT_ONCE", 2)
    names = [f"g{number}" for number in range(5)]
    survey = GroupSurvey(
        members={GroupName(name): 1 for name in names},
        positions=[position(name, 0, number) for number, name in enumerate(names)],
    )
    survey.stalled[GroupName("g0"), MemberId("m")] = 9.0
    survey.unowned[GroupName("g1")] = {pair(0): 1.0, pair(1): 2.0}
    unread = {(7, 0, number): Unread(5 if number == 3 else 1, 0) for number in range(5)}
    report = await report_of(survey, unread, 0.0, WALL_MS)
    assert [each.group for each in report.groups] == ["g3", "g0"]
    assert [each.group for each in report.partitions] == ["g3", "g0", "g1"]
    assert (report.members, report.members_stalled, report.partitions_unowned) == (5, 1, 2)
    assert report.unmeasured == 0


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """By the alarms; what else a process may log at the time is not theirs."""
    return [record for record in caplog.records if record.name == group_alarms.__name__]


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    found = [
        (record.message, record.__dict__["group"], record.__dict__.get("member_id", ""))
        for record in told(caplog)
    ]
    caplog.clear()
    return found


def test_an_alarm_is_told_when_it_begins_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in between, however long it lasts; partitions of one group are one alarm."""
    caplog.set_level(logging.INFO)
    alarms = GroupAlarms(name_of)
    alarms.follow(GroupSurvey())
    assert events(caplog) == []
    wrong = GroupSurvey(
        stalled={(GroupName("a"), MemberId("m1")): 301_000.0},
        unowned={GroupName("b"): {pair(3): 5.0, pair(1): 9.0, pair(2): 7.0}},
    )
    alarms.follow(wrong)
    unowned = told(caplog)[-1].__dict__
    assert (unowned["partitions"], unowned["longest"], unowned["unowned_ms"]) == (3, "orders/1", 9)
    assert told(caplog)[0].__dict__["idle_ms"] == 301_000
    assert [record.levelname for record in told(caplog)] == ["WARNING", "WARNING"]
    assert events(caplog) == [
        ("group_member_stalled", "a", "m1"),
        ("group_partitions_unowned", "b", ""),
    ]
    alarms.follow(wrong)
    assert events(caplog) == []
    alarms.follow(GroupSurvey())
    assert events(caplog) == [("group_alarm_over", "a", "m1"), ("group_alarm_over", "b", "")]
    alarms.follow(wrong)
    assert len(events(caplog)) == 2


def test_many_alarms_are_told_over_several_rounds(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log is not flooded, and nothing that lasts is left out."""
    monkeypatch.setattr(group_alarms, "EVENTS_MAX", 2)
    caplog.set_level(logging.INFO)
    alarms = GroupAlarms(name_of)
    wrong = GroupSurvey(
        stalled={(GroupName("a"), MemberId(f"m{number}")): 1.0 for number in range(3)},
        unowned={GroupName("a"): {pair(0): 1.0}},
    )
    alarms.follow(wrong)
    assert [event[2] for event in events(caplog)] == ["m0", "m1"]
    alarms.follow(wrong)
    assert [event[2] for event in events(caplog)] == ["m2", ""]
    alarms.follow(wrong)
    assert events(caplog) == []
