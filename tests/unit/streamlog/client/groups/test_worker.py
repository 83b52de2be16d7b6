"""A worker: what runs side by side, what is committed, and what becomes of it in a rebalance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from streamlog.client.errors import ClientError, WrongUse
from streamlog.client.groups import worker as module
from streamlog.client.groups.member import Lease
from streamlog.client.groups.worker import Verdict, Worker
from streamlog.client.records import ConsumerRecord, TopicPartition
from tests.fakes.fake_group_source import FakeGroupSource, pairs, record

DEADLINE_S = 60
P0, P1 = TopicPartition("t", 0), TopicPartition("t", 1)


async def until(is_so: Callable[[], object]) -> None:
    """Within a generous deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():
            await asyncio.sleep(0.001)


class Handling:
    """A handler whose calls end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.done: list[tuple[int, int]] = []
        self._open: dict[tuple[int, int], asyncio.Future[None]] = {}

    async def __call__(self, each: ConsumerRecord) -> None:
        place = each.partition, each.offset
        self.begun.append(place)
        self._open[place] = asyncio.get_running_loop().create_future()
        try:
            await self._open[place]
        finally:
            del self._open[place]
        self.done.append(place)

    @property
    def running(self) -> list[tuple[int, int]]:
        return list(self._open)

    def end(self, partition: int, offset: int, error: Exception | None = None) -> None:
        future = self._open[partition, offset]
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def is_running(handling: Handling, offset: int) -> bool:
    return (0, offset) in handling.running


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    """While it runs; stopped afterwards, if it has not ended."""
    task = asyncio.ensure_future(worker.run())
    try:
        yield task
    finally:
        if not task.done():
            worker.stop()
            async with asyncio.timeout(DEADLINE_S):
                await task


async def test_keys_side_by_side_each_in_order() -> None:
    """Two records of a key run one after the other, those of other keys and without one at once;
    the same key in another partition is another key."""
    source, handling = FakeGroupSource(), Handling()
    source.put(
        record(0, 0, b"a"), record(0, 1, b"a"), record(0, 2, b"b"), record(0, 3), record(0, 4)
    )
    source.put(record(1, 0, b"a"))
    async with working(Worker(source, handling, commit_ms=10)):
        await until(lambda: len(handling.running) == 5)
        assert handling.begun == [(0, 0), (0, 2), (0, 3), (0, 4), (1, 0)]
        handling.end(0, 0)
        await until(lambda: (0, 1) in handling.running)
        for partition, offset in handling.running:
            handling.end(partition, offset)
        await until(lambda: source.committed == {P0: 5, P1: 1})


async def test_no_more_than_allowed_at_a_time() -> None:
    """`concurrency` bounds handlers, `max_in_flight` records."""
    source, handling = FakeGroupSource(), Handling()
    source.put(*(record(0, offset) for offset in range(20)))
    worker = Worker(source, handling, concurrency=3, max_in_flight=8)
    async with working(worker):
        await until(lambda: len(handling.running) == 3)
        assert worker.in_flight == 8
        assert len(source.waiting) == 12
        for offset in range(20):
            await until(partial(is_running, handling, offset))
            assert len(handling.running) <= 3
            assert worker.in_flight <= 8
            handling.end(0, offset)
        await until(lambda: len(handling.done) == 20)


async def test_only_the_done_prefix_is_committed() -> None:
    """A late record holds back those behind it; gaps between offsets do not."""
    source, handling = FakeGroupSource(), Handling()
    source.put(*(record(0, offset) for offset in (5, 6, 9, 12)))
    async with working(Worker(source, handling, commit_ms=10)):
        await until(lambda: len(handling.running) == 4)
        handling.end(0, 5)
        handling.end(0, 9)
        await until(lambda: source.committed == {P0: 6})
        handling.end(0, 6)
        await until(lambda: source.committed == {P0: 10})
        handling.end(0, 12)
        await until(lambda: source.committed == {P0: 13})
    assert [commit[P0] for commit in source.commits] == [6, 10, 13]


async def test_a_record_that_never_ends_halts_its_partition_alone() -> None:
    """The partition rests when `max_in_flight` records are behind it, goes on afterwards, and all
    the others are read meanwhile."""
    source, handled = FakeGroupSource(), list[tuple[int, int]]()
    stuck = asyncio.Event()

    async def handle(each: ConsumerRecord) -> None:
        if (each.partition, each.offset) == (0, 0):
            await stuck.wait()
        handled.append((each.partition, each.offset))

    source.put(*(record(0, offset) for offset in range(20)))
    async with working(Worker(source, handle, max_in_flight=4, commit_ms=10)):
        await until(lambda: source.paused == {P0})
        assert len(handled) < 8
        source.put(*(record(1, offset) for offset in range(50)))
        await until(lambda: source.committed == {P1: 50})
        assert len(handled) < 58
        stuck.set()
        await until(lambda: source.committed == {P0: 20, P1: 50})
    assert source.paused == set()


async def test_a_handler_that_never_waits() -> None:
    """It keeps neither the loop nor the commits from their turn."""
    source = FakeGroupSource()
    turns, seen = 0, 0

    async def handle(_: ConsumerRecord) -> None:
        nonlocal seen
        seen += 1

    async def others() -> None:
        nonlocal turns
        while seen < 500:
            turns += 1
            await asyncio.sleep(0)

    source.put(*(record(0, offset, b"k") for offset in range(500)))
    async with working(Worker(source, handle, commit_ms=10)):
        await others()
        await until(lambda: source.committed == {P0: 500})
    assert turns > 100


async def test_revoked_partitions_are_drained_and_committed() -> None:
    """What nobody has seen is left, what runs is waited for, what is done is committed before the
    consumer lets go; other partitions go on."""
    source, handling = FakeGroupSource(), Handling()
    worker = Worker(source, handling, concurrency=3, commit_ms=60_000)
    source.put(record(0, 0, b"a"), record(0, 1, b"a"), record(0, 2, b"b"), record(1, 0))
    async with working(worker):
        await until(lambda: len(handling.running) == 3)
        assert source.listener is worker
        revoking = asyncio.ensure_future(worker.revoked(pairs(0, 7)))
        await until(lambda: worker.in_flight == 3)
        handling.end(0, 2)
        await until(lambda: (0, 2) in handling.done)
        assert not revoking.done()
        handling.end(0, 0)
        await asyncio.wait_for(revoking, DEADLINE_S)
        assert source.committed == {P0: 1}
        assert (0, 1) not in handling.begun
        handling.end(1, 0)
        await until(lambda: worker.in_flight == 0)
    assert source.committed == {P0: 1, P1: 1}
    assert source.sought == {P1: 1}


async def test_a_partition_that_was_lost_is_not_committed() -> None:
    """Its handlers end in vain; given anew, it begins where the group says, and a key whose record
    is still being handled waits for that."""
    source, handling = FakeGroupSource(), Handling()
    worker = Worker(source, handling, commit_ms=10)
    source.put(record(0, 3, b"a"))
    async with working(worker):
        await until(lambda: handling.running)
        worker.lost(pairs(0))
        source.put(record(0, 2, b"a"), record(0, 3, b"a"), record(0, 4, b"b"))
        await until(lambda: (0, 4) in handling.running)
        assert handling.running == [(0, 3), (0, 4)]
        handling.end(0, 3)
        await until(lambda: (0, 2) in handling.running)
        handling.end(0, 4)
        await until(lambda: (0, 4) in handling.done)
        assert source.commits == []
        handling.end(0, 2)
        await until(lambda: source.committed == {P0: 3})
        await until(lambda: (0, 3) in handling.running)
        handling.end(0, 3)
        await until(lambda: source.committed == {P0: 5})


async def test_a_revocation_that_outlasts_its_time() -> None:
    """The consumer gives up waiting: nothing is committed, and nothing of it is kept."""
    source, handling = FakeGroupSource(), Handling()
    worker = Worker(source, handling, commit_ms=10)
    source.put(record(0, 0), record(0, 1))
    async with working(worker):
        await until(lambda: len(handling.running) == 2)
        revoking = asyncio.ensure_future(worker.revoked(pairs(0)))
        await asyncio.sleep(0)
        revoking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await revoking
        for place in handling.running:
            handling.end(*place)
        await until(lambda: worker.in_flight == 0)
    assert source.commits == []
    assert source.sought == {}


async def test_a_refused_commit_is_tried_again_while_the_partition_is_ours() -> None:
    """With whatever was done since."""
    source, handling = FakeGroupSource(), Handling()
    source.refusal = ClientError("no")
    source.put(record(0, 0), record(0, 1))
    async with working(Worker(source, handling, commit_ms=10)):
        await until(lambda: len(handling.running) == 2)
        handling.end(0, 0)
        await until(lambda: len(source.commits) > 1)
        handling.end(0, 1)
        await until(lambda: source.commits[-1] == {P0: 2})
        source.refusal = None
        await until(lambda: source.committed == {P0: 2})
        count = len(source.commits)
    assert len(source.commits) == count


async def test_a_failed_handler_ends_the_work() -> None:
    """By default: those that run are waited for, what is done is committed, the handler's error
    says which record it was, and the consumer goes on with it."""
    source, handling = FakeGroupSource(), Handling()
    source.put(*(record(0, offset, b"k%d" % (offset // 2)) for offset in range(6)))
    worker = Worker(source, handling, concurrency=2, commit_ms=60_000)
    task = asyncio.ensure_future(worker.run())
    await until(lambda: handling.running == [(0, 0), (0, 2)])
    handling.end(0, 0)
    await until(lambda: handling.running == [(0, 2), (0, 4)])
    handling.end(0, 2, LookupError("no such order"))
    await until(lambda: handling.running == [(0, 4)])
    handling.end(0, 4)
    with pytest.raises(LookupError, match="no such order") as caught:
        await asyncio.wait_for(task, DEADLINE_S)
    assert "t/0 at offset 2" in caught.value.__notes__[0]
    assert source.committed == {P0: 1}
    assert source.sought == {P0: 1}
    assert (0, 1) not in handling.begun
    assert source.listener is None


@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_errors_are_judged(is_coroutine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried again, the records with its key waiting; passed over; or the end."""
    monkeypatch.setattr(module, "RETRY_MS_FIRST", 1)
    source, calls = FakeGroupSource(), list[int]()
    judged: list[tuple[int, str]] = []

    async def handle(each: ConsumerRecord) -> None:
        calls.append(each.offset)
        if each.offset == 0 and calls.count(0) < 3:
            raise OSError("busy")
        if each.offset == 1:
            raise ValueError("malformed")

    def judge(each: ConsumerRecord, error: Exception) -> Verdict:
        judged.append((each.offset, str(error)))
        return "retry" if isinstance(error, OSError) else "skip"

    async def judge_slowly(each: ConsumerRecord, error: Exception) -> Verdict:
        await asyncio.sleep(0)
        return judge(each, error)

    source.put(*(record(0, offset, b"k") for offset in range(3)))
    on_error = judge_slowly if is_coroutine else judge
    async with working(Worker(source, handle, on_error=on_error, commit_ms=10)):
        await until(lambda: source.committed == {P0: 3})
    assert calls == [0, 0, 0, 1, 2]
    assert judged == [(0, "busy"), (0, "busy"), (1, "malformed")]


