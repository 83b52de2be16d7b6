"""The files of the journal: their headers, their flushes, and where it ends.

What the journal leads to is worked out by the node's own recovery (`paper_start`); this module
looks at the files, and tells the end that a crash tore from damage. A flush that is not whole is
normal at the end of the journal, where nothing in it was ever reported durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamlog.cli.log.finding import (
    LOST_ADVICE,
    NEWER_ADVICE,
    NODE_ADVICE,
    Finding,
    Verdict,
)
from streamlog.cli.log.log_files import readable
from streamlog.cli.log.paper_disk import PaperDisk
from streamlog.storage.journal import journal_file
from streamlog.storage.journal.frame import (
    FORMAT_VERSION,
    FRAME_HEADER_BYTES,
    FileHeader,
    decode_file_header,
)
from streamlog.storage.journal.scan import Gap, JournalFiles, JournalScan
from streamlog.storage.recovery.recovery import Recovered
from streamlog.storage.v1 import storage_pb2

_LSN_BYTES: Final = slice(16, 24)
"""Of a frame's header."""


@dataclass(slots=True)
class _FileScan:
    """What was read of one file."""

    frames: int = 0
    last_lsn: int = 0


class JournalCheck:
    """The check of one node's journal."""

    def __init__(
        self,
        disk: PaperDisk,
        journal_id: int | None,
        checkpoints: Sequence[storage_pb2.Checkpoint],
        recovered: Recovered | None,
        *,
        running: bool,
    ) -> None:
        """`checkpoints`: the sound ones, newest first. `journal_id`: None when it is not known;
        then the files' own word is taken. `running`: the last stop was not clean."""
        self._disk, self._journal_id = disk, journal_id
        self._checkpoints, self._recovered = checkpoints, recovered
        self._running = running
        self._files = JournalFiles(disk)
        self._findings: list[Finding] = []
        self._read: dict[int, _FileScan] = {}

    async def check(self) -> list[Finding]:
        """Every file, and every one that is missing."""
        sequences = await journal_file.list_sequences(self._disk)
        for name in await self._disk.list_directory(journal_file.DIRECTORY):
            if journal_file.sequence_of(name) is None:
                unfinished = name.endswith(".journal.new")
                self._note(
                    f"{journal_file.DIRECTORY}/{name}",
                    "was being made" if unfinished else "no file of a journal",
                    Verdict.NORMAL if unfinished else Verdict.FOREIGN,
                )
        headers = {sequence: await self._header(sequence) for sequence in sequences}
        if self._journal_id is None:
            known = [header.journal_id for header in headers.values() if header is not None]
            self._journal_id = known[-1] if known else 0
        newest = self._checkpoints[0] if self._checkpoints else None
        first = newest.first_file_sequence if newest is not None else 1
        if first not in sequences and (sequences or newest is not None):
            path = journal_file.path_of(first)
            self._note(path, "is missing: recovery begins with it", Verdict.DAMAGED, NODE_ADVICE)
        begin, begin_lsn = first, newest.first_file_lsn if newest is not None else 1
        for older in self._checkpoints[1:]:
            if older.first_file_sequence in sequences:
                begin, begin_lsn = older.first_file_sequence, older.first_file_lsn
        scan = JournalScan(
            self._files, self._journal_id, [s for s in sequences if s >= begin], begin_lsn
        )
        while (flush := await scan.next_flush()) is not None:
            for frame in flush:
                read = self._read.setdefault(frame.file_sequence, _FileScan())
                read.frames += 1
                read.last_lsn = frame.header.lsn
        self._tell_gaps(scan)
        end_sequence, end = self._end_of(scan, begin)
        for sequence in sequences:
            await self._tell_file(
                sequence, headers[sequence], first=first, end_sequence=end_sequence
            )
        await self._tell_end(scan, end_sequence, end, sequences)
        return self._findings

    async def _header(self, sequence: int) -> FileHeader | None:
        try:
            return decode_file_header(await self._files.first_block(sequence))
        except OSError as error:
            self._note(
                journal_file.path_of(sequence), readable(error), Verdict.DAMAGED, NODE_ADVICE
            )
            return None

    @staticmethod
    def _end_of(scan: JournalScan, begin: int) -> tuple[int, int]:
        """File and byte behind the last whole flush."""
        if not scan.unproven:  # not one flush was read
            return begin, journal_file.first_frame_offset()
        last = scan.unproven[-1]
        return last.file_sequence, last.position + last.length

    def _tell_gaps(self, scan: JournalScan) -> None:
        """Frames that had been durable and can not be read."""
        known: dict[int, Gap] = {gap.first_lsn: gap for gap in scan.gaps}
        groups = self._recovered.groups if self._recovered is not None else ()
        if self._recovered is not None:
            known |= {gap.first_lsn: gap for gap in self._recovered.gaps}
        for gap in known.values():
            what = f"frames {gap.first_lsn} to {gap.resumed_lsn - 1} can not be read"
            if gap.position:
                what += f" (byte {gap.position})"
            lost = [
                group.replay.group_id
                for group in groups
                if group.replay.lost is not None and group.replay.covered_lsn < gap.resumed_lsn - 1
            ]
            if self._recovered is not None and not lost:
                self._note(gap.path, f"{what}; a checkpoint has what they told", Verdict.REBUILT)
            else:
                told = f": the node may have forgotten votes in {len(lost)} logs" if lost else ""
                self._note(gap.path, what + told, Verdict.DAMAGED, LOST_ADVICE)

    async def _tell_file(
        self, sequence: int, header: FileHeader | None, *, first: int, end_sequence: int
    ) -> None:
        path = journal_file.path_of(sequence)
        read = self._read.get(sequence)
        what = (
            f"frames {read.frames}, up to LSN {read.last_lsn}" if read is not None else "no frames"
        )
        wrong = await self._wrong(sequence, header)
        if header is not None and header.version > FORMAT_VERSION:
            told = f"format version {header.version}; this version knows {FORMAT_VERSION}"
            self._note(path, told, Verdict.DAMAGED, NEWER_ADVICE)
        elif wrong is None:
            self._note(path, what)
        elif sequence >= first and sequence >= end_sequence:
            self._note(path, wrong, Verdict.DAMAGED, NODE_ADVICE)
        elif sequence < first and header is not None and header.sequence != sequence:
            self._note(path, f"{wrong}: it was being used anew", Verdict.NORMAL)
        else:
            told = "all frames are whole" if sequence >= first else "a checkpoint has what it told"
            self._note(path, f"{wrong}; {told}", Verdict.REBUILT)

    async def _wrong(self, sequence: int, header: FileHeader | None) -> str | None:
        """What is wrong with a file itself."""
        if header is None:
            return "its header is damaged"
        if header.journal_id != self._journal_id:
            return "is of another data directory"
        if header.sequence != sequence:
            return f"its header is of file {header.sequence}"
        size = await self._files.size(sequence)
        if size < header.file_bytes:
            return f"has {size} bytes, its header says {header.file_bytes}"
        return None

    async def _tell_end(
        self, scan: JournalScan, end_sequence: int, end: int, sequences: Sequence[int]
    ) -> None:
        """A flush that begins where the journal ends, and is not whole."""
        following = [s for s in sequences if s > end_sequence]
        places = [(end_sequence, end)] if end_sequence in sequences else []
        places += [(sequence, journal_file.first_frame_offset()) for sequence in following]
        for sequence, position in places:
            head = await self._files.read(sequence, position, FRAME_HEADER_BYTES)
            if int.from_bytes(head[_LSN_BYTES], "little") != scan.next_lsn:
                continue  # zeros, or what an earlier life of the file left
            path = journal_file.path_of(sequence)
            what = f"the last flush, byte {position}, is not whole"
            if self._running:
                self._note(path, f"{what}: nothing in it was reported durable", Verdict.NORMAL)
            else:
                told = f"{what}; a checkpoint has all that was before the stop"
                self._note(path, told, Verdict.REBUILT)

    def _note(
        self, file: str, what: str, verdict: Verdict = Verdict.OK, next_step: str | None = None
    ) -> None:
        self._findings.append(Finding(file, what, verdict, next_step))
