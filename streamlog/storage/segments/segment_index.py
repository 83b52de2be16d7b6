"""The sparse indexes of one segment: offset to position, time to offset.

The bytes of a segment are cut into ranges of whole frames, at most `interval` bytes each unless
one frame is longer. An offset entry stands at the beginning of each range and carries the CRC32C
of the range *before* it, so that a read of many small frames is checked range by range. Entry 0
stands at the first frame (its range is the SegmentInfo); a sealed index ends with an entry at the
end of the data.

    range k = [positions[k], positions[k + 1]),   its CRC32C is crcs[k + 1]

A time entry (t, o) says: in the range that begins at offset o, the largest timestamp of the
segment's data batches rises to t. Timestamps ascend strictly, so the first batch at or after a
time lies in the range of the first entry with t at or above it. Control batches do not count.

On disk both are sealed files (`streamlog/storage/sealed_file`: magic, version, CRC32C, content);
one that is missing or damaged is rebuilt from the segment. The content, little-endian, is a head,
with a CRC32C of its own so that it can be read alone, then columns:

    head        u32 n entries | u64 base | u64 end | u64 data bytes | i64 max timestamp |
                u32 crc32c of the 36 bytes before
    .index      head | n u64 offsets | n u32 positions | n u32 crcs       magic "SLOFFIDX"
    .timeindex  head | n i64 timestamps | n u64 offsets                   magic "SLTIMIDX"

Memory: 16 bytes a range and as much a time entry; at 16 KiB a range 1 to 2 MiB per GiB.

Invariant: offsets and positions ascend strictly (the end entry of an empty segment aside).
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from typing import Final

import google_crc32c

from replication.errors import invariant
from streamlog.storage.sealed_file import DamagedFile

INDEX_VERSION: Final = 1
NO_TIMESTAMP: Final = -(1 << 63)
"""Largest timestamp of a segment without data batches."""

INDEX_HEAD_BYTES: Final = 40
OFFSET_INDEX_MAGIC: Final = b"SLOFFIDX"
TIME_INDEX_MAGIC: Final = b"SLTIMIDX"
_HEAD = struct.Struct("<IQQQq")
_HEAD_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class IndexHead:
    """What the head of an index file says of its segment."""

    entry_count: int
    base: int
    end: int
    data_bytes: int
    """Position at which the segment's last frame ends."""
    max_timestamp_ms: int


