"""Latencies of any number of events, in bounded memory.

Microseconds below 1,024 are counted one by one; above, 512 buckets between any power of two and
the next, so that a percentile is wrong by less than 0.2 %. (The layout is that of HdrHistogram.)
"""

from __future__ import annotations

import math
from typing import Final

_EXACT_BITS: Final = 10
_HALF: Final = 1 << (_EXACT_BITS - 1)


class Latencies:
    """Counts latencies, and tells their percentiles.

    Invariant: `count` is the sum of all buckets, and `max_us` the largest value that was added.
    """

    def __init__(self) -> None:
        self.count = 0
        self.max_us = 0
        self._buckets: dict[int, int] = {}

    def add(self, latency_us: int) -> None:
        """One more; below 0 counts as 0."""
        latency_us = max(latency_us, 0)
        shift = max(latency_us.bit_length() - _EXACT_BITS, 0)
        bucket = shift * _HALF + (latency_us >> shift)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self.max_us = max(self.max_us, latency_us)

    def percentile_us(self, fraction: float) -> int:
        """The least latency that at least this share (above 0, up to 1) of all has not exceeded;
        0 when there are none."""
        rank = math.ceil(fraction * self.count)
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return min(_highest(bucket), self.max_us)
        return 0


def _highest(bucket: int) -> int:
    """The largest latency that falls into a bucket."""
    shift = max(bucket // _HALF - 1, 0)
    return ((bucket - shift * _HALF + 1) << shift) - 1
