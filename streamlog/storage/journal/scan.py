"""Reads the journal after a start: every whole flush in order, and what can not be read.

A flush that does not pass its checks ends the journal when nothing after it was ever reported
durable (a torn tail), and is rot when a later MARK says that it had been durable. The one case
that can not be told apart is rot in the very last flush before any MARK covered it; a MARK
follows 10 ms of idleness and a clean stop, which bounds that window.

Invariants:
- Flushes are taken whole or not at all: nothing in an unfinished flush was reported durable.
- Frames are handed out with consecutive LSNs, except across a `Gap`.

What is read here may be in the page cache only, when the process before was killed during a flush:
`unproven` names the flushes that recovery must write again before it acts on them.

`frame` has the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from replication.ports import Disk, File
from streamlog.storage.journal import journal_file
from streamlog.storage.journal.frame import (
    BLOCK_BYTES,
    FRAME_HEADER_BYTES,
    MARK_FRAME_BYTES,
    FileHeader,
    FrameHeader,
    FrameKind,
    Mark,
    decode_file_header,
    decode_frame,
    decode_mark,
    may_be_mark,
    padded,
    salt,
)

_WINDOW_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class ScannedFrame:
    """A frame and where its content lies."""

    header: FrameHeader
    content: bytes
    file_sequence: int
    content_at: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames [first_lsn, resumed_lsn) were durable and can not be read."""

    first_lsn: int
    resumed_lsn: int
    path: str
    position: int


@dataclass(frozen=True, slots=True)
class _Flush:
    mark: Mark
    mark_header: FrameHeader
    frames: tuple[ScannedFrame, ...]

    @property
    def last(self) -> FrameHeader:
        return self.frames[-1].header if self.frames else self.mark_header


@dataclass(frozen=True, slots=True)
class FlushPlace:
    """Where a flush lies."""

    file_sequence: int
    position: int
    length: int
    last_lsn: int


class JournalFiles:
    """Journal files opened for reading, one window of each kept; also for the replay."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._files: dict[int, File] = {}
        self._sizes: dict[int, int] = {}
        self._window: tuple[int, int, bytes] = (0, 0, b"")

    async def read(self, sequence: int, offset: int, length: int) -> bytes:
        """Bytes of a file; fewer at its end."""
        held, start, data = self._window
        if held != sequence or offset < start or offset + length > start + len(data):
            file = await self._open(sequence)
            data = await file.read(offset, max(length, _WINDOW_BYTES))
            start = offset
            self._window = (sequence, start, data)
        return data[offset - start : offset - start + length]

    async def first_block(self, sequence: int) -> bytes:
        """The block with a file's header, without a window of what follows."""
        file = await self._open(sequence)
        return await file.read(0, BLOCK_BYTES)

    async def size(self, sequence: int) -> int:
        """Bytes of a file."""
        await self._open(sequence)
        return self._sizes[sequence]

    async def close(self) -> None:
        """Close all."""
        for file in self._files.values():
            await file.close()
        self._files.clear()

    async def _open(self, sequence: int) -> File:
        file = self._files.get(sequence)
        if file is None:
            file = await self._disk.open(journal_file.path_of(sequence), writable=False)
            self._files[sequence] = file
            self._sizes[sequence] = await file.size()
        return file


