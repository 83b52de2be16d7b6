"""Records and snapshots as bytes; what can not be read stops with a clear error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer_groups.commands import OffsetToCommit
from consumer_groups.coordinator.codec import UnreadableGroups, decode_record, encode_record
from consumer_groups.coordinator.machine import CoordinatorMachine
from consumer_groups.coordinator.replay import replay
from consumer_groups.coordinator.snapshot import decode_snapshot, encode_snapshot
from consumer_groups.coordinator.state import CoordinatorState, Group, Groups
from consumer_groups.records import (
    Cause,
    EpochBumped,
    Forgotten,
    GroupCreated,
    GroupDeleted,
    MemberJoined,
    MemberReconciled,
    MemberRemoved,
    MembersReconciled,
    MemberTarget,
    OffsetsCommitted,
    OffsetsForgotten,
    PartitionsFenced,
    PatternMatches,
    Record,
    TargetAssigned,
    TopicsResolved,
)
from consumer_groups.types import (
    Epoch,
    GroupName,
    InstanceId,
    MemberId,
    MemberInfo,
    PartitionNumber,
    Position,
    Subscription,
    TopicId,
    TopicPartition,
    TopicView,
)
from consumer_groups.v1 import coordinator_pb2 as pb
from tests.unit.consumer_groups.group_bench import (
    NAME,
    A,
    B,
    GroupBench,
    catalog,
    clicks,
    orders,
    positions,
)

names = st.sampled_from(["g", "h"]).map(GroupName)
member_ids = st.sampled_from(["a", "b", "c"]).map(MemberId)
epochs = st.integers(0, 9).map(Epoch)
times = st.integers(-5, 2**40)
topic_ids = st.integers(1, 3).map(TopicId)
partition = st.builds(TopicPartition, topic_ids, st.integers(0, 4).map(PartitionNumber))


def ascending(
    values: st.SearchStrategy[TopicPartition],
) -> st.SearchStrategy[tuple[TopicPartition, ...]]:
    return st.lists(values, unique=True, max_size=6).map(sorted).map(tuple)


partitions = ascending(partition)
infos = st.builds(
    MemberInfo,
    member_ids,
    st.builds(Subscription, st.just(("orders",)), st.sampled_from(["", "x.*"])),
    st.sampled_from(["", "one"]).map(InstanceId),
    st.text(max_size=5),
    st.text(max_size=5),
    st.sampled_from(["", "range"]),
)
views = st.lists(st.integers(1, 3), unique=True).map(
    lambda ids: tuple(TopicView(TopicId(t), f"t{t}", t) for t in sorted(ids))
)
offsets = st.tuples(partitions, st.lists(st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 3), st.text(max_size=3)), min_size=6, max_size=6)).map(
    lambda both: tuple(
        OffsetToCommit(p, Position(offset), term, metadata)
        for p, (offset, term, metadata) in zip(both[0], both[1], strict=False)
    )
)  # fmt: skip
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(GroupCreated, names, epochs, times),
    st.builds(
        MemberJoined, names, infos, epochs, times, st.sampled_from(["", "a", "b"]).map(MemberId)
    ),
    st.builds(MemberRemoved, names, member_ids, times),
    st.builds(EpochBumped, names, epochs, st.sampled_from(Cause), times, member_ids, st.text()),
    st.builds(
        TopicsResolved,
        names,
        st.integers(0, 9),
        views,
        st.just((PatternMatches("x.*", (TopicId(1), TopicId(2))),)),
    ),
    st.builds(
        TargetAssigned,
        names,
        epochs,
        st.just("sticky"),
        st.lists(st.builds(MemberTarget, member_ids, partitions), max_size=3).map(tuple),
    ),
    st.builds(
        MembersReconciled,
        names,
        st.lists(
            st.builds(MemberReconciled, member_ids, epochs, partitions, partitions, partitions),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(PartitionsFenced, names, partitions),
    st.builds(OffsetsCommitted, names, times, offsets, st.integers(0, 9)),
    st.builds(OffsetsForgotten, names, partitions, st.sampled_from(Forgotten)),
    st.builds(GroupDeleted, names),
)


@settings(max_examples=300, deadline=None)
@given(record=records)
def test_a_record_is_itself_after_a_way_through_bytes(record: Record) -> None:
    """Every kind, empty fields and extremes included; equal records are equal bytes."""
    data = encode_record(record)
    again = decode_record(data)
    assert again == record
    assert encode_record(again) == data


@settings(max_examples=150, deadline=None)
@given(history=st.lists(records, max_size=25))
def test_replay_takes_any_record_in_any_state(history: list[Record]) -> None:
    """Total: about groups and members that are not there, in any order; a snapshot of whatever
    came of it has the same positions."""
    state = CoordinatorState()
    for record in history:
        state = replay(state, record)
    restored = decode_snapshot(encode_snapshot(state))
    assert set(restored.groups) == set(state.groups)
    for name, group in state.groups.items():
        assert restored.groups[name].commits == group.commits
    assert restored.commit_count == state.commit_count
    assert encode_snapshot(restored) == encode_snapshot(state)


def busy() -> GroupBench:
    """A group amid a revocation, with positions of two topics and patterns."""
    bench = GroupBench()
    bench.join(A, "orders", pattern="cl.*", instance="one")
    bench.commit(A, positions((*orders(0), *clicks(1)), 7, "note"))
    bench.join(B)
    return bench


def test_a_snapshot_is_the_state() -> None:
    """Pending revocations, grants' epochs, causes, positions: all of it; equal bytes twice."""
    bench = busy()
    machine, state = bench.log.machine, bench.log.state
    assert state.groups[NAME].members[A].revoking
    data = machine.snapshot(state)
    assert machine.restore(data) == state
    assert machine.snapshot(machine.restore(data)) == data


