"""What the demonstration proves: nothing missing, doubled, altered or out of order.

Expectations come from the data set alone, except which partition a record without a key went to,
which only the platform knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from examples.flights.dataset import Flight
from streamlog.model.batch import check_frame, iterate_frames
from streamlog.storage.segments.segment_file import SEGMENT_INFO_BYTES

SEGMENT_GLOB = "groups/{group_id:016x}/*/*.segment"
"""Below a data directory; the middle folder counts the copies a log was replaced by."""


class ProofFailed(Exception):
    """Something is missing, doubled, altered or out of order."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as it was read back."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes


def row_of(value: bytes) -> int:
    """The row number that a value begins with."""
    return int(value[8 : value.index(b",")])


def check_everything(flights: Sequence[Flight], read: Mapping[int, Sequence[Seen]]) -> None:
    """Every flight is there once, unaltered, in the partition of its key and in order.

    Within a partition rows ascend, because one producer sent them in order; so they do per key.
    """
    partitions = len(read)
    found: set[int] = set()
    for partition, records in read.items():
        last_row = last_offset = -1
        for seen in records:
            row = row_of(seen.value)
            flight = flights[row]
            if (seen.key, seen.value, seen.timestamp_ms) != (
                flight.key,
                flight.value,
                flight.timestamp_ms,
            ):
                raise ProofFailed(f"row {row} was altered: {seen} instead of {flight}")
            if flight.key is not None and crc32(flight.key) % partitions != partition:
                raise ProofFailed(f"row {row} is in partition {partition}, not in that of its key")
            if row in found:
                raise ProofFailed(f"row {row} is there twice")
            if row <= last_row or seen.offset <= last_offset:
                raise ProofFailed(
                    f"partition {partition}: row {row} at offset {seen.offset} comes after row "
                    f"{last_row} at offset {last_offset}"
                )
            found.add(row)
            last_row, last_offset = row, seen.offset
    if len(found) != len(flights):
        missing = next(flight.row for flight in flights if flight.row not in found)
        raise ProofFailed(f"{len(flights) - len(found)} rows are missing, the first is {missing}")


def check_replay(
    flights: Sequence[Flight],
    everything: Mapping[int, Sequence[Seen]],
    replay: Mapping[int, Sequence[Seen]],
    since_ms: int,
) -> int:
    """Replay from a time: per partition all from its first record at or after that time on.

    Returns how many records that were.
    """
    total = 0
    for partition, records in everything.items():
        rows = [row_of(seen.value) for seen in records]
        first = next(
            (i for i, row in enumerate(rows) if flights[row].timestamp_ms >= since_ms), len(rows)
        )
        got = [row_of(seen.value) for seen in replay[partition]]
        if got != rows[first:]:
            raise ProofFailed(
                f"partition {partition}: replay from {since_ms} gave {len(got)} records, "
                f"{len(rows) - first} were expected"
            )
        total += len(got)
    return total


def check_replicas(directories: Iterable[Path], group_ids: Sequence[int]) -> tuple[int, int]:
    """The replicas hold the same batches, byte for byte, read from the files of stopped nodes.

    Control batches at the very end are left out: while nodes stop one after the other, those that
    are left elect leaders, which begin their terms with one. Returns how many batches a node
    holds and how many bytes.
    """
    replicas = [
        {group: _batches(directory, group) for group in group_ids} for directory in directories
    ]
    for group in group_ids:
        first = replicas[0][group]
        for number, replica in enumerate(replicas[1:], 2):
            if replica[group] != first:
                raise ProofFailed(
                    f"group {group}: replica {number} holds {len(replica[group])} batches that "
                    f"are not the {len(first)} of replica 1"
                )
    batches = [batch for group in group_ids for batch in replicas[0][group]]
    return len(batches), sum(map(len, batches))


def _batches(directory: Path, group_id: int) -> list[bytes]:
    """Frames of all segments of a group, each checked."""
    batches: list[bytes] = []
    data_batches = 0
    for path in sorted(directory.glob(SEGMENT_GLOB.format(group_id=group_id))):
        content = path.read_bytes()
        for position, header in iterate_frames(content, SEGMENT_INFO_BYTES):
            check_frame(content, position, header)
            batches.append(content[position : position + header.frame_bytes])
            if not header.control:
                data_batches = len(batches)
    if not batches:
        raise ProofFailed(f"no batches of group {group_id} below {directory}")
    return batches[:data_batches]