class JournalScan:
    """Walks the flushes from the first block of the first file on."""

    def __init__(
        self, files: JournalFiles, journal_id: int, sequences: Sequence[int], first_lsn: int
    ) -> None:
        """`sequences` ascending; `first_lsn` is that of the first frame of the first file."""
        self._files = files
        self._journal_id = journal_id
        self._sequences = list(sequences)
        self._index = 0
        self._at = journal_file.first_frame_offset()
        self._expected_lsn = first_lsn
        self._previous_crc: int | None = None
        self._ended = not self._sequences
        self.gaps: list[Gap] = []
        self.unproven: list[FlushPlace] = []
        """Flushes that no later MARK covers: seen here, but maybe only in the page cache."""

    @property
    def next_lsn(self) -> int:
        """LSN after the last frame that was read."""
        return self._expected_lsn

    @property
    def last_crc32c(self) -> int:
        """Checksum of the last frame that was read; 0 when there was none."""
        return self._previous_crc or 0

    async def unread_damage(self) -> str | None:
        """After the end was reached: why it may not be the end, None when nothing says so.

        A file has its header and its size before it takes its name, and its name before the next
        one has one. Where the scan ended, and after that, damage to any of these may have taken
        flushes that nothing else tells of.
        """
        following = None
        for sequence in self._sequences[self._index :]:
            if following is not None and sequence != following:
                return f"{journal_file.path_of(following)} is missing"
            following = sequence + 1
            path = journal_file.path_of(sequence)
            header = await self.header(sequence)
            if header is None:
                return f"the header of {path} is damaged"
            size = await self._files.size(sequence)
            if size < header.file_bytes:
                return f"{path} has {size} bytes, its header says {header.file_bytes}"
        return None

    async def header(self, sequence: int) -> FileHeader | None:
        """Header of a file, None when it is damaged or of another life of the file."""
        found = decode_file_header(await self._files.first_block(sequence))
        if found is None or found.sequence != sequence or found.journal_id != self._journal_id:
            return None
        return found

    async def next_flush(self) -> Sequence[ScannedFrame] | None:
        """Frames of the next whole flush, maybe none; None at the end of the journal."""
        while not self._ended:
            flush = await self._read_flush(self._sequences[self._index], self._at)
            if flush is not None and self._connects(flush):
                self._note_unproven(flush)
                self._at += padded(flush.mark.flush_bytes)
                return self._take(flush)
            if await self._continue_in_next_file():
                continue
            await self._resume_after_gap()
        return None

    def _connects(self, flush: _Flush) -> bool:
        head = flush.mark_header
        return head.lsn == self._expected_lsn and self._previous_crc in {
            None,
            head.previous_crc32c,
        }

    def _take(self, flush: _Flush) -> Sequence[ScannedFrame]:
        self._expected_lsn = flush.last.lsn + 1
        self._previous_crc = flush.last.crc32c
        return flush.frames

    def _note_unproven(self, flush: _Flush) -> None:
        durable_lsn = flush.mark.durable_lsn
        self.unproven = [place for place in self.unproven if place.last_lsn > durable_lsn]
        self.unproven.append(
            FlushPlace(
                self._sequences[self._index],
                self._at,
                padded(flush.mark.flush_bytes),
                flush.last.lsn,
            )
        )

    async def _continue_in_next_file(self) -> bool:
        """A later file begins exactly where the last flush ended. Those between hold nothing: the
        next one is made ahead, and every start begins another."""
        first = journal_file.first_frame_offset()
        for index in range(self._index + 1, len(self._sequences)):
            flush = await self._read_flush(self._sequences[index], first)
            if flush is not None and self._connects(flush):
                self._index, self._at = index, first
                return True
        return False

    async def _resume_after_gap(self) -> None:
        """Look for a MARK that proves rot; there the scan goes on. Without one it ends."""
        lost_in, lost_at = self._sequences[self._index], self._at
        at = self._at + BLOCK_BYTES
        for index in range(self._index, len(self._sequences)):
            sequence = self._sequences[index]
            size = await self._files.size(sequence)
            while at + MARK_FRAME_BYTES <= size:
                found = await self._read_mark(sequence, at)
                if (
                    found is not None
                    and found[0].lsn > self._expected_lsn
                    and found[1].durable_lsn >= self._expected_lsn
                ):
                    self.gaps.append(
                        Gap(
                            self._expected_lsn,
                            found[0].lsn,
                            journal_file.path_of(lost_in),
                            lost_at,
                        )
                    )
                    self._index, self._at = index, at
                    self._expected_lsn, self._previous_crc = found[0].lsn, None
                    return
                at += BLOCK_BYTES
            at = journal_file.first_frame_offset()
        self._ended = True

    async def _read_mark(self, sequence: int, at: int) -> tuple[FrameHeader, Mark] | None:
        data = await self._files.read(sequence, at, MARK_FRAME_BYTES)
        if not may_be_mark(data):  # most blocks of a journal were never written
            return None
        found = decode_frame(salt(self._journal_id, sequence), data, 0, len(data))
        if found is None or found[0].kind is not FrameKind.MARK:
            return None
        mark = decode_mark(found[1])
        return None if mark is None else (found[0], mark)

    async def _read_flush(self, sequence: int, at: int) -> _Flush | None:
        """The flush at a block, None unless all of it passes."""
        found = await self._read_mark(sequence, at)
        if found is None:
            return None
        header, mark = found
        data = await self._files.read(sequence, at, mark.flush_bytes)
        if len(data) < mark.flush_bytes:
            return None
        file_salt = salt(self._journal_id, sequence)
        frames: list[ScannedFrame] = []
        previous, position = header, MARK_FRAME_BYTES
        for _ in range(mark.frame_count):
            frame = decode_frame(file_salt, data, position, mark.flush_bytes)
            if (
                frame is None
                or frame[0].lsn != previous.lsn + 1
                or frame[0].previous_crc32c != previous.crc32c
            ):
                return None
            previous, content = frame
            frames.append(
                ScannedFrame(previous, content, sequence, at + position + FRAME_HEADER_BYTES)
            )
            position += previous.total_bytes
        if position != mark.flush_bytes:
            return None
        return _Flush(mark, header, tuple(frames))
