"""So many a second, evenly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

AHEAD_S_MAX: Final = 0.002
"""Turns that are due so soon are taken at once: the event loop sleeps no shorter than that."""
BEHIND_S_MAX: Final = 0.1
"""What was missed longer ago is not made up: a pause is no reason for a burst."""


class Pacer:
    """Gives turns at a rate.

    Invariant: in any stretch of t seconds it gives at most rate × (t + 0.102) + 1 turns.
    """

    def __init__(self, per_second: float, now: Callable[[], float]) -> None:
        """`now`: monotonic seconds."""
        self._interval_s = 1 / per_second
        self._now = now
        self._due_s = now()

    async def turn(self) -> None:
        """Wait until the next turn is due."""
        now_s = self._now()
        wait_s = self._due_s - now_s
        if wait_s > AHEAD_S_MAX:
            await asyncio.sleep(wait_s)
        elif wait_s < -BEHIND_S_MAX:
            self._due_s = now_s - BEHIND_S_MAX
        self._due_s += self._interval_s