def test_the_order_in_which_groups_came_does_not_show() -> None:
    """Equal states are equal bytes whatever their history."""
    three = [Group(GroupName(name), Epoch(1), Epoch(1)) for name in "abc"]
    orders_of_three = (three, three[::-1], [three[1], three[0], three[2]])
    states = [CoordinatorState(Groups.of(groups)) for groups in orders_of_three]
    assert states[0] == states[1] == states[2]
    assert len({encode_snapshot(state) for state in states}) == 1


def test_what_is_no_record_is_refused() -> None:
    """Rubbish, a kind from the future, a cause from the future, columns of unequal length."""
    unknown_kind = pb.CoordinatorRecord(group="g").SerializeToString()
    unknown_cause = pb.CoordinatorRecord(group="g")
    unknown_cause.epoch_bumped.epoch = 1
    uneven = pb.CoordinatorRecord(group="g")
    uneven.offsets_committed.positions.add(topic_id=1, partitions=[1, 2], offsets=[1])
    for data in (
        b"\xff\xff",
        unknown_kind,
        unknown_cause.SerializeToString(),
        uneven.SerializeToString(),
    ):
        with pytest.raises(UnreadableGroups):
            decode_record(data)


def test_a_snapshot_of_a_newer_format_is_refused() -> None:
    """With both versions in the text; rubbish too."""
    newer = pb.CoordinatorSnapshot(format_version=2).SerializeToString()
    with pytest.raises(UnreadableGroups, match="version 2, this version reads 1"):
        CoordinatorMachine().restore(newer)
    with pytest.raises(UnreadableGroups):
        CoordinatorMachine().restore(b"\xff\xff")


def test_replay_from_a_snapshot_and_from_the_start_meet() -> None:
    """The runtime's two ways to a state."""
    bench = busy()
    bench.log.take_snapshot()
    bench.settle()
    bench.topics(catalog(2, orders=8))
    bench.log.restart()
    state = CoordinatorState()
    for offset, data in enumerate(bench.log.log):
        state = bench.log.machine.replay(state, bench.log.machine.decode(data), offset)
    assert state == bench.log.state
