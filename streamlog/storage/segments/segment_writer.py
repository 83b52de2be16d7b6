"""Carries one log's contents to its files: writes, fsyncs, checkpoints, cuts, removals.

One call at a time (the store has one task a log for them); truncations may come in between. What
one leaves of the bytes that a call set out to write is still written, at the places it always had;
what is appended after it waits for `cut_files`; what is reported durable is never above the cut.

Order that a crash may not break: cuts and removals that a truncation asks for come before newer
bytes are written (`cut_files`); a checkpoint is reported only when the files' bytes, their
directory entries, the snapshots and the indexes are durable, in that order.
"""

from __future__ import annotations

from typing import Final

from replication.errors import LogCorrupt, OffsetOutOfRange, invariant
from streamlog.model.batch import iterate_frames
from streamlog.storage.interfaces import SegmentCheckpoint
from streamlog.storage.log_file import read_log_file, write_log_file
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion, write_sealed
from streamlog.storage.segments.log_contents import LogContents
from streamlog.storage.segments.log_state import (
    STATE_MAGIC,
    LogState,
    restore_log_state,
    thaw,
)
from streamlog.storage.segments.log_tail import TailFrame
from streamlog.storage.segments.segment import Segment
from streamlog.storage.segments.segment_file import (
    INDEX,
    SEGMENT,
    SEGMENT_INFO_BYTES,
    STATE,
    TIME_INDEX,
    file_name,
    parse_file_name,
)
from streamlog.storage.segments.segment_index import (
    INDEX_VERSION,
    OFFSET_INDEX_MAGIC,
    TIME_INDEX_MAGIC,
)
from streamlog.storage.segments.segment_reader import SegmentReader
from streamlog.storage.segments.segment_resources import SegmentResources

