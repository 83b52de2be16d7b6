"""What a replica wants done: the output of `RaftReplica.step`, carried out in order.

Effects that write carry a WriteSequence the core assigns (1, 2, 3 ... in the order of the
effects); messages carry the write they must wait for. AppendEntries never waits; votes, append
replies and the leader's own acknowledgement do (the core counts its own copy only at
WriteCompleted).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from replication.raft.messages import Message
from replication.types import (
    HardState,
    LogPosition,
    Membership,
    Offset,
    ReplicaId,
    Term,
    WriteSequence,
)


class Role(Enum):
    """What a replica is in its term."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True)
class LeaderNoOp:
    """First entry of a leader's term (section 6.4)."""


@dataclass(frozen=True, slots=True)
class LogStartMoved:
    """The log begins at `start` from the moment this commits."""

    start: Offset


ControlBody = LeaderNoOp | Membership | LogStartMoved
"""Bodies of control entries; each takes one offset."""


@dataclass(frozen=True, slots=True)
class PersistHardState:
    """Make term and vote durable."""

    write: WriteSequence
    state: HardState


@dataclass(frozen=True, slots=True)
class AppendProposal:
    """Append the proposed entry at [base, end) in `term`."""

    write: WriteSequence
    token: int
    base: Offset
    end: Offset
    term: Term


@dataclass(frozen=True, slots=True)
class AppendControl:
    """Frame and append a control entry at [base, base + 1) in `term`."""

    write: WriteSequence
    base: Offset
    term: Term
    body: ControlBody


@dataclass(frozen=True, slots=True)
class AppendReceived:
    """Append the entries of the AppendEntries just stepped, from index `first` on."""

    write: WriteSequence
    first: int


@dataclass(frozen=True, slots=True)
class TruncateLog:
    """Remove everything at and above `end`; always above the commit."""

    write: WriteSequence
    end: Offset


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message once write `after` is durable (0: at once)."""

    message: Message
    after: WriteSequence


@dataclass(frozen=True, slots=True)
class SendEntries:
    """Send the log from `previous` on, whole entries, at most `max_bytes` but at least one.

    The driver reads them (at once or later) and answers EntriesSent. One is outstanding per peer.
    """

    to: ReplicaId
    previous: LogPosition
    max_bytes: int


@dataclass(frozen=True, slots=True)
class BeginInstall:
    """Copy the committed log to the peer over the bulk stream, then InstallSucceeded/Failed."""

    to: ReplicaId


@dataclass(frozen=True, slots=True)
class CommitAdvanced:
    """Everything below `end` is committed."""

    end: Offset


@dataclass(frozen=True, slots=True)
class LogStartCommitted:
    """A control entry that moves the log's start is committed: files below may go."""

    start: Offset


@dataclass(frozen=True, slots=True)
class NotifyCommit:
    """Followers do not know the commit yet: step CommitFlush within a few milliseconds."""


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """Role, term or known leader changed."""

    role: Role
    term: Term
    leader: ReplicaId | None


@dataclass(frozen=True, slots=True)
class LeadershipEstablished:
    """An entry of the leader's own term is committed: its commit is now the group's."""

    term: Term


@dataclass(frozen=True, slots=True)
class MembershipChanged:
    """The configuration in force (from append on, section 4.1) changed, or became committed."""

    membership: Membership
    committed: bool


@dataclass(frozen=True, slots=True)
class MembershipChangeRejected:
    """ChangeMembership was not taken up."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReadReady:
    """Reads of `context` may be served once `commit_end` is applied."""

    context: int
    commit_end: Offset


@dataclass(frozen=True, slots=True)
class ReadRefused:
    """Not the leader (any more): ask elsewhere."""

    context: int


Effect = (
    PersistHardState
    | AppendProposal
    | AppendControl
    | AppendReceived
    | TruncateLog
    | Send
    | SendEntries
    | BeginInstall
    | CommitAdvanced
    | LogStartCommitted
    | NotifyCommit
    | RoleChanged
    | LeadershipEstablished
    | MembershipChanged
    | MembershipChangeRejected
    | ReadReady
    | ReadRefused
)
