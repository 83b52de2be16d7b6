"""Names of a log's files, and the identity that every segment file begins with.

A segment file is a serialized `streamlog.v1.BatchSet`: first `SegmentInfo segment = 2`, then the
frames of `batches = 1` (see `streamlog/model/batch`), at sealing maybe `SegmentFooter footer = 3`.
SegmentInfo has one fixed encoding, little-endian:

    at  size  what
     0   2    0x12 0x45, BatchSet.segment, 69 bytes follow
     2   5    0x0D, crc32c: CRC32C over the 64 bytes after it
     7   5    0x15, format_version
    12   9    0x19, cluster_id_high
    21   9    0x21, cluster_id_low
    30   9    0x29, topic_id
    39   5    0x35, partition
    44   9    0x39, group_id
    53   9    0x41, base_offset
    62   9    0x49, created_at_ms
    71        the first frame

A file is named after the offset at which it begins, 20 digits, and lives in the directory of its
group. Files beside it have the same number: `.index` and `.timeindex` belong to the segment of
that number, `.state` is the log's state of the prefix that ends there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import google_crc32c

from replication.types import GroupId, halves, whole
from streamlog.model.batch import BatchHeader, CorruptFrame
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion

SEGMENT_FORMAT_VERSION: Final = 1
SEGMENT_INFO_BYTES: Final = 71
SEGMENT_FILE_BYTES_MAX: Final = (1 << 31) - 1
FOOTER_TAG: Final = 0x1A

SEGMENT: Final = "segment"
INDEX: Final = "index"
TIME_INDEX: Final = "timeindex"
STATE: Final = "state"
TEMPORARY: Final = "tmp"

_SUFFIXES: Final = (SEGMENT, INDEX, TIME_INDEX, STATE)
_CHECKED_FROM: Final = 7
_HEAD = struct.Struct("<HBI")
_REST = struct.Struct("<BIBQBQBQBIBQBQBq")
_HEAD_TAGS: Final = (0x4512, 0x0D)
_REST_TAGS: Final = (0x15, 0x19, 0x21, 0x29, 0x35, 0x39, 0x41, 0x49)


@dataclass(frozen=True, slots=True)
class SegmentIdentity:
    """Whose log a segment file is a part of."""

    cluster_id: int
    """128 bits."""
    topic_id: int
    """The topic's, or the group's id for logs outside topics."""
    partition: int
    group_id: GroupId


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What a segment file says of itself."""

    identity: SegmentIdentity
    base_offset: int
    created_at_ms: int
    """Wall clock of the node, Unix milliseconds."""

    def encode(self) -> bytes:
        """The first 71 bytes of the file."""
        identity = self.identity
        values = (
            SEGMENT_FORMAT_VERSION,
            *halves(identity.cluster_id),
            identity.topic_id,
            identity.partition,
            identity.group_id,
            self.base_offset,
            self.created_at_ms,
        )
        fields = [part for pair in zip(_REST_TAGS, values, strict=True) for part in pair]
        rest = _REST.pack(*fields)
        return _HEAD.pack(*_HEAD_TAGS, google_crc32c.value(rest)) + rest


def decode_segment_info(path: str, data: bytes) -> SegmentInfo:
    """From the first bytes of a file. Raises DamagedFile, UnknownVersion."""
    if len(data) < SEGMENT_INFO_BYTES:
        raise DamagedFile(path, f"{len(data)} bytes, too few for a segment's head")
    begin, crc_tag, checksum = _HEAD.unpack_from(data)
    if (begin, crc_tag) != _HEAD_TAGS:
        raise DamagedFile(path, "does not begin as a segment")
    if google_crc32c.value(data[_CHECKED_FROM:SEGMENT_INFO_BYTES]) != checksum:
        raise DamagedFile(path, "the CRC32C of the segment's head is wrong")
    fields = _REST.unpack_from(data, _CHECKED_FROM)
    if fields[::2] != _REST_TAGS:
        raise DamagedFile(path, "the segment's head has other tags")
    version, high, low, topic_id, partition, group_id, base_offset, created = fields[1::2]
    if version > SEGMENT_FORMAT_VERSION:
        raise UnknownVersion(path, version, SEGMENT_FORMAT_VERSION)
    identity = SegmentIdentity(whole(high, low), topic_id, partition, GroupId(group_id))
    return SegmentInfo(identity, base_offset, created)


def check_identity(path: str, info: SegmentInfo, identity: SegmentIdentity, base: int) -> None:
    """Raise DamagedFile unless the file is the one that its name and directory say."""
    if info.identity != identity:
        raise DamagedFile(path, f"belongs to {info.identity}, not to {identity}")
    if info.base_offset != base:
        raise DamagedFile(path, f"begins at offset {info.base_offset}, its name says {base}")


def check_place(header: BatchHeader, identity: SegmentIdentity, base: int, position: int) -> None:
    """Raise CorruptFrame, at `position`, unless the frame is of this log and begins at `base`.

    A frame whose checksum is right may still be one that was meant for another place.
    """
    if (header.topic_id, header.partition) != (identity.topic_id, identity.partition):
        raise CorruptFrame(position, f"is of topic {header.topic_id}, partition {header.partition}")
    if header.base_offset != base:
        raise CorruptFrame(position, f"the batch begins at offset {header.base_offset}, not {base}")


def file_name(offset: int, suffix: str) -> str:
    """Name of a file of a log."""
    return f"{offset:020d}.{suffix}"


def parse_file_name(name: str) -> tuple[int, str] | None:
    """Offset and suffix; None for names that no log file has."""
    number, _, suffix = name.partition(".")
    if suffix in _SUFFIXES and len(number) == 20 and number.isdecimal():
        return int(number), suffix
    return None
