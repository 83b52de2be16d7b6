from streamlog.v1 import error_pb2 as _error_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GroupPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_PHASE_UNSPECIFIED: _ClassVar[GroupPhase]
    GROUP_PHASE_EMPTY: _ClassVar[GroupPhase]
    GROUP_PHASE_STABLE: _ClassVar[GroupPhase]
    GROUP_PHASE_RECONCILING: _ClassVar[GroupPhase]

class MemberPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMBER_PHASE_UNSPECIFIED: _ClassVar[MemberPhase]
    MEMBER_PHASE_STABLE: _ClassVar[MemberPhase]
    MEMBER_PHASE_REVOKING: _ClassVar[MemberPhase]
    MEMBER_PHASE_WAITING: _ClassVar[MemberPhase]
GROUP_PHASE_UNSPECIFIED: GroupPhase
GROUP_PHASE_EMPTY: GroupPhase
GROUP_PHASE_STABLE: GroupPhase
GROUP_PHASE_RECONCILING: GroupPhase
MEMBER_PHASE_UNSPECIFIED: MemberPhase
MEMBER_PHASE_STABLE: MemberPhase
MEMBER_PHASE_REVOKING: MemberPhase
MEMBER_PHASE_WAITING: MemberPhase

class FindCoordinatorRequest(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: str
    def __init__(self, group: _Optional[str] = ...) -> None: ...

class FindCoordinatorResponse(_message.Message):
    __slots__ = ("partition", "leader_node_id", "leader_address", "leader_term")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    LEADER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    LEADER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LEADER_TERM_FIELD_NUMBER: _ClassVar[int]
    partition: int
    leader_node_id: int
    leader_address: str
    leader_term: int
    def __init__(self, partition: _Optional[int] = ..., leader_node_id: _Optional[int] = ..., leader_address: _Optional[str] = ..., leader_term: _Optional[int] = ...) -> None: ...

class GroupPartition(_message.Message):
    __slots__ = ("topic_id", "partition")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ...) -> None: ...

class GroupOffset(_message.Message):
    __slots__ = ("topic_id", "partition", "offset", "leader_term", "metadata", "committed_at_ms")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LEADER_TERM_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    offset: int
    leader_term: int
    metadata: str
    committed_at_ms: int
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., leader_term: _Optional[int] = ..., metadata: _Optional[str] = ..., committed_at_ms: _Optional[int] = ...) -> None: ...

class MemberRequest(_message.Message):
    __slots__ = ("join", "heartbeat", "acknowledge", "commit", "leave")
    JOIN_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    join: MemberJoin
    heartbeat: MemberHeartbeat
    acknowledge: MemberAcknowledge
    commit: MemberCommit
    leave: MemberLeave
    def __init__(self, join: _Optional[_Union[MemberJoin, _Mapping]] = ..., heartbeat: _Optional[_Union[MemberHeartbeat, _Mapping]] = ..., acknowledge: _Optional[_Union[MemberAcknowledge, _Mapping]] = ..., commit: _Optional[_Union[MemberCommit, _Mapping]] = ..., leave: _Optional[_Union[MemberLeave, _Mapping]] = ...) -> None: ...

class MemberJoin(_message.Message):
    __slots__ = ("group", "member_id", "instance_id", "topics", "pattern", "assignor", "session_timeout_ms", "rebalance_timeout_ms", "client_id", "member_epoch")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    ASSIGNOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    group: str
    member_id: str
    instance_id: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    pattern: str
    assignor: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    client_id: str
    member_epoch: int
    def __init__(self, group: _Optional[str] = ..., member_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ..., pattern: _Optional[str] = ..., assignor: _Optional[str] = ..., session_timeout_ms: _Optional[int] = ..., rebalance_timeout_ms: _Optional[int] = ..., client_id: _Optional[str] = ..., member_epoch: _Optional[int] = ...) -> None: ...

