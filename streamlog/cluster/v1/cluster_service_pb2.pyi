from streamlog.cluster.v1 import metadata_pb2 as _metadata_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeNodeRequest(_message.Message):
    __slots__ = ("node_id",)
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    def __init__(self, node_id: _Optional[int] = ...) -> None: ...

class DescribeNodeResponse(_message.Message):
    __slots__ = ("node_id", "directory_id_high", "directory_id_low", "founding", "controllers", "metadata_leader_node_id", "metadata_leader_address", "boot_id", "heard_boot_id")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    FOUNDING_FIELD_NUMBER: _ClassVar[int]
    CONTROLLERS_FIELD_NUMBER: _ClassVar[int]
    METADATA_LEADER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_LEADER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    HEARD_BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: int
    directory_id_high: int
    directory_id_low: int
    founding: _metadata_pb2.Founding
    controllers: str
    metadata_leader_node_id: int
    metadata_leader_address: str
    boot_id: int
    heard_boot_id: int
    def __init__(self, node_id: _Optional[int] = ..., directory_id_high: _Optional[int] = ..., directory_id_low: _Optional[int] = ..., founding: _Optional[_Union[_metadata_pb2.Founding, _Mapping]] = ..., controllers: _Optional[str] = ..., metadata_leader_node_id: _Optional[int] = ..., metadata_leader_address: _Optional[str] = ..., boot_id: _Optional[int] = ..., heard_boot_id: _Optional[int] = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("command", "cluster_id_high", "cluster_id_low")
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    command: _metadata_pb2.MetadataCommand
    cluster_id_high: int
    cluster_id_low: int
    def __init__(self, command: _Optional[_Union[_metadata_pb2.MetadataCommand, _Mapping]] = ..., cluster_id_high: _Optional[int] = ..., cluster_id_low: _Optional[int] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("metadata_offset", "topic", "node", "first_producer_id", "founding")
    METADATA_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    FIRST_PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    FOUNDING_FIELD_NUMBER: _ClassVar[int]
    metadata_offset: int
    topic: _metadata_pb2.TopicSnapshot
    node: _metadata_pb2.NodeRegistration
    first_producer_id: int
    founding: _metadata_pb2.Founding
    def __init__(self, metadata_offset: _Optional[int] = ..., topic: _Optional[_Union[_metadata_pb2.TopicSnapshot, _Mapping]] = ..., node: _Optional[_Union[_metadata_pb2.NodeRegistration, _Mapping]] = ..., first_producer_id: _Optional[int] = ..., founding: _Optional[_Union[_metadata_pb2.Founding, _Mapping]] = ...) -> None: ...

class ReadLogRequest(_message.Message):
    __slots__ = ("group_id", "start_offset", "end_offset", "max_bytes")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    start_offset: int
    end_offset: int
    max_bytes: int
    def __init__(self, group_id: _Optional[int] = ..., start_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class ReadLogResponse(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: bytes
    def __init__(self, frames: _Optional[bytes] = ...) -> None: ...

class ListMembersRequest(_message.Message):
    __slots__ = ("group_ids",)
    GROUP_IDS_FIELD_NUMBER: _ClassVar[int]
    group_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, group_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class GroupMembers(_message.Message):
    __slots__ = ("group_id", "replica_ids")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    REPLICA_IDS_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    replica_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, group_id: _Optional[int] = ..., replica_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class ListMembersResponse(_message.Message):
    __slots__ = ("groups",)
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[GroupMembers]
    def __init__(self, groups: _Optional[_Iterable[_Union[GroupMembers, _Mapping]]] = ...) -> None: ...
