from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Replica(_message.Message):
    __slots__ = ("replica_id", "node_id", "directory_id_high", "directory_id_low")
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_HIGH_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_ID_LOW_FIELD_NUMBER: _ClassVar[int]
    replica_id: int
    node_id: int
    directory_id_high: int
    directory_id_low: int
    def __init__(self, replica_id: _Optional[int] = ..., node_id: _Optional[int] = ..., directory_id_high: _Optional[int] = ..., directory_id_low: _Optional[int] = ...) -> None: ...

class Membership(_message.Message):
    __slots__ = ("voters", "old_voters", "learners", "version")
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    OLD_VOTERS_FIELD_NUMBER: _ClassVar[int]
    LEARNERS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    voters: _containers.RepeatedCompositeFieldContainer[Replica]
    old_voters: _containers.RepeatedCompositeFieldContainer[Replica]
    learners: _containers.RepeatedCompositeFieldContainer[Replica]
    version: int
    def __init__(self, voters: _Optional[_Iterable[_Union[Replica, _Mapping]]] = ..., old_voters: _Optional[_Iterable[_Union[Replica, _Mapping]]] = ..., learners: _Optional[_Iterable[_Union[Replica, _Mapping]]] = ..., version: _Optional[int] = ...) -> None: ...

class GroupCreation(_message.Message):
    __slots__ = ("group_id", "membership", "local_replica_id", "topic_id", "partition", "kind", "freed_by_snapshots")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    LOCAL_REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FREED_BY_SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    membership: Membership
    local_replica_id: int
    topic_id: int
    partition: int
    kind: str
    freed_by_snapshots: bool
    def __init__(self, group_id: _Optional[int] = ..., membership: _Optional[_Union[Membership, _Mapping]] = ..., local_replica_id: _Optional[int] = ..., topic_id: _Optional[int] = ..., partition: _Optional[int] = ..., kind: _Optional[str] = ..., freed_by_snapshots: bool = ...) -> None: ...
