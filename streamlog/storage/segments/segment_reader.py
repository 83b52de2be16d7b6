"""Reads of one log: from the tail in memory, or from segment files with every byte checked.

Bytes in the tail were checked when they were appended. What comes from a file is checked on each
read: by the CRC32C of index ranges (`segment_read`), so that 1 MiB costs some 50 microseconds
whatever the size of its batches. Nothing that fails its check leaves this module.
"""

from __future__ import annotations

import errno

from replication.errors import LogCorrupt, OffsetOutOfRange
from replication.types import GroupId, Offset
from streamlog.model.batch import BatchHeader, CorruptFrame
from streamlog.storage.damage import DamagedRange
from streamlog.storage.interfaces import SegmentPlace
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion, read_sealed
from streamlog.storage.segments.log_contents import LogContents
from streamlog.storage.segments.segment import Segment
from streamlog.storage.segments.segment_file import INDEX, TIME_INDEX, check_place
from streamlog.storage.segments.segment_index import (
    INDEX_VERSION,
    OFFSET_INDEX_MAGIC,
    TIME_INDEX_MAGIC,
    SegmentIndex,
    decode_index,
)
from streamlog.storage.segments.segment_read import ReadPlan, extract, plan_read
from streamlog.storage.segments.segment_resources import SegmentResources
from streamlog.storage.segments.segment_scan import scan_segment

_LOST_ERRNOS = frozenset((errno.EIO, errno.ENOENT))