async def test_a_revocation_ends_the_tries() -> None:
    """However long the pause before the next one: the next owner will try."""
    source, calls = FakeGroupSource(), 0

    async def handle(_: ConsumerRecord) -> None:
        nonlocal calls
        calls += 1
        raise OSError("busy")

    worker = Worker(source, handle, on_error=lambda *_: "retry", commit_ms=10)
    source.put(record(0, 0))
    async with working(worker):
        await until(lambda: calls > 1)
        await asyncio.wait_for(worker.revoked(pairs(0)), DEADLINE_S)
        assert worker.in_flight == 0
    assert source.commits == []


async def test_nothing_begins_while_the_session_is_not_confirmed() -> None:
    """A process that stood still holds records that may be somebody else's: their handlers are
    begun when the session is confirmed, and not at all when the partition was lost."""
    source, handling = FakeGroupSource(), Handling()
    source.lease = Lease(until_s=0.0)
    worker = Worker(source, handling, commit_ms=10)
    source.put(record(0, 0), record(1, 0))
    async with working(worker):
        await until(lambda: worker.in_flight == 2)
        worker.lost(pairs(0))
        await until(lambda: worker.in_flight == 1)
        assert handling.begun == []
        source.lease.until_s = float("inf")
        await until(lambda: handling.begun == [(1, 0)])
        handling.end(1, 0)
        await until(lambda: source.committed == {P1: 1})


