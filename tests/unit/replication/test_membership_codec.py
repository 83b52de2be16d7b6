"""Memberships as they are stored and sent: these bytes are on disks."""

from __future__ import annotations

from replication.membership_codec import (
    decode_creation,
    decode_membership,
    decode_replica,
    encode_creation,
    encode_membership,
    encode_replica,
)
from replication.types import (
    DirectoryId,
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Replica,
    ReplicaId,
)
from replication.v1 import membership_pb2


def replica(number: int) -> Replica:
    """With bits in both halves of its directory's identity."""
    directory_id = DirectoryId(number << 64 | 1 << 127 | 5)
    return Replica(ReplicaId(number), NodeId(10 + number), directory_id)


CREATION = GroupCreation(
    GroupId(9),
    Membership((replica(1), replica(3)), (replica(1), replica(2)), (replica(4),), 7),
    ReplicaId(3),
    "partition",
    topic_id=77,
    partition=2,
)
STORED = bytes.fromhex(
    "0809127a"
    "0a160801100b190100000000000080210500000000000000"
    "0a160803100d190300000000000080210500000000000000"
    "12160801100b190100000000000080210500000000000000"
    "12160802100c190200000000000080210500000000000000"
    "1a160804100e190400000000000080210500000000000000"
    "2007"
    "1803204d28023209706172746974696f6e"
)


def test_the_bytes_stay_as_they_are() -> None:
    """A birth holds a membership, which holds replicas: all three forms."""
    message = encode_creation(CREATION)
    assert message.SerializeToString(deterministic=True) == STORED
    assert decode_creation(membership_pb2.GroupCreation.FromString(STORED)) == CREATION


def test_a_replica_and_a_membership_come_back() -> None:
    """Both halves of an identity, and the version."""
    assert decode_replica(encode_replica(replica(2))) == replica(2)
    assert decode_membership(encode_membership(CREATION.membership)) == CREATION.membership


def test_members_are_read_in_order() -> None:
    """Whoever wrote them: a membership is sorted."""
    message = membership_pb2.Membership(voters=[encode_replica(replica(n)) for n in (3, 1, 2)])
    assert [each.replica_id for each in decode_membership(message).voters] == [1, 2, 3]
