"""The bytes of a journal frame and of a journal file's header block.

A journal file is a row of 4 KiB blocks. Block 0 is the header; every flush starts on a fresh block
with a MARK frame, goes on with the frames of the flush, and ends in zeros up to the next block.
All integers are little-endian.

Header block (the rest of the block is zero):

| at | size | field |
|---|---|---|
| 0 | 8 | magic `SLJOURNL` |
| 8 | 4 | CRC32C of bytes 12 to 48 |
| 12 | 4 | format version (1) |
| 16 | 16 | journal id: the directory id, big-endian |
| 32 | 8 | file sequence, from 1; also in the file's name |
| 40 | 8 | size of the file in bytes |

Frame:

| at | size | field |
|---|---|---|
| 0 | 4 | CRC32C, see below |
| 4 | 4 | length of the content in bytes |
| 8 | 1 | kind |
| 9 | 1 | frame version (1) |
| 10 | 2 | zero |
| 12 | 4 | CRC32C of the frame before (field at 0), across files; 0 for the first after a start |
| 16 | 8 | LSN: counts the frames of the node, from 1, without gaps between starts |
| 24 | 8 | group id; 0 in a MARK |
| 32 | length | content |

The checksum covers journal id (16 bytes), file sequence (8 bytes), then bytes 4 to the end of the
content. So a frame of the file's earlier life, of another file or of another node never passes;
and since each frame names the checksum of the one before, no frame passes after a different one.

Content by kind:

| kind | content |
|---|---|
| 1 APPEND | u64 base, u64 end, u64 term before, u64 term of the last entry, u64 flags (bit 0: some entry is a membership), then the entries |
| 2 TRUNCATE | u64 end |
| 3 HARD_STATE | u64 term, u64 vote (0: none) |
| 4 CREATED | a serialized replication.v1.GroupCreation |
| 5 DELETED | empty |
| 6 INSTALLED | a serialized streamlog.storage.v1.InstalledLog |
| 7 REFERENCE | a serialized streamlog.storage.v1.SegmentReference |
| 8 MARK | u64 durable LSN, u32 bytes of the flush from the MARK on without the padding, u32 frames |
| 9 LOG_START | a serialized streamlog.storage.v1.LogStartMoved |

Crash: an unfinished flush leaves any mix of its sectors; the checksum chain ends at the first
frame that is not whole, and nothing after it was reported durable, because the next flush begins
only when the one before is on the disk. Every MARK says so: the LSN up to which everything was
durable when it was written.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import google_crc32c

BLOCK_BYTES: Final = 4096
FORMAT_VERSION: Final = 1
MAGIC: Final = b"SLJOURNL"
FRAME_HEADER_BYTES: Final = 32
APPEND_PREFIX_BYTES: Final = 40

_HEADER: Final = struct.Struct("<IIBBHIQQ")
_AFTER_CRC: Final = struct.Struct("<IBBHIQQ")
_FILE_HEADER: Final = struct.Struct("<8sII16sQQ")
_SALT: Final = struct.Struct("<16sQ")
_MARK: Final = struct.Struct("<QII")
_APPEND: Final = struct.Struct("<QQQQQ")
_HOLDS_CONTROL: Final = 1
_KIND_AT: Final = 8
_U64: Final = struct.Struct("<Q")
_HARD_STATE: Final = struct.Struct("<QQ")

MARK_FRAME_BYTES: Final = FRAME_HEADER_BYTES + _MARK.size


class FrameKind(IntEnum):
    """What a frame tells."""

    APPEND = 1
    TRUNCATE = 2
    HARD_STATE = 3
    CREATED = 4
    DELETED = 5
    INSTALLED = 6
    REFERENCE = 7
    MARK = 8
    LOG_START = 9


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """A frame without its content."""

    crc32c: int
    length: int
    kind: FrameKind
    previous_crc32c: int
    lsn: int
    group_id: int

    @property
    def total_bytes(self) -> int:
        """Header and content."""
        return FRAME_HEADER_BYTES + self.length


@dataclass(frozen=True, slots=True)
class Mark:
    """Content of a MARK frame: the head of one flush."""

    durable_lsn: int
    flush_bytes: int
    frame_count: int
    """Frames after the MARK."""


@dataclass(frozen=True, slots=True)
class AppendHead:
    """What an APPEND frame says of its entries."""

    base: int
    end: int
    term_before: int
    term: int
    holds_control: bool


def padded(size_bytes: int) -> int:
    """Rounded up to whole blocks."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def salt(journal_id: int, file_sequence: int) -> int:
    """Checksum state that every frame of one life of one file starts from."""
    return int(google_crc32c.value(_SALT.pack(journal_id.to_bytes(16, "big"), file_sequence)))


