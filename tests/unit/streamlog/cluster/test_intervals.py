"""When rounds come, while an operator changes how often they shall; in virtual time."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

import pytest

from streamlog.cluster.intervals import ASK_AGAIN_MS, run_rounds
from tests.fakes.store_harness import run

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
CHANGE = 25_001
"""When the interval changes; not at a moment when it is asked for anyway."""
Changes = tuple[tuple[int, int], ...]
"""Moments, and the interval from then on; both in milliseconds."""


def rounds(
    interval_ms: int,
    *changes: tuple[int, int],
    until_ms: int,
    work_ms: int = 0,
    first_within_ms: float = math.inf,
) -> list[int]:
    """The moments at which rounds began."""
    began: list[int] = []
    interval = interval_ms

    def change(to_ms: int) -> None:
        nonlocal interval
        interval = to_ms

    async def observe() -> None:
        loop = asyncio.get_running_loop()

        async def work() -> None:
            began.append(round(loop.time() * 1_000))
            await asyncio.sleep(work_ms / 1_000)

        for at_ms, to_ms in changes:
            loop.call_at(at_ms / 1_000, change, to_ms)
        task = loop.create_task(run_rounds(work, lambda: interval, first_within_ms=first_within_ms))
        await asyncio.sleep(until_ms / 1_000)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run(observe())
    return began


@pytest.mark.parametrize("interval_ms", [1_000, ASK_AGAIN_MS, 25_500, HOUR])
def test_a_round_comes_after_each_interval(interval_ms: int) -> None:
    """Whether or not it is a multiple of the time after which the interval is asked for again.
    How long a round takes comes on top."""
    found = rounds(interval_ms, until_ms=4 * interval_ms + 3 * 500 - 1, work_ms=500)
    assert found == [interval_ms * count + 500 * (count - 1) for count in (1, 2, 3)]


@pytest.mark.parametrize(
    ("interval_ms", "changes", "earliest_ms", "latest_ms"),
    [
        pytest.param(DAY, ((CHANGE, MINUTE),), MINUTE, MINUTE, id="shortened"),
        pytest.param(
            DAY, ((CHANGE, 1_000),), CHANGE, CHANGE + ASK_AGAIN_MS, id="shortened, and over already"
        ),
        pytest.param(MINUTE, ((CHANGE, HOUR),), HOUR, HOUR, id="lengthened"),
        pytest.param(8_000, ((7_999, 9_000),), 9_000, 9_000, id="lengthened in the last moment"),
        pytest.param(
            MINUTE, ((CHANGE, 0), (CHANGE + 20_000, MINUTE)), MINUTE, MINUTE, id="off and on"
        ),
        pytest.param(
            MINUTE,
            ((CHANGE, 0), (HOUR + 1, MINUTE)),
            HOUR + 1,
            HOUR + 1 + ASK_AGAIN_MS,
            id="off for long, and on",
        ),
        pytest.param(
            0, ((HOUR + 1, MINUTE),), HOUR + 1, HOUR + 1 + ASK_AGAIN_MS, id="off at first, then on"
        ),
    ],
)
def test_a_change_is_heard_while_a_round_is_waited_for(
    interval_ms: int, changes: Changes, earliest_ms: int, latest_ms: int
) -> None:
    """It counts for the round that is waited for, as if it had been so from the start; it is heard
    of within ASK_AGAIN_MS. The rounds after it keep to the new interval."""
    after_ms = changes[-1][1]
    first, second, *_ = rounds(interval_ms, *changes, until_ms=latest_ms + 2 * after_ms)
    assert earliest_ms <= first <= latest_ms
    assert second == first + after_ms


@pytest.mark.parametrize("first_within_ms", [math.inf, MINUTE])
@pytest.mark.parametrize("changes", [(), ((CHANGE, 0),)], ids=["from the start", "while waiting"])
def test_none_come_while_they_are_switched_off(changes: Changes, first_within_ms: float) -> None:
    """Not the first one either, however soon it was to come."""
    interval_ms = MINUTE if changes else 0
    assert not rounds(interval_ms, *changes, until_ms=2 * HOUR, first_within_ms=first_within_ms)


def test_only_the_first_one_comes_sooner() -> None:
    """Those after it come at the interval."""
    found = rounds(6 * HOUR, until_ms=13 * HOUR, first_within_ms=10 * MINUTE)
    assert found == [10 * MINUTE, 10 * MINUTE + 6 * HOUR, 10 * MINUTE + 12 * HOUR]


def test_the_first_one_comes_no_later_than_the_interval() -> None:
    """What is bounded is the wait; a shorter interval counts, also one that is set meanwhile."""
    assert rounds(MINUTE, until_ms=3 * MINUTE - 1, first_within_ms=HOUR) == [MINUTE, 2 * MINUTE]
    found = rounds(DAY, (CHANGE, MINUTE), until_ms=3 * MINUTE - 1, first_within_ms=HOUR)
    assert found == [MINUTE, 2 * MINUTE]


def test_the_first_one_comes_soon_after_rounds_are_switched_on() -> None:
    """Once there shall be rounds its wait is bounded as ever, and only its own."""
    on_ms = HOUR + 1
    first, second = rounds(0, (on_ms, 3 * HOUR), until_ms=6 * HOUR, first_within_ms=10 * MINUTE)
    assert on_ms <= first <= on_ms + ASK_AGAIN_MS
    assert second == first + 3 * HOUR
