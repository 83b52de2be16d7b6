"""GroupService: what is asked about consumer groups, call by call."""

from __future__ import annotations

from typing import Final

from consumer_groups.coordinator.queries import GroupListing
from consumer_groups.limits import PARTITIONS_PER_REQUEST_MAX
from consumer_groups.types import GroupName, PartitionNumber, TopicId, TopicPartition
from replication.errors import ReplicationError
from replication.group import GroupHost
from replication.ports import StreamHandler
from streamlog.broker.counters import BrokerCounters
from streamlog.broker.groups.group_codec import (
    offsets_of,
    partitions_of,
    to_description,
    to_findings,
    to_offsets,
    to_summaries,
    topic_ids_of,
)
from streamlog.broker.groups.group_coordinators import GroupCoordinators
from streamlog.broker.groups.membership import MembershipService
from streamlog.broker.leaders import known_leader
from streamlog.broker.page_tokens import decode_token, encode_token
from streamlog.broker.partitions import Partitions
from streamlog.cluster.view import ClusterView
from streamlog.groups.coordinator import GroupCoordinator
from streamlog.groups.groups import Groups
from streamlog.model.errors import Reason, StreamlogError
from streamlog.v1 import group_service_pb2 as pb

PAGE_SIZE_MAX: Final = 1_000
"""Groups."""
OFFSETS_PAGE_SIZE_MAX: Final = 20_000


