"""Counts of values by size."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from streamlog.model.histogram import LATENCY_BOUNDS_MS, Histogram

BOUNDS = st.lists(st.integers(1, 50), min_size=1, max_size=6, unique=True).map(sorted)


@given(BOUNDS, st.lists(st.integers(0, 60), max_size=40))
def test_it_counts_as_a_plain_count_does(bounds: list[int], values: list[int]) -> None:
    """Below each bound lie as many values as there are at or below it, above all of them the
    rest; the sum is the sum."""
    histogram = Histogram(bounds)
    for value in values:
        histogram.add(value)
    expected = [(float(bound), sum(value <= bound for value in values)) for bound in bounds]
    assert histogram.cumulative() == [*expected, (math.inf, len(values))]
    assert histogram.count == len(values)
    assert histogram.total == sum(values)


def test_the_bounds_of_latencies_ascend_from_a_fast_flush_to_the_longest_timeout() -> None:
    """An fsync of a fast disk and a request that times out both fall between two bounds."""
    assert list(LATENCY_BOUNDS_MS) == sorted(set(LATENCY_BOUNDS_MS))
    assert LATENCY_BOUNDS_MS[0] < 0.5
    assert LATENCY_BOUNDS_MS[-1] > 30_000
