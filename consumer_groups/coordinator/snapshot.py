"""All groups of a coordinator as bytes, and back.

Invariant: equal states give equal bytes; a state that went through bytes is equal to itself.
Derived fields (owners, wanted_by, instances, counts) are not written but computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf.message import DecodeError

from consumer_groups.coordinator.codec import (
    UnreadableGroups,
    bumped_from_proto,
    bumped_to_proto,
    info_from_proto,
    info_to_proto,
    matches_from_proto,
    matches_to_proto,
    partitions_from_proto,
    partitions_to_proto,
    topic_from_proto,
    topic_to_proto,
)
from consumer_groups.coordinator.state import (
    CoordinatorState,
    Group,
    Groups,
    Member,
    Rebalance,
)
from consumer_groups.records import EpochBumped, PatternMatches
from consumer_groups.types import (
    Commit,
    Epoch,
    GroupName,
    PartitionNumber,
    TopicId,
    TopicPartition,
)
from consumer_groups.v1 import coordinator_pb2 as pb

SNAPSHOT_FORMAT_VERSION: Final = 1


def encode_snapshot(state: CoordinatorState) -> bytes:
    """The whole state."""
    return pb.CoordinatorSnapshot(
        format_version=SNAPSHOT_FORMAT_VERSION,
        epoch_floor=state.epoch_floor,
        groups=[_group_to_proto(group) for _, group in sorted(state.groups.items())],
    ).SerializeToString(deterministic=True)


def decode_snapshot(data: bytes) -> CoordinatorState:
    """From a snapshot. Raises UnreadableGroups."""
    try:
        message = pb.CoordinatorSnapshot.FromString(data)
    except DecodeError as error:
        raise UnreadableGroups("a snapshot is no CoordinatorSnapshot message") from error
    if message.format_version != SNAPSHOT_FORMAT_VERSION:
        raise UnreadableGroups(
            f"a snapshot of groups has format version {message.format_version}, this version"
            f" reads {SNAPSHOT_FORMAT_VERSION}; was the node downgraded?"
        )
    try:
        groups = [_group_from_proto(group) for group in message.groups]
    except ValueError as error:
        raise UnreadableGroups(f"a snapshot of groups is not understood: {error}") from error
    return CoordinatorState(
        Groups.of(groups),
        Epoch(message.epoch_floor),
        sum(group.commit_count for group in groups),
    )


def _group_to_proto(group: Group) -> pb.GroupSnapshot:
    return pb.GroupSnapshot(
        name=group.name,
        epoch=group.epoch,
        target_epoch=group.target_epoch,
        assignor=group.assignor,
        catalog_version=group.catalog_version,
        topics=[topic_to_proto(group.topics[topic_id]) for topic_id in sorted(group.topics)],
        patterns=[
            matches_to_proto(PatternMatches(pattern, group.patterns[pattern]))
            for pattern in sorted(group.patterns)
        ],
        members=[member_to_proto(group.members[key]) for key in sorted(group.members)],
        positions=[
            _commits_to_proto(topic_id, group.commits[topic_id])
            for topic_id in sorted(group.commits)
        ],
        rebalances=[
            bumped_to_proto(
                EpochBumped(
                    group.name, each.epoch, each.cause, each.at_ms, each.member_id, each.detail
                )
            )
            for each in group.rebalances
        ],
        empty_since_ms=group.empty_since_ms,
    )


def member_to_proto(member: Member) -> pb.MemberSnapshot:
    """Wire form."""
    return pb.MemberSnapshot(
        info=info_to_proto(member.info),
        joined_epoch=member.joined_epoch,
        joined_at_ms=member.joined_at_ms,
        epoch=member.epoch,
        target=partitions_to_proto(member.target),
        owned=_granted_to_proto(member.owned),
        revoking=_granted_to_proto(member.revoking),
    )


def _granted_to_proto(granted: Mapping[TopicPartition, Epoch]) -> list[pb.GrantedPartitions]:
    columns: dict[tuple[TopicId, Epoch], list[PartitionNumber]] = {}
    for partition, epoch in sorted(granted.items()):
        columns.setdefault((partition.topic_id, epoch), []).append(partition.partition)
    return [
        pb.GrantedPartitions(topic_id=topic_id, epoch=epoch, partitions=numbers)
        for (topic_id, epoch), numbers in sorted(columns.items())
    ]


def _granted_from_proto(
    messages: Iterable[pb.GrantedPartitions],
) -> dict[TopicPartition, Epoch]:
    return {
        TopicPartition(TopicId(message.topic_id), PartitionNumber(number)): Epoch(message.epoch)
        for message in messages
        for number in message.partitions
    }


def _member_from_proto(message: pb.MemberSnapshot) -> Member:
    return Member(
        info_from_proto(message.info),
        Epoch(message.joined_epoch),
        message.joined_at_ms,
        Epoch(message.epoch),
        partitions_from_proto(message.target),
        _granted_from_proto(message.owned),
        _granted_from_proto(message.revoking),
    )


def _group_from_proto(message: pb.GroupSnapshot) -> Group:
    name = GroupName(message.name)
    members = {
        member.info.member_id: member
        for member in (_member_from_proto(each) for each in message.members)
    }
    patterns = (matches_from_proto(each) for each in message.patterns)
    rebalances = (bumped_from_proto(name, each) for each in message.rebalances)
    commits = _commits_from_proto(message.positions)
    return Group(
        name,
        Epoch(message.epoch),
        Epoch(message.target_epoch),
        message.assignor,
        message.catalog_version,
        {TopicId(topic.topic_id): topic_from_proto(topic) for topic in message.topics},
        {found.pattern: found.topic_ids for found in patterns},
        members,
        {m.info.instance_id: key for key, m in members.items() if m.info.instance_id},
        {p: key for key, member in members.items() for p in member.target},
        {p: key for key, m in members.items() for p in (*m.owned, *m.revoking)},
        commits,
        sum(len(positions) for positions in commits.values()),
        tuple(Rebalance(b.epoch, b.cause, b.at_ms, b.member_id, b.detail) for b in rebalances),
        message.empty_since_ms,
    )


def _commits_to_proto(
    topic_id: TopicId, commits: Mapping[PartitionNumber, Commit]
) -> pb.TopicPositions:
    """In columns, without a step per position that is Python's: there may be very many."""
    numbers = sorted(commits)
    offsets, terms, metadata, times_ms = zip(*map(commits.__getitem__, numbers), strict=True)
    return pb.TopicPositions(
        topic_id=topic_id,
        partitions=numbers,
        offsets=offsets,
        leader_terms=terms if any(terms) else (),
        metadata=metadata if any(metadata) else (),
        committed_at_ms=times_ms,
    )


def _commits_from_proto(
    messages: Iterable[pb.TopicPositions],
) -> dict[TopicId, dict[PartitionNumber, Commit]]:
    commits: dict[TopicId, dict[PartitionNumber, Commit]] = {}
    for message in messages:
        size = len(message.partitions)
        columns = zip(
            message.offsets,
            message.leader_terms or (0,) * size,
            message.metadata or ("",) * size,
            message.committed_at_ms,
            strict=True,
        )
        numbers = map(PartitionNumber, message.partitions)
        commits[TopicId(message.topic_id)] = dict(
            zip(numbers, map(Commit._make, columns), strict=True)
        )
    return commits