async def test_stop() -> None:
    """Handlers that run are waited for, nothing else begins, and the consumer goes on behind what
    is done."""
    source, handling = FakeGroupSource(), Handling()
    source.put(*(record(0, offset) for offset in range(4)))
    worker = Worker(source, handling, concurrency=2, commit_ms=60_000)
    task = asyncio.ensure_future(worker.run())
    await until(lambda: len(handling.running) == 2)
    worker.stop()
    handling.end(0, 1)
    await until(lambda: (0, 1) in handling.done)
    assert not task.done()
    handling.end(0, 0)
    await asyncio.wait_for(task, DEADLINE_S)
    assert handling.done == [(0, 1), (0, 0)]
    assert source.committed == {P0: 2}
    assert source.sought == {P0: 2}
    with pytest.raises(WrongUse, match="once"):
        await worker.run()


async def test_the_consumer_is_closed() -> None:
    """Its revocations are answered, and `run` returns."""
    source, handling = FakeGroupSource(), Handling()
    source.put(record(0, 0))
    task = asyncio.ensure_future(Worker(source, handling).run())
    await until(lambda: handling.running)
    closing = asyncio.ensure_future(source.close())
    await asyncio.sleep(0)
    handling.end(0, 0)
    await asyncio.wait_for(closing, DEADLINE_S)
    await asyncio.wait_for(task, DEADLINE_S)
    assert source.committed == {P0: 1}


