"""What a consumer with a group can do beside reading: the calls of Consumer about that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from streamlog.client.consume.position_calls import PositionCalls
from streamlog.client.errors import WrongUse
from streamlog.client.groups.consumer_group import ConsumerGroup
from streamlog.client.groups.member import Lease
from streamlog.client.groups.options import (
    MembershipView,
    OffsetAndMetadata,
    OnCommit,
    subscription,
)
from streamlog.client.groups.rebalance import Listener
from streamlog.client.records import ConsumerRecord, TopicPartition

OffsetsToCommit = (
    Mapping[tuple[str, int], int | OffsetAndMetadata]
    | Mapping[TopicPartition, int | OffsetAndMetadata]
)
"""The next record to read, by partition; with a note, or without."""


class GroupCalls(PositionCalls):
    """Of a Consumer."""

    async def subscribe(self, topics: Sequence[str] | None = None, *, pattern: str = "") -> None:
        """Read these topics, and those whose whole names match the pattern, and no others; joins
        the group if that has not been done.

        Returns when the coordinator has taken it; partitions come and go afterwards. Raises
        WrongUse without a group or when partitions were assigned by hand, TopicUnknown,
        MembershipRefused.
        """
        self._check_usable()
        await self._of_group("subscribe").subscribe(subscription(topics, pattern))

    async def commit(self, offsets: OffsetsToCommit | None = None) -> None:
        """Commit positions and wait until they are durable: all of them, or none.

        Args:
            offsets: by partition; None: after all that was handed out, which counts as done with
                this call. In a callback, records that are still in hand are left out.

        Raises CommitRefused (somebody else owns the partitions by now), ConnectionLost (no answer
        within the total timeout; perhaps committed all the same), WrongUse without a group.
        """
        self._check_usable()
        await self._of_group("commit").committing.commit(_by_pair(offsets))

    def commit_nowait(
        self, offsets: OffsetsToCommit | None = None, on_commit: OnCommit | None = None
    ) -> None:
        """Commit positions without waiting. Of several that wait, the newest position counts.

        Args:
            offsets: as for `commit`.
            on_commit: called with the error, or None, and with what was to be committed; without
                it an error is logged.

        Raises BufferFull when too many wait, CommitRefused when the consumer does not own the
        partitions and there is no `on_commit`, WrongUse without a group.
        """
        self._check_usable()
        self._of_group("commit").committing.commit_nowait(_by_pair(offsets), on_commit)

    async def committed(
        self, partitions: Iterable[tuple[str, int]]
    ) -> dict[TopicPartition, OffsetAndMetadata | None]:
        """Committed positions of the group; None where there is none."""
        self._check_usable()
        pairs = [TopicPartition(*pair) for pair in partitions]
        found = await self._of_group("committed").positions.of(pairs)
        return {pair: found.get(pair) for pair in pairs}

    def lag(self) -> dict[TopicPartition, int]:
        """How many offsets each partition's committed end is ahead of the position, as far as the
        answers of leaders told; asks nobody. Partitions of which nothing came yet are left out."""
        self._check_usable()
        found: dict[TopicPartition, int] = {}
        for pair in self._fetcher.partitions:
            state = self._fetcher.state_of(pair)
            position = self._source.position_of(pair)
            if state is not None and position is not None and state.high_watermark is not None:
                found[pair] = max(state.high_watermark - position, 0)
        return found

    @property
    def membership(self) -> MembershipView:
        """The member as it sees itself. Raises WrongUse without a group."""
        return self._of_group("membership").membership

    def listen(self, listener: Listener | None) -> None:
        """Tell this one, before the application's callbacks, what is revoked and lost; None: nobody
        any more. For whoever works on records beside the calls that read."""
        self._of_group("listen").listen(listener)

    @property
    def lease(self) -> Lease | None:
        """Until when records that are iterated over may be handed out; None: for ever."""
        return None if self._group is None else self._group.lease

    def take_back(self, record: ConsumerRecord) -> None:
        """It was taken from an iterator, and is not handed out: it comes again, here or to whoever
        has the partition by now."""
        self._source.settle()
        if self._group is not None:
            self._group.take_back(record)

    def _of_group(self, what: str) -> ConsumerGroup:
        if self._group is None:
            raise WrongUse(f"{what}: the consumer has no group; make it with group=...")
        return self._group


def _by_pair(
    offsets: OffsetsToCommit | None,
) -> dict[TopicPartition, OffsetAndMetadata] | None:
    if offsets is None:
        return None
    return {
        TopicPartition(*pair): OffsetAndMetadata(at) if isinstance(at, int) else at
        for pair, at in offsets.items()
    }
