"""A group under test, with words for what members and operators do to it."""

from __future__ import annotations

from consumer_groups.commands import (
    AcknowledgeRevocation,
    CommitOffsets,
    ExpireMember,
    ExpiryCause,
    Join,
    Leave,
    OffsetToCommit,
    ResetOffsets,
    StoreOffsets,
    TopicsChanged,
)
from consumer_groups.coordinator.state import Group
from consumer_groups.responses import (
    Acknowledged,
    Changed,
    Expired,
    Joined,
    MemberAssignment,
)
from consumer_groups.types import (
    NO_EPOCH,
    Epoch,
    GroupName,
    InstanceId,
    MemberId,
    MemberInfo,
    PartitionNumber,
    Position,
    Subscription,
    TopicCatalog,
    TopicId,
    TopicPartition,
    TopicView,
)
from tests.properties.consumer_groups.group_log import GroupLog, check_group

NAME = GroupName("readers")
A, B, C = MemberId("a"), MemberId("b"), MemberId("c")
ORDERS, CLICKS = TopicId(1), TopicId(2)


def orders(*numbers: int) -> tuple[TopicPartition, ...]:
    """Partitions of topic orders."""
    return tuple(TopicPartition(ORDERS, PartitionNumber(number)) for number in numbers)


def clicks(*numbers: int) -> tuple[TopicPartition, ...]:
    """Partitions of topic clicks."""
    return tuple(TopicPartition(CLICKS, PartitionNumber(number)) for number in numbers)


def positions(
    partitions: tuple[TopicPartition, ...], offset: int = 5, metadata: str = ""
) -> tuple[OffsetToCommit, ...]:
    """The same position for all."""
    return tuple(OffsetToCommit(p, Position(offset), 1, metadata) for p in partitions)


def catalog(version: int = 1, *, orders: int = 4, clicks: int = 2) -> TopicCatalog:
    """Two topics; one with 0 partitions does not exist."""
    views = (TopicView(ORDERS, "orders", orders), TopicView(CLICKS, "clicks", clicks))
    return TopicCatalog.of(version, [view for view in views if view.partition_count])


class GroupBench:
    """One group of one coordinator; the clock stands unless a test moves it."""

    def __init__(self) -> None:
        self.log = GroupLog()
        self.catalog = catalog()
        self.now_ms = 1_000

    @property
    def group(self) -> Group:
        """As it is; its invariants hold."""
        group = self.log.state.groups[NAME]
        check_group(group)
        return group

    def join(
        self,
        member_id: MemberId,
        *topics: str,
        pattern: str = "",
        instance: str = "",
        assignor: str = "",
        epoch: Epoch = NO_EPOCH,
        holder_connected: bool = False,
    ) -> Joined:
        """Subscribes to orders when nothing else is said."""
        wanted = topics if topics or pattern else ("orders",)
        info = MemberInfo(
            member_id,
            Subscription.to(*wanted, pattern=pattern),
            InstanceId(instance),
            client_id=f"client {member_id}",
            assignor=assignor,
        )
        response = self.log.execute(
            Join(NAME, info, self.catalog, self.now_ms, epoch, holder_connected)
        )
        assert isinstance(response, Joined)
        return response

    def settled(self, *member_ids: MemberId) -> GroupBench:
        """These join, and give up what they are asked for."""
        for member_id in member_ids:
            self.join(member_id)
            self.settle()
        return self

    def settle(self) -> None:
        """Everybody gives up what it is asked for."""
        for member_id, member in self.group.members.items():
            if member.revoking:
                self.acknowledge(member_id, *member.revoking)

    def epoch(self, member_id: MemberId) -> Epoch:
        """Of a member."""
        return self.group.members[member_id].epoch

    def acknowledge(
        self, member_id: MemberId, *revoked: TopicPartition, epoch: Epoch | None = None
    ) -> Acknowledged:
        """At its present epoch when no other is given."""
        at = self.epoch(member_id) if epoch is None else epoch
        response = self.log.execute(AcknowledgeRevocation(NAME, member_id, at, revoked))
        assert isinstance(response, Acknowledged)
        return response

    def leave(self, member_id: MemberId) -> Changed:
        """For good."""
        response = self.log.execute(Leave(NAME, member_id, self.now_ms))
        assert isinstance(response, Changed)
        return response

    def expire(
        self,
        member_id: MemberId,
        cause: ExpiryCause = ExpiryCause.SESSION,
        epoch: Epoch | None = None,
    ) -> Expired:
        """With a timer that was started at its present epoch when no other is given."""
        at = self.epoch(member_id) if epoch is None else epoch
        response = self.log.execute(ExpireMember(NAME, member_id, at, cause, self.now_ms))
        assert isinstance(response, Expired)
        return response

    def commit(
        self, member_id: MemberId, offsets: tuple[OffsetToCommit, ...], epoch: Epoch | None = None
    ) -> None:
        """At its present epoch when no other is given."""
        at = self.epoch(member_id) if epoch is None else epoch
        self.log.execute(CommitOffsets(NAME, member_id, at, offsets, self.now_ms))

    def store(self, offsets: tuple[OffsetToCommit, ...]) -> None:
        """Without membership."""
        self.log.execute(StoreOffsets(NAME, offsets, self.catalog, self.now_ms))

    def reset(self, offsets: tuple[OffsetToCommit, ...]) -> Changed:
        """By an operator."""
        response = self.log.execute(ResetOffsets(NAME, offsets, self.catalog, self.now_ms))
        assert isinstance(response, Changed)
        return response

    def topics(self, changed: TopicCatalog) -> Changed:
        """The catalog is another, and the group is told."""
        self.catalog = changed
        response = self.log.execute(TopicsChanged(NAME, changed, self.now_ms))
        assert isinstance(response, Changed)
        return response


def owned(assignment: MemberAssignment) -> tuple[TopicPartition, ...]:
    """What it may read."""
    return tuple(grant.partition for grant in assignment.assigned)
