from streamlog.v1 import batch_pb2 as _batch_pb2
from streamlog.v1 import error_pb2 as _error_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeCondition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_CONDITION_UNSPECIFIED: _ClassVar[NodeCondition]
    NODE_CONDITION_MAINTENANCE: _ClassVar[NodeCondition]
    NODE_CONDITION_DRAINING: _ClassVar[NodeCondition]

class OffsetSpec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OFFSET_SPEC_UNSPECIFIED: _ClassVar[OffsetSpec]
    OFFSET_SPEC_EARLIEST: _ClassVar[OffsetSpec]
    OFFSET_SPEC_LATEST: _ClassVar[OffsetSpec]
    OFFSET_SPEC_TIMESTAMP: _ClassVar[OffsetSpec]
    OFFSET_SPEC_RECORD: _ClassVar[OffsetSpec]
NODE_CONDITION_UNSPECIFIED: NodeCondition
NODE_CONDITION_MAINTENANCE: NodeCondition
NODE_CONDITION_DRAINING: NodeCondition
OFFSET_SPEC_UNSPECIFIED: OffsetSpec
OFFSET_SPEC_EARLIEST: OffsetSpec
OFFSET_SPEC_LATEST: OffsetSpec
OFFSET_SPEC_TIMESTAMP: OffsetSpec
OFFSET_SPEC_RECORD: OffsetSpec

class HandshakeRequest(_message.Message):
    __slots__ = ("min_protocol_version", "max_protocol_version", "client_software", "client_id", "features")
    MIN_PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MAX_PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    min_protocol_version: int
    max_protocol_version: int
    client_software: str
    client_id: str
    features: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, min_protocol_version: _Optional[int] = ..., max_protocol_version: _Optional[int] = ..., client_software: _Optional[str] = ..., client_id: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ...) -> None: ...

class HandshakeResponse(_message.Message):
    __slots__ = ("protocol_version", "features", "cluster_id", "node_id", "server_software", "max_batch_bytes", "max_message_bytes", "max_produce_inflight_bytes")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SERVER_SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PRODUCE_INFLIGHT_BYTES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    features: _containers.RepeatedScalarFieldContainer[str]
    cluster_id: str
    node_id: int
    server_software: str
    max_batch_bytes: int
    max_message_bytes: int
    max_produce_inflight_bytes: int
    def __init__(self, protocol_version: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., cluster_id: _Optional[str] = ..., node_id: _Optional[int] = ..., server_software: _Optional[str] = ..., max_batch_bytes: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_produce_inflight_bytes: _Optional[int] = ...) -> None: ...

