"""The Python client: producer, consumer by assignment, administration."""

from streamlog.client.admin import (
    Admin,
    ClusterDescription,
    ConfigValue,
    NodeDescription,
    NodeReplicas,
    PartitionDescription,
    ReplicaDescription,
    TopicDescription,
    TopicListing,
)
from streamlog.client.cluster_metadata import CallPolicy
from streamlog.client.consumer import Consumer
from streamlog.client.errors import (
    BufferFull,
    ClientClosed,
    ClientError,
    ConditionFailed,
    ConnectionLost,
    DataCorrupt,
    DeliveryTimedOut,
    NotLeader,
    NotReady,
    OffsetOutOfRange,
    PositionUnknown,
    RecordRejected,
    RecordsLost,
    RecordUndecodable,
    SequenceBroken,
    TopicExists,
    TopicNotLoaded,
    TopicUnknown,
    VersionNotSupported,
    WrongUse,
)
from streamlog.client.offset_lookup import OffsetAtTime
from streamlog.client.partition_queue import RecordMetadata
from streamlog.client.producer import Producer
from streamlog.client.records import ConsumerBatch, ConsumerRecord, TopicPartition
from streamlog.client.starting import PositionReset

__all__ = [
    "Admin",
    "BufferFull",
    "CallPolicy",
    "ClientClosed",
    "ClientError",
    "ClusterDescription",
    "ConditionFailed",
    "ConfigValue",
    "ConnectionLost",
    "Consumer",
    "ConsumerBatch",
    "ConsumerRecord",
    "DataCorrupt",
    "DeliveryTimedOut",
    "NodeDescription",
    "NodeReplicas",
    "NotLeader",
    "NotReady",
    "OffsetAtTime",
    "OffsetOutOfRange",
    "PartitionDescription",
    "PositionReset",
    "PositionUnknown",
    "Producer",
    "RecordMetadata",
    "RecordRejected",
    "RecordUndecodable",
    "RecordsLost",
    "ReplicaDescription",
    "SequenceBroken",
    "TopicDescription",
    "TopicExists",
    "TopicListing",
    "TopicNotLoaded",
    "TopicPartition",
    "TopicUnknown",
    "VersionNotSupported",
    "WrongUse",
]
