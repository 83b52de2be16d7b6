"""What the groups of one coordinator are at one offset of its log.

Values are frozen; a change makes a new one that shares all it did not touch. Groups lie in buckets,
so that a commit copies some 40 entries and not 10,000.

Invariant: a partition of a group has at most one owner; `owners` is the inverse of what all
members own, `wanted_by` of their targets, `instances` of their instance ids.
Invariant: a member owns a partition either to read (`owned`) or to give up (`revoking`).
Invariant: what a member reads is in its target; a member with something to give up is given
nothing; a free partition in the target of a member with nothing to give up is granted to it in the
same decision.
Invariant: granted epoch <= member epoch <= target epoch = group epoch while there are members.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from consumer_groups.records import Cause
from consumer_groups.types import (
    NO_EPOCH,
    Commit,
    Epoch,
    GroupName,
    InstanceId,
    MemberId,
    MemberInfo,
    PartitionNumber,
    TopicId,
    TopicPartition,
    TopicView,
)

BUCKETS: Final = 256


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a group."""

    info: MemberInfo
    joined_epoch: Epoch
    """Its place in the order of members."""
    joined_at_ms: int
    epoch: Epoch = NO_EPOCH
    """The epoch at which its ownership last changed by a grant or by the end of a revocation."""
    target: tuple[TopicPartition, ...] = ()
    """What it shall own, ascending."""
    owned: Mapping[TopicPartition, Epoch] = field(default_factory=dict)
    """What it may read, with the epoch of the grant."""
    revoking: Mapping[TopicPartition, Epoch] = field(default_factory=dict)
    """What it was asked to give up and may still commit."""

    @property
    def stable(self) -> bool:
        """It owns its target and nothing else."""
        return not self.revoking and len(self.owned) == len(self.target)


@dataclass(frozen=True, slots=True)
class Rebalance:
    """Why the group's epoch moved."""

    epoch: Epoch
    cause: Cause
    at_ms: int
    member_id: MemberId
    detail: str


@dataclass(frozen=True, slots=True)
class Group:
    """One consumer group; see the module's invariants."""

    name: GroupName
    epoch: Epoch
    target_epoch: Epoch
    assignor: str = ""
    """That made the target; empty: none yet."""
    catalog_version: int = 0
    """Highest version of the catalog that the group was resolved against."""
    topics: Mapping[TopicId, TopicView] = field(default_factory=dict)
    """All that members subscribe to."""
    patterns: Mapping[str, tuple[TopicId, ...]] = field(default_factory=dict)
    """What the members' patterns match."""
    members: Mapping[MemberId, Member] = field(default_factory=dict)
    instances: Mapping[InstanceId, MemberId] = field(default_factory=dict)
    wanted_by: Mapping[TopicPartition, MemberId] = field(default_factory=dict)
    owners: Mapping[TopicPartition, MemberId] = field(default_factory=dict)
    commits: Mapping[TopicId, Mapping[PartitionNumber, Commit]] = field(default_factory=dict)
    commit_count: int = 0
    rebalances: tuple[Rebalance, ...] = ()
    """The newest last; at most RECENT_REBALANCES_MAX."""
    empty_since_ms: int = 0
    """When the last member went, or the group was made; 0 while it has members."""

    def commit_of(self, partition: TopicPartition) -> Commit | None:
        """The position committed last."""
        commits = self.commits.get(partition[0])
        return commits.get(partition[1]) if commits is not None else None

    def in_order(self) -> list[Member]:
        """Members in the order in which they joined."""
        return sorted(self.members.values(), key=lambda m: (m.joined_epoch, m.info.member_id))


class Groups(Mapping[GroupName, Group]):
    """Groups by name: a mapping that is changed by making another."""

    __slots__ = ("_buckets", "_size")

    def __init__(
        self,
        buckets: tuple[dict[GroupName, Group], ...] | None = None,
        size: int = 0,
    ) -> None:
        self._buckets = buckets if buckets is not None else tuple({} for _ in range(BUCKETS))
        self._size = size

    @classmethod
    def of(cls, groups: Iterable[Group]) -> Groups:
        """From its groups, each name once."""
        buckets: tuple[dict[GroupName, Group], ...] = tuple({} for _ in range(BUCKETS))
        for group in groups:
            buckets[_bucket(group.name)][group.name] = group
        return cls(buckets, sum(len(bucket) for bucket in buckets))

    def __getitem__(self, name: GroupName) -> Group:
        return self._buckets[_bucket(name)][name]

    def __iter__(self) -> Iterator[GroupName]:
        for bucket in self._buckets:
            yield from bucket

    def __len__(self) -> int:
        return self._size

    def put(self, group: Group) -> Groups:
        """With this group, new or instead of the one of its name."""
        place = _bucket(group.name)
        bucket = dict(self._buckets[place])
        bucket[group.name] = group
        return self._changed(place, bucket)

    def without(self, name: GroupName) -> Groups:
        """Without the group of this name."""
        place = _bucket(name)
        bucket = {key: group for key, group in self._buckets[place].items() if key != name}
        return self._changed(place, bucket)

    def _changed(self, place: int, bucket: dict[GroupName, Group]) -> Groups:
        buckets = (*self._buckets[:place], bucket, *self._buckets[place + 1 :])
        return Groups(buckets, self._size + len(bucket) - len(self._buckets[place]))


def _bucket(name: GroupName) -> int:
    return zlib.crc32(name.encode()) % BUCKETS


@dataclass(frozen=True, slots=True)
class CoordinatorState:
    """Everything."""

    groups: Groups = field(default_factory=Groups)
    epoch_floor: Epoch = NO_EPOCH
    """Highest epoch of any deleted group: new groups begin there, so that a member of a group that
    was deleted and made again is fenced by its epoch."""
    commit_count: int = 0
    """Positions of all groups."""
