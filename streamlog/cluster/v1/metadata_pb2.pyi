from replication.v1 import membership_pb2 as _membership_pb2
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
NODE_CONDITION_UNSPECIFIED: NodeCondition
NODE_CONDITION_MAINTENANCE: NodeCondition
NODE_CONDITION_DRAINING: NodeCondition

class Founding(_message.Message):
    __slots__ = ("cluster_id_high", "cluster_id_low", "membership")
    CLUSTER_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    cluster_id_high: int
    cluster_id_low: int
    membership: _membership_pb2.Membership
    def __init__(self, cluster_id_high: _Optional[int] = ..., cluster_id_low: _Optional[int] = ..., membership: _Optional[_Union[_membership_pb2.Membership, _Mapping]] = ...) -> None: ...

class NodeRegistration(_message.Message):
    __slots__ = ("node_id", "address", "rack", "directory_id_high", "directory_id_low", "boot_id", "registered_at_ms", "metadata_replica_id", "condition", "replacement_node_id", "controller")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    RACK_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    METADATA_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    address: str
    rack: str
    directory_id_high: int
    directory_id_low: int
    boot_id: int
    registered_at_ms: int
    metadata_replica_id: int
    condition: NodeCondition
    replacement_node_id: int
    controller: bool
    def __init__(self, node_id: _Optional[int] = ..., address: _Optional[str] = ..., rack: _Optional[str] = ..., directory_id_high: _Optional[int] = ..., directory_id_low: _Optional[int] = ..., boot_id: _Optional[int] = ..., registered_at_ms: _Optional[int] = ..., metadata_replica_id: _Optional[int] = ..., condition: _Optional[_Union[NodeCondition, str]] = ..., replacement_node_id: _Optional[int] = ..., controller: bool = ...) -> None: ...

class PartitionPlacement(_message.Message):
    __slots__ = ("group_id", "replicas", "created_offset", "placed_offsets", "leaving", "moving", "next_replica_id", "version", "never_settled")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    CREATED_OFFSET_FIELD_NUMBER: _ClassVar[int]
    PLACED_OFFSETS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    MOVING_FIELD_NUMBER: _ClassVar[int]
    NEXT_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NEVER_SETTLED_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    replicas: _containers.RepeatedCompositeFieldContainer[_membership_pb2.Replica]
    created_offset: int
    placed_offsets: _containers.RepeatedScalarFieldContainer[int]
    leaving: _containers.RepeatedCompositeFieldContainer[_membership_pb2.Replica]
    moving: bool
    next_replica_id: int
    version: int
    never_settled: bool
    def __init__(self, group_id: _Optional[int] = ..., replicas: _Optional[_Iterable[_Union[_membership_pb2.Replica, _Mapping]]] = ..., created_offset: _Optional[int] = ..., placed_offsets: _Optional[_Iterable[int]] = ..., leaving: _Optional[_Iterable[_Union[_membership_pb2.Replica, _Mapping]]] = ..., moving: bool = ..., next_replica_id: _Optional[int] = ..., version: _Optional[int] = ..., never_settled: bool = ...) -> None: ...

class Override(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class NodeRegistered(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: NodeRegistration
    def __init__(self, node: _Optional[_Union[NodeRegistration, _Mapping]] = ...) -> None: ...

class TopicCreated(_message.Message):
    __slots__ = ("topic_id", "name", "partitions", "overrides", "request_id")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    name: str
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionPlacement]
    overrides: _containers.RepeatedCompositeFieldContainer[Override]
    request_id: int
    def __init__(self, topic_id: _Optional[int] = ..., name: _Optional[str] = ..., partitions: _Optional[_Iterable[_Union[PartitionPlacement, _Mapping]]] = ..., overrides: _Optional[_Iterable[_Union[Override, _Mapping]]] = ..., request_id: _Optional[int] = ...) -> None: ...

class TopicConfigured(_message.Message):
    __slots__ = ("topic_id", "overrides", "request_id")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    overrides: _containers.RepeatedCompositeFieldContainer[Override]
    request_id: int
    def __init__(self, topic_id: _Optional[int] = ..., overrides: _Optional[_Iterable[_Union[Override, _Mapping]]] = ..., request_id: _Optional[int] = ...) -> None: ...

class PartitionsAdded(_message.Message):
    __slots__ = ("topic_id", "partitions", "request_id")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionPlacement]
    request_id: int
    def __init__(self, topic_id: _Optional[int] = ..., partitions: _Optional[_Iterable[_Union[PartitionPlacement, _Mapping]]] = ..., request_id: _Optional[int] = ...) -> None: ...

