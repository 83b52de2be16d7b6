"""Copies to learners keep to a pace."""

from __future__ import annotations

import asyncio

from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.scheduler import Scheduler
from replication.multiraft.copy_rate import CopyRate


def seconds_for(rate: int, pieces: list[int], *, copies: int = 1, pause_s: float = 0.0) -> float:
    """How long so many copies of these pieces take together, after a pause."""
    scheduler = Scheduler(1)
    loop = scheduler.new_loop("node")
    pace = CopyRate(SimClock(loop), lambda: rate)

    async def copy() -> None:
        for size in pieces:
            await pace.take(size)

    async def work() -> None:
        await asyncio.sleep(pause_s)
        await asyncio.gather(*(copy() for _ in range(copies)))

    begun = scheduler.now
    scheduler.complete(loop.create_task(work()), 3_600)
    took = scheduler.now - begun - pause_s
    scheduler.dispose([loop])
    return took


def test_all_copies_share_the_pace() -> None:
    """What one takes, another does not have; the last piece is not waited for."""
    assert 9.7 <= seconds_for(1_000, [1_000] * 11) <= 10.1
    assert 8.7 <= seconds_for(1_000, [1_000] * 5, copies=2) <= 9.1


def test_a_pause_is_not_made_up_for() -> None:
    """Copies that begin later do not come in a burst."""
    assert seconds_for(1_000, [1_000] * 11, pause_s=60) >= 9.7


def test_nothing_is_bounded_at_zero() -> None:
    """As fast as it can."""
    assert seconds_for(0, [1 << 30] * 100) < 0.1
