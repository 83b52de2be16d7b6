"""Memberships and group creations as protobuf: bodies of control batches and journal frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

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

_HALF: Final = (1 << 64) - 1


def encode_membership(membership: Membership) -> membership_pb2.Membership:
    """To the message."""
    return membership_pb2.Membership(
        voters=_encode_replicas(membership.voters),
        old_voters=_encode_replicas(membership.old_voters),
        learners=_encode_replicas(membership.learners),
        version=membership.version,
    )


def decode_membership(message: membership_pb2.Membership) -> Membership:
    """From the message."""
    return Membership(
        voters=_decode_replicas(message.voters),
        old_voters=_decode_replicas(message.old_voters),
        learners=_decode_replicas(message.learners),
        version=message.version,
    )


def encode_creation(creation: GroupCreation) -> membership_pb2.GroupCreation:
    """To the message."""
    return membership_pb2.GroupCreation(
        group_id=creation.group_id,
        membership=encode_membership(creation.membership),
        local_replica_id=creation.local_replica_id,
        topic_id=creation.topic_id,
        partition=creation.partition,
        kind=creation.kind,
    )


def decode_creation(message: membership_pb2.GroupCreation) -> GroupCreation:
    """From the message."""
    return GroupCreation(
        group_id=GroupId(message.group_id),
        membership=decode_membership(message.membership),
        local_replica_id=ReplicaId(message.local_replica_id),
        kind=message.kind,
        topic_id=message.topic_id,
        partition=message.partition,
    )


def _encode_replicas(replicas: Iterable[Replica]) -> list[membership_pb2.Replica]:
    return [
        membership_pb2.Replica(
            replica_id=replica.replica_id,
            node_id=replica.node_id,
            directory_id_high=replica.directory_id >> 64,
            directory_id_low=replica.directory_id & _HALF,
        )
        for replica in replicas
    ]


def _decode_replicas(messages: Iterable[membership_pb2.Replica]) -> tuple[Replica, ...]:
    return tuple(
        Replica(
            replica_id=ReplicaId(message.replica_id),
            node_id=NodeId(message.node_id),
            directory_id=DirectoryId(message.directory_id_high << 64 | message.directory_id_low),
        )
        for message in messages
    )
