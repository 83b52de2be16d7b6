"""Which partitions a consumer reads, and from where: the calls of Consumer about that.

Invariant: an iteration over records ends before a position is read or moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.connections.offset_lookup import OffsetAtTime, Position
from streamlog.client.consume.fetcher import Fetcher
from streamlog.client.consume.placement import Placement
from streamlog.client.consume.record_source import RecordSource
from streamlog.client.consume.starting import Start
from streamlog.client.errors import closed
from streamlog.client.home import Home
from streamlog.client.records import TopicPartition

if TYPE_CHECKING:
    from streamlog.client.groups.consumer_group import ConsumerGroup


class PositionCalls:
    """Of a Consumer, which makes the parts."""

    _home: Home
    _metadata: ClusterMetadata
    _placement: Placement
    _fetcher: Fetcher
    _source: RecordSource
    _group: ConsumerGroup | None
    _closed: bool

    def assign(self, partitions: Iterable[tuple[str, int]], *, start: Start | None = None) -> None:
        """Read these partitions and no others; those that are read already go on as they are.

        Args:
            partitions: (topic, partition) pairs.
            start: "earliest", "latest", an offset, or a timedelta (so long ago); None: where the
                group committed, else as the policy `no_position` says.

        Raises PositionUnknown when that is "error"; WrongUse when the consumer subscribes.
        """
        self._enter()
        if self._group is not None:
            self._group.assigning()
        self._placement.assign([TopicPartition(*pair) for pair in partitions], start)

    async def partitions_for(self, topic: str) -> list[int]:
        """Numbers of the topic's partitions. Raises TopicUnknown, ConnectionLost."""
        self._enter()
        return list(range(len((await self._metadata.topic(topic)).partitions)))

    @property
    def assignment(self) -> list[TopicPartition]:
        """Partitions that are read."""
        return self._placement.assignment

    async def seek(self, partition: tuple[str, int], offset: int) -> None:
        """Go on from an offset of an assigned partition."""
        self._enter()
        self._seek(TopicPartition(*partition), offset)

    async def seek_to_beginning(self, *partitions: tuple[str, int]) -> None:
        """Go on from the first offset; all assigned partitions when none is named."""
        await self._seek_all(partitions, "earliest")

    async def seek_to_end(self, *partitions: tuple[str, int]) -> None:
        """Go on from the committed end; all assigned partitions when none is named."""
        await self._seek_all(partitions, "latest")

    async def seek_to_time(self, times_ms: Mapping[tuple[str, int], int]) -> None:
        """Go on, per partition, from the first offset with this timestamp or a later one."""
        by_time: dict[int, list[TopicPartition]] = {}
        for partition, time_ms in times_ms.items():
            by_time.setdefault(time_ms, []).append(TopicPartition(*partition))
        for time_ms, pairs in by_time.items():
            await self._seek_all(pairs, time_ms)

    async def _seek_all(self, partitions: Sequence[tuple[str, int]], to: Position) -> None:
        self._enter()
        pairs = [TopicPartition(*pair) for pair in partitions] or self._placement.assignment
        found = await self._placement.offsets(pairs, to)
        for pair in pairs:
            self._seek(pair, found[pair].offset)

    def _seek(self, pair: TopicPartition, offset: int) -> None:
        self._placement.seek(pair, offset)
        if self._group is not None:
            self._group.progress.moved(pair)

    async def position(self, partition: tuple[str, int]) -> int:
        """Offset after the last record that was handed out."""
        self._enter()
        pair = TopicPartition(*partition)
        if self._group is None or not self._group.is_member:
            await self._placement.place()
        else:
            await self._group.placed(pair)
        position = self._placement.state_of(pair).position
        assert position is not None
        return position

    async def beginning_offsets(
        self, partitions: Iterable[tuple[str, int]]
    ) -> dict[TopicPartition, int]:
        """First offsets."""
        return await self._ends_of(partitions, "earliest")

    async def end_offsets(self, partitions: Iterable[tuple[str, int]]) -> dict[TopicPartition, int]:
        """Committed ends, exclusive."""
        return await self._ends_of(partitions, "latest")

    async def _ends_of(
        self, partitions: Iterable[tuple[str, int]], which: Position
    ) -> dict[TopicPartition, int]:
        self._enter()
        pairs = [TopicPartition(*pair) for pair in partitions]
        found = await self._placement.offsets(pairs, which)
        return {pair: at.offset for pair, at in found.items()}

    async def offsets_for_times(
        self, times_ms: Mapping[tuple[str, int], int]
    ) -> dict[TopicPartition, OffsetAtTime]:
        """First offsets with these timestamps or later ones."""
        self._enter()
        found: dict[TopicPartition, OffsetAtTime] = {}
        for partition, time_ms in times_ms.items():
            found |= await self._placement.offsets([TopicPartition(*partition)], time_ms)
        return found

    def pause(self, *partitions: tuple[str, int]) -> None:
        """Hand out nothing of these until `resume`."""
        self._enter()
        for partition in partitions:
            self._placement.pause(TopicPartition(*partition))

    def resume(self, *partitions: tuple[str, int]) -> None:
        """Go on."""
        self._enter()
        for partition in partitions:
            self._placement.resume(TopicPartition(*partition))

    def _enter(self) -> None:
        """Before anything is asked or changed."""
        self._check_usable()
        self._source.settle()

    def _check_usable(self) -> None:
        self._home.check()
        if self._closed:
            raise closed("consumer")
