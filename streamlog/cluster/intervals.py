"""Work in rounds, at an interval that an operator may change, or set to 0, while the node runs;
and work that is done some at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

ResultT = TypeVar("ResultT")

ASK_AGAIN_MS: Final = 10_000
"""While there shall be no rounds: how often to ask whether there shall be now."""


async def run_rounds(work: Callable[[], Awaitable[object]], interval_ms: Callable[[], int]) -> None:
    """A round after each interval, until cancelled; 0: none now."""
    while True:
        now_ms = interval_ms()
        await asyncio.sleep((now_ms or ASK_AGAIN_MS) / 1_000)
        if now_ms:
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
