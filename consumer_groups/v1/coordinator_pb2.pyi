from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAUSE_UNSPECIFIED: _ClassVar[Cause]
    CAUSE_MEMBER_JOINED: _ClassVar[Cause]
    CAUSE_MEMBER_RETURNED: _ClassVar[Cause]
    CAUSE_SUBSCRIPTION_CHANGED: _ClassVar[Cause]
    CAUSE_MEMBER_LEFT: _ClassVar[Cause]
    CAUSE_SESSION_EXPIRED: _ClassVar[Cause]
    CAUSE_REBALANCE_TIMED_OUT: _ClassVar[Cause]
    CAUSE_NO_PROGRESS: _ClassVar[Cause]
    CAUSE_TOPICS_CHANGED: _ClassVar[Cause]
    CAUSE_OFFSETS_RESET: _ClassVar[Cause]

class Forgotten(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FORGOTTEN_UNSPECIFIED: _ClassVar[Forgotten]
    FORGOTTEN_DELETED: _ClassVar[Forgotten]
    FORGOTTEN_EXPIRED: _ClassVar[Forgotten]
    FORGOTTEN_TOPIC_DELETED: _ClassVar[Forgotten]
CAUSE_UNSPECIFIED: Cause
CAUSE_MEMBER_JOINED: Cause
CAUSE_MEMBER_RETURNED: Cause
CAUSE_SUBSCRIPTION_CHANGED: Cause
CAUSE_MEMBER_LEFT: Cause
CAUSE_SESSION_EXPIRED: Cause
CAUSE_REBALANCE_TIMED_OUT: Cause
CAUSE_NO_PROGRESS: Cause
CAUSE_TOPICS_CHANGED: Cause
CAUSE_OFFSETS_RESET: Cause
FORGOTTEN_UNSPECIFIED: Forgotten
FORGOTTEN_DELETED: Forgotten
FORGOTTEN_EXPIRED: Forgotten
FORGOTTEN_TOPIC_DELETED: Forgotten

class TopicPartitions(_message.Message):
    __slots__ = ("topic_id", "partitions")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partitions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic_id: _Optional[int] = ..., partitions: _Optional[_Iterable[int]] = ...) -> None: ...

class GrantedPartitions(_message.Message):
    __slots__ = ("topic_id", "epoch", "partitions")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    epoch: int
    partitions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic_id: _Optional[int] = ..., epoch: _Optional[int] = ..., partitions: _Optional[_Iterable[int]] = ...) -> None: ...

class TopicPositions(_message.Message):
    __slots__ = ("topic_id", "partitions", "offsets", "leader_terms", "metadata", "committed_at_ms")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    LEADER_TERMS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partitions: _containers.RepeatedScalarFieldContainer[int]
    offsets: _containers.RepeatedScalarFieldContainer[int]
    leader_terms: _containers.RepeatedScalarFieldContainer[int]
    metadata: _containers.RepeatedScalarFieldContainer[str]
    committed_at_ms: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic_id: _Optional[int] = ..., partitions: _Optional[_Iterable[int]] = ..., offsets: _Optional[_Iterable[int]] = ..., leader_terms: _Optional[_Iterable[int]] = ..., metadata: _Optional[_Iterable[str]] = ..., committed_at_ms: _Optional[_Iterable[int]] = ...) -> None: ...

class Topic(_message.Message):
    __slots__ = ("topic_id", "name", "partition_count")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITION_COUNT_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    name: str
    partition_count: int
    def __init__(self, topic_id: _Optional[int] = ..., name: _Optional[str] = ..., partition_count: _Optional[int] = ...) -> None: ...

class PatternMatches(_message.Message):
    __slots__ = ("pattern", "topic_ids")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    TOPIC_IDS_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    topic_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, pattern: _Optional[str] = ..., topic_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class MemberInfo(_message.Message):
    __slots__ = ("member_id", "topics", "pattern", "instance_id", "client_id", "client_host", "assignor", "session_timeout_ms", "rebalance_timeout_ms")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_HOST_FIELD_NUMBER: _ClassVar[int]
    ASSIGNOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    member_id: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    pattern: str
    instance_id: str
    client_id: str
    client_host: str
    assignor: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    def __init__(self, member_id: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ..., pattern: _Optional[str] = ..., instance_id: _Optional[str] = ..., client_id: _Optional[str] = ..., client_host: _Optional[str] = ..., assignor: _Optional[str] = ..., session_timeout_ms: _Optional[int] = ..., rebalance_timeout_ms: _Optional[int] = ...) -> None: ...

class GroupCreated(_message.Message):
    __slots__ = ("epoch", "at_ms")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    at_ms: int
    def __init__(self, epoch: _Optional[int] = ..., at_ms: _Optional[int] = ...) -> None: ...

