"""What operators ask of consumer groups, and do to their positions.

Members, owners and positions come from a group's coordinator; where the logs begin and end, and how
old the oldest unread record is, from the leaders of the partitions, a moment later. A leader that
does not answer soon leaves the lag of its partitions unknown: the rest is told all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from streamlog.client.connections.backoff import Patience
from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.connections.connection import ADMIN_SERVICE, Connections
from streamlog.client.connections.offset_lookup import OffsetLookup, RecordAt
from streamlog.client.errors import ClientError, OffsetOutOfRange, TopicUnknown
from streamlog.client.groups.coordinator_calls import GROUP_SERVICE, CoordinatorCalls
from streamlog.client.operate.group_views import (
    CommittedOffset,
    GroupDescription,
    GroupListing,
    GroupPartitionLag,
    Names,
    committed_offset,
    finding,
    group_phase,
    listing,
    member,
    rebalance,
)
from streamlog.client.records import TopicPartition
from streamlog.client.transport import Environment
from streamlog.model.errors import Reason
from streamlog.v1 import admin_service_pb2
from streamlog.v1 import group_service_pb2 as pb

LAG_TIMEOUT_MS: Final = 3_000.0
"""The lag is told beside other things, which do not wait longer for it."""
PAGE_SIZE: Final = 1_000
"""Groups, and positions with up to 4 KiB of metadata each: a page must fit into a message."""


class GroupOperations:
    """The part of `Admin` for consumer groups."""

    _connections: Connections
    _metadata: ClusterMetadata
    _lookup: OffsetLookup
    _coordinators: CoordinatorCalls
    _environment: Environment

    # What there is.

    async def list_groups(self) -> list[GroupListing]:
        """Every group of the cluster, by name.

        Each node tells of the groups that it coordinates; one that does not answer is asked again.
        A group whose coordinator is being elected is left out. Raises ClientError.
        """
        patience = Patience(self._environment, self._metadata.policy.total_timeout_ms)
        while True:
            live = await self._live_nodes()
            answers = await asyncio.gather(
                *(self._groups_of(*node) for node in live.items()), return_exceptions=True
            )
            failures = [answer for answer in answers if isinstance(answer, BaseException)]
            if not failures:
                break
            for failure in failures:
                if not isinstance(failure, ClientError) or not failure.retriable:
                    raise failure
            if not await patience.pause():
                raise failures[0]
        found: dict[str, GroupListing] = {}
        for answer in answers:
            assert isinstance(answer, list)
            for each in answer:
                known = found.get(each.name)
                # While a coordinator moves two nodes may tell of it: the newer one knows more.
                if known is None or each.epoch >= known.epoch:
                    found[each.name] = each
        return [found[name] for name in sorted(found)]

    async def describe_group(self, name: str, *, lag: bool = True) -> GroupDescription:
        """Members, positions and lag, rebalances, and what does not look right.

        `lag` False: the leaders of the partitions are not asked. Of a group with more than 20,000
        positions only so many are told, and what they note only as far as it fits into 1 MiB.
        Raises ClientError; its reason is UNKNOWN_GROUP when there is no such group.
        """
        told = await self._described(name)
        names = Names(told.topics)
        owners: dict[TopicPartition, str] = {}
        for each in told.members:
            for partition in (*each.assigned, *each.revoking):
                owners[names.pair(partition)] = each.member_id
        targets = [names.pair(p) for each in told.members for p in each.target]
        commits = {names.pair(each): committed_offset(each) for each in told.offsets}
        unowned = names.pairs(told.unowned)
        pairs = sorted({**dict.fromkeys([*owners, *targets, *unowned]), **commits})
        records = await self._records_at(pairs, commits) if lag else {}
        wall_ms = self._environment.clock.wall_ms()
        return GroupDescription(
            told.summary.group,
            group_phase(told.summary.phase),
            told.summary.group_epoch,
            told.summary.assignor,
            told.coordinator_node_id,
            told.coordinator_term,
            tuple(member(each, names) for each in told.members),
            tuple(
                _with_lag(pair, owners.get(pair, ""), commits.get(pair), records.get(pair), wall_ms)
                for pair in pairs
            ),
            unowned,
            tuple(rebalance(each) for each in told.rebalances),
            tuple(finding(each, names) for each in told.findings),
            told.empty_since_ms,
        )

    async def group_offsets(self, name: str) -> dict[TopicPartition, CommittedOffset]:
        """Every position of the group, by topic and number. Raises ClientError; its reason is
        UNKNOWN_GROUP when there is no such group."""
        told = await self._described(name)
        names = Names(told.topics)
        offsets = await self._all_offsets(name)
        found = {names.pair(each): committed_offset(each) for each in offsets}
        return {pair: found[pair] for pair in sorted(found)}

    # What operators do.

    async def reset_group_offsets(
        self, name: str, offsets: Mapping[tuple[str, int], int], *, create: bool = False
    ) -> int:
        """Set positions, whether the group has members or not; returns the group's epoch.

        Members that own one of the partitions lose it and are given it anew, at the new position;
        what they commit meanwhile is refused.

        Args:
            name: of the group.
            offsets: the next record to read by (topic, partition); from the log's start to its
                end.
            create: a group that does not exist is made; its epoch is told as 0.

        Raises OffsetOutOfRange, TopicUnknown, ValueError for a partition that the topic does not
        have or for no partition at all, ClientError (UNKNOWN_GROUP; an indefinite error is not
        tried again: others may have moved the positions meanwhile).
        """
        ids = await self._metadata.partition_ids(TopicPartition(*pair) for pair in offsets)
        if not ids:
            raise ValueError("no partition is named whose position is to be set")
        await self._check_in_log(ids, offsets)
        wanted = [
            pb.GroupOffset(topic_id=ids[pair][0], partition=pair.partition, offset=offset)
            for pair, offset in zip(ids, offsets.values(), strict=True)
        ]
        try:
            answer = await self._coordinators.call(
                name,
                "ResetOffsets",
                pb.ResetOffsetsRequest(group=name, offsets=wanted),
                pb.ResetOffsetsResponse,
                idempotent=False,
            )
        except ClientError as error:
            if not create or error.reason != Reason.UNKNOWN_GROUP.name:
                raise
            await self._coordinators.call(
                name,
                "CommitOffsets",
                pb.CommitOffsetsRequest(group=name, offsets=wanted),
                pb.CommitOffsetsResponse,
                idempotent=False,
            )
            return 0
        return answer.group_epoch

    async def delete_group_offsets(self, name: str, partitions: Sequence[tuple[str, int]]) -> int:
        """Forget positions; returns how many there were.

        Raises TopicUnknown, ValueError, ClientError (UNKNOWN_GROUP; GROUP_SUBSCRIBED when members
        subscribe to one of the topics).
        """
        ids = await self._metadata.partition_ids(TopicPartition(*pair) for pair in partitions)
        answer = await self._coordinators.call(
            name,
            "DeleteOffsets",
            pb.DeleteOffsetsRequest(
                group=name,
                partitions=[pb.GroupPartition(topic_id=t, partition=p) for t, p in ids.values()],
            ),
            pb.DeleteOffsetsResponse,
            idempotent=False,
        )
        return answer.deleted_count

    async def delete_group(self, name: str) -> int:
        """Forget a group that has no members; returns how many positions went with it.

        Raises ClientError (UNKNOWN_GROUP, GROUP_NOT_EMPTY).
        """
        answer = await self._coordinators.call(
            name,
            "DeleteGroup",
            pb.DeleteGroupRequest(group=name),
            pb.DeleteGroupResponse,
            idempotent=False,
        )
        return answer.deleted_count

    # How.

    async def _live_nodes(self) -> dict[str, int]:
        answer = await self._metadata.call_any(
            f"{ADMIN_SERVICE}DescribeCluster",
            admin_service_pb2.DescribeClusterRequest(),
            admin_service_pb2.DescribeClusterResponse,
            idempotent=True,
        )
        return {node.address: node.node_id for node in answer.nodes if node.live}

    async def _groups_of(self, address: str, node_id: int) -> list[GroupListing]:
        found: list[GroupListing] = []
        token = ""
        while True:
            answer = await self._connections.to(address).unary(
                GROUP_SERVICE + "ListGroups",
                pb.ListGroupsRequest(page_size=PAGE_SIZE, page_token=token),
                pb.ListGroupsResponse,
                self._metadata.policy.request_timeout_ms,
            )
            found += [listing(summary, node_id) for summary in answer.groups]
            token = answer.next_page_token
            if not token:
                return found

    async def _described(self, name: str) -> pb.DescribeGroupResponse:
        return await self._coordinators.call(
            name,
            "DescribeGroup",
            pb.DescribeGroupRequest(group=name),
            pb.DescribeGroupResponse,
            idempotent=True,
        )

    async def _all_offsets(self, name: str) -> list[pb.GroupOffset]:
        found: list[pb.GroupOffset] = []
        token = ""
        while True:
            answer = await self._coordinators.call(
                name,
                "FetchOffsets",
                pb.FetchOffsetsRequest(group=name, page_size=PAGE_SIZE, page_token=token),
                pb.FetchOffsetsResponse,
            )
            found += answer.offsets
            token = answer.next_page_token
            if not token:
                return found

    async def _records_at(
        self, pairs: Sequence[TopicPartition], commits: Mapping[TopicPartition, CommittedOffset]
    ) -> dict[TopicPartition, RecordAt]:
        """Of the partitions whose leaders answer in time."""
        by_topic: dict[str, list[TopicPartition]] = {}
        for pair in pairs:
            by_topic.setdefault(pair.topic, []).append(pair)
        ids: dict[TopicPartition, tuple[int, int]] = {}
        for asked in by_topic.values():
            try:
                ids |= await self._metadata.partition_ids(asked)
            except (TopicUnknown, ValueError):
                continue  # It was deleted meanwhile, or is so new that this node does not know it.
            except ClientError as error:
                if not error.retriable:
                    raise
        found = await self._lookup.records_at(
            {
                identity: commits[pair].offset if pair in commits else 0
                for pair, identity in ids.items()
            },
            LAG_TIMEOUT_MS,
        )
        return {pair: found[identity] for pair, identity in ids.items() if identity in found}

    async def _check_in_log(
        self,
        ids: Mapping[TopicPartition, tuple[int, int]],
        offsets: Mapping[tuple[str, int], int],
    ) -> None:
        starts = await self._lookup.find(list(ids.values()), "earliest")
        ends = await self._lookup.find(list(ids.values()), "latest")
        for pair, offset, start, end in zip(ids, offsets.values(), starts, ends, strict=True):
            if not start.offset <= offset <= end.offset:
                raise OffsetOutOfRange(
                    f"offset {offset} of {pair.topic}/{pair.partition} is out of range:"
                    f" {start.offset} to {end.offset}",
                    reason=Reason.OFFSET_OUT_OF_RANGE.name,
                    code=Reason.OFFSET_OUT_OF_RANGE.info.code,
                    metadata={
                        "topic": pair.topic,
                        "partition": str(pair.partition),
                        "log_start_offset": str(start.offset),
                        "high_watermark": str(end.offset),
                    },
                )


def _with_lag(
    pair: TopicPartition,
    member_id: str,
    committed: CommittedOffset | None,
    at: RecordAt | None,
    wall_ms: int,
) -> GroupPartitionLag:
    lag_records: int | None = None
    lag_seconds: float | None = None
    if at is not None and committed is not None:
        lag_records = max(0, at.end_offset - at.offset)
        if at.timestamp_ms is None:
            lag_records, lag_seconds = 0, 0.0
        else:
            lag_seconds = max(0, wall_ms - at.timestamp_ms) / 1_000
    return GroupPartitionLag(
        pair.topic,
        pair.partition,
        member_id,
        committed,
        at.start_offset if at is not None else None,
        at.end_offset if at is not None else None,
        lag_records,
        lag_seconds,
    )
