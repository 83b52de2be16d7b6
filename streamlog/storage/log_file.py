"""Sealed files of one log that say whose they are: states and snapshots.

The content begins with the log's identity (format version 2; version 1 had none), so that a file
of another log, which landed here by a misdirected write or an operator's hand, is not taken for
the log's own. Little-endian:

| at | size | field |
|---|---|---|
| 0 | 8 | cluster id, high half |
| 8 | 8 | low half |
| 16 | 8 | topic id |
| 24 | 4 | partition |
| 28 | 8 | group id |
| 36 | rest | what the kind of file holds |
"""

from __future__ import annotations

import struct
from typing import Final

from replication.ports import Disk
from replication.types import GroupId, halves, whole
from streamlog.storage.sealed_file import DamagedFile, read_sealed, write_sealed
from streamlog.storage.segments.segment_file import SegmentIdentity

LOG_FILE_VERSION: Final = 2
_WITHOUT_IDENTITY: Final = 1
_IDENTITY: Final = struct.Struct("<QQQIQ")


async def write_log_file(
    disk: Disk, path: str, magic: bytes, identity: SegmentIdentity, content: bytes
) -> None:
    """Replace the file at `path`; durable when it returns. Raises OSError."""
    head = _IDENTITY.pack(
        *halves(identity.cluster_id),
        identity.topic_id,
        identity.partition,
        identity.group_id,
    )
    await write_sealed(disk, path, magic, LOG_FILE_VERSION, head + content)


async def read_log_file(
    disk: Disk, path: str, magic: bytes, identity: SegmentIdentity | None
) -> bytes | None:
    """Content without the identity; None when there is no file. `identity` None: any.

    Raises DamagedFile, UnknownVersion, OSError.
    """
    sealed = await read_sealed(disk, path, magic, LOG_FILE_VERSION)
    if sealed is None:
        return None
    if sealed.version == _WITHOUT_IDENTITY:
        return sealed.content
    if len(sealed.content) < _IDENTITY.size:
        raise DamagedFile(path, f"{len(sealed.content)} bytes of content, too few")
    high, low, topic_id, partition, group_id = _IDENTITY.unpack_from(sealed.content)
    found = SegmentIdentity(whole(high, low), topic_id, partition, GroupId(group_id))
    if identity not in {None, found}:
        raise DamagedFile(path, f"belongs to {found}, not to {identity}")
    return sealed.content[_IDENTITY.size :]
