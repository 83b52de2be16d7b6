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

    Invariant: in any stretch of t seconds it gives at most rate × (t + behind_s_max + 0.002) + 1
    turns.
    """

    def __init__(
        self, per_second: float, now: Callable[[], float], *, behind_s_max: float = BEHIND_S_MAX
    ) -> None:
        """`now`: monotonic seconds. `behind_s_max`: infinite for whoever measures, and must not
        leave out those turns that came late."""
        self._interval_s = 1 / per_second
        self._now = now
        self._behind_s_max = behind_s_max
        self._due_s = now()

    async def turn(self) -> float:
        """Wait until the next turn is due; returns when it was, or now when that is earlier."""
        now_s = self._now()
        wait_s = self._due_s - now_s
        if wait_s > AHEAD_S_MAX:
            await asyncio.sleep(wait_s)
            now_s = self._now()
        elif wait_s < -self._behind_s_max:
            self._due_s = now_s - self._behind_s_max
        due_s = min(self._due_s, now_s)
        self._due_s += self._interval_s
        return due_s
