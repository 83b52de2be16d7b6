"""What replicas of one group say to each other, without the bytes of entries.

The wire forms are in proto/replication/v1/peer_service.proto; `replication/transport` translates.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication.types import EntryMeta, LogPosition, Offset, ReplicaId, Term


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """RequestVote (Raft thesis section 3.4); with `pre_vote` the question of section 9.6."""

    sender: ReplicaId
    to: ReplicaId
    term: Term
    last: LogPosition
    pre_vote: bool
    leadership_transfer: bool = False


@dataclass(frozen=True, slots=True)
class VoteResponse:
    """The answer; a granted pre-vote carries the term that was asked about."""

    sender: ReplicaId
    to: ReplicaId
    term: Term
    granted: bool
    pre_vote: bool


@dataclass(frozen=True, slots=True)
class AppendEntries:
    """Entries that connect to `previous`; without entries a probe or news of the commit."""

    sender: ReplicaId
    to: ReplicaId
    term: Term
    previous: LogPosition
    commit_end: Offset
    log_start: Offset
    entries: tuple[EntryMeta, ...] = ()


@dataclass(frozen=True, slots=True)
class AppendEntriesResponse:
    """The answer; sent when the writes it speaks of are fsynced.

    accepted: `match_end` is the exclusive end up to which the follower's fsynced log is known to
    equal the leader's. refused: `hint` is where the follower's log may agree (term table),
    `refused_end` the `previous.end` that was refused; `needs_install`: copy the whole log;
    `wants_copy`: nothing was refused, but a copy of the whole log is wanted in the place of this
    one.
    """

    sender: ReplicaId
    to: ReplicaId
    term: Term
    accepted: bool
    match_end: Offset = Offset(0)
    hint: LogPosition = LogPosition(Term(0), Offset(0))
    refused_end: Offset = Offset(0)
    needs_install: bool = False
    wants_copy: bool = False


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """The leader asks the target of a transfer to campaign at once (section 3.10)."""

    sender: ReplicaId
    to: ReplicaId
    term: Term


@dataclass(frozen=True, slots=True)
class LeadershipProbe:
    """Do you still follow me? For ReadIndex (section 6.4)."""

    sender: ReplicaId
    to: ReplicaId
    term: Term
    context: int


@dataclass(frozen=True, slots=True)
class LeadershipEcho:
    """The answer, with the receiver's own term."""

    sender: ReplicaId
    to: ReplicaId
    term: Term
    context: int


Message = (
    VoteRequest
    | VoteResponse
    | AppendEntries
    | AppendEntriesResponse
    | TimeoutNow
    | LeadershipProbe
    | LeadershipEcho
)
