"""The files of one log: segments, their indexes, states.

A node trusts its sealed segments by name and size, and finds damage in one when somebody reads it;
here every byte is read. What a log must hold is known from the checkpoint and the journal
(`KnownLog`); without them only the files' own word can be taken, and the end of the last one is
not known.

- A segment reaches to the base of the next one, the last one to the end that is known.
- An index is what the segment's batches lead to, range by range.
- A state is what the state before it and the batches between lead to.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import google_crc32c

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.log.finding import (
    INDEX_ADVICE,
    NEWER_ADVICE,
    WHOLE_NODE_ADVICE,
    Finding,
    Verdict,
)
from streamlog.cli.log.paper_disk import PaperDisk
from streamlog.cli.log.segment_batches import (
    Batch,
    DamagedSegment,
    SegmentBatches,
    TornSegment,
)
from streamlog.storage.log_file import read_log_file
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion, read_sealed
from streamlog.storage.segments.log_state import STATE_MAGIC, LogState, restore_log_state
from streamlog.storage.segments.segment_file import (
    INDEX,
    SEGMENT,
    STATE,
    TEMPORARY,
    TIME_INDEX,
    SegmentIdentity,
    file_name,
    parse_file_name,
)
from streamlog.storage.segments.segment_index import (
    INDEX_VERSION,
    NO_TIMESTAMP,
    OFFSET_INDEX_MAGIC,
    TIME_INDEX_MAGIC,
    SegmentIndex,
    decode_index,
)

Result = TypeVar("Result")

_STATE_ADVICE: Final = "move the file away: the node makes it anew from the segments"


@dataclass(frozen=True, slots=True)
class KnownLog:
    """What the checkpoint and the journal say of a log's files."""

    identity: SegmentIdentity
    start: int
    """Offsets below are not needed."""
    end: int
    """Exclusive; the files must hold all below, and what they hold above is not believed."""
    active_base: int | None
    """Base of the segment that is not sealed; None: the last one below the end."""
    active_required: bool
    """It must be there, even without a batch."""
    advice: str
    """What to do about damage."""


