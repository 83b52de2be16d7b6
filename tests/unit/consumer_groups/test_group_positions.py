"""Commits and their fences, resets, deletions, retention."""

from __future__ import annotations

import pytest

from consumer_groups.commands import (
    DeleteGroup,
    DeleteOffsets,
    ExpireOffsets,
    OffsetToCommit,
    ResetOffsets,
)
from consumer_groups.coordinator import queries
from consumer_groups.errors import GroupError, Reason
from consumer_groups.records import Cause, OffsetsCommitted
from consumer_groups.responses import OffsetsRemoved
from consumer_groups.types import Commit, Epoch, Position
from tests.unit.consumer_groups.group_bench import (
    NAME,
    A,
    B,
    GroupBench,
    catalog,
    clicks,
    orders,
    owned,
    positions,
)

HOUR_MS = 3_600_000


def removed(bench: GroupBench, retention_ms: int = HOUR_MS) -> OffsetsRemoved:
    """Retention runs."""
    response = bench.log.execute(ExpireOffsets(NAME, retention_ms, bench.now_ms))
    assert isinstance(response, OffsetsRemoved)
    return response


def test_a_commit_is_kept_with_all_that_was_said() -> None:
    """Offset, term, metadata, time."""
    bench = GroupBench().settled(A)
    bench.commit(A, (OffsetToCommit(orders(2)[0], Position(7), 3, "märz"),))
    found = queries.committed(bench.log.state, NAME, orders(1, 2))
    assert found == {orders(2)[0]: Commit(Position(7), 3, "märz", 1_000)}


def test_a_commit_of_many_partitions_is_one_record() -> None:
    """A thousand partitions, one record of some two bytes each."""
    bench = GroupBench()
    bench.catalog = catalog(orders=1_000)
    bench.join(A)
    size = len(bench.log.log)
    bench.commit(A, positions(orders(*range(1_000))))
    (data,) = bench.log.log[size:]
    assert isinstance(bench.log.machine.decode(data), OffsetsCommitted)
    assert len(data) < 5_000


def test_the_next_owner_is_told_where_the_last_one_stopped() -> None:
    """The commit before the acknowledgement comes with the grant."""
    bench = GroupBench().settled(A)
    bench.join(B)
    bench.commit(A, positions(orders(2, 3), 42))
    done = bench.acknowledge(A, *orders(2, 3))
    (push,) = done.changed.pushes
    assert [g.commit.offset if g.commit else None for g in push.assigned] == [42, 42]


def test_a_commit_after_the_hand_over_is_refused_whole() -> None:
    """The error names the partitions that are not its own; the others are not committed."""
    bench = GroupBench().settled(A, B)
    with pytest.raises(GroupError) as refusal:
        bench.commit(A, positions(orders(0, 1, 2, 3)))
    assert refusal.value.reason is Reason.STALE_MEMBER_EPOCH
    assert refusal.value.partitions == orders(2, 3)
    assert queries.committed(bench.log.state, NAME) == {}


def test_a_commit_with_an_earlier_epoch_of_the_same_ownership_counts() -> None:
    """What a member kept since epoch 1 it may commit with epoch 1, though it is at 2."""
    bench = GroupBench().settled(A, B)
    assert bench.epoch(A) == 2
    bench.commit(A, positions(orders(0)), Epoch(1))
    assert orders(0)[0] in queries.committed(bench.log.state, NAME)


def test_a_reset_of_a_live_group_fences_moves_and_tells() -> None:
    """The owner regains the partitions at a new epoch and the new position; what it committed on
    the way is refused."""
    bench = GroupBench().settled(A)
    bench.commit(A, positions(orders(0, 1, 2, 3), 100))
    changed = bench.reset(positions(orders(1, 2), 10))
    (push,) = changed.pushes
    assert [
        (g.partition.partition, g.epoch, g.commit and g.commit.offset) for g in push.assigned
    ] == [
        (0, 1, 100),
        (1, 2, 10),
        (2, 2, 10),
        (3, 1, 100),
    ]
    with pytest.raises(GroupError, match="STALE_MEMBER_EPOCH"):
        bench.commit(A, positions(orders(1), 101), Epoch(1))
    bench.commit(A, positions(orders(0), 101), Epoch(1))
    bench.commit(A, positions(orders(1), 11))
    assert bench.group.rebalances[-1].cause is Cause.OFFSETS_RESET


def test_a_reset_amid_a_revocation_hands_over_at_once() -> None:
    """The fenced partition goes to who waits for it; the rest of the revocation stays open."""
    bench = GroupBench().settled(A)
    bench.join(B)
    changed = bench.reset(positions(orders(0, 2), 10))
    pushes = {push.member_id: push for push in changed.pushes}
    assert owned(pushes[A]) == orders(1)
    assert pushes[A].revoking == orders(3)
    assert [(g.partition, g.epoch) for g in pushes[B].assigned] == [(orders(2)[0], 3)]
    done = bench.acknowledge(A, *orders(3))
    assert owned(done.assignment) == orders(0, 1)


