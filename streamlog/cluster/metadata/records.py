"""Commands to the metadata (what is wanted) and its records (what came to be).

Commands carry all that `decide` may not find out by itself: times, random numbers, the nodes that
seem dead. `request_id` is random and not 0: a command that is sent again because its answer got
lost is recognised by it, and answered without doing it twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from replication.types import DirectoryId, GroupId, NodeId, Replica, ReplicaId


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


Command = (
    RegisterNode | CreateTopic | AlterTopic | AddPartitions | DeleteTopic | AllocateProducerIds
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


Record = (
    NodeRegistered
    | TopicCreated
    | TopicConfigured
    | PartitionsAdded
    | TopicDeleted
    | ProducerIdsAllocated
)