class SegmentReader:
    """Reads of one log."""

    def __init__(self, contents: LogContents, resources: SegmentResources) -> None:
        self._contents = contents
        self._resources = resources

    def read_nowait(self, start: int, end: int, max_bytes: int) -> bytes | None:
        """As replication.log.ReplicaLog.read_nowait."""
        end = self._check_range(start, end)
        if start >= end:
            return b""
        found = self._from_tail(start, end, max_bytes)
        if found is not None:
            return found
        segment = self._contents.segment_of(start)
        file = self._resources.files.peek(self._contents.path(segment.base))
        if segment.index is None or file is None:
            return None
        plan = self._plan(segment, start, end, max_bytes)
        data = file.read_nowait(plan.position, plan.length)
        if data is None:
            return None
        self._resources.indexes.touch(segment)
        return self._extract(segment, plan, data, start, end, max_bytes)

    async def read(
        self, start: int, end: int, max_bytes: int, *, below_start: bool = False
    ) -> bytes:
        """As read_nowait, waiting for the disk; `below_start`: as far as the segments reach."""
        contents = self._contents
        while True:
            limited = self._check_range(start, end, below_start=below_start)
            if start >= limited:
                return b""
            found = self._from_tail(start, limited, max_bytes)
            if found is not None:
                return found
            segment = contents.segment_of(start)
            if segment.index is None:
                await self.load_index(segment)
                continue
            moment = contents.truncations
            plan = self._plan(segment, start, limited, max_bytes)
            self._resources.indexes.touch(segment)
            data = await self._read_planned(segment, plan, moment)
            if data is not None and contents.truncations == moment:
                return self._extract(segment, plan, data, start, limited, max_bytes)

    async def read_file(self, start: int, end: int, max_bytes: int) -> bytes:
        """As `read`, but from the files even where memory has the frames, and only as far as they
        were written: empty at the end of that. For scrubbing."""
        contents = self._contents
        while True:
            unwritten = contents.tail.first_unwritten
            limit = self._check_range(start, end)
            limit = limit if unwritten is None else min(limit, unwritten.base)
            if start >= limit:
                return b""
            segment = contents.segment_of(start)
            if segment.index is None:
                await self.load_index(segment)
                continue
            moment = contents.truncations
            readable_to = segment.size
            if unwritten is not None and unwritten.segment_base == segment.base:
                readable_to = unwritten.position
            plan = plan_read(segment.index, start, limit, max_bytes, readable_to)
            data = await self._read_planned(segment, plan, moment)
            if data is not None and contents.truncations == moment:
                return self._extract(segment, plan, data, start, limit, max_bytes)

    async def read_place(self, place: SegmentPlace) -> bytes:
        """Raw bytes of a segment file, unchecked, also above what this log knows.

        For references in the journal, which carry a CRC of their own. Fewer bytes when the file
        is shorter or missing.
        """
        try:
            async with self._resources.files.use(self._contents.path(place.segment_base)) as file:
                return await file.read(place.position, place.length)
        except FileNotFoundError:
            return b""

    async def load_index(self, segment: Segment) -> None:
        """Bring a segment's index into memory: from its files, or from the segment itself.

        Raises LogCorrupt.
        """
        contents = self._contents
        moment = contents.truncations
        index = await self._load_saved(segment) if segment.index_saved else None
        saved = index is not None
        if index is None:
            index = await self._rebuild(segment)
        if contents.truncations != moment or segment.index is not None or index is None:
            return
        segment.index = index
        segment.index_saved = saved
        if not segment.exact:
            segment.size = index.positions[-1]
            segment.exact = True
            if segment.file_extent > segment.size:
                segment.cut_to = segment.size
        self._resources.indexes.touch(segment)

    async def _read_planned(self, segment: Segment, plan: ReadPlan, moment: int) -> bytes | None:
        """Unchecked bytes of the file; None when the log was cut meanwhile. Raises LogCorrupt when
        the file or its content is gone."""
        path = self._contents.path(segment.base)
        try:
            async with self._resources.files.use(path) as file:
                return await file.read(plan.position, plan.length)
        except OSError as error:
            if self._contents.truncations != moment:
                return None
            if error.errno in _LOST_ERRNOS:
                raise self._damaged(segment, path, str(error)) from error
            raise

    def _check_range(self, start: int, end: int, *, below_start: bool = False) -> int:
        contents = self._contents
        log_end = contents.active.end
        first = contents.segments[0].base if below_start else contents.start.end
        if not first <= start <= log_end:
            raise OffsetOutOfRange(Offset(start), contents.start.end, Offset(log_end))
        return min(end, log_end)

    def _from_tail(self, start: int, end: int, max_bytes: int) -> bytes | None:
        tail = self._contents.tail
        first = tail.first
        if first is None or start < first.base:
            return None
        frames = tail.collect(start, end, max_bytes)
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def _plan(self, segment: Segment, start: int, end: int, max_bytes: int) -> ReadPlan:
        readable_to = segment.size
        first = self._contents.tail.first
        if first is not None and first.segment_base == segment.base:
            readable_to = first.position
        assert segment.index is not None
        return plan_read(segment.index, start, end, max_bytes, readable_to)

    def _extract(
        self, segment: Segment, plan: ReadPlan, data: bytes, start: int, end: int, max_bytes: int
    ) -> bytes:
        try:
            return extract(plan, data, start, end, max_bytes, self._check_place)
        except CorruptFrame as error:
            where = f"{self._contents.path(segment.base)} byte {plan.position + error.position}"
            raise self._damaged(segment, where, error.detail) from error

    def _check_place(self, header: BatchHeader, base: int, position: int) -> None:
        contents = self._contents
        check_place(header, contents.identity, base, position)
        contents.check_term(header, position)

    def _damaged(self, segment: Segment, where: str, detail: str) -> LogCorrupt:
        """The error of a read; the segment is reported, to be mended, unless the log was closed
        meanwhile: it was deleted, or a copy took its place."""
        group_id = GroupId(self._contents.identity.group_id)
        if not self._contents.closed:
            self._resources.damage.report(
                DamagedRange(group_id, Offset(segment.base), Offset(segment.end), where, detail)
            )
        return LogCorrupt(group_id, where, detail)

    async def _load_saved(self, segment: Segment) -> SegmentIndex | None:
        contents, disk = self._contents, self._resources.disk
        path = contents.path(segment.base, INDEX)
        try:
            offsets = await read_sealed(disk, path, OFFSET_INDEX_MAGIC, INDEX_VERSION)
            times = await read_sealed(
                disk, contents.path(segment.base, TIME_INDEX), TIME_INDEX_MAGIC, INDEX_VERSION
            )
            if offsets is None or times is None:
                return None
            interval = contents.settings.index_interval_bytes
            index = decode_index(path, offsets.content, times.content, interval)
        except UnknownVersion:
            raise
        except DamagedFile:
            return None
        except OSError as error:
            if error.errno not in _LOST_ERRNOS:
                raise
            return None
        if (index.offsets[0], index.offsets[-1], index.positions[-1]) != (
            segment.base,
            segment.end,
            segment.size,
        ):
            return None
        return index

    async def _rebuild(self, segment: Segment) -> SegmentIndex | None:
        contents = self._contents
        moment = contents.truncations
        path = contents.path(segment.base)
        try:
            async with self._resources.files.use(path) as file:
                scanned = await scan_segment(
                    file,
                    contents.identity,
                    segment.base,
                    interval=contents.settings.index_interval_bytes,
                    stop_offset=segment.end,
                    visit=contents.check_term,
                )
        except UnknownVersion:
            raise
        except (DamagedFile, OSError) as error:
            if contents.truncations != moment:
                return None
            if isinstance(error, OSError) and error.errno not in _LOST_ERRNOS:
                raise
            raise self._damaged(segment, path, str(error)) from error
        scanned.index.seal(scanned.end, scanned.position)
        return scanned.index
