"""The Python client: producer, consumer by assignment, administration."""

from streamlog.client.admin import (
    Admin,
    ClusterDescription,
    ConfigValue,
    NodeDescription,
    PartitionDescription,
    TopicDescription,
    TopicListing,
)
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
    RecordRejected,
    RecordsLost,
    SequenceBroken,
    TopicExists,
    TopicNotLoaded,
    TopicUnknown,
    VersionNotSupported,
)
from streamlog.client.offset_lookup import OffsetAtTime
from streamlog.client.producer import Producer
from streamlog.client.records import ConsumerBatch, ConsumerRecord, TopicPartition

__all__ = [
    "Admin",
    "BufferFull",
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
    "NotLeader",
    "NotReady",
    "OffsetAtTime",
    "OffsetOutOfRange",
    "PartitionDescription",
    "Producer",
    "RecordRejected",
    "RecordsLost",
    "SequenceBroken",
    "TopicDescription",
    "TopicExists",
    "TopicListing",
    "TopicNotLoaded",
    "TopicPartition",
    "TopicUnknown",
    "VersionNotSupported",
]
