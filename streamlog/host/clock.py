"""The real clock."""

from __future__ import annotations

import time


class RealClock:
    """`replication.ports.Clock` from the operating system.

    The monotonic time is the loop's: asyncio and uvloop both count CLOCK_MONOTONIC, uvloop
    rounds it to the millisecond in which the loop last woke.
    """

    def monotonic_ms(self) -> float:
        return time.monotonic() * 1000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000
