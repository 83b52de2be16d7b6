"""TrimPartitions: lets go of what lies below an offset, by the will of an operator.

As with retention, the leader moves the start of the log with a control entry that every replica
carries out; the answer is given when that entry is committed.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from replication.types import Offset
from streamlog.broker.each import answered_by_leader, each_in_order
from streamlog.broker.error_mapping import to_proto
from streamlog.broker.offsets import committed_end
from streamlog.broker.partition import Partition
from streamlog.broker.partitions import Partitions
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import StreamlogError
from streamlog.model.internal_topics import check_not_internal
from streamlog.v1 import log_service_pb2

Trim = log_service_pb2.PartitionTrim
Trimmed = log_service_pb2.PartitionTrimmed

_LOG = logging.getLogger(__name__)


async def trim_partitions(
    partitions: Partitions,
    view: ClusterView,
    request: log_service_pb2.TrimPartitionsRequest,
    timeout_ms: int,
) -> log_service_pb2.TrimPartitionsResponse:
    """Trim each; one that fails fails alone. Raises INVALID_REQUEST for their number."""

    async def one(trim: Trim) -> Trimmed:
        blank = Trimmed(topic_id=trim.topic_id, partition=trim.partition)
        topic = view.topic_by_id(trim.topic_id)
        try:
            if topic is not None:
                check_not_internal(topic.name)
        except StreamlogError as error:
            blank.error.CopyFrom(to_proto(error))
            return blank
        return await answered_by_leader(
            partitions, blank, partial(_fill, trim.before_offset, timeout_ms / 1_000)
        )

    results = await each_in_order("trims", request.trims, one)
    return log_service_pb2.TrimPartitionsResponse(results=results)


async def _fill(before: int, timeout_s: float, partition: Partition, result: Trimmed) -> None:
    async with asyncio.timeout(timeout_s):
        result.start_offset = await _move_start(partition, before)


async def _move_start(partition: Partition, before: int) -> int:
    """The log's start afterwards. Raises OffsetOutOfRange above the committed end."""
    await committed_end(partition)  # the bound of what may be asked for, as of now
    group = partition.group
    start = group.start
    await group.move_log_start(Offset(before))
    moved = group.start
    if moved > start:
        _LOG.info(
            "log_trimmed",
            extra={
                "group": group.creation.group_id,
                "partition": partition.number,
                "from": start,
                "to": moved,
            },
        )
    return moved
