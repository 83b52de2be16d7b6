"""Which whole segments of a log may go, by age and by size. No I/O.

A segment's age is that of its newest record, as its timestamp says, but never younger than the
moment at which the segment was closed: a timestamp in the far future keeps nothing for ever. The
segment that is written to never goes; one that grew too old without being full is closed first
(`is_stale`).

Invariant: what goes is a prefix of the log, in whole segments.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamlog.storage.segments.segment_index import NO_TIMESTAMP

UNLIMITED: Final = -1


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What a topic keeps; UNLIMITED keeps everything."""

    age_ms: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SegmentExtent:
    """One segment, as far as retention looks at it."""

    end: int
    """Exclusive end offset."""
    size_bytes: int
    max_timestamp_ms: int
    """Largest timestamp of its records, NO_TIMESTAMP without any."""
    created_at_ms: int
    """Wall clock when it was begun."""


def retained_from(
    segments: Sequence[SegmentExtent], start: int, policy: RetentionPolicy, now_ms: int
) -> int:
    """The offset from which on the log is kept; `start` when nothing may go.

    Args:
        segments: all of the log, ascending; the last is the one that is written to.
        start: first offset of the log now.
        policy: what to keep.
        now_ms: Unix milliseconds.
    """
    left_bytes = sum(segment.size_bytes for segment in segments)
    for segment, following in itertools.pairwise(segments):
        newest_ms = following.created_at_ms
        if segment.max_timestamp_ms != NO_TIMESTAMP:
            newest_ms = min(newest_ms, segment.max_timestamp_ms)
        left_bytes -= segment.size_bytes
        too_old = policy.age_ms != UNLIMITED and newest_ms < now_ms - policy.age_ms
        too_much = policy.size_bytes != UNLIMITED and left_bytes >= policy.size_bytes
        if not (too_old or too_much):
            break
        start = max(start, segment.end)
    return start


def is_stale(
    segment: SegmentExtent, policy: RetentionPolicy, segment_age_ms: int, now_ms: int
) -> bool:
    """Whether the segment that is written to should be closed although it is not full: it is older
    than the topic's segments may become, or holds only records that may go."""
    if now_ms - segment.created_at_ms >= segment_age_ms:
        return True
    if policy.age_ms == UNLIMITED or segment.max_timestamp_ms == NO_TIMESTAMP:
        return False
    newest_ms = min(segment.max_timestamp_ms, now_ms)
    return newest_ms < now_ms - policy.age_ms
