"""What operators are told of consumer groups: frozen values, with topics by name.

Times are Unix milliseconds; how long something lasts is told by the coordinator, in milliseconds or
seconds as the name says, so that clocks need not agree. Only the lag in seconds compares clocks: this
machine's with the timestamps of records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from streamlog.client.records import TopicPartition
from streamlog.v1 import group_service_pb2 as pb


class GroupPhase(StrEnum):
    """What a group is doing."""

    EMPTY = "empty"
    """It has no members."""
    STABLE = "stable"
    """Every member owns what it shall own."""
    RECONCILING = "reconciling"
    """Partitions are on their way from one member to another."""
    UNKNOWN = "unknown"
    """The node told one that this client does not know."""


class MemberPhase(StrEnum):
    """Where a member is on the way to what it shall own."""

    STABLE = "stable"
    """It owns what it shall own."""
    REVOKING = "revoking"
    """It has something to give up, and is given nothing meanwhile."""
    WAITING = "waiting"
    """Others have yet to give up what it shall own."""
    UNKNOWN = "unknown"
    """The node told one that this client does not know."""


_GROUP_PHASES: Final[Mapping[int, GroupPhase]] = {
    pb.GROUP_PHASE_EMPTY: GroupPhase.EMPTY,
    pb.GROUP_PHASE_STABLE: GroupPhase.STABLE,
    pb.GROUP_PHASE_RECONCILING: GroupPhase.RECONCILING,
}
_MEMBER_PHASES: Final[Mapping[int, MemberPhase]] = {
    pb.MEMBER_PHASE_STABLE: MemberPhase.STABLE,
    pb.MEMBER_PHASE_REVOKING: MemberPhase.REVOKING,
    pb.MEMBER_PHASE_WAITING: MemberPhase.WAITING,
}


@dataclass(frozen=True, slots=True)
class GroupListing:
    """A consumer group in a list."""

    name: str
    phase: GroupPhase
    member_count: int
    epoch: int
    """Counts the group's changes."""
    assignor: str
    """In force; empty: none yet."""
    offset_count: int
    """Positions that it has committed."""
    coordinator_node_id: int


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A position of a group in a partition."""

    offset: int
    """The next record to read, not the last one read."""
    leader_term: int
    """Term of the record before it, as the reader saw it; 0: not told."""
    metadata: str
    """Whatever the committer noted."""
    committed_at_ms: int


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a group."""

    member_id: str
    instance_id: str
    """Of a static member; empty: a dynamic one."""
    client_id: str
    client_host: str
    phase: MemberPhase
    epoch: int
    joined_at_ms: int
    connected: bool
    """It has a stream to the coordinator."""
    silent_ms: int
    """Since the coordinator heard of it last."""
    idle_ms: int
    """Since it last handled records, or found none to handle; 0 while it owns nothing."""
    assigned: tuple[TopicPartition, ...]
    """What it may read."""
    revoking: tuple[TopicPartition, ...]
    """What it was asked to give up."""
    target: tuple[TopicPartition, ...]
    """What it shall own."""
    topics: tuple[str, ...]
    """Named by its subscription."""
    pattern: str
    """Of its subscription; empty: none."""
    missing_topics: tuple[str, ...]
    """Named by its subscription, and not there."""
    session_timeout_ms: int
    rebalance_timeout_ms: int


@dataclass(frozen=True, slots=True)
class GroupPartitionLag:
    """How far a group is in a partition that it subscribes to, or has a position of."""

    topic: str
    partition: int
    member_id: str
    """Who owns it; empty: nobody."""
    committed: CommittedOffset | None
    """None: nothing was committed; a reader begins where its own policy says."""
    start_offset: int | None
    """First offset of the log; None: its leader did not answer."""
    end_offset: int | None
    """Committed end of the log, exclusive; None: its leader did not answer."""
    lag_records: int | None
    """Offsets from the oldest unread record to the end, 0 when there is none; control batches in
    between count. None: not known, or nothing was committed."""
    lag_seconds: float | None
    """Age of the oldest unread record by its timestamp, 0.0 when there is none; None as above."""


@dataclass(frozen=True, slots=True)
class GroupRebalance:
    """Why a group's epoch moved."""

    epoch: int
    """That began."""
    cause: str
    """member_joined, member_returned, subscription_changed, member_left, session_expired,
    rebalance_timed_out, no_progress, topics_changed or offsets_reset."""
    at_ms: int
    member_id: str
    """Whom it is about; empty: nobody."""
    detail: str


