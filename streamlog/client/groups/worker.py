"""Works through what a group consumer is given: keys side by side, each key in order.

    async with Consumer(bootstrap, group="billing", topics=["orders"], auto_commit_ms=None) as c:
        await Worker(c, handle).run()

Neighbours: `worker_lanes` says what may begin, `worker_progress` what may be committed; this
module runs the handlers on the consumer's loop and listens to what the group takes away.

A partition that is to be given up is drained: records that no handler has seen are left to the
next owner, those being handled are waited for, and what is done is committed before the consumer
lets go of it. Of a partition that was lost nothing is committed, whatever its handlers still do.

Invariants:
- A position is committed only when every record below it was handled, or skipped on purpose.
- At most `max_in_flight` records are taken and not done.
- No handler is begun while the consumer's session is not confirmed.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from streamlog.client.errors import ClientClosed, ClientError, WrongUse
from streamlog.client.groups.member import Lease
from streamlog.client.groups.rebalance import Listener
from streamlog.client.groups.worker_lanes import KeyLanes
from streamlog.client.groups.worker_progress import PartitionProgress, Taken
from streamlog.client.records import ConsumerRecord, TopicPartition
from streamlog.client.tasks import Tasks

CONCURRENCY_MAX: Final = 10_000
IN_FLIGHT_MAX: Final = 1_000_000
COMMIT_MS_MIN: Final = 10
COMMIT_MS_MAX: Final = 60_000
RETRY_MS_FIRST: Final = 50
RETRY_MS_MAX: Final = 5_000
"""A handler is called again after RETRY_MS_FIRST, doubled each time up to this."""
WAIT_MS: Final = 60_000.0
"""For records, at a time; without any it asks again."""
FENCED_LOOK_MS: Final = 20.0
"""A worker whose consumer's session is not confirmed looks again so often."""
ROOM_SHARE: Final = 4
"""More records are asked for when a part of one in so many of `max_in_flight` is free: to cut a
batch in small pieces costs more than to wait for a few records."""

Handler = Callable[[ConsumerRecord], Awaitable[object]]
Verdict = Literal["retry", "skip", "stop"]
OnError = Callable[[ConsumerRecord, Exception], Verdict | Awaitable[Verdict]]
Key = Callable[[ConsumerRecord], Hashable | None]

_LOG = logging.getLogger("streamlog.client")


class Source(Protocol):
    """What a worker needs of a group consumer."""

    async def getmany(
        self, *, max_records: int = ..., timeout_ms: float = ...
    ) -> dict[TopicPartition, list[ConsumerRecord]]: ...

    async def commit(self, offsets: Mapping[tuple[str, int], Any] | None = ...) -> None: ...

    def commit_nowait(
        self,
        offsets: Mapping[tuple[str, int], Any] | None = ...,
        on_commit: Callable[[ClientError | None, Any], None] | None = ...,
    ) -> None: ...

    def pause(self, *partitions: tuple[str, int]) -> None: ...

    def resume(self, *partitions: tuple[str, int]) -> None: ...

    async def seek(self, partition: tuple[str, int], offset: int) -> None: ...

    def listen(self, listener: Listener | None) -> None: ...

    @property
    def lease(self) -> Lease | None: ...