class TopicDeleted(_message.Message):
    __slots__ = ("topic_id", "request_id")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    request_id: int
    def __init__(self, topic_id: _Optional[int] = ..., request_id: _Optional[int] = ...) -> None: ...

class ProducerIdsAllocated(_message.Message):
    __slots__ = ("node_id", "next_producer_id")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    next_producer_id: int
    def __init__(self, node_id: _Optional[int] = ..., next_producer_id: _Optional[int] = ...) -> None: ...

class NodeConditionSet(_message.Message):
    __slots__ = ("node_id", "condition", "replacement_node_id", "request_id")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    condition: NodeCondition
    replacement_node_id: int
    request_id: int
    def __init__(self, node_id: _Optional[int] = ..., condition: _Optional[_Union[NodeCondition, str]] = ..., replacement_node_id: _Optional[int] = ..., request_id: _Optional[int] = ...) -> None: ...

class NodeRemoved(_message.Message):
    __slots__ = ("node_id", "request_id")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    request_id: int
    def __init__(self, node_id: _Optional[int] = ..., request_id: _Optional[int] = ...) -> None: ...

class ControllersSet(_message.Message):
    __slots__ = ("node_ids", "request_id")
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    node_ids: _containers.RepeatedScalarFieldContainer[int]
    request_id: int
    def __init__(self, node_ids: _Optional[_Iterable[int]] = ..., request_id: _Optional[int] = ...) -> None: ...

class Reassignment(_message.Message):
    __slots__ = ("topic_id", "partition", "replicas")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    replicas: _containers.RepeatedCompositeFieldContainer[_membership_pb2.Replica]
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., replicas: _Optional[_Iterable[_Union[_membership_pb2.Replica, _Mapping]]] = ...) -> None: ...

class PartitionsReassigned(_message.Message):
    __slots__ = ("reassignments", "request_id")
    REASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    reassignments: _containers.RepeatedCompositeFieldContainer[Reassignment]
    request_id: int
    def __init__(self, reassignments: _Optional[_Iterable[_Union[Reassignment, _Mapping]]] = ..., request_id: _Optional[int] = ...) -> None: ...

class PartitionsSettled(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionReference]
    def __init__(self, partitions: _Optional[_Iterable[_Union[PartitionReference, _Mapping]]] = ...) -> None: ...

class PartitionReference(_message.Message):
    __slots__ = ("topic_id", "partition")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ...) -> None: ...

class MetadataRecord(_message.Message):
    __slots__ = ("node_registered", "topic_created", "topic_configured", "partitions_added", "topic_deleted", "producer_ids_allocated", "node_condition_set", "node_removed", "controllers_set", "partitions_reassigned", "partitions_settled")
    NODE_REGISTERED_FIELD_NUMBER: _ClassVar[int]
    TOPIC_CREATED_FIELD_NUMBER: _ClassVar[int]
    TOPIC_CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_ADDED_FIELD_NUMBER: _ClassVar[int]
    TOPIC_DELETED_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_IDS_ALLOCATED_FIELD_NUMBER: _ClassVar[int]
    NODE_CONDITION_SET_FIELD_NUMBER: _ClassVar[int]
    NODE_REMOVED_FIELD_NUMBER: _ClassVar[int]
    CONTROLLERS_SET_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_REASSIGNED_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_SETTLED_FIELD_NUMBER: _ClassVar[int]
    node_registered: NodeRegistered
    topic_created: TopicCreated
    topic_configured: TopicConfigured
    partitions_added: PartitionsAdded
    topic_deleted: TopicDeleted
    producer_ids_allocated: ProducerIdsAllocated
    node_condition_set: NodeConditionSet
    node_removed: NodeRemoved
    controllers_set: ControllersSet
    partitions_reassigned: PartitionsReassigned
    partitions_settled: PartitionsSettled
    def __init__(self, node_registered: _Optional[_Union[NodeRegistered, _Mapping]] = ..., topic_created: _Optional[_Union[TopicCreated, _Mapping]] = ..., topic_configured: _Optional[_Union[TopicConfigured, _Mapping]] = ..., partitions_added: _Optional[_Union[PartitionsAdded, _Mapping]] = ..., topic_deleted: _Optional[_Union[TopicDeleted, _Mapping]] = ..., producer_ids_allocated: _Optional[_Union[ProducerIdsAllocated, _Mapping]] = ..., node_condition_set: _Optional[_Union[NodeConditionSet, _Mapping]] = ..., node_removed: _Optional[_Union[NodeRemoved, _Mapping]] = ..., controllers_set: _Optional[_Union[ControllersSet, _Mapping]] = ..., partitions_reassigned: _Optional[_Union[PartitionsReassigned, _Mapping]] = ..., partitions_settled: _Optional[_Union[PartitionsSettled, _Mapping]] = ...) -> None: ...

