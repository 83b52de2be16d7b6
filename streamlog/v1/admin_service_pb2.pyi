from streamlog.v1 import log_service_pb2 as _log_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReplicaRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLICA_ROLE_UNSPECIFIED: _ClassVar[ReplicaRole]
    REPLICA_ROLE_LEADER: _ClassVar[ReplicaRole]
    REPLICA_ROLE_FOLLOWER: _ClassVar[ReplicaRole]
    REPLICA_ROLE_LEARNER: _ClassVar[ReplicaRole]
REPLICA_ROLE_UNSPECIFIED: ReplicaRole
REPLICA_ROLE_LEADER: ReplicaRole
REPLICA_ROLE_FOLLOWER: ReplicaRole
REPLICA_ROLE_LEARNER: ReplicaRole

class CreateTopicRequest(_message.Message):
    __slots__ = ("name", "partition_count", "replication_factor", "config", "validate_only")
    class ConfigEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITION_COUNT_FIELD_NUMBER: _ClassVar[int]
    REPLICATION_FACTOR_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    partition_count: int
    replication_factor: int
    config: _containers.ScalarMap[str, str]
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., partition_count: _Optional[int] = ..., replication_factor: _Optional[int] = ..., config: _Optional[_Mapping[str, str]] = ..., validate_only: bool = ...) -> None: ...

class CreateTopicResponse(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: _log_service_pb2.TopicMetadata
    def __init__(self, topic: _Optional[_Union[_log_service_pb2.TopicMetadata, _Mapping]] = ...) -> None: ...

class AlterTopicRequest(_message.Message):
    __slots__ = ("name", "set", "unset", "validate_only")
    class SetEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    UNSET_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    set: _containers.ScalarMap[str, str]
    unset: _containers.RepeatedScalarFieldContainer[str]
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., set: _Optional[_Mapping[str, str]] = ..., unset: _Optional[_Iterable[str]] = ..., validate_only: bool = ...) -> None: ...

class AlterTopicResponse(_message.Message):
    __slots__ = ("config",)
    class ConfigEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: _containers.ScalarMap[str, str]
    def __init__(self, config: _Optional[_Mapping[str, str]] = ...) -> None: ...

class AddPartitionsRequest(_message.Message):
    __slots__ = ("name", "partition_count", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITION_COUNT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    partition_count: int
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., partition_count: _Optional[int] = ..., validate_only: bool = ...) -> None: ...

