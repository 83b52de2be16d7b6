"""How late the event loop is: what every request waits for before anything else happens.

A sleep of known length is compared with the clock. Runs only on nodes that are watched.
"""

from __future__ import annotations

import asyncio
from typing import Final

from replication.ports import Clock
from streamlog.model.histogram import Histogram

INTERVAL_MS: Final = 100.0


async def watch_loop(clock: Clock, lag_ms: Histogram) -> None:
    """Add the loop's lag to the histogram each interval, until cancelled."""
    while True:
        began_ms = clock.monotonic_ms()
        await asyncio.sleep(INTERVAL_MS / 1_000)
        lag_ms.add(max(0.0, clock.monotonic_ms() - began_ms - INTERVAL_MS))
