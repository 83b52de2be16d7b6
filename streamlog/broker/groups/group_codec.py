"""Consumer groups between the words of `consumer_groups` and those of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from consumer_groups.commands import OffsetToCommit
from consumer_groups.coordinator.queries import (
    GroupDescription,
    GroupListing,
    GroupPhase,
    MemberDescription,
    MemberPhase,
)
from consumer_groups.limits import CLIENT_CHARACTERS_MAX
from consumer_groups.responses import MemberAssignment
from consumer_groups.types import (
    Commit,
    InstanceId,
    MemberId,
    MemberInfo,
    PartitionNumber,
    Position,
    Subscription,
    TopicId,
    TopicPartition,
)
from streamlog.groups.findings import Finding
from streamlog.v1 import group_service_pb2 as pb

SESSION_TIMEOUT_MS: Final = 45_000
REBALANCE_TIMEOUT_MS: Final = 60_000
HEARTBEATS_PER_SESSION: Final = 6
"""So that several may get lost or be late."""
HEARTBEAT_INTERVAL_MS_MAX: Final = 5_000
DESCRIBED_OFFSETS_MAX: Final = 20_000
DESCRIBED_METADATA_BYTES_MAX: Final = 1 << 20

GROUP_PHASES: Final[Mapping[GroupPhase, pb.GroupPhase]] = {
    GroupPhase.EMPTY: pb.GROUP_PHASE_EMPTY,
    GroupPhase.STABLE: pb.GROUP_PHASE_STABLE,
    GroupPhase.RECONCILING: pb.GROUP_PHASE_RECONCILING,
}
MEMBER_PHASES: Final[Mapping[MemberPhase, pb.MemberPhase]] = {
    MemberPhase.STABLE: pb.MEMBER_PHASE_STABLE,
    MemberPhase.REVOKING: pb.MEMBER_PHASE_REVOKING,
    MemberPhase.WAITING: pb.MEMBER_PHASE_WAITING,
}


def member_info(join: pb.MemberJoin, peer: str) -> MemberInfo:
    """What a member says of itself; `peer` is where it calls from."""
    host = peer if peer.isprintable() else ascii(peer)
    return MemberInfo(
        MemberId(join.member_id),
        Subscription.to(*join.topics, pattern=join.pattern),
        InstanceId(join.instance_id),
        join.client_id,
        host[:CLIENT_CHARACTERS_MAX],
        join.assignor,
        join.session_timeout_ms or SESSION_TIMEOUT_MS,
        join.rebalance_timeout_ms or REBALANCE_TIMEOUT_MS,
    )


def heartbeat_interval_ms(session_timeout_ms: int) -> int:
    """How often a member of such a session is to send heartbeats."""
    return min(session_timeout_ms // HEARTBEATS_PER_SESSION, HEARTBEAT_INTERVAL_MS_MAX)


def partition_of(message: pb.GroupPartition) -> TopicPartition:
    """From the wire."""
    return TopicPartition(TopicId(message.topic_id), PartitionNumber(message.partition))


def partitions_of(messages: Iterable[pb.GroupPartition]) -> list[TopicPartition]:
    """From the wire."""
    return [partition_of(message) for message in messages]


def offsets_of(messages: Iterable[pb.GroupOffset]) -> list[OffsetToCommit]:
    """From the wire."""
    return [
        OffsetToCommit(
            TopicPartition(TopicId(message.topic_id), PartitionNumber(message.partition)),
            Position(message.offset),
            message.leader_term,
            message.metadata,
        )
        for message in messages
    ]


def to_partitions(partitions: Iterable[TopicPartition]) -> list[pb.GroupPartition]:
    """For the wire."""
    return [
        pb.GroupPartition(topic_id=topic_id, partition=number) for topic_id, number in partitions
    ]


def to_offsets(commits: Iterable[tuple[TopicPartition, Commit]]) -> list[pb.GroupOffset]:
    """For the wire, in their order."""
    return [to_offset(partition, commit) for partition, commit in commits]


def to_offset(
    partition: TopicPartition, commit: Commit, *, metadata: bool = True
) -> pb.GroupOffset:
    """For the wire."""
    return pb.GroupOffset(
        topic_id=partition.topic_id,
        partition=partition.partition,
        offset=commit.offset,
        leader_term=commit.leader_term,
        metadata=commit.metadata if metadata else "",
        committed_at_ms=commit.committed_at_ms,
    )


def to_assignment(
    assignment: MemberAssignment, info: MemberInfo, names: Mapping[int, str]
) -> pb.MemberAssignment:
    """For the wire; `names` are those of the group's topics, by id."""
    message = pb.MemberAssignment(
        member_epoch=assignment.member_epoch,
        group_epoch=assignment.group_epoch,
        revoking=to_partitions(assignment.revoking),
        session_timeout_ms=info.session_timeout_ms,
        heartbeat_interval_ms=heartbeat_interval_ms(info.session_timeout_ms),
    )
    for partition, epoch, commit in assignment.assigned:
        message.assigned.add(
            topic_id=partition.topic_id,
            topic=names.get(partition.topic_id, ""),
            partition=partition.partition,
            grant_epoch=epoch,
            committed=None if commit is None else to_offset(partition, commit, metadata=False),
        )
    return message