class MemberHeartbeat(_message.Message):
    __slots__ = ("sequence", "member_epoch", "assigned_count", "handled_count")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    HANDLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    member_epoch: int
    assigned_count: int
    handled_count: int
    def __init__(self, sequence: _Optional[int] = ..., member_epoch: _Optional[int] = ..., assigned_count: _Optional[int] = ..., handled_count: _Optional[int] = ...) -> None: ...

class MemberAcknowledge(_message.Message):
    __slots__ = ("member_epoch", "revoked")
    MEMBER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    member_epoch: int
    revoked: _containers.RepeatedCompositeFieldContainer[GroupPartition]
    def __init__(self, member_epoch: _Optional[int] = ..., revoked: _Optional[_Iterable[_Union[GroupPartition, _Mapping]]] = ...) -> None: ...

class MemberCommit(_message.Message):
    __slots__ = ("sequence", "member_epoch", "offsets")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    member_epoch: int
    offsets: _containers.RepeatedCompositeFieldContainer[GroupOffset]
    def __init__(self, sequence: _Optional[int] = ..., member_epoch: _Optional[int] = ..., offsets: _Optional[_Iterable[_Union[GroupOffset, _Mapping]]] = ...) -> None: ...

class MemberLeave(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MemberResponse(_message.Message):
    __slots__ = ("assignment", "heartbeat", "commit", "error")
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    assignment: MemberAssignment
    heartbeat: MemberHeartbeatAnswer
    commit: MemberCommitAnswer
    error: _error_pb2.Error
    def __init__(self, assignment: _Optional[_Union[MemberAssignment, _Mapping]] = ..., heartbeat: _Optional[_Union[MemberHeartbeatAnswer, _Mapping]] = ..., commit: _Optional[_Union[MemberCommitAnswer, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...

class MemberAssignment(_message.Message):
    __slots__ = ("member_epoch", "group_epoch", "assigned", "revoking", "session_timeout_ms", "heartbeat_interval_ms")
    MEMBER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    GROUP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    REVOKING_FIELD_NUMBER: _ClassVar[int]
    SESSION_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    member_epoch: int
    group_epoch: int
    assigned: _containers.RepeatedCompositeFieldContainer[AssignedPartition]
    revoking: _containers.RepeatedCompositeFieldContainer[GroupPartition]
    session_timeout_ms: int
    heartbeat_interval_ms: int
    def __init__(self, member_epoch: _Optional[int] = ..., group_epoch: _Optional[int] = ..., assigned: _Optional[_Iterable[_Union[AssignedPartition, _Mapping]]] = ..., revoking: _Optional[_Iterable[_Union[GroupPartition, _Mapping]]] = ..., session_timeout_ms: _Optional[int] = ..., heartbeat_interval_ms: _Optional[int] = ...) -> None: ...

class AssignedPartition(_message.Message):
    __slots__ = ("topic_id", "topic", "partition", "grant_epoch", "committed")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    GRANT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    topic: str
    partition: int
    grant_epoch: int
    committed: GroupOffset
    def __init__(self, topic_id: _Optional[int] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., grant_epoch: _Optional[int] = ..., committed: _Optional[_Union[GroupOffset, _Mapping]] = ...) -> None: ...

class MemberHeartbeatAnswer(_message.Message):
    __slots__ = ("sequence", "member_epoch", "coordinator_term")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_TERM_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    member_epoch: int
    coordinator_term: int
    def __init__(self, sequence: _Optional[int] = ..., member_epoch: _Optional[int] = ..., coordinator_term: _Optional[int] = ...) -> None: ...

class MemberCommitAnswer(_message.Message):
    __slots__ = ("sequence", "error")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    error: _error_pb2.Error
    def __init__(self, sequence: _Optional[int] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...

class CommitOffsetsRequest(_message.Message):
    __slots__ = ("group", "offsets")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    group: str
    offsets: _containers.RepeatedCompositeFieldContainer[GroupOffset]
    def __init__(self, group: _Optional[str] = ..., offsets: _Optional[_Iterable[_Union[GroupOffset, _Mapping]]] = ...) -> None: ...

class CommitOffsetsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FetchOffsetsRequest(_message.Message):
    __slots__ = ("group", "partitions", "page_size", "page_token")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    group: str
    partitions: _containers.RepeatedCompositeFieldContainer[GroupPartition]
    page_size: int
    page_token: str
    def __init__(self, group: _Optional[str] = ..., partitions: _Optional[_Iterable[_Union[GroupPartition, _Mapping]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class FetchOffsetsResponse(_message.Message):
    __slots__ = ("offsets", "next_page_token")
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    offsets: _containers.RepeatedCompositeFieldContainer[GroupOffset]
    next_page_token: str
    def __init__(self, offsets: _Optional[_Iterable[_Union[GroupOffset, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListGroupsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListGroupsResponse(_message.Message):
    __slots__ = ("groups", "next_page_token")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[GroupSummary]
    next_page_token: str
    def __init__(self, groups: _Optional[_Iterable[_Union[GroupSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GroupSummary(_message.Message):
    __slots__ = ("group", "phase", "member_count", "group_epoch", "assignor", "offset_count")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    GROUP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ASSIGNOR_FIELD_NUMBER: _ClassVar[int]
    OFFSET_COUNT_FIELD_NUMBER: _ClassVar[int]
    group: str
    phase: GroupPhase
    member_count: int
    group_epoch: int
    assignor: str
    offset_count: int
    def __init__(self, group: _Optional[str] = ..., phase: _Optional[_Union[GroupPhase, str]] = ..., member_count: _Optional[int] = ..., group_epoch: _Optional[int] = ..., assignor: _Optional[str] = ..., offset_count: _Optional[int] = ...) -> None: ...

class DescribeGroupRequest(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: str
    def __init__(self, group: _Optional[str] = ...) -> None: ...

class DescribeGroupResponse(_message.Message):
    __slots__ = ("summary", "members", "offsets", "unowned", "rebalances", "empty_since_ms", "coordinator_node_id", "coordinator_term", "findings", "topics")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    UNOWNED_FIELD_NUMBER: _ClassVar[int]
    REBALANCES_FIELD_NUMBER: _ClassVar[int]
    EMPTY_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_TERM_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    summary: GroupSummary
    members: _containers.RepeatedCompositeFieldContainer[MemberDescription]
    offsets: _containers.RepeatedCompositeFieldContainer[GroupOffset]
    unowned: _containers.RepeatedCompositeFieldContainer[GroupPartition]
    rebalances: _containers.RepeatedCompositeFieldContainer[GroupRebalance]
    empty_since_ms: int
    coordinator_node_id: int
    coordinator_term: int
    findings: _containers.RepeatedCompositeFieldContainer[GroupFinding]
    topics: _containers.RepeatedCompositeFieldContainer[GroupTopic]
    def __init__(self, summary: _Optional[_Union[GroupSummary, _Mapping]] = ..., members: _Optional[_Iterable[_Union[MemberDescription, _Mapping]]] = ..., offsets: _Optional[_Iterable[_Union[GroupOffset, _Mapping]]] = ..., unowned: _Optional[_Iterable[_Union[GroupPartition, _Mapping]]] = ..., rebalances: _Optional[_Iterable[_Union[GroupRebalance, _Mapping]]] = ..., empty_since_ms: _Optional[int] = ..., coordinator_node_id: _Optional[int] = ..., coordinator_term: _Optional[int] = ..., findings: _Optional[_Iterable[_Union[GroupFinding, _Mapping]]] = ..., topics: _Optional[_Iterable[_Union[GroupTopic, _Mapping]]] = ...) -> None: ...

class GroupTopic(_message.Message):
    __slots__ = ("topic_id", "topic")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    topic: str
    def __init__(self, topic_id: _Optional[int] = ..., topic: _Optional[str] = ...) -> None: ...

class GroupFinding(_message.Message):
    __slots__ = ("kind", "member_id", "partition", "for_ms", "detail")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    FOR_MS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: str
    member_id: str
    partition: GroupPartition
    for_ms: int
    detail: str
    def __init__(self, kind: _Optional[str] = ..., member_id: _Optional[str] = ..., partition: _Optional[_Union[GroupPartition, _Mapping]] = ..., for_ms: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class MemberDescription(_message.Message):
    __slots__ = ("member_id", "instance_id", "client_id", "client_host", "phase", "member_epoch", "joined_at_ms", "connected", "assigned", "revoking", "target", "missing_topics", "topics", "pattern", "session_timeout_ms", "rebalance_timeout_ms", "silent_ms", "idle_ms")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_HOST_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    JOINED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    REVOKING_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MISSING_TOPICS_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    SESSION_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    SILENT_MS_FIELD_NUMBER: _ClassVar[int]
    IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    member_id: str
    instance_id: str
    client_id: str
    client_host: str
    phase: MemberPhase
    member_epoch: int
    joined_at_ms: int
    connected: bool
    assigned: _containers.RepeatedCompositeFieldContainer[GroupPartition]
    revoking: _containers.RepeatedCompositeFieldContainer[GroupPartition]
    target: _containers.RepeatedCompositeFieldContainer[GroupPartition]
    missing_topics: _containers.RepeatedScalarFieldContainer[str]
    topics: _containers.RepeatedScalarFieldContainer[str]
    pattern: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    silent_ms: int
    idle_ms: int
    def __init__(self, member_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., client_id: _Optional[str] = ..., client_host: _Optional[str] = ..., phase: _Optional[_Union[MemberPhase, str]] = ..., member_epoch: _Optional[int] = ..., joined_at_ms: _Optional[int] = ..., connected: bool = ..., assigned: _Optional[_Iterable[_Union[GroupPartition, _Mapping]]] = ..., revoking: _Optional[_Iterable[_Union[GroupPartition, _Mapping]]] = ..., target: _Optional[_Iterable[_Union[GroupPartition, _Mapping]]] = ..., missing_topics: _Optional[_Iterable[str]] = ..., topics: _Optional[_Iterable[str]] = ..., pattern: _Optional[str] = ..., session_timeout_ms: _Optional[int] = ..., rebalance_timeout_ms: _Optional[int] = ..., silent_ms: _Optional[int] = ..., idle_ms: _Optional[int] = ...) -> None: ...

class GroupRebalance(_message.Message):
    __slots__ = ("group_epoch", "cause", "at_ms", "member_id", "detail")
    GROUP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    group_epoch: int
    cause: str
    at_ms: int
    member_id: str
    detail: str
    def __init__(self, group_epoch: _Optional[int] = ..., cause: _Optional[str] = ..., at_ms: _Optional[int] = ..., member_id: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ResetOffsetsRequest(_message.Message):
    __slots__ = ("group", "offsets")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    group: str
    offsets: _containers.RepeatedCompositeFieldContainer[GroupOffset]
    def __init__(self, group: _Optional[str] = ..., offsets: _Optional[_Iterable[_Union[GroupOffset, _Mapping]]] = ...) -> None: ...

class ResetOffsetsResponse(_message.Message):
    __slots__ = ("group_epoch",)
    GROUP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    group_epoch: int
    def __init__(self, group_epoch: _Optional[int] = ...) -> None: ...

class DeleteOffsetsRequest(_message.Message):
    __slots__ = ("group", "partitions")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    group: str
    partitions: _containers.RepeatedCompositeFieldContainer[GroupPartition]
    def __init__(self, group: _Optional[str] = ..., partitions: _Optional[_Iterable[_Union[GroupPartition, _Mapping]]] = ...) -> None: ...

class DeleteOffsetsResponse(_message.Message):
    __slots__ = ("deleted_count",)
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    def __init__(self, deleted_count: _Optional[int] = ...) -> None: ...

class DeleteGroupRequest(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: str
    def __init__(self, group: _Optional[str] = ...) -> None: ...

class DeleteGroupResponse(_message.Message):
    __slots__ = ("deleted_count",)
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    def __init__(self, deleted_count: _Optional[int] = ...) -> None: ...
