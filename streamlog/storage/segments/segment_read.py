"""Reading a run of frames out of a segment file: what to ask for, and how to check it.

A read goes from the beginning of an index range to the end of one, so that each range is checked
with one CRC32C, however many frames it holds; only the first and the last range are walked frame
by frame, to find where the answer begins and ends. A range that is not closed yet, or that may
hold more than was kept, has its frames checked one by one: by their own CRC32C, and by what they
say of themselves, because a frame that was meant for another place is sound, too.

A reader that goes on where the last answer ended stands at the beginning of a range: it reads
nothing twice and walks nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import google_crc32c

from streamlog.model.batch import BatchHeader, CorruptFrame, check_frame, read_header, read_place
from streamlog.storage.segments.segment_index import SegmentIndex

CheckPlace: TypeAlias = Callable[[BatchHeader, int, int], None]
"""Raises CorruptFrame unless the frame is the log's at an offset; and the position for that."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """One read of a segment file. Positions in `ranges` are relative to `position`."""

    position: int
    length: int
    ranges: tuple[tuple[int, int], ...]
    """End and CRC32C of each range; empty: frames are checked one by one."""
    first_offset: int
    """Base offset of the first frame."""
    end_offset: int
    """Offset at which the last range ends, or -1 when it is not known."""


def plan_read(
    index: SegmentIndex, start: int, end: int, max_bytes: int, readable_to: int
) -> ReadPlan:
    """What to read for frames from the one that holds `start` up to `end`.

    Arguments: `readable_to`, the position up to which frames are in the file.
    """
    positions = index.positions
    first = index.find(start)
    begin = positions[first]
    last = bisect_right(positions, min(begin + max_bytes, readable_to)) - 1
    last = min(last, bisect_left(index.offsets, end))
    if last <= first and first + 1 < len(positions) and positions[first + 1] <= readable_to:
        last = first + 1
    if last <= first:
        return ReadPlan(begin, readable_to - begin, (), index.offsets[first], -1)
    ranges = tuple((positions[k] - begin, index.crcs[k]) for k in range(first + 1, last + 1))
    return ReadPlan(
        begin, positions[last] - begin, ranges, index.offsets[first], index.offsets[last]
    )


def extract(
    plan: ReadPlan, data: bytes, start: int, end: int, max_bytes: int, check_place: CheckPlace
) -> bytes:
    """The frames asked for, checked. Raises CorruptFrame, positions relative to the plan's."""
    if len(data) != plan.length:
        raise CorruptFrame(len(data), f"the file ends {plan.length - len(data)} bytes early")
    at = 0
    for range_end, checksum in plan.ranges:
        part = data if range_end - at == len(data) else data[at:range_end]
        found = google_crc32c.value(part)
        if found != checksum:
            raise CorruptFrame(
                at, f"CRC32C of {range_end - at} bytes is {found:#010x}, not {checksum:#010x}"
            )
        at = range_end
    if plan.first_offset == start and 0 <= plan.end_offset <= end and len(data) <= max_bytes:
        return data
    if not plan.ranges:
        data = _checked(data, plan.first_offset, end, check_place)
    return _cut(data, start, end, max_bytes)


def _checked(data: bytes, offset: int, end: int, check_place: CheckPlace) -> bytes:
    """The frames from the one at `offset`, which is the first, to `end`, checked one by one."""
    at = 0
    while at < len(data) and offset < end:
        header = read_header(data, at)
        check_frame(data, at, header)
        check_place(header, offset, at)
        offset = header.end_offset
        at += header.frame_bytes
    return data[:at]


def _cut(data: bytes, start: int, end: int, max_bytes: int) -> bytes:
    begin, at, size = -1, 0, len(data)
    while at < size:
        length, base, frame_end = read_place(data, at)
        if base >= end or (begin >= 0 and at + length - begin > max_bytes):
            break
        if frame_end > start and begin < 0:
            begin = at
        at += length
    if begin < 0 or at > size:
        raise CorruptFrame(at, f"no frame holds offset {start}")
    return data[begin:at]
