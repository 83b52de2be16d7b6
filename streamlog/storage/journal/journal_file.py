"""Journal files: names, sizes, and how one comes to be.

A file is zero-filled before its first use (a write into allocated, written blocks needs no
metadata, which halves the tail latency of a flush) and recycled afterwards: its header block is
rewritten with the new sequence, durably, and then it is renamed. A crash in between leaves a file
whose name and header differ: such a file holds nothing that is needed and is recycled again.

Invariant: only a file that no kept checkpoint needs is passed to `recycle`.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from replication.ports import Disk, File
from streamlog.storage.journal.frame import BLOCK_BYTES, encode_file_header

DIRECTORY: Final = "journal"
_SUFFIX: Final = ".journal"
_UNFINISHED_SUFFIX: Final = ".new"
_ZEROS: Final = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class OpenJournalFile:
    """A file that is ready for frames from its second block on."""

    sequence: int
    file: File


def path_of(sequence: int) -> str:
    """Relative path of a journal file."""
    return f"{DIRECTORY}/{sequence:016x}{_SUFFIX}"


def sequence_of(name: str) -> int | None:
    """From a name in the directory; None for other files."""
    stem = name.removesuffix(_SUFFIX)
    if stem == name or len(stem) != 16:
        return None
    try:
        return int(stem, 16)
    except ValueError:
        return None


async def list_sequences(disk: Disk) -> Sequence[int]:
    """Of all journal files, ascending."""
    names = await disk.list_directory(DIRECTORY)
    return sorted(s for s in map(sequence_of, names) if s is not None)


async def remove_unfinished(disk: Disk) -> None:
    """Remove files whose zero-filling a crash interrupted; they never held a frame."""
    for name in await disk.list_directory(DIRECTORY):
        if name.endswith(_UNFINISHED_SUFFIX):
            await disk.remove(f"{DIRECTORY}/{name}")


async def create(disk: Disk, journal_id: int, sequence: int, file_bytes: int) -> OpenJournalFile:
    """Make a zero-filled file; durable when it returns. Raises OSError."""
    path = path_of(sequence)
    unfinished = path + _UNFINISHED_SUFFIX
    try:
        file = await disk.open(unfinished, create=True, journal=True)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        await disk.remove(unfinished)
        file = await disk.open(unfinished, create=True, journal=True)
    try:
        at = 0
        while at < file_bytes:
            step = min(len(_ZEROS), file_bytes - at)
            await file.write(at, [_ZEROS if step == len(_ZEROS) else bytes(step)])
            at += step
        await file.write(0, [encode_file_header(journal_id, sequence, file_bytes)])
        await file.sync()
    finally:
        # The descriptor keeps the old path in its errors; a fresh one is opened below.
        await file.close()
    await disk.rename(unfinished, path)
    await disk.sync_directory(DIRECTORY)
    return OpenJournalFile(sequence, await disk.open(path, journal=True))


async def recycle(
    disk: Disk, journal_id: int, old_sequence: int, sequence: int, file_bytes: int
) -> OpenJournalFile:
    """Give an old file a new life; durable when it returns. Raises OSError."""
    old_path, path = path_of(old_sequence), path_of(sequence)
    file = await disk.open(old_path, journal=True)
    try:
        size = await file.size()
        await file.write_durable(0, [encode_file_header(journal_id, sequence, file_bytes)])
        if size < file_bytes:
            # The size was configured anew, or a crash lost the growth.
            await file.write(size, [bytes(file_bytes - size)])
            await file.sync()
    finally:
        await file.close()
    await disk.rename(old_path, path)
    await disk.sync_directory(DIRECTORY)
    return OpenJournalFile(sequence, await disk.open(path, journal=True))


def first_frame_offset() -> int:
    """Where the frames of every file begin."""
    return BLOCK_BYTES


async def write_again(disk: Disk, sequence: int, position: int, data: bytes) -> None:
    """Write the same bytes at the same place, durably. Raises OSError.

    A flush that was reported durable is on the disk already, and stays there whatever part of
    this write a crash lets through; one that was not may become so.
    """
    file = await disk.open(path_of(sequence), journal=True)
    try:
        await file.write_durable(position, [data])
    finally:
        await file.close()
