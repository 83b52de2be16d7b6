"""What a member holds, and until when: the state machine without a network."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from streamlog.client import TopicPartition
from streamlog.client.groups.member import (
    HEARTBEATS_OPEN_MAX,
    JOIN_PATIENCE_MS,
    Change,
    Hold,
    Member,
)
from streamlog.v1 import group_service_pb2 as pb

SESSION_MS = 6_000
TOPIC = 7


@pytest.fixture
def member() -> Member:
    """Its ids are m1, m2 ..."""
    return Member(new_ids(), SESSION_MS, 10_000)


def new_ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"m{next(numbers)}"


def assignment(
    epoch: int, assigned: dict[int, int], revoking: list[int] | None = None
) -> pb.MemberAssignment:
    """Grant epochs by partition; odd partitions have a committed position."""
    message = pb.MemberAssignment(
        member_epoch=epoch,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=1_000,
        revoking=[pb.GroupPartition(topic_id=TOPIC, partition=n) for n in revoking or []],
    )
    for number, grant in assigned.items():
        one = message.assigned.add(topic_id=TOPIC, topic="t", partition=number, grant_epoch=grant)
        if number % 2:
            one.committed.offset = 100 + number
    return message


def numbers(holds: tuple[Hold, ...]) -> list[int]:
    return [hold.partition[1] for hold in holds]


def seen(change: Change) -> dict[str, list[int]]:
    """What is not empty."""
    found = {
        "lost": numbers(change.lost),
        "revoking": numbers(change.revoking),
        "assigned": numbers(change.assigned),
        "given_up": [number for _, number in change.given_up],
    }
    return {name: those for name, those in found.items() if those}


def test_what_comes_and_goes(member: Member) -> None:
    """New ones are held from their committed positions; the same ones stay the same holds; what is
    named no more is lost; what is revoked is held until it is given up."""
    member.joining(0)
    assert seen(member.told(assignment(1, {0: 1, 1: 1}), 5)) == {"assigned": [0, 1]}
    first = dict(member.by_pair)
    assert [first["t", n].committed for n in (0, 1)] == [None, 101]  # type: ignore[index]
    assert seen(member.told(assignment(3, {0: 1, 2: 3}), 6)) == {"lost": [1], "assigned": [2]}
    assert member.by_pair[TopicPartition("t", 0)] is first[TopicPartition("t", 0)]
    assert seen(member.told(assignment(3, {2: 3}, [0]), 7)) == {"revoking": [0]}
    assert seen(member.told(assignment(3, {2: 3}, [0]), 8)) == {}
    (revoked,) = (hold for hold in member.holds.values() if hold.revoking)
    assert revoked.revoked_at_ms == 7
    assert member.give_up([revoked]) == [(TOPIC, 0)]
    assert member.give_up([revoked]) == []
    assert list(member.by_pair) == [("t", 2)]
    # The coordinator has not heard of it, perhaps because the stream broke.
    assert seen(member.told(assignment(3, {2: 3}, [0]), 9)) == {"given_up": [0]}
    assert seen(member.told(assignment(4, {2: 3, 0: 4}), 10)) == {"assigned": [0]}


def test_another_grant_is_another_hold(member: Member) -> None:
    """A partition under another grant epoch was lost meanwhile, also one that was being given up."""
    member.joining(0)
    member.told(assignment(1, {0: 1, 1: 1}), 0)
    assert seen(member.told(assignment(5, {0: 5, 1: 1}), 0)) == {"lost": [0], "assigned": [0]}
    member.told(assignment(5, {0: 5}, [1]), 0)
    assert seen(member.told(assignment(6, {0: 5, 1: 6}), 0)) == {"lost": [1], "assigned": [1]}
    assert not member.by_pair[TopicPartition("t", 1)].revoking


def test_positions_are_committed_under_an_epoch_of_their_grant(member: Member) -> None:
    """A hold's epoch follows the member's while the partition is assigned, and stays where it was
    when it is revoked: what the member is given later does not count for it."""
    member.joining(0)
    member.told(assignment(2, {0: 2, 1: 2}), 0)
    member.told(assignment(4, {0: 2, 1: 2}), 0)
    member.told(assignment(9, {1: 2}, [0]), 0)
    by_number = {hold.partition[1]: hold.epoch for hold in member.holds.values()}
    assert by_number == {0: 4, 1: 9}


def test_the_lease_counts_from_the_sending_of_what_was_confirmed(member: Member) -> None:
    """Not from the answer, nor from the newest that was sent; an old answer takes nothing back."""
    assert member.is_fenced(0)
    member.joining(1_000)
    member.told(assignment(1, {0: 1}), 3_000)
    assert not member.is_fenced(6_999)
    assert member.is_fenced(7_000)
    first, _, _ = member.beat(4_000)
    second, epoch, assigned = member.beat(5_000)
    assert (epoch, assigned) == (1, 1)
    member.confirmed(second)
    assert member.lease.until_s == 11.0
    member.confirmed(first)
    member.confirmed(99)
    assert member.lease.until_s == 11.0
    assert member.phase(10_999) == "stable"
    assert member.phase(11_000) == "fenced"


def test_a_silent_coordinator_is_noticed_before_the_session_ends(member: Member) -> None:
    """After a third of the session without an answer; while it joins, after ten seconds."""
    member.joining(0)
    assert not member.is_silent(JOIN_PATIENCE_MS)
    assert member.is_silent(JOIN_PATIENCE_MS + 1)
    member.told(assignment(1, {}), 0)
    sequence, _, _ = member.beat(1_500)
    assert not member.is_silent(2_000)
    assert member.is_silent(2_001)
    member.confirmed(sequence)
    assert not member.is_silent(3_500)
    assert member.is_silent(3_501)


def test_heartbeats_whose_answers_are_waited_for_are_bounded(member: Member) -> None:
    """The oldest are forgotten, and confirm nothing any more."""
    member.joining(0)
    member.told(assignment(1, {}), 0)
    sent = [member.beat(at)[0] for at in range(1, HEARTBEATS_OPEN_MAX + 3)]
    member.confirmed(sent[0])
    assert member.lease.until_s == SESSION_MS / 1_000
    member.confirmed(sent[-1])
    assert member.lease.until_s == (SESSION_MS + HEARTBEATS_OPEN_MAX + 2) / 1_000


def test_a_member_that_is_none_any_more_is_another_one(member: Member) -> None:
    """Everything is lost, the lease is over, and it joins with a new id and epoch 0; a broken
    stream changes neither."""
    member.joining(0)
    member.told(assignment(4, {0: 2, 1: 4}), 0)
    member.joining(500)
    assert (member.member_id, member.epoch, len(member.holds)) == ("m1", 4, 2)
    assert not member.is_fenced(5_000)
    assert seen(member.forget()) == {"lost": [0, 1]}
    assert (member.member_id, member.epoch, member.holds, member.by_pair) == ("m2", 0, {}, {})
    assert member.is_fenced(0)
    assert member.phase(0) == "joining"


def test_a_revocation_leaves_time_for_the_way_to_the_coordinator(member: Member) -> None:
    """A tenth of the rebalance timeout a margin, at least 100 ms and at most 5 s."""
    member.joining(0)
    member.told(assignment(1, {0: 1}), 0)
    member.told(assignment(1, {}, [0]), 2_000)
    (hold,) = member.holds.values()
    assert member.phase(2_000) == "revoking"
    assert [member.revocation_ends_ms(hold, margins) for margins in (0, 1, 3)] == [
        12_000,
        11_000,
        9_000,
    ]
    member.rebalance_timeout_ms = 1_000
    assert member.revocation_ends_ms(hold, 2) == 2_800
    member.rebalance_timeout_ms = 3_600_000
    assert member.revocation_ends_ms(hold, 1) == 3_597_000


def test_a_partition_of_a_topic_without_a_name_is_no_hold(member: Member) -> None:
    """It is being deleted: the coordinator can not say its name any more, and counts it all the
    same."""
    member.joining(0)
    message = assignment(1, {0: 1, 1: 1})
    message.assigned[0].topic = ""
    assert seen(member.told(message, 0)) == {"assigned": [1]}
    assert member.beat(0)[2] == 2
