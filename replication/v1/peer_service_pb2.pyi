from replication.v1 import membership_pb2 as _membership_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PeerEndpointRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeerEndpointResponse(_message.Message):
    __slots__ = ("port", "version")
    PORT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    port: int
    version: int
    def __init__(self, port: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol_version", "cluster_id_high", "cluster_id_low", "node_id", "directory_id_high", "directory_id_low", "boot_id", "called_member_id")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    CALLED_MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    cluster_id_high: int
    cluster_id_low: int
    node_id: int
    directory_id_high: int
    directory_id_low: int
    boot_id: int
    called_member_id: int
    def __init__(self, protocol_version: _Optional[int] = ..., cluster_id_high: _Optional[int] = ..., cluster_id_low: _Optional[int] = ..., node_id: _Optional[int] = ..., directory_id_high: _Optional[int] = ..., directory_id_low: _Optional[int] = ..., boot_id: _Optional[int] = ..., called_member_id: _Optional[int] = ...) -> None: ...

class LogPosition(_message.Message):
    __slots__ = ("end_offset", "term")
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    end_offset: int
    term: int
    def __init__(self, end_offset: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class VoteRequest(_message.Message):
    __slots__ = ("group_id", "from_replica_id", "to_replica_id", "term", "last", "pre_vote", "leadership_transfer")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TO_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    PRE_VOTE_FIELD_NUMBER: _ClassVar[int]
    LEADERSHIP_TRANSFER_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    from_replica_id: int
    to_replica_id: int
    term: int
    last: LogPosition
    pre_vote: bool
    leadership_transfer: bool
    def __init__(self, group_id: _Optional[int] = ..., from_replica_id: _Optional[int] = ..., to_replica_id: _Optional[int] = ..., term: _Optional[int] = ..., last: _Optional[_Union[LogPosition, _Mapping]] = ..., pre_vote: bool = ..., leadership_transfer: bool = ...) -> None: ...

class VoteResponse(_message.Message):
    __slots__ = ("group_id", "from_replica_id", "to_replica_id", "term", "granted", "pre_vote")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TO_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    PRE_VOTE_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    from_replica_id: int
    to_replica_id: int
    term: int
    granted: bool
    pre_vote: bool
    def __init__(self, group_id: _Optional[int] = ..., from_replica_id: _Optional[int] = ..., to_replica_id: _Optional[int] = ..., term: _Optional[int] = ..., granted: bool = ..., pre_vote: bool = ...) -> None: ...

class TimeoutNow(_message.Message):
    __slots__ = ("group_id", "from_replica_id", "to_replica_id", "term")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TO_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    from_replica_id: int
    to_replica_id: int
    term: int
    def __init__(self, group_id: _Optional[int] = ..., from_replica_id: _Optional[int] = ..., to_replica_id: _Optional[int] = ..., term: _Optional[int] = ...) -> None: ...

class LedGroup(_message.Message):
    __slots__ = ("group_id", "term", "leader_replica_id")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEADER_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    term: int
    leader_replica_id: int
    def __init__(self, group_id: _Optional[int] = ..., term: _Optional[int] = ..., leader_replica_id: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("boot_id", "set_version", "set_hash", "groups", "full")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SET_VERSION_FIELD_NUMBER: _ClassVar[int]
    SET_HASH_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    boot_id: int
    set_version: int
    set_hash: int
    groups: _containers.RepeatedCompositeFieldContainer[LedGroup]
    full: bool
    def __init__(self, boot_id: _Optional[int] = ..., set_version: _Optional[int] = ..., set_hash: _Optional[int] = ..., groups: _Optional[_Iterable[_Union[LedGroup, _Mapping]]] = ..., full: bool = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("boot_id", "agreed_set_version", "refused")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    AGREED_SET_VERSION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    boot_id: int
    agreed_set_version: int
    refused: _containers.RepeatedCompositeFieldContainer[LedGroup]
    def __init__(self, boot_id: _Optional[int] = ..., agreed_set_version: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[LedGroup, _Mapping]]] = ...) -> None: ...

class LeadershipProbe(_message.Message):
    __slots__ = ("group_id", "from_replica_id", "to_replica_id", "term", "context")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TO_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    from_replica_id: int
    to_replica_id: int
    term: int
    context: int
    def __init__(self, group_id: _Optional[int] = ..., from_replica_id: _Optional[int] = ..., to_replica_id: _Optional[int] = ..., term: _Optional[int] = ..., context: _Optional[int] = ...) -> None: ...

class LeadershipEcho(_message.Message):
    __slots__ = ("group_id", "from_replica_id", "to_replica_id", "term", "context")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TO_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    from_replica_id: int
    to_replica_id: int
    term: int
    context: int
    def __init__(self, group_id: _Optional[int] = ..., from_replica_id: _Optional[int] = ..., to_replica_id: _Optional[int] = ..., term: _Optional[int] = ..., context: _Optional[int] = ...) -> None: ...

class LeaderAnnouncement(_message.Message):
    __slots__ = ("group_id", "term", "leader_node_id")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEADER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    term: int
    leader_node_id: int
    def __init__(self, group_id: _Optional[int] = ..., term: _Optional[int] = ..., leader_node_id: _Optional[int] = ...) -> None: ...

class ControlRequest(_message.Message):
    __slots__ = ("hello", "heartbeat", "vote_requests", "timeout_nows", "probes", "announcements")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    VOTE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_NOWS_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCEMENTS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: Heartbeat
    vote_requests: _containers.RepeatedCompositeFieldContainer[VoteRequest]
    timeout_nows: _containers.RepeatedCompositeFieldContainer[TimeoutNow]
    probes: _containers.RepeatedCompositeFieldContainer[LeadershipProbe]
    announcements: _containers.RepeatedCompositeFieldContainer[LeaderAnnouncement]
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., vote_requests: _Optional[_Iterable[_Union[VoteRequest, _Mapping]]] = ..., timeout_nows: _Optional[_Iterable[_Union[TimeoutNow, _Mapping]]] = ..., probes: _Optional[_Iterable[_Union[LeadershipProbe, _Mapping]]] = ..., announcements: _Optional[_Iterable[_Union[LeaderAnnouncement, _Mapping]]] = ...) -> None: ...

class ControlResponse(_message.Message):
    __slots__ = ("hello", "heartbeat", "vote_responses", "echoes")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    VOTE_RESPONSES_FIELD_NUMBER: _ClassVar[int]
    ECHOES_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: HeartbeatResponse
    vote_responses: _containers.RepeatedCompositeFieldContainer[VoteResponse]
    echoes: _containers.RepeatedCompositeFieldContainer[LeadershipEcho]
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[HeartbeatResponse, _Mapping]] = ..., vote_responses: _Optional[_Iterable[_Union[VoteResponse, _Mapping]]] = ..., echoes: _Optional[_Iterable[_Union[LeadershipEcho, _Mapping]]] = ...) -> None: ...

