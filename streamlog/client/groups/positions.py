"""Committed positions of a group, asked of its coordinator or stored there by who is no member."""

from __future__ import annotations

from collections.abc import Sequence

from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.groups.commits import Commit
from streamlog.client.groups.coordinator_calls import CoordinatorCalls
from streamlog.client.groups.options import OffsetAndMetadata
from streamlog.client.records import TopicPartition
from streamlog.v1 import group_service_pb2 as pb


class GroupPositions:
    """FetchOffsets and CommitOffsets of one group."""

    def __init__(self, group: str, calls: CoordinatorCalls, metadata: ClusterMetadata) -> None:
        self._group, self._calls, self._metadata = group, calls, metadata

    async def of(self, pairs: Sequence[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Of these partitions; those without one are left out. Raises ClientError, ValueError."""
        ids = await self._metadata.partition_ids(pairs)
        names = {partition_id: pair for pair, partition_id in ids.items()}
        request = pb.FetchOffsetsRequest(
            group=self._group,
            partitions=[
                pb.GroupPartition(topic_id=topic_id, partition=number) for topic_id, number in names
            ],
        )
        found: dict[TopicPartition, OffsetAndMetadata] = {}
        while names:
            page = await self._calls.call(
                self._group, "FetchOffsets", request, pb.FetchOffsetsResponse
            )
            for at in page.offsets:
                pair = names[at.topic_id, at.partition]
                found[pair] = OffsetAndMetadata(at.offset, at.metadata)
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        return found

    async def offsets_of(self, pairs: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """As `of`, without the notes."""
        return {pair: at.offset for pair, at in (await self.of(pairs)).items()}

    async def store(self, commit: Commit) -> None:
        """Commit while the group has no members. Raises ClientError."""
        await self._calls.call(
            self._group,
            "CommitOffsets",
            pb.CommitOffsetsRequest(group=self._group, offsets=commit.message()),
            pb.CommitOffsetsResponse,
        )
