"""A log in memory: its segments, its tail, its state. No I/O.

What changes here is seen by readers at once; `segment_writer` carries it to the files later, and
`segment_reader` looks here first. Truncation is exact and immediate as far as the tail reaches;
deeper, the segment that was cut into is closed as it is (`exact` is False), a new one begins at
the cut, and `segment_writer.cut_files` finds out the rest from the file.

Invariants: segments are contiguous and ascend; the last is the active one; every frame that is
not in its file is in the tail; `end` is the end of the active segment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import google_crc32c

from replication.errors import invariant
from replication.types import EntryMeta, LogPosition, Offset, Term
from streamlog.model.batch import CONTROL, BatchHeader, CorruptFrame, read_header
from streamlog.storage.interfaces import SegmentCheckpoint, SegmentPlace
from streamlog.storage.segments.log_state import FrozenLogState, LogState
from streamlog.storage.segments.log_tail import LogTail, TailFrame
from streamlog.storage.segments.segment import Segment
from streamlog.storage.segments.segment_file import (
    INDEX,
    SEGMENT,
    SEGMENT_FILE_BYTES_MAX,
    SEGMENT_INFO_BYTES,
    STATE,
    TIME_INDEX,
    SegmentIdentity,
    SegmentInfo,
    file_name,
)
from streamlog.storage.segments.segment_index import SegmentIndex
from streamlog.storage.segments.segment_resources import (
    SegmentResources,
    SegmentSettings,
    SettingsSource,
)


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where a log lies, whose it is, and how it is cut into segments."""

    directory: str
    identity: SegmentIdentity
    settings: SettingsSource
    """Asked again whenever a segment may be full: topics' settings change, and a node opens its
    logs before it knows the topics."""


