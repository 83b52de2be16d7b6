"""Finds the first record at or after a time, or at or after an offset.

The time index narrows it to a range of batches, the headers to a batch, and only that batch is
decoded. Timestamps need not ascend: the answer is the lowest offset whose record is late enough,
as far as the batches' largest timestamps, which producers state, are true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from replication.errors import LogCorrupt
from replication.types import Offset
from streamlog.model.batch import BatchHeader, iterate_frames
from streamlog.model.record_set import MalformedPayload, decode_payload, new_decompressor
from streamlog.storage.segments.log_contents import LogContents
from streamlog.storage.segments.segment_reader import SegmentReader
from streamlog.v1 import record_pb2

LOOKUP_BYTES: Final = 64 * 1024
"""Bytes of one read."""


async def find_timestamp(
    contents: LogContents, reader: SegmentReader, timestamp_ms: int, start: int, end: int
) -> tuple[Offset, int] | None:
    """Offset and timestamp of the first record of [start, end) at or after the time, or None.

    `start` is where a batch begins; below the log's start it counts as that.
    """
    at = max(start, contents.start.end)
    while at < end:
        segment = contents.segment_of(at)
        segment_end = segment.end
        if segment.max_timestamp_ms is None and segment.index is None:
            await reader.load_index(segment)
            at = Offset(max(at, contents.start.end))
            continue
        latest = segment.max_timestamp_ms
        if latest is not None and latest >= timestamp_ms:
            if segment.index is None:
                await reader.load_index(segment)
                at = Offset(max(at, contents.start.end))
                continue
            begin = segment.index.find_time(timestamp_ms)
            if begin is not None:
                found = await _find_in(
                    contents, reader, max(at, begin), min(end, segment_end), timestamp_ms
                )
                if found is not None:
                    return found
        at = Offset(max(segment_end, at))
        if at >= contents.active.end:
            break
    return None


async def _find_in(
    contents: LogContents, reader: SegmentReader, begin: int, end: int, timestamp_ms: int
) -> tuple[Offset, int] | None:
    at = begin
    while at < end:
        frames = await reader.read(at, end, LOOKUP_BYTES)
        if not frames:
            return None
        for position, header in iterate_frames(frames):
            at = header.end_offset
            if header.control or header.max_timestamp_ms < timestamp_ms:
                continue
            payload = header.payload(frames, position)
            found = _find_in_batch(contents, header, payload, timestamp_ms)
            if found is not None:
                return found if found[0] < end else None
    return None


async def find_record(
    contents: LogContents, reader: SegmentReader, offset: int, end: int
) -> tuple[Offset, int] | None:
    """Offset and timestamp of the first record of [offset, end), or None; control entries are none.

    One read where a record stands at the offset; only the batch that holds it is decoded, and not
    even that when the batch begins there. Raises LogCorrupt.
    """
    at = max(offset, contents.start.end)
    while at < end:
        frames = await reader.read(at, end, LOOKUP_BYTES)
        if not frames:
            return None
        for position, header in iterate_frames(frames):
            start, at = max(at, header.base_offset), header.end_offset
            if header.control:
                continue
            payload = header.payload(frames, position)
            found = _record_of_batch(contents, header, payload, start)
            if found is not None:
                return found if found[0] < end else None
    return None


def _record_of_batch(
    contents: LogContents, header: BatchHeader, payload: bytes, start: int
) -> tuple[Offset, int] | None:
    base = header.base_offset
    if header.append_time or header.encrypted:
        return Offset(start), header.max_timestamp_ms
    if start == base and header.record_count == header.span:
        return Offset(base), header.first_timestamp_ms
    for record in _records_of(contents, header, payload):
        if base + record.offset_delta >= start:
            stamp_ms = header.first_timestamp_ms + record.timestamp_delta_ms
            return Offset(base + record.offset_delta), stamp_ms
    return None


def _find_in_batch(
    contents: LogContents, header: BatchHeader, payload: bytes, timestamp_ms: int
) -> tuple[Offset, int] | None:
    base, start = header.base_offset, contents.start.end
    if header.append_time or header.encrypted:
        return Offset(max(base, start)), header.max_timestamp_ms
    for record in _records_of(contents, header, payload):
        timestamp = header.first_timestamp_ms + record.timestamp_delta_ms
        offset = base + record.offset_delta
        if timestamp >= timestamp_ms and offset >= start:
            return Offset(offset), timestamp
    return None


def _records_of(
    contents: LogContents, header: BatchHeader, payload: bytes
) -> Sequence[record_pb2.Record]:
    try:
        record_set = decode_payload(
            payload, header.codec, header.uncompressed_bytes, new_decompressor()
        )
    except MalformedPayload as error:
        where = f"offset {header.base_offset}"
        raise LogCorrupt(contents.identity.group_id, where, str(error)) from error
    return record_set.records
