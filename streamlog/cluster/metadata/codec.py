"""Wire forms of what records, snapshots and commands of the metadata are made of. They are in
proto/streamlog/cluster/v1/metadata.proto; `record_codec`, `snapshot_codec` and `command_codec`
build on this module.

Invariant: equal values give equal bytes (no protobuf maps, everything sorted).
"""

from __future__ import annotations

from collections.abc import Iterable

from replication.membership_codec import (
    decode_membership,
    decode_replica,
    encode_membership,
    encode_replica,
)
from replication.types import (
    DirectoryId,
    GroupId,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    halves,
    whole,
)
from replication.v1 import membership_pb2
from streamlog.cluster.metadata.records import NodeRegistered, Overrides, Placed
from streamlog.cluster.metadata.state import Founding, Node, NodeCondition, Partition, Topic
from streamlog.cluster.v1 import metadata_pb2 as pb
from streamlog.model.settings.topic import TopicConfig

CONDITIONS_TO_PROTO = {
    NodeCondition.ACTIVE: pb.NODE_CONDITION_UNSPECIFIED,
    NodeCondition.MAINTENANCE: pb.NODE_CONDITION_MAINTENANCE,
    NodeCondition.DRAINING: pb.NODE_CONDITION_DRAINING,
}


class UnreadableMetadata(ValueError):
    """Bytes that were committed can not be read: a newer version wrote them, or a defect."""


# Founding.


def founding_to_proto(founding: Founding) -> pb.Founding:
    """Wire form."""
    high, low = halves(founding.cluster_id)
    return pb.Founding(
        cluster_id_high=high,
        cluster_id_low=low,
        membership=encode_membership(Membership(founding.membership.voters)),
    )


def founding_from_proto(message: pb.Founding) -> Founding:
    """From the wire form."""
    membership = Membership(decode_membership(message.membership).voters)
    return Founding(whole(message.cluster_id_high, message.cluster_id_low), membership)


# Parts of records and snapshots.


def registration_to_proto(node: NodeRegistered | Node) -> pb.NodeRegistration:
    """What a node said of itself."""
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
    """Wire form."""
    message = registration_to_proto(node)
    message.condition = CONDITIONS_TO_PROTO[node.condition]
    message.replacement_node_id = node.replacement
    message.controller = node.controller
    return message


def node_from_proto(message: pb.NodeRegistration) -> Node:
    """From the wire form."""
    return Node(
        NodeId(message.node_id),
        message.address,
        message.rack,
        DirectoryId(whole(message.directory_id_high, message.directory_id_low)),
        message.boot_id,
        message.registered_at_ms,
        ReplicaId(message.metadata_replica_id),
        message.controller,
        NodeCondition(message.condition),
        NodeId(message.replacement_node_id),
    )


def overrides_to_proto(overrides: Iterable[tuple[str, str]]) -> list[pb.Override]:
    """Wire form."""
    return [pb.Override(key=key, value=value) for key, value in overrides]


def overrides_from_proto(messages: Iterable[pb.Override]) -> Overrides:
    """From the wire form."""
    return tuple((message.key, message.value) for message in messages)


def placed_to_proto(placed: Iterable[Placed]) -> list[pb.PartitionPlacement]:
    """Wire form."""
    return [
        pb.PartitionPlacement(
            group_id=each.group_id, replicas=[encode_replica(r) for r in each.replicas]
        )
        for each in placed
    ]


class Replicas:
    """Reads replicas so that equal ones are one object (there are few, and many partitions)."""

    def __init__(self) -> None:
        self._known: dict[Replica, Replica] = {}

    def read(self, messages: Iterable[membership_pb2.Replica]) -> tuple[Replica, ...]:
        """In their order."""
        replicas = (decode_replica(message) for message in messages)
        return tuple(self._known.setdefault(replica, replica) for replica in replicas)


def placed_from_proto(messages: Iterable[pb.PartitionPlacement]) -> tuple[Placed, ...]:
    """From the wire form."""
    replicas = Replicas()
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
                replicas=[encode_replica(r) for r in partition.replicas],
                placed_offsets=partition.placed_offsets,
                leaving=[encode_replica(r) for r in partition.leaving],
                moving=partition.moving,
                next_replica_id=partition.next_replica_id,
                version=partition.version,
                never_settled=partition.never_settled,
            )
            for partition in topic.partitions
        ],
        overrides=overrides_to_proto(topic.overrides),
        routing_epoch=topic.routing_epoch,
        request_id=topic.request_id,
    )


def topic_from_proto(message: pb.TopicSnapshot) -> Topic:
    """From the wire form."""
    return read_topic(message, Replicas())


def _partition_from_proto(
    topic_id: int, number: int, message: pb.PartitionPlacement, known: Replicas
) -> Partition:
    replicas, leaving = known.read(message.replicas), known.read(message.leaving)
    # Earlier versions wrote one offset for all.
    placed = tuple(Offset(offset) for offset in message.placed_offsets)
    highest = max(replica.replica_id for replica in replicas)
    return Partition(
        topic_id,
        number,
        GroupId(message.group_id),
        replicas,
        placed or (Offset(message.created_offset),) * len(replicas),
        message.next_replica_id or highest + 1,
        message.version,
        message.moving,
        leaving,
        message.never_settled or message.version == 0,
    )


def read_topic(message: pb.TopicSnapshot, replicas: Replicas) -> Topic:
    """From the wire form; equal replicas of many topics are one object."""
    overrides = overrides_from_proto(message.overrides)
    return Topic(
        message.topic_id,
        message.name,
        tuple(
            _partition_from_proto(message.topic_id, number, each, replicas)
            for number, each in enumerate(message.partitions)
        ),
        TopicConfig.from_stored(dict(overrides)),
        overrides,
        message.routing_epoch,
        message.request_id,
    )