class TopicSnapshot(_message.Message):
    __slots__ = ("topic_id", "name", "partitions", "overrides", "routing_epoch", "request_id")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    ROUTING_EPOCH_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    name: str
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionPlacement]
    overrides: _containers.RepeatedCompositeFieldContainer[Override]
    routing_epoch: int
    request_id: int
    def __init__(self, topic_id: _Optional[int] = ..., name: _Optional[str] = ..., partitions: _Optional[_Iterable[_Union[PartitionPlacement, _Mapping]]] = ..., overrides: _Optional[_Iterable[_Union[Override, _Mapping]]] = ..., routing_epoch: _Optional[int] = ..., request_id: _Optional[int] = ...) -> None: ...

class MetadataSnapshot(_message.Message):
    __slots__ = ("format_version", "founding", "nodes", "topics", "next_topic_id", "next_group_id", "next_producer_id", "next_metadata_replica_id", "recent_request_ids", "controller_node_ids", "removed_node_ids", "members_version")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    FOUNDING_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    NEXT_TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_METADATA_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    RECENT_REQUEST_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_VERSION_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    founding: Founding
    nodes: _containers.RepeatedCompositeFieldContainer[NodeRegistration]
    topics: _containers.RepeatedCompositeFieldContainer[TopicSnapshot]
    next_topic_id: int
    next_group_id: int
    next_producer_id: int
    next_metadata_replica_id: int
    recent_request_ids: _containers.RepeatedScalarFieldContainer[int]
    controller_node_ids: _containers.RepeatedScalarFieldContainer[int]
    removed_node_ids: _containers.RepeatedScalarFieldContainer[int]
    members_version: int
    def __init__(self, format_version: _Optional[int] = ..., founding: _Optional[_Union[Founding, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[NodeRegistration, _Mapping]]] = ..., topics: _Optional[_Iterable[_Union[TopicSnapshot, _Mapping]]] = ..., next_topic_id: _Optional[int] = ..., next_group_id: _Optional[int] = ..., next_producer_id: _Optional[int] = ..., next_metadata_replica_id: _Optional[int] = ..., recent_request_ids: _Optional[_Iterable[int]] = ..., controller_node_ids: _Optional[_Iterable[int]] = ..., removed_node_ids: _Optional[_Iterable[int]] = ..., members_version: _Optional[int] = ...) -> None: ...

class RegisterNode(_message.Message):
    __slots__ = ("cluster_id_high", "cluster_id_low", "node", "lost_metadata_replica_id")
    CLUSTER_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    LOST_METADATA_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id_high: int
    cluster_id_low: int
    node: NodeRegistration
    lost_metadata_replica_id: int
    def __init__(self, cluster_id_high: _Optional[int] = ..., cluster_id_low: _Optional[int] = ..., node: _Optional[_Union[NodeRegistration, _Mapping]] = ..., lost_metadata_replica_id: _Optional[int] = ...) -> None: ...