@dataclass(frozen=True, slots=True)
class GroupFinding:
    """Something about a group that does not look right."""

    kind: str
    """no_progress, partition_unowned or topic_missing."""
    for_ms: int
    """As long as the coordinator has seen it; 0: that is not counted."""
    member_id: str
    """Empty: not about a member."""
    partition: TopicPartition | None
    detail: str


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """All about a group."""

    name: str
    phase: GroupPhase
    epoch: int
    assignor: str
    coordinator_node_id: int
    coordinator_term: int
    members: tuple[GroupMember, ...]
    """In the order in which they joined."""
    partitions: tuple[GroupPartitionLag, ...]
    """Subscribed, or with a position; by topic and number."""
    unowned: tuple[TopicPartition, ...]
    """Subscribed, and nobody owns them."""
    rebalances: tuple[GroupRebalance, ...]
    """The newest last, at most 16."""
    findings: tuple[GroupFinding, ...]
    empty_since_ms: int
    """0: it has members."""

    @property
    def lag_records(self) -> int | None:
        """Of all partitions whose lag is known; None when there is none."""
        known = [each.lag_records for each in self.partitions if each.lag_records is not None]
        return sum(known) if known else None

    @property
    def lag_seconds(self) -> float | None:
        """The longest of all partitions; None when none is known."""
        known = [each.lag_seconds for each in self.partitions if each.lag_seconds is not None]
        return max(known) if known else None


class Names:
    """Topics by id, as a message tells them."""

    def __init__(self, topics: Iterable[pb.GroupTopic]) -> None:
        self._names = {topic.topic_id: topic.topic for topic in topics}

    def __getitem__(self, topic_id: int) -> str:
        """A topic that was deleted a moment ago has no name: its id in brackets."""
        return self._names.get(topic_id, f"({topic_id})")

    def known(self, topic_id: int) -> bool:
        """It has a name."""
        return topic_id in self._names

    def pairs(self, partitions: Iterable[pb.GroupPartition]) -> tuple[TopicPartition, ...]:
        """By topic and number."""
        return tuple(sorted(self.pair(each) for each in partitions))

    def pair(self, partition: pb.GroupPartition | pb.GroupOffset) -> TopicPartition:
        """With its topic's name."""
        return TopicPartition(self[partition.topic_id], partition.partition)


def listing(summary: pb.GroupSummary, node_id: int) -> GroupListing:
    """From the wire."""
    return GroupListing(
        summary.group,
        group_phase(summary.phase),
        summary.member_count,
        summary.group_epoch,
        summary.assignor,
        summary.offset_count,
        node_id,
    )


def group_phase(number: int) -> GroupPhase:
    """From the wire."""
    return _GROUP_PHASES.get(number, GroupPhase.UNKNOWN)


def committed_offset(offset: pb.GroupOffset) -> CommittedOffset:
    """From the wire."""
    return CommittedOffset(
        offset.offset, offset.leader_term, offset.metadata, offset.committed_at_ms
    )


def member(told: pb.MemberDescription, names: Names) -> GroupMember:
    """From the wire."""
    return GroupMember(
        told.member_id,
        told.instance_id,
        told.client_id,
        told.client_host,
        _MEMBER_PHASES.get(told.phase, MemberPhase.UNKNOWN),
        told.member_epoch,
        told.joined_at_ms,
        told.connected,
        told.silent_ms,
        told.idle_ms,
        names.pairs(told.assigned),
        names.pairs(told.revoking),
        names.pairs(told.target),
        tuple(told.topics),
        told.pattern,
        tuple(told.missing_topics),
        told.session_timeout_ms,
        told.rebalance_timeout_ms,
    )


def rebalance(told: pb.GroupRebalance) -> GroupRebalance:
    """From the wire."""
    return GroupRebalance(told.group_epoch, told.cause, told.at_ms, told.member_id, told.detail)


def finding(told: pb.GroupFinding, names: Names) -> GroupFinding:
    """From the wire."""
    return GroupFinding(
        told.kind,
        told.for_ms,
        told.member_id,
        names.pair(told.partition) if told.HasField("partition") else None,
        told.detail,
    )
