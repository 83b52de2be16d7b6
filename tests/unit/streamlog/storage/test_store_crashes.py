"""Crashes at random points of a store's lives; each life checks what the one before promised."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from jepsen_like.sim.ports.disk import SimDisk
from tests.fakes.store_harness import (
    LATENCY,
    WEIGHTS,
    ModelGroup,
    StoreLife,
    VirtualLoop,
    abandon,
)

LIVES = 8


def live(
    seed: int,
    lives: int = LIVES,
    groups: int = 3,
    features: Sequence[str] = tuple(WEIGHTS),
    killed: float = 0.2,
) -> int:
    """Several lives of one store on one disk; returns how many crashed during recovery.

    `killed`: how many of the ends are a killed process, whose page cache survives.
    """
    rng = random.Random(seed)
    disk = SimDisk(random.Random(seed + 1), latency=LATENCY)
    models = {number: ModelGroup.of(number) for number in range(1, groups + 1)}
    crashed_early = 0
    for _ in range(lives):
        life = StoreLife(disk, models, rng, features)
        loop = VirtualLoop()
        task = loop.create_task(life.run(rng.randint(5, 120), stop=rng.random() < 0.3))
        turns = rng.randint(1, 400) if rng.random() < 0.3 else rng.randint(100, 6000)
        while turns and not task.done():
            loop.turn()
            turns -= 1
        if task.done() and task.exception() is not None:
            abandon(loop)
            task.result()
        if not life.started:
            crashed_early += 1
        else:
            life.note_completions()
        kill_only = rng.random() < killed
        disk = disk.process_killed() if kill_only else disk.crash(rng)
        abandon(loop)
    last = StoreLife(disk, models, rng, features)
    loop = VirtualLoop()
    try:
        loop.run_until_complete(last.run(0, stop=True))
    finally:
        abandon(loop)
    return crashed_early


@pytest.mark.parametrize("seed", range(60))
def test_what_was_reported_complete_survives_any_crash(seed: int) -> None:
    """Appends, large appends, truncations, hard state, moved starts, installs and deletions with
    tiny recycled journals: after each crash, also during recovery, every group is in a state it
    went through, none older than what was reported complete."""
    live(seed)


def test_some_lives_crash_during_recovery() -> None:
    """The lives above do what they say."""
    assert sum(live(seed, lives=4, groups=2) for seed in range(1000, 1008)) > 0


def test_loop_time_is_virtual() -> None:
    """An hour passes at once."""
    loop = VirtualLoop()
    loop.run_until_complete(asyncio.sleep(3600))
    assert loop.time() >= 3600
    loop.close()
