"""How fast this node reads its disk for replicas that come in: so that moving partitions does not
take the disk and the network from those who produce and consume.

It holds for what learners are behind, by copies of logs and by entries read from disk. Replicas
that vote are never slowed down: the group waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from replication.ports import Clock

_BURST_MS = 100.0
"""What was not used for so long is lost: there are no bursts after a pause."""


class CopyRate:
    """A pace in bytes/s that all copies of the node share.

    Invariant: over any time t, no more than `rate * (t + _BURST_MS)` and one more piece are taken.
    """

    def __init__(self, clock: Clock, bytes_per_second: Callable[[], int]) -> None:
        """`bytes_per_second` is asked for again and again; 0: no bound."""
        self._clock, self._bytes_per_second = clock, bytes_per_second
        self._free_at_ms = 0.0
        self.copied_bytes = 0
        """Since the start."""

    async def take(self, size_bytes: int) -> None:
        """Returns when so many bytes may go."""
        self.copied_bytes += size_bytes
        rate = self._bytes_per_second()
        if not rate:
            return
        now_ms = self._clock.monotonic_ms()
        due_ms = max(self._free_at_ms, now_ms - _BURST_MS)
        self._free_at_ms = due_ms + 1_000 * size_bytes / rate
        if due_ms > now_ms:
            await asyncio.sleep((due_ms - now_ms) / 1_000)
