"""A state machine's snapshot, one per copy of a group's log.

A sealed file (`sealed_file`, magic `SLSNAPS` and a zero byte) in the directory of the group's segments, so that
a copy of a log and the snapshot it begins with become valid by one rename. Content, little-endian:
u64 end offset, u64 term of the entry before it, then the state machine's bytes.
"""

from __future__ import annotations

import struct
from typing import Final

from replication.errors import LogCorrupt, StorageFailed
from replication.ports import Disk
from replication.types import GroupCreation, GroupId, LogPosition, Offset, Term
from streamlog.storage.sealed_file import (
    DamagedFile,
    UnknownVersion,
    read_sealed,
    write_sealed,
)

_MAGIC: Final = b"SLSNAPS\0"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<QQ")


async def save(disk: Disk, path: str, through: LogPosition, data: bytes) -> None:
    """Replace the snapshot; durable when it returns. Raises OSError."""
    content = _HEAD.pack(through.end, through.term) + data
    await write_sealed(disk, path, _MAGIC, _VERSION, content)


async def load_below(
    disk: Disk, path: str, creation: GroupCreation, start: Offset
) -> tuple[LogPosition, bytes] | None:
    """The snapshot that a log needs which begins at `start`; None when there is none, or none that
    can be read, and the log is whole.

    Raises as `load`; LogCorrupt also when what lies between the snapshot and the log is not here.
    """
    try:
        loaded = await load(disk, path, creation.group_id)
    except LogCorrupt:
        if start == 0:
            return None
        raise
    if loaded is None and start > 0 and creation.freed_by_snapshots:
        detail = f"is missing, and the log begins at offset {start}"
        raise LogCorrupt(creation.group_id, path, detail)
    if loaded is not None and loaded[0].end < start:
        detail = f"ends at offset {loaded[0].end}, and the log begins at {start}: an older one"
        raise LogCorrupt(creation.group_id, path, detail)
    return loaded


async def load(disk: Disk, path: str, group_id: GroupId) -> tuple[LogPosition, bytes] | None:
    """The snapshot; None when there is none. Raises LogCorrupt; StorageFailed when a newer version
    of the software wrote it; OSError."""
    try:
        content = await read_sealed(disk, path, _MAGIC, _VERSION)
    except UnknownVersion as error:
        raise StorageFailed("reading a snapshot", str(error)) from error
    except DamagedFile as error:
        raise LogCorrupt(group_id, path, error.detail) from error
    if content is None:
        return None
    end, term = _HEAD.unpack_from(content)
    return LogPosition(Term(term), Offset(end)), content[_HEAD.size :]