class GroupService:
    """The part of the broker for consumer groups."""

    def __init__(
        self,
        node_id: int,
        groups: Groups,
        partitions: Partitions,
        host: GroupHost,
        view: ClusterView,
        counters: BrokerCounters,
    ) -> None:
        self._node_id, self._groups, self._host, self._view = node_id, groups, host, view
        self._coordinators = GroupCoordinators(groups, partitions)
        self._membership = MembershipService(self._coordinators, counters)

    @property
    def membership(self) -> StreamHandler:
        """Handler of Membership streams."""
        return self._membership.serve

    async def find_coordinator(
        self, request: pb.FindCoordinatorRequest
    ) -> pb.FindCoordinatorResponse:
        """Partition and leader, as this node knows them."""
        _, number, group_id = await self._coordinators.place_of(request.group)
        leader = known_leader(self._host, self._node_id, group_id)
        address = None if leader is None else self._view.address_of(leader.node_id)
        if leader is None or address is None:
            return pb.FindCoordinatorResponse(partition=number)
        return pb.FindCoordinatorResponse(
            partition=number,
            leader_node_id=leader.node_id,
            leader_address=address,
            leader_term=leader.term,
        )

    async def commit_offsets(self, request: pb.CommitOffsetsRequest) -> pb.CommitOffsetsResponse:
        """Committed when it returns."""
        name, offsets = GroupName(request.group), offsets_of(request.offsets)
        await self._coordinators.call(name, lambda at: at.store(name, offsets))
        return pb.CommitOffsetsResponse()

    async def fetch_offsets(self, request: pb.FetchOffsetsRequest) -> pb.FetchOffsetsResponse:
        """A page, by topic id and partition, of what was committed before the call (AIP-158)."""
        size = _page_size(request.page_size, OFFSETS_PAGE_SIZE_MAX)
        after = _partition_after(request.page_token)
        name, wanted = GroupName(request.group), partitions_of(request.partitions)
        if len(wanted) > PARTITIONS_PER_REQUEST_MAX:
            raise StreamlogError(
                Reason.TOO_MANY_PARTITIONS,
                f"{len(wanted)} partitions in one request are too many: 0 to"
                f" {PARTITIONS_PER_REQUEST_MAX}",
                {"value": str(len(wanted)), "maximum": str(PARTITIONS_PER_REQUEST_MAX)},
            )
        found = await self._coordinators.call(
            name, lambda at: at.committed_offsets(name, wanted or None)
        )
        rest = sorted(item for item in found.items() if after is None or item[0] > after)
        page = rest[:size]
        return pb.FetchOffsetsResponse(
            offsets=to_offsets(page),
            next_page_token=_token_of(page[-1][0]) if len(rest) > size else "",
        )

    async def list_groups(self, request: pb.ListGroupsRequest) -> pb.ListGroupsResponse:
        """A page of this node's groups by name (AIP-158)."""
        size = _page_size(request.page_size, PAGE_SIZE_MAX)
        after = decode_token(request.page_token, "ListGroups")
        listings: list[GroupListing] = []
        for coordinator in self._groups.coordinators():
            if coordinator.leads:
                try:
                    listings += await coordinator.list_groups()
                except ReplicationError:
                    continue  # It leads no more: another node tells of its groups.
        listings.sort(key=lambda listing: listing.name)
        rest = [listing for listing in listings if after is None or listing.name > after]
        page = rest[:size]
        return pb.ListGroupsResponse(
            groups=to_summaries(page),
            next_page_token=encode_token(page[-1].name) if len(rest) > size else "",
        )

    async def describe_group(self, request: pb.DescribeGroupRequest) -> pb.DescribeGroupResponse:
        """One group. Raises UNKNOWN_GROUP."""
        name = GroupName(request.group)

        async def describe(at: GroupCoordinator) -> pb.DescribeGroupResponse:
            group = await at.describe(name)
            response = to_description(group)
            for message, member in zip(response.members, group.members, strict=True):
                member_id = member.info.member_id
                message.connected = at.is_connected(name, member_id)
                silent_ms, idle_ms = at.vitals(name, member_id)
                message.silent_ms, message.idle_ms = int(silent_ms), int(idle_ms)
            response.findings.extend(to_findings(at.findings(name)))
            for topic_id in topic_ids_of(group):
                topic = self._view.topic_by_id(topic_id)
                if topic is not None:  # Else it was just deleted; the group forgets it, too.
                    response.topics.add(topic_id=topic_id, topic=topic.name)
            response.coordinator_node_id = self._node_id
            response.coordinator_term = at.term
            return response

        return await self._coordinators.call(name, describe)

    async def reset_offsets(self, request: pb.ResetOffsetsRequest) -> pb.ResetOffsetsResponse:
        """Set when it returns."""
        name, offsets = GroupName(request.group), offsets_of(request.offsets)
        epoch = await self._coordinators.call(name, lambda at: at.reset(name, offsets))
        return pb.ResetOffsetsResponse(group_epoch=epoch)

    async def delete_offsets(self, request: pb.DeleteOffsetsRequest) -> pb.DeleteOffsetsResponse:
        """Forgotten when it returns."""
        name, partitions = GroupName(request.group), partitions_of(request.partitions)
        count = await self._coordinators.call(name, lambda at: at.delete_offsets(name, partitions))
        return pb.DeleteOffsetsResponse(deleted_count=count)

    async def delete_group(self, request: pb.DeleteGroupRequest) -> pb.DeleteGroupResponse:
        """Forgotten when it returns."""
        name = GroupName(request.group)
        count = await self._coordinators.call(name, lambda at: at.delete_group(name))
        return pb.DeleteGroupResponse(deleted_count=count)


def _page_size(asked: int, most: int) -> int:
    """Raises INVALID_REQUEST."""
    if asked > most:
        raise StreamlogError(
            Reason.INVALID_REQUEST,
            f"page_size is {asked}, it must be 0 to {most}",
            {"field": "page_size", "value": str(asked), "minimum": "0", "maximum": str(most)},
        )
    return asked or most


def _token_of(partition: TopicPartition) -> str:
    return encode_token(f"{partition.topic_id}/{partition.partition}")


def _partition_after(token: str) -> TopicPartition | None:
    """The partition after which to go on; None: from the beginning. Raises INVALID_REQUEST."""
    text = decode_token(token, "FetchOffsets")
    if text is None:
        return None
    topic_id, slash, number = text.partition("/")
    if not (slash and topic_id.isascii() and topic_id.isdigit() and number.isdigit()):
        raise StreamlogError(
            Reason.INVALID_REQUEST, f"page_token {token!r} is not one that FetchOffsets gave out"
        )
    return TopicPartition(TopicId(int(topic_id)), PartitionNumber(int(number)))