async def test_a_failed_consumer_and_a_failed_last_commit_are_told() -> None:
    """`run` raises what the consumer raised."""
    source, handling = FakeGroupSource(), Handling()
    task = asyncio.ensure_future(Worker(source, handling).run())
    source.failure = ClientError("data loss")
    source.wake()
    with pytest.raises(ClientError, match="data loss"):
        await asyncio.wait_for(task, DEADLINE_S)

    source, handling = FakeGroupSource(), Handling()
    source.refusal = ClientError("no majority")
    source.put(record(0, 0))
    worker = Worker(source, handling)
    task = asyncio.ensure_future(worker.run())
    await until(lambda: handling.running)
    handling.end(0, 0)
    await until(lambda: worker.in_flight == 0)
    worker.stop()
    with pytest.raises(ClientError, match="no majority"):
        await asyncio.wait_for(task, DEADLINE_S)


async def test_cancelled() -> None:
    """So are the handlers, and nothing runs on."""
    source, handling = FakeGroupSource(), Handling()
    source.put(record(0, 0), record(0, 1))
    task = asyncio.ensure_future(Worker(source, handling).run())
    await until(lambda: len(handling.running) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handling.running == []
    assert source.commits == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_keys_of_ones_own() -> None:
    """A function says what is kept in order; what has no hash is refused with the place."""
    source, handling = FakeGroupSource(), Handling()
    source.put(*(record(0, offset, value={"user": offset % 2}) for offset in range(4)))
    by_user = Worker(source, handling, key=lambda each: each.value["user"])
    async with working(by_user):
        await until(lambda: handling.running == [(0, 0), (0, 1)])
        for offset in (0, 1):
            handling.end(0, offset)
        await until(lambda: handling.running == [(0, 2), (0, 3)])
        for offset in (2, 3):
            handling.end(0, offset)
        await until(lambda: len(handling.done) == 4)
    source.put(record(0, 4, key={"user": 1}))
    with pytest.raises(WrongUse, match=r"t/0 at offset 4 is a dict.*`key` function"):
        await asyncio.wait_for(Worker(source, handling).run(), DEADLINE_S)


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": 10_001},
        {"max_in_flight": 0},
        {"commit_ms": 9},
        {"on_error": "retry"},
    ],
)
async def test_arguments_out_of_range(options: dict[str, Any]) -> None:
    """The message names the argument and what is allowed."""
    with pytest.raises(ValueError, match=rf"{next(iter(options))} is .*; allowed are"):
        Worker(FakeGroupSource(), Handling(), **options)

    async def judge(*_: object) -> Any:
        return "ignore"

    source = FakeGroupSource()
    source.put(record(0, 0))

    async def fail(_: ConsumerRecord) -> None:
        raise OSError

    with pytest.raises(ValueError, match="on_error returned 'ignore'"):
        await asyncio.wait_for(Worker(source, fail, on_error=judge).run(), DEADLINE_S)
