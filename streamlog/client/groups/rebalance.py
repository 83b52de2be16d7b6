"""What comes and goes: positions begun and dropped, callbacks in order, revocations in time.

What is lost is dropped the moment it is known, and what is revoked is handed out no more; the
application is told afterwards, one thing after the other, in one task. A revocation waits for the
application to be done with what it has in hand. When the coordinator's patience is nearly over it
waits no more: what was in hand is not committed, and the next owner gets it again.

Invariants:
- No callback runs beside another.
- A partition that was announced as assigned is announced as revoked or as lost before it is
  announced again.
- A revocation is acknowledged after every commit that concerns it was answered, or is too late.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final, Protocol

from streamlog.client.consume.placement import Placement
from streamlog.client.consume.record_source import RecordSource
from streamlog.client.errors import ClientError, PositionUnknown, WrongUse
from streamlog.client.groups.member import Change, Hold, Member, PartitionId
from streamlog.client.groups.options import GroupOptions, OnPartitions
from streamlog.client.groups.progress import Progress
from streamlog.client.records import TopicPartition
from streamlog.client.transport import Clock

IN_HAND_MARGINS: Final = 3.0
CALLBACK_MARGINS: Final = 2.0
COMMIT_MARGINS: Final = 1.0
"""Of `Member.revocation_ends_ms`: until when the application, its callback and the commit may take."""


class Listener(Protocol):
    """A part of the client that works on what the consumer hands out, beside the application.

    While there is one, a revocation does not wait for the next call that reads: the listener knows
    better what is in hand.
    """

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """They are to be given up; the consumer lets go of them when this returns."""
        ...

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """They are somebody else's already."""
        ...


class RebalanceOwner(Protocol):
    """What the consumer does for it."""

    async def commit_done(self, holds: Sequence[Hold], until_ms: float) -> None:
        """Commit what is done of these, if that is automatic, and wait until no commit of them is
        on its way."""
        ...

    def acknowledge(self, partitions: list[PartitionId]) -> None:
        """They are given up."""
        ...

    def on_begun(self) -> None:
        """Partitions may be read, and need their first offsets."""
        ...

    def tell(self, error: BaseException) -> None:
        """A callback raised this."""
        ...


