"""Bounds of one replica; everything that grows in the core is bounded by one of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RaftLimits:
    """Named bounds, the same for every replica of a node."""

    append_bytes_max: int = 1 << 20
    """Most bytes asked for in one SendEntries; a single larger entry still goes, alone."""
    inflight_bytes_max: int = 8 << 20
    """Bytes sent to one peer but not acknowledged, above which nothing more is asked for. The
    last message may overshoot by `append_bytes_max` or one entry."""
    pending_reads_max: int = 1024
    """Reads that wait for leadership to be confirmed; one more refuses the oldest."""
