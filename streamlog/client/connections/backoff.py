"""Waiting longer after each failure, with jitter, so that clients do not return in step."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from streamlog.client.transport import Environment, Random

RETRY_MS_FIRST: Final = 50
RETRY_MS_MAX: Final = 1_000
"""Pauses between the tries of one call."""


@dataclass(slots=True)
class Backoff:
    """Exponential backoff: `first_ms`, doubled at each failure up to `limit_ms`, ± 25 %."""

    first_ms: float
    limit_ms: float
    random: Random
    failures: int = 0

    def next_ms(self) -> float:
        """How long to wait after one more failure."""
        wait_ms = min(self.limit_ms, self.first_ms * float(1 << min(self.failures, 30)))
        self.failures += 1
        return wait_ms * (0.75 + self.random.random() / 2)

    def reset(self) -> None:
        """Something worked: begin again."""
        self.failures = 0


class Patience:
    """The tries of one call, until its time is over."""

    def __init__(self, environment: Environment, total_ms: float) -> None:
        self._now_ms = environment.clock.monotonic_ms
        self._deadline_ms = self._now_ms() + total_ms
        self._backoff = Backoff(RETRY_MS_FIRST, RETRY_MS_MAX, environment.random)

    @property
    def remaining_ms(self) -> float:
        """Until the time is over; 0 or less: it is."""
        return self._deadline_ms - self._now_ms()

    async def pause(self, least_ms: float = 0) -> bool:
        """Wait before the next try, for `least_ms` or longer; False, at once: the time would be
        over then."""
        wait_ms = max(self._backoff.next_ms(), least_ms)
        if wait_ms >= self.remaining_ms:
            return False
        await asyncio.sleep(wait_ms / 1_000)
        return True
