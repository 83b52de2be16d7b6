from streamlog.cluster.v1 import metadata_pb2 as _metadata_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LocalState(_message.Message):
    __slots__ = ("founding", "metadata_replica_id", "metadata_group_created", "created_through", "waiting", "creations_forgotten")
    FOUNDING_FIELD_NUMBER: _ClassVar[int]
    METADATA_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_GROUP_CREATED_FIELD_NUMBER: _ClassVar[int]
    CREATED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    CREATIONS_FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    founding: _metadata_pb2.Founding
    metadata_replica_id: int
    metadata_group_created: bool
    created_through: int
    waiting: _containers.RepeatedCompositeFieldContainer[WaitingReplica]
    creations_forgotten: bool
    def __init__(self, founding: _Optional[_Union[_metadata_pb2.Founding, _Mapping]] = ..., metadata_replica_id: _Optional[int] = ..., metadata_group_created: bool = ..., created_through: _Optional[int] = ..., waiting: _Optional[_Iterable[_Union[WaitingReplica, _Mapping]]] = ..., creations_forgotten: bool = ...) -> None: ...

class WaitingReplica(_message.Message):
    __slots__ = ("group_id", "replica_id")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    replica_id: int
    def __init__(self, group_id: _Optional[int] = ..., replica_id: _Optional[int] = ...) -> None: ...
