"""Replicas, memberships and births of groups as protobuf, for all who store or send them: control
batches, journal frames and checkpoints, copies on their way, records of the metadata.

A 128-bit identity is two halves on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable

from replication.types import (
    DirectoryId,
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Replica,
    ReplicaId,
    halves,
    whole,
)
from replication.v1 import membership_pb2


def encode_replica(replica: Replica) -> membership_pb2.Replica:
    """To the message."""
    high, low = halves(replica.directory_id)
    return membership_pb2.Replica(
        replica_id=replica.replica_id,
        node_id=replica.node_id,
        directory_id_high=high,
        directory_id_low=low,
    )


def decode_replica(message: membership_pb2.Replica) -> Replica:
    """From the message."""
    return Replica(
        ReplicaId(message.replica_id),
        NodeId(message.node_id),
        DirectoryId(whole(message.directory_id_high, message.directory_id_low)),
    )


def encode_membership(membership: Membership) -> membership_pb2.Membership:
    """To the message."""
    return membership_pb2.Membership(
        voters=[encode_replica(replica) for replica in membership.voters],
        old_voters=[encode_replica(replica) for replica in membership.old_voters],
        learners=[encode_replica(replica) for replica in membership.learners],
        version=membership.version,
    )


def decode_membership(message: membership_pb2.Membership) -> Membership:
    """From the message, whatever the order of its replicas."""
    return Membership(
        voters=_sorted(message.voters),
        old_voters=_sorted(message.old_voters),
        learners=_sorted(message.learners),
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
        freed_by_snapshots=creation.freed_by_snapshots,
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
        freed_by_snapshots=message.freed_by_snapshots,
    )


def _sorted(messages: Iterable[membership_pb2.Replica]) -> tuple[Replica, ...]:
    return tuple(sorted(decode_replica(message) for message in messages))