class AppendEntries(_message.Message):
    __slots__ = ("group_id", "from_replica_id", "to_replica_id", "term", "previous", "commit_end", "log_start", "entries")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TO_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_END_FIELD_NUMBER: _ClassVar[int]
    LOG_START_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    from_replica_id: int
    to_replica_id: int
    term: int
    previous: LogPosition
    commit_end: int
    log_start: int
    entries: bytes
    def __init__(self, group_id: _Optional[int] = ..., from_replica_id: _Optional[int] = ..., to_replica_id: _Optional[int] = ..., term: _Optional[int] = ..., previous: _Optional[_Union[LogPosition, _Mapping]] = ..., commit_end: _Optional[int] = ..., log_start: _Optional[int] = ..., entries: _Optional[bytes] = ...) -> None: ...

class AppendEntriesResponse(_message.Message):
    __slots__ = ("group_id", "from_replica_id", "to_replica_id", "term", "accepted", "match_end", "hint", "refused_end", "needs_install", "wants_copy")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TO_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    MATCH_END_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_END_FIELD_NUMBER: _ClassVar[int]
    NEEDS_INSTALL_FIELD_NUMBER: _ClassVar[int]
    WANTS_COPY_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    from_replica_id: int
    to_replica_id: int
    term: int
    accepted: bool
    match_end: int
    hint: LogPosition
    refused_end: int
    needs_install: bool
    wants_copy: bool
    def __init__(self, group_id: _Optional[int] = ..., from_replica_id: _Optional[int] = ..., to_replica_id: _Optional[int] = ..., term: _Optional[int] = ..., accepted: bool = ..., match_end: _Optional[int] = ..., hint: _Optional[_Union[LogPosition, _Mapping]] = ..., refused_end: _Optional[int] = ..., needs_install: bool = ..., wants_copy: bool = ...) -> None: ...

