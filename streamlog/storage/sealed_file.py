"""Small files that are written whole: identity, checkpoints, snapshots.

All integers are little-endian:

| at | size | field |
|---|---|---|
| 0 | 8 | magic, one per kind of file |
| 8 | 4 | CRC32C of bytes 12 to the end |
| 12 | 4 | format version |
| 16 | 8 | length of the content |
| 24 | length | content |

A file appears by write to `<path>.tmp`, fsync, rename, fsync of the directory: after a crash the
path holds the old content, the new one, or nothing when there was no old one; never a part.
"""

from __future__ import annotations

import errno
import struct
from typing import Final, NamedTuple

import google_crc32c

from replication.ports import Disk

_HEAD: Final = struct.Struct("<8sIIQ")
_AFTER_CRC: Final = struct.Struct("<IQ")
_TEMPORARY_SUFFIX: Final = ".tmp"
_WRITE_BYTES: Final = 1 << 20


class DamagedFile(Exception):
    """The content does not pass its checks."""

    def __init__(self, path: str, detail: str) -> None:
        self.path, self.detail = path, detail
        super().__init__(f"{path}: {detail}")


class UnknownVersion(DamagedFile):
    """The file was written by a newer version of the software."""

    def __init__(self, path: str, version: int, known: int) -> None:
        self.version, self.known = version, known
        super().__init__(path, f"format version {version}; this version knows 1 to {known}")


class Sealed(NamedTuple):
    """What a file holds."""

    version: int
    content: bytes


async def write_sealed(disk: Disk, path: str, magic: bytes, version: int, content: bytes) -> None:
    """Replace the file at `path`; durable when it returns. Raises OSError."""
    temporary = path + _TEMPORARY_SUFFIX
    rest = _AFTER_CRC.pack(version, len(content))
    crc = google_crc32c.extend(google_crc32c.value(rest), content)
    try:
        file = await disk.open(temporary, create=True)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        await disk.remove(temporary)
        file = await disk.open(temporary, create=True)
    try:
        await file.write(0, [magic + int(crc).to_bytes(4, "little") + rest])
        for at in range(0, len(content), _WRITE_BYTES):
            await file.write(_HEAD.size + at, [content[at : at + _WRITE_BYTES]])
        await file.sync()
    finally:
        await file.close()
    await disk.rename(temporary, path)
    await disk.sync_directory(path.rpartition("/")[0])


async def read_sealed(disk: Disk, path: str, magic: bytes, version_max: int) -> Sealed | None:
    """The file; None when there is none. Raises DamagedFile, OSError."""
    try:
        file = await disk.open(path, writable=False)
    except FileNotFoundError:
        return None
    try:
        data = await file.read(0, await file.size())
    finally:
        await file.close()
    if len(data) < _HEAD.size:
        raise DamagedFile(path, f"{len(data)} bytes, at least {_HEAD.size} expected")
    found_magic, crc, version, length = _HEAD.unpack_from(data)
    if found_magic != magic:
        raise DamagedFile(path, f"magic {found_magic!r}, expected {magic!r}")
    if google_crc32c.value(data[12:]) != crc:
        raise DamagedFile(path, "the checksum does not match")
    if length != len(data) - _HEAD.size:
        raise DamagedFile(path, f"{len(data) - _HEAD.size} bytes of content, {length} expected")
    if not 1 <= version <= version_max:
        raise UnknownVersion(path, version, version_max)
    return Sealed(version, data[_HEAD.size :])
