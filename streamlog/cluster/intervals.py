"""Work in rounds, at an interval that an operator may change, or set to 0, while the node runs;
and work that is done some at a time."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

ResultT = TypeVar("ResultT")

ASK_AGAIN_MS: Final = 10_000
"""How often to ask for the interval while a round is waited for: it may be another one now."""


async def run_rounds(
    work: Callable[[], Awaitable[object]],
    interval_ms: Callable[[], int],
    *,
    first_within_ms: float = math.inf,
) -> None:
    """A round after each interval, until cancelled; 0: none now. The first one comes after an
    interval, too, or after `first_within_ms` if that is shorter."""
    longest_ms = first_within_ms

    def after_ms() -> float:
        now_ms = interval_ms()
        return min(now_ms, longest_ms) if now_ms else math.inf

    while True:
        waited_ms = 0.0
        while (left_ms := after_ms() - waited_ms) > 0:
            pause_ms = min(left_ms, ASK_AGAIN_MS)
            await asyncio.sleep(pause_ms / 1_000)
            waited_ms += pause_ms
        longest_ms = math.inf
        await work()


async def gather_bounded(
    actions: Sequence[Callable[[], Awaitable[ResultT]]], concurrent: int
) -> list[ResultT]:
    """Run all in order, at most `concurrent` at a time; results in the order they came."""
    queue = deque(actions)
    results: list[ResultT] = []

    async def work() -> None:
        while queue:
            results.append(await queue.popleft()())

    await asyncio.gather(*(work() for _ in range(min(len(queue), concurrent))))
    return results
