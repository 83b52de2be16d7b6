"""Percentiles from buckets, beside percentiles from a sorted list."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from streamlog.cli.bench.latency import Latencies
from streamlog.cli.bench.load import VALUES_BYTES_MAX, VALUES_MAX, values_of


@given(
    values=st.lists(st.integers(0, 2_000) | st.integers(0, 2**40), min_size=1, max_size=200),
    fraction=st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]),
)
def test_percentiles(values: list[int], fraction: float) -> None:
    """Exact up to a millisecond, and never more than 0.2 % too high above it."""
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    exact = sorted(values)[math.ceil(fraction * len(values)) - 1]
    found = latencies.percentile_us(fraction)
    assert exact <= found <= exact + exact // 512
    if exact < 1_024:
        assert found == exact
    assert latencies.max_us == max(values)
    assert latencies.count == len(values)


def test_no_latencies() -> None:
    """Nothing was measured."""
    assert Latencies().percentile_us(0.99) == 0
    backwards = Latencies()
    backwards.add(-5)
    assert (backwards.percentile_us(0.5), backwards.max_us) == (0, 0)


def test_memory_is_bounded() -> None:
    """However different the latencies are."""
    latencies = Latencies()
    for value in range(0, 10**9, 10_007):
        latencies.add(value)
    assert len(latencies._buckets) < 15_000


def test_values() -> None:
    """Of the size that was asked for, different from each other, and not too many to hold."""
    for size in (1, 7, 100):
        values = values_of(size)
        assert {len(value) for value in values} == {size}
        assert len(values) == VALUES_MAX
    assert len(set(values_of(100))) == VALUES_MAX
    assert sum(map(len, values_of(1_000_000))) <= VALUES_BYTES_MAX
