"""What can happen to one replica: the input of `RaftReplica.step`.

There is no tick. The driver watches time and the liveness of nodes, and tells the core only what
follows for this group, so that an idle group runs no code.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication.raft.messages import Message
from replication.types import (
    LogPosition,
    Membership,
    Offset,
    ReplicaId,
    Term,
    WriteSequence,
)


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message for this replica. `leader_live`: the driver has heard, within the election
    timeout, from the node of the leader that this replica follows (votes are then refused,
    thesis section 4.2.3)."""

    message: Message
    leader_live: bool = False


@dataclass(frozen=True, slots=True)
class ElectionTimeout:
    """No leader was heard for a (randomised) election timeout."""


@dataclass(frozen=True, slots=True)
class LeaderHeard:
    """A node heartbeat names `leader` as leading this group in `term`."""

    leader: ReplicaId
    term: Term


@dataclass(frozen=True, slots=True)
class HigherTermSeen:
    """A peer refused a heartbeat because its replica is in a later term."""

    term: Term


@dataclass(frozen=True, slots=True)
class LivePeersChanged:
    """Replicas (without the local one) whose nodes answered within the election timeout.

    A leader without a quorum of them steps down (CheckQuorum, section 6.2); one that came back
    is sent what it lacks.
    """

    live: frozenset[ReplicaId]


@dataclass(frozen=True, slots=True)
class WriteCompleted:
    """This write, and every earlier one of the group, is durable."""

    write: WriteSequence


@dataclass(frozen=True, slots=True)
class Propose:
    """A leader's client wants an entry of `span` offsets appended. The driver asks only a leader.

    `token` comes back in AppendProposal, at once.
    """

    token: int
    span: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ProposeLogStart:
    """Move the log's start by a committed control entry; at or below the commit."""

    start: Offset


@dataclass(frozen=True, slots=True)
class EntriesSent:
    """The driver carried out SendEntries: everything in [previous.end, end) is on its way.

    `last` is the position after the last entry sent; equal to `previous` when nothing was there.
    """

    to: ReplicaId
    previous: LogPosition
    last: LogPosition
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The append stream to the peer broke: what was in flight may be lost."""

    peer: ReplicaId


@dataclass(frozen=True, slots=True)
class CommitFlush:
    """The driver's moment (a few ms after NotifyCommit) to tell followers of the commit."""


@dataclass(frozen=True, slots=True)
class ReadRequested:
    """A linearizable read: answer ReadReady when leadership is confirmed."""

    context: int


@dataclass(frozen=True, slots=True)
class TransferLeadership:
    """Hand leadership over to this voter."""

    to: ReplicaId


@dataclass(frozen=True, slots=True)
class TransferExpired:
    """The transfer took longer than an election timeout: take proposals again."""


@dataclass(frozen=True, slots=True)
class ChangeMembership:
    """Bring the group to these voters and learners, through a joint configuration if voters
    change; refused while another change is under way, or before an entry of the term committed."""

    target: Membership
    """`old_voters` empty."""


@dataclass(frozen=True, slots=True)
class ForceMembership:
    """The majority is gone for good, says an operator: go on with these members as the only
    voters, and with this replica's log, in a new era (`eras`). What the lost majority had beyond
    it is lost. MembershipChangeRejected when this replica can not."""

    survivors: tuple[ReplicaId, ...]
    """This replica among them; the others' logs should not hold more."""


@dataclass(frozen=True, slots=True)
class LeaderAnnounced:
    """Some node says that it leads the group in `term`: when that is of a later era, the group
    went on without what this replica lacks."""

    term: Term


@dataclass(frozen=True, slots=True)
class InstallSucceeded:
    """The peer holds a copy of the committed log up to `end`, fsynced."""

    peer: ReplicaId
    end: LogPosition


@dataclass(frozen=True, slots=True)
class InstallFailed:
    """The copy did not get through; begin again when the peer answers."""

    peer: ReplicaId


@dataclass(frozen=True, slots=True)
class LogInstalled:
    """This replica's log was replaced by a durable copy of committed bytes."""

    start: LogPosition
    end: LogPosition
    terms: tuple[tuple[Term, Offset], ...]
    memberships: tuple[tuple[Offset, Membership], ...]
    log_starts: tuple[tuple[Offset, Offset], ...] = ()
    """(offset of the entry, start) of the entries that move its start; committed, as all of it."""


@dataclass(frozen=True, slots=True)
class CopyWanted:
    """Part of this replica's log is damaged, and the others have let theirs go: ask the leader for
    a whole copy. Nothing of what the replica promised is in doubt: it goes on meanwhile."""


@dataclass(frozen=True, slots=True)
class LogReleased:
    """A state machine's snapshot covers the log below `start`; it was trimmed locally."""

    start: LogPosition


Event = (
    MessageReceived
    | ElectionTimeout
    | LeaderHeard
    | HigherTermSeen
    | LivePeersChanged
    | WriteCompleted
    | Propose
    | ProposeLogStart
    | EntriesSent
    | PeerDisconnected
    | CommitFlush
    | ReadRequested
    | TransferLeadership
    | TransferExpired
    | ChangeMembership
    | ForceMembership
    | LeaderAnnounced
    | InstallSucceeded
    | InstallFailed
    | LogInstalled
    | CopyWanted
    | LogReleased
)
