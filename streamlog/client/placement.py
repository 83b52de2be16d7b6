"""Which partitions a consumer reads, and where each is begun.

A partition that was assigned waits here until its first offset is known; then the fetcher has it.
One whose position is not in the log comes back here, and a policy decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Literal

from streamlog.client.cluster_metadata import ClusterMetadata
from streamlog.client.errors import OffsetOutOfRange, PositionUnknown
from streamlog.client.fetch_stream import PartitionFetch
from streamlog.client.fetcher import Fetcher
from streamlog.client.offset_lookup import OffsetAtTime, OffsetLookup, Position
from streamlog.client.records import TopicPartition
from streamlog.client.starting import (
    PositionPolicies,
    PositionReset,
    Start,
    as_milliseconds,
)
from streamlog.client.transport import Clock
from streamlog.model.errors import FAILED_PRECONDITION

_LOG = logging.getLogger("streamlog.client")


class Placement:
    """Between the application, which names partitions, and the fetcher, which needs offsets."""

    fetcher: Fetcher
    """Set once, right after both were made."""

    def __init__(
        self,
        metadata: ClusterMetadata,
        lookup: OffsetLookup,
        clock: Clock,
        policies: PositionPolicies,
        on_reset: Callable[[PositionReset], None] | None,
    ) -> None:
        self._metadata = metadata
        self._lookup = lookup
        self._clock = clock
        self._policies = policies
        self._on_reset = on_reset
        self._wanted: dict[TopicPartition, Start] = {}
        """Assigned, and not yet placed at an offset."""
        self._lost: dict[TopicPartition, tuple[int, Literal["below_start", "above_end"]]] = {}
        """Of those, the ones that come back with a position that is not in the log."""

    @property
    def assignment(self) -> list[TopicPartition]:
        """Partitions that are read or will be."""
        return [*self.fetcher.partitions, *self._wanted]

    def assign(self, pairs: Sequence[TopicPartition], start: Start | None) -> None:
        """These and no others. Raises PositionUnknown."""
        if start is None:
            if self._policies.no_position == "error":
                raise PositionUnknown(
                    "no start was named, and the policy no_position is 'error'",
                    code=FAILED_PRECONDITION,
                )
            start = self._policies.no_position
        elif not isinstance(start, int | timedelta) and start not in ("earliest", "latest"):
            raise ValueError(
                f"start is {start!r}; allowed are 'earliest', 'latest', an offset and a timedelta"
            )
        fetched = self.fetcher.partitions
        for pair in fetched:
            if pair not in pairs:
                self.fetcher.remove(pair)
        known = dict.fromkeys(fetched)
        self._wanted = {pair: start for pair in pairs if pair not in known}
        self._lost.clear()
        self.fetcher.wake()

    def seek(self, pair: TopicPartition, offset: int) -> None:
        """Go on from an offset. Raises ValueError when it is negative or not assigned."""
        if offset < 0:
            raise ValueError(f"offset {offset}; it must not be negative")
        if pair in self._wanted:
            self._wanted[pair] = offset
            self._lost.pop(pair, None)
        else:
            self.fetcher.move(self.state_of(pair), offset)

    def state_of(self, pair: TopicPartition) -> PartitionFetch:
        """Where it is read. Raises ValueError when it is not."""
        state = self.fetcher.state_of(pair)
        if state is None:
            raise ValueError(f"{pair.topic}/{pair.partition} is not assigned")
        return state

    async def place(self) -> None:
        """Give every newly assigned partition its first offset."""
        if not self._wanted:
            return
        by_start: dict[Start, list[TopicPartition]] = {}
        for pair, start in self._wanted.items():
            by_start.setdefault(start, []).append(pair)
        for start, pairs in by_start.items():
            if isinstance(start, int):
                offsets = dict.fromkeys(pairs, start)
            else:
                found = await self.offsets(pairs, self._position(start))
                offsets = {pair: at.offset for pair, at in found.items()}
            for pair in pairs:
                topic = await self._metadata.topic(pair.topic)
                if self._wanted.pop(pair, None) is None:
                    continue
                self.fetcher.add(pair, topic.topic_id, offsets[pair])
                if pair in self._lost:
                    before, why = self._lost.pop(pair)
                    self._report(pair, before, offsets[pair], why)

    def _position(self, start: Start) -> Position:
        if isinstance(start, timedelta):
            return as_milliseconds(start, self._clock.wall_ms())
        return start

    async def offsets(
        self, pairs: Sequence[TopicPartition], position: Position
    ) -> dict[TopicPartition, OffsetAtTime]:
        """Offsets of partitions. Raises TopicUnknown, ValueError, ConnectionLost."""
        ids = await self._metadata.partition_ids(pairs)
        found = await self._lookup.find(list(ids.values()), position)
        return dict(zip(ids, found, strict=True))

    def out_of_range(self, state: PartitionFetch, error: OffsetOutOfRange) -> None:
        """The leader does not have the position: do as the policy says."""
        error = _of_partition(state, error)
        try:
            first, end = (
                int(error.metadata[name]) for name in ("log_start_offset", "high_watermark")
            )
        except (KeyError, ValueError):
            self.fetcher.failed(state, error)
            return
        offset = state.fetch_offset
        policy, why = self._policies.for_offset(offset, first)
        pair = TopicPartition(state.topic, state.partition)
        if policy == "error":
            self.fetcher.failed(state, error)
        elif isinstance(policy, timedelta):
            self.fetcher.remove(pair)
            self._wanted[pair] = policy
            self._lost[pair] = offset, why
            self.fetcher.wake()
        else:
            to = first if policy == "earliest" else end
            self.fetcher.move(state, to)
            self._report(pair, offset, to, why)

    def _report(
        self, pair: TopicPartition, before: int, to: int, why: Literal["below_start", "above_end"]
    ) -> None:
        reset = PositionReset(pair.topic, pair.partition, before, to, why)
        _LOG.warning(
            "position_reset",
            extra={
                "topic": pair.topic,
                "partition": pair.partition,
                "from_offset": before,
                "to_offset": to,
                "why": why,
            },
        )
        if self._on_reset is not None:
            self._on_reset(reset)


def _of_partition(state: PartitionFetch, error: OffsetOutOfRange) -> OffsetOutOfRange:
    """Which partition to seek: the application reads many, the leader was asked about one."""
    return OffsetOutOfRange(
        f"{state.topic}/{state.partition}: {error.message}",
        reason=error.reason,
        code=error.code,
        metadata={**error.metadata, "topic": state.topic, "partition": str(state.partition)},
        retriable=error.retriable,
        indefinite=error.indefinite,
        retry_after_ms=error.retry_after_ms,
    )
