"""The vocabulary of consumer groups: identities, epochs, partitions, what is known of topics.

The package knows neither the log nor the cluster: topics come in as values (`TopicCatalog`), times
as Unix milliseconds, offsets as plain positions in somebody else's log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, NewType

GroupName = NewType("GroupName", str)
MemberId = NewType("MemberId", str)
"""Drawn at random by whoever joins; one for each life of a consumer."""
InstanceId = NewType("InstanceId", str)
"""Given by the operator to a static member; survives its restarts. Empty: a dynamic member."""
TopicId = NewType("TopicId", int)
"""Never reused: a topic that was deleted and created again is another one."""
PartitionNumber = NewType("PartitionNumber", int)
Epoch = NewType("Epoch", int)
"""Counts the changes of a group, from 1. Group, target and member epochs are on one scale;
0 is before everything."""
Position = NewType("Position", int)
"""An offset in a partition: the next record to read. 0 or more."""

NO_EPOCH = Epoch(0)
NOBODY = MemberId("")


class TopicPartition(NamedTuple):
    """One partition. A tuple, because assignors make thousands of them."""

    topic_id: TopicId
    partition: PartitionNumber


class Commit(NamedTuple):
    """A committed position."""

    offset: Position
    """The next record to read, not the last one read."""
    leader_term: int
    """Term of the record before it, as the committer saw it; 0: not told."""
    metadata: str
    """Whatever the committer noted, at most 4 KiB of UTF-8."""
    committed_at_ms: int


@dataclass(frozen=True, slots=True)
class TopicView:
    """What a group needs to know of a topic."""

    topic_id: TopicId
    name: str
    partition_count: int

    def partitions(self) -> Iterable[TopicPartition]:
        """All of them, ascending."""
        topic_id = self.topic_id
        return (TopicPartition(topic_id, PartitionNumber(n)) for n in range(self.partition_count))


@dataclass(frozen=True, slots=True)
class TopicCatalog:
    """All topics of the cluster, as of one moment of its metadata.

    `version` grows with every change of the metadata (its log's end). A group remembers the version
    it was last resolved against, so that a coordinator whose metadata lags does not take a new
    topic for a deleted one.
    """

    version: int
    by_name: Mapping[str, TopicView]
    by_id: Mapping[TopicId, TopicView]

    @classmethod
    def of(cls, version: int, topics: Iterable[TopicView]) -> TopicCatalog:
        """From its topics."""
        views = sorted(topics, key=lambda view: view.name)
        return cls(
            version,
            {view.name: view for view in views},
            {view.topic_id: view for view in views},
        )

    def __contains__(self, partition: TopicPartition) -> bool:
        view = self.by_id.get(partition.topic_id)
        return view is not None and 0 <= partition.partition < view.partition_count


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a member wants to read: topics by name, topics by pattern, or both."""

    topics: tuple[str, ...] = ()
    """Ascending, each once."""
    pattern: str = ""
    """Empty: none. See consumer_groups.patterns for the language."""

    @classmethod
    def to(cls, *topics: str, pattern: str = "") -> Subscription:
        """From names in any order."""
        return cls(tuple(sorted(set(topics))), pattern)


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """What a member says of itself."""

    member_id: MemberId
    subscription: Subscription
    instance_id: InstanceId = InstanceId("")
    client_id: str = ""
    """For people."""
    client_host: str = ""
    """For people."""
    assignor: str = ""
    """Name of the assignor it votes for; empty: no preference."""
    session_timeout_ms: int = 45_000
    """It is expired when nothing was heard of it for so long; 1,000 to 1,800,000."""
    rebalance_timeout_ms: int = 60_000
    """It is expired when a revocation is not acknowledged for so long; 1,000 to 3,600,000."""