def encode_frame(
    file_salt: int,
    kind: FrameKind,
    content: Sequence[bytes],
    *,
    previous_crc32c: int,
    lsn: int,
    group_id: int,
) -> tuple[bytes, int]:
    """The header of a frame with this content, and its checksum."""
    length = sum(map(len, content))
    rest = _AFTER_CRC.pack(length, kind, FORMAT_VERSION, 0, previous_crc32c, lsn, group_id)
    crc = google_crc32c.extend(file_salt, rest)
    for part in content:
        crc = google_crc32c.extend(crc, part)
    return crc.to_bytes(4, "little") + rest, crc


def decode_frame(
    file_salt: int, data: bytes, at: int, limit: int
) -> tuple[FrameHeader, bytes] | None:
    """The frame at `at`, with its content, or None when it does not pass its checksum.

    Only `data[:limit]` is looked at.
    """
    if at + FRAME_HEADER_BYTES > limit:
        return None
    crc, length, kind, version, _, previous, lsn, group_id = _HEADER.unpack_from(data, at)
    stop = at + FRAME_HEADER_BYTES + length
    if stop > limit or version != FORMAT_VERSION:
        return None
    if google_crc32c.extend(file_salt, data[at + 4 : stop]) != crc:
        return None
    try:
        header = FrameHeader(crc, length, FrameKind(kind), previous, lsn, group_id)
    except ValueError:
        return None
    return header, data[at + FRAME_HEADER_BYTES : stop]


def may_be_mark(data: bytes) -> bool:
    """Whether the frame that begins here says it is a MARK; cheap, and proves nothing."""
    return len(data) > _KIND_AT and data[_KIND_AT] == FrameKind.MARK


def encode_mark(mark: Mark) -> bytes:
    """Content of a MARK."""
    return _MARK.pack(mark.durable_lsn, mark.flush_bytes, mark.frame_count)


def decode_mark(content: bytes) -> Mark | None:
    """None when it is not a MARK's content."""
    if len(content) != _MARK.size:
        return None
    return Mark(*_MARK.unpack(content))


def encode_append_head(head: AppendHead) -> bytes:
    """The first part of an APPEND's content."""
    flags = _HOLDS_CONTROL if head.holds_control else 0
    return _APPEND.pack(head.base, head.end, head.term_before, head.term, flags)


def decode_append_head(content: bytes) -> AppendHead:
    """From the first bytes of an APPEND's content."""
    base, end, term_before, term, flags = _APPEND.unpack_from(content)
    return AppendHead(base, end, term_before, term, bool(flags & _HOLDS_CONTROL))


def encode_truncate(end: int) -> bytes:
    """Content of a TRUNCATE."""
    return _U64.pack(end)


def decode_truncate(content: bytes) -> int:
    """End of the log after a TRUNCATE."""
    (end,) = _U64.unpack(content)
    return int(end)


def encode_hard_state(term: int, vote: int | None) -> bytes:
    """Content of a HARD_STATE; replica ids begin at 1, so 0 is free for "none"."""
    return _HARD_STATE.pack(term, vote or 0)


def decode_hard_state(content: bytes) -> tuple[int, int | None]:
    """Term and vote."""
    term, vote = _HARD_STATE.unpack(content)
    return term, vote or None


def encode_file_header(journal_id: int, sequence: int, file_bytes: int) -> bytes:
    """Block 0 of a journal file."""
    rest = _FILE_HEADER.pack(
        MAGIC, 0, FORMAT_VERSION, journal_id.to_bytes(16, "big"), sequence, file_bytes
    )
    crc = google_crc32c.value(rest[12:])
    whole = rest[:8] + int(crc).to_bytes(4, "little") + rest[12:]
    return whole.ljust(BLOCK_BYTES, b"\0")


@dataclass(frozen=True, slots=True)
class FileHeader:
    """Block 0, checked."""

    version: int
    journal_id: int
    sequence: int
    file_bytes: int


def decode_file_header(block: bytes) -> FileHeader | None:
    """None when the block is not a whole header."""
    if len(block) < _FILE_HEADER.size:
        return None
    magic, crc, version, journal_id, sequence, file_bytes = _FILE_HEADER.unpack_from(block)
    if magic != MAGIC or google_crc32c.value(block[12 : _FILE_HEADER.size]) != crc:
        return None
    return FileHeader(version, int.from_bytes(journal_id, "big"), sequence, file_bytes)
