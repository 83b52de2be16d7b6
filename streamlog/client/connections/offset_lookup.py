"""Offsets by position or by time, and records at offsets, asked of each partition's leader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streamlog.client.connections.cluster_metadata import PartitionId
from streamlog.client.connections.connection import LOG_SERVICE, Connection
from streamlog.client.connections.leader_calls import LeaderCalls
from streamlog.v1.log_service_pb2 import (
    OFFSET_SPEC_EARLIEST,
    OFFSET_SPEC_LATEST,
    OFFSET_SPEC_RECORD,
    OFFSET_SPEC_TIMESTAMP,
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetAnswer,
    OffsetQuery,
    OffsetSpec,
)


class OffsetAtTime(NamedTuple):
    """An offset, and the timestamp of the record there (None when there is none)."""

    offset: int
    timestamp_ms: int | None


class RecordAt(NamedTuple):
    """The first record at or after an offset, and the log that it is in."""

    offset: int
    """The record's; where none follows, the one that was asked for or the end."""
    timestamp_ms: int | None
    """The record's; None when none follows."""
    start_offset: int
    end_offset: int
    """Committed, exclusive, as the leader alone knows it: an election may have moved it on."""


Position = str | int
"""Unix milliseconds as an int; "earliest" or "latest" as a str."""


def _spec(position: Position) -> tuple[OffsetSpec, int]:
    if position == "earliest":
        return OFFSET_SPEC_EARLIEST, 0
    if position == "latest":
        return OFFSET_SPEC_LATEST, 0
    if isinstance(position, int):
        return OFFSET_SPEC_TIMESTAMP, position
    raise ValueError(f"position is {position!r}; allowed are 'earliest', 'latest' and a time in ms")


class OffsetLookup:
    """ListOffsets of many partitions."""

    def __init__(self, calls: LeaderCalls) -> None:
        self._calls = calls

    async def find(
        self, partitions: Sequence[PartitionId], position: Position
    ) -> list[OffsetAtTime]:
        """Offsets of the partitions, in their order. Raises what LeaderCalls.each raises."""
        spec, timestamp_ms = _spec(position)
        queries = {
            (topic_id, partition): OffsetQuery(
                topic_id=topic_id, partition=partition, spec=spec, timestamp_ms=timestamp_ms
            )
            for topic_id, partition in partitions
        }
        found = await self._calls.each(queries, _ask)
        return [_at(found[partition]) for partition in partitions]

    async def records_at(
        self, offsets: Mapping[PartitionId, int], timeout_ms: float
    ) -> dict[PartitionId, RecordAt]:
        """Records at or after offsets, of the partitions that are answered for in time. Raises
        ClientError for what asking again would not mend."""
        queries = {
            (topic_id, partition): OffsetQuery(
                topic_id=topic_id, partition=partition, spec=OFFSET_SPEC_RECORD, offset=offset
            )
            for (topic_id, partition), offset in offsets.items()
        }
        found = await self._calls.those_that_answer(queries, _ask, timeout_ms)
        return {partition: _record_at(answer) for partition, answer in found.items()}


async def _ask(
    leader: Connection, queries: Sequence[OffsetQuery], timeout_ms: float
) -> Sequence[OffsetAnswer]:
    response = await leader.unary(
        LOG_SERVICE + "ListOffsets",
        ListOffsetsRequest(queries=queries),
        ListOffsetsResponse,
        timeout_ms,
    )
    return response.answers


def _at(answer: OffsetAnswer) -> OffsetAtTime:
    stamp_ms = answer.timestamp_ms if answer.HasField("timestamp_ms") else None
    return OffsetAtTime(answer.offset, stamp_ms)


def _record_at(answer: OffsetAnswer) -> RecordAt:
    stamp_ms = answer.timestamp_ms if answer.HasField("timestamp_ms") else None
    return RecordAt(answer.offset, stamp_ms, answer.log_start_offset, answer.high_watermark)