class SegmentIndex:
    """Both indexes of one segment; it grows with the segment, or was loaded."""

    __slots__ = (
        "_interval",
        "crcs",
        "max_timestamp_ms",
        "offsets",
        "open_crc",
        "positions",
        "sealed",
        "time_offsets",
        "timestamps",
    )

    def __init__(self, base: int, first_position: int, info_crc: int, interval: int) -> None:
        self._interval = interval
        self.offsets = array("Q", (base,))
        self.positions = array("I", (first_position,))
        self.crcs = array("I", (info_crc,))
        self.timestamps = array("q")
        self.time_offsets = array("Q")
        self.open_crc = 0
        """CRC32C of the range that is not closed yet."""
        self.max_timestamp_ms = NO_TIMESTAMP
        self.sealed = False

    @property
    def size_bytes(self) -> int:
        """Memory it takes, roughly."""
        return 16 * (len(self.offsets) + len(self.timestamps)) + 512

    def append(self, base: int, position: int, frame: bytes, timestamp_ms: int | None) -> None:
        """A frame was added at the end; `timestamp_ms` is its largest, None for control batches."""
        begun = self.positions[-1]
        if position != begun and position - begun + len(frame) > self._interval:
            self._close_range(base, position)
        self.open_crc = google_crc32c.extend(self.open_crc, frame)
        if timestamp_ms is not None and timestamp_ms > self.max_timestamp_ms:
            self.max_timestamp_ms = timestamp_ms
            if self.time_offsets and self.time_offsets[-1] == self.offsets[-1]:
                self.timestamps[-1] = timestamp_ms
            else:
                self.timestamps.append(timestamp_ms)
                self.time_offsets.append(self.offsets[-1])

    def undo(self, position: int, open_crc: int, max_timestamp_ms: int) -> None:
        """Go back to the moment before the frame at `position` was appended; the other values
        are those of that moment."""
        self.sealed = False
        keep = max(1, bisect_left(self.positions, position))
        del self.offsets[keep:], self.positions[keep:], self.crcs[keep:]
        self.open_crc = open_crc
        risen_in = None
        while self.timestamps and self.timestamps[-1] > max_timestamp_ms:
            self.timestamps.pop()
            risen_in = self.time_offsets.pop()
        if (
            risen_in is not None
            and max_timestamp_ms != NO_TIMESTAMP
            and (not self.timestamps or self.timestamps[-1] < max_timestamp_ms)
        ):
            # The entry was raised in place within its range: put back what it was.
            self.timestamps.append(max_timestamp_ms)
            self.time_offsets.append(risen_in)
        self.max_timestamp_ms = max_timestamp_ms

    def seal(self, end: int, position: int) -> None:
        """Close the last range: the data ends at offset `end`, at `position`."""
        invariant(not self.sealed, "an index is sealed once")
        if position != self.positions[-1]:
            self._close_range(end, position)
        self.sealed = True

    def find(self, offset: int) -> int:
        """Range in which the frame that holds `offset` begins."""
        return max(0, bisect_right(self.offsets, offset) - 1)

    def find_time(self, timestamp_ms: int) -> int | None:
        """Offset at which the range begins that holds the first batch whose largest timestamp is
        at or above; None when there is none."""
        found = bisect_left(self.timestamps, timestamp_ms)
        return self.time_offsets[found] if found < len(self.time_offsets) else None

    def encode_offsets(self) -> bytes:
        """Content of the `.index` file of a sealed segment."""
        head = self._encode_head(len(self.offsets))
        return head + _column(self.offsets) + _column(self.positions) + _column(self.crcs)

    def encode_times(self) -> bytes:
        """Content of the `.timeindex` file of a sealed segment."""
        head = self._encode_head(len(self.timestamps))
        return head + _column(self.timestamps) + _column(self.time_offsets)

    def _encode_head(self, count: int) -> bytes:
        invariant(self.sealed, "only a sealed index is saved")
        head = _HEAD.pack(
            count, self.offsets[0], self.offsets[-1], self.positions[-1], self.max_timestamp_ms
        )
        return head + _HEAD_CRC.pack(google_crc32c.value(head))

    def _close_range(self, offset: int, position: int) -> None:
        self.offsets.append(offset)
        self.positions.append(position)
        self.crcs.append(self.open_crc)
        self.open_crc = 0


def decode_index_head(path: str, content: bytes) -> IndexHead:
    """The head, from the first 40 bytes of the content. Raises DamagedFile."""
    if len(content) < INDEX_HEAD_BYTES:
        raise DamagedFile(path, f"{len(content)} bytes, too few for an index")
    head = content[: _HEAD.size]
    if _HEAD_CRC.unpack_from(content, _HEAD.size) != (google_crc32c.value(head),):
        raise DamagedFile(path, "the CRC32C of the index's head is wrong")
    return IndexHead(*_HEAD.unpack(head))


def decode_index(path: str, offsets: bytes, times: bytes, interval: int) -> SegmentIndex:
    """A sealed index from the contents of both files. Raises DamagedFile; `path` names them."""
    head = decode_index_head(path, offsets)
    time_head = decode_index_head(path, times)
    n, m, at = head.entry_count, time_head.entry_count, INDEX_HEAD_BYTES
    if len(offsets) != at + 16 * n or len(times) != at + 16 * m or n == 0:
        raise DamagedFile(path, f"{len(offsets)} and {len(times)} bytes for {n} and {m} entries")
    if replace(head, entry_count=0) != replace(time_head, entry_count=0):
        raise DamagedFile(path, f"the two indexes are of different moments: {head}, {time_head}")
    index = SegmentIndex(head.base, 0, 0, interval)
    index.offsets = _load("Q", offsets[at : at + 8 * n])
    index.positions = _load("I", offsets[at + 8 * n : at + 12 * n])
    index.crcs = _load("I", offsets[at + 12 * n :])
    index.timestamps = _load("q", times[at : at + 8 * m])
    index.time_offsets = _load("Q", times[at + 8 * m :])
    index.max_timestamp_ms = head.max_timestamp_ms
    index.sealed = True
    return index


def _column(values: array[int]) -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _load(kind: str, data: bytes) -> array[int]:
    values: array[int] = array(kind, data)
    if sys.byteorder == "big":
        values.byteswap()
    return values
