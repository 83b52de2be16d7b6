"""A rate is kept evenly, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import math

import pytest

from streamlog.cli.records.pacing import AHEAD_S_MAX, BEHIND_S_MAX, Pacer


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    def now(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize("rate", [1, 50, 1_000, 250_000])
async def test_turns_come_evenly(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at its time, but for what is too short to sleep; none is early by more than that."""
    clock = Clock(monkeypatch)
    pacer = Pacer(rate, clock.now)
    for turn in range(2_000):
        told_s = await pacer.turn()
        due_s = 100 + turn / rate
        assert told_s == pytest.approx(min(due_s, clock.now_s))
        assert due_s - AHEAD_S_MAX - 1e-9 <= clock.now_s <= due_s + 1e-9


async def test_a_pause_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten seconds without input the rate is the rate, but for a tenth of a second."""
    clock = Clock(monkeypatch)
    pacer = Pacer(1_000, clock.now)
    await pacer.turn()
    clock.now_s += 10
    began_s, turns = clock.now_s, 0
    while clock.now_s < began_s + 1:
        await pacer.turn()
        turns += 1
    assert turns <= 1_000 * (1 + BEHIND_S_MAX + AHEAD_S_MAX) + 1
    assert turns >= 1_000


async def test_who_measures_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause the missed turns come at once, each with the time at which it was due."""
    clock = Clock(monkeypatch)
    pacer = Pacer(10, clock.now, behind_s_max=math.inf)
    clock.now_s += 2
    told = [await pacer.turn() for _ in range(20)]
    assert told == pytest.approx([100 + turn / 10 for turn in range(20)])
    assert clock.now_s == 102
