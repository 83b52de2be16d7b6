"""The segment log of one group: what the store builds on (`interfaces.SegmentLog`).

Puts together what the neighbours each do alone: `log_contents` (memory), `segment_reader`,
`segment_writer` (files), `segment_recovery` (opening), `time_lookup`.

Durability is the store's: it journals, and decides when the methods that write are called. It
owes this module: one waiting call at a time; `cut_files` after a truncation is durable and before
anything else is written; `apply_log_start` only after the new start is durable.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication.errors import LogCorrupt, invariant
from replication.types import EntryMeta, LogPosition, Offset, Term
from streamlog.storage.interfaces import SegmentCheckpoint, SegmentPlace
from streamlog.storage.segments.log_contents import LogContents, LogPlace
from streamlog.storage.segments.log_state import LogState, restore_log_state
from streamlog.storage.segments.retention import (
    RetentionPolicy,
    SegmentExtent,
    is_stale,
    retained_from,
)
from streamlog.storage.segments.segment_file import SegmentIdentity
from streamlog.storage.segments.segment_reader import SegmentReader
from streamlog.storage.segments.segment_recovery import recover
from streamlog.storage.segments.segment_repair import SegmentRepair
from streamlog.storage.segments.segment_resources import SegmentResources, SettingsSource
from streamlog.storage.segments.segment_writer import SegmentWriter
from streamlog.storage.segments.time_lookup import find_record, find_timestamp

EMPTY_LOG = LogPosition(Term(0), Offset(0))


class GroupSegmentLog:
    """Implements streamlog.storage.interfaces.SegmentLog on a Disk."""

    def __init__(
        self,
        contents: LogContents,
        resources: SegmentResources,
        start_state: bytes | None,
    ) -> None:
        self._contents = contents
        self._reader = SegmentReader(contents, resources)
        self._writer = SegmentWriter(contents, resources, self._reader)
        self._resources = resources
        contents.start_state = start_state
        self._wanted_start = contents.start.end

    @classmethod
    async def create(
        cls,
        resources: SegmentResources,
        directory: str,
        identity: SegmentIdentity,
        settings: SettingsSource,
        *,
        start: LogPosition = EMPTY_LOG,
        log_state: bytes | None = None,
    ) -> GroupSegmentLog:
        """An empty log in a directory of its own; whatever is there is removed before the first
        write.

        Arguments: `start` and `log_state` (a serialized LogStateSnapshot of everything below it;
        empty for a state machine's log, which begins at a snapshot and has no producers)
        for a copy that is being received.
        Raises LogCorrupt when they do not fit each other.
        """
        state = LogState()
        if log_state:
            state, end = restore_log_state(log_state, "the installed log state")
            if end != start.end or (end > 0 and state.term_of(end - 1) not in {0, start.term}):
                raise LogCorrupt(
                    identity.group_id, "the installed log state", f"ends at {end}, not at {start}"
                )
        invariant(
            start.end == 0 or log_state is not None,
            "a log that starts later knows what came before",
        )
        place = LogPlace(directory, identity, settings)
        contents = LogContents(place, resources, start, state)
        await resources.disk.make_directory(directory)
        for name in await resources.disk.list_directory(directory):
            contents.doomed[name] = None
        contents.begin_segment(start.end)
        frozen = state.freeze(start.end)
        assert frozen is not None
        if start.end > 0:
            contents.unsaved_states[start.end] = frozen
        return cls(contents, resources, frozen.serialize())

    @classmethod
    async def open(
        cls,
        resources: SegmentResources,
        directory: str,
        identity: SegmentIdentity,
        settings: SettingsSource,
        *,
        start: LogPosition,
        checkpoint: SegmentCheckpoint,
    ) -> GroupSegmentLog:
        """The log as far as the checkpoint goes; what the files hold above is ignored, may still
        be read with `read_place`, and is cut away before the first write.

        Raises LogCorrupt when what the checkpoint promises is missing or fails a check,
        UnknownVersion for files of a newer format, OSError.
        """
        place = LogPlace(directory, identity, settings)
        recovered = await recover(resources, place, start, checkpoint)
        return cls(recovered.contents, resources, recovered.start_state)

    @property
    def start(self) -> LogPosition:
        """First offset held; moves in `apply_log_start`."""
        return self._contents.start

    @property
    def end(self) -> LogPosition:
        """Exclusive end, and the last entry's term."""
        return self._contents.end

    @property
    def terms(self) -> Sequence[tuple[Term, Offset]]:
        """Each term's first offset, ascending, from the term of `start` on."""
        return [(Term(term), Offset(start)) for term, start in self._contents.state.terms]

    @property
    def state(self) -> LogState:
        """Producers and terms up to `end`: for `check_sequence`."""
        return self._contents.state

    @property
    def pending_bytes(self) -> int:
        """Appended bytes that are not written."""
        return self._contents.tail.pending_bytes

    @property
    def written_end(self) -> Offset:
        """Everything below is in the page cache of the files."""
        first = self._contents.tail.first_unwritten
        return Offset(first.base if first is not None else self._contents.active.end)

    @property
    def needs_cut(self) -> bool:
        """`cut_files` must be called before anything is written."""
        return self._writer.needs_cut

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments, what is not written included."""
        return sum(segment.size for segment in self._contents.segments)

    @property
    def segment_count(self) -> int:
        """Segment files."""
        return len(self._contents.segments)

    @property
    def segment_bases(self) -> Sequence[Offset]:
        """Where each segment begins, ascending: the log is trimmed to one of these."""
        return [Offset(segment.base) for segment in self._contents.segments]

    def term_at(self, end: Offset) -> Term | None:
        """As replication.log.ReplicaLog.term_at."""
        contents = self._contents
        if not contents.start.end <= end <= contents.active.end:
            return None
        return contents.position_at(end).term

    def append(self, frames: Sequence[bytes], entries: Sequence[EntryMeta]) -> SegmentPlace:
        """See interfaces.SegmentLog."""
        return self._contents.append(frames, entries)

    async def write_pending(self) -> None:
        """See interfaces.SegmentLog."""
        await self._writer.write_pending()

    async def write_through(self) -> None:
        """See interfaces.SegmentLog."""
        await self._writer.write_through()

    async def checkpoint(self) -> SegmentCheckpoint:
        """See interfaces.SegmentLog."""
        return await self._writer.checkpoint()

    def truncate(self, end: Offset) -> None:
        """See interfaces.SegmentLog."""
        self._contents.truncate(end)

    async def cut_files(self) -> None:
        """See interfaces.SegmentLog."""
        await self._writer.cut_files()

    def read_nowait(self, start: Offset, end: Offset, max_bytes: int) -> bytes | None:
        """See replication.log.ReplicaLog."""
        return self._reader.read_nowait(start, end, max_bytes)

    async def read(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        """See replication.log.ReplicaLog."""
        return await self._reader.read(start, end, max_bytes)

    async def read_file(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        """What the files hold, whatever memory has; see SegmentReader."""
        return await self._reader.read_file(start, end, max_bytes)

    async def read_place(self, place: SegmentPlace) -> bytes:
        """Raw bytes of a segment file, unchecked, also above the checkpoint; see SegmentReader."""
        return await self._reader.read_place(place)

    async def offset_for_timestamp(
        self, timestamp_ms: int, start: Offset
    ) -> tuple[Offset, int] | None:
        """Offset and timestamp of the first record from `start` on, where a batch begins, whose
        timestamp is at or after; None when there is none. Raises LogCorrupt."""
        return await find_timestamp(
            self._contents, self._reader, timestamp_ms, start, self._contents.active.end
        )

    async def record_at(self, offset: Offset, end: Offset) -> tuple[Offset, int] | None:
        """Offset and timestamp of the first record of [offset, end); None when there is none.
        Raises LogCorrupt."""
        return await find_record(self._contents, self._reader, offset, end)

    async def retained_from(self, policy: RetentionPolicy, now_ms: int) -> Offset:
        """The offset from which on the policy keeps the log; closes the active segment when it is
        stale, so that it can go another time. Raises LogCorrupt."""
        contents = self._contents
        extents: list[SegmentExtent] = []
        for segment in list(contents.segments):
            if segment.max_timestamp_ms is None:
                await self._reader.load_index(segment)
            latest = segment.max_timestamp_ms
            if latest is None:
                break  # cut into meanwhile; it is looked at again next time
            extents.append(SegmentExtent(segment.end, segment.size, latest, segment.created_at_ms))
        if not extents or extents[-1].end != contents.active.end:
            return contents.start.end
        settings = contents.settings
        active = contents.active
        if active.end > active.base and is_stale(
            extents[-1], policy, settings.segment_age_ms, now_ms
        ):
            contents.roll()
        return Offset(retained_from(extents, contents.start.end, policy, now_ms))

    def log_start_committed(self, start: Offset) -> None:
        """The log begins at `start` from now on; `apply_log_start` carries it out."""
        self._wanted_start = max(self._wanted_start, min(start, Offset(self._contents.active.end)))

    async def apply_log_start(self) -> None:
        """Move `start` to the last batch boundary at or below what was committed, and remove
        whole segments below it. Called only after that start is durable. Raises LogCorrupt."""
        contents = self._contents
        if self._wanted_start <= contents.start.end:
            return
        state, boundary = await self._writer.state_at(self._wanted_start)
        if boundary <= contents.start.end:
            return
        frozen = state.freeze(boundary)
        assert frozen is not None
        start_state = frozen.serialize()
        await self._writer.save_state(boundary, start_state)
        contents.start_state = start_state
        contents.start = contents.position_at(boundary)
        contents.truncations += 1
        contents.state.forget_terms_below(boundary)
        await self._writer.remove_segments(contents.drop_below(boundary))

    def log_state(self, end: Offset) -> bytes:
        """A serialized LogStateSnapshot of the prefix [0, end); `end` is `start.end`."""
        invariant(end == self.start.end, "the state is kept for the start", end=end)
        state = self._contents.start_state
        if state is None:
            raise LogCorrupt(
                self._contents.identity.group_id, f"offset {end}", "no log state of the start"
            )
        return state

    async def begin_repair(self, start: Offset) -> SegmentRepair | None:
        """To mend the segment that begins at `start`; None when there is none any more. Called while
        nothing else works on the files, also when they are to be cut."""
        contents = self._contents
        segment = contents.segment_of(start)
        if segment.base != start or segment.end == start:
            return None
        if segment is contents.active:
            contents.roll()
        if not self._writer.needs_cut:
            await self._writer.write_pending()
        if not segment.sealed or segment not in contents.segments:
            return None
        return SegmentRepair(contents, self._resources, segment)

    async def close(self) -> None:
        """Give back memory and files; nothing is written. The log can not be used afterwards."""
        contents = self._contents
        contents.closed = True
        contents.tail.clear()
        for segment in contents.segments:
            self._resources.indexes.forget(segment)
            await self._resources.files.forget(contents.path(segment.base))
