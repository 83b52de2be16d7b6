"""What heartbeats and operators are told."""

from __future__ import annotations

import pytest

from consumer_groups.coordinator import queries
from consumer_groups.coordinator.queries import GroupPhase, MemberPhase
from consumer_groups.errors import GroupError
from consumer_groups.types import Epoch, GroupName
from tests.unit.consumer_groups.group_bench import (
    NAME,
    ORDERS,
    A,
    B,
    GroupBench,
    orders,
    positions,
)


def test_a_heartbeat_tells_whether_there_is_news() -> None:
    """By epoch; by a revocation at the same epoch; by the count of what was granted at it."""
    bench = GroupBench().settled(A)
    state = bench.log.state
    assert queries.heartbeat(state, NAME, A, Epoch(1), 4).current
    assert not queries.heartbeat(state, NAME, A, Epoch(0), 0).current
    bench.join(B)
    state = bench.log.state
    assert not queries.heartbeat(state, NAME, A, Epoch(1), 2).current
    assert queries.heartbeat(state, NAME, B, Epoch(2), 0).current
    bench.acknowledge(A, *orders(2))
    state = bench.log.state
    assert bench.epoch(B) == 2
    assert not queries.heartbeat(state, NAME, B, Epoch(2), 0).current
    assert queries.heartbeat(state, NAME, B, Epoch(2), 1).current


def test_a_heartbeat_of_who_is_no_member_is_refused() -> None:
    """So is one with an epoch that was never given."""
    bench = GroupBench().settled(A)
    with pytest.raises(GroupError, match="UNKNOWN_MEMBER"):
        queries.heartbeat(bench.log.state, NAME, B, Epoch(1), 0)
    with pytest.raises(GroupError, match="UNKNOWN_MEMBER"):
        queries.heartbeat(bench.log.state, GroupName("nobody"), A, Epoch(1), 0)
    with pytest.raises(GroupError, match="STALE_MEMBER_EPOCH"):
        queries.heartbeat(bench.log.state, NAME, A, Epoch(2), 0)


def test_a_description_says_who_owns_what_and_who_waits_for_whom() -> None:
    """Amid a hand-over: one revoking, one waiting, two partitions still owned."""
    bench = GroupBench().settled(A)
    bench.commit(A, positions(orders(1), 8))
    bench.join(B)
    found = queries.describe(bench.log.state, NAME)
    assert found.phase is GroupPhase.RECONCILING
    first, second = found.members
    assert (first.phase, first.assigned, first.revoking) == (
        MemberPhase.REVOKING,
        orders(0, 1),
        orders(2, 3),
    )
    assert (second.phase, second.assigned, second.target) == (
        MemberPhase.WAITING,
        (),
        orders(2, 3),
    )
    assert found.unowned == ()
    assert [(p, c.offset) for p, c in found.commits] == [(orders(1)[0], 8)]
    assert [r.member_id for r in found.rebalances] == [A, B]
    assert queries.readers(bench.group, ORDERS) == (A, B)


def test_what_nobody_owns_is_seen() -> None:
    """A gave up everything it was asked for but one; what is reset meanwhile waits for it."""
    bench = GroupBench().settled(A)
    bench.join(B)
    bench.reset(positions(orders(0), 1))
    assert queries.unowned(bench.group) == orders(0)
    bench.settle()
    assert queries.unowned(bench.group) == ()


def test_groups_are_listed_by_name() -> None:
    """With what they are doing."""
    bench = GroupBench().settled(A)
    bench.commit(A, positions(orders(1), 8))
    (listed,) = queries.list_groups(bench.log.state)
    assert (listed.name, listed.phase, listed.members, listed.commits) == (
        NAME,
        GroupPhase.STABLE,
        1,
        1,
    )


def test_what_is_unknown_is_said_to_be() -> None:
    """Operators get UNKNOWN_GROUP, members UNKNOWN_MEMBER."""
    state = GroupBench().log.state
    with pytest.raises(GroupError, match="UNKNOWN_GROUP"):
        queries.describe(state, NAME)
    with pytest.raises(GroupError, match="UNKNOWN_GROUP"):
        queries.committed(state, NAME)
    with pytest.raises(GroupError, match="UNKNOWN_MEMBER"):
        queries.assignment(state, NAME, A)
