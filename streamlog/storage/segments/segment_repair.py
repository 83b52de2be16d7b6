"""Puts another replica's copy of a segment in the place of a damaged one.

The bytes of a committed range are the same on every replica, terms, offsets and checksums
included; so a copy is accepted only if it has exactly the offsets and the terms that this log knows
of its own range, and every frame passes its check. It is written beside the old file, fsynced, and
renamed over it: a crash leaves the one or the other.

Where a whole file is missing, the one before it seems to reach up to the one after it; its copy
then fills the gap, and is larger than what was there. Where the log was cut into the segment, and
the damaged file does not tell at which byte, the copy ends at the cut.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from replication.errors import LogCorrupt, invariant
from replication.types import EntryMeta, Offset
from streamlog.storage.segments.log_contents import LogContents
from streamlog.storage.segments.segment import Segment
from streamlog.storage.segments.segment_file import SEGMENT_FILE_BYTES_MAX, SEGMENT_INFO_BYTES
from streamlog.storage.segments.segment_resources import SegmentResources

REPAIR_SUFFIX: Final = ".tmp"
"""As all files that are not what they will be; recovery removes what a crash left of them."""

Copy = tuple[tuple[EntryMeta, ...], bytes]
"""Entries whose checksums were checked, and their frames."""
FetchCopy = Callable[[Offset, Offset], Awaitable[Copy]]
"""Some frames from the first offset on, at most up to the second; never none."""


class SegmentRepair:
    """The repair of one sealed segment, whose bytes are all in its file or lost with it.

    Whatever was copied is committed, so no truncation takes part of it away afterwards.
    """

    def __init__(
        self, contents: LogContents, resources: SegmentResources, segment: Segment
    ) -> None:
        invariant(segment.sealed, "a segment is repaired when it is complete")
        self._contents = contents
        self._resources = resources
        self._segment = segment
        self._staged = contents.path(segment.base) + REPAIR_SUFFIX
        self._size = 0

    async def stage(self, fetch: FetchCopy) -> None:
        """Write a copy beside the file. Raises LogCorrupt when it is another log's, OSError, and
        what `fetch` raises."""
        contents, segment, disk = self._contents, self._segment, self._resources.disk
        await self._remove_staged()
        file = await disk.open(self._staged, create=True)
        try:
            await file.write(0, [contents.info(segment)])
            position, at = SEGMENT_INFO_BYTES, segment.base
            while at < segment.end:
                entries, frames = await fetch(Offset(at), Offset(segment.end))
                self._check(entries, at)
                await file.write(position, [frames])
                position += len(frames)
                at = entries[-1].end
                if position > SEGMENT_FILE_BYTES_MAX:
                    raise self._foreign(f"has more than {SEGMENT_FILE_BYTES_MAX} bytes")
            if at != segment.end:
                raise self._foreign(f"ends at {at}")
            await file.sync()
            self._size = position
        finally:
            await file.close()

    async def swap(self) -> bool:
        """Put the copy in place; False when the segment left the log meanwhile. Called while
        nothing else works on the files. Raises OSError."""
        contents, resources = self._contents, self._resources
        if self._segment not in contents.segments or not self._segment.sealed:
            await self._remove_staged()
            return False
        path = contents.path(self._segment.base)
        await resources.files.forget(path)
        await resources.disk.rename(self._staged, path)
        await resources.disk.sync_directory(contents.directory)
        segment = self._segment
        segment.size = segment.file_extent = self._size
        segment.exact, segment.cut_to = True, None
        resources.indexes.forget(segment)
        segment.index, segment.index_saved = None, False  # made anew from the file when needed
        return True

    def _check(self, entries: tuple[EntryMeta, ...], at: int) -> None:
        state = self._contents.state
        if not entries or entries[0].base != at or entries[-1].end > self._segment.end:
            raise self._foreign(f"brought {len(entries)} entries for offset {at}")
        for entry in entries:
            if entry.base >= self._contents.start.end and state.term_of(entry.base) != entry.term:
                raise self._foreign(f"has term {entry.term} at offset {entry.base}")

    def _foreign(self, detail: str) -> LogCorrupt:
        segment = self._segment
        return LogCorrupt(
            self._contents.identity.group_id,
            self._staged,
            f"the copy of [{segment.base}, {segment.end}), {segment.size} bytes, {detail}",
        )

    async def _remove_staged(self) -> None:
        with suppress(FileNotFoundError):  # there was no earlier try
            await self._resources.disk.remove(self._staged)
