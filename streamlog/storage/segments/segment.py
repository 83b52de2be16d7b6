"""One segment of a log, as the log keeps it in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamlog.storage.segments.segment_index import NO_TIMESTAMP, SegmentIndex


@dataclass(slots=True, eq=False)
class Segment:
    """Invariants: the active segment has its index in memory; `size` and `index` of a segment
    whose `exact` is False wait for `cut_files` (a truncation fell into it, below the tail)."""

    base: int
    end: int
    """Exclusive."""
    size: int
    """Position at which the last frame ends."""
    created_at_ms: int
    index: SegmentIndex | None
    sealed: bool = False
    exact: bool = True
    index_saved: bool = False
    """The index files hold this segment's index: it may leave memory."""
    file_extent: int = 0
    """Bytes that were handed to the file; 0: there is no file yet."""
    cut_to: int | None = None
    """The file must be cut to this size before anything is written to it."""
    dirty: bool = False
    """Written since the last fsync."""
    last_timestamp_ms: int | None = field(default=None)
    """Largest timestamp of a sealed segment whose index is not in memory; None: not known."""

    @property
    def max_timestamp_ms(self) -> int | None:
        """Largest timestamp of its data batches, NO_TIMESTAMP without any; None: not known."""
        if self.index is not None:
            return self.index.max_timestamp_ms
        if self.end == self.base:
            return NO_TIMESTAMP
        return self.last_timestamp_ms
