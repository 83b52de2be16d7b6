"""Which partitions a consumer reads, and where each is begun.

A partition that was assigned waits here until its first offset is known; then the fetcher has it.
One whose position is not in the log comes back here, and a policy decides.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Literal

from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.connections.offset_lookup import OffsetAtTime, OffsetLookup, Position
from streamlog.client.consume.fetch_stream import PartitionFetch
from streamlog.client.consume.fetcher import Fetcher
from streamlog.client.consume.starting import (
    PositionPolicies,
    PositionReset,
    Start,
    as_milliseconds,
)
from streamlog.client.errors import OffsetOutOfRange, PositionUnknown
from streamlog.client.records import TopicPartition
from streamlog.client.transport import Clock
from streamlog.model.errors import FAILED_PRECONDITION

_LOG = logging.getLogger("streamlog.client")


class Placement:
    """Between the application, which names partitions, and the fetcher, which needs offsets."""

    fetcher: Fetcher
    """Set once, right after both were made."""
    recall: Callable[[Sequence[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]] | None
    """Of a consumer that commits: the committed positions of these, where there are any."""
    on_placed: Callable[[TopicPartition, int], None] | None
    """Told where a partition is begun, or begun anew as a policy says."""
    on_removed: Callable[[TopicPartition], None] | None
    """Told which is read no more."""
    on_unplaced: Callable[[], None] | None
    """Told that one came back that had a place; of a member, whose placing is done in the
    background."""

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
        self._paused: dict[TopicPartition, None] = {}
        """By the application."""
        self._held: dict[TopicPartition, None] = {}
        """By its group: not to be handed out yet, or no more."""
        self.recall = self.on_placed = self.on_removed = self.on_unplaced = None

    @property
    def assignment(self) -> list[TopicPartition]:
        """Partitions that are read or will be."""
        return [*self.fetcher.partitions, *self._wanted]

    def without_position(self) -> Start:
        """Where to begin what has no position. Raises PositionUnknown."""
        if self._policies.no_position == "error":
            raise PositionUnknown(
                "no start was named, and the policy no_position is 'error'",
                code=FAILED_PRECONDITION,
            )
        return self._policies.no_position

    def assign(self, pairs: Sequence[TopicPartition], start: Start | None) -> None:
        """These and no others. Raises PositionUnknown."""
        allowed = ("earliest", "latest", *(("committed",) if self.recall is not None else ()))
        if start is None:
            start = "committed" if self.recall is not None else self.without_position()
        elif not isinstance(start, int | timedelta) and start not in allowed:
            raise ValueError(
                f"start is {start!r}; allowed are {', '.join(map(repr, allowed))}, an offset and a"
                " timedelta"
            )
        fetched = self.fetcher.partitions
        for pair in fetched:
            if pair not in pairs:
                self.remove(pair)
        known = dict.fromkeys(fetched)
        self._wanted = {pair: start for pair in pairs if pair not in known}
        self._lost.clear()
        self._paused = {pair: None for pair in self._paused if pair in pairs}
        self.fetcher.wake()

    # What a group gives and takes.

    def expect(self, pair: TopicPartition, committed: int | None) -> None:
        """Read it as soon as it is let go, from here on; None: nothing was committed."""
        self._wanted[pair] = "committed" if committed is None else committed
        self._held[pair] = None

    def hold(self, pair: TopicPartition) -> None:
        """Hand out nothing of it, until it is let go or removed."""
        self._held[pair] = None
        state = self.fetcher.state_of(pair)
        if state is not None:
            self.fetcher.pause(state)

    def let_go(self, pair: TopicPartition) -> None:
        """It may be read. Raises PositionUnknown when somebody has to say from where: it waits for
        a `seek`."""
        self._held.pop(pair, None)
        if self._wanted.get(pair) == "committed":
            try:
                self._wanted[pair] = self.without_position()
            except PositionUnknown as error:
                error.message = f"{pair.topic}/{pair.partition}: {error.message}"
                error.args = (error.message,)
                raise
        state = self.fetcher.state_of(pair)
        if state is not None and pair not in self._paused:
            self.fetcher.resume(state)

    def remove(self, pair: TopicPartition) -> None:
        """Read it no more."""
        for kept in (self._wanted, self._lost, self._paused, self._held):
            kept.pop(pair, None)
        if self.fetcher.state_of(pair) is not None:
            self.fetcher.remove(pair)
        if self.on_removed is not None:
            self.on_removed(pair)

    @property
    def unplaced(self) -> list[TopicPartition]:
        """May be read, and have no offset yet; without those that wait for a `seek`."""
        return [
            pair
            for pair, start in self._wanted.items()
            if pair not in self._held and (start != "committed" or self.recall is not None)
        ]

    # What the application asks for.

    def pause(self, pair: TopicPartition) -> None:
        """Hand out nothing of it until `resume`. Raises ValueError when it is not assigned."""
        self._check_assigned(pair)
        self._paused[pair] = None
        state = self.fetcher.state_of(pair)
        if state is not None:
            self.fetcher.pause(state)

    def resume(self, pair: TopicPartition) -> None:
        """Go on. Raises ValueError when it is not assigned."""
        self._check_assigned(pair)
        self._paused.pop(pair, None)
        state = self.fetcher.state_of(pair)
        if state is not None and pair not in self._held:
            self.fetcher.resume(state)

    def _check_assigned(self, pair: TopicPartition) -> None:
        if pair not in self._wanted:
            self.state_of(pair)

    def seek(self, pair: TopicPartition, offset: int) -> None:
        """Go on from an offset. Raises ValueError when it is negative or not assigned."""
        if offset < 0:
            raise ValueError(f"offset {offset}; it must not be negative")
        if pair in self._wanted:
            self._wanted[pair] = offset
            self._lost.pop(pair, None)
            self.fetcher.wake()
        else:
            self.fetcher.move(self.state_of(pair), offset)

    def state_of(self, pair: TopicPartition) -> PartitionFetch:
        """Where it is read. Raises ValueError when it is not."""
        state = self.fetcher.state_of(pair)
        if state is None:
            raise ValueError(f"{pair.topic}/{pair.partition} is not assigned")
        return state

    async def place(self, topic_ids: Mapping[TopicPartition, int] | None = None) -> None:
        """Give every newly assigned partition its first offset; or some, if their topics still have
        these ids."""
        if not self._wanted:
            return
        by_start: dict[Start, list[TopicPartition]] = {}
        for pair, start in (await self._starts(topic_ids)).items():
            by_start.setdefault(start, []).append(pair)
        for start, pairs in by_start.items():
            if isinstance(start, int):
                offsets = dict.fromkeys(pairs, start)
            else:
                found = await self.offsets(pairs, self._position(start))
                offsets = {pair: at.offset for pair, at in found.items()}
            for pair in pairs:
                topic = await self._metadata.topic(pair.topic)
                if topic_ids is not None and topic_ids[pair] != topic.topic_id:
                    continue
                now = self._wanted.get(pair)
                if now is None:
                    continue  # It was taken away meanwhile.
                del self._wanted[pair]
                offset = now if isinstance(now, int) else offsets[pair]
                paused = pair in self._paused or pair in self._held
                self.fetcher.add(pair, topic.topic_id, offset, paused=paused)
                if self.on_placed is not None:
                    self.on_placed(pair, offset)
                if pair in self._lost:
                    before, why = self._lost.pop(pair)
                    self._report(pair, before, offset, why)

    async def _starts(
        self, topic_ids: Mapping[TopicPartition, int] | None
    ) -> dict[TopicPartition, Start]:
        """Where to begin these, the committed positions looked up."""
        starts = {
            pair: start
            for pair, start in self._wanted.items()
            if topic_ids is None or pair in topic_ids
        }
        committed = [pair for pair, start in starts.items() if start == "committed"]
        if committed:
            found = {} if self.recall is None else await self.recall(committed)
            for pair in committed:
                offset = found.get(pair)
                starts[pair] = self.without_position() if offset is None else offset
        return starts

    def _position(self, start: Start) -> Position:
        if isinstance(start, timedelta):
            return as_milliseconds(start, self._clock.wall_ms())
        return start  # a policy

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
            if self.on_unplaced is not None:
                self.on_unplaced()
        else:
            to = first if policy == "earliest" else end
            self.fetcher.move(state, to)
            if self.on_placed is not None:
                self.on_placed(pair, to)
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
