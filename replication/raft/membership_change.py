"""Changes of the members: copy, validate, return; and which configuration is in force.

A configuration is in force from the moment its entry is appended, committed or not (Raft thesis
section 4.1), so a truncation may take it back. Voters change through a joint configuration
(section 4.3), never directly; learners (section 4.2.1) come and go with a single entry. Voters
come from learners that follow the log, so that a change does not cost the group its quorum.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from replication.errors import invariant
from replication.types import Membership, Offset, ReplicaId


def refusal(current: Membership, target: Membership, following: Container[ReplicaId]) -> str | None:
    """Why the change may not be; None when it may.

    Args:
        current: in force and committed.
        target: wanted; `old_voters` must be empty.
        following: replicas whose logs follow the leader's.
    """
    if target.old_voters:
        return "the target names old voters"
    if not target.voters:
        return "the target has no voters"
    if target.version < current.version:
        return f"version {current.version} is in force, {target.version} is older"
    for what, members in (("voters", target.voters), ("learners", target.learners)):
        ids = [member.replica_id for member in members]
        if ids != sorted(set(ids)):
            return f"the target's {what} are not in order, or one is twice there: {ids}"
    for learner in target.learners:
        if any(voter.replica_id == learner.replica_id for voter in target.voters):
            return f"replica {learner.replica_id} is both a voter and a learner"
    for member in (*target.voters, *target.learners):
        known = current.find(member.replica_id)
        if known is not None and known != member:
            return f"replica {member.replica_id} is {known}, not {member}: ids are never reused"
    for voter in target.voters:
        if not current.is_voter(voter.replica_id) and voter.replica_id not in following:
            return f"replica {voter.replica_id} must be a learner that follows the log first"
    if target == current:
        return "the target is in force"
    return None


def enter_change(current: Membership, target: Membership) -> Membership:
    """The configuration to append first: joint when the voters change, else the target."""
    if target.voters == current.voters:
        return target
    return Membership(target.voters, current.voters, target.learners, target.version)


def leave_joint(joint: Membership) -> Membership:
    """The configuration that ends a joint one."""
    invariant(joint.joint, "a configuration to leave is not joint", membership=joint)
    return Membership(joint.voters, (), joint.learners, joint.version)


class MembershipHistory:
    """The committed configuration, then those appended since, by the offset of their entries.

    Invariant: never empty; offsets ascend; all but the first may yet be taken back.
    """

    __slots__ = ("_history", "current")

    def __init__(self, memberships: Iterable[tuple[Offset, Membership]]) -> None:
        self._history = list(memberships)
        invariant(self._history, "a log has no membership")
        self.current = self._history[-1][1]
        """In force."""

    @property
    def settled(self) -> bool:
        """The configuration in force is committed."""
        return len(self._history) == 1

    @property
    def before_current(self) -> Membership:
        """The one that the configuration in force replaces, while that may be taken back; the one
        in force itself when it is committed."""
        return self._history[-2][1] if len(self._history) > 1 else self.current

    def append(self, offset: Offset, membership: Membership) -> None:
        """An entry at `offset` puts `membership` in force."""
        self._history.append((offset, membership))
        self.current = membership

    def truncate(self, cut: Offset) -> bool:
        """Entries at and above `cut` are gone; True when another configuration is in force."""
        before = len(self._history)
        while len(self._history) > 1 and self._history[-1][0] >= cut:
            self._history.pop()
        self.current = self._history[-1][1]
        return len(self._history) < before

    def commit(self, end: Offset) -> bool:
        """Everything below `end` is committed; True when that newly includes a configuration."""
        history = self._history
        before = len(history)
        while len(history) > 1 and history[1][0] < end:
            del history[0]
        return len(history) < before

    @property
    def committed(self) -> Membership:
        """The newest configuration that is known to be committed."""
        return self._history[0][1]
