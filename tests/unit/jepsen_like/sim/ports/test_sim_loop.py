"""Virtual time, determinism, pauses and crashes of simulated loops."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from jepsen_like.sim.ports.clock import EPOCH_MS, SimClock
from jepsen_like.sim.ports.scheduler import Scheduler


def test_ordinary_coroutines_run_in_virtual_time() -> None:
    """An hour of sleep takes no time; timeouts, queues and gather work."""
    scheduler = Scheduler(1)
    loop = scheduler.new_loop("a")

    async def main() -> list[float]:
        queue: asyncio.Queue[float] = asyncio.Queue()

        async def put_later() -> None:
            await asyncio.sleep(3600)
            await queue.put(loop.time())

        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 10)
        first, _ = await asyncio.gather(queue.get(), put_later())
        return [first, asyncio.get_running_loop().time()]

    began = time.monotonic()
    times = scheduler.complete(loop.create_task(main()), 10_000)
    assert time.monotonic() - began < 600
    assert times == [pytest.approx(3610, abs=0.01)] * 2
    scheduler.dispose([loop])


def trace(seed: int) -> list[tuple[str, int, float]]:
    """Three loops that mix sleeps and yields: who ran when."""
    scheduler = Scheduler(seed)
    loops = [scheduler.new_loop(name) for name in "abc"]
    seen: list[tuple[str, int, float]] = []

    async def work(name: str) -> None:
        for number in range(20):
            seen.append((name, number, scheduler.now))
            await asyncio.sleep(0 if number % 3 else 0.001)

    tasks = [loop.create_task(work(loop.name)) for loop in loops for _ in range(3)]
    scheduler.run(10, lambda: all(task.done() for task in tasks))
    scheduler.dispose(loops)
    return seen


def test_the_seed_decides_the_order() -> None:
    """The same seed gives the same order to the last bit, another one another order."""
    assert trace(1) == trace(1)
    assert trace(1) != trace(2)


def test_each_loop_has_its_own_clock() -> None:
    """A fast clock's second ends earlier; wall clocks jump without touching timers."""
    scheduler = Scheduler(1)
    fast = scheduler.new_loop("fast", rate=1.1, offset=100)
    slow = scheduler.new_loop("slow", rate=0.9)
    ended: list[str] = []

    async def sleep(name: str) -> None:
        await asyncio.sleep(10)
        ended.append(name)

    tasks = [slow.create_task(sleep("slow")), fast.create_task(sleep("fast"))]
    assert fast.time() == pytest.approx(100)
    clock = SimClock(fast)
    clock.wall_offset_ms = -5_000
    assert clock.wall_ms() == EPOCH_MS - 5_000
    scheduler.run(20, lambda: all(task.done() for task in tasks))
    assert ended == ["fast", "slow"]
    assert scheduler.now == pytest.approx(10 / 0.9, abs=0.001)
    assert clock.monotonic_ms() == pytest.approx((100 + 1.1 * scheduler.now) * 1000)
    scheduler.dispose([fast, slow])


def test_a_paused_loop_does_nothing_and_catches_up() -> None:
    """Timers that came due during the pause run when it ends; the clock went on."""
    scheduler = Scheduler(1)
    loop = scheduler.new_loop("a")
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await asyncio.sleep(1)
            ticks.append(loop.time())

    loop.create_task(tick())
    scheduler.run(2.5)
    scheduler.pause(loop)
    scheduler.run(10)
    assert len(ticks) == 2
    scheduler.resume(loop)
    scheduler.run(11.5)
    assert [round(t) for t in ticks] == [1, 2, 10, 11]
    scheduler.dispose([loop])


def test_a_crash_runs_no_finally_before_the_end(recwarn: pytest.WarningsRecorder) -> None:
    """Neither the crash nor garbage collection runs code of the dead process; disposal is
    silent."""
    gc.collect()  # What other tests left is not of this one.
    recwarn.clear()
    scheduler = Scheduler(1)
    loop = scheduler.new_loop("a")
    events: list[str] = []

    async def inner() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            events.append("finally")
            await asyncio.sleep(1)

    async def main() -> None:
        await asyncio.gather(inner(), inner())

    loop.create_task(main())
    scheduler.run(1)
    scheduler.drop(loop)
    gc.collect()
    scheduler.run(200)
    assert events == []
    scheduler.dispose([loop])
    assert len(recwarn) == 0


def test_untaken_exceptions_are_kept_for_the_end() -> None:
    """A task that failed unseen is found in `failures`."""
    scheduler = Scheduler(1)
    loop = scheduler.new_loop("a")

    async def fail() -> None:
        raise ValueError("unseen")

    loop.create_task(fail())
    scheduler.run(1)
    gc.collect()
    assert [str(f["exception"]) for f in loop.failures] == ["unseen"]
    scheduler.dispose([loop])


def test_threads_are_refused() -> None:
    """Node code that reaches for an executor is told so."""
    scheduler = Scheduler(1)
    loop = scheduler.new_loop("a")

    async def main() -> None:
        await asyncio.to_thread(time.time)

    with pytest.raises(RuntimeError, match="executor"):
        scheduler.complete(loop.create_task(main()), 1)
    scheduler.dispose([loop])