class LogFiles:
    """The check of one log's directory."""

    def __init__(
        self,
        root: Path,
        directory: str,
        known: KnownLog | None,
        on_read: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`directory` is relative to the root."""
        self._directory, self._known, self._on_read = directory, known, on_read
        self._path = root / directory
        self._disk = PaperDisk(root, on_read)
        self._identity = known.identity if known is not None else None
        self._start = known.start if known is not None else 0
        self._end = known.end if known is not None else None
        self._findings: list[Finding] = []
        self._bases: dict[str, list[int]] = {SEGMENT: [], INDEX: [], TIME_INDEX: [], STATE: []}
        self._active: int | None = None
        """Base of the segment that is not sealed."""
        self._states: dict[int, bool] = {}
        """The sound ones by end; False: not what the batches lead to."""
        self._fold: LogState | None = None
        """What the batches led to so far; None where that is not known."""

    async def check(self) -> list[Finding]:
        """Everything that is there, and everything that is not."""
        for name in await self._disk.list_directory(self._directory):
            parsed = parse_file_name(name)
            if parsed is not None:
                self._bases[parsed[1]].append(parsed[0])
            elif name.endswith(f".{TEMPORARY}"):
                self._note(name, "was being written", Verdict.NORMAL)
            else:
                self._note(name, "no file of a log", Verdict.FOREIGN)
        needed = self._needed()
        if self._known is None:
            self._start = min(needed, default=0)
        await self._check_states(needed)
        self._check_beginning(needed)
        for base, following in zip(needed, [*needed[1:], self._end], strict=False):
            await self._check_segment(base, following, is_last=base == needed[-1])
        for kind in (INDEX, TIME_INDEX):
            for base in self._bases[kind]:
                if base not in needed or base == self._active:
                    self._note(file_name(base, kind), "of no sealed segment", Verdict.NORMAL)
        for end, fits in self._states.items():
            name = file_name(end, STATE)
            if fits:
                self._note(name, f"producers and terms up to offset {end}")
            else:
                self._damaged(name, "is not what the batches lead to", _STATE_ADVICE)
        return self._findings

    # Segments.

    def _needed(self) -> list[int]:
        known, bases = self._known, self._bases[SEGMENT]
        if known is None:
            if bases and bases[-1] not in self._bases[INDEX]:
                self._active = bases[-1]
            return bases
        below = [base for base in bases if base < known.end]
        self._active = known.active_base if known.active_base is not None else max(below, default=0)
        needed: list[int] = []
        for base in bases:
            if base < known.end or (known.active_required and base == known.active_base):
                needed.append(base)
            else:
                self._note(
                    file_name(base, SEGMENT),
                    f"above offset {known.end}, up to which files are believed: what counts of it "
                    "is in the journal",
                    Verdict.NORMAL,
                )
        return needed

    def _check_beginning(self, needed: list[int]) -> None:
        known = self._known
        if known is None:
            return
        first = min([*needed, known.end])
        if first > known.start:
            self._damaged(
                file_name(known.start, SEGMENT),
                f"offsets {known.start} to {first - 1} are missing: no segment holds them",
            )
        active = known.active_base
        if known.active_required and active == known.end and active not in needed:
            self._damaged(file_name(active, SEGMENT), "is missing")

    async def _check_segment(self, base: int, following: int | None, *, is_last: bool) -> None:
        name = file_name(base, SEGMENT)
        index = await self._load_index(base) if base != self._active else None
        batches = records = 0
        try:
            segment = SegmentBatches(self._path / name, self._on_read)
            self._check_identity(segment, base)
            fit = IndexFit(index, segment.head) if index is not None else None
            if base == 0:
                self._fold = LogState()
            await self._compare(base)
            for batch in segment.batches(following):
                batches += 1
                records += 0 if batch.header.control else batch.header.record_count
                self._go_on(batch)
                if batch.header.end_offset in self._states:
                    await self._compare(batch.header.end_offset)
                if fit is not None:
                    fit.take(batch)
        except (DamagedSegment, OSError) as error:
            self._fold = None
            self._tell_error(name, error, following, is_last=is_last)
            return
        if following is not None and segment.end != following:
            self._fold = None
            self._tell_gap(name, segment.end, following, is_last=is_last)
        else:
            what = (
                f"group {segment.info.identity.group_id}, from offset {base} up to {segment.end}: "
                f"batches {batches}, records {records}"
            )
            extra = segment.size - segment.position
            if following is not None and extra:
                what += f"; the {extra} bytes above are not believed and will be cut off"
                self._note(name, what, Verdict.NORMAL)
            else:
                self._note(name, what)
        if fit is not None:
            self._tell_fit(base, fit, segment)

    def _check_identity(self, segment: SegmentBatches, base: int) -> None:
        identity = segment.info.identity
        if self._identity is None:
            self._identity = identity
        if identity != self._identity:
            raise DamagedSegment(
                f"is of cluster {identity.cluster_id:032x}, group {identity.group_id}: not of "
                f"this log, group {self._identity.group_id}"
            )
        if segment.info.base_offset != base:
            raise DamagedSegment(f"begins at offset {segment.info.base_offset}")

    def _tell_error(
        self, name: str, error: DamagedSegment | OSError, following: int | None, *, is_last: bool
    ) -> None:
        what = readable(error) if isinstance(error, OSError) else str(error)
        if following is not None and following <= self._start:
            self._note(name, f"{what}; below the log's start, nothing needs it", Verdict.NORMAL)
        elif self._known is None and is_last and isinstance(error, TornSegment):
            self._note(name, f"{what}: the node cuts it off", Verdict.NORMAL)
        else:
            self._damaged(name, what)

    def _tell_gap(self, name: str, end: int, following: int, *, is_last: bool) -> None:
        if following <= self._start:
            self._note(name, "below the log's start, and not whole", Verdict.NORMAL)
            return
        if end > following:
            self._damaged(name, f"goes up to offset {end}, into the segment from {following} on")
            return
        end = max(end, self._start)
        missing = f"offsets {end} to {following - 1} are missing"
        if any(end in self._bases[kind] for kind in (INDEX, TIME_INDEX, STATE)) and not is_last:
            self._note(name, f"up to offset {end}")
            self._damaged(file_name(end, SEGMENT), f"the file is gone: {missing}")
            return
        what = "the checkpoint says" if is_last else "the next segment begins at"
        self._damaged(name, f"ends at offset {end}, {what} {following}: {missing}")

    # Indexes.

    async def _load_index(self, base: int) -> SegmentIndex | None:
        contents: list[bytes] = []
        for kind, magic in ((INDEX, OFFSET_INDEX_MAGIC), (TIME_INDEX, TIME_INDEX_MAGIC)):
            name = file_name(base, kind)
            path = self._log_path(name)
            sealed = await self._told(name, read_sealed(self._disk, path, magic, INDEX_VERSION))
            if sealed is not None:
                contents.append(sealed.content)
            elif base not in self._bases[kind]:
                self._note(name, "is missing", Verdict.REBUILT)
        if len(contents) < 2:
            return None
        name = file_name(base, INDEX)
        try:
            return decode_index(name, contents[0], contents[1], interval=0)
        except DamagedFile as error:
            self._note(name, error.detail, Verdict.REBUILT)
            return None

    def _tell_fit(self, base: int, fit: IndexFit, segment: SegmentBatches) -> None:
        name = file_name(base, INDEX)
        if fit.ends_elsewhere(segment.end, segment.size):
            self._note(name, "does not fit its segment", Verdict.REBUILT)
        elif not fit.fits(segment.end, segment.position):
            self._damaged(name, "ends as its segment does, but does not fit it", INDEX_ADVICE)
        else:
            for kind in (INDEX, TIME_INDEX):
                self._note(file_name(base, kind), "fits its segment")

    # States.

    async def _check_states(self, needed: list[int]) -> None:
        first = min(needed, default=self._start)
        for end in self._bases[STATE]:
            name = file_name(end, STATE)
            if end < first or (self._end is not None and end > self._end):
                self._note(name, "of what the files do not hold", Verdict.NORMAL)
            elif await self._load_state(end) is not None:
                self._states[end] = True

    async def _load_state(self, end: int) -> LogState | None:
        """None when it is damaged, which is told."""
        name = file_name(end, STATE)
        content = await self._told(
            name, read_log_file(self._disk, self._log_path(name), STATE_MAGIC, self._identity)
        )
        if content is None:
            return None
        try:
            state, found = restore_log_state(content, name)
        except DamagedFile as error:
            self._note(name, error.detail, Verdict.REBUILT)
            return None
        if found != end:
            self._note(name, f"ends at offset {found}", Verdict.REBUILT)
            return None
        return state

    def _go_on(self, batch: Batch) -> None:
        fold = self._fold
        if fold is not None and batch.header.term < fold.last_term:
            fold = self._fold = None
        if fold is not None:
            fold.apply(batch.header)

    async def _compare(self, end: int) -> None:
        """Go on from a state that is there, after a look at whether it is the same."""
        fold = self._fold
        saved = await self._load_state(end) if end in self._states else None
        if saved is None:
            return
        found = saved.freeze(end)
        expected = fold.freeze(end) if fold is not None else None
        if fold is not None and found is not None and expected is not None:
            self._states[end] = (
                found.producers == expected.producers
                and found.data_end == expected.data_end
                and (saved.last_term == fold.last_term or 0 in {saved.last_term, fold.last_term})
            )
        if self._states[end]:
            self._fold = saved

    # The report.

    def _log_path(self, name: str) -> str:
        return f"{self._directory}/{name}"

    async def _told(self, name: str, reading: Coroutine[Any, Any, Result]) -> Result | None:
        """What is read of the file; None when it is damaged, which is told."""
        try:
            return await reading
        except UnknownVersion as error:
            self._damaged(name, error.detail, NEWER_ADVICE)
        except DamagedFile as error:
            self._note(name, error.detail, Verdict.REBUILT)
        except OSError as error:
            self._note(name, readable(error), Verdict.REBUILT)
        return None

    def _note(self, name: str, what: str, verdict: Verdict = Verdict.OK) -> None:
        self._findings.append(Finding(self._log_path(name), what, verdict))

    def _damaged(self, name: str, what: str, advice: str | None = None) -> None:
        if advice is None:
            advice = self._known.advice if self._known is not None else WHOLE_NODE_ADVICE
        self._findings.append(Finding(self._log_path(name), what, Verdict.DAMAGED, advice))


class IndexFit:
    """Compares a saved index with the batches of its segment, one after the other.

    How long a range may be is a setting of the topic, and may have changed: the ranges are taken
    from the index, and what it says of each is checked.
    """

    def __init__(self, index: SegmentIndex, head: bytes) -> None:
        """`head` is the first range: the segment's SegmentInfo."""
        self._index = index
        self._next = 0
        self._crc = google_crc32c.value(head)
        self._sound = True
        self._max_timestamp_ms = NO_TIMESTAMP
        self._times: list[tuple[int, int]] = []

    def take(self, batch: Batch) -> None:
        """The next batch."""
        header, offsets = batch.header, self._index.offsets
        if self._next < len(offsets) and header.base_offset >= offsets[self._next]:
            self._close(header.base_offset, batch.position)
        self._crc = google_crc32c.extend(self._crc, batch.frame)
        if not header.control and header.max_timestamp_ms > self._max_timestamp_ms:
            self._max_timestamp_ms = header.max_timestamp_ms
            begin = offsets[self._next - 1]
            if self._times and self._times[-1][1] == begin:
                self._times.pop()
            self._times.append((header.max_timestamp_ms, begin))

    def ends_elsewhere(self, end: int, size: int) -> bool:
        """The node sees at once that it is not this segment's, and makes it anew."""
        return (self._index.offsets[-1], self._index.positions[-1]) != (end, size)

    def fits(self, end: int, position: int) -> bool:
        """After the last batch: all of it is right."""
        index = self._index
        if self._next < len(index.offsets):
            self._close(end, position)
        times = list(zip(index.timestamps, index.time_offsets, strict=True))
        return (
            self._sound
            and self._next == len(index.offsets)
            and times == self._times
            and index.max_timestamp_ms == self._max_timestamp_ms
        )

    def _close(self, offset: int, position: int) -> None:
        index, at = self._index, self._next
        if (index.offsets[at], index.positions[at], index.crcs[at]) != (
            offset,
            position,
            self._crc,
        ):
            self._sound = False
        self._next += 1
        self._crc = 0


def readable(error: OSError) -> str:
    """What the disk says of a file. Raises CommandFailed where that is no matter of the disk."""
    if error.errno in {errno.EACCES, errno.EPERM, errno.EMFILE}:
        raise CommandFailed(f"{error.filename}: {error.strerror}", EXIT_USAGE) from error
    return f"can not be read: {error.strerror}"