class LogContents:
    """One log's segments, tail and state."""

    def __init__(
        self, place: LogPlace, resources: SegmentResources, start: LogPosition, state: LogState
    ) -> None:
        self.directory = place.directory
        self.identity = place.identity
        self._settings = place.settings
        self.tail = LogTail(resources.tail_memory)
        self.state = state
        self.start = start
        self.segments: list[Segment] = []
        self.truncations = 0
        """How often the log was truncated, or lost files at its front: whoever waited looks
        again."""
        self.lowest_cut: SegmentCheckpoint | None = None
        """The lowest truncation since it was last set to None."""
        self.closed = False
        """The files may be gone, and nothing is wrong with that."""
        self.write_limit = 0
        """What begins at or above is not written by the call under way; truncations lower it."""
        self.doomed: dict[str, None] = {}
        """Names of files to remove before anything is written."""
        self.unsaved_states: dict[int, FrozenLogState] = {}
        """By end offset: to be written as `.state` files."""
        self.state_files: dict[int, None] = {}
        """End offsets of the `.state` files there are."""
        self.start_state: bytes | None = None
        """A serialized LogStateSnapshot of what lies below `start`; None: not known."""
        self._clock = resources.clock
        self._indexes = resources.indexes
        self._bases: list[int] = []

    @property
    def settings(self) -> SegmentSettings:
        """How the log is cut into segments now."""
        return self._settings()

    @property
    def active(self) -> Segment:
        """The segment that is appended to."""
        return self.segments[-1]

    @property
    def end(self) -> LogPosition:
        """Exclusive end and the last entry's term."""
        end = self.segments[-1].end
        if end <= self.start.end:
            return self.start
        return LogPosition(Term(self.state.last_term), Offset(end))

    def path(self, base: int, suffix: str = SEGMENT) -> str:
        """Path of one of the log's files."""
        return f"{self.directory}/{file_name(base, suffix)}"

    def info(self, segment: Segment) -> bytes:
        """The head of a segment's file."""
        return SegmentInfo(self.identity, segment.base, segment.created_at_ms).encode()

    def segment_of(self, offset: int) -> Segment:
        """The segment that holds `offset`, start <= offset <= end."""
        return self.segments[max(0, bisect_right(self._bases, offset) - 1)]

    def add_segment(self, segment: Segment) -> None:
        """It comes last."""
        if self.segments:
            invariant(self.active.end == segment.base, "segments are contiguous")
        self.segments.append(segment)
        self._bases.append(segment.base)

    def begin_segment(self, base: int) -> Segment:
        """Begin an empty active segment."""
        segment = Segment(base, base, 0, self._clock.wall_ms(), None)
        self._reset(segment)
        self.add_segment(segment)
        return segment

    def position_at(self, offset: int) -> LogPosition:
        """The position of an entry's boundary."""
        if offset <= self.start.end:
            return self.start
        return LogPosition(Term(self.state.term_of(offset - 1)), Offset(offset))

    def check_term(self, header: BatchHeader, position: int = 0) -> None:
        """Raise CorruptFrame, at `position`, for a frame of another term than the log has there:
        entries of one offset and term are the same, so that with this it is the one."""
        term = self.state.term_of(header.base_offset)
        if term not in {0, header.term}:
            raise CorruptFrame(position, f"is of term {header.term}, not {term}")

    def place_of_end(self) -> SegmentCheckpoint:
        """What a checkpoint may report once all that is in memory is durable."""
        active = self.active
        has_file = active.end > active.base or active.file_extent > 0
        return SegmentCheckpoint(self.end, Offset(active.base), active.size if has_file else 0)

    def append(self, frames: Sequence[bytes], entries: Sequence[EntryMeta]) -> SegmentPlace:
        """Take frames at the end; all go to one segment.

        An entry that moves the log's start begins a segment, so that the files of what is let go
        can go, on every replica alike.
        """
        total = sum(map(len, frames))
        moves_start = any(entry.log_start is not None for entry in entries)
        if self._must_roll(total, moves_start):
            self.roll()
        active = self.segments[-1]
        index = active.index
        assert index is not None
        begin = position = active.size
        invariant(position + total <= SEGMENT_FILE_BYTES_MAX, "a segment stays below 2 GiB")
        for frame, entry in zip(frames, entries, strict=True):
            header = read_header(frame)
            end = header.end_offset
            invariant(
                header.base_offset == active.end == entry.base
                and end == entry.end
                and header.frame_bytes == len(frame),
                "appended frames connect to the end and are what their metas say",
                base=header.base_offset,
                end=active.end,
                entry=entry,
            )
            control = header.format_and_flags & CONTROL
            crc_before, time_before = index.open_crc, index.max_timestamp_ms
            undo = self.state.apply(header)
            self.tail.push(
                TailFrame(
                    active.base,
                    position,
                    header.base_offset,
                    end,
                    frame,
                    crc_before,
                    time_before,
                    undo,
                )
            )
            index.append(
                header.base_offset, position, frame, None if control else header.max_timestamp_ms
            )
            position += len(frame)
            active.end, active.size = end, position
        return SegmentPlace(Offset(active.base), begin, total)

    def truncate(self, end: int) -> None:
        """Forget [end, ...)."""
        invariant(
            self.start.end <= end <= self.active.end,
            "a log is truncated between its start and its end",
            start=self.start.end,
            end=self.active.end,
            to=end,
        )
        if end == self.active.end:
            return
        self.truncations += 1
        self.write_limit = min(self.write_limit, end)
        removed = self.tail.pop_from(end)
        for frame in removed:
            self.state.undo(frame.undo)
        exact = bool(removed) and removed[-1].base == end
        if not exact:
            self.state.forget()
        self.state.truncate_terms(end)
        for state_end in [e for e in (*self.unsaved_states, *self.state_files) if e > end]:
            self.unsaved_states.pop(state_end, None)
            self.state_files.pop(state_end, None)
            self.doomed[file_name(state_end, STATE)] = None
        while self.active.base > end:
            self._doom(self.segments.pop())
            self._bases.pop()
        cut = self.active
        if cut.base == end:
            self._doom_index(cut)
            self._reset(cut)
        elif exact and cut.index is not None:
            first = removed[-1]
            self._doom_index(cut)
            cut.index.undo(first.position, first.open_crc_before, first.max_timestamp_before)
            cut.end, cut.size, cut.sealed = end, first.position, False
        else:
            self._close_inexact(cut, end)
        if cut.exact and cut.file_extent > cut.size:
            cut.cut_to = cut.size if cut.cut_to is None else min(cut.cut_to, cut.size)
        self._note_cut(cut, end)

    def drop_below(self, offset: int) -> list[Segment]:
        """Remove segments that end at or below `offset` from the front; the active one stays."""
        count = 0
        while count < len(self.segments) - 1 and self.segments[count].end <= offset:
            count += 1
        dropped = self.segments[:count]
        for segment in dropped:
            self._indexes.forget(segment)
        del self.segments[:count], self._bases[:count]
        return dropped

    def _must_roll(self, size: int, moves_start: bool) -> bool:
        active = self.active
        if active.end == active.base:
            return False
        if moves_start:
            return True
        settings = self._settings()
        if active.size + size > settings.segment_bytes:
            return True
        return self._clock.wall_ms() - active.created_at_ms >= settings.segment_age_ms

    def roll(self) -> None:
        """Close the active segment, which is not empty, and begin another."""
        active = self.active
        assert active.index is not None
        active.index.seal(active.end, active.size)
        active.sealed = True
        frozen = self.state.freeze(active.end)
        if frozen is not None:
            self.unsaved_states[active.end] = frozen
        self.begin_segment(active.end)

    def _reset(self, segment: Segment) -> None:
        """Make it an empty active segment; its head in the file, if there is one, stays."""
        segment.end, segment.size = segment.base, SEGMENT_INFO_BYTES
        segment.sealed, segment.exact = False, True
        segment.index = SegmentIndex(
            segment.base,
            SEGMENT_INFO_BYTES,
            google_crc32c.value(self.info(segment)),
            self.settings.index_interval_bytes,
        )

    def _close_inexact(self, segment: Segment, end: int) -> None:
        """A cut into a segment at a place that memory does not know."""
        self._doom_index(segment)
        segment.end = end
        segment.sealed, segment.exact = True, False
        segment.index = None
        segment.last_timestamp_ms = None
        self.begin_segment(end)

    def _doom(self, segment: Segment) -> None:
        self._doom_index(segment)
        if segment.file_extent:
            self.doomed[file_name(segment.base, SEGMENT)] = None

    def _doom_index(self, segment: Segment) -> None:
        self._indexes.forget(segment)
        if segment.sealed:
            self.doomed[file_name(segment.base, INDEX)] = None
            self.doomed[file_name(segment.base, TIME_INDEX)] = None
        segment.index_saved = False

    def _note_cut(self, segment: Segment, end: int) -> None:
        if segment.exact:
            place = self.place_of_end()
        else:
            place = SegmentCheckpoint(self.position_at(end), Offset(end), 0)
        if self.lowest_cut is None or place.end.end < self.lowest_cut.end.end:
            self.lowest_cut = place
