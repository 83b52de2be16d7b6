"""Majorities against a dumb twin that counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from replication.raft.quorum import has_quorum, joint_end, majority_end
from replication.types import DirectoryId, Membership, NodeId, Offset, Replica, ReplicaId

ENDS = st.lists(st.integers(0, 9).map(Offset), min_size=1, max_size=7)
IDS = st.sets(st.integers(1, 7), min_size=1)


def counted_end(*configurations: list[Offset]) -> Offset:
    """Try every end, and count who has reached it."""
    reached = [
        end
        for end in range(10)
        if all(2 * sum(e >= end for e in ends) > len(ends) for ends in configurations)
    ]
    return Offset(max(reached))


def _replicas(ids: set[int]) -> tuple[Replica, ...]:
    return tuple(Replica(ReplicaId(n), NodeId(n), DirectoryId(n)) for n in sorted(ids))


@given(ENDS)
def test_a_majority_has_reached_the_end(ends: list[Offset]) -> None:
    """The sorted index is the counted end, for even and odd numbers of voters."""
    assert majority_end(list(ends)) == counted_end(ends)


@given(ENDS, ENDS)
def test_a_joint_end_needs_both_majorities(ends: list[Offset], old_ends: list[Offset]) -> None:
    """Neither configuration decides alone; without an old one the new one does."""
    assert joint_end(list(ends), list(old_ends)) == counted_end(ends, old_ends)
    assert joint_end(list(ends), []) == counted_end(ends)


@given(IDS, IDS, st.booleans(), st.sets(st.integers(1, 7)))
def test_any_two_quorums_share_a_replica(
    voters: set[int], old: set[int], joint: bool, agreeing: set[int]
) -> None:
    """A set and its complement are never both quorums; everybody is one, nobody is none."""
    membership = Membership(_replicas(voters), _replicas(old) if joint else ())
    everybody = voters | old
    assert has_quorum(membership, everybody)
    assert not has_quorum(membership, set[int]())
    assert not (has_quorum(membership, agreeing) and has_quorum(membership, everybody - agreeing))
