"""Finds the coordinator of a consumer group, or says exactly why it is not to be had here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from consumer_groups.coordinator.checks import check_group_name
from consumer_groups.types import GroupName
from replication.errors import ReplicationError
from streamlog.broker.error_mapping import to_streamlog_error
from streamlog.broker.partition import Partition
from streamlog.broker.partitions import Partitions
from streamlog.groups.coordinator import GroupCoordinator
from streamlog.groups.groups import Groups
from streamlog.groups.offsets_topic import partition_of
from streamlog.model.errors import Reason, StreamlogError

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Coordination:
    """A group's coordinator, and the partition whose leader it is."""

    coordinator: GroupCoordinator
    partition: Partition


class GroupCoordinators:
    """The coordinators on this node, by the names of groups."""

    def __init__(self, groups: Groups, partitions: Partitions) -> None:
        self.groups = groups
        self._partitions = partitions

    async def place_of(self, group: str) -> tuple[int, int, int]:
        """Topic id, number and group id of the partition that has the group; makes the topic if
        need be. Raises INVALID_GROUP_NAME, METADATA_*."""
        try:
            check_group_name(GroupName(group))
        except Exception as error:
            raise to_streamlog_error(error) from error
        topic = await self.groups.offsets_topic.ensured()
        number = partition_of(GroupName(group), len(topic.partitions))
        return topic.topic_id, number, topic.partitions[number].group_id

    async def of(self, group: str) -> Coordination:
        """The coordinator, if this node leads. Raises NOT_LEADER (with the leader's address),
        LEADER_NOT_AVAILABLE, and as `place_of`."""
        topic_id, number, _ = await self.place_of(group)
        partition = self._partitions.find_leader(topic_id, number)
        coordinator = self.groups.coordinator(partition.group.creation.group_id)
        if coordinator is None or coordinator.group is not partition.group:
            raise StreamlogError(
                Reason.LEADER_NOT_AVAILABLE,
                f"the coordinator of group {group} is being started",
                retry_after_ms=50,
            )
        return Coordination(coordinator, partition)

    async def call(
        self, group: str, work: Callable[[GroupCoordinator], Awaitable[AnswerT]]
    ) -> AnswerT:
        """Ask the coordinator. Raises StreamlogError."""
        found = await self.of(group)
        try:
            return await work(found.coordinator)
        except Exception as error:
            raise self.explain(found, error) from error

    def explain(self, found: Coordination, error: Exception) -> StreamlogError:
        """An error of a coordinator as its clients should see it."""
        if isinstance(error, ReplicationError):
            return self._partitions.explain(found.partition, error)
        return to_streamlog_error(error)
