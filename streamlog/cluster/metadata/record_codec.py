"""Records of the metadata as bytes."""

from __future__ import annotations

from typing import assert_never

from google.protobuf.message import DecodeError

from replication.membership_codec import encode_replica
from replication.types import DirectoryId, NodeId, ReplicaId, whole
from streamlog.cluster.metadata.codec import (
    CONDITIONS_TO_PROTO,
    Replicas,
    UnreadableMetadata,
    overrides_from_proto,
    overrides_to_proto,
    placed_from_proto,
    placed_to_proto,
    registration_to_proto,
)
from streamlog.cluster.metadata.records import (
    ControllersSet,
    NodeConditionSet,
    NodeRegistered,
    NodeRemoved,
    PartitionsAdded,
    PartitionsReassigned,
    PartitionsSettled,
    ProducerIdsAllocated,
    Reassignment,
    Record,
    TopicConfigured,
    TopicCreated,
    TopicDeleted,
)
from streamlog.cluster.metadata.state import NodeCondition
from streamlog.cluster.v1 import metadata_pb2 as pb


def encode_record(record: Record) -> bytes:
    """For the log."""
    message = pb.MetadataRecord()
    match record:
        case NodeRegistered():
            message.node_registered.node.CopyFrom(registration_to_proto(record))
        case TopicCreated():
            created = message.topic_created
            created.topic_id, created.name = record.topic_id, record.name
            created.partitions.extend(placed_to_proto(record.partitions))
            created.overrides.extend(overrides_to_proto(record.overrides))
            created.request_id = record.request_id
        case TopicConfigured():
            message.topic_configured.topic_id = record.topic_id
            message.topic_configured.overrides.extend(overrides_to_proto(record.overrides))
            message.topic_configured.request_id = record.request_id
        case PartitionsAdded():
            message.partitions_added.topic_id = record.topic_id
            message.partitions_added.partitions.extend(placed_to_proto(record.partitions))
            message.partitions_added.request_id = record.request_id
        case TopicDeleted():
            message.topic_deleted.topic_id = record.topic_id
            message.topic_deleted.request_id = record.request_id
        case ProducerIdsAllocated():
            message.producer_ids_allocated.node_id = record.node_id
            message.producer_ids_allocated.next_producer_id = record.next_producer_id
        case NodeConditionSet():
            condition = message.node_condition_set
            condition.node_id = record.node_id
            condition.condition = CONDITIONS_TO_PROTO[record.condition]
            condition.replacement_node_id = record.replacement
            condition.request_id = record.request_id
        case NodeRemoved():
            message.node_removed.node_id = record.node_id
            message.node_removed.request_id = record.request_id
        case ControllersSet():
            message.controllers_set.node_ids.extend(record.node_ids)
            message.controllers_set.request_id = record.request_id
        case PartitionsReassigned():
            message.partitions_reassigned.request_id = record.request_id
            for reassignment in record.reassignments:
                message.partitions_reassigned.reassignments.add(
                    topic_id=reassignment.topic_id,
                    partition=reassignment.partition,
                    replicas=[encode_replica(replica) for replica in reassignment.replicas],
                )
        case PartitionsSettled():
            message.partitions_settled.SetInParent()
            for topic_id, number in record.partitions:
                message.partitions_settled.partitions.add(topic_id=topic_id, partition=number)
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
                placed_from_proto(created.partitions),
                overrides_from_proto(created.overrides),
                created.request_id,
            )
        case "topic_configured":
            configured = message.topic_configured
            return TopicConfigured(
                configured.topic_id,
                overrides_from_proto(configured.overrides),
                configured.request_id,
            )
        case "partitions_added":
            added = message.partitions_added
            placed = placed_from_proto(added.partitions)
            return PartitionsAdded(added.topic_id, placed, added.request_id)
        case "topic_deleted":
            deleted = message.topic_deleted
            return TopicDeleted(deleted.topic_id, deleted.request_id)
        case "producer_ids_allocated":
            ids = message.producer_ids_allocated
            return ProducerIdsAllocated(NodeId(ids.node_id), ids.next_producer_id)
        case "node_condition_set":
            condition = message.node_condition_set
            return NodeConditionSet(
                NodeId(condition.node_id),
                NodeCondition(condition.condition),
                NodeId(condition.replacement_node_id),
                condition.request_id,
            )
        case "node_removed":
            removed = message.node_removed
            return NodeRemoved(NodeId(removed.node_id), removed.request_id)
        case "controllers_set":
            controllers = message.controllers_set
            node_ids = tuple(NodeId(node_id) for node_id in controllers.node_ids)
            return ControllersSet(node_ids, controllers.request_id)
        case "partitions_reassigned":
            reassigned, known = message.partitions_reassigned, Replicas()
            return PartitionsReassigned(
                tuple(
                    Reassignment(each.topic_id, each.partition, known.read(each.replicas))
                    for each in reassigned.reassignments
                ),
                reassigned.request_id,
            )
        case "partitions_settled":
            return PartitionsSettled(
                tuple(
                    (each.topic_id, each.partition)
                    for each in message.partitions_settled.partitions
                )
            )
        case _:
            raise UnreadableMetadata(
                "a metadata record is of a kind that this version does not know; was the node"
                " downgraded?"
            )