class MemberJoined(_message.Message):
    __slots__ = ("member", "joined_epoch", "joined_at_ms", "replaces")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    JOINED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    JOINED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    REPLACES_FIELD_NUMBER: _ClassVar[int]
    member: MemberInfo
    joined_epoch: int
    joined_at_ms: int
    replaces: str
    def __init__(self, member: _Optional[_Union[MemberInfo, _Mapping]] = ..., joined_epoch: _Optional[int] = ..., joined_at_ms: _Optional[int] = ..., replaces: _Optional[str] = ...) -> None: ...

class MemberRemoved(_message.Message):
    __slots__ = ("member_id", "at_ms")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    member_id: str
    at_ms: int
    def __init__(self, member_id: _Optional[str] = ..., at_ms: _Optional[int] = ...) -> None: ...

class EpochBumped(_message.Message):
    __slots__ = ("epoch", "cause", "at_ms", "member_id", "detail")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    cause: Cause
    at_ms: int
    member_id: str
    detail: str
    def __init__(self, epoch: _Optional[int] = ..., cause: _Optional[_Union[Cause, str]] = ..., at_ms: _Optional[int] = ..., member_id: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class TopicsResolved(_message.Message):
    __slots__ = ("catalog_version", "topics", "patterns")
    CATALOG_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    PATTERNS_FIELD_NUMBER: _ClassVar[int]
    catalog_version: int
    topics: _containers.RepeatedCompositeFieldContainer[Topic]
    patterns: _containers.RepeatedCompositeFieldContainer[PatternMatches]
    def __init__(self, catalog_version: _Optional[int] = ..., topics: _Optional[_Iterable[_Union[Topic, _Mapping]]] = ..., patterns: _Optional[_Iterable[_Union[PatternMatches, _Mapping]]] = ...) -> None: ...

class MemberTarget(_message.Message):
    __slots__ = ("member_id", "partitions")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    member_id: str
    partitions: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    def __init__(self, member_id: _Optional[str] = ..., partitions: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ...) -> None: ...

class TargetAssigned(_message.Message):
    __slots__ = ("epoch", "assignor", "changes")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ASSIGNOR_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    assignor: str
    changes: _containers.RepeatedCompositeFieldContainer[MemberTarget]
    def __init__(self, epoch: _Optional[int] = ..., assignor: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[MemberTarget, _Mapping]]] = ...) -> None: ...

class MemberReconciled(_message.Message):
    __slots__ = ("member_id", "epoch", "granted", "revoking", "released")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    REVOKING_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    member_id: str
    epoch: int
    granted: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    revoking: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    released: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    def __init__(self, member_id: _Optional[str] = ..., epoch: _Optional[int] = ..., granted: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ..., revoking: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ..., released: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ...) -> None: ...