class AddPartitionsResponse(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: _log_service_pb2.TopicMetadata
    def __init__(self, topic: _Optional[_Union[_log_service_pb2.TopicMetadata, _Mapping]] = ...) -> None: ...

class DeleteTopicRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteTopicResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTopicsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class TopicSummary(_message.Message):
    __slots__ = ("name", "topic_id", "partition_count", "replication_factor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_COUNT_FIELD_NUMBER: _ClassVar[int]
    REPLICATION_FACTOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    topic_id: int
    partition_count: int
    replication_factor: int
    def __init__(self, name: _Optional[str] = ..., topic_id: _Optional[int] = ..., partition_count: _Optional[int] = ..., replication_factor: _Optional[int] = ...) -> None: ...

class ListTopicsResponse(_message.Message):
    __slots__ = ("topics", "next_page_token")
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedCompositeFieldContainer[TopicSummary]
    next_page_token: str
    def __init__(self, topics: _Optional[_Iterable[_Union[TopicSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DescribeTopicRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ConfigEntry(_message.Message):
    __slots__ = ("key", "value", "overridden", "documentation")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    OVERRIDDEN_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTATION_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    overridden: bool
    documentation: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., overridden: bool = ..., documentation: _Optional[str] = ...) -> None: ...

class DescribeTopicResponse(_message.Message):
    __slots__ = ("topic", "config")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    topic: _log_service_pb2.TopicMetadata
    config: _containers.RepeatedCompositeFieldContainer[ConfigEntry]
    def __init__(self, topic: _Optional[_Union[_log_service_pb2.TopicMetadata, _Mapping]] = ..., config: _Optional[_Iterable[_Union[ConfigEntry, _Mapping]]] = ...) -> None: ...

class DescribeClusterRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeClusterResponse(_message.Message):
    __slots__ = ("cluster_id", "nodes", "metadata_leader_node_id", "topic_count", "partition_count", "leaderless_partition_count", "metadata_voter_node_ids")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    METADATA_LEADER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_COUNT_FIELD_NUMBER: _ClassVar[int]
    PARTITION_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEADERLESS_PARTITION_COUNT_FIELD_NUMBER: _ClassVar[int]
    METADATA_VOTER_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    nodes: _containers.RepeatedCompositeFieldContainer[_log_service_pb2.Node]
    metadata_leader_node_id: int
    topic_count: int
    partition_count: int
    leaderless_partition_count: int
    metadata_voter_node_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, cluster_id: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[_log_service_pb2.Node, _Mapping]]] = ..., metadata_leader_node_id: _Optional[int] = ..., topic_count: _Optional[int] = ..., partition_count: _Optional[int] = ..., leaderless_partition_count: _Optional[int] = ..., metadata_voter_node_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class DescribeReplicasRequest(_message.Message):
    __slots__ = ("topic", "damage_only")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_ONLY_FIELD_NUMBER: _ClassVar[int]
    topic: str
    damage_only: bool
    def __init__(self, topic: _Optional[str] = ..., damage_only: bool = ...) -> None: ...

class ReplicaDescription(_message.Message):
    __slots__ = ("topic", "partition", "role", "start_offset", "end_offset", "committed_end_offset", "size_bytes", "segment_count", "end_term")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    END_TERM_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    role: ReplicaRole
    start_offset: int
    end_offset: int
    committed_end_offset: int
    size_bytes: int
    segment_count: int
    end_term: int
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., role: _Optional[_Union[ReplicaRole, str]] = ..., start_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., committed_end_offset: _Optional[int] = ..., size_bytes: _Optional[int] = ..., segment_count: _Optional[int] = ..., end_term: _Optional[int] = ...) -> None: ...

class DescribeReplicasResponse(_message.Message):
    __slots__ = ("node_id", "disk_free_bytes", "replicas", "damaged_ranges", "damaged_range_count")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_RANGES_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_RANGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    disk_free_bytes: int
    replicas: _containers.RepeatedCompositeFieldContainer[ReplicaDescription]
    damaged_ranges: _containers.RepeatedCompositeFieldContainer[DamagedRange]
    damaged_range_count: int
    def __init__(self, node_id: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., replicas: _Optional[_Iterable[_Union[ReplicaDescription, _Mapping]]] = ..., damaged_ranges: _Optional[_Iterable[_Union[DamagedRange, _Mapping]]] = ..., damaged_range_count: _Optional[int] = ...) -> None: ...

class DamagedRange(_message.Message):
    __slots__ = ("topic", "partition", "start_offset", "end_offset", "of_snapshot")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    OF_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    start_offset: int
    end_offset: int
    of_snapshot: bool
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., start_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., of_snapshot: bool = ...) -> None: ...

class ForceRecoverPartitionRequest(_message.Message):
    __slots__ = ("topic", "partition", "node_id", "dry_run", "accept_data_loss")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_DATA_LOSS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    node_id: int
    dry_run: bool
    accept_data_loss: str
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., node_id: _Optional[int] = ..., dry_run: bool = ..., accept_data_loss: _Optional[str] = ...) -> None: ...

class ForceRecoverMetadataRequest(_message.Message):
    __slots__ = ("node_id", "dry_run", "accept_data_loss")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_DATA_LOSS_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    dry_run: bool
    accept_data_loss: str
    def __init__(self, node_id: _Optional[int] = ..., dry_run: bool = ..., accept_data_loss: _Optional[str] = ...) -> None: ...

class RecoveryMember(_message.Message):
    __slots__ = ("replica_id", "node_id", "live")
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    replica_id: int
    node_id: int
    live: bool
    def __init__(self, replica_id: _Optional[int] = ..., node_id: _Optional[int] = ..., live: bool = ...) -> None: ...

class RecoveryNode(_message.Message):
    __slots__ = ("node_id", "address")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    address: str
    def __init__(self, node_id: _Optional[int] = ..., address: _Optional[str] = ...) -> None: ...

class ForceRecoverResponse(_message.Message):
    __slots__ = ("group_id", "term", "start_offset", "end_offset", "committed_end_offset", "heard_committed_end_offset", "survivor", "left_behind", "forced", "cluster_id", "end_term", "other_nodes")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    HEARD_COMMITTED_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    SURVIVOR_FIELD_NUMBER: _ClassVar[int]
    LEFT_BEHIND_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    END_TERM_FIELD_NUMBER: _ClassVar[int]
    OTHER_NODES_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    term: int
    start_offset: int
    end_offset: int
    committed_end_offset: int
    heard_committed_end_offset: int
    survivor: RecoveryMember
    left_behind: _containers.RepeatedCompositeFieldContainer[RecoveryMember]
    forced: bool
    cluster_id: str
    end_term: int
    other_nodes: _containers.RepeatedCompositeFieldContainer[RecoveryNode]
    def __init__(self, group_id: _Optional[int] = ..., term: _Optional[int] = ..., start_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., committed_end_offset: _Optional[int] = ..., heard_committed_end_offset: _Optional[int] = ..., survivor: _Optional[_Union[RecoveryMember, _Mapping]] = ..., left_behind: _Optional[_Iterable[_Union[RecoveryMember, _Mapping]]] = ..., forced: bool = ..., cluster_id: _Optional[str] = ..., end_term: _Optional[int] = ..., other_nodes: _Optional[_Iterable[_Union[RecoveryNode, _Mapping]]] = ...) -> None: ...

