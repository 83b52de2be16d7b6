"""Records as bytes. The wire forms are in proto/consumer_groups/v1/coordinator.proto.

Invariant: equal values give equal bytes (no protobuf maps; partitions in columns, sorted).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import assert_never

from google.protobuf.message import DecodeError

from consumer_groups.commands import OffsetToCommit
from consumer_groups.records import (
    Cause,
    EpochBumped,
    Forgotten,
    GroupCreated,
    GroupDeleted,
    MemberJoined,
    MemberReconciled,
    MemberRemoved,
    MembersReconciled,
    MemberTarget,
    OffsetsCommitted,
    OffsetsForgotten,
    PartitionsFenced,
    PatternMatches,
    Record,
    TargetAssigned,
    TopicsResolved,
)
from consumer_groups.types import (
    Epoch,
    GroupName,
    InstanceId,
    MemberId,
    MemberInfo,
    PartitionNumber,
    Position,
    Subscription,
    TopicId,
    TopicPartition,
    TopicView,
)
from consumer_groups.v1 import coordinator_pb2 as pb


class UnreadableGroups(ValueError):
    """Bytes that were committed can not be read: a newer version wrote them, or a defect."""


# Parts of records and snapshots.


def partitions_to_proto(partitions: Iterable[TopicPartition]) -> list[pb.TopicPartitions]:
    """In columns."""
    return [
        pb.TopicPartitions(topic_id=topic_id, partitions=[number for _, number in run])
        for topic_id, run in groupby(sorted(partitions), key=lambda p: p[0])
    ]


def partitions_from_proto(messages: Iterable[pb.TopicPartitions]) -> tuple[TopicPartition, ...]:
    """From the wire form."""
    return tuple(
        TopicPartition(TopicId(message.topic_id), PartitionNumber(number))
        for message in messages
        for number in message.partitions
    )


def info_to_proto(info: MemberInfo) -> pb.MemberInfo:
    """Wire form."""
    return pb.MemberInfo(
        member_id=info.member_id,
        topics=info.subscription.topics,
        pattern=info.subscription.pattern,
        instance_id=info.instance_id,
        client_id=info.client_id,
        client_host=info.client_host,
        assignor=info.assignor,
        session_timeout_ms=info.session_timeout_ms,
        rebalance_timeout_ms=info.rebalance_timeout_ms,
    )


def info_from_proto(message: pb.MemberInfo) -> MemberInfo:
    """From the wire form."""
    return MemberInfo(
        MemberId(message.member_id),
        Subscription(tuple(message.topics), message.pattern),
        InstanceId(message.instance_id),
        message.client_id,
        message.client_host,
        message.assignor,
        message.session_timeout_ms,
        message.rebalance_timeout_ms,
    )


def topic_to_proto(view: TopicView) -> pb.Topic:
    """Wire form."""
    return pb.Topic(topic_id=view.topic_id, name=view.name, partition_count=view.partition_count)


def topic_from_proto(message: pb.Topic) -> TopicView:
    """From the wire form."""
    return TopicView(TopicId(message.topic_id), message.name, message.partition_count)


def matches_to_proto(matches: PatternMatches) -> pb.PatternMatches:
    """Wire form."""
    return pb.PatternMatches(pattern=matches.pattern, topic_ids=matches.topic_ids)


def matches_from_proto(message: pb.PatternMatches) -> PatternMatches:
    """From the wire form."""
    return PatternMatches(message.pattern, tuple(TopicId(t) for t in message.topic_ids))


def _positions_to_proto(offsets: Iterable[OffsetToCommit]) -> Iterator[pb.TopicPositions]:
    """In columns."""
    for topic_id, run in groupby(offsets, key=lambda offset: offset[0][0]):
        partitions, positions, terms, metadata = zip(*run, strict=True)
        yield pb.TopicPositions(
            topic_id=topic_id,
            partitions=[number for _, number in partitions],
            offsets=positions,
            leader_terms=terms if any(terms) else (),
            metadata=metadata if any(metadata) else (),
        )


def _positions_from_proto(messages: Iterable[pb.TopicPositions]) -> Iterator[OffsetToCommit]:
    for message in messages:
        topic_id, size = TopicId(message.topic_id), len(message.partitions)
        columns = zip(
            message.partitions,
            message.offsets,
            message.leader_terms or [0] * size,
            message.metadata or [""] * size,
            strict=True,
        )
        for number, offset, term, metadata in columns:
            partition = TopicPartition(topic_id, PartitionNumber(number))
            yield OffsetToCommit(partition, Position(offset), term, metadata)


# Records.


def encode_record(record: Record) -> bytes:
    """For the log."""
    return _message(record).SerializeToString(deterministic=True)


def decode_record(data: bytes) -> Record:
    """From the log. Raises UnreadableGroups."""
    try:
        message = pb.CoordinatorRecord.FromString(data)
        return _record(message)
    except DecodeError as error:
        raise UnreadableGroups("a group record is no CoordinatorRecord message") from error
    except ValueError as error:
        raise UnreadableGroups(
            f"a group record is not understood ({error}); was the node downgraded?"
        ) from error


def _message(record: Record) -> pb.CoordinatorRecord:
    message = pb.CoordinatorRecord(group=record.group)
    match record:
        case GroupCreated():
            message.group_created.epoch, message.group_created.at_ms = record.epoch, record.at_ms
        case MemberJoined():
            joined = message.member_joined
            joined.member.CopyFrom(info_to_proto(record.member))
            joined.joined_epoch, joined.joined_at_ms = record.joined_epoch, record.joined_at_ms
            joined.replaces = record.replaces
        case MemberRemoved():
            message.member_removed.member_id = record.member_id
            message.member_removed.at_ms = record.at_ms
        case EpochBumped():
            message.epoch_bumped.CopyFrom(bumped_to_proto(record))
        case TopicsResolved():
            resolved = message.topics_resolved
            resolved.catalog_version = record.catalog_version
            resolved.topics.extend(topic_to_proto(view) for view in record.topics)
            resolved.patterns.extend(matches_to_proto(found) for found in record.patterns)
        case TargetAssigned():
            assigned = message.target_assigned
            assigned.epoch, assigned.assignor = record.epoch, record.assignor
            for target in record.changes:
                assigned.changes.add(
                    member_id=target.member_id, partitions=partitions_to_proto(target.partitions)
                )
        case MembersReconciled():
            message.members_reconciled.SetInParent()
            for change in record.changes:
                message.members_reconciled.changes.add(
                    member_id=change.member_id,
                    epoch=change.epoch,
                    granted=partitions_to_proto(change.granted),
                    revoking=partitions_to_proto(change.revoking),
                    released=partitions_to_proto(change.released),
                )
        case PartitionsFenced():
            message.partitions_fenced.partitions.extend(partitions_to_proto(record.partitions))
        case OffsetsCommitted():
            committed = message.offsets_committed
            committed.at_ms, committed.catalog_version = record.at_ms, record.catalog_version
            committed.positions.extend(_positions_to_proto(record.offsets))
        case OffsetsForgotten():
            message.offsets_forgotten.CopyFrom(
                pb.OffsetsForgotten(
                    partitions=partitions_to_proto(record.partitions),
                    why=pb.Forgotten.Name(record.why.value),
                )
            )
        case GroupDeleted():
            message.group_deleted.SetInParent()
        case _:
            assert_never(record)
    return message


def _record(message: pb.CoordinatorRecord) -> Record:
    group = GroupName(message.group)
    match message.WhichOneof("record"):
        case "group_created":
            created = message.group_created
            return GroupCreated(group, Epoch(created.epoch), created.at_ms)
        case "member_joined":
            joined = message.member_joined
            return MemberJoined(
                group,
                info_from_proto(joined.member),
                Epoch(joined.joined_epoch),
                joined.joined_at_ms,
                MemberId(joined.replaces),
            )
        case "member_removed":
            removed = message.member_removed
            return MemberRemoved(group, MemberId(removed.member_id), removed.at_ms)
        case "epoch_bumped":
            return bumped_from_proto(group, message.epoch_bumped)
        case "topics_resolved":
            resolved = message.topics_resolved
            return TopicsResolved(
                group,
                resolved.catalog_version,
                tuple(topic_from_proto(topic) for topic in resolved.topics),
                tuple(matches_from_proto(found) for found in resolved.patterns),
            )
        case "target_assigned":
            assigned = message.target_assigned
            targets = tuple(
                MemberTarget(MemberId(each.member_id), partitions_from_proto(each.partitions))
                for each in assigned.changes
            )
            return TargetAssigned(group, Epoch(assigned.epoch), assigned.assignor, targets)
        case "members_reconciled":
            changes = tuple(_change(change) for change in message.members_reconciled.changes)
            return MembersReconciled(group, changes)
        case "partitions_fenced":
            fenced = partitions_from_proto(message.partitions_fenced.partitions)
            return PartitionsFenced(group, fenced)
        case "offsets_committed":
            committed = message.offsets_committed
            return OffsetsCommitted(
                group,
                committed.at_ms,
                tuple(_positions_from_proto(committed.positions)),
                committed.catalog_version,
            )
        case "offsets_forgotten":
            forgotten = message.offsets_forgotten
            gone = partitions_from_proto(forgotten.partitions)
            return OffsetsForgotten(group, gone, Forgotten(forgotten.why))
        case "group_deleted":
            return GroupDeleted(group)
        case _:
            raise UnreadableGroups("it is of a kind that this version does not know")


def _change(message: pb.MemberReconciled) -> MemberReconciled:
    return MemberReconciled(
        MemberId(message.member_id),
        Epoch(message.epoch),
        partitions_from_proto(message.granted),
        partitions_from_proto(message.revoking),
        partitions_from_proto(message.released),
    )


def bumped_to_proto(record: EpochBumped) -> pb.EpochBumped:
    """Wire form."""
    return pb.EpochBumped(
        epoch=record.epoch,
        cause=pb.Cause.Name(record.cause.value),
        at_ms=record.at_ms,
        member_id=record.member_id,
        detail=record.detail,
    )


def bumped_from_proto(group: GroupName, message: pb.EpochBumped) -> EpochBumped:
    """From the wire form. Raises ValueError for a cause that this version does not know."""
    return EpochBumped(
        group,
        Epoch(message.epoch),
        Cause(message.cause),
        message.at_ms,
        MemberId(message.member_id),
        message.detail,
    )
