"""Changes of members: what is refused and why, and what is in force after a truncation."""

from __future__ import annotations

import pytest

from replication.raft.membership_change import (
    MembershipHistory,
    enter_change,
    leave_joint,
    refusal,
)
from replication.types import DirectoryId, Membership, NodeId, Offset, Replica, ReplicaId


def _replicas(*ids: int) -> tuple[Replica, ...]:
    return tuple(Replica(ReplicaId(n), NodeId(n), DirectoryId(n)) for n in ids)


THREE = Membership(_replicas(1, 2, 3), (), _replicas(4, 5))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (Membership(_replicas(1, 2), _replicas(1)), "old voters"),
        (Membership(()), "no voters"),
        (Membership(_replicas(2, 1)), "not in order"),
        (Membership(_replicas(1, 1)), "not in order"),
        (Membership(_replicas(1, 2), (), _replicas(2)), "both a voter and a learner"),
        (Membership((Replica(ReplicaId(1), NodeId(9), DirectoryId(1)),)), "never reused"),
        (Membership(_replicas(1, 2, 3, 5)), "must be a learner that follows"),
        (Membership(_replicas(1, 2, 3, 6)), "must be a learner that follows"),
        (THREE, "in force"),
    ],
)
def test_a_bad_target_is_refused_with_the_reason(target: Membership, reason: str) -> None:
    """Replica 4 follows the log, replica 5 does not yet, replica 6 is nobody."""
    said = refusal(THREE, target, [ReplicaId(2), ReplicaId(3), ReplicaId(4)])
    assert said is not None
    assert reason in said


def test_voters_change_jointly_and_learners_alone() -> None:
    """Another set of voters goes through a joint configuration and out of it; learners do not."""
    target = Membership(_replicas(1, 2, 4), (), _replicas(3))
    assert refusal(THREE, target, [ReplicaId(4)]) is None
    joint = enter_change(THREE, target)
    assert joint == Membership(target.voters, THREE.voters, target.learners)
    assert leave_joint(joint) == target
    more = Membership(THREE.voters, (), _replicas(4, 5, 6))
    assert enter_change(THREE, more) == more


def test_an_older_wish_does_not_undo_a_newer_one() -> None:
    """The version stays through the joint configuration, and what has a lower one is refused: a
    leader that has not heard of the newest wish might bring back replicas that are deleted."""
    newer = Membership(_replicas(1, 2, 4), version=2)
    joint = enter_change(THREE, newer)
    assert joint.version == 2
    assert leave_joint(joint) == newer
    older = Membership(THREE.voters, version=1)
    said = refusal(newer, older, [ReplicaId(3)])
    assert said == "version 2 is in force, 1 is older"
    assert refusal(newer, Membership(THREE.voters, version=2), [ReplicaId(3)]) is None


def test_a_truncation_takes_back_what_is_not_committed() -> None:
    """In force from append on, back with the entry, fixed by the commit."""
    joint = Membership(_replicas(1, 2, 4), THREE.voters)
    history = MembershipHistory([(Offset(0), THREE)])
    history.append(Offset(7), joint)
    assert history.current == joint
    assert history.before_current == THREE
    assert not history.settled
    assert not history.truncate(Offset(8))
    assert history.truncate(Offset(7))
    assert history.current == THREE
    history.append(Offset(7), joint)
    assert not history.commit(Offset(7))
    assert history.commit(Offset(8))
    assert history.settled
    assert history.committed == history.before_current == joint
    assert not history.truncate(Offset(0))
