"""Offsets by position or by time, asked of each partition's leader and retried until known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from streamlog.client.backoff import Backoff
from streamlog.client.cluster_metadata import RETRY_MS_FIRST, RETRY_MS_MAX, ClusterMetadata
from streamlog.client.connection import LOG_SERVICE, Connections
from streamlog.client.errors import ClientError, ConnectionLost, from_wire
from streamlog.client.transport import Environment
from streamlog.model.errors import UNAVAILABLE, Reason
from streamlog.v1.log_service_pb2 import (
    OFFSET_SPEC_EARLIEST,
    OFFSET_SPEC_LATEST,
    OFFSET_SPEC_TIMESTAMP,
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetQuery,
    OffsetSpec,
)


class OffsetAtTime(NamedTuple):
    """An offset, and the timestamp of the record there (None when there is none)."""

    offset: int
    timestamp_ms: int | None


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
    """ListOffsets with routing and retries."""

    def __init__(
        self, metadata: ClusterMetadata, connections: Connections, environment: Environment
    ) -> None:
        self._metadata = metadata
        self._connections = connections
        self._environment = environment

    async def find(
        self, partitions: Sequence[tuple[int, int]], position: Position
    ) -> list[OffsetAtTime]:
        """Offsets of (topic id, partition) pairs, in their order.

        Raises the first error that a retry can not help, or the last one after the total
        timeout.
        """
        spec, timestamp_ms = _spec(position)
        now_ms = self._environment.clock.monotonic_ms
        deadline_ms = now_ms() + self._metadata.policy.total_timeout_ms
        backoff = Backoff(RETRY_MS_FIRST, RETRY_MS_MAX, self._environment.random)
        found: dict[tuple[int, int], OffsetAtTime] = {}
        while True:
            by_leader: dict[str, list[OffsetQuery]] = {}
            error: ClientError | None = None
            for topic_id, partition in partitions:
                if (topic_id, partition) in found:
                    continue
                address = self._metadata.leader_address(topic_id, partition)
                if address is None:
                    error = _no_leader(partition)
                    continue
                by_leader.setdefault(address, []).append(
                    OffsetQuery(
                        topic_id=topic_id,
                        partition=partition,
                        spec=spec,
                        timestamp_ms=timestamp_ms,
                    )
                )
            failures = await asyncio.gather(
                *(self._ask(address, queries, found) for address, queries in by_leader.items())
            )
            error = next((failure for failure in failures if failure is not None), error)
            if error is None:
                return [found[partition] for partition in partitions]
            wait_ms = max(backoff.next_ms(), error.retry_after_ms)
            if now_ms() + wait_ms >= deadline_ms:
                raise error
            await asyncio.sleep(wait_ms / 1000)
            await self._metadata.refresh()

    async def _ask(
        self,
        address: str,
        queries: list[OffsetQuery],
        found: dict[tuple[int, int], OffsetAtTime],
    ) -> ClientError | None:
        """Ask one leader; returns an error worth a retry, raises any other."""
        try:
            response = await self._connections.to(address).unary(
                LOG_SERVICE + "ListOffsets",
                ListOffsetsRequest(queries=queries),
                ListOffsetsResponse,
                self._metadata.policy.request_timeout_ms,
            )
        except ClientError as error:
            if not error.retriable:
                raise
            return error
        retry: ClientError | None = None
        for answer in response.answers:
            if answer.HasField("error"):
                answered = from_wire(answer.error)
                if not answered.retriable:
                    raise answered
                self._metadata.note_not_leader(answer.topic_id, answer.partition, answered)
                retry = answered
            else:
                stamp_ms = answer.timestamp_ms if answer.HasField("timestamp_ms") else None
                found[answer.topic_id, answer.partition] = OffsetAtTime(answer.offset, stamp_ms)
        return retry


def _no_leader(partition: int) -> ClientError:
    return ConnectionLost(
        f"no leader of partition {partition} is known",
        reason=Reason.LEADER_NOT_AVAILABLE.name,
        code=UNAVAILABLE,
        retriable=True,
    )
