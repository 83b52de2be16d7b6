"""The journal: takes frames, and makes them durable with one write per flush.

What arrives while a flush is under way goes out in the next one. The first frame that arrives
while the journal is idle wakes the flusher for the next iteration of the loop, so that everything
stepped in one iteration shares a flush.

The flusher is one task of the event loop; the thread that writes is inside the Disk port. No
caller waits in it: callers enqueue frames and hear of them through `on_durable`, so a caller that
is cancelled never touches a flush.

Invariants:
- At most one flush is in flight, and the next begins only when it is durable.
- LSNs are given in the order of the frames in the files, without gaps.
- A file is given a new life only after `release_below` named it.
- After a failed write nothing is written any more.

`frame` has the format, `file_supply` and `journal_file` the files, `scan` the way back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from replication.errors import StorageFailed, invariant
from replication.ports import Disk
from streamlog.storage.journal import journal_file
from streamlog.storage.journal.file_supply import FileSupply
from streamlog.storage.journal.frame import (
    BLOCK_BYTES,
    FRAME_HEADER_BYTES,
    MARK_FRAME_BYTES,
    FrameKind,
    Mark,
    encode_frame,
    encode_mark,
    padded,
    salt,
)
from streamlog.storage.journal.journal_file import OpenJournalFile

FLUSH_BYTES_MAX: Final = 8 << 20
"""One flush takes no more; what is left goes out in the next."""


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """Sizes of the journal."""

    file_bytes: int = 64 << 20
    """One file; a multiple of 4 KiB."""
    files_max: int = 8
    """Files on the disk, at least 3 (current, next, one that a checkpoint still needs)."""
    idle_mark_ms: float = 10.0
    """After so long without frames a MARK covers the last flush."""

    def __post_init__(self) -> None:
        invariant(self.file_bytes % BLOCK_BYTES == 0, "whole blocks", size=self.file_bytes)
        invariant(self.files_max >= 3, "at least three files", files_max=self.files_max)

    @property
    def frame_bytes_max(self) -> int:
        """Largest frame, header included, that fits into a file."""
        return self.file_bytes - BLOCK_BYTES - MARK_FRAME_BYTES


@dataclass(slots=True, eq=False)
class PendingFrame:
    """A frame on its way. `lsn` is 0 until its flush begins."""

    kind: FrameKind
    group_id: int
    content: Sequence[bytes]
    on_durable: Callable[[PendingFrame], None] | None = None
    lsn: int = 0

    @property
    def total_bytes(self) -> int:
        """Header and content."""
        return FRAME_HEADER_BYTES + sum(map(len, self.content))


@dataclass(slots=True)
class JournalCounters:
    """What the journal did since the process started."""

    flushes: int = 0
    frames: int = 0
    bytes_written: int = 0
    """Padding and marks included."""
    marks_alone: int = 0
    file_switches: int = 0
    stalls: int = 0
    """File switches that had to wait for a file."""


@dataclass(slots=True)
class _Current:
    open_file: OpenJournalFile
    salt: int
    at: int = field(default_factory=journal_file.first_frame_offset)


class Journal:
    """Appends frames to the node's journal files."""

    def __init__(
        self,
        disk: Disk,
        journal_id: int,
        settings: JournalSettings,
        *,
        on_flushed: Callable[[], None],
        on_failed: Callable[[StorageFailed], None],
    ) -> None:
        self._journal_id = journal_id
        self._settings = settings
        self._on_flushed = on_flushed
        self._on_failed = on_failed
        self.counters = JournalCounters()
        self._pending: deque[PendingFrame] = deque()
        self._pending_bytes = 0
        self._last_lsn = 0
        self._durable_lsn = 0
        self._marked_lsn = 0
        self._previous_crc = 0
        self._supply = FileSupply(
            disk,
            journal_id,
            file_bytes=settings.file_bytes,
            files_max=settings.files_max,
            on_failed=self._fail,
        )
        self._current: _Current | None = None
        self._wake = asyncio.Event()
        self._mark_due = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._enqueued_frames = 0
        self._durable_frames = 0
        self._drains: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._stopping = False
        self._failure: StorageFailed | None = None

    # Life.

    async def open(
        self, *, next_lsn: int, previous_crc32c: int, old_sequences: Sequence[int]
    ) -> int:
        """Begin a fresh file after `old_sequences`; returns its sequence, durable.

        The chain goes on from the last frame that was read (`previous_crc32c`), so that an older
        checkpoint can still be replayed across this start.
        The old files stay as they are until `release_below` names them. Nothing is flushed
        before `begin`. Raises OSError.
        """
        self._last_lsn = self._durable_lsn = self._marked_lsn = next_lsn - 1
        self._previous_crc = previous_crc32c
        first = await self._supply.open(old_sequences, next_lsn)
        self._use(first)
        return first.sequence

    def begin(self) -> None:
        """Start to flush, and to prepare the next file."""
        self._flusher = asyncio.get_running_loop().create_task(self._run(), name="journal flusher")
        self._supply.begin()

    async def stop(self) -> None:
        """Flush everything and a last MARK, then close. After a failure only close."""
        if self._flusher is not None:
            self._stopping = True
            self._wake.set()
            await self._flusher
        await self._supply.close()
        if self._current is not None:
            await self._current.open_file.file.close()
            self._current = None

    # Use.

    @property
    def last_lsn(self) -> int:
        """LSN of the last frame that was put into a flush."""
        return self._last_lsn

    @property
    def durable_lsn(self) -> int:
        """Everything up to here is on the disk."""
        return self._durable_lsn

    @property
    def pending_bytes(self) -> int:
        """Bytes of the frames that no flush has taken yet."""
        return self._pending_bytes

    @property
    def free_bytes(self) -> int:
        """Bytes that can be journalled before a file must be released."""
        current = self._current
        left = self._settings.file_bytes - current.at if current is not None else 0
        return left + self._supply.unused_count * (self._settings.file_bytes - BLOCK_BYTES)

    @property
    def live_bytes(self) -> int:
        """Bytes of the files that no checkpoint has released."""
        current = self._current
        last = current.at if current is not None else 0
        return max(0, self._supply.live_count - 1) * self._settings.file_bytes + last

    def enqueue(self, frame: PendingFrame) -> None:
        """Take a frame for the next flush. Raises StorageFailed after a failure."""
        if self._failure is not None:
            raise self._failure
        size = frame.total_bytes
        invariant(size <= self._settings.frame_bytes_max, "frame fits into a file", size=size)
        self._pending.append(frame)
        self._pending_bytes += size
        self._enqueued_frames += 1
        self._wake.set()

    async def drain(self) -> None:
        """Return when everything enqueued so far is durable. Raises StorageFailed."""
        if self._failure is not None:
            raise self._failure
        if self._durable_frames == self._enqueued_frames:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._drains.append((self._enqueued_frames, done))
        await done

    def file_holding(self, lsn: int) -> int:
        """Sequence of the file that holds (or will hold) the frame."""
        return self._supply.file_holding(lsn)

    def first_lsn_of(self, sequence: int) -> int:
        """LSN of the first frame that is or will be in a file of this process's."""
        return self._supply.first_lsn_of(sequence)

    def release_below(self, sequence: int) -> None:
        """The files below are covered by a durable checkpoint: they may be recycled."""
        self._supply.release_below(sequence)

    # Flushing.

    async def _run(self) -> None:
        try:
            while True:
                if not self._pending and not self._mark_due:
                    if self._stopping:
                        break
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                await self._flush()
            if self._marked_lsn < self._durable_lsn:
                await self._flush()
        except OSError as error:
            self._fail(error)

    async def _flush(self) -> None:
        """One flush: as many pending frames as fit, at least a MARK."""
        self._mark_due = False
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        current = await self._file_for_next_frame()
        frames, buffers, size = self._encode(current)
        at = current.at
        current.at += padded(size)
        await current.open_file.file.write_durable(at, buffers)
        self._durable_lsn = self._last_lsn
        counters = self.counters
        counters.flushes += 1
        counters.frames += len(frames)
        counters.bytes_written += padded(size)
        self._durable_frames += len(frames)
        for frame in frames:
            if frame.on_durable is not None:
                frame.on_durable(frame)
        self._on_flushed()
        self._finish_drains()
        if frames:
            self._schedule_idle_mark()
        else:
            counters.marks_alone += 1

    def _encode(self, current: _Current) -> tuple[list[PendingFrame], list[bytes], int]:
        """Take frames and lay them out; returns them, the buffers, and the bytes without padding."""
        left = self._settings.file_bytes - current.at
        size = MARK_FRAME_BYTES
        frames: list[PendingFrame] = []
        while self._pending:
            frame_bytes = self._pending[0].total_bytes
            if size + frame_bytes > (min(FLUSH_BYTES_MAX, left) if frames else left):
                break
            frames.append(self._pending.popleft())
            self._pending_bytes -= frame_bytes
            size += frame_bytes
        mark = encode_mark(Mark(self._durable_lsn, size, len(frames)))
        buffers: list[bytes] = []
        self._encode_one(current, FrameKind.MARK, 0, (mark,), buffers)
        self._marked_lsn = self._durable_lsn
        for frame in frames:
            frame.lsn = self._encode_one(
                current, frame.kind, frame.group_id, frame.content, buffers
            )
        if padded(size) > size:
            buffers.append(bytes(padded(size) - size))
        return frames, buffers, size

    def _encode_one(
        self,
        current: _Current,
        kind: FrameKind,
        group_id: int,
        content: Sequence[bytes],
        buffers: list[bytes],
    ) -> int:
        self._last_lsn += 1
        header, self._previous_crc = encode_frame(
            current.salt,
            kind,
            content,
            previous_crc32c=self._previous_crc,
            lsn=self._last_lsn,
            group_id=group_id,
        )
        buffers.append(header)
        buffers.extend(content)
        return self._last_lsn

    def _schedule_idle_mark(self) -> None:
        if not self._pending:
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self._settings.idle_mark_ms / 1000, self._idle)

    def _idle(self) -> None:
        self._idle_timer = None
        self._mark_due = True
        self._wake.set()

    def _finish_drains(self) -> None:
        while self._drains and self._drains[0][0] <= self._durable_frames:
            _, done = self._drains.popleft()
            if not done.done():
                done.set_result(None)

    def _fail(self, error: OSError) -> None:
        if self._failure is not None:
            return
        self._failure = StorageFailed("journal write", str(error))
        while self._drains:
            _, done = self._drains.popleft()
            if not done.done():
                done.set_exception(self._failure)
        self._on_failed(self._failure)

    # Files.

    async def _file_for_next_frame(self) -> _Current:
        """The current file, or the next one when the first pending frame does not fit."""
        current = self._current
        assert current is not None
        needed = MARK_FRAME_BYTES + (self._pending[0].total_bytes if self._pending else 0)
        if current.at + needed <= self._settings.file_bytes:
            return current
        following = await self._supply.next_file(self._last_lsn + 1)
        self.counters.stalls = self._supply.stalls
        self.counters.file_switches += 1
        await current.open_file.file.close()
        return self._use(following)

    def _use(self, open_file: OpenJournalFile) -> _Current:
        self._current = _Current(open_file, salt(self._journal_id, open_file.sequence))
        return self._current