class AppendRequest(_message.Message):
    __slots__ = ("hello", "appends")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    APPENDS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    appends: _containers.RepeatedCompositeFieldContainer[AppendEntries]
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., appends: _Optional[_Iterable[_Union[AppendEntries, _Mapping]]] = ...) -> None: ...

class AppendResponse(_message.Message):
    __slots__ = ("hello", "responses")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    responses: _containers.RepeatedCompositeFieldContainer[AppendEntriesResponse]
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., responses: _Optional[_Iterable[_Union[AppendEntriesResponse, _Mapping]]] = ...) -> None: ...

class InstallBegin(_message.Message):
    __slots__ = ("group_id", "from_replica_id", "to_replica_id", "term", "install_id", "log_start", "log_start_term", "end_offset", "membership", "log_state", "snapshot_bytes", "unconfirmed")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TO_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    INSTALL_ID_FIELD_NUMBER: _ClassVar[int]
    LOG_START_FIELD_NUMBER: _ClassVar[int]
    LOG_START_TERM_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    LOG_STATE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNCONFIRMED_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    from_replica_id: int
    to_replica_id: int
    term: int
    install_id: int
    log_start: int
    log_start_term: int
    end_offset: int
    membership: _membership_pb2.Membership
    log_state: bytes
    snapshot_bytes: int
    unconfirmed: bool
    def __init__(self, group_id: _Optional[int] = ..., from_replica_id: _Optional[int] = ..., to_replica_id: _Optional[int] = ..., term: _Optional[int] = ..., install_id: _Optional[int] = ..., log_start: _Optional[int] = ..., log_start_term: _Optional[int] = ..., end_offset: _Optional[int] = ..., membership: _Optional[_Union[_membership_pb2.Membership, _Mapping]] = ..., log_state: _Optional[bytes] = ..., snapshot_bytes: _Optional[int] = ..., unconfirmed: bool = ...) -> None: ...

class InstallChunk(_message.Message):
    __slots__ = ("group_id", "to_replica_id", "install_id", "snapshot", "data", "last")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    TO_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    INSTALL_ID_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    to_replica_id: int
    install_id: int
    snapshot: bool
    data: bytes
    last: bool
    def __init__(self, group_id: _Optional[int] = ..., to_replica_id: _Optional[int] = ..., install_id: _Optional[int] = ..., snapshot: bool = ..., data: _Optional[bytes] = ..., last: bool = ...) -> None: ...

class BulkRequest(_message.Message):
    __slots__ = ("hello", "begin", "chunk")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    begin: InstallBegin
    chunk: InstallChunk
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., begin: _Optional[_Union[InstallBegin, _Mapping]] = ..., chunk: _Optional[_Union[InstallChunk, _Mapping]] = ...) -> None: ...

class BulkResponse(_message.Message):
    __slots__ = ("hello", "progress")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    progress: InstallProgress
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., progress: _Optional[_Union[InstallProgress, _Mapping]] = ...) -> None: ...

class InstallProgress(_message.Message):
    __slots__ = ("group_id", "from_replica_id", "install_id", "term", "received_bytes", "done", "end_offset", "failure")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    INSTALL_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    from_replica_id: int
    install_id: int
    term: int
    received_bytes: int
    done: bool
    end_offset: int
    failure: str
    def __init__(self, group_id: _Optional[int] = ..., from_replica_id: _Optional[int] = ..., install_id: _Optional[int] = ..., term: _Optional[int] = ..., received_bytes: _Optional[int] = ..., done: bool = ..., end_offset: _Optional[int] = ..., failure: _Optional[str] = ...) -> None: ...
