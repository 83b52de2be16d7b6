"""Metadata as bytes: records, snapshot, commands. The wire forms are in
proto/streamlog/cluster/v1/metadata.proto.

Invariant: equal values give equal bytes (no protobuf maps, everything sorted).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from google.protobuf.message import DecodeError

from replication.types import DirectoryId, GroupId, Membership, NodeId, Offset, Replica, ReplicaId
from replication.v1 import membership_pb2
from streamlog.cluster.metadata.records import (
    AddPartitions,
    AllocateProducerIds,
    AlterTopic,
    Command,
    CreateTopic,
    DeleteTopic,
    NodeRegistered,
    Overrides,
    PartitionsAdded,
    Placed,
    ProducerIdsAllocated,
    Record,
    RegisterNode,
    TopicConfigured,
    TopicCreated,
    TopicDeleted,
)
from streamlog.cluster.metadata.state import (
    Founding,
    MetadataState,
    Node,
    Partition,
    Topic,
    changed_loads,
    initial_state,
)
from streamlog.cluster.v1 import metadata_pb2 as pb
from streamlog.model.settings.topic import TopicConfig

SNAPSHOT_FORMAT_VERSION = 1
_HALF_MASK = 2**64 - 1


class UnreadableMetadata(ValueError):
    """Bytes that were committed can not be read: a newer version wrote them, or a defect."""


def halves(identity: int) -> tuple[int, int]:
    """A 128-bit identity as high and low half."""
    return identity >> 64, identity & _HALF_MASK


def whole(high: int, low: int) -> int:
    """The inverse of `halves`."""
    return high << 64 | low


# Founding.


def replica_to_proto(replica: Replica) -> membership_pb2.Replica:
    """Wire form."""
    high, low = halves(replica.directory_id)
    return membership_pb2.Replica(
        replica_id=replica.replica_id,
        node_id=replica.node_id,
        directory_id_high=high,
        directory_id_low=low,
    )


def replica_from_proto(message: membership_pb2.Replica) -> Replica:
    """From the wire form."""
    directory_id = whole(message.directory_id_high, message.directory_id_low)
    return Replica(
        ReplicaId(message.replica_id), NodeId(message.node_id), DirectoryId(directory_id)
    )


def founding_to_proto(founding: Founding) -> pb.Founding:
    """Wire form."""
    high, low = halves(founding.cluster_id)
    voters = [replica_to_proto(replica) for replica in founding.membership.voters]
    return pb.Founding(
        cluster_id_high=high,
        cluster_id_low=low,
        membership=membership_pb2.Membership(voters=voters),
    )


def founding_from_proto(message: pb.Founding) -> Founding:
    """From the wire form."""
    voters = tuple(sorted(replica_from_proto(r) for r in message.membership.voters))
    return Founding(whole(message.cluster_id_high, message.cluster_id_low), Membership(voters))


# Parts of records and snapshots.


def _registration_to_proto(node: NodeRegistered | Node) -> pb.NodeRegistration:
    high, low = halves(node.directory_id)
    return pb.NodeRegistration(
        node_id=node.node_id,
        address=node.address,
        rack=node.rack,
        directory_id_high=high,
        directory_id_low=low,
        boot_id=node.boot_id,
        registered_at_ms=node.registered_at_ms,
        metadata_replica_id=node.metadata_replica_id,
    )


def node_to_proto(node: Node) -> pb.NodeRegistration:
    """Wire form; `controller` follows from the founding."""
    return _registration_to_proto(node)


def node_from_proto(message: pb.NodeRegistration, founding: Founding) -> Node:
    """From the wire form."""
    return Node(
        NodeId(message.node_id),
        message.address,
        message.rack,
        DirectoryId(whole(message.directory_id_high, message.directory_id_low)),
        message.boot_id,
        message.registered_at_ms,
        ReplicaId(message.metadata_replica_id),
        any(r.node_id == message.node_id for r in founding.membership.voters),
    )


def _overrides_to_proto(overrides: Iterable[tuple[str, str]]) -> list[pb.Override]:
    return [pb.Override(key=key, value=value) for key, value in overrides]


def _overrides_from_proto(messages: Iterable[pb.Override]) -> Overrides:
    return tuple((message.key, message.value) for message in messages)


def _placed_to_proto(placed: Iterable[Placed]) -> list[pb.PartitionPlacement]:
    return [
        pb.PartitionPlacement(
            group_id=each.group_id, replicas=[replica_to_proto(r) for r in each.replicas]
        )
        for each in placed
    ]


class _Replicas:
    """Reads replicas so that equal ones are one object (there are few, and many partitions)."""

    def __init__(self) -> None:
        self._known: dict[Replica, Replica] = {}

    def read(self, messages: Iterable[membership_pb2.Replica]) -> tuple[Replica, ...]:
        replicas = (replica_from_proto(message) for message in messages)
        return tuple(self._known.setdefault(replica, replica) for replica in replicas)


def _placed_from_proto(messages: Iterable[pb.PartitionPlacement]) -> tuple[Placed, ...]:
    replicas = _Replicas()
    return tuple(
        Placed(GroupId(message.group_id), replicas.read(message.replicas)) for message in messages
    )


def topic_to_proto(topic: Topic) -> pb.TopicSnapshot:
    """Wire form."""
    return pb.TopicSnapshot(
        topic_id=topic.topic_id,
        name=topic.name,
        partitions=[
            pb.PartitionPlacement(
                group_id=partition.group_id,
                replicas=[replica_to_proto(r) for r in partition.replicas],
                created_offset=partition.created_offset,
            )
            for partition in topic.partitions
        ],
        overrides=_overrides_to_proto(topic.overrides),
        routing_epoch=topic.routing_epoch,
        request_id=topic.request_id,
    )


def topic_from_proto(message: pb.TopicSnapshot) -> Topic:
    """From the wire form."""
    return _topic_from_proto(message, _Replicas())


def _topic_from_proto(message: pb.TopicSnapshot, replicas: _Replicas) -> Topic:
    overrides = _overrides_from_proto(message.overrides)
    return Topic(
        message.topic_id,
        message.name,
        tuple(
            Partition(
                message.topic_id,
                number,
                GroupId(each.group_id),
                replicas.read(each.replicas),
                Offset(each.created_offset),
            )
            for number, each in enumerate(message.partitions)
        ),
        TopicConfig.from_stored(dict(overrides)),
        overrides,
        message.routing_epoch,
        message.request_id,
    )


# Records.


def encode_record(record: Record) -> bytes:
    """For the log."""
    message = pb.MetadataRecord()
    match record:
        case NodeRegistered():
            message.node_registered.node.CopyFrom(_registration_to_proto(record))
        case TopicCreated():
            created = message.topic_created
            created.topic_id, created.name = record.topic_id, record.name
            created.partitions.extend(_placed_to_proto(record.partitions))
            created.overrides.extend(_overrides_to_proto(record.overrides))
            created.request_id = record.request_id
        case TopicConfigured():
            message.topic_configured.topic_id = record.topic_id
            message.topic_configured.overrides.extend(_overrides_to_proto(record.overrides))
            message.topic_configured.request_id = record.request_id
        case PartitionsAdded():
            message.partitions_added.topic_id = record.topic_id
            message.partitions_added.partitions.extend(_placed_to_proto(record.partitions))
            message.partitions_added.request_id = record.request_id
        case TopicDeleted():
            message.topic_deleted.topic_id = record.topic_id
            message.topic_deleted.request_id = record.request_id
        case ProducerIdsAllocated():
            message.producer_ids_allocated.node_id = record.node_id
            message.producer_ids_allocated.next_producer_id = record.next_producer_id
        case _:
            assert_never(record)
    return message.SerializeToString()


def decode_record(data: bytes) -> Record:
    """From the log. Raises UnreadableMetadata."""
    try:
        message = pb.MetadataRecord.FromString(data)
    except DecodeError as error:
        raise UnreadableMetadata("a metadata record is no MetadataRecord message") from error
    match message.WhichOneof("record"):
        case "node_registered":
            node = message.node_registered.node
            return NodeRegistered(
                NodeId(node.node_id),
                node.address,
                node.rack,
                DirectoryId(whole(node.directory_id_high, node.directory_id_low)),
                node.boot_id,
                node.registered_at_ms,
                ReplicaId(node.metadata_replica_id),
            )
        case "topic_created":
            created = message.topic_created
            return TopicCreated(
                created.topic_id,
                created.name,
                _placed_from_proto(created.partitions),
                _overrides_from_proto(created.overrides),
                created.request_id,
            )
        case "topic_configured":
            configured = message.topic_configured
            return TopicConfigured(
                configured.topic_id,
                _overrides_from_proto(configured.overrides),
                configured.request_id,
            )
        case "partitions_added":
            added = message.partitions_added
            placed = _placed_from_proto(added.partitions)
            return PartitionsAdded(added.topic_id, placed, added.request_id)
        case "topic_deleted":
            deleted = message.topic_deleted
            return TopicDeleted(deleted.topic_id, deleted.request_id)
        case "producer_ids_allocated":
            ids = message.producer_ids_allocated
            return ProducerIdsAllocated(NodeId(ids.node_id), ids.next_producer_id)
        case _:
            raise UnreadableMetadata(
                "a metadata record is of a kind that this version does not know; was the node"
                " downgraded?"
            )


# Snapshot.


def encode_snapshot(state: MetadataState) -> bytes:
    """The whole state."""
    return pb.MetadataSnapshot(
        format_version=SNAPSHOT_FORMAT_VERSION,
        founding=founding_to_proto(state.founding),
        nodes=[node_to_proto(state.nodes[key]) for key in sorted(state.nodes)],
        topics=[topic_to_proto(state.topics[key]) for key in sorted(state.topics)],
        next_topic_id=state.next_topic_id,
        next_group_id=state.next_group_id,
        next_producer_id=state.next_producer_id,
        next_metadata_replica_id=state.next_metadata_replica_id,
        recent_request_ids=state.recent_requests,
    ).SerializeToString(deterministic=True)


def decode_snapshot(data: bytes) -> MetadataState:
    """From a snapshot. Raises UnreadableMetadata."""
    try:
        message = pb.MetadataSnapshot.FromString(data)
    except DecodeError as error:
        raise UnreadableMetadata("the metadata snapshot is no MetadataSnapshot") from error
    if message.format_version != SNAPSHOT_FORMAT_VERSION:
        raise UnreadableMetadata(
            f"the metadata snapshot has format version {message.format_version}, this version"
            f" reads {SNAPSHOT_FORMAT_VERSION}"
        )
    founding = founding_from_proto(message.founding)
    replicas = _Replicas()
    topics = [_topic_from_proto(topic, replicas) for topic in message.topics]
    nodes = [node_from_proto(node, founding) for node in message.nodes]
    return MetadataState(
        founding,
        max(
            message.next_metadata_replica_id,
            initial_state(founding).next_metadata_replica_id,
        ),
        {node.node_id: node for node in nodes},
        {topic.topic_id: topic for topic in topics},
        {topic.name: topic for topic in topics},
        message.next_topic_id,
        message.next_group_id,
        message.next_producer_id,
        sum(len(topic.partitions) for topic in topics),
        tuple(message.recent_request_ids),
        changed_loads({}, (partition for topic in topics for partition in topic.partitions)),
    )


# Commands.


def command_to_proto(command: Command) -> pb.MetadataCommand:
    """Wire form, for the metadata leader."""
    message = pb.MetadataCommand()
    match command:
        case RegisterNode():
            register = message.register_node
            register.cluster_id_high, register.cluster_id_low = halves(command.cluster_id)
            node = register.node
            node.node_id, node.address, node.rack = command.node_id, command.address, command.rack
            node.directory_id_high, node.directory_id_low = halves(command.directory_id)
            node.boot_id, node.registered_at_ms = command.boot_id, command.registered_at_ms
        case CreateTopic():
            create = message.create_topic
            create.name = command.name
            create.partition_count = command.partition_count
            create.replication_factor = command.replication_factor
            create.overrides.extend(_overrides_to_proto(sorted(command.overrides.items())))
            create.request_id = command.request_id
            create.validate_only = command.validate_only
            create.avoided_node_ids.extend(command.avoided_nodes)
        case AlterTopic():
            alter = message.alter_topic
            alter.name = command.name
            alter.set.extend(_overrides_to_proto(sorted(command.overrides.items())))
            alter.unset.extend(command.unset)
            alter.validate_only = command.validate_only
            alter.request_id = command.request_id
        case AddPartitions():
            add = message.add_partitions
            add.name, add.partition_count = command.name, command.partition_count
            add.validate_only = command.validate_only
            add.avoided_node_ids.extend(command.avoided_nodes)
            add.request_id = command.request_id
        case DeleteTopic():
            message.delete_topic.name = command.name
            message.delete_topic.request_id = command.request_id
        case AllocateProducerIds():
            message.allocate_producer_ids.node_id = command.node_id
            message.allocate_producer_ids.count = command.count
        case _:
            assert_never(command)
    return message


def command_from_proto(message: pb.MetadataCommand) -> Command | None:
    """From the wire form; None when this version does not know the command."""
    match message.WhichOneof("command"):
        case "register_node":
            register = message.register_node
            node = register.node
            return RegisterNode(
                whole(register.cluster_id_high, register.cluster_id_low),
                NodeId(node.node_id),
                node.address,
                node.rack,
                DirectoryId(whole(node.directory_id_high, node.directory_id_low)),
                node.boot_id,
                node.registered_at_ms,
            )
        case "create_topic":
            create = message.create_topic
            return CreateTopic(
                create.name,
                create.partition_count,
                create.replication_factor,
                _mapping(create.overrides),
                create.request_id,
                create.validate_only,
                tuple(NodeId(node_id) for node_id in create.avoided_node_ids),
            )
        case "alter_topic":
            alter = message.alter_topic
            return AlterTopic(
                alter.name,
                _mapping(alter.set),
                tuple(alter.unset),
                alter.validate_only,
                alter.request_id,
            )
        case "add_partitions":
            add = message.add_partitions
            return AddPartitions(
                add.name,
                add.partition_count,
                add.validate_only,
                tuple(NodeId(node_id) for node_id in add.avoided_node_ids),
                add.request_id,
            )
        case "delete_topic":
            return DeleteTopic(message.delete_topic.name, message.delete_topic.request_id)
        case "allocate_producer_ids":
            ids = message.allocate_producer_ids
            return AllocateProducerIds(NodeId(ids.node_id), ids.count)
        case _:
            return None


def _mapping(messages: Iterable[pb.Override]) -> Mapping[str, str]:
    return dict(_overrides_from_proto(messages))
