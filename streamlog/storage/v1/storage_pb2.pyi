from replication.v1 import membership_pb2 as _membership_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeIdentity(_message.Message):
    __slots__ = ("format_version", "cluster_id_high", "cluster_id_low", "node_id", "directory_id_high", "directory_id_low", "formatted_at_ms")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    FORMATTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    cluster_id_high: int
    cluster_id_low: int
    node_id: int
    directory_id_high: int
    directory_id_low: int
    formatted_at_ms: int
    def __init__(self, format_version: _Optional[int] = ..., cluster_id_high: _Optional[int] = ..., cluster_id_low: _Optional[int] = ..., node_id: _Optional[int] = ..., directory_id_high: _Optional[int] = ..., directory_id_low: _Optional[int] = ..., formatted_at_ms: _Optional[int] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("end_offset", "term")
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    end_offset: int
    term: int
    def __init__(self, end_offset: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class MembershipAt(_message.Message):
    __slots__ = ("offset", "membership")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    offset: int
    membership: _membership_pb2.Membership
    def __init__(self, offset: _Optional[int] = ..., membership: _Optional[_Union[_membership_pb2.Membership, _Mapping]] = ...) -> None: ...

class LogStartAt(_message.Message):
    __slots__ = ("offset", "start")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    offset: int
    start: int
    def __init__(self, offset: _Optional[int] = ..., start: _Optional[int] = ...) -> None: ...

class TermAt(_message.Message):
    __slots__ = ("term", "start_offset")
    TERM_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    term: int
    start_offset: int
    def __init__(self, term: _Optional[int] = ..., start_offset: _Optional[int] = ...) -> None: ...

class SegmentEnd(_message.Message):
    __slots__ = ("end", "segment_base", "position")
    END_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_BASE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    end: Position
    segment_base: int
    position: int
    def __init__(self, end: _Optional[_Union[Position, _Mapping]] = ..., segment_base: _Optional[int] = ..., position: _Optional[int] = ...) -> None: ...

class HardState(_message.Message):
    __slots__ = ("term", "vote")
    TERM_FIELD_NUMBER: _ClassVar[int]
    VOTE_FIELD_NUMBER: _ClassVar[int]
    term: int
    vote: int
    def __init__(self, term: _Optional[int] = ..., vote: _Optional[int] = ...) -> None: ...

class InstalledLog(_message.Message):
    __slots__ = ("generation", "start", "durable", "memberships", "log_starts")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIPS_FIELD_NUMBER: _ClassVar[int]
    LOG_STARTS_FIELD_NUMBER: _ClassVar[int]
    generation: int
    start: Position
    durable: SegmentEnd
    memberships: _containers.RepeatedCompositeFieldContainer[MembershipAt]
    log_starts: _containers.RepeatedCompositeFieldContainer[LogStartAt]
    def __init__(self, generation: _Optional[int] = ..., start: _Optional[_Union[Position, _Mapping]] = ..., durable: _Optional[_Union[SegmentEnd, _Mapping]] = ..., memberships: _Optional[_Iterable[_Union[MembershipAt, _Mapping]]] = ..., log_starts: _Optional[_Iterable[_Union[LogStartAt, _Mapping]]] = ...) -> None: ...

class LogStartMoved(_message.Message):
    __slots__ = ("start",)
    START_FIELD_NUMBER: _ClassVar[int]
    start: Position
    def __init__(self, start: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class SegmentReference(_message.Message):
    __slots__ = ("segment_base", "position", "length", "crc32c", "begin", "end", "memberships", "log_starts")
    SEGMENT_BASE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIPS_FIELD_NUMBER: _ClassVar[int]
    LOG_STARTS_FIELD_NUMBER: _ClassVar[int]
    segment_base: int
    position: int
    length: int
    crc32c: int
    begin: Position
    end: Position
    memberships: _containers.RepeatedCompositeFieldContainer[MembershipAt]
    log_starts: _containers.RepeatedCompositeFieldContainer[LogStartAt]
    def __init__(self, segment_base: _Optional[int] = ..., position: _Optional[int] = ..., length: _Optional[int] = ..., crc32c: _Optional[int] = ..., begin: _Optional[_Union[Position, _Mapping]] = ..., end: _Optional[_Union[Position, _Mapping]] = ..., memberships: _Optional[_Iterable[_Union[MembershipAt, _Mapping]]] = ..., log_starts: _Optional[_Iterable[_Union[LogStartAt, _Mapping]]] = ...) -> None: ...

class GroupCheckpoint(_message.Message):
    __slots__ = ("creation", "lsn", "generation", "hard_state", "start", "durable", "memberships", "terms", "needs_install", "log_starts", "lost")
    CREATION_FIELD_NUMBER: _ClassVar[int]
    LSN_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    HARD_STATE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIPS_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_INSTALL_FIELD_NUMBER: _ClassVar[int]
    LOG_STARTS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    creation: _membership_pb2.GroupCreation
    lsn: int
    generation: int
    hard_state: HardState
    start: Position
    durable: SegmentEnd
    memberships: _containers.RepeatedCompositeFieldContainer[MembershipAt]
    terms: _containers.RepeatedCompositeFieldContainer[TermAt]
    needs_install: bool
    log_starts: _containers.RepeatedCompositeFieldContainer[LogStartAt]
    lost: bool
    def __init__(self, creation: _Optional[_Union[_membership_pb2.GroupCreation, _Mapping]] = ..., lsn: _Optional[int] = ..., generation: _Optional[int] = ..., hard_state: _Optional[_Union[HardState, _Mapping]] = ..., start: _Optional[_Union[Position, _Mapping]] = ..., durable: _Optional[_Union[SegmentEnd, _Mapping]] = ..., memberships: _Optional[_Iterable[_Union[MembershipAt, _Mapping]]] = ..., terms: _Optional[_Iterable[_Union[TermAt, _Mapping]]] = ..., needs_install: bool = ..., log_starts: _Optional[_Iterable[_Union[LogStartAt, _Mapping]]] = ..., lost: bool = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("generation", "begin_lsn", "first_file_sequence", "groups", "deleted_groups", "clean_stop", "first_file_lsn", "directory_id_high", "directory_id_low")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    BEGIN_LSN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FILE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    DELETED_GROUPS_FIELD_NUMBER: _ClassVar[int]
    CLEAN_STOP_FIELD_NUMBER: _ClassVar[int]
    FIRST_FILE_LSN_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    generation: int
    begin_lsn: int
    first_file_sequence: int
    groups: _containers.RepeatedCompositeFieldContainer[GroupCheckpoint]
    deleted_groups: _containers.RepeatedScalarFieldContainer[int]
    clean_stop: bool
    first_file_lsn: int
    directory_id_high: int
    directory_id_low: int
    def __init__(self, generation: _Optional[int] = ..., begin_lsn: _Optional[int] = ..., first_file_sequence: _Optional[int] = ..., groups: _Optional[_Iterable[_Union[GroupCheckpoint, _Mapping]]] = ..., deleted_groups: _Optional[_Iterable[int]] = ..., clean_stop: bool = ..., first_file_lsn: _Optional[int] = ..., directory_id_high: _Optional[int] = ..., directory_id_low: _Optional[int] = ...) -> None: ...
