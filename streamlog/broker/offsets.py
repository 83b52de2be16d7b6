"""ListOffsets: the first offset, the committed end, offsets by time, and the record at an offset."""

from __future__ import annotations

import asyncio
from functools import partial

from replication.types import Offset
from streamlog.broker.each import answered_by_leader, each_in_order
from streamlog.broker.partition import Partition
from streamlog.broker.partitions import Partitions
from streamlog.model.errors import Reason, StreamlogError
from streamlog.v1 import log_service_pb2

BARRIER_TIMEOUT_S = 5.0

Query = log_service_pb2.OffsetQuery
Answer = log_service_pb2.OffsetAnswer


async def list_offsets(
    partitions: Partitions, request: log_service_pb2.ListOffsetsRequest
) -> log_service_pb2.ListOffsetsResponse:
    """Answer every query; one that fails fails alone. Raises INVALID_REQUEST for their number."""

    async def answer(query: Query) -> Answer:
        blank = Answer(topic_id=query.topic_id, partition=query.partition)
        return await answered_by_leader(partitions, blank, partial(_fill, query))

    answers = await each_in_order("queries", request.queries, answer)
    return log_service_pb2.ListOffsetsResponse(answers=answers)


async def _fill(query: Query, partition: Partition, answer: Answer) -> None:
    if query.spec == log_service_pb2.OFFSET_SPEC_RECORD:
        offset, timestamp_ms = await _record_at(partition, query, answer)
    else:
        offset, timestamp_ms = await _look_up(partition, query)
    answer.offset = offset
    answer.leader_term = partition.group.term
    if timestamp_ms is not None:
        answer.timestamp_ms = timestamp_ms


async def _look_up(partition: Partition, query: Query) -> tuple[int, int | None]:
    match query.spec:
        case log_service_pb2.OFFSET_SPEC_EARLIEST:
            _check_established(partition)  # before, it may not have heard of the last trim
            return partition.group.start, None
        case log_service_pb2.OFFSET_SPEC_LATEST:
            return await committed_end(partition), None
        case log_service_pb2.OFFSET_SPEC_TIMESTAMP:
            end = await committed_end(partition)
            found = await partition.log.offset_for_timestamp(
                query.timestamp_ms, partition.group.start
            )
            return (end, None) if found is None or found[0] >= end else found
        case _:
            raise StreamlogError(
                Reason.INVALID_REQUEST,
                f"spec is {query.spec}, it must be 1 (earliest), 2 (latest), 3 (timestamp) or 4"
                " (record)",
            )


async def _record_at(partition: Partition, query: Query, answer: Answer) -> tuple[int, int | None]:
    """Without asking the others: a lag that is a moment old does no harm, and there are many."""
    _check_established(partition)
    group = partition.group
    start, end = group.start, group.commit_end
    answer.log_start_offset, answer.high_watermark = start, end
    at = Offset(max(query.offset, start))
    found = await partition.log.record_at(at, end) if at < end else None
    return (max(query.offset, end), None) if found is None else found


async def committed_end(partition: Partition) -> int:
    """The commit of the group, confirmed by a majority: never older than the call."""
    _check_established(partition)
    async with asyncio.timeout(BARRIER_TIMEOUT_S):
        return await partition.group.read_barrier()


def _check_established(partition: Partition) -> None:
    if not partition.group.established:
        raise StreamlogError(
            Reason.OFFSET_NOT_AVAILABLE,
            "a new leader does not know yet how far the log is committed",
            retry_after_ms=20,
        )
