"""The seam inside storage: the node's store (journal, checkpoints, recovery) above, one
partition's segment log (files, indexes, log state) below.

The store owns durability and order; the segment log owns where bytes lie in segment files. The
segment log never fsyncs on its own accord and never decides what is durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from replication.types import EntryMeta, LogPosition, Offset


@dataclass(frozen=True, slots=True)
class SegmentPlace:
    """Where a run of frames lies in a segment file."""

    segment_base: Offset
    """Base offset of the segment, which names its file."""
    position: int
    """Byte position of the first frame."""
    length: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class SegmentCheckpoint:
    """What of a segment log was durable in its files at some moment."""

    end: LogPosition
    segment_base: Offset
    position: int
    """Bytes of the last segment that hold [.., end)."""


class SegmentLog(Protocol):
    """The files of one group's log. Same half-open conventions as replication.log.ReplicaLog."""

    @property
    def start(self) -> LogPosition: ...

    @property
    def end(self) -> LogPosition: ...

    @property
    def pending_bytes(self) -> int:
        """Appended bytes that `write_pending` has not yet written."""
        ...

    @property
    def written_end(self) -> Offset:
        """Everything below is in the page cache of the files."""
        ...

    def append(self, frames: Sequence[bytes], entries: Sequence[EntryMeta]) -> SegmentPlace:
        """Take frames at the end: in memory, readable at once; indexes and log state follow.

        Rolls to a new segment first when size or age ask for it (all frames of one call go to
        one segment). No I/O.
        """
        ...

    async def write_pending(self) -> None:
        """Write what is pending to the segment files, in order. Not reentrant: the store calls
        it from one task per log."""
        ...

    async def write_through(self) -> None:
        """As write_pending, then fdatasync the segment files that were written (the direct path
        for large appends)."""
        ...

    async def checkpoint(self) -> SegmentCheckpoint:
        """Write what is pending, fsync files, new directory entries, sealed segments' indexes
        and snapshots; return what is durable now."""
        ...

    def truncate(self, end: Offset) -> None:
        """Forget [end, ...) in memory: reads and appends see it at once; log state is rebuilt
        from the newest snapshot below the cut. Files are cut by `cut_files`."""
        ...

    @property
    def needs_cut(self) -> bool:
        """`cut_files` has something to do."""
        ...

    async def cut_files(self) -> None:
        """Cut files back to what `truncate` left; called only after the truncation is durable
        in the journal, and before newer bytes are written over. Raises LogCorrupt when the files
        do not tell where, and can be called again when they are mended."""
        ...

    def read_nowait(self, start: Offset, end: Offset, max_bytes: int) -> bytes | None: ...

    async def read(self, start: Offset, end: Offset, max_bytes: int) -> bytes: ...
