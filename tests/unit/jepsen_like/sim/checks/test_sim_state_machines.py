"""Replicas whose state machines differ, and groups with two owners of a partition, are noticed."""

from __future__ import annotations

from dataclasses import replace

from consumer_groups.coordinator.state import CoordinatorState
from consumer_groups.types import NO_EPOCH
from jepsen_like.sim.checks.state_machines import STATES_KEPT, StateMachines
from replication.types import GroupId, Offset
from tests.unit.consumer_groups.group_bench import A, B, GroupBench, orders, positions

GROUP = GroupId(7)


def state_with(offset: int) -> CoordinatorState:
    """After a commit; made anew each time, as another replica makes its own."""
    bench = GroupBench().settled(A, B)
    owned = tuple(bench.group.members[A].owned)
    bench.commit(A, positions(owned, offset))
    return bench.log.state


def test_states_at_one_offset_must_be_equal() -> None:
    """Equal ones are compared by value; another one is told with both; elsewhere it may differ."""
    machines = StateMachines()
    assert machines.wrong(GROUP, (Offset(9), state_with(5))) is None
    assert machines.wrong(GROUP, (Offset(9), state_with(5))) is None
    assert machines.compared == 1
    wrong = machines.wrong(GROUP, (Offset(9), state_with(6)))
    assert wrong is not None
    assert "has at 9 the state" in wrong
    assert machines.wrong(GROUP, (Offset(10), state_with(6))) is None
    assert machines.wrong(GroupId(8), (Offset(9), state_with(6))) is None


def test_an_empty_log_tells_nothing_and_old_states_go() -> None:
    """Before the first entry a machine may not have begun; only the newest states are kept."""
    machines = StateMachines()
    assert machines.wrong(GROUP, (Offset(0), state_with(5))) is None
    assert machines.wrong(GROUP, (Offset(0), state_with(6))) is None
    state = state_with(5)
    for end in range(1, STATES_KEPT + 2):
        assert machines.wrong(GROUP, (Offset(end), state)) is None
    assert machines.wrong(GROUP, (Offset(1), state_with(6))) is None


def test_a_partition_with_two_owners_is_told() -> None:
    """By what the members hold, not by the index that each decision goes by."""
    state = state_with(5)
    (group,) = state.groups.values()
    mine = group.members[A].owned
    greedy = replace(group.members[B], owned={**group.members[B].owned, **mine})
    doubled = replace(group, members={**group.members, B: greedy})
    wrong = StateMachines().wrong(
        GROUP, (Offset(1), replace(state, groups=state.groups.put(doubled)))
    )
    assert wrong is not None
    assert f"is held by {A} and {B}" in wrong


def test_an_epoch_beyond_the_groups_is_told() -> None:
    """No grant is newer than the group."""
    state = state_with(5)
    (group,) = state.groups.values()
    ahead = replace(group, epoch=NO_EPOCH)
    wrong = StateMachines().wrong(
        GROUP, (Offset(1), replace(state, groups=state.groups.put(ahead)))
    )
    assert wrong is not None
    assert "beyond 0" in wrong


def test_an_index_that_disagrees_is_told() -> None:
    """The owners by partition are what the members hold."""
    state = state_with(5)
    (group,) = state.groups.values()
    astray = replace(group, owners={orders(0)[0]: B})
    wrong = StateMachines().wrong(
        GROUP, (Offset(1), replace(state, groups=state.groups.put(astray)))
    )
    assert wrong is not None
    assert "own what" in wrong
