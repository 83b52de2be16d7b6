"""Opens a segment log at a checkpoint.

What the checkpoint covers is durable, so a check that fails there is rot or loss: LogCorrupt,
never a cut. What lies above is ignored here and cut before the first write: the store replays it
from its journal.

The newest sound `.state` file at or below the checkpoint gives the state; only the segments from
there on are read (each frame checked), usually one. Older segments are taken by name and size;
their indexes are loaded, or rebuilt, when somebody reads them, and each read is checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication.errors import LogCorrupt
from replication.types import LogPosition, Offset
from streamlog.storage.interfaces import SegmentCheckpoint
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion
from streamlog.storage.segments.log_contents import LogContents, LogPlace
from streamlog.storage.segments.log_state import LogState
from streamlog.storage.segments.segment import Segment
from streamlog.storage.segments.segment_file import (
    INDEX,
    SEGMENT,
    SEGMENT_INFO_BYTES,
    STATE,
    TEMPORARY,
    TIME_INDEX,
    check_identity,
    decode_segment_info,
    file_name,
    parse_file_name,
)
from streamlog.storage.segments.segment_reader import SegmentReader
from streamlog.storage.segments.segment_resources import SegmentResources
from streamlog.storage.segments.segment_scan import scan_segment
from streamlog.storage.segments.segment_writer import SegmentWriter


@dataclass(frozen=True, slots=True)
class RecoveredLog:
    """A log in memory again."""

    contents: LogContents
    start_state: bytes | None
    """Serialized state of everything below the start; None when it can not be told."""


async def recover(
    resources: SegmentResources,
    place: LogPlace,
    start: LogPosition,
    checkpoint: SegmentCheckpoint,
) -> RecoveredLog:
    """As SegmentLog.open."""
    return await _Recovery(resources, place, start, checkpoint).run()


class _Recovery:
    def __init__(
        self,
        resources: SegmentResources,
        place: LogPlace,
        start: LogPosition,
        checkpoint: SegmentCheckpoint,
    ) -> None:
        self._resources = resources
        self._checkpoint = checkpoint
        self._contents = LogContents(place, resources, start, LogState())
        reader = SegmentReader(self._contents, resources)
        self._writer = SegmentWriter(self._contents, resources, reader)

    async def run(self) -> RecoveredLog:
        contents, checkpoint = self._contents, self._checkpoint
        bases = await self._sort_files()
        state, known_to = await self._newest_state(bases)
        contents.state = state
        try:
            ends = [*bases[1:], checkpoint.end.end] if bases else []
            for base, end in zip(bases, ends, strict=True):
                is_last = base == checkpoint.segment_base
                if end <= known_to and base != bases[-1]:
                    contents.add_segment(await self._sealed(base, end))
                else:
                    await self._scan(base, end, is_last=is_last, fold_from=known_to)
        except UnknownVersion:
            raise
        except (DamagedFile, FileNotFoundError) as error:
            raise self._corrupt(directory_error(error)) from error
        if not contents.segments or contents.active.sealed:
            contents.begin_segment(checkpoint.end.end)
        if contents.active.end != checkpoint.end.end or contents.end != checkpoint.end:
            raise self._corrupt(f"the log ends at {contents.end}, not at {checkpoint.end}")
        start_state = await self._start_state()
        contents.state.forget_terms_below(contents.start.end)
        return RecoveredLog(contents, start_state)

    async def _sort_files(self) -> list[int]:
        """Bases of the segments to keep; all other files are doomed."""
        contents, checkpoint = self._contents, self._checkpoint
        found: dict[str, list[int]] = {SEGMENT: [], INDEX: [], TIME_INDEX: [], STATE: []}
        for name in await self._resources.disk.list_directory(contents.directory):
            parsed = parse_file_name(name)
            if parsed is None:
                if name.endswith(f".{TEMPORARY}"):
                    contents.doomed[name] = None
                # Anything else is not ours: it is left alone.
            else:
                found[parsed[1]].append(parsed[0])
        start, last = contents.start.end, checkpoint.segment_base
        segments = [b for b in found[SEGMENT] if b < last or (b == last and checkpoint.position)]
        # What lies below the start is kept as far back as the state at the start needs it.
        known = max((end for end in found[STATE] if end <= start), default=0)
        below = [b for b in segments if b <= start]
        floor = max([b for b in below if b <= known] or below[:1], default=None)
        if floor is None and checkpoint.end.end > start:
            raise self._corrupt(f"no segment holds the start, {start}")
        if checkpoint.position and last not in segments:
            raise self._corrupt(f"segment {file_name(last, SEGMENT)} is missing")
        kept = [b for b in segments if floor is not None and b >= floor]
        first = kept[0] if kept else checkpoint.end.end
        for kind in (SEGMENT, INDEX, TIME_INDEX):
            for base in found[kind]:
                if base not in kept or (kind != SEGMENT and base == last):
                    contents.doomed[file_name(base, kind)] = None
        for end in found[STATE]:
            if first <= end <= checkpoint.end.end:
                contents.state_files[end] = None
            else:
                contents.doomed[file_name(end, STATE)] = None
        return kept

    async def _newest_state(self, bases: list[int]) -> tuple[LogState, int]:
        """The newest snapshot that is sound."""
        contents = self._contents
        for end in sorted(contents.state_files, reverse=True):
            loaded = await self._writer.load_state(end)
            if loaded is not None:
                return loaded
            del contents.state_files[end]
            contents.doomed[file_name(end, STATE)] = None
        if not bases or bases[0] == 0:
            return LogState(), 0
        raise self._corrupt("no sound log state at or below the start")

    async def _sealed(self, base: int, end: int) -> Segment:
        """A segment that is not read now: its head and its size must do."""
        contents = self._contents
        path = contents.path(base)
        async with self._resources.files.use(path) as file:
            info = decode_segment_info(path, await file.read(0, SEGMENT_INFO_BYTES))
            check_identity(path, info, contents.identity, base)
            size = await file.size()
        return Segment(
            base,
            end,
            size,
            info.created_at_ms,
            None,
            sealed=True,
            index_saved=True,
            file_extent=size,
        )

    async def _scan(self, base: int, end: int, *, is_last: bool, fold_from: int) -> None:
        contents = self._contents
        state = contents.state
        path = contents.path(base)
        stop = self._checkpoint.position if is_last else None
        async with self._resources.files.use(path) as file:
            scanned = await scan_segment(
                file,
                contents.identity,
                base,
                interval=contents.settings.index_interval_bytes,
                stop_offset=end,
                stop_position=stop,
                visit=lambda header: (
                    state.apply(header)
                    if header.base_offset >= fold_from
                    else contents.check_term(header)
                ),
            )
            size = await file.size()
        segment = Segment(
            base,
            scanned.end,
            scanned.position,
            scanned.info.created_at_ms,
            scanned.index,
            file_extent=size,
        )
        if not is_last:
            scanned.index.seal(scanned.end, scanned.position)
            segment.sealed = True
        if size > segment.size:
            segment.cut_to = segment.size
        contents.add_segment(segment)

    async def _start_state(self) -> bytes | None:
        """State of the prefix below the start; the start moves to its batch's boundary."""
        contents = self._contents
        wanted = contents.start.end
        if wanted == 0:
            state, boundary = LogState(), 0
        else:
            first = contents.segments[0].base
            contents.start = LogPosition(contents.start.term, Offset(min(wanted, first)))
            state, boundary = await self._writer.state_at(wanted)
            term = state.term_of(boundary - 1) if boundary else 0
            contents.start = LogPosition(contents.start.term, Offset(boundary))
            if term and boundary < wanted:
                contents.start = contents.position_at(boundary)
        frozen = state.freeze(boundary)
        return frozen.serialize() if frozen is not None else None

    def _corrupt(self, detail: str) -> LogCorrupt:
        contents = self._contents
        return LogCorrupt(contents.identity.group_id, contents.directory, detail)


def directory_error(error: Exception) -> str:
    """What an error says of a log's files."""
    return f"a file is missing: {error}" if isinstance(error, FileNotFoundError) else str(error)
