from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Codec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_UNSPECIFIED: _ClassVar[Codec]
    CODEC_NONE: _ClassVar[Codec]
    CODEC_ZSTD: _ClassVar[Codec]

class ControlType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTROL_TYPE_UNSPECIFIED: _ClassVar[ControlType]
    CONTROL_TYPE_LEADER_NO_OP: _ClassVar[ControlType]
    CONTROL_TYPE_MEMBERSHIP: _ClassVar[ControlType]
    CONTROL_TYPE_LOG_START: _ClassVar[ControlType]
    CONTROL_TYPE_TRANSACTION_MARKER: _ClassVar[ControlType]
    CONTROL_TYPE_SEGMENT_REWRITTEN: _ClassVar[ControlType]
    CONTROL_TYPE_REMOTE_MANIFEST: _ClassVar[ControlType]
    CONTROL_TYPE_SPLIT: _ClassVar[ControlType]
CODEC_UNSPECIFIED: Codec
CODEC_NONE: Codec
CODEC_ZSTD: Codec
CONTROL_TYPE_UNSPECIFIED: ControlType
CONTROL_TYPE_LEADER_NO_OP: ControlType
CONTROL_TYPE_MEMBERSHIP: ControlType
CONTROL_TYPE_LOG_START: ControlType
CONTROL_TYPE_TRANSACTION_MARKER: ControlType
CONTROL_TYPE_SEGMENT_REWRITTEN: ControlType
CONTROL_TYPE_REMOTE_MANIFEST: ControlType
CONTROL_TYPE_SPLIT: ControlType

class RecordBatch(_message.Message):
    __slots__ = ("frame_crc32c", "format_and_flags", "topic_id", "partition", "base_offset", "term", "last_offset_delta", "record_count", "first_timestamp_ms", "max_timestamp_ms", "producer_id", "producer_epoch", "base_sequence", "schema_id", "routing_epoch", "encryption_key_id", "delete_horizon_ms", "payload_crc32c", "uncompressed_bytes", "payload")
    FRAME_CRC32C_FIELD_NUMBER: _ClassVar[int]
    FORMAT_AND_FLAGS_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LAST_OFFSET_DELTA_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    BASE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_ID_FIELD_NUMBER: _ClassVar[int]
    ROUTING_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTION_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    DELETE_HORIZON_MS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_CRC32C_FIELD_NUMBER: _ClassVar[int]
    UNCOMPRESSED_BYTES_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    frame_crc32c: int
    format_and_flags: int
    topic_id: int
    partition: int
    base_offset: int
    term: int
    last_offset_delta: int
    record_count: int
    first_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    schema_id: int
    routing_epoch: int
    encryption_key_id: int
    delete_horizon_ms: int
    payload_crc32c: int
    uncompressed_bytes: int
    payload: bytes
    def __init__(self, frame_crc32c: _Optional[int] = ..., format_and_flags: _Optional[int] = ..., topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., base_offset: _Optional[int] = ..., term: _Optional[int] = ..., last_offset_delta: _Optional[int] = ..., record_count: _Optional[int] = ..., first_timestamp_ms: _Optional[int] = ..., max_timestamp_ms: _Optional[int] = ..., producer_id: _Optional[int] = ..., producer_epoch: _Optional[int] = ..., base_sequence: _Optional[int] = ..., schema_id: _Optional[int] = ..., routing_epoch: _Optional[int] = ..., encryption_key_id: _Optional[int] = ..., delete_horizon_ms: _Optional[int] = ..., payload_crc32c: _Optional[int] = ..., uncompressed_bytes: _Optional[int] = ..., payload: _Optional[bytes] = ...) -> None: ...

class BatchSet(_message.Message):
    __slots__ = ("batches", "segment", "footer")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    FOOTER_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[RecordBatch]
    segment: SegmentInfo
    footer: SegmentFooter
    def __init__(self, batches: _Optional[_Iterable[_Union[RecordBatch, _Mapping]]] = ..., segment: _Optional[_Union[SegmentInfo, _Mapping]] = ..., footer: _Optional[_Union[SegmentFooter, _Mapping]] = ...) -> None: ...