class MembersReconciled(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[MemberReconciled]
    def __init__(self, changes: _Optional[_Iterable[_Union[MemberReconciled, _Mapping]]] = ...) -> None: ...

class PartitionsFenced(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    def __init__(self, partitions: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ...) -> None: ...

class OffsetsCommitted(_message.Message):
    __slots__ = ("at_ms", "positions", "catalog_version")
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    CATALOG_VERSION_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    positions: _containers.RepeatedCompositeFieldContainer[TopicPositions]
    catalog_version: int
    def __init__(self, at_ms: _Optional[int] = ..., positions: _Optional[_Iterable[_Union[TopicPositions, _Mapping]]] = ..., catalog_version: _Optional[int] = ...) -> None: ...

class OffsetsForgotten(_message.Message):
    __slots__ = ("partitions", "why")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    why: Forgotten
    def __init__(self, partitions: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ..., why: _Optional[_Union[Forgotten, str]] = ...) -> None: ...

class GroupDeleted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CoordinatorRecord(_message.Message):
    __slots__ = ("group", "group_created", "member_joined", "member_removed", "epoch_bumped", "topics_resolved", "target_assigned", "members_reconciled", "partitions_fenced", "offsets_committed", "offsets_forgotten", "group_deleted")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    GROUP_CREATED_FIELD_NUMBER: _ClassVar[int]
    MEMBER_JOINED_FIELD_NUMBER: _ClassVar[int]
    MEMBER_REMOVED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_BUMPED_FIELD_NUMBER: _ClassVar[int]
    TOPICS_RESOLVED_FIELD_NUMBER: _ClassVar[int]
    TARGET_ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_RECONCILED_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FENCED_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_COMMITTED_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    GROUP_DELETED_FIELD_NUMBER: _ClassVar[int]
    group: str
    group_created: GroupCreated
    member_joined: MemberJoined
    member_removed: MemberRemoved
    epoch_bumped: EpochBumped
    topics_resolved: TopicsResolved
    target_assigned: TargetAssigned
    members_reconciled: MembersReconciled
    partitions_fenced: PartitionsFenced
    offsets_committed: OffsetsCommitted
    offsets_forgotten: OffsetsForgotten
    group_deleted: GroupDeleted
    def __init__(self, group: _Optional[str] = ..., group_created: _Optional[_Union[GroupCreated, _Mapping]] = ..., member_joined: _Optional[_Union[MemberJoined, _Mapping]] = ..., member_removed: _Optional[_Union[MemberRemoved, _Mapping]] = ..., epoch_bumped: _Optional[_Union[EpochBumped, _Mapping]] = ..., topics_resolved: _Optional[_Union[TopicsResolved, _Mapping]] = ..., target_assigned: _Optional[_Union[TargetAssigned, _Mapping]] = ..., members_reconciled: _Optional[_Union[MembersReconciled, _Mapping]] = ..., partitions_fenced: _Optional[_Union[PartitionsFenced, _Mapping]] = ..., offsets_committed: _Optional[_Union[OffsetsCommitted, _Mapping]] = ..., offsets_forgotten: _Optional[_Union[OffsetsForgotten, _Mapping]] = ..., group_deleted: _Optional[_Union[GroupDeleted, _Mapping]] = ...) -> None: ...

class MemberSnapshot(_message.Message):
    __slots__ = ("info", "joined_epoch", "joined_at_ms", "epoch", "target", "owned", "revoking")
    INFO_FIELD_NUMBER: _ClassVar[int]
    JOINED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    JOINED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    OWNED_FIELD_NUMBER: _ClassVar[int]
    REVOKING_FIELD_NUMBER: _ClassVar[int]
    info: MemberInfo
    joined_epoch: int
    joined_at_ms: int
    epoch: int
    target: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    owned: _containers.RepeatedCompositeFieldContainer[GrantedPartitions]
    revoking: _containers.RepeatedCompositeFieldContainer[GrantedPartitions]
    def __init__(self, info: _Optional[_Union[MemberInfo, _Mapping]] = ..., joined_epoch: _Optional[int] = ..., joined_at_ms: _Optional[int] = ..., epoch: _Optional[int] = ..., target: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ..., owned: _Optional[_Iterable[_Union[GrantedPartitions, _Mapping]]] = ..., revoking: _Optional[_Iterable[_Union[GrantedPartitions, _Mapping]]] = ...) -> None: ...

class GroupSnapshot(_message.Message):
    __slots__ = ("name", "epoch", "target_epoch", "assignor", "catalog_version", "topics", "patterns", "members", "positions", "rebalances", "empty_since_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TARGET_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ASSIGNOR_FIELD_NUMBER: _ClassVar[int]
    CATALOG_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    PATTERNS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    REBALANCES_FIELD_NUMBER: _ClassVar[int]
    EMPTY_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    epoch: int
    target_epoch: int
    assignor: str
    catalog_version: int
    topics: _containers.RepeatedCompositeFieldContainer[Topic]
    patterns: _containers.RepeatedCompositeFieldContainer[PatternMatches]
    members: _containers.RepeatedCompositeFieldContainer[MemberSnapshot]
    positions: _containers.RepeatedCompositeFieldContainer[TopicPositions]
    rebalances: _containers.RepeatedCompositeFieldContainer[EpochBumped]
    empty_since_ms: int
    def __init__(self, name: _Optional[str] = ..., epoch: _Optional[int] = ..., target_epoch: _Optional[int] = ..., assignor: _Optional[str] = ..., catalog_version: _Optional[int] = ..., topics: _Optional[_Iterable[_Union[Topic, _Mapping]]] = ..., patterns: _Optional[_Iterable[_Union[PatternMatches, _Mapping]]] = ..., members: _Optional[_Iterable[_Union[MemberSnapshot, _Mapping]]] = ..., positions: _Optional[_Iterable[_Union[TopicPositions, _Mapping]]] = ..., rebalances: _Optional[_Iterable[_Union[EpochBumped, _Mapping]]] = ..., empty_since_ms: _Optional[int] = ...) -> None: ...

class CoordinatorSnapshot(_message.Message):
    __slots__ = ("format_version", "epoch_floor", "groups")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FLOOR_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    epoch_floor: int
    groups: _containers.RepeatedCompositeFieldContainer[GroupSnapshot]
    def __init__(self, format_version: _Optional[int] = ..., epoch_floor: _Optional[int] = ..., groups: _Optional[_Iterable[_Union[GroupSnapshot, _Mapping]]] = ...) -> None: ...
