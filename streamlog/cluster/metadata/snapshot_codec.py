"""The whole metadata as bytes."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf.message import DecodeError

from replication.types import NodeId
from streamlog.cluster.metadata.codec import (
    Replicas,
    UnreadableMetadata,
    founding_from_proto,
    founding_to_proto,
    node_from_proto,
    node_to_proto,
    read_topic,
    topic_to_proto,
)
from streamlog.cluster.metadata.state import MetadataState, changed_loads, initial_state
from streamlog.cluster.v1 import metadata_pb2 as pb

SNAPSHOT_FORMAT_VERSION = 1


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
        controller_node_ids=state.controllers,
        removed_node_ids=sorted(state.removed_nodes),
        members_version=state.members_version,
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
    replicas = Replicas()
    topics = [read_topic(topic, replicas) for topic in message.topics]
    controllers = (
        tuple(NodeId(node_id) for node_id in message.controller_node_ids)
        or initial_state(founding).controllers
    )
    # Earlier versions wrote neither the list of controllers nor who is one.
    nodes = [
        replace(node, controller=node.node_id in controllers)
        for node in map(node_from_proto, message.nodes)
    ]
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
        controllers,
        message.members_version,
        frozenset(NodeId(node_id) for node_id in message.removed_node_ids),
        {
            partition.group_id: partition
            for topic in topics
            for partition in topic.partitions
            if partition.moving
        },
    )