class SetNodeConditionRequest(_message.Message):
    __slots__ = ("node_id", "condition", "replacement_node_id", "force", "validate_only")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    condition: _log_service_pb2.NodeCondition
    replacement_node_id: int
    force: bool
    validate_only: bool
    def __init__(self, node_id: _Optional[int] = ..., condition: _Optional[_Union[_log_service_pb2.NodeCondition, str]] = ..., replacement_node_id: _Optional[int] = ..., force: bool = ..., validate_only: bool = ...) -> None: ...

class SetNodeConditionResponse(_message.Message):
    __slots__ = ("replica_count",)
    REPLICA_COUNT_FIELD_NUMBER: _ClassVar[int]
    replica_count: int
    def __init__(self, replica_count: _Optional[int] = ...) -> None: ...

class RemoveNodeRequest(_message.Message):
    __slots__ = ("node_id", "validate_only")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    validate_only: bool
    def __init__(self, node_id: _Optional[int] = ..., validate_only: bool = ...) -> None: ...

class RemoveNodeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetControllersRequest(_message.Message):
    __slots__ = ("node_ids", "validate_only")
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    node_ids: _containers.RepeatedScalarFieldContainer[int]
    validate_only: bool
    def __init__(self, node_ids: _Optional[_Iterable[int]] = ..., validate_only: bool = ...) -> None: ...

class SetControllersResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PartitionAssignment(_message.Message):
    __slots__ = ("topic", "partition", "node_ids")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    node_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., node_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class MovePartitionsRequest(_message.Message):
    __slots__ = ("assignments", "force", "validate_only")
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[PartitionAssignment]
    force: bool
    validate_only: bool
    def __init__(self, assignments: _Optional[_Iterable[_Union[PartitionAssignment, _Mapping]]] = ..., force: bool = ..., validate_only: bool = ...) -> None: ...

class MovePartitionsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetReplicationFactorRequest(_message.Message):
    __slots__ = ("topic", "replication_factor", "validate_only")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    REPLICATION_FACTOR_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    topic: str
    replication_factor: int
    validate_only: bool
    def __init__(self, topic: _Optional[str] = ..., replication_factor: _Optional[int] = ..., validate_only: bool = ...) -> None: ...

class SetReplicationFactorResponse(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: _log_service_pb2.TopicMetadata
    def __init__(self, topic: _Optional[_Union[_log_service_pb2.TopicMetadata, _Mapping]] = ...) -> None: ...

class ListMovesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListMovesResponse(_message.Message):
    __slots__ = ("moves",)
    MOVES_FIELD_NUMBER: _ClassVar[int]
    moves: _containers.RepeatedCompositeFieldContainer[PartitionMove]
    def __init__(self, moves: _Optional[_Iterable[_Union[PartitionMove, _Mapping]]] = ...) -> None: ...

class PartitionMove(_message.Message):
    __slots__ = ("topic", "partition", "node_ids", "leaving_node_ids", "leader_node_id", "progress_known", "end_offset", "start_offset", "copies")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    LEADER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_KNOWN_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    node_ids: _containers.RepeatedScalarFieldContainer[int]
    leaving_node_ids: _containers.RepeatedScalarFieldContainer[int]
    leader_node_id: int
    progress_known: bool
    end_offset: int
    start_offset: int
    copies: _containers.RepeatedCompositeFieldContainer[ReplicaCopy]
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., node_ids: _Optional[_Iterable[int]] = ..., leaving_node_ids: _Optional[_Iterable[int]] = ..., leader_node_id: _Optional[int] = ..., progress_known: bool = ..., end_offset: _Optional[int] = ..., start_offset: _Optional[int] = ..., copies: _Optional[_Iterable[_Union[ReplicaCopy, _Mapping]]] = ...) -> None: ...

class ReplicaCopy(_message.Message):
    __slots__ = ("node_id", "end_offset")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    end_offset: int
    def __init__(self, node_id: _Optional[int] = ..., end_offset: _Optional[int] = ...) -> None: ...

class RebalanceRequest(_message.Message):
    __slots__ = ("moves_max", "validate_only")
    MOVES_MAX_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    moves_max: int
    validate_only: bool
    def __init__(self, moves_max: _Optional[int] = ..., validate_only: bool = ...) -> None: ...

class RebalanceResponse(_message.Message):
    __slots__ = ("assignments",)
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[PartitionAssignment]
    def __init__(self, assignments: _Optional[_Iterable[_Union[PartitionAssignment, _Mapping]]] = ...) -> None: ...
