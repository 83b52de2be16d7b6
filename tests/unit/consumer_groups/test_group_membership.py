"""Joining, handing over, leaving, expiring, returning: one rule a test."""

from __future__ import annotations

from consumer_groups.commands import ExpiryCause
from consumer_groups.coordinator import queries
from consumer_groups.coordinator.queries import GroupPhase, MemberPhase
from consumer_groups.limits import RECENT_REBALANCES_MAX
from consumer_groups.records import (
    Cause,
    EpochBumped,
    MemberRemoved,
    MembersReconciled,
    TargetAssigned,
    TopicsResolved,
)
from consumer_groups.types import Epoch, MemberId
from tests.unit.consumer_groups.group_bench import (
    NAME,
    A,
    B,
    C,
    GroupBench,
    catalog,
    orders,
    owned,
    positions,
)


def test_the_first_member_gets_everything_at_once() -> None:
    """A group is made by its first member, at epoch 1."""
    joined = GroupBench().join(A)
    assert owned(joined.assignment) == orders(0, 1, 2, 3)
    assert joined.assignment.member_epoch == joined.assignment.group_epoch == 1
    assert joined.changed.pushes == ()
    assert not joined.resumed


def test_a_partition_is_handed_over_only_after_it_was_given_up() -> None:
    """The newcomer waits; the owner keeps what it keeps; its acknowledgement grants the rest."""
    bench = GroupBench().settled(A)
    joined = bench.join(B)
    assert owned(joined.assignment) == ()
    assert joined.assignment.member_epoch == 2
    (push,) = joined.changed.pushes
    assert push.member_id == A
    assert (owned(push), push.revoking) == (orders(0, 1), orders(2, 3))
    assert push.member_epoch == 1, "it keeps its epoch until it has given them up"
    done = bench.acknowledge(A, *orders(2, 3))
    assert done.assignment.member_epoch == 2
    (push,) = done.changed.pushes
    assert [(g.partition, g.epoch) for g in push.assigned] == [(p, 2) for p in orders(2, 3)]


def test_a_part_of_a_revocation_may_be_acknowledged() -> None:
    """What is free is granted; the epoch of the giver waits for the rest."""
    bench = GroupBench().settled(A)
    bench.join(B)
    done = bench.acknowledge(A, *orders(2))
    assert done.assignment.revoking == orders(3)
    assert done.assignment.member_epoch == 1
    assert owned(done.changed.pushes[0]) == orders(2)


def test_an_old_acknowledgement_frees_nothing() -> None:
    """Sent before the partition was granted, it can not be about its revocation."""
    bench = GroupBench().settled(A, B)
    bench.leave(B)
    bench.join(C)
    revoking = bench.group.members[A].revoking
    assert revoking
    stale = Epoch(bench.epoch(A) - 1)
    done = bench.acknowledge(A, *revoking, epoch=stale)
    assert done.assignment.revoking == tuple(revoking)
    assert done.changed.pushes == ()


def test_acknowledging_twice_is_answered_twice_and_done_once() -> None:
    """A retry whose answer was lost does no harm."""
    bench = GroupBench().settled(A)
    bench.join(B)
    first = bench.acknowledge(A, *orders(2, 3), epoch=Epoch(1))
    size = len(bench.log.log)
    again = bench.acknowledge(A, *orders(2, 3), epoch=Epoch(1))
    assert again.assignment == first.assignment
    assert len(bench.log.log) == size


def test_who_has_something_to_give_up_is_given_nothing() -> None:
    """A leaves nothing behind in its old epoch: revoke before assign."""
    bench = GroupBench()
    bench.catalog = catalog(orders=6)
    bench.settled(A, B)
    bench.join(C)
    assert bench.group.members[A].revoking
    bench.leave(B)
    waiting = bench.group.members[A]
    assert waiting.revoking
    assert len(waiting.owned) < len(waiting.target)
    bench.settle()
    assert queries.group_phase(bench.group) is GroupPhase.STABLE


def test_a_revocation_is_not_taken_back() -> None:
    """B leaves before A has acknowledged: A acknowledges all the same, and is granted anew."""
    bench = GroupBench().settled(A)
    bench.join(B)
    changed = bench.leave(B)
    assert changed.pushes == ()
    assert bench.group.members[A].revoking
    done = bench.acknowledge(A, *orders(2, 3))
    assert [(g.partition.partition, g.epoch) for g in done.assignment.assigned] == [
        (0, 1),
        (1, 1),
        (2, 3),
        (3, 3),
    ]


