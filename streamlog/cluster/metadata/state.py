"""What the metadata is at one offset of group 0.

Values are frozen; a change makes a new MetadataState that shares all it did not touch. What is
copied per record is at most the shallow dicts of nodes or topics; measured with 10,000 topics a
copy is below 0.1 ms, and with one topic of 10,000 partitions next to nothing.

Invariant: `topics` and `topics_by_name` hold the same Topic objects.
Invariant: every topic id is below `next_topic_id` and every group id below `next_group_id`; an id
below that no topic holds was deleted by a committed record, and is never given again.
Invariant: `partition_count` and `loads` are what counting over all topics gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from replication.types import DirectoryId, GroupId, Membership, NodeId, Offset, Replica, ReplicaId
from streamlog.model.settings.topic import TopicConfig

RECENT_REQUESTS_MAX = 1_024
"""A request is repeated within seconds; so many changes do not come in between."""


@dataclass(frozen=True, slots=True)
class Founding:
    """The birth of the cluster: the same on every node, never changed."""

    cluster_id: int
    """128 random bits, not 0."""
    membership: Membership
    """Voters of group 0 at its offset 0."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it last registered."""

    node_id: NodeId
    address: str
    rack: str
    directory_id: DirectoryId
    boot_id: int
    registered_at_ms: int
    metadata_replica_id: ReplicaId
    """Its replica of group 0."""
    controller: bool
    """It votes on the metadata since the cluster's founding."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Where a partition lives."""

    topic_id: int
    number: int
    group_id: GroupId
    replicas: tuple[Replica, ...]
    """The first is the preferred leader."""
    created_offset: Offset
    """Offset of the record that created it."""

    @property
    def preferred_leader(self) -> NodeId:
        """Node that shall lead when nothing speaks against it."""
        return self.replicas[0].node_id

    def replica_on(self, node_id: NodeId) -> Replica | None:
        """The replica on a node, or None."""
        for replica in self.replicas:
            if replica.node_id == node_id:
                return replica
        return None

    def membership(self) -> Membership:
        """Membership of the group at its offset 0."""
        return Membership(tuple(sorted(self.replicas)))


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic with its partitions by number."""

    topic_id: int
    name: str
    partitions: tuple[Partition, ...]
    config: TopicConfig
    overrides: tuple[tuple[str, str], ...]
    """Settings as they were given, by key: also those this version does not know."""
    routing_epoch: int
    """Counts the changes of the number of partitions, from 1."""
    request_id: int
    """The request that created it, so that its repetition is recognised."""


@dataclass(frozen=True, slots=True)
class Load:
    """How many replicas a node holds, and of how many it is the preferred leader."""

    replicas: int
    leaders: int


@dataclass(frozen=True, slots=True)
class MetadataState:
    """Everything; see the module's invariants."""

    founding: Founding
    next_metadata_replica_id: int
    nodes: Mapping[NodeId, Node] = field(default_factory=dict)
    topics: Mapping[int, Topic] = field(default_factory=dict)
    topics_by_name: Mapping[str, Topic] = field(default_factory=dict)
    next_topic_id: int = 1
    next_group_id: int = 1
    next_producer_id: int = 0
    partition_count: int = 0
    recent_requests: tuple[int, ...] = ()
    """Requests of the newest changes of topics, oldest first; at most RECENT_REQUESTS_MAX."""
    loads: Mapping[NodeId, Load] = field(default_factory=dict)
    """What each node holds of all topics; nodes that hold nothing are left out."""


def initial_state(founding: Founding) -> MetadataState:
    """The state of an empty log of the cluster."""
    voters = founding.membership.voters
    return MetadataState(founding, max(replica.replica_id for replica in voters) + 1)


def changed_loads(
    before: Mapping[NodeId, Load], partitions: Iterable[Partition], sign: int = 1
) -> dict[NodeId, Load]:
    """Loads with these partitions more (`sign` 1) or fewer (-1)."""
    replicas: dict[NodeId, int] = {}
    leaders: dict[NodeId, int] = {}
    for partition in partitions:
        leader = partition.preferred_leader
        leaders[leader] = leaders.get(leader, 0) + sign
        for replica in partition.replicas:
            replicas[replica.node_id] = replicas.get(replica.node_id, 0) + sign
    after = dict(before)
    for node_id, change in replicas.items():
        load = after.get(node_id, Load(0, 0))
        after[node_id] = Load(load.replicas + change, load.leaders + leaders.get(node_id, 0))
        if after[node_id].replicas == 0:
            del after[node_id]
    return after