class CreateTopic(_message.Message):
    __slots__ = ("name", "partition_count", "replication_factor", "overrides", "request_id", "validate_only", "avoided_node_ids")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITION_COUNT_FIELD_NUMBER: _ClassVar[int]
    REPLICATION_FACTOR_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    partition_count: int
    replication_factor: int
    overrides: _containers.RepeatedCompositeFieldContainer[Override]
    request_id: int
    validate_only: bool
    avoided_node_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., partition_count: _Optional[int] = ..., replication_factor: _Optional[int] = ..., overrides: _Optional[_Iterable[_Union[Override, _Mapping]]] = ..., request_id: _Optional[int] = ..., validate_only: bool = ..., avoided_node_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class AlterTopic(_message.Message):
    __slots__ = ("name", "set", "unset", "validate_only", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    UNSET_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    set: _containers.RepeatedCompositeFieldContainer[Override]
    unset: _containers.RepeatedScalarFieldContainer[str]
    validate_only: bool
    request_id: int
    def __init__(self, name: _Optional[str] = ..., set: _Optional[_Iterable[_Union[Override, _Mapping]]] = ..., unset: _Optional[_Iterable[str]] = ..., validate_only: bool = ..., request_id: _Optional[int] = ...) -> None: ...

class AddPartitions(_message.Message):
    __slots__ = ("name", "partition_count", "validate_only", "avoided_node_ids", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITION_COUNT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    partition_count: int
    validate_only: bool
    avoided_node_ids: _containers.RepeatedScalarFieldContainer[int]
    request_id: int
    def __init__(self, name: _Optional[str] = ..., partition_count: _Optional[int] = ..., validate_only: bool = ..., avoided_node_ids: _Optional[_Iterable[int]] = ..., request_id: _Optional[int] = ...) -> None: ...

class DeleteTopic(_message.Message):
    __slots__ = ("name", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    request_id: int
    def __init__(self, name: _Optional[str] = ..., request_id: _Optional[int] = ...) -> None: ...

class AllocateProducerIds(_message.Message):
    __slots__ = ("node_id", "count")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    count: int
    def __init__(self, node_id: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class SetNodeCondition(_message.Message):
    __slots__ = ("node_id", "condition", "replacement_node_id", "request_id", "validate_only", "force", "dead_node_ids", "voter_node_ids", "old_voter_node_ids")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    DEAD_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    VOTER_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    OLD_VOTER_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    condition: NodeCondition
    replacement_node_id: int
    request_id: int
    validate_only: bool
    force: bool
    dead_node_ids: _containers.RepeatedScalarFieldContainer[int]
    voter_node_ids: _containers.RepeatedScalarFieldContainer[int]
    old_voter_node_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, node_id: _Optional[int] = ..., condition: _Optional[_Union[NodeCondition, str]] = ..., replacement_node_id: _Optional[int] = ..., request_id: _Optional[int] = ..., validate_only: bool = ..., force: bool = ..., dead_node_ids: _Optional[_Iterable[int]] = ..., voter_node_ids: _Optional[_Iterable[int]] = ..., old_voter_node_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class RemoveNode(_message.Message):
    __slots__ = ("node_id", "request_id", "validate_only", "voter_node_ids")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    VOTER_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    request_id: int
    validate_only: bool
    voter_node_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, node_id: _Optional[int] = ..., request_id: _Optional[int] = ..., validate_only: bool = ..., voter_node_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class SetControllers(_message.Message):
    __slots__ = ("node_ids", "request_id", "validate_only", "dead_node_ids")
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    DEAD_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    node_ids: _containers.RepeatedScalarFieldContainer[int]
    request_id: int
    validate_only: bool
    dead_node_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, node_ids: _Optional[_Iterable[int]] = ..., request_id: _Optional[int] = ..., validate_only: bool = ..., dead_node_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("topic", "partition", "node_ids")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    node_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., node_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class ReassignPartitions(_message.Message):
    __slots__ = ("assignments", "request_id", "validate_only", "dead_node_ids", "force", "order_only")
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    DEAD_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    ORDER_ONLY_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    request_id: int
    validate_only: bool
    dead_node_ids: _containers.RepeatedScalarFieldContainer[int]
    force: bool
    order_only: bool
    def __init__(self, assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ..., request_id: _Optional[int] = ..., validate_only: bool = ..., dead_node_ids: _Optional[_Iterable[int]] = ..., force: bool = ..., order_only: bool = ...) -> None: ...

class SetReplicationFactor(_message.Message):
    __slots__ = ("topic", "replication_factor", "request_id", "validate_only", "dead_node_ids")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    REPLICATION_FACTOR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    DEAD_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    replication_factor: int
    request_id: int
    validate_only: bool
    dead_node_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic: _Optional[str] = ..., replication_factor: _Optional[int] = ..., request_id: _Optional[int] = ..., validate_only: bool = ..., dead_node_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class RenewReplica(_message.Message):
    __slots__ = ("topic_id", "partition", "replica_id")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    replica_id: int
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., replica_id: _Optional[int] = ...) -> None: ...

class SettledGroup(_message.Message):
    __slots__ = ("topic_id", "partition", "replica_ids", "version")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    REPLICA_IDS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    topic_id: int
    partition: int
    replica_ids: _containers.RepeatedScalarFieldContainer[int]
    version: int
    def __init__(self, topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., replica_ids: _Optional[_Iterable[int]] = ..., version: _Optional[int] = ...) -> None: ...

class SettlePartitions(_message.Message):
    __slots__ = ("groups",)
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[SettledGroup]
    def __init__(self, groups: _Optional[_Iterable[_Union[SettledGroup, _Mapping]]] = ...) -> None: ...

class MetadataCommand(_message.Message):
    __slots__ = ("register_node", "create_topic", "alter_topic", "add_partitions", "delete_topic", "allocate_producer_ids", "set_node_condition", "remove_node", "set_controllers", "reassign_partitions", "set_replication_factor", "renew_replica", "settle_partitions")
    REGISTER_NODE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TOPIC_FIELD_NUMBER: _ClassVar[int]
    ALTER_TOPIC_FIELD_NUMBER: _ClassVar[int]
    ADD_PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    DELETE_TOPIC_FIELD_NUMBER: _ClassVar[int]
    ALLOCATE_PRODUCER_IDS_FIELD_NUMBER: _ClassVar[int]
    SET_NODE_CONDITION_FIELD_NUMBER: _ClassVar[int]
    REMOVE_NODE_FIELD_NUMBER: _ClassVar[int]
    SET_CONTROLLERS_FIELD_NUMBER: _ClassVar[int]
    REASSIGN_PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    SET_REPLICATION_FACTOR_FIELD_NUMBER: _ClassVar[int]
    RENEW_REPLICA_FIELD_NUMBER: _ClassVar[int]
    SETTLE_PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    register_node: RegisterNode
    create_topic: CreateTopic
    alter_topic: AlterTopic
    add_partitions: AddPartitions
    delete_topic: DeleteTopic
    allocate_producer_ids: AllocateProducerIds
    set_node_condition: SetNodeCondition
    remove_node: RemoveNode
    set_controllers: SetControllers
    reassign_partitions: ReassignPartitions
    set_replication_factor: SetReplicationFactor
    renew_replica: RenewReplica
    settle_partitions: SettlePartitions
    def __init__(self, register_node: _Optional[_Union[RegisterNode, _Mapping]] = ..., create_topic: _Optional[_Union[CreateTopic, _Mapping]] = ..., alter_topic: _Optional[_Union[AlterTopic, _Mapping]] = ..., add_partitions: _Optional[_Union[AddPartitions, _Mapping]] = ..., delete_topic: _Optional[_Union[DeleteTopic, _Mapping]] = ..., allocate_producer_ids: _Optional[_Union[AllocateProducerIds, _Mapping]] = ..., set_node_condition: _Optional[_Union[SetNodeCondition, _Mapping]] = ..., remove_node: _Optional[_Union[RemoveNode, _Mapping]] = ..., set_controllers: _Optional[_Union[SetControllers, _Mapping]] = ..., reassign_partitions: _Optional[_Union[ReassignPartitions, _Mapping]] = ..., set_replication_factor: _Optional[_Union[SetReplicationFactor, _Mapping]] = ..., renew_replica: _Optional[_Union[RenewReplica, _Mapping]] = ..., settle_partitions: _Optional[_Union[SettlePartitions, _Mapping]] = ...) -> None: ...