def test_members_whose_partitions_stay_are_told_nothing() -> None:
    """Ten members, one partition each and one to spare: a newcomer concerns one of them."""
    bench = GroupBench()
    bench.catalog = catalog(orders=12)
    bench.settled(*(MemberId(f"m{n:02}") for n in range(10)))
    joined = bench.join(MemberId("new"))
    assert len(joined.changed.pushes) == 1


def test_leaving_is_immediate() -> None:
    """What the leaver owned is granted in the same decision."""
    bench = GroupBench().settled(A, B)
    changed = bench.leave(B)
    (push,) = changed.pushes
    assert owned(push) == orders(0, 1, 2, 3)
    assert changed.removed == (B,)


def test_leaving_writes_no_more_than_it_must() -> None:
    """The topics are looked up anew only when nobody else wants them."""
    bench = GroupBench().settled(A, B)
    bench.join(C, "clicks")
    size = len(bench.log.log)
    bench.leave(B)
    kinds = [type(bench.log.machine.decode(data)) for data in bench.log.log[size:]]
    assert kinds == [MemberRemoved, EpochBumped, TargetAssigned, MembersReconciled]
    size = len(bench.log.log)
    bench.leave(C)
    kinds = [type(bench.log.machine.decode(data)) for data in bench.log.log[size:]]
    assert kinds == [MemberRemoved, EpochBumped, TopicsResolved, TargetAssigned]


def test_the_last_one_to_leave_leaves_an_empty_group() -> None:
    """Positions stay; the topics are nobody's any more."""
    bench = GroupBench().settled(A)
    bench.commit(A, positions(orders(0)))
    bench.now_ms = 2_000
    bench.leave(A)
    group = bench.group
    assert queries.group_phase(group) is GroupPhase.EMPTY
    assert group.empty_since_ms == 2_000
    assert group.topics == {}
    assert group.commit_count == 1


def test_a_member_that_does_not_give_up_is_expired_by_its_rebalance_timer() -> None:
    """The fenced member's partitions go on at a later epoch."""
    bench = GroupBench().settled(A)
    bench.join(B)
    expired = bench.expire(A, ExpiryCause.REBALANCE)
    assert expired.expired
    assert expired.changed.removed == (A,)
    (push,) = expired.changed.pushes
    assert {grant.epoch for grant in push.assigned} == {3}


def test_a_rebalance_timer_that_is_late_does_nothing() -> None:
    """The member acknowledged meanwhile; or it is gone."""
    bench = GroupBench().settled(A)
    bench.join(B)
    before = bench.epoch(A)
    bench.settle()
    late = bench.expire(A, ExpiryCause.REBALANCE, before)
    assert (late.expired, late.member_epoch) == (False, 2)
    bench.leave(A)
    gone = bench.expire(A, ExpiryCause.SESSION, before)
    assert (gone.expired, gone.member_epoch) == (False, 0)


def test_a_session_timer_of_an_earlier_life_does_nothing() -> None:
    """A left and came back under its old id before the timer was decided."""
    bench = GroupBench().settled(A, B)
    before = bench.epoch(A)
    bench.leave(A)
    bench.join(A)
    assert not bench.expire(A, ExpiryCause.SESSION, before).expired
    assert bench.expire(A, ExpiryCause.NO_PROGRESS).expired


def test_joining_twice_is_answered_twice_and_done_once() -> None:
    """A retry whose answer was lost finds the member there."""
    bench = GroupBench()
    first = bench.join(A)
    size = len(bench.log.log)
    again = bench.join(A)
    assert again.resumed
    assert again.assignment == first.assignment
    assert len(bench.log.log) == size


def test_a_broken_stream_is_mended_by_joining_with_the_epoch() -> None:
    """It hears what it missed, revocations too."""
    bench = GroupBench().settled(A)
    bench.join(B)
    again = bench.join(A, epoch=Epoch(1))
    assert again.resumed
    assert again.assignment.revoking == orders(2, 3)


def test_another_subscription_moves_the_epoch() -> None:
    """A adds a topic and gets it at once."""
    bench = GroupBench().settled(A)
    joined = bench.join(A, "orders", "clicks", epoch=Epoch(1))
    assert len(joined.assignment.assigned) == 6
    assert bench.group.rebalances[-1].cause is Cause.SUBSCRIPTION_CHANGED


