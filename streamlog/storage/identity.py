"""Who a data directory is: its cluster, its node, itself.

`node.identity` is a sealed file (`sealed_file`) that holds a streamlog.storage.v1.NodeIdentity. It
is written when the directory is formatted; only a cluster id that was not known then is added, and
while the node runs a damaged file is written anew. The directory id is also the journal's id, so a
journal file that was copied in from another directory never passes a checksum.

`running` is an empty file that is there while a node runs: when a start finds it, the stop before
was not clean.

Invariant: a directory that holds anything else but no identity is refused, never formatted: a
blank disk under an old id must not pass as the old node.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import Final

from google.protobuf.message import DecodeError

from replication.ports import Disk, Random
from replication.types import DirectoryId, NodeId, halves, whole
from streamlog.storage.sealed_file import DamagedFile, read_sealed, write_sealed
from streamlog.storage.v1 import storage_pb2

PATH: Final = "node.identity"
RUNNING_PATH: Final = "running"
FORMAT_VERSION: Final = 1
_MAGIC: Final = b"SLIDENT\0"


class IdentityRefused(Exception):
    """The data directory is not what the node was told it is."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Content of `node.identity`."""

    cluster_id: int
    """128 random bits."""
    node_id: NodeId
    directory_id: DirectoryId
    formatted_at_ms: int
    """Unix milliseconds."""


async def format_directory(
    disk: Disk, random: Random, *, cluster_id: int, node_id: NodeId, wall_ms: int
) -> NodeIdentity:
    """Make an empty directory the node's; durable when it returns.

    Raises IdentityRefused when the directory holds anything, OSError.
    """
    if not 1 <= node_id < 1 << 31:
        raise IdentityRefused(PATH, f"node id {node_id} is not in 1 to {(1 << 31) - 1}")
    # The lock file belongs to the Disk port, a temporary file to an earlier try.
    held = [
        name
        for name in await disk.list_directory("")
        if not name.startswith((".", "lock")) and name != f"{PATH}.tmp"
    ]
    if held:
        raise IdentityRefused(
            PATH, f"the data directory is not empty: it holds {', '.join(held[:5])}"
        )
    identity = NodeIdentity(
        cluster_id=cluster_id,
        node_id=node_id,
        directory_id=DirectoryId(random.getrandbits(128) or 1),
        formatted_at_ms=wall_ms,
    )
    await write_identity(disk, identity)
    return identity


async def adopt_cluster(disk: Disk, identity: NodeIdentity, cluster_id: int) -> NodeIdentity:
    """Note the cluster that a directory formatted without one (cluster id 0) belongs to.

    Raises IdentityRefused when it belongs to another already, OSError.
    """
    if identity.cluster_id == cluster_id:
        return identity
    if identity.cluster_id != 0:
        raise IdentityRefused(
            PATH,
            f"the data directory belongs to cluster {identity.cluster_id:032x}, not to "
            f"{cluster_id:032x}",
        )
    adopted = replace(identity, cluster_id=cluster_id)
    await write_identity(disk, adopted)
    return adopted


async def write_identity(disk: Disk, identity: NodeIdentity) -> None:
    """Let the directory have this identity; durable when it returns. Raises OSError."""
    cluster_high, cluster_low = halves(identity.cluster_id)
    directory_high, directory_low = halves(identity.directory_id)
    message = storage_pb2.NodeIdentity(
        format_version=FORMAT_VERSION,
        cluster_id_high=cluster_high,
        cluster_id_low=cluster_low,
        node_id=identity.node_id,
        directory_id_high=directory_high,
        directory_id_low=directory_low,
        formatted_at_ms=identity.formatted_at_ms,
    )
    await write_sealed(disk, PATH, _MAGIC, FORMAT_VERSION, message.SerializeToString())


async def load_identity(disk: Disk) -> NodeIdentity | None:
    """The directory's identity; None when it has none.

    Raises IdentityRefused when it is damaged or of a newer version, OSError.
    """
    try:
        sealed = await read_sealed(disk, PATH, _MAGIC, FORMAT_VERSION)
        if sealed is None:
            return None
        message = storage_pb2.NodeIdentity.FromString(sealed.content)
    except (DamagedFile, DecodeError) as error:
        raise IdentityRefused(PATH, str(error)) from error
    if message.format_version != FORMAT_VERSION:
        raise IdentityRefused(
            PATH,
            f"data directory of format version {message.format_version}; this version knows "
            f"{FORMAT_VERSION}",
        )
    return NodeIdentity(
        cluster_id=whole(message.cluster_id_high, message.cluster_id_low),
        node_id=NodeId(message.node_id),
        directory_id=DirectoryId(whole(message.directory_id_high, message.directory_id_low)),
        formatted_at_ms=message.formatted_at_ms,
    )


async def identity_damage(disk: Disk, identity: NodeIdentity) -> str | None:
    """Why the directory does not tell this identity, which it was given; None: it does.

    Raises OSError when that can not be known (an error of the medium, EIO, is damage), and
    IdentityRefused when the path leads to another node's directory by now.
    """
    try:
        found = await load_identity(disk)
    except IdentityRefused as error:
        return error.reason
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return str(error)
    if found is None:
        return "the file is gone"
    if found.directory_id != identity.directory_id:
        raise IdentityRefused(
            PATH,
            f"it is that of data directory {found.directory_id:032x}, and this node runs on"
            f" {identity.directory_id:032x}: another directory was put in its place",
        )
    return None if found == identity else "the file is an older one"


async def mark_running(disk: Disk) -> bool:
    """Note that the node runs, durably. True when the mark of an earlier run was still there:
    that run did not stop cleanly. Raises OSError."""
    try:
        file = await disk.open(RUNNING_PATH, create=True)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        return True
    await file.close()
    await disk.sync_directory("")
    return False


async def mark_stopped(disk: Disk) -> None:
    """Note a clean stop. Raises OSError."""
    await disk.remove(RUNNING_PATH)
    await disk.sync_directory("")
