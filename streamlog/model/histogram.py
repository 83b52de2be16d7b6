"""Counts of values by size: what a node keeps of latencies and the like.

A plain object that its owner fills and a scrape reads: no lock, no clock, no library. Filling it
costs a bisection, so it is meant for things that happen once a batch, a flush or a call.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

LATENCY_BOUNDS_MS: Final = (
    *(0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0),
    *(1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0, 32_000.0),
)
"""From a fast flush to the longest timeout, each bound about twice the one before."""


class Histogram:
    """Values by upper bound.

    Invariant: `counts` has one number for each bound, and a last one for values above all bounds;
    a value equal to a bound counts for that bound.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS_MS) -> None:
        """`bounds` ascend; values have the same unit."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        """Sum of all values."""

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Values so far."""
        return sum(self.counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """(bound, values at or below it), ascending; the last bound is infinite."""
        result: list[tuple[float, int]] = []
        seen = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            result.append((bound, seen))
        return result
