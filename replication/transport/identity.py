"""Who a node is, as it introduces itself to its peers."""

from __future__ import annotations

from dataclasses import dataclass

from replication.errors import invariant
from replication.types import DirectoryId, NodeId


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What a node says of itself in the first message of every stream.

    `cluster_id` is 128 random bits, 0 while the node has not joined a cluster; `boot_id` is 64
    random bits, new at each start of the process.
    """

    node_id: NodeId
    directory_id: DirectoryId
    cluster_id: int
    boot_id: int

    def __post_init__(self) -> None:
        invariant(1 <= self.node_id < 1 << 31, "node id out of range", node_id=self.node_id)
        invariant(0 <= self.directory_id < 1 << 128, "directory id out of range")
        invariant(0 <= self.cluster_id < 1 << 128, "cluster id out of range")
        invariant(0 < self.boot_id < 1 << 64, "boot id out of range", boot_id=self.boot_id)