def test_a_revocation_does_not_undo_the_reset_before_it() -> None:
    """A member that is told of both at once can not see the reset: what it commits at the epoch at
    which it took its positions is refused, so that the next owner begins where the reset says."""
    bench = GroupBench().settled(A)
    taken = bench.epoch(A)
    bench.reset(positions(orders(2), 10))
    bench.join(B)
    assert tuple(bench.group.members[A].revoking) == orders(2, 3)
    with pytest.raises(GroupError) as refusal:
        bench.commit(A, positions(orders(2, 3), 101), taken)
    assert refusal.value.reason is Reason.STALE_MEMBER_EPOCH
    assert refusal.value.partitions == orders(2)
    bench.commit(A, positions(orders(3), 101), taken)
    (push,) = bench.acknowledge(A, *orders(2, 3)).changed.pushes
    assert [g.commit.offset if g.commit else None for g in push.assigned] == [10, 101]


def test_a_reset_of_an_empty_group_moves_only() -> None:
    """No epoch, nobody to tell."""
    bench = GroupBench()
    bench.store(positions(orders(0)))
    assert bench.reset(positions(orders(0, 1), 9)).pushes == ()
    found = queries.committed(bench.log.state, NAME)
    assert {p: c.offset for p, c in found.items()} == {orders(0)[0]: 9, orders(1)[0]: 9}


def test_a_reset_of_what_nobody_owns_is_no_rebalance() -> None:
    """A topic that the members do not read: the position moves, the epoch does not."""
    bench = GroupBench().settled(A)
    epoch = bench.group.epoch
    assert bench.reset(positions(clicks(0), 9)).pushes == ()
    assert bench.group.epoch == epoch
    assert clicks(0)[0] in queries.committed(bench.log.state, NAME)


def test_a_reset_needs_a_group() -> None:
    """A misspelt name does not make one."""
    with pytest.raises(GroupError, match="UNKNOWN_GROUP"):
        GroupBench().log.execute(ResetOffsets(NAME, positions(orders(0)), catalog(), 1))


def test_positions_are_stored_without_membership_only_while_nobody_is_a_member() -> None:
    """Assignment by hand and a live group do not mix."""
    bench = GroupBench()
    bench.store(positions(orders(0), 3))
    bench.join(A)
    assert bench.group.members[A].owned
    with pytest.raises(GroupError, match="GROUP_NOT_EMPTY"):
        bench.store(positions(orders(0), 4))


def test_positions_of_a_live_group_never_expire() -> None:
    """However old they are."""
    bench = GroupBench().settled(A)
    bench.commit(A, positions(orders(0)))
    bench.now_ms += 1_000 * HOUR_MS
    assert removed(bench) == OffsetsRemoved(NAME, 0)


def test_positions_expire_after_the_group_was_empty_for_long() -> None:
    """Counted from the last member's end, not from the commit; then the group goes too."""
    bench = GroupBench().settled(A)
    bench.commit(A, positions(orders(0)))
    bench.now_ms += 10 * HOUR_MS
    bench.leave(A)
    bench.now_ms += HOUR_MS - 1
    assert removed(bench) == OffsetsRemoved(NAME, 0)
    bench.now_ms += 1
    assert removed(bench) == OffsetsRemoved(NAME, 1, group_deleted=True)
    assert NAME not in bench.log.state.groups


def test_positions_stored_by_hand_expire_one_by_one() -> None:
    """Each counted from its own commit."""
    bench = GroupBench()
    bench.store(positions(orders(0)))
    bench.now_ms += HOUR_MS // 2
    bench.store(positions(orders(1)))
    bench.now_ms += HOUR_MS // 2
    assert removed(bench) == OffsetsRemoved(NAME, 1)
    assert set(queries.committed(bench.log.state, NAME)) == set(orders(1))


def test_positions_are_deleted_where_nobody_subscribes() -> None:
    """Of a topic that members read they are not."""
    bench = GroupBench()
    bench.store(positions((*orders(0), *clicks(0, 1))))
    bench.join(A)
    response = bench.log.execute(DeleteOffsets(NAME, clicks(1)))
    assert response == OffsetsRemoved(NAME, 1)
    with pytest.raises(GroupError, match="GROUP_SUBSCRIBED"):
        bench.log.execute(DeleteOffsets(NAME, orders(0)))


def test_a_group_that_is_made_again_begins_above_its_old_epochs() -> None:
    """So a member of the deleted one is fenced, even under the same member id."""
    bench = GroupBench().settled(A, B)
    old = bench.epoch(A)
    bench.leave(A)
    bench.leave(B)
    end = bench.group.epoch
    bench.log.execute(DeleteGroup(NAME))
    joined = bench.join(A)
    assert joined.assignment.member_epoch == end + 1
    with pytest.raises(GroupError, match="STALE_MEMBER_EPOCH"):
        bench.commit(A, positions(orders(0)), old)
