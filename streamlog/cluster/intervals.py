"""Work in rounds, at an interval that an operator may change, or set to 0, while the node runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

ASK_AGAIN_MS: Final = 10_000
"""While there shall be no rounds: how often to ask whether there shall be now."""


async def run_rounds(work: Callable[[], Awaitable[object]], interval_ms: Callable[[], int]) -> None:
    """A round after each interval, until cancelled; 0: none now."""
    while True:
        now_ms = interval_ms()
        await asyncio.sleep((now_ms or ASK_AGAIN_MS) / 1_000)
        if now_ms:
            await work()
