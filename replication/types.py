"""The words of replication: identities, positions and memberships.

Offsets are positions in one group's log. A batch (one Raft entry) takes one offset for each of
its records, so ends are exclusive everywhere: an empty log that starts at 0 ends at 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

NodeId = NewType("NodeId", int)
"""A node of the cluster, 1 to 2^31-1, chosen by the operator."""

ReplicaId = NewType("ReplicaId", int)
"""One replica within its group, from 1; never reused."""

GroupId = NewType("GroupId", int)
"""One Raft group, 0 (metadata) to 2^63-1; never reused."""

Term = NewType("Term", int)
"""A Raft term, from 1; 0 stands for "before the first"."""

Offset = NewType("Offset", int)
"""A position in a group's log, from 0."""

WriteSequence = NewType("WriteSequence", int)
"""Counts the writes of one group's log since the process started, from 1.

Durability is a prefix: when n is durable, so is every write below it.
"""

DirectoryId = NewType("DirectoryId", int)
"""Identity of a data directory: 128 random bits, made when the directory was formatted."""

METADATA_GROUP = GroupId(0)
NO_TERM = Term(0)


@dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """The end of a prefix of a log, ordered as Raft's election restriction orders logs.

    Invariant: two logs of one group that hold an entry ending at the same position are equal up
    to there (log matching).
    """

    term: Term
    """Term of the last entry below `end`; 0 for an empty log."""
    end: Offset
    """Exclusive."""


@dataclass(frozen=True, slots=True)
class HardState:
    """What a replica must never forget: fsynced before any reply that depends on it."""

    term: Term
    vote: ReplicaId | None


@dataclass(frozen=True, slots=True, order=True)
class Replica:
    """A replica and the place that holds it."""

    replica_id: ReplicaId
    node_id: NodeId
    directory_id: DirectoryId


@dataclass(frozen=True, slots=True)
class Membership:
    """The members of a group; joint while `old_voters` is not empty (Raft thesis section 4.3).

    Invariant: tuples are sorted by replica id, and a replica is a voter or a learner, not both
    (an old voter may be a learner of the new configuration).
    """

    voters: tuple[Replica, ...]
    old_voters: tuple[Replica, ...] = ()
    learners: tuple[Replica, ...] = ()
    version: int = 0
    """Of the wish that this configuration serves, as its owner counts them: a leader that knows
    only an older wish can not undo what a newer one led to."""

    @property
    def joint(self) -> bool:
        """Two configurations are in force; decisions need a majority of each."""
        return bool(self.old_voters)

    def replicas(self) -> tuple[Replica, ...]:
        """All members once, by replica id."""
        every = {r.replica_id: r for r in (*self.learners, *self.old_voters, *self.voters)}
        return tuple(every[key] for key in sorted(every))

    def is_voter(self, replica_id: ReplicaId) -> bool:
        """The replica votes in at least one of the configurations in force."""
        return any(r.replica_id == replica_id for r in (*self.voters, *self.old_voters))

    def find(self, replica_id: ReplicaId) -> Replica | None:
        """The member of that id, or None."""
        for replica in (*self.voters, *self.old_voters, *self.learners):
            if replica.replica_id == replica_id:
                return replica
        return None


@dataclass(frozen=True, slots=True)
class GroupCreation:
    """The birth of a group on a node: journalled once, before the replica's first vote."""

    group_id: GroupId
    membership: Membership
    local_replica_id: ReplicaId
    kind: str
    """What is built on the log: "metadata" or "partition"."""
    topic_id: int = 0
    partition: int = 0
    freed_by_snapshots: bool = False
    """Snapshots of what is built on the log free it, on each replica for itself: it may begin
    anywhere up to the newest one's end, and without that is not whole. The log of records begins
    where the group has agreed to."""


@dataclass(frozen=True, slots=True)
class EntryMeta:
    """What replication needs to know of one entry; its bytes stay with the log.

    `membership` and `log_start` are set for the control entries of that kind.
    """

    base: Offset
    end: Offset
    term: Term
    size_bytes: int
    control: bool = False
    membership: Membership | None = None
    log_start: Offset | None = None


def halves(identity: int) -> tuple[int, int]:
    """A 128-bit identity as high and low half: as messages and files have it."""
    return identity >> 64, identity & (1 << 64) - 1


def whole(high: int, low: int) -> int:
    """The inverse of `halves`."""
    return high << 64 | low