class Rebalancer:
    """Between what the coordinator gives and what the application reads."""

    def __init__(
        self,
        options: GroupOptions,
        member: Member,
        placement: Placement,
        source: RecordSource,
        progress: Progress,
        clock: Clock,
        owner: RebalanceOwner,
    ) -> None:
        self._options, self._member = options, member
        self._placement, self._source, self._progress = placement, source, progress
        self._clock, self._owner = clock, owner
        self._lost: list[TopicPartition] = []
        self._new: dict[PartitionId, Hold] = {}
        self._wake = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[Any] | None = None
        self._closing = False
        self.in_callback = False
        self.listener: Listener | None = None

    def changed(self, change: Change) -> None:
        """The member owns something else than before."""
        for hold in change.lost:
            self._drop(hold)
        self._lose(change.lost)
        for hold in change.revoking:
            self._stop(hold)
        for hold in change.assigned:
            self._new[hold.partition] = hold
        self._wake.set()

    def _lose(self, holds: Sequence[Hold]) -> None:
        """The listener hears of it at once: a callback that takes its time must not let it begin
        what is lost. The application is told in its turn."""
        self._lost += [hold.pair for hold in holds if hold.announced]
        if self.listener is not None and holds:
            self.listener.lost(_pairs(holds))

    def wake(self) -> None:
        """The application is done with what it had in hand."""
        self._wake.set()

    async def run(self) -> None:
        """Until the consumer closes."""
        self._task = asyncio.current_task()
        while not self._closing:
            self._wake.clear()
            async with self._one_at_a_time:
                moved = not self._closing and await self._step()
            if not moved and not self._closing:
                await self._something()

    async def close(self) -> None:
        """Give up everything: the application is told, and what it is done with is committed."""
        if asyncio.current_task() is self._task:
            raise WrongUse("the consumer is closed in one of its callbacks; do it elsewhere")
        self._closing = True
        self._wake.set()
        async with self._one_at_a_time:
            await self._tell_lost()
            holds = [hold for hold in self._member.holds.values() if hold.announced]
            now_ms = self._clock.monotonic_ms()
            for hold in holds:
                self._stop(hold)
            if self._member.is_fenced(now_ms):
                self._lose(holds)
                await self._tell_lost()
            elif holds:
                await self._tell_revoked(_pairs(holds), None)

    # One thing after the other.

    async def _step(self) -> bool:
        """Do one thing; False: there is nothing to do now."""
        if self._lost:
            await self._tell_lost()
            return True
        if self._new:
            await self._begin()
            return True
        ready = self._ready_to_go()
        if ready:
            await self._revoke(ready)
        return bool(ready)

    async def _something(self) -> None:
        """Returns when something is to be done."""
        waiting = [hold for hold in self._member.holds.values() if hold.revoking]
        until_ms = min(
            (self._member.revocation_ends_ms(hold, IN_HAND_MARGINS) for hold in waiting),
            default=None,
        )
        now_ms = self._clock.monotonic_ms()
        wait_s = None if until_ms is None else max(until_ms - now_ms, 1.0) / 1_000
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _tell_lost(self) -> None:
        lost, self._lost = self._lost, []
        await self._call(self._options.on_lost, lost)

    async def _tell_revoked(self, pairs: Sequence[TopicPartition], until_ms: float | None) -> None:
        if self.listener is not None:
            await self._call(self.listener.revoked, pairs, until_ms)
        await self._call(self._options.on_revoked, pairs, until_ms)

    async def _begin(self) -> None:
        """Announce what was assigned, and let it be read then: the callback may seek."""
        new, self._new = self._new, {}
        holds = [hold for hold in new.values() if self._member.has(hold) and not hold.revoking]
        for hold in holds:
            hold.announced = True
            self._placement.expect(hold.pair, hold.committed)
        await self._call(self._options.on_assigned, _pairs(holds))
        for hold in holds:
            if self._member.has(hold) and not hold.revoking:
                try:
                    self._placement.let_go(hold.pair)
                except PositionUnknown as error:
                    self._owner.tell(error)
        self._owner.on_begun()

    def _ready_to_go(self) -> list[Hold]:
        """Revoked, and not in the application's hands, or for too long."""
        now_ms = self._clock.monotonic_ms()
        return [
            hold
            for hold in self._member.holds.values()
            if hold.revoking
            and not (
                self.listener is None
                and self._progress.is_in_hand(hold.pair)
                and now_ms < self._member.revocation_ends_ms(hold, IN_HAND_MARGINS)
            )
        ]

    async def _revoke(self, holds: Sequence[Hold]) -> None:
        announced = [hold for hold in holds if hold.announced]
        if announced:
            await self._tell_revoked(_pairs(announced), self._until(announced, CALLBACK_MARGINS))
            left = [hold for hold in announced if self._member.has(hold)]
            await self._owner.commit_done(left, self._until(announced, COMMIT_MARGINS))
        for hold in holds:
            if self._member.has(hold):
                self._drop(hold)
        given_up = self._member.give_up(holds)
        if given_up:
            self._owner.acknowledge(given_up)

    def _until(self, holds: Iterable[Hold], margins: float) -> float:
        return min(self._member.revocation_ends_ms(hold, margins) for hold in holds)

    # Positions.

    def _stop(self, hold: Hold) -> None:
        """Hand out no more of it; what was handed out is still known."""
        self._source.settle()
        self._placement.hold(hold.pair)

    def _drop(self, hold: Hold) -> None:
        self._new.pop(hold.partition, None)
        if not hold.announced:
            return
        self._source.settle()
        self._source.forget(hold.pair)
        self._placement.remove(hold.pair)

    # Callbacks.

    async def _call(
        self,
        callback: OnPartitions | None,
        pairs: Sequence[TopicPartition],
        until_ms: float | None = None,
    ) -> None:
        if callback is None or not pairs:
            return
        self.in_callback = True
        try:
            result = callback(list(pairs))
            if inspect.isawaitable(result):
                await self._in_time(result, until_ms)
        except Exception as error:
            self._owner.tell(error)
        finally:
            self.in_callback = False

    async def _in_time(self, work: Awaitable[None], until_ms: float | None) -> None:
        if until_ms is None:
            await work
            return
        left_s = max(until_ms - self._clock.monotonic_ms(), 0.0) / 1_000
        try:
            async with asyncio.timeout(left_s):
                await work
        except TimeoutError:
            raise ClientError(
                "on_revoked took longer than the rebalance timeout leaves; it was cancelled, and"
                " the partitions were given up"
            ) from None


def _pairs(holds: Iterable[Hold]) -> list[TopicPartition]:
    return [hold.pair for hold in holds]