def test_another_timeout_moves_nothing() -> None:
    """What a member says of itself is replaced; nobody is asked to move."""
    bench = GroupBench().settled(A, B)
    epoch = bench.group.epoch
    joined = bench.join(A, epoch=Epoch(1))
    assert bench.group.epoch == epoch
    assert joined.changed.pushes == ()


def test_a_static_member_that_returns_keeps_its_partitions() -> None:
    """At a new epoch, in one decision, and nobody else hears of it."""
    bench = GroupBench()
    bench.join(A, instance="one")
    bench.join(B, instance="two")
    bench.settle()
    before = bench.group.members[B].owned
    joined = bench.join(C, instance="two")
    assert joined.replaced == B
    assert joined.changed.removed == (B,)
    assert joined.changed.pushes == ()
    assert set(owned(joined.assignment)) == set(before)
    assert min(grant.epoch for grant in joined.assignment.assigned) > max(before.values())
    assert bench.group.rebalances[-1].cause is Cause.MEMBER_RETURNED


def test_a_static_member_returns_amid_a_revocation() -> None:
    """What its predecessor was to give up goes to who waits for it."""
    bench = GroupBench()
    bench.join(A, instance="one")
    bench.join(B)
    joined = bench.join(C, instance="one")
    (push,) = joined.changed.pushes
    assert owned(joined.assignment) == orders(0, 1)
    assert owned(push) == orders(2, 3)


def test_a_static_member_that_returns_in_another_mood_is_assigned_anew() -> None:
    """It subscribes to something else now."""
    bench = GroupBench()
    bench.join(A, instance="one")
    joined = bench.join(C, "clicks", instance="one")
    assert {p.topic_id for p in owned(joined.assignment)} == {2}


def test_more_members_than_partitions() -> None:
    """The last one owns nothing, has an epoch, and is stable."""
    bench = GroupBench()
    bench.catalog = catalog(orders=1)
    bench.settled(A, B)
    description = queries.describe(bench.log.state, NAME)
    assert [len(m.assigned) for m in description.members] == [1, 0]
    assert description.members[1].phase is MemberPhase.STABLE
    assert description.members[1].epoch == 2


def test_most_votes_choose_the_assignor() -> None:
    """Range by two of three; sticky when nobody has a preference."""
    bench = GroupBench()
    bench.join(A)
    assert bench.group.assignor == "sticky"
    bench.join(B, assignor="range")
    bench.join(C, assignor="range")
    assert bench.group.assignor == "range"


def test_another_vote_is_heard() -> None:
    """Of a member that is there, and of a static one that returns; the same vote moves nothing."""
    bench = GroupBench()
    bench.join(A, instance="one")
    bench.join(A, instance="one", assignor="range")
    assert bench.group.assignor == "range"
    epoch = bench.group.epoch
    bench.join(A, instance="one", assignor="range")
    assert bench.group.epoch == epoch
    bench.join(B, instance="one", assignor="sticky")
    assert bench.group.assignor == "sticky"


def test_a_target_names_only_members_for_whom_it_changed() -> None:
    """Ten members, a newcomer takes one partition from one of them: two are named."""
    bench = GroupBench()
    bench.catalog = catalog(orders=12)
    bench.settled(*(MemberId(f"m{n:02}") for n in range(10)))
    size = len(bench.log.log)
    bench.join(MemberId("new"))
    written = [bench.log.machine.decode(data) for data in bench.log.log[size:]]
    (target,) = [record for record in written if isinstance(record, TargetAssigned)]
    assert len(target.changes) == 2


def test_only_the_newest_causes_are_remembered() -> None:
    """At most RECENT_REBALANCES_MAX, the newest last, with whom they are about."""
    bench = GroupBench().settled(A)
    for number in range(RECENT_REBALANCES_MAX):
        bench.join(MemberId(f"m{number}"))
    rebalances = bench.group.rebalances
    assert len(rebalances) == RECENT_REBALANCES_MAX
    last = rebalances[-1]
    assert (last.cause, last.member_id) == (Cause.MEMBER_JOINED, f"m{RECENT_REBALANCES_MAX - 1}")
    assert last.epoch == bench.group.epoch
    assert last.detail == f"client {last.member_id}"
