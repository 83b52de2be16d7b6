"""A consumer's part in a group: the parts of this package, put together.

It is either a member (it subscribes, and the coordinator says what it reads), or it only commits
(it is told what to read, and keeps its positions with the group). Which of the two is decided by
the first `subscribe` or `assign`.

Invariant: nothing is handed out, and no commit is sent, while the member is fenced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.connections.connection import Connections
from streamlog.client.consume.fetcher import Fetcher
from streamlog.client.consume.placement import Placement
from streamlog.client.consume.record_source import RecordSource
from streamlog.client.errors import ClientError, WrongUse
from streamlog.client.groups.commits import Commits
from streamlog.client.groups.committing import Committing, pairs_of
from streamlog.client.groups.coordinator_calls import CoordinatorCalls
from streamlog.client.groups.link import MembershipLink
from streamlog.client.groups.member import Change, Hold, Lease, Member, PartitionId
from streamlog.client.groups.options import GroupOptions, MembershipView, Subscription
from streamlog.client.groups.placer import Placer
from streamlog.client.groups.positions import GroupPositions
from streamlog.client.groups.progress import Progress
from streamlog.client.groups.rebalance import Listener, Rebalancer
from streamlog.client.records import ConsumerRecord, TopicPartition
from streamlog.client.tasks import Tasks
from streamlog.client.transport import Environment, Random

CLOSE_TIMEOUT_MS: Final = 10_000.0
"""For the last commits, and then for saying goodbye."""


class ConsumerGroup:
    """What a Consumer with a group has beside the others."""

    def __init__(
        self,
        options: GroupOptions,
        metadata: ClusterMetadata,
        connections: Connections,
        environment: Environment,
        fetcher: Fetcher,
        placement: Placement,
        source: RecordSource,
    ) -> None:
        self._options = options
        self._fetcher, self._placement, self._source = fetcher, placement, source
        self._clock = environment.clock
        self._member = Member(
            lambda: _draw_id(environment.random),
            options.session_timeout_ms,
            options.rebalance_timeout_ms,
        )
        calls = CoordinatorCalls(metadata, connections, environment)
        self._commits = Commits(self._wake)
        self.progress = source.gate = Progress(source, self._is_open)
        self.positions = GroupPositions(options.group, calls, metadata)
        self.committing = Committing(
            options.group,
            self._commits,
            self.progress,
            placement,
            self.positions,
            metadata,
            self._clock,
            automatic=options.auto_commit_ms is not None,
        )
        self._rebalancer = Rebalancer(
            options, self._member, placement, source, self.progress, self._clock, self
        )
        self._placer = Placer(
            placement, metadata, environment.random, self._topic_id_of, fetcher.tell
        )
        self._tasks = Tasks(fetcher.on_defect)
        self._link = MembershipLink(
            options,
            self._member,
            self._commits,
            calls,
            environment,
            self._tasks,
            self,
            trouble_after_ms=metadata.policy.total_timeout_ms,
            unknown_topic_wait_ms=metadata.policy.unknown_topic_wait_ms,
        )
        self._mode: Literal["undecided", "member", "committer"] = "undecided"
        self._failure: ClientError | None = None
        self._raised: list[BaseException] = []
        """By callbacks; for the next call that reads."""
        self.progress.on_asked = self._rebalancer.wake
        placement.on_placed, placement.on_removed = self._placed, self.progress.drop
        placement.on_unplaced = self._placer.wake

    def start(self) -> None:
        """Join, if there is something to subscribe to."""
        if self._options.subscription:
            self._join()
        if self._options.auto_commit_ms is not None:
            self._tasks.start(self.committing.now_and_then(self._options.auto_commit_ms))

    def _join(self) -> None:
        self._mode = "member"
        self._fetcher.follows_group = True
        self.committing.member = self._member
        self.committing.in_callback = lambda: self._rebalancer.in_callback
        self._tasks.start(self._placer.run())
        self._tasks.start(self._rebalancer.run())
        self._link.start()

    def assigning(self) -> None:
        """The application says itself what it reads. Raises WrongUse."""
        if self._mode == "member":
            raise WrongUse(
                "the group assigns what this consumer reads; to assign partitions and commit their"
                " positions, make one with a group, and without topics and pattern"
            )
        if self._mode == "undecided":
            self._mode = "committer"
            self._placement.recall = self.positions.offsets_of
            self._tasks.start(self.committing.store())

    async def subscribe(self, subscription: Subscription) -> None:
        """Join with it, or read other topics. Raises WrongUse, and what the coordinator refuses it
        for."""
        if self._mode == "committer":
            raise WrongUse("the consumer reads what it was assigned; make another to subscribe")
        if not subscription:
            raise ValueError("neither topics nor a pattern are named; close the consumer to leave")
        if self._failure is not None:
            raise self._failure
        if self._mode == "undecided":
            self._join()
        await self._link.subscribe(subscription)

    async def close(self, *, leave: bool, finished: bool) -> None:
        """Give up everything, commit what is done if that is automatic, and go.

        `finished`: what the application has in hand is done. `leave` False: stay in the group until
        the session expires, for a static member that will be back.
        """
        if finished:
            self.progress.finish()
        try:
            if self._mode == "member":
                await self._rebalancer.close()
            if self._mode != "undecided" and self._is_open():
                until_ms = self._clock.monotonic_ms() + CLOSE_TIMEOUT_MS
                await self.committing.finish(self.committing.pairs, until_ms)
            if self._mode == "member" and leave:
                await self._link.leave(CLOSE_TIMEOUT_MS)
        finally:
            self._link.stop()
            await self._tasks.close()
            self.committing.close()

    # Reading.

    @property
    def lease(self) -> Lease | None:
        """To be looked at for each record; None: nobody else can be given what is read."""
        return self._member.lease if self._mode == "member" else None

    @property
    def is_member(self) -> bool:
        """The coordinator says what is read."""
        return self._mode == "member"

    def listen(self, listener: Listener | None) -> None:
        """See Listener. Raises WrongUse when what it has in hand would be committed as done."""
        if listener is not None and self._options.auto_commit_ms is not None:
            raise WrongUse(
                "a worker commits what its handlers have done; make its consumer with"
                " auto_commit_ms=None"
            )
        self._rebalancer.listener = listener

    def asked(self) -> None:
        """Before records are taken: what was handed out is done. Raises what a callback raised, and
        why the consumer is in no group."""
        self.progress.asked()
        if self._raised:
            raise self._raised.pop(0)
        if self._failure is not None:
            raise self._failure
        if self._mode == "member" and self._placement.unplaced:
            self._placer.wake()

    async def placed(self, pair: TopicPartition) -> None:
        """Find the first offset of a partition now, if it has none."""
        topic_id = self._topic_id_of(pair)
        if topic_id is not None and self._fetcher.state_of(pair) is None:
            await self._placement.place({pair: topic_id})

    def take_back(self, record: ConsumerRecord) -> None:
        """It was taken, and may not be handed out: go on from it once that is allowed."""
        pair = TopicPartition(record.topic, record.partition)
        state = self._fetcher.state_of(pair)
        if state is not None:
            self._fetcher.move(state, record.offset)

    @property
    def membership(self) -> MembershipView:
        """Raises WrongUse when the consumer only commits."""
        if self._mode == "committer":
            raise WrongUse("the consumer is no member of the group: it only commits positions")
        held = self._member.holds.values()
        return MembershipView(
            self._member.member_id,
            self._member.epoch,
            tuple(hold.pair for hold in held if not hold.revoking),
            self._member.phase(self._clock.monotonic_ms()),
        )

    def _is_open(self) -> bool:
        return self._mode != "member" or not self._member.is_fenced(self._clock.monotonic_ms())

    def _placed(self, pair: TopicPartition, offset: int) -> None:
        hold = self._member.by_pair.get(pair)
        self.progress.begin(pair, offset, None if hold is None else hold.committed)

    def _topic_id_of(self, pair: TopicPartition) -> int | None:
        hold = self._member.by_pair.get(pair)
        return None if hold is None else hold.partition[0]

    def _wake(self) -> None:
        """A commit waits to be sent, or one was answered."""
        if self._mode == "member":
            self._link.wake()
        else:
            self.committing.wake()
        self.committing.answered()

    # What the link tells.

    def on_change(self, change: Change) -> None:
        """The member was told what it owns."""
        self._rebalancer.changed(change)
        self._fetcher.wake()

    def on_confirmed(self) -> None:
        """Records may be handed out again, if they might not."""
        self._fetcher.wake()

    def on_refused(self, error: ClientError) -> None:
        """It is in no group, and whoever reads is told."""
        self._failure = error
        self._source.settle()
        self._fetcher.wake()

    def on_trouble(self, error: ClientError) -> None:
        """Whoever reads is told, once."""
        self._fetcher.tell(error)

    def handled_count(self) -> int:
        """Grows when the application makes progress."""
        return self.progress.handled_count()

    # What the rebalancer asks for.

    async def commit_done(self, holds: Sequence[Hold], until_ms: float) -> None:
        """Commit what is done of these, if that is automatic, and wait for commits of them."""
        await self.committing.finish(pairs_of(holds), until_ms)

    def acknowledge(self, partitions: list[PartitionId]) -> None:
        """They are given up."""
        self._link.acknowledge(partitions)

    def on_begun(self) -> None:
        """Partitions may be read."""
        self._placer.wake()

    def tell(self, error: BaseException) -> None:
        """Whoever reads next is told what a callback raised."""
        self._raised.append(error)
        self._source.settle()
        self._fetcher.wake()


def _draw_id(random: Random) -> str:
    """104 random bits."""
    return "".join(f"{int(random.random() * 2**52):013x}" for _ in range(2))
