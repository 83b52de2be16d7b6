"""The batches of a segment file, in order, each checked before it is handed out.

Beside what the node checks when it reads (the frame's checksum, whose log it is, that it begins
where the one before ended), the producer's own checksum and the order of the terms are checked.
Memory: one chunk, or the longest frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import google_crc32c
from google.protobuf.message import DecodeError

from streamlog.model.batch import (
    FORMAT_VERSION,
    FRAME_LENGTH_END,
    VERSION_MASK,
    BatchHeader,
    CorruptFrame,
    check_frame,
    check_payload,
    frame_length,
    read_header,
)
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion
from streamlog.storage.segments.segment_file import (
    FOOTER_TAG,
    SEGMENT_INFO_BYTES,
    SegmentInfo,
    check_place,
    decode_segment_info,
)
from streamlog.v1 import batch_pb2

CHUNK_BYTES: Final = 1 << 20


class DamagedSegment(Exception):
    """A segment file is not what it should be; the message says where."""


class TornSegment(DamagedSegment):
    """It ends within a frame: so does the newest file of a log after a crash."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A frame that passed its checks, and where it lies."""

    position: int
    header: BatchHeader
    frame: bytes

    @property
    def payload(self) -> bytes:
        """As the producer compressed it."""
        return self.header.payload(self.frame, 0)


class SegmentBatches:
    """One segment file; `end` and `position` follow the batches that were handed out."""

    def __init__(self, path: Path, on_read: Callable[[int], None] = lambda _: None) -> None:
        """Reads the head. Raises DamagedSegment, OSError."""
        self._path, self._on_read = path, on_read
        self.size = path.stat().st_size
        with path.open("rb") as file:
            self.head = file.read(SEGMENT_INFO_BYTES)
        try:
            self.info: SegmentInfo = decode_segment_info(path.name, self.head)
        except UnknownVersion as error:
            raise DamagedSegment(str(error)) from error
        except DamagedFile as error:
            raise DamagedSegment(error.detail) from error
        self.end = self.info.base_offset
        """Exclusive end offset."""
        self.position = SEGMENT_INFO_BYTES
        """Where the next batch begins."""
        self._term = 0

    def batches(self, stop_offset: int | None = None) -> Iterator[Batch]:
        """Up to an offset; without one to the end of the file. Raises DamagedSegment, OSError."""
        with self._path.open("rb") as file:
            file.seek(self.position)
            chunk, at = b"", 0
            while (stop_offset is None or self.end < stop_offset) and self.position < self.size:
                chunk, at = self._filled(file, chunk, at, FRAME_LENGTH_END)
                if chunk[at] == FOOTER_TAG:
                    self._check_footer(chunk[at:] + file.read())
                    return
                try:
                    length = frame_length(chunk, at)
                    if length is None or self.position + length > self.size:
                        raise TornSegment(
                            f"the file ends within the batch at byte {self.position}, offset "
                            f"{self.end}"
                        )
                    chunk, at = self._filled(file, chunk, at, length)
                    batch = self._checked(chunk[at : at + length])
                except CorruptFrame as error:
                    raise DamagedSegment(
                        f"byte {self.position}, offset {self.end}: {error.detail}"
                    ) from error
                self.end = batch.header.end_offset
                self.position += length
                at += length
                yield batch

    def _filled(self, file: BinaryIO, chunk: bytes, at: int, length: int) -> tuple[bytes, int]:
        """A chunk with so many bytes from `at` on, unless the file ends before."""
        if len(chunk) - at >= length:
            return chunk, at
        more = file.read(max(CHUNK_BYTES, length))
        self._on_read(len(more))
        return chunk[at:] + more, 0

    def _checked(self, frame: bytes) -> Batch:
        header = read_header(frame)
        check_frame(frame, 0, header)
        batch, identity = Batch(self.position, header, frame), self.info.identity
        if (version := header.format_and_flags & VERSION_MASK) > FORMAT_VERSION:
            raise CorruptFrame(0, f"format version {version}; this version knows {FORMAT_VERSION}")
        check_place(header, identity, self.end, 0)
        if header.term < self._term:
            raise CorruptFrame(0, f"term {header.term} comes after term {self._term}")
        if not header.control and not check_payload(header, batch.payload):
            raise CorruptFrame(0, "the producer's checksum is wrong")
        self._term = header.term
        return batch

    def _check_footer(self, rest: bytes) -> None:
        """An optional end, which versions before this one did not write."""
        try:
            footer = batch_pb2.BatchSet.FromString(rest).footer
        except DecodeError as error:
            raise DamagedSegment(f"byte {self.position}: no footer: {error}") from error
        if google_crc32c.value(footer.state) != footer.crc32c:
            raise DamagedSegment(f"byte {self.position}: the CRC32C of the footer is wrong")
