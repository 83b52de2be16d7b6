"""Which segments may go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlog.storage.segments.retention import (
    UNLIMITED,
    RetentionPolicy,
    SegmentExtent,
    is_stale,
    retained_from,
)
from streamlog.storage.segments.segment_index import NO_TIMESTAMP

NOW = 1_000_000
FAR = 2**60


def log(*timestamps: int, size: int = 100) -> list[SegmentExtent]:
    """Ten offsets a segment; each is begun 1,000 ms after the one before, the last one now."""
    first = NOW - 1_000 * (len(timestamps) - 1)
    return [
        SegmentExtent(10 * (n + 1), size, stamp, first + 1_000 * n)
        for n, stamp in enumerate(timestamps)
    ]


@pytest.mark.parametrize(
    ("policy", "segments", "kept_from"),
    [
        (RetentionPolicy(UNLIMITED, UNLIMITED), log(0, 0, 0), 0),
        (RetentionPolicy(500, UNLIMITED), log(0, 0, 0), 20),
        (RetentionPolicy(500, UNLIMITED), log(0, NOW, 0), 10),
        (RetentionPolicy(UNLIMITED, 150), log(1, 2, 3), 10),
        (RetentionPolicy(UNLIMITED, 100), log(1, 2, 3), 20),
        (RetentionPolicy(UNLIMITED, 1), log(1, 2, 3), 20),
        (RetentionPolicy(UNLIMITED, 201), log(1, 2, 3), 0),
        (RetentionPolicy(500, UNLIMITED), log(NO_TIMESTAMP, NO_TIMESTAMP, 0), 10),
        (RetentionPolicy(500, UNLIMITED), log(FAR, FAR, FAR), 10),
        (RetentionPolicy(5_000, UNLIMITED), log(FAR, FAR, FAR), 0),
        (RetentionPolicy(500, 1), log(NOW, NOW, NOW), 20),
    ],
)
def test_a_prefix_of_whole_segments_goes(
    policy: RetentionPolicy, segments: list[SegmentExtent], kept_from: int
) -> None:
    """By the newest record, by size, and with timestamps in the far future by the time of
    closing; the segment that is written to stays."""
    assert retained_from(segments, 0, policy, NOW) == kept_from


@given(
    timestamps=st.lists(st.integers(-NOW, FAR), min_size=1, max_size=8),
    age_ms=st.just(UNLIMITED) | st.integers(1, NOW),
    size_bytes=st.just(UNLIMITED) | st.integers(1, 1_000),
    start=st.integers(0, 80),
)
def test_what_goes_may_go(timestamps: list[int], age_ms: int, size_bytes: int, start: int) -> None:
    """Nothing goes that is young and within the size; starts never go back nor past the last."""
    segments = log(*timestamps)
    kept_from = retained_from(segments, start, RetentionPolicy(age_ms, size_bytes), NOW)
    assert kept_from >= start
    assert kept_from == start or kept_from in {segment.end for segment in segments[:-1]}
    left = [segment for segment in segments if segment.end > kept_from]
    for segment in segments:
        if start < segment.end <= kept_from:
            old = age_ms != UNLIMITED and NOW - min(segment.max_timestamp_ms, NOW) > age_ms
            closed = age_ms != UNLIMITED and NOW - segment.created_at_ms > age_ms
            rest = sum(s.size_bytes for s in segments if s.end > segment.end)
            assert old or closed or (size_bytes != UNLIMITED and rest >= size_bytes)
    if size_bytes != UNLIMITED and len(left) > 1:
        assert sum(segment.size_bytes for segment in left[1:]) < size_bytes


@pytest.mark.parametrize(
    ("stamp", "age_ms", "segment_age_ms", "stale"),
    [
        (NOW, 500, 5_000, False),
        (NOW - 501, 500, 5_000, True),
        (NOW, UNLIMITED, 2_000, True),
        (0, UNLIMITED, 5_000, False),
        (FAR, 500, 5_000, False),
        (NO_TIMESTAMP, 500, 5_000, False),
    ],
)
def test_a_segment_that_nobody_writes_to_is_closed(
    stamp: int, age_ms: int, segment_age_ms: int, *, stale: bool
) -> None:
    """So that the last records of a quiet topic go too."""
    segment = SegmentExtent(10, 100, stamp, NOW - 2_000)
    assert is_stale(segment, RetentionPolicy(age_ms, UNLIMITED), segment_age_ms, NOW) is stale