class GetMetadataRequest(_message.Message):
    __slots__ = ("topics", "all_topics")
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    ALL_TOPICS_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedScalarFieldContainer[str]
    all_topics: bool
    def __init__(self, topics: _Optional[_Iterable[str]] = ..., all_topics: bool = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("node_id", "address", "rack", "live", "controller", "condition", "replacement_node_id")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    RACK_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    address: str
    rack: str
    live: bool
    controller: bool
    condition: NodeCondition
    replacement_node_id: int
    def __init__(self, node_id: _Optional[int] = ..., address: _Optional[str] = ..., rack: _Optional[str] = ..., live: bool = ..., controller: bool = ..., condition: _Optional[_Union[NodeCondition, str]] = ..., replacement_node_id: _Optional[int] = ...) -> None: ...

class Routing(_message.Message):
    __slots__ = ("function", "partition_count", "epoch")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    PARTITION_COUNT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    function: str
    partition_count: int
    epoch: int
    def __init__(self, function: _Optional[str] = ..., partition_count: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class PartitionMetadata(_message.Message):
    __slots__ = ("partition", "leader_node_id", "leader_term", "replica_node_ids", "group_id", "moving", "leaving_node_ids")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    LEADER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    LEADER_TERM_FIELD_NUMBER: _ClassVar[int]
    REPLICA_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    MOVING_FIELD_NUMBER: _ClassVar[int]
    LEAVING_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    partition: int
    leader_node_id: int
    leader_term: int
    replica_node_ids: _containers.RepeatedScalarFieldContainer[int]
    group_id: int
    moving: bool
    leaving_node_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, partition: _Optional[int] = ..., leader_node_id: _Optional[int] = ..., leader_term: _Optional[int] = ..., replica_node_ids: _Optional[_Iterable[int]] = ..., group_id: _Optional[int] = ..., moving: bool = ..., leaving_node_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class TopicMetadata(_message.Message):
    __slots__ = ("name", "topic_id", "partitions", "routing", "error", "max_batch_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    topic_id: int
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionMetadata]
    routing: Routing
    error: _error_pb2.Error
    max_batch_bytes: int
    def __init__(self, name: _Optional[str] = ..., topic_id: _Optional[int] = ..., partitions: _Optional[_Iterable[_Union[PartitionMetadata, _Mapping]]] = ..., routing: _Optional[_Union[Routing, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ..., max_batch_bytes: _Optional[int] = ...) -> None: ...

class GetMetadataResponse(_message.Message):
    __slots__ = ("cluster_id", "nodes", "topics", "metadata_offset")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    METADATA_OFFSET_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    topics: _containers.RepeatedCompositeFieldContainer[TopicMetadata]
    metadata_offset: int
    def __init__(self, cluster_id: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., topics: _Optional[_Iterable[_Union[TopicMetadata, _Mapping]]] = ..., metadata_offset: _Optional[int] = ...) -> None: ...

class InitProducerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InitProducerResponse(_message.Message):
    __slots__ = ("producer_id", "producer_epoch")
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    producer_id: int
    producer_epoch: int
    def __init__(self, producer_id: _Optional[int] = ..., producer_epoch: _Optional[int] = ...) -> None: ...

class ProduceEntry(_message.Message):
    __slots__ = ("request_id", "topic_id", "expected_end_offset", "batch")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    topic_id: int
    expected_end_offset: int
    batch: _batch_pb2.RecordBatch
    def __init__(self, request_id: _Optional[int] = ..., topic_id: _Optional[int] = ..., expected_end_offset: _Optional[int] = ..., batch: _Optional[_Union[_batch_pb2.RecordBatch, _Mapping]] = ...) -> None: ...

class ProduceRequest(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ProduceEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[ProduceEntry, _Mapping]]] = ...) -> None: ...

class ProduceResult(_message.Message):
    __slots__ = ("request_id", "base_offset", "append_time_ms", "leader_term", "log_start_offset", "duplicate", "error")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    APPEND_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    LEADER_TERM_FIELD_NUMBER: _ClassVar[int]
    LOG_START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    base_offset: int
    append_time_ms: int
    leader_term: int
    log_start_offset: int
    duplicate: bool
    error: _error_pb2.Error
    def __init__(self, request_id: _Optional[int] = ..., base_offset: _Optional[int] = ..., append_time_ms: _Optional[int] = ..., leader_term: _Optional[int] = ..., log_start_offset: _Optional[int] = ..., duplicate: bool = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...

class ProduceResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ProduceResult]
    def __init__(self, results: _Optional[_Iterable[_Union[ProduceResult, _Mapping]]] = ...) -> None: ...

class FetchPartition(_message.Message):
    __slots__ = ("topic_id", "partition", "offset", "session_epoch", "max_bytes")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    offset: int
    session_epoch: int
    max_bytes: int
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., session_epoch: _Optional[int] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class FetchRemoval(_message.Message):
    __slots__ = ("topic_id", "partition")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("partitions", "removals", "credit_bytes", "min_bytes", "max_wait_ms")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    REMOVALS_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MIN_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[FetchPartition]
    removals: _containers.RepeatedCompositeFieldContainer[FetchRemoval]
    credit_bytes: int
    min_bytes: int
    max_wait_ms: int
    def __init__(self, partitions: _Optional[_Iterable[_Union[FetchPartition, _Mapping]]] = ..., removals: _Optional[_Iterable[_Union[FetchRemoval, _Mapping]]] = ..., credit_bytes: _Optional[int] = ..., min_bytes: _Optional[int] = ..., max_wait_ms: _Optional[int] = ...) -> None: ...

class FetchResponse(_message.Message):
    __slots__ = ("batches", "topic_id", "partition", "session_epoch", "high_watermark", "log_start_offset", "next_offset", "leader_term", "error")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HIGH_WATERMARK_FIELD_NUMBER: _ClassVar[int]
    LOG_START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LEADER_TERM_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[_batch_pb2.RecordBatch]
    topic_id: int
    partition: int
    session_epoch: int
    high_watermark: int
    log_start_offset: int
    next_offset: int
    leader_term: int
    error: _error_pb2.Error
    def __init__(self, batches: _Optional[_Iterable[_Union[_batch_pb2.RecordBatch, _Mapping]]] = ..., topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., session_epoch: _Optional[int] = ..., high_watermark: _Optional[int] = ..., log_start_offset: _Optional[int] = ..., next_offset: _Optional[int] = ..., leader_term: _Optional[int] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...

class OffsetQuery(_message.Message):
    __slots__ = ("topic_id", "partition", "spec", "timestamp_ms", "offset")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    spec: OffsetSpec
    timestamp_ms: int
    offset: int
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., spec: _Optional[_Union[OffsetSpec, str]] = ..., timestamp_ms: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class ListOffsetsRequest(_message.Message):
    __slots__ = ("queries",)
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedCompositeFieldContainer[OffsetQuery]
    def __init__(self, queries: _Optional[_Iterable[_Union[OffsetQuery, _Mapping]]] = ...) -> None: ...

class OffsetAnswer(_message.Message):
    __slots__ = ("topic_id", "partition", "offset", "timestamp_ms", "leader_term", "error", "log_start_offset", "high_watermark")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    LEADER_TERM_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LOG_START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    HIGH_WATERMARK_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    offset: int
    timestamp_ms: int
    leader_term: int
    error: _error_pb2.Error
    log_start_offset: int
    high_watermark: int
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., leader_term: _Optional[int] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ..., log_start_offset: _Optional[int] = ..., high_watermark: _Optional[int] = ...) -> None: ...

class ListOffsetsResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[OffsetAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[OffsetAnswer, _Mapping]]] = ...) -> None: ...

class PartitionTrim(_message.Message):
    __slots__ = ("topic_id", "partition", "before_offset")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    before_offset: int
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., before_offset: _Optional[int] = ...) -> None: ...

class TrimPartitionsRequest(_message.Message):
    __slots__ = ("trims",)
    TRIMS_FIELD_NUMBER: _ClassVar[int]
    trims: _containers.RepeatedCompositeFieldContainer[PartitionTrim]
    def __init__(self, trims: _Optional[_Iterable[_Union[PartitionTrim, _Mapping]]] = ...) -> None: ...

class PartitionTrimmed(_message.Message):
    __slots__ = ("topic_id", "partition", "start_offset", "error")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    start_offset: int
    error: _error_pb2.Error
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., start_offset: _Optional[int] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...

class TrimPartitionsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[PartitionTrimmed]
    def __init__(self, results: _Optional[_Iterable[_Union[PartitionTrimmed, _Mapping]]] = ...) -> None: ...
