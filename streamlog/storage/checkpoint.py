"""Checkpoints: everything of a node's logs that the journal need not say again.

A checkpoint is a sealed file `checkpoint/<generation, 16 hex digits>.checkpoint` (`sealed_file`,
magic SLCHECK and a zero byte) that holds a streamlog.storage.v1.Checkpoint. Two generations are kept, and the
journal files that the older one needs: when the newest file is damaged, recovery begins at the
one before and replays more.

Invariants:
- A checkpoint is written only after everything it names is fsynced, and every journal frame that
  it covers is durable.
- Journal files are released only after the checkpoint is durable.

A group is captured only when it changed; the others' serialized messages are used again, so the
cost of a checkpoint follows the number of active groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from replication.errors import StorageFailed
from replication.ports import Disk
from replication.types import GroupId, halves, whole
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion, read_sealed, write_sealed
from streamlog.storage.v1 import storage_pb2

DIRECTORY: Final = "checkpoint"
GENERATIONS_KEPT: Final = 2
FORMAT_VERSION: Final = 1
_MAGIC: Final = b"SLCHECK\0"
_SUFFIX: Final = ".checkpoint"
_GROUPS_TAG: Final = storage_pb2.Checkpoint.GROUPS_FIELD_NUMBER << 3 | 2


@dataclass(frozen=True, slots=True)
class CheckpointHead:
    """All of a checkpoint but its groups."""

    directory_id: int
    """Identity of the data directory, 128 bits."""
    generation: int
    begin_lsn: int
    first_file_sequence: int
    first_file_lsn: int
    clean_stop: bool
    deleted_groups: Sequence[GroupId]


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """The newest checkpoint that could be read, and what was passed over."""

    message: storage_pb2.Checkpoint | None
    """None: there is no checkpoint at all."""
    content: bytes
    """Of that checkpoint."""
    newest_generation: int
    damaged: Sequence[str]


def path_of(generation: int) -> str:
    """Relative path of a checkpoint."""
    return f"{DIRECTORY}/{generation:016x}{_SUFFIX}"


async def write(disk: Disk, head: CheckpointHead, groups: Mapping[GroupId, bytes]) -> int:
    """Write a checkpoint and remove those that are too old; returns its bytes. Raises OSError.

    `groups` holds serialized GroupCheckpoints; they are put into the message as they are (a
    field of bytes and one of a message are the same on the wire).
    """
    high, low = halves(head.directory_id)
    message = storage_pb2.Checkpoint(
        generation=head.generation,
        begin_lsn=head.begin_lsn,
        first_file_sequence=head.first_file_sequence,
        first_file_lsn=head.first_file_lsn,
        clean_stop=head.clean_stop,
        deleted_groups=head.deleted_groups,
        directory_id_high=high,
        directory_id_low=low,
    )
    parts = [message.SerializeToString(deterministic=True)]
    for group_id in sorted(groups):
        parts.append(bytes((_GROUPS_TAG,)) + _varint(len(groups[group_id])))
        parts.append(groups[group_id])
    content = b"".join(parts)
    await write_content(disk, head.generation, content)
    return len(content)


async def write_content(disk: Disk, generation: int, content: bytes) -> None:
    """Write a checkpoint that is serialized already; as `write`.

    Recovery writes the checkpoint that it begins with again: it may have been seen in the page
    cache only, and what recovery removes or cuts on its word must not outlive it.
    """
    await disk.make_directory(DIRECTORY)
    await disk.sync_directory("")
    await write_sealed(disk, path_of(generation), _MAGIC, FORMAT_VERSION, content)
    for older in await _generations(disk):
        if older <= generation - GENERATIONS_KEPT:
            await disk.remove(path_of(older))


async def load_newest(disk: Disk, directory_id: int | None) -> LoadedCheckpoint:
    """The newest checkpoint that passes its checks; one of another directory does not, unless
    `directory_id` is None.

    Raises OSError, UnknownVersion, and StorageFailed when there are checkpoints but none can be
    read.
    """
    generations = await _generations(disk)
    damaged: list[str] = []
    for generation in sorted(generations, reverse=True):
        path = path_of(generation)
        try:
            sealed = await read_sealed(disk, path, _MAGIC, FORMAT_VERSION)
            if sealed is None:
                raise DamagedFile(path, "the file is gone")
            message = storage_pb2.Checkpoint.FromString(sealed.content)
            found = whole(message.directory_id_high, message.directory_id_low)
            if directory_id is not None and found not in {0, directory_id}:
                raise DamagedFile(path, f"is of directory {found:032x}, not {directory_id:032x}")
        except UnknownVersion:
            raise
        except (DamagedFile, DecodeError) as error:
            damaged.append(str(error))
            continue
        return LoadedCheckpoint(message, sealed.content, max(generations), damaged)
    if damaged:
        raise StorageFailed("recovery", f"no checkpoint can be read: {'; '.join(damaged)}")
    return LoadedCheckpoint(None, b"", 0, ())


async def _generations(disk: Disk) -> list[int]:
    found: list[int] = []
    for name in await disk.list_directory(DIRECTORY):
        stem = name.removesuffix(_SUFFIX)
        if stem != name:
            try:
                found.append(int(stem, 16))
            except ValueError:
                continue  # Not a checkpoint's name; left alone.
    return found


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