WRITE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of one write call, unless one frame is longer."""
WRITE_BUFFERS_MAX: Final = 512
"""Buffers of one write call; the system allows 1,024."""
FOLD_BYTES: Final = 1024 * 1024


class SegmentWriter:
    """The files of one log."""

    def __init__(
        self,
        contents: LogContents,
        resources: SegmentResources,
        reader: SegmentReader,
    ) -> None:
        self._contents = contents
        self._resources = resources
        self._reader = reader
        self._cut_at_will = True
        """What must be cut is what was there before: no truncation has to be waited for."""
        self._directory_dirty = False
        self._dirty: dict[int, Segment] = {}
        """Segments that were written since their last fsync, by base."""

    @property
    def needs_cut(self) -> bool:
        """`cut_files` has something to do."""
        contents = self._contents
        return (
            bool(contents.doomed)
            or not contents.state.exact
            or any(s.cut_to is not None or not s.exact for s in contents.segments)
        )

    async def write_pending(self) -> None:
        """Write what is pending at the call, in order, as far as no truncation takes it away."""
        contents = self._contents
        contents.write_limit = contents.active.end
        if self.needs_cut:
            invariant(self._cut_at_will, "files are cut before they are written again")
            await self.cut_files()
        while run := contents.tail.next_run(
            contents.write_limit, WRITE_BYTES_MAX, WRITE_BUFFERS_MAX
        ):
            await self._write_run(run)
            contents.tail.mark_written([frame for frame in run if frame.alive])

    async def write_through(self) -> None:
        """As write_pending, then fsync what was written, new directory entries included."""
        await self.write_pending()
        await self._sync()

    async def checkpoint(self) -> SegmentCheckpoint:
        """Make durable all that is in memory at the call.

        The end that is reported is the log's at the call, or that of the lowest truncation which
        came in between, if that is below.
        """
        contents = self._contents
        contents.lowest_cut = None
        target = contents.place_of_end()
        await self.write_pending()
        await self._sync()
        await self._save_sealed()
        cut = contents.lowest_cut
        return cut if cut is not None and cut.end.end < target.end.end else target

    async def cut_files(self) -> None:
        """Remove and cut what a truncation left over, and find out what memory did not know.

        Does what was asked for before the call. Another truncation that comes in between may not
        be durable yet: nothing is cut for it before `cut_files` is called again.
        """
        contents = self._contents
        self._cut_at_will = False
        moment = contents.truncations
        cuts = [(s, s.cut_to) for s in contents.segments if s.cut_to is not None]
        inexact = [s for s in contents.segments if not s.exact]
        for name in list(contents.doomed):
            await self._remove(name)
        for segment, size in cuts:
            await self._cut(segment, size)
        for segment in inexact:
            await self._find_cut(segment, moment)
        if not contents.state.exact:
            await self._rebuild_state(moment)

    async def _find_cut(self, segment: Segment, moment: int) -> None:
        """Cut a segment at a place that only its file tells."""
        contents = self._contents
        while contents.truncations == moment and not segment.exact:
            await self._reader.load_index(segment)
        if contents.truncations == moment and segment.cut_to is not None:
            await self._cut(segment, segment.cut_to)

    async def save_state(self, end: int, snapshot: bytes) -> None:
        """Durably write a `.state` file."""
        path = self._contents.path(end, STATE)
        identity = self._contents.identity
        await write_log_file(self._resources.disk, path, STATE_MAGIC, identity, snapshot)
        self._contents.state_files[end] = None

    async def load_state(self, end: int) -> tuple[LogState, int] | None:
        """State and end offset of a saved or unsaved snapshot; None when it is damaged."""
        frozen = self._contents.unsaved_states.get(end)
        if frozen is not None:
            return thaw(frozen), end
        path = self._contents.path(end, STATE)
        try:
            identity = self._contents.identity
            snapshot = await read_log_file(self._resources.disk, path, STATE_MAGIC, identity)
            if snapshot is None:
                return None
            state, found = restore_log_state(snapshot, path)
            return (state, found) if found == end else None
        except UnknownVersion:
            raise
        except DamagedFile:
            return None

    async def state_at(self, offset: int) -> tuple[LogState, int]:
        """The state of the prefix that ends at the last batch boundary at or below `offset`.

        Folds from the newest snapshot below. Raises LogCorrupt, OffsetOutOfRange.
        """
        contents = self._contents
        ends = sorted({*contents.state_files, *contents.unsaved_states}, reverse=True)
        state, end = LogState(), 0
        for candidate in ends:
            if contents.segments[0].base <= candidate <= offset:
                loaded = await self.load_state(candidate)
                if loaded is not None:
                    state, end = loaded
                    break
        if (
            end < contents.segments[0].base
            and contents.start_state
            and contents.start.end <= offset
        ):
            state, end = restore_log_state(contents.start_state, "the log state of the start")
        if end < contents.segments[0].base:
            raise LogCorrupt(
                contents.identity.group_id,
                contents.directory,
                f"no sound log state at or below offset {offset}",
            )
        while end < offset:
            frames = await self._reader.read(end, offset, FOLD_BYTES, below_start=True)
            if not frames:
                break
            for _, header in iterate_frames(frames):
                if header.end_offset > offset:
                    return state, end
                state.apply(header)
                end = header.end_offset
        return state, end

    async def remove_segments(self, dropped: list[Segment]) -> None:
        """Remove the files of segments that the log dropped at its front."""
        names = [file_name(s.base, kind) for s in dropped for kind in (SEGMENT, INDEX, TIME_INDEX)]
        first = self._contents.segments[0].base
        for end in [e for e in self._contents.state_files if e < first]:
            names.append(file_name(end, STATE))
            del self._contents.state_files[end]
        for segment in dropped:
            self._dirty.pop(segment.base, None)
        for name in names:
            await self._remove(name)

    async def _write_run(self, run: list[TailFrame]) -> None:
        contents, files = self._contents, self._resources.files
        segment = contents.segment_of(run[0].base)
        invariant(segment.base == run[0].segment_base, "a frame's segment is the one it names")
        position = run[0].position
        buffers = [frame.frame for frame in run]
        path = contents.path(segment.base)
        create = segment.file_extent == 0
        if create:
            invariant(position == SEGMENT_INFO_BYTES, "a file is written from its beginning")
            position = 0
            buffers.insert(0, contents.info(segment))
            self._directory_dirty = True
        segment.file_extent = max(segment.file_extent, position + sum(map(len, buffers)))
        self._dirty[segment.base] = segment
        async with files.use(path, create=create, write=True) as file:
            await file.write(position, buffers)

    async def _sync(self) -> None:
        for base, segment in list(self._dirty.items()):
            await self._resources.files.sync(self._contents.path(base))
            if self._dirty.get(base) is segment:
                del self._dirty[base]
        if self._directory_dirty:
            await self._resources.disk.sync_directory(self._contents.directory)
            self._directory_dirty = False

    async def _save_sealed(self) -> None:
        contents, disk = self._contents, self._resources.disk
        for end, frozen in list(contents.unsaved_states.items()):
            await self.save_state(end, frozen.serialize())
            if contents.unsaved_states.get(end) is frozen:
                del contents.unsaved_states[end]
            else:
                contents.state_files.pop(end, None)
                contents.doomed[file_name(end, STATE)] = None
        for segment in contents.segments[:-1]:
            index = segment.index
            if segment.index_saved or index is None or not segment.exact:
                continue
            first = contents.tail.first_unwritten
            if first is not None and segment.end > first.base:
                break  # Rolled meanwhile; an index leaves memory only after its segment did.
            moment = contents.truncations
            offsets, times = index.encode_offsets(), index.encode_times()
            await write_sealed(
                disk,
                contents.path(segment.base, INDEX),
                OFFSET_INDEX_MAGIC,
                INDEX_VERSION,
                offsets,
            )
            await write_sealed(
                disk,
                contents.path(segment.base, TIME_INDEX),
                TIME_INDEX_MAGIC,
                INDEX_VERSION,
                times,
            )
            if contents.truncations != moment:
                return
            segment.last_timestamp_ms = index.max_timestamp_ms
            segment.index_saved = True
            self._resources.indexes.touch(segment)

    async def _remove(self, name: str) -> None:
        path = f"{self._contents.directory}/{name}"
        await self._resources.files.forget(path)
        try:
            await self._resources.disk.remove(path)
            self._directory_dirty = True
        except FileNotFoundError:
            pass
        parsed = parse_file_name(name)
        if parsed is not None and parsed[1] == SEGMENT:
            self._dirty.pop(parsed[0], None)
        self._contents.doomed.pop(name, None)

    async def _cut(self, segment: Segment, size: int) -> None:
        path = self._contents.path(segment.base)
        async with self._resources.files.use(path, write=True) as file:
            await file.truncate(size)
        self._dirty[segment.base] = segment
        segment.file_extent = size
        if segment.cut_to == size:
            segment.cut_to = None

    async def _rebuild_state(self, moment: int) -> None:
        contents = self._contents
        if contents.truncations != moment:
            return
        first = contents.tail.first_unwritten
        try:
            end = first.base if first is not None else contents.active.end
            state, end = await self.state_at(end)
        except (OffsetOutOfRange, LogCorrupt):
            if contents.truncations != moment:
                return
            raise
        if contents.truncations != moment:
            return
        for frame in contents.tail.frames_from(end):
            for _, header in iterate_frames(frame):
                state.apply(header)
        contents.state.adopt(state)
