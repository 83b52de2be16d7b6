"""What came to be: the records of a partition of `__consumer_offsets`.

Records are facts. Whoever is given what is decided once and written down; replay does not compute
assignments, so another version's assignor can not make replicas differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from consumer_groups.commands import OffsetToCommit
from consumer_groups.types import (
    NOBODY,
    Epoch,
    GroupName,
    MemberId,
    MemberInfo,
    TopicId,
    TopicPartition,
    TopicView,
)


class Cause(Enum):
    """Why a group's epoch moved. The numbers are the wire's."""

    MEMBER_JOINED = 1
    MEMBER_RETURNED = 2
    """A static member under a new member id."""
    SUBSCRIPTION_CHANGED = 3
    MEMBER_LEFT = 4
    SESSION_EXPIRED = 5
    REBALANCE_TIMED_OUT = 6
    NO_PROGRESS = 7
    TOPICS_CHANGED = 8
    OFFSETS_RESET = 9


class Forgotten(Enum):
    """Why positions went. The numbers are the wire's."""

    DELETED = 1
    EXPIRED = 2
    TOPIC_DELETED = 3


@dataclass(frozen=True, slots=True)
class GroupCreated:
    """A group exists from now on; its epoch begins above all that groups before it had."""

    group: GroupName
    epoch: Epoch
    at_ms: int


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """A member is there, or what it says of itself changed. It owns nothing yet, or what it
    owned."""

    group: GroupName
    member: MemberInfo
    joined_epoch: Epoch
    """Its place in the order of members; one that `replaces` another has that one's."""
    joined_at_ms: int
    replaces: MemberId = NOBODY
    """This member is gone, what it owned is free, and its target is the new member's."""


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """A member is gone; what it owned is free."""

    group: GroupName
    member_id: MemberId
    at_ms: int


@dataclass(frozen=True, slots=True)
class EpochBumped:
    """The group's epoch is this, for this cause."""

    group: GroupName
    epoch: Epoch
    cause: Cause
    at_ms: int
    member_id: MemberId = NOBODY
    """Whom it is about; empty: nobody."""
    detail: str = ""
    """For people."""


@dataclass(frozen=True, slots=True)
class PatternMatches:
    """Topics that a pattern matches now."""

    pattern: str
    topic_ids: tuple[TopicId, ...]


@dataclass(frozen=True, slots=True)
class TopicsResolved:
    """The topics that the members' subscriptions come to, as of a version of the catalog."""

    group: GroupName
    catalog_version: int
    topics: tuple[TopicView, ...]
    """By id, ascending."""
    patterns: tuple[PatternMatches, ...]
    """By pattern, ascending."""


@dataclass(frozen=True, slots=True)
class MemberTarget:
    """What a member shall own."""

    member_id: MemberId
    partitions: tuple[TopicPartition, ...]
    """Ascending."""


@dataclass(frozen=True, slots=True)
class TargetAssigned:
    """Who shall own what, at the group's epoch; members that are not named keep their target."""

    group: GroupName
    epoch: Epoch
    assignor: str
    changes: tuple[MemberTarget, ...]


@dataclass(frozen=True, slots=True)
class MemberReconciled:
    """What of a member's ownership changed."""

    member_id: MemberId
    epoch: Epoch
    """The member's, and that of its new grants."""
    granted: tuple[TopicPartition, ...] = ()
    revoking: tuple[TopicPartition, ...] = ()
    """It is asked to give them up, and owns them until it has."""
    released: tuple[TopicPartition, ...] = ()
    """It has given them up."""


@dataclass(frozen=True, slots=True)
class MembersReconciled:
    """Members came closer to their targets."""

    group: GroupName
    changes: tuple[MemberReconciled, ...]


@dataclass(frozen=True, slots=True)
class PartitionsFenced:
    """Nobody owns these any more, whoever did; commits from before are refused."""

    group: GroupName
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class OffsetsCommitted:
    """Positions."""

    group: GroupName
    at_ms: int
    offsets: tuple[OffsetToCommit, ...]
    """By partition, ascending, each once."""
    catalog_version: int = 0
    """Of the catalog that these topics were looked up in; 0: the group's own."""


@dataclass(frozen=True, slots=True)
class OffsetsForgotten:
    """There are no positions of these partitions any more."""

    group: GroupName
    partitions: tuple[TopicPartition, ...]
    why: Forgotten


@dataclass(frozen=True, slots=True)
class GroupDeleted:
    """A group and its positions are gone."""

    group: GroupName


Record = (
    GroupCreated
    | MemberJoined
    | MemberRemoved
    | EpochBumped
    | TopicsResolved
    | TargetAssigned
    | MembersReconciled
    | PartitionsFenced
    | OffsetsCommitted
    | OffsetsForgotten
    | GroupDeleted
)
