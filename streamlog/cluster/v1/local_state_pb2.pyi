from streamlog.cluster.v1 import metadata_pb2 as _metadata_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LocalState(_message.Message):
    __slots__ = ("founding", "metadata_replica_id", "metadata_group_created", "created_through")
    FOUNDING_FIELD_NUMBER: _ClassVar[int]
    METADATA_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_GROUP_CREATED_FIELD_NUMBER: _ClassVar[int]
    CREATED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    founding: _metadata_pb2.Founding
    metadata_replica_id: int
    metadata_group_created: bool
    created_through: int
    def __init__(self, founding: _Optional[_Union[_metadata_pb2.Founding, _Mapping]] = ..., metadata_replica_id: _Optional[int] = ..., metadata_group_created: bool = ..., created_through: _Optional[int] = ...) -> None: ...
