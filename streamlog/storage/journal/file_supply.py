"""Which journal files there are, and the next one, made before it is needed.

A file is in one of four states: *live* (it may hold frames that a checkpoint does not cover; the
last of them is written to), *free* (released, to be recycled), the *spare* (ready for use), or
being made into the spare.

Invariants:
- Live files ascend by sequence, and by their first LSN. No sequence is left out: one that is
  missing at a start was lost.
- A file becomes free only through `release_below`.
- Beyond `files_max` a file is made only when a flush waits for it. Data is refused long before
  (`Journal.free_bytes`), so what waits then are votes and their like; a full disk fails nothing.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from replication.ports import Disk
from streamlog.storage.journal import journal_file
from streamlog.storage.journal.journal_file import OpenJournalFile

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(slots=True)
class _LiveFile:
    sequence: int
    first_lsn: int
    """LSN of the first frame that is or will be in it; 0 for files of an earlier process."""


class FileSupply:
    """Keeps a journal supplied with files."""

    def __init__(
        self,
        disk: Disk,
        journal_id: int,
        *,
        file_bytes: int,
        files_max: int,
        on_failed: Callable[[OSError], None],
    ) -> None:
        """`on_failed` hears when a file can not be made for another reason than space."""
        self._disk = disk
        self._journal_id = journal_id
        self._file_bytes = file_bytes
        self._files_max = files_max
        self._on_failed = on_failed
        self._live: list[_LiveFile] = []
        self._free: list[int] = []
        self._next_sequence = 1
        self._spare: OpenJournalFile | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._running = False
        self._awaited = False
        self._failure: OSError | None = None
        self.stalls = 0
        """How often a flush waited for a file."""

    async def open(self, old_sequences: Sequence[int], next_lsn: int) -> OpenJournalFile:
        """Make the first file after those of earlier processes. Raises OSError."""
        await self._disk.make_directory(journal_file.DIRECTORY)
        await self._disk.sync_directory("")
        # Of a process that was killed, the newest name may be in the page cache only; the next one
        # must not outlive it.
        await self._disk.sync_directory(journal_file.DIRECTORY)
        self._live = [_LiveFile(sequence, 0) for sequence in old_sequences]
        self._next_sequence = max(old_sequences, default=0) + 1
        first = await self._make()
        self._live.append(_LiveFile(first.sequence, next_lsn))
        return first

    def begin(self) -> None:
        """Make spares from now on."""
        self._running = True
        self._prepare()

    async def next_file(self, next_lsn: int) -> OpenJournalFile:
        """The file for the frames from `next_lsn` on; waits for it. Raises OSError."""
        if self._spare is None:
            self.stalls += 1
            self._awaited = True
        while self._spare is None:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            self._prepare()
            await self._changed.wait()
        self._awaited = False
        following, self._spare = self._spare, None
        self._live.append(_LiveFile(following.sequence, next_lsn))
        self._prepare()
        return following

    async def close(self) -> None:
        """Make no more; close the spare. Raises OSError."""
        self._running = False
        if self._preparing is not None:
            await asyncio.wait([self._preparing])
        if self._spare is not None:
            await self._spare.file.close()
            self._spare = None

    @property
    def live_count(self) -> int:
        """Files that no checkpoint has released."""
        return len(self._live)

    @property
    def unused_count(self) -> int:
        """Files that may still be taken into use before one is released."""
        return max(0, self._files_max - len(self._live))

    def file_holding(self, lsn: int) -> int:
        """Sequence of the file that holds (or will hold) the frame."""
        found = self._live[0].sequence
        for live in self._live:
            if live.first_lsn <= lsn:
                found = live.sequence
        return found

    def first_lsn_of(self, sequence: int) -> int:
        """LSN of the first frame that is or will be in a live file of this process."""
        return next(live.first_lsn for live in self._live if live.sequence == sequence)

    def release_below(self, sequence: int) -> None:
        """The files below may be recycled; the one that is written to stays."""
        while len(self._live) > 1 and self._live[0].sequence < sequence:
            self._free.append(self._live.pop(0).sequence)
        self._prepare()

    def _prepare(self) -> None:
        """Begin to make the spare, unless it is there, being made, or not to be made now."""
        if self._spare is not None or not self._running or self._failure is not None:
            return
        if self._preparing is not None and not self._preparing.done():
            return
        if not self._free and not self.unused_count and not self._awaited:
            return
        loop = asyncio.get_running_loop()
        self._preparing = loop.create_task(self._make_spare(), name="journal next file")

    async def _make_spare(self) -> None:
        try:
            self._spare = await self._make()
        except OSError as error:
            if error.errno in _NO_SPACE:
                return  # A flush that needs the file waits until `release_below` frees one.
            self._failure = error
            self._on_failed(error)
        self._changed.set()

    async def _make(self) -> OpenJournalFile:
        disk, journal_id, sequence = self._disk, self._journal_id, self._next_sequence
        if self._free:
            old = self._free.pop(0)
            made = await journal_file.recycle(disk, journal_id, old, sequence, self._file_bytes)
        else:
            made = await journal_file.create(disk, journal_id, sequence, self._file_bytes)
        self._next_sequence = sequence + 1
        return made
