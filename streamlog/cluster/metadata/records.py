"""Commands to the metadata (what is wanted) and its records (what came to be).

Commands carry all that `decide` may not find out by itself: times, random numbers, the nodes that
seem dead, those that vote on the metadata. `request_id` is random and not 0: a command that is sent again because its answer got
lost is recognised by it, and answered without doing it twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from replication.types import DirectoryId, GroupId, NodeId, Replica, ReplicaId
from streamlog.cluster.metadata.state import NodeCondition


@dataclass(frozen=True, slots=True)
class RegisterNode:
    """A node wants to take part. `cluster_id` 0: it knows of none yet."""

    cluster_id: int
    node_id: NodeId
    address: str
    rack: str
    directory_id: DirectoryId
    boot_id: int
    registered_at_ms: int
    lost_metadata_replica: ReplicaId = ReplicaId(0)
    """Its replica of the metadata, when it may have forgotten its votes: it gets another id."""


@dataclass(frozen=True, slots=True)
class CreateTopic:
    """A topic is wanted."""

    name: str
    partition_count: int
    replication_factor: int
    overrides: Mapping[str, str] = field(default_factory=dict)
    request_id: int = 0
    validate_only: bool = False
    avoided_nodes: tuple[NodeId, ...] = ()
    """They get replicas only when there are too few others."""


@dataclass(frozen=True, slots=True)
class AlterTopic:
    """Other settings are wanted."""

    name: str
    overrides: Mapping[str, str]
    unset: tuple[str, ...] = ()
    validate_only: bool = False
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class AddPartitions:
    """`partition_count` partitions are wanted in all."""

    name: str
    partition_count: int
    validate_only: bool = False
    avoided_nodes: tuple[NodeId, ...] = ()
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class DeleteTopic:
    """A topic shall go."""

    name: str
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class AllocateProducerIds:
    """A node wants a block of producer ids."""

    node_id: NodeId
    count: int


@dataclass(frozen=True, slots=True)
class SetNodeCondition:
    """Something else is wanted of a node."""

    node_id: NodeId
    condition: NodeCondition
    replacement: NodeId = NodeId(0)
    force: bool = False
    """Go ahead although partitions may be without a majority for some time."""
    validate_only: bool = False
    """Check only: whether it may rest now, even when it does already."""
    dead_nodes: tuple[NodeId, ...] = ()
    request_id: int = 0
    voters: tuple[NodeId, ...] = ()
    """That vote on the metadata in the newest configuration; empty: not known."""
    old_voters: tuple[NodeId, ...] = ()
    """In a joint configuration, those whose majority is needed, too."""


@dataclass(frozen=True, slots=True)
class RemoveNode:
    """A node shall go for good."""

    node_id: NodeId
    validate_only: bool = False
    request_id: int = 0
    voters: tuple[NodeId, ...] = ()
    """That vote on the metadata in any configuration in force; empty: not known."""


@dataclass(frozen=True, slots=True)
class SetControllers:
    """These nodes shall vote on the metadata."""

    node_ids: tuple[NodeId, ...]
    validate_only: bool = False
    dead_nodes: tuple[NodeId, ...] = ()
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class Assignment:
    """Nodes that shall hold a partition, the preferred leader first."""

    topic: str
    partition: int
    node_ids: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class ReassignPartitions:
    """Partitions shall live elsewhere."""

    assignments: tuple[Assignment, ...]
    force: bool = False
    """Although no majority lives, as far as is known: after a forced recovery."""
    validate_only: bool = False
    dead_nodes: tuple[NodeId, ...] = ()
    request_id: int = 0
    order_only: bool = False
    """Only the order of nodes is to be another: partitions that move, or are on other nodes than
    those named, are left alone."""


@dataclass(frozen=True, slots=True)
class SetReplicationFactor:
    """All partitions of a topic shall have so many replicas."""

    topic: str
    replication_factor: int
    validate_only: bool = False
    dead_nodes: tuple[NodeId, ...] = ()
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class RenewReplica:
    """A node lost a replica that it had: another shall take its place there."""

    topic_id: int
    partition: int
    replica_id: ReplicaId


@dataclass(frozen=True, slots=True)
class SettledGroup:
    """The newest committed configuration of a group, which has voters only."""

    topic_id: int
    partition: int
    version: int
    replica_ids: tuple[ReplicaId, ...]
    """Voters, ascending."""


@dataclass(frozen=True, slots=True)
class SettlePartitions:
    """Leaders of groups tell that their moves are done."""

    groups: tuple[SettledGroup, ...]


Command = (
    RegisterNode
    | CreateTopic
    | AlterTopic
    | AddPartitions
    | DeleteTopic
    | AllocateProducerIds
    | SetNodeCondition
    | RemoveNode
    | SetControllers
    | ReassignPartitions
    | SetReplicationFactor
    | RenewReplica
    | SettlePartitions
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A partition's group and replicas, the preferred leader first."""

    group_id: GroupId
    replicas: tuple[Replica, ...]


Overrides = tuple[tuple[str, str], ...]
"""Settings by key, ascending."""


@dataclass(frozen=True, slots=True)
class NodeRegistered:
    """A node registered, anew or with changes."""

    node_id: NodeId
    address: str
    rack: str
    directory_id: DirectoryId
    boot_id: int
    registered_at_ms: int
    metadata_replica_id: ReplicaId


@dataclass(frozen=True, slots=True)
class TopicCreated:
    """A topic exists from now on."""

    topic_id: int
    name: str
    partitions: tuple[Placed, ...]
    overrides: Overrides
    request_id: int


@dataclass(frozen=True, slots=True)
class TopicConfigured:
    """A topic's settings are these from now on."""

    topic_id: int
    overrides: Overrides
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class PartitionsAdded:
    """A topic has these partitions more."""

    topic_id: int
    partitions: tuple[Placed, ...]
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class TopicDeleted:
    """A topic and its data are gone."""

    topic_id: int
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class ProducerIdsAllocated:
    """The ids below `next_producer_id` are taken, the last block by `node_id`."""

    node_id: NodeId
    next_producer_id: int


@dataclass(frozen=True, slots=True)
class NodeConditionSet:
    """Operators want something else of a node."""

    node_id: NodeId
    condition: NodeCondition
    replacement: NodeId = NodeId(0)
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    """A node is gone for good."""

    node_id: NodeId
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class ControllersSet:
    """The metadata shall be voted on by these nodes, ascending."""

    node_ids: tuple[NodeId, ...]
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class Reassignment:
    """The replicas that a partition shall have, the preferred leader first."""

    topic_id: int
    partition: int
    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True)
class PartitionsReassigned:
    """Partitions shall live elsewhere."""

    reassignments: tuple[Reassignment, ...]
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class PartitionsSettled:
    """Groups have come to the replicas they shall have."""

    partitions: tuple[tuple[int, int], ...]
    """Topic ids and numbers."""


Record = (
    NodeRegistered
    | TopicCreated
    | TopicConfigured
    | PartitionsAdded
    | TopicDeleted
    | ProducerIdsAllocated
    | NodeConditionSet
    | NodeRemoved
    | ControllersSet
    | PartitionsReassigned
    | PartitionsSettled
)
