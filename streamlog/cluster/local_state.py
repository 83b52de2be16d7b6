"""What the cluster layer of a node keeps on its own disk: the sealed file `cluster.state`.

It answers two questions after a restart: which cluster does this directory belong to, and which
replicas must be here? A replica that was created once and is gone now has lost data: made anew it
would vote with a blank memory, so it stays out, and is reported.

Invariant: `founding` is set once and never changed; `metadata_group_created` goes back only with
another `metadata_replica_id`, and `created_through` never falls.
Invariant: the file is replaced whole; saves follow each other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Final

from replication.errors import StorageFailed, invariant
from replication.ports import Disk
from replication.types import GroupId, Offset, ReplicaId
from streamlog.cluster.metadata.codec import founding_from_proto, founding_to_proto
from streamlog.cluster.metadata.state import Founding
from streamlog.cluster.v1 import local_state_pb2 as pb
from streamlog.storage.sealed_file import DamagedFile, read_sealed, write_sealed

PATH: Final = "cluster.state"
FORMAT_VERSION: Final = 1
ADVICE: Final = (
    "Put this node's own file back as it was; if it is lost, start a node in its place, on an empty"
    " data directory and under a node id that was never used"
)
_MAGIC: Final = b"SLCLSTR\0"


@dataclass(frozen=True, slots=True)
class LocalState:
    """Content of `cluster.state`."""

    founding: Founding | None = None
    """The cluster the node belongs to; None while the directory is blank."""
    metadata_replica_id: ReplicaId | None = None
    """The node's replica of group 0."""
    metadata_group_created: bool = False
    created_through: Offset = Offset(0)
    """Creations and removals by records of group 0 below this offset were carried out."""
    waiting: tuple[tuple[GroupId, ReplicaId], ...] = ()
    """But for the creation of these: an older replica has yet to leave their place, or was leaving
    it when this was saved."""
    creations_forgotten: bool = False
    """Part of the journal could not be read: replicas may have been created here, after
    `created_through` was saved, of which nothing here tells any more."""


class LocalStateFile:
    """Reads and replaces the file."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._state = LocalState()
        self._lock = asyncio.Lock()

    @property
    def state(self) -> LocalState:
        """As it is on the disk."""
        return self._state

    async def load(self) -> None:
        """Read the file; a missing one means blank.

        Raises StorageFailed when it is damaged or of a newer version: the node does not know any
        more which replicas must be here. OSError.
        """
        try:
            sealed = await read_sealed(self._disk, PATH, _MAGIC, FORMAT_VERSION)
        except DamagedFile as error:
            raise StorageFailed("reading the node's state", f"{error}. {ADVICE}") from error
        if sealed is None:
            return
        message = pb.LocalState.FromString(sealed.content)
        self._state = LocalState(
            founding_from_proto(message.founding) if message.HasField("founding") else None,
            ReplicaId(message.metadata_replica_id) if message.metadata_replica_id else None,
            message.metadata_group_created,
            Offset(message.created_through),
            tuple((GroupId(each.group_id), ReplicaId(each.replica_id)) for each in message.waiting),
            message.creations_forgotten,
        )

    async def save(self, **changes: Any) -> None:
        """Change fields of LocalState; durable when it returns. Raises OSError."""
        async with self._lock:
            before, after = self._state, replace(self._state, **changes)
            if after == before:
                return
            invariant(before.founding in {None, after.founding}, "a node changed its cluster")
            invariant(before.created_through <= after.created_through, "a mark moved back")
            message = pb.LocalState(
                metadata_replica_id=after.metadata_replica_id or 0,
                metadata_group_created=after.metadata_group_created,
                created_through=after.created_through,
                waiting=[
                    pb.WaitingReplica(group_id=group_id, replica_id=replica_id)
                    for group_id, replica_id in after.waiting
                ],
                creations_forgotten=after.creations_forgotten,
            )
            if after.founding is not None:
                message.founding.CopyFrom(founding_to_proto(after.founding))
            content = message.SerializeToString(deterministic=True)
            await write_sealed(self._disk, PATH, _MAGIC, FORMAT_VERSION, content)
            self._state = after
