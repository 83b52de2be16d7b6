"""Majorities: of one configuration, and of both while a joint one is in force (section 4.3)."""

from __future__ import annotations

from collections.abc import Container

from replication.errors import invariant
from replication.types import Membership, Offset, Replica


def majority_end(ends: list[Offset]) -> Offset:
    """Greatest end that a majority has reached. `ends`: one for each voter; is sorted in place."""
    invariant(ends, "a configuration has no voters")
    ends.sort()
    # The voters at and above this index are a majority: n - (n - 1) // 2 == n // 2 + 1.
    return ends[(len(ends) - 1) // 2]


def joint_end(ends: list[Offset], old_ends: list[Offset]) -> Offset:
    """Greatest end that a majority of each configuration has reached; no old one if empty."""
    end = majority_end(ends)
    return min(end, majority_end(old_ends)) if old_ends else end


def has_quorum(membership: Membership, agreeing: Container[int]) -> bool:
    """A majority of each configuration in force is in `agreeing` (replica ids)."""
    return _majority(membership.voters, agreeing) and (
        not membership.old_voters or _majority(membership.old_voters, agreeing)
    )


def _majority(voters: tuple[Replica, ...], agreeing: Container[int]) -> bool:
    return 2 * sum(voter.replica_id in agreeing for voter in voters) > len(voters)
