"""Reading a segment file from its beginning, every frame checked.

Used where nothing else is known or trusted: recovery above the last snapshot, an index that is
missing, a truncation deeper than memory. Memory: one chunk, or the longest frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import google_crc32c

from replication.ports import File
from streamlog.model.batch import (
    CONTROL,
    FORMAT_VERSION,
    PREFIX_BYTES,
    VERSION_MASK,
    BatchHeader,
    CorruptFrame,
    check_frame,
    frame_length,
    read_header,
)
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion
from streamlog.storage.segments.segment_file import (
    SEGMENT_INFO_BYTES,
    SegmentIdentity,
    SegmentInfo,
    check_identity,
    check_place,
    decode_segment_info,
)
from streamlog.storage.segments.segment_index import SegmentIndex

SCAN_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ScannedSegment:
    """What a scan found."""

    info: SegmentInfo
    index: SegmentIndex
    """Not sealed."""
    end: int
    """Exclusive end offset of the last frame that was scanned."""
    position: int
    """Where that frame ends."""


async def scan_segment(
    file: File,
    identity: SegmentIdentity,
    base: int,
    *,
    interval: int,
    stop_offset: int,
    stop_position: int | None = None,
    visit: Callable[[BatchHeader], object] | None = None,
) -> ScannedSegment:
    """Check frames until the offset `stop_offset` is reached, or the position.

    Arguments: `visit` is called with each header, after its frame was checked; it may raise
    CorruptFrame.
    Raises DamagedFile when the file ends before, or a check fails; UnknownVersion; OSError.
    """
    path = file.path
    chunk = await file.read(0, SCAN_CHUNK_BYTES)
    info = decode_segment_info(path, chunk)
    check_identity(path, info, identity, base)
    info_crc = google_crc32c.value(chunk[:SEGMENT_INFO_BYTES])
    index = SegmentIndex(base, SEGMENT_INFO_BYTES, info_crc, interval)
    end, begin, at = base, 0, SEGMENT_INFO_BYTES
    try:
        while end < stop_offset and (stop_position is None or begin + at < stop_position):
            length = frame_length(chunk, at) if at < len(chunk) else None
            if length is None or at + length > len(chunk):
                wanted = max(SCAN_CHUNK_BYTES, (length or 0) + PREFIX_BYTES)
                begin, at, rest = begin + at, 0, len(chunk) - at
                chunk = await file.read(begin, wanted)
                if len(chunk) <= rest and (length is None or length > len(chunk)):
                    raise CorruptFrame(0, f"the file ends at offset {end}, not {stop_offset}")
                continue
            header = read_header(chunk, at)
            frame = chunk[at : at + header.frame_bytes]
            check_frame(frame, 0, header)  # a version is believed only of bytes that are sound
            if header.format_and_flags & VERSION_MASK > FORMAT_VERSION:
                raise UnknownVersion(path, header.format_and_flags & VERSION_MASK, FORMAT_VERSION)
            check_place(header, identity, end, at)
            control = header.format_and_flags & CONTROL
            index.append(
                header.base_offset, begin + at, frame, None if control else header.max_timestamp_ms
            )
            if visit is not None:
                visit(header)
            end = header.end_offset
            at += header.frame_bytes
    except CorruptFrame as error:
        where = begin + error.position if error.position else begin + at
        raise DamagedFile(path, f"byte {where}: {error.detail}") from error
    if end > stop_offset or (stop_position is not None and begin + at > stop_position):
        raise DamagedFile(path, f"no frame ends at offset {stop_offset}, byte {stop_position}")
    return ScannedSegment(info, index, end, begin + at)
