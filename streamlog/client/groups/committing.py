"""What is committed, when, and under which epoch.

Invariants:
- An automatic commit holds nothing that the application may still be working on.
- Positions are committed under an epoch in which the member had the partition when they were taken;
  what was taken of an earlier grant is refused here already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.consume.placement import Placement
from streamlog.client.errors import ClientError, CommitRefused, ConnectionLost, TopicUnknown
from streamlog.client.groups.commits import Commit, Commits, Told
from streamlog.client.groups.coordinator_calls import may_help
from streamlog.client.groups.member import Hold, Member, PartitionId
from streamlog.client.groups.options import OffsetAndMetadata, OnCommit
from streamlog.client.groups.positions import GroupPositions
from streamlog.client.groups.progress import Progress
from streamlog.client.records import TopicPartition
from streamlog.client.transport import Clock
from streamlog.model.errors import DEADLINE_EXCEEDED, Reason

_LOG = logging.getLogger("streamlog.client")

Offsets = Mapping[TopicPartition, OffsetAndMetadata]


class Committing:
    """Commits of a consumer, be it a member (`member` is given) or not."""

    member: Member | None = None
    in_callback: Callable[[], bool]
    """A callback runs: what the application has in hand is not its business."""

    def __init__(
        self,
        group: str,
        commits: Commits,
        progress: Progress,
        placement: Placement,
        positions: GroupPositions,
        metadata: ClusterMetadata,
        clock: Clock,
        *,
        automatic: bool,
    ) -> None:
        self._group, self._commits, self._progress = group, commits, progress
        self._placement, self._positions, self._metadata = placement, positions, metadata
        self._clock, self._automatic = clock, automatic
        self._answered = asyncio.Event()
        self._refused: dict[TopicPartition, None] = {}
        """Of the commits that nobody waited for, since it was last looked at."""
        self._to_store = asyncio.Event()
        self.in_callback = lambda: False

    # By the application.

    async def commit(self, offsets: Offsets | None) -> None:
        """Commit and wait. Raises CommitRefused, ConnectionLost, BufferFull; ClientClosed when the
        consumer is closed meanwhile."""
        chosen = self._chosen(offsets)
        if not chosen:
            return
        if self.member is None:
            await self._metadata.partition_ids(chosen)
        ended: asyncio.Future[ClientError | None] = asyncio.get_running_loop().create_future()

        def told(error: ClientError | None) -> None:
            if not ended.done():
                ended.set_result(error)

        added = self._add(chosen, told, merges=False)
        timeout_ms = self._metadata.policy.total_timeout_ms
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                error = await ended
        except TimeoutError:
            raise ConnectionLost(
                f"the coordinator of group {self._group} did not answer the commit within"
                f" {timeout_ms:.0f} ms",
                code=DEADLINE_EXCEEDED,
                retriable=True,
                indefinite=any(commit.was_sent for commit in added),
            ) from None
        finally:
            for commit in added:
                self._commits.abandon(commit)
        if error is not None:
            raise error

    def commit_nowait(self, offsets: Offsets | None, on_commit: OnCommit | None) -> None:
        """Commit soon. Raises BufferFull, and CommitRefused when that is known at once and nobody
        else is told."""
        asked: dict[TopicPartition, OffsetAndMetadata] = dict(offsets or {})
        try:
            chosen = self._chosen(offsets)
        except CommitRefused as error:
            if on_commit is None:
                raise
            on_commit(error, asked)
            return
        if not chosen:
            if on_commit is not None:
                on_commit(None, {})
            return
        self._add(chosen, self._teller(chosen, on_commit), merges=True)

    def _chosen(self, offsets: Offsets | None) -> dict[TopicPartition, OffsetAndMetadata]:
        """What to commit. Raises CommitRefused, ValueError."""
        if offsets is None:
            in_callback = self.in_callback()
            lost = self._progress.lost_in_hand
            if lost and not in_callback:
                raise _not_held(lost, "they were lost since their records were handed out")
            found = self._progress.uncommitted(self.pairs, handed=not in_callback)
            return {pair: OffsetAndMetadata(offset) for pair, offset in found.items()}
        for pair, at in offsets.items():
            if at.offset < 0:
                raise ValueError(
                    f"offset {at.offset} of {pair.topic}/{pair.partition}; it must not be negative"
                )
        if self.member is not None:
            by_pair = self.member.by_pair
            strange = [pair for pair in offsets if pair not in by_pair]
            if strange:
                raise _not_held(strange, "the consumer does not own them, or no more")
            stale = [pair for pair in offsets if self._progress.was_taken_before(pair)]
            if stale:
                raise _not_held(
                    stale,
                    "they were lost and given anew since their records were"
                    " handed out; to set a position, seek there first",
                )
        return dict(offsets)

    # By itself.

    async def now_and_then(self, interval_ms: int) -> None:
        """Commit what is done, until cancelled."""
        while True:
            await asyncio.sleep(interval_ms / 1_000)
            self._refused.clear()
            self._commit_done(self.pairs)

    def _commit_done(self, pairs: Sequence[TopicPartition]) -> None:
        offsets = self._progress.unsent(pairs)
        if not offsets:
            return
        chosen = {pair: OffsetAndMetadata(offset) for pair, offset in offsets.items()}
        try:
            self._add(chosen, self._teller(chosen, None), merges=True)
        except ClientError:
            return  # Too many wait already; the next round has newer positions.
        self._progress.sent(offsets)

    async def finish(self, pairs: Sequence[TopicPartition], until_ms: float) -> None:
        """Commit what is done of these, if that is automatic, and return when no commit of them is
        on its way, or it is too late."""
        left_s = max(until_ms - self._clock.monotonic_ms(), 0.0) / 1_000
        try:
            async with asyncio.timeout(left_s):
                while True:
                    self._refused.clear()
                    if self._automatic:
                        self._commit_done(pairs)
                    await self._no_commit_of(pairs)
                    if self._refused.keys().isdisjoint(pairs):
                        break
                    # One that was lost must not cost the others their positions.
                    pairs = [pair for pair in pairs if pair not in self._refused]
        except TimeoutError:
            pass  # The next owner gets again what was not committed.

    async def _no_commit_of(self, pairs: Sequence[TopicPartition]) -> None:
        ids = [key for pair in pairs if (key := self._id_of(pair)) is not None]
        while self._commits.mentions(ids):
            self._answered.clear()
            await self._answered.wait()

    # To the coordinator.

    def close(self) -> None:
        """Nothing is sent any more: tell those who wait."""
        self._commits.close()

    def answered(self) -> None:
        """A commit ended, or may be sent again."""
        self._answered.set()

    def wake(self) -> None:
        """Something waits to be stored."""
        self._to_store.set()

    async def store(self) -> None:
        """Send what waits, as who is no member, until cancelled."""
        while True:
            await self._to_store.wait()
            self._to_store.clear()
            while (commit := self._commits.next()) is not None:
                try:
                    await self._positions.store(commit)
                    self._commits.answered(commit.sequence, None)
                except ClientError as error:
                    if may_help(error):
                        self._commits.failed(commit.sequence, error)
                    else:
                        self._commits.answered(commit.sequence, error)
                self._answered.set()

    def _add(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], told: Told, *, merges: bool
    ) -> list[Commit]:
        """One commit for each epoch: all under one, but for partitions that are being given up."""
        by_epoch: dict[int, dict[PartitionId, TopicPartition]] = {}
        for pair in offsets:
            key = self._id_of(pair)
            if key is None:
                raise TopicUnknown(
                    f"topic {pair.topic} is not known; commit after reading it, or wait with"
                    " `commit`",
                    reason=Reason.UNKNOWN_TOPIC.name,
                )
            epoch = 0 if self.member is None else self.member.by_pair[pair].epoch
            by_epoch.setdefault(epoch, {})[key] = pair
        left, first = len(by_epoch), None

        def one_told(error: ClientError | None, pairs: list[TopicPartition]) -> None:
            nonlocal left, first
            for pair in pairs:
                if error is None:
                    self._progress.committed(pair, offsets[pair].offset)
                else:
                    self._progress.not_committed(pair)
            left -= 1
            first = first or error
            if not left:
                told(first)
            self._answered.set()

        return [
            self._commits.add(
                epoch,
                {key: offsets[pair] for key, pair in names.items()},
                names,
                lambda error, names=names: one_told(error, list(names.values())),  # type: ignore[misc]
                merges=merges,
            )
            for epoch, names in by_epoch.items()
        ]

    def _teller(
        self, chosen: dict[TopicPartition, OffsetAndMetadata], on_commit: OnCommit | None
    ) -> Told:
        def told(error: ClientError | None) -> None:
            if on_commit is not None:
                on_commit(error, chosen)
            elif error is not None:
                if isinstance(error, CommitRefused):
                    self._refused.update(dict.fromkeys(error.partitions))
                _LOG.warning(
                    "group_commit_failed",
                    extra={"group": self._group, "reason": error.reason, "error": error.message},
                )

        return told

    @property
    def pairs(self) -> list[TopicPartition]:
        """What the consumer reads."""
        return self._placement.assignment if self.member is None else list(self.member.by_pair)

    def _id_of(self, pair: TopicPartition) -> PartitionId | None:
        if self.member is not None:
            hold = self.member.by_pair.get(pair)
            return None if hold is None else hold.partition
        topic = self._metadata.known_topic(pair.topic)
        return None if topic is None else (topic.topic_id, pair.partition)


def pairs_of(holds: Sequence[Hold]) -> list[TopicPartition]:
    """Their names."""
    return [hold.pair for hold in holds]


def _not_held(pairs: Sequence[TopicPartition], why: str) -> CommitRefused:
    named = ", ".join(f"{pair.topic}/{pair.partition}" for pair in pairs[:10])
    return CommitRefused(
        f"nothing was committed, because of {named}: {why}",
        reason=Reason.STALE_MEMBER_EPOCH.name,
        code=Reason.STALE_MEMBER_EPOCH.info.code,
        partitions=pairs,
    )