class SegmentInfo(_message.Message):
    __slots__ = ("crc32c", "format_version", "cluster_id_high", "cluster_id_low", "topic_id", "partition", "group_id", "base_offset", "created_at_ms")
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    crc32c: int
    format_version: int
    cluster_id_high: int
    cluster_id_low: int
    topic_id: int
    partition: int
    group_id: int
    base_offset: int
    created_at_ms: int
    def __init__(self, crc32c: _Optional[int] = ..., format_version: _Optional[int] = ..., cluster_id_high: _Optional[int] = ..., cluster_id_low: _Optional[int] = ..., topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., group_id: _Optional[int] = ..., base_offset: _Optional[int] = ..., created_at_ms: _Optional[int] = ...) -> None: ...

class TermStart(_message.Message):
    __slots__ = ("term", "start_offset")
    TERM_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    term: int
    start_offset: int
    def __init__(self, term: _Optional[int] = ..., start_offset: _Optional[int] = ...) -> None: ...

class ProducerBatch(_message.Message):
    __slots__ = ("base_sequence", "last_sequence", "base_offset", "last_offset", "max_timestamp_ms")
    BASE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LAST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    MAX_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    base_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    max_timestamp_ms: int
    def __init__(self, base_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ..., base_offset: _Optional[int] = ..., last_offset: _Optional[int] = ..., max_timestamp_ms: _Optional[int] = ...) -> None: ...

class ProducerEntry(_message.Message):
    __slots__ = ("producer_id", "producer_epoch", "batches", "transaction_first_offset")
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    producer_id: int
    producer_epoch: int
    batches: _containers.RepeatedCompositeFieldContainer[ProducerBatch]
    transaction_first_offset: int
    def __init__(self, producer_id: _Optional[int] = ..., producer_epoch: _Optional[int] = ..., batches: _Optional[_Iterable[_Union[ProducerBatch, _Mapping]]] = ..., transaction_first_offset: _Optional[int] = ...) -> None: ...

class LogStateSnapshot(_message.Message):
    __slots__ = ("format_version", "end_offset", "terms", "producers", "aborted", "data_end_offset")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    PRODUCERS_FIELD_NUMBER: _ClassVar[int]
    ABORTED_FIELD_NUMBER: _ClassVar[int]
    DATA_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    end_offset: int
    terms: _containers.RepeatedCompositeFieldContainer[TermStart]
    producers: _containers.RepeatedCompositeFieldContainer[ProducerEntry]
    aborted: _containers.RepeatedCompositeFieldContainer[AbortedTransaction]
    data_end_offset: int
    def __init__(self, format_version: _Optional[int] = ..., end_offset: _Optional[int] = ..., terms: _Optional[_Iterable[_Union[TermStart, _Mapping]]] = ..., producers: _Optional[_Iterable[_Union[ProducerEntry, _Mapping]]] = ..., aborted: _Optional[_Iterable[_Union[AbortedTransaction, _Mapping]]] = ..., data_end_offset: _Optional[int] = ...) -> None: ...

class AbortedTransaction(_message.Message):
    __slots__ = ("producer_id", "first_offset", "last_offset")
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LAST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    producer_id: int
    first_offset: int
    last_offset: int
    def __init__(self, producer_id: _Optional[int] = ..., first_offset: _Optional[int] = ..., last_offset: _Optional[int] = ...) -> None: ...

class SegmentFooter(_message.Message):
    __slots__ = ("crc32c", "state")
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    crc32c: int
    state: bytes
    def __init__(self, crc32c: _Optional[int] = ..., state: _Optional[bytes] = ...) -> None: ...

class ControlRecord(_message.Message):
    __slots__ = ("type", "version", "body")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    type: ControlType
    version: int
    body: bytes
    def __init__(self, type: _Optional[_Union[ControlType, str]] = ..., version: _Optional[int] = ..., body: _Optional[bytes] = ...) -> None: ...

class LogStart(_message.Message):
    __slots__ = ("start_offset",)
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    start_offset: int
    def __init__(self, start_offset: _Optional[int] = ...) -> None: ...

class TransactionMarker(_message.Message):
    __slots__ = ("committed", "producer_id", "producer_epoch", "coordinator_term")
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_TERM_FIELD_NUMBER: _ClassVar[int]
    committed: bool
    producer_id: int
    producer_epoch: int
    coordinator_term: int
    def __init__(self, committed: bool = ..., producer_id: _Optional[int] = ..., producer_epoch: _Optional[int] = ..., coordinator_term: _Optional[int] = ...) -> None: ...
