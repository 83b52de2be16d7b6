"""Carries one log's contents to its files: writes, fsyncs, checkpoints, cuts, removals.

One call at a time (the store has one task a log for them); truncations may come in between, and
are looked for after each wait: what is written stops at once, what is reported durable is never
above the cut.

Order that a crash may not break: cuts and removals that a truncation asks for come before newer
bytes are written (`cut_files`); a checkpoint is reported only when the files' bytes, their
directory entries, the snapshots and the indexes are durable, in that order.
"""

from __future__ import annotations

from typing import Final

from replication.errors import LogCorrupt, OffsetOutOfRange, invariant
from streamlog.model.batch import iterate_frames
from streamlog.storage.interfaces import SegmentCheckpoint
from streamlog.storage.log_contents import LogContents
from streamlog.storage.log_state import (
    STATE_MAGIC,
    STATE_VERSION,
    LogState,
    restore_log_state,
    thaw,
)
from streamlog.storage.log_tail import TailFrame
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion, read_sealed, write_sealed
from streamlog.storage.segment import Segment
from streamlog.storage.segment_file import (
    INDEX,
    SEGMENT,
    SEGMENT_INFO_BYTES,
    STATE,
    TIME_INDEX,
    file_name,
    parse_file_name,
)
from streamlog.storage.segment_index import INDEX_VERSION, OFFSET_INDEX_MAGIC, TIME_INDEX_MAGIC
from streamlog.storage.segment_reader import SegmentReader
from streamlog.storage.segment_resources import SegmentResources

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
        *,
        leftovers: bool,
    ) -> None:
        self._contents = contents
        self._resources = resources
        self._reader = reader
        self._cut_at_will = leftovers
        """What must be cut is what recovery left over: no truncation has to be waited for."""
        self._directory_dirty = False
        self._dirty: dict[int, Segment] = {}
        """Segments that were written since their last fsync, by base."""
        self._unsaved: dict[int, Segment] = {}
        """Sealed segments whose indexes are not saved, by base."""

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
        """Write what is pending, in order; ends early when a truncation comes in between."""
        contents = self._contents
        if self.needs_cut:
            invariant(self._cut_at_will, "files are cut before they are written again")
            await self.cut_files()
            if self.needs_cut:
                return
        moment = contents.truncations
        while contents.truncations == moment:
            run = contents.tail.next_run(WRITE_BYTES_MAX, WRITE_BUFFERS_MAX)
            if not run:
                return
            await self._write_run(run)
            if contents.truncations == moment:
                contents.tail.mark_written(run)

    async def write_through(self) -> None:
        """As write_pending, then fsync what was written, new directory entries included."""
        await self.write_pending()
        await self._sync()

    async def checkpoint(self) -> SegmentCheckpoint:
        """Make durable all that is in memory now; what is reported holds in spite of any
        truncation that came in between."""
        contents = self._contents
        contents.lowest_cut = None
        await self.write_pending()
        if contents.lowest_cut is None:
            active = contents.active
            target = SegmentCheckpoint(
                contents.end,
                contents.segments[-1].base,  # type: ignore[arg-type]
                active.size if active.file_extent else 0,
            )
        else:
            target = contents.lowest_cut
        await self._sync()
        await self._save_sealed()
        cut = contents.lowest_cut
        return cut if cut is not None and cut.end.end < target.end.end else target

    async def cut_files(self) -> None:
        """Remove and cut what a truncation left over, and find out what memory did not know.

        Ends early when another truncation comes in between: that one may not be durable yet, and
        nothing is cut for it before `cut_files` is called again.
        """
        contents = self._contents
        moment = contents.truncations
        while self.needs_cut and contents.truncations == moment:
            await self._cut_next()
        if not self.needs_cut:
            self._cut_at_will = False

    async def _cut_next(self) -> None:
        """One step of `cut_files`."""
        contents = self._contents
        if contents.doomed:
            await self._remove(next(iter(contents.doomed)))
            return
        for segment in contents.segments:
            if not segment.exact:
                await self._find_cut(segment)
                return
            if segment.cut_to is not None:
                await self._cut(segment)
                return
        await self._rebuild_state()

    async def _find_cut(self, segment: Segment) -> None:
        """Find the place of a cut in the file, which first gets what it lacks below the cut."""
        contents = self._contents
        moment = contents.truncations
        if segment.cut_to is not None:
            await self._cut(segment)  # Of an earlier truncation, below what is written now.
        while contents.truncations == moment:
            run = contents.tail.next_run(WRITE_BYTES_MAX, WRITE_BUFFERS_MAX)
            if not run or run[0].segment_base > segment.base:
                await self._reader.load_index(segment)
                return
            await self._write_run(run)
            if contents.truncations == moment:
                contents.tail.mark_written(run)

    async def save_state(self, end: int, snapshot: bytes) -> None:
        """Durably write a `.state` file."""
        path = self._contents.path(end, STATE)
        await write_sealed(self._resources.disk, path, STATE_MAGIC, STATE_VERSION, snapshot)
        self._contents.state_files[end] = None

    async def load_state(self, end: int) -> tuple[LogState, int] | None:
        """State and end offset of a saved or unsaved snapshot; None when it is damaged."""
        frozen = self._contents.unsaved_states.get(end)
        if frozen is not None:
            return thaw(frozen), end
        path = self._contents.path(end, STATE)
        try:
            snapshot = await read_sealed(self._resources.disk, path, STATE_MAGIC, STATE_VERSION)
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

    async def _cut(self, segment: Segment) -> None:
        size = segment.cut_to
        assert size is not None
        path = self._contents.path(segment.base)
        async with self._resources.files.use(path, write=True) as file:
            await file.truncate(size)
        self._dirty[segment.base] = segment
        segment.file_extent = size
        if segment.cut_to == size:
            segment.cut_to = None

    async def _rebuild_state(self) -> None:
        contents = self._contents
        moment = contents.truncations
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