def to_summaries(listings: Sequence[GroupListing]) -> list[pb.GroupSummary]:
    """For the wire, in their order."""
    return [
        pb.GroupSummary(
            group=listing.name,
            phase=GROUP_PHASES[listing.phase],
            member_count=listing.members,
            group_epoch=listing.epoch,
            assignor=listing.assignor,
            offset_count=listing.commits,
        )
        for listing in listings
    ]


def to_description(group: GroupDescription) -> pb.DescribeGroupResponse:
    """For the wire; who is connected, and who answers, is for the caller to add."""
    return pb.DescribeGroupResponse(
        summary=pb.GroupSummary(
            group=group.name,
            phase=GROUP_PHASES[group.phase],
            member_count=len(group.members),
            group_epoch=group.epoch,
            assignor=group.assignor,
            offset_count=len(group.commits),
        ),
        members=[_member(member) for member in group.members],
        offsets=_described_offsets(group.commits[:DESCRIBED_OFFSETS_MAX]),
        unowned=to_partitions(group.unowned),
        rebalances=[
            pb.GroupRebalance(
                group_epoch=each.epoch,
                cause=each.cause.name.lower(),
                at_ms=each.at_ms,
                member_id=each.member_id,
                detail=each.detail,
            )
            for each in group.rebalances
        ],
        empty_since_ms=group.empty_since_ms,
    )


def _described_offsets(commits: Sequence[tuple[TopicPartition, Commit]]) -> list[pb.GroupOffset]:
    """With their metadata as far as there is room in one message."""
    left = DESCRIBED_METADATA_BYTES_MAX
    found = []
    for partition, commit in commits:
        left -= len(commit.metadata.encode())
        found.append(to_offset(partition, commit, metadata=left >= 0))
    return found


def to_findings(findings: Iterable[Finding]) -> list[pb.GroupFinding]:
    """For the wire, in their order."""
    return [
        pb.GroupFinding(
            kind=each.kind,
            member_id=each.member_id,
            partition=None
            if each.partition is None
            else pb.GroupPartition(
                topic_id=each.partition.topic_id, partition=each.partition.partition
            ),
            for_ms=each.for_ms,
            detail=each.detail,
        )
        for each in findings
    ]


def topic_ids_of(group: GroupDescription) -> list[int]:
    """Topics that a description speaks of, ascending."""
    named = {view.topic_id: None for view in group.topics}
    for partition, _ in group.commits:
        named[partition.topic_id] = None
    return sorted(named)


def _member(member: MemberDescription) -> pb.MemberDescription:
    info = member.info
    return pb.MemberDescription(
        member_id=info.member_id,
        instance_id=info.instance_id,
        client_id=info.client_id,
        client_host=info.client_host,
        phase=MEMBER_PHASES[member.phase],
        member_epoch=member.epoch,
        joined_at_ms=member.joined_at_ms,
        assigned=to_partitions(member.assigned),
        revoking=to_partitions(member.revoking),
        target=to_partitions(member.target),
        missing_topics=member.missing_topics,
        topics=info.subscription.topics,
        pattern=info.subscription.pattern,
        session_timeout_ms=info.session_timeout_ms,
        rebalance_timeout_ms=info.rebalance_timeout_ms,
    )
