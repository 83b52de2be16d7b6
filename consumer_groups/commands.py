"""What is wanted of a coordinator. Times and random identities are values in the command; what
`decide` may not find out by itself (is a member connected? what topics are there?) is told by the
caller.

`now_ms` is the leader's wall clock, Unix milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from consumer_groups.types import (
    NO_EPOCH,
    Epoch,
    GroupName,
    MemberId,
    MemberInfo,
    Position,
    TopicCatalog,
    TopicPartition,
)


class OffsetToCommit(NamedTuple):
    """A position to be committed; the fields are those of Commit."""

    partition: TopicPartition
    offset: Position
    leader_term: int = 0
    metadata: str = ""


class ExpiryCause(Enum):
    """Why a member is to be removed against its will."""

    SESSION = "session"
    """Nothing was heard of it within its session timeout."""
    REBALANCE = "rebalance"
    """It did not acknowledge a revocation within its rebalance timeout."""
    NO_PROGRESS = "no progress"
    """It is alive and handles nothing; only where the operator asked for it."""


@dataclass(frozen=True, slots=True)
class Join:
    """A member joins, comes back after a broken stream, or changes its subscription.

    `member_epoch` 0: it holds nothing. Otherwise it is the epoch it has seen, and it goes on with
    what it holds; such a member must be known. Sent twice it is answered twice and done once.
    """

    group: GroupName
    member: MemberInfo
    catalog: TopicCatalog
    now_ms: int
    member_epoch: Epoch = NO_EPOCH
    holder_connected: bool = False
    """The member that holds `member.instance_id` has a stream to this coordinator."""


@dataclass(frozen=True, slots=True)
class AcknowledgeRevocation:
    """The member has stopped reading `revoked` and committed what it wanted to."""

    group: GroupName
    member_id: MemberId
    member_epoch: Epoch
    """As told with the revocation."""
    revoked: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """The member goes for good, now. A static member that will be back just goes instead."""

    group: GroupName
    member_id: MemberId
    now_ms: int


@dataclass(frozen=True, slots=True)
class ExpireMember:
    """The caller's timer for a member ran out.

    Nothing happens when the timer is out of date: for REBALANCE, when the member no longer has a
    revocation to acknowledge at `member_epoch`; otherwise, when it joined after that epoch.
    """

    group: GroupName
    member_id: MemberId
    member_epoch: Epoch
    """Of the member when the timer was started."""
    cause: ExpiryCause
    now_ms: int


@dataclass(frozen=True, slots=True)
class TopicsChanged:
    """Topics were created, deleted, or got partitions. One command a group:
    `queries.groups_to_refresh` says which."""

    group: GroupName
    catalog: TopicCatalog
    now_ms: int


@dataclass(frozen=True, slots=True)
class CommitOffsets:
    """A member commits: all of it, or nothing."""

    group: GroupName
    member_id: MemberId
    member_epoch: Epoch
    offsets: tuple[OffsetToCommit, ...]
    now_ms: int


@dataclass(frozen=True, slots=True)
class StoreOffsets:
    """Somebody commits who is no member: who assigns partitions by hand, or an operator. Only
    while the group has no members. Makes the group when it is not there."""

    group: GroupName
    offsets: tuple[OffsetToCommit, ...]
    catalog: TopicCatalog
    now_ms: int


@dataclass(frozen=True, slots=True)
class ResetOffsets:
    """Positions shall be these, whether anybody reads or not. The caller has made offsets of what
    the operator said (earliest, a time, a shift)."""

    group: GroupName
    offsets: tuple[OffsetToCommit, ...]
    catalog: TopicCatalog
    now_ms: int


@dataclass(frozen=True, slots=True)
class DeleteOffsets:
    """Committed positions shall go. Refused for topics that members subscribe to."""

    group: GroupName
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class ExpireOffsets:
    """Forget positions of a group that has been without members, and these without a change, for
    `retention_ms`. A group of which nothing remains goes too. A live group is left alone."""

    group: GroupName
    retention_ms: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class DeleteGroup:
    """A group without members shall go, with its positions."""

    group: GroupName


Command = (
    Join
    | AcknowledgeRevocation
    | Leave
    | ExpireMember
    | TopicsChanged
    | CommitOffsets
    | StoreOffsets
    | ResetOffsets
    | DeleteOffsets
    | ExpireOffsets
    | DeleteGroup
)
