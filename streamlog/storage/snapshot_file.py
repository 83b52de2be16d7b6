"""A state machine's snapshot, one per copy of a group's log.

A sealed file of the log (`log_file`, magic `SLSNAPS` and a zero byte) beside the directory of the
copy's segments, and of the same number. After the identity, little-endian: u64 end offset, u64 term
of the entry before it, then the state machine's bytes.
"""

from __future__ import annotations

import struct
from typing import Final

from replication.errors import LogCorrupt, StorageFailed
from replication.ports import Disk
from replication.types import LogPosition, Offset, Term
from streamlog.storage.log_file import read_log_file, write_log_file
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion
from streamlog.storage.segments.segment_file import SegmentIdentity

_MAGIC: Final = b"SLSNAPS\0"
_HEAD: Final = struct.Struct("<QQ")


async def save(
    disk: Disk, path: str, identity: SegmentIdentity, through: LogPosition, data: bytes
) -> None:
    """Replace the snapshot; durable when it returns. Raises OSError."""
    content = _HEAD.pack(through.end, through.term) + data
    await write_log_file(disk, path, _MAGIC, identity, content)


async def load_below(
    disk: Disk, path: str, identity: SegmentIdentity, start: Offset, *, freed_by_snapshots: bool
) -> tuple[LogPosition, bytes] | None:
    """The snapshot that a log needs which begins at `start`; None when there is none, or none that
    can be read, and the log is whole.

    Raises as `load`; LogCorrupt also when what lies between the snapshot and the log is not here.
    """
    try:
        loaded = await load(disk, path, identity)
    except LogCorrupt:
        if start == 0:
            return None
        raise
    end = loaded[0].end if loaded is not None else None
    check_reach(end, path, identity, start, freed_by_snapshots=freed_by_snapshots)
    return loaded


def check_reach(
    end: Offset | None,
    path: str,
    identity: SegmentIdentity,
    start: Offset,
    *,
    freed_by_snapshots: bool,
) -> None:
    """Raises LogCorrupt unless a snapshot up to `end` (None: there is none) and a log that begins
    at `start` have everything between them."""
    if end is None and start > 0 and freed_by_snapshots:
        detail = f"is missing, and the log begins at offset {start}"
        raise LogCorrupt(identity.group_id, path, detail)
    if end is not None and end < start:
        detail = f"ends at offset {end}, and the log begins at {start}: an older one"
        raise LogCorrupt(identity.group_id, path, detail)


async def load(
    disk: Disk, path: str, identity: SegmentIdentity
) -> tuple[LogPosition, bytes] | None:
    """The snapshot; None when there is none. Raises LogCorrupt; StorageFailed when a newer version
    of the software wrote it; OSError."""
    try:
        content = await read_log_file(disk, path, _MAGIC, identity)
    except UnknownVersion as error:
        raise StorageFailed("reading a snapshot", str(error)) from error
    except DamagedFile as error:
        raise LogCorrupt(identity.group_id, path, error.detail) from error
    if content is None:
        return None
    end, term = _HEAD.unpack_from(content)
    return LogPosition(Term(term), Offset(end)), content[_HEAD.size :]