@dataclass(slots=True, eq=False)
class _Share:
    """A partition for as long as the member has it."""

    pair: TopicPartition
    progress: PartitionProgress = field(default_factory=PartitionProgress)
    running: int = 0
    """Its records that handlers work on."""
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing of it is begun any more."""
    committed: int | None = None
    """The highest position that is known to be committed."""
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class _Job:
    share: _Share
    record: ConsumerRecord
    taken: Taken


class Worker:
    """Hands each record of a group consumer to a handler.

    Args:
        consumer: of a group, made with `auto_commit_ms=None`, entered; nobody else reads from it
            meanwhile.
        handler: Called with each record, awaited; records of one partition with the same key one
            after the other, in order.
        concurrency: Handlers that run at a time, 1 to 10,000.
        key: What must be handled in order; records for which it is None are handled in any
            order. Default: the record's key.
        max_in_flight: Records that were taken and are not done, 1 to 1,000,000. A partition of
            which so many wait behind one that is not done rests until that one is.
        on_error: What becomes of a record whose handler raised: "stop", or a function of the
            record and the error that says "retry" (after a pause that grows from 50 ms to 5 s;
            records with its key wait), "skip" (it counts as done) or "stop"; it may be a
            coroutine function.
        commit_ms: How often progress is committed, 10 to 60,000.

    A handler may see a record again after a crash, or when its partition went to another member
    before its position was committed. Raises ValueError when an argument is out of its range.
    """

    def __init__(
        self,
        consumer: Source,
        handler: Handler,
        *,
        concurrency: int = 64,
        key: Key | None = None,
        max_in_flight: int = 1_000,
        on_error: Literal["stop"] | OnError = "stop",
        commit_ms: int = 1_000,
    ) -> None:
        _check("concurrency", concurrency, 1, CONCURRENCY_MAX)
        _check("max_in_flight", max_in_flight, 1, IN_FLIGHT_MAX)
        _check("commit_ms", commit_ms, COMMIT_MS_MIN, COMMIT_MS_MAX)
        if on_error != "stop" and not callable(on_error):
            raise ValueError(f'on_error is {on_error!r}; allowed are "stop" and a function')
        self._consumer, self._handler = consumer, handler
        self._concurrency, self._max_in_flight = concurrency, max_in_flight
        self._key_of = key
        self._on_error = None if on_error == "stop" else on_error
        self._commit_ms = commit_ms
        self._lanes: KeyLanes[_Job] = KeyLanes()
        self._shares: dict[TopicPartition, _Share] = {}
        self._moved: dict[TopicPartition, _Share] = {}
        """Those with a position that was not sent yet."""
        self._open = 0
        """Records that wait or are being handled."""
        self._active = 0
        """Tasks that handle records."""
        self._tasks = Tasks(self._fail)
        self._changed = asyncio.Event()
        self._started = self._ending = False
        self._failure: BaseException | None = None

    @property
    def in_flight(self) -> int:
        """Records that were taken and are not done."""
        return self._open

    async def run(self) -> None:
        """Work until `stop`, until the consumer is closed, or until a handler fails for good.

        In the end handlers that run are waited for, and what is done is committed. Records that
        were taken and not handled are read again by whoever reads next, this consumer included. A
        `run` that is cancelled cancels its handlers and commits nothing more.

        Raises what the handler raised; ClientError: what the consumer raised, also when the last
        commit failed; WrongUse when called twice.
        """
        if self._started:
            raise WrongUse("a worker runs once; make another one")
        self._started = True
        self._consumer.listen(self)
        reading = Tasks(self._fail)
        reading.start(self._read())
        reading.start(self._commit_regularly())
        try:
            await self._until(lambda: self._ending)
            await reading.close()
            await self._until(lambda: self._active == 0)
            await self._finish()
        finally:
            self._ending = True
            await reading.close()
            await self._tasks.close()
            self._consumer.listen(None)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End `run` as soon as the handlers that run now have returned."""
        self._ending = True
        self._leave(self._shares.values())

    # Listener.

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Wait for what is being handled of them, and commit."""
        shares = [self._shares[pair] for pair in partitions if pair in self._shares]
        try:
            self._leave(shares)
            await self._until(lambda: not any(share.running for share in shares))
            positions = _positions(shares)
            if positions:
                await self._consumer.commit(positions)
        except ClientError as error:
            # Its next owner begins at what was committed before: records are handled again.
            _tell_of(error)
        finally:
            self.lost(partitions)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget them; results of what is being handled are dropped."""
        shares = [self._shares.pop(pair) for pair in partitions if pair in self._shares]
        for share in shares:
            self._moved.pop(share.pair, None)
        self._leave(shares)

    def _leave(self, shares: Iterable[_Share]) -> None:
        """Begin nothing of these any more."""
        for share in shares:
            share.leaving.set()
        self._open -= self._lanes.drop(lambda job: job.share.leaving.is_set())
        self._changed.set()

    # Reading.

    async def _read(self) -> None:
        least = max(1, self._max_in_flight // ROOM_SHARE)
        try:
            while True:
                await self._until(lambda: self._max_in_flight - self._open >= least)
                room = self._max_in_flight - self._open
                taken = await self._consumer.getmany(max_records=room, timeout_ms=WAIT_MS)
                for pair, records in taken.items():
                    self._accept(pair, records)
        except ClientClosed:
            self.stop()
        except Exception as error:  # whatever it is, `run` raises it
            self._fail(error)

    def _accept(self, pair: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        share = self._shares.get(pair)
        if share is None or records[0].offset < share.progress.next_offset:
            # Given anew, or somebody moved its position back.
            if share is not None:
                self.lost([pair])
            share = self._shares[pair] = _Share(pair)
        jobs = [
            (self._lane_of(record), _Job(share, record, share.progress.take(record.offset)))
            for record in records
        ]
        if self._ending or share.leaving.is_set():
            return  # Whoever reads on after this one begins there.
        for lane, job in jobs:
            self._lanes.add(lane, job)
        self._open += len(jobs)
        if share.progress.window >= self._max_in_flight and not share.is_paused:
            share.is_paused = True
            self._consumer.pause(pair)
        for _ in range(min(self._concurrency - self._active, self._lanes.ready)):
            self._active += 1
            self._tasks.start(self._work())

    def _lane_of(self, record: ConsumerRecord) -> Hashable | None:
        key = record.key if self._key_of is None else self._key_of(record)
        if key is None:
            return None
        try:
            hash(key)
        except TypeError:
            raise WrongUse(
                f"the key of {record.topic}/{record.partition} at offset {record.offset} is a"
                f" {type(key).__name__}, which has no hash; give the worker a `key` function"
            ) from None
        return record.topic, record.partition, key

    # Handling.

    async def _work(self) -> None:
        """Handle what is ready, until nothing is."""
        try:
            while (turn := self._lanes.next()) is not None:
                key, job = turn
                share = job.share
                share.running += 1
                try:
                    is_done = await self._may_begin(share) and await self._handle(job)
                finally:
                    share.running -= 1
                    self._open -= 1
                    self._lanes.release(key)
                    self._changed.set()
                if is_done:
                    self._done(share, job.taken)
                # A handler that never waits must not keep the loop from everybody else.
                await asyncio.sleep(0)
        finally:
            self._active -= 1
            self._changed.set()

    async def _may_begin(self, share: _Share) -> bool:
        """Wait while the session is not confirmed, as after this process stood still: somebody else
        may have the partition. False: that is so."""
        now_s = asyncio.get_running_loop().time
        while (lease := self._consumer.lease) is not None and now_s() >= lease.until_s:
            if await _within(share.leaving, FENCED_LOOK_MS):
                return False
        return True

    async def _handle(self, job: _Job) -> bool:
        """Whether the record is done: handled, or to be skipped."""
        retry_ms = RETRY_MS_FIRST
        while True:
            try:
                await self._handler(job.record)
                return True
            except Exception as error:
                verdict = await self._verdict(job.record, error)
                if verdict == "skip":
                    return True
                if verdict == "stop":
                    record = job.record
                    place = f"{record.topic}/{record.partition} at offset {record.offset}"
                    error.add_note(f"raised by the handler of {place}")
                    self._fail(error)
                    return False
            if await _within(job.share.leaving, retry_ms):
                return False  # Its next owner will try again.
            retry_ms = min(2 * retry_ms, RETRY_MS_MAX)

    async def _verdict(self, record: ConsumerRecord, error: Exception) -> Verdict:
        if self._on_error is None:
            return "stop"
        answer = self._on_error(record, error)
        verdict = await answer if inspect.isawaitable(answer) else answer
        if verdict not in {"retry", "skip", "stop"}:
            raise ValueError(f'on_error returned {verdict!r}; allowed are "retry", "skip", "stop"')
        return verdict

    def _done(self, share: _Share, taken: Taken) -> None:
        if share.progress.finish(taken) and self._shares.get(share.pair) is share:
            self._moved[share.pair] = share
        if (
            share.is_paused
            and not share.leaving.is_set()
            and 2 * share.progress.window <= self._max_in_flight
        ):
            share.is_paused = False
            self._consumer.resume(share.pair)

    # Committing.

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._commit_ms / 1_000)
            moved, self._moved = self._moved, {}
            positions = _positions(moved.values())
            if not positions:
                continue
            try:
                self._consumer.commit_nowait(positions, self._on_commit(moved, positions))
            except ClientClosed:
                self.stop()
                return
            except ClientError as error:  # Too many wait: these go with the next ones.
                _tell_of(error)
                self._moved = moved | self._moved

    def _on_commit(
        self, shares: Mapping[TopicPartition, _Share], positions: Mapping[tuple[str, int], int]
    ) -> Callable[[ClientError | None, Any], None]:
        """What is not committed is sent again with the next ones, if it is still ours."""

        def committed(error: ClientError | None, _: object) -> None:
            if error is not None:
                _tell_of(error)
            for pair, position in positions.items():
                share = shares[TopicPartition(*pair)]
                if error is None:
                    share.committed = max(share.committed or 0, position)
                elif self._shares.get(share.pair) is share:
                    self._moved[share.pair] = share

        return committed

    async def _finish(self) -> None:
        """Commit, and let the consumer go on where the work was left."""
        shares = list(self._shares.values())
        try:
            for share in shares:
                resume_at = share.progress.resume_at
                if resume_at is not None and self._shares.get(share.pair) is share:
                    await self._consumer.seek(share.pair, resume_at)
            positions = _positions(self._shares.values())
            if positions:
                await self._consumer.commit(positions)
            for share in self._shares.values():
                if share.is_paused:
                    self._consumer.resume(share.pair)
        except ClientClosed:
            pass  # It told `revoked` before.
        except ClientError as error:
            if self._failure is None:
                self._failure = error

    # Waiting.

    def _fail(self, error: BaseException) -> None:
        """Everything ends with the first thing that went wrong."""
        if self._failure is None:
            self._failure = error
        self.stop()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()


def _positions(shares: Iterable[_Share]) -> dict[tuple[str, int], int]:
    """What of their progress is not known to be committed."""
    return {
        share.pair: position
        for share in shares
        if (position := share.progress.position) is not None and position != share.committed
    }


def _tell_of(error: ClientError) -> None:
    """A commit failed: what it was of is committed later, or handled again."""
    _LOG.warning(
        "group_worker_commit_failed", extra={"reason": error.reason, "error": error.message}
    )


async def _within(event: asyncio.Event, timeout_ms: float) -> bool:
    """Whether it happened in time."""
    try:
        async with asyncio.timeout(timeout_ms / 1_000):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; allowed are {low} to {high}")
