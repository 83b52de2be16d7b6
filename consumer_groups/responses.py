"""What commands are answered with: what the caller tells its client, and pushes to others at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from consumer_groups.types import (
    NO_EPOCH,
    NOBODY,
    Commit,
    Epoch,
    GroupName,
    MemberId,
    TopicPartition,
)


class Grant(NamedTuple):
    """A partition that a member owns."""

    partition: TopicPartition
    epoch: Epoch
    """Of the grant. A partition that a member holds under another epoch was lost and given anew:
    it drops its position and begins at `commit`."""
    commit: Commit | None
    """The position committed last; None: none yet."""


@dataclass(frozen=True, slots=True)
class MemberAssignment:
    """All that a member owns now. What it holds beyond this was lost: it drops it at once, without
    a commit."""

    group: GroupName
    member_id: MemberId
    member_epoch: Epoch
    group_epoch: Epoch
    assigned: tuple[Grant, ...]
    """To read. Ascending."""
    revoking: tuple[TopicPartition, ...]
    """To give up: stop, commit, acknowledge. Ascending."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change of membership, topics or positions means for others."""

    group: GroupName
    group_epoch: Epoch
    pushes: tuple[MemberAssignment, ...] = ()
    """Assignments that changed, by member id."""
    removed: tuple[MemberId, ...] = ()
    """Members that are gone: their streams end with UNKNOWN_MEMBER."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Answer to Join."""

    assignment: MemberAssignment
    changed: Changed
    """`pushes` are for others only."""
    resumed: bool
    """The member was there before."""
    replaced: MemberId = NOBODY
    """Whom a static member took over from."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Answer to AcknowledgeRevocation."""

    assignment: MemberAssignment
    """What the member owns now."""
    changed: Changed
    """`pushes` are for others only."""


@dataclass(frozen=True, slots=True)
class Expired:
    """Answer to ExpireMember."""

    expired: bool
    """False: the timer was out of date, or the member is gone."""
    changed: Changed
    member_epoch: Epoch = NO_EPOCH
    """Of the member that stays; 0: it is gone."""


@dataclass(frozen=True, slots=True)
class OffsetsStored:
    """Answer to CommitOffsets and StoreOffsets: they are committed."""

    group: GroupName
    count: int


@dataclass(frozen=True, slots=True)
class OffsetsRemoved:
    """Answer to DeleteOffsets, ExpireOffsets and DeleteGroup."""

    group: GroupName
    count: int
    """Positions that went."""
    group_deleted: bool = False


Response = Changed | Joined | Acknowledged | Expired | OffsetsStored | OffsetsRemoved
