"""One identity, one process: a data directory and a copy of it must never run side by side.

Two processes with one identity would both vote for the same replicas, and acknowledge for them:
two majorities could be had at once. Files can be locked on one machine only, so the other nodes
tell: each hears the process behind a node id in its heartbeats, by the boot id, which is new at
each start.

| when | what |
|---|---|
| a node starts | it asks the controllers whom they hear under its id, before it takes part in anything; as long as that is another process that lives, it waits, and after a while it refuses to start |
| a peer hears two | it talks to the one that it hears already |
| a node registers | the metadata's leader refuses while it hears another process under the id |
| a registration is overtaken by another start of the same directory | the node stops |

A process that died is not heard any more, within the failure detection time at most; so a restart
waits no longer than that. What this can not see is a copy, or a backup, that is started when the
original does not run: it forgot what it promised since, and nothing tells.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final

from google.protobuf.message import DecodeError

from replication.ports import CallFailed
from replication.types import DirectoryId, NodeId, whole
from streamlog.cluster.calls import PeerChannels
from streamlog.cluster.formation import Identity
from streamlog.cluster.metadata.state import Node
from streamlog.cluster.v1 import cluster_service_pb2 as pb
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.node import NodeConfig

ASK_TIMEOUT_MS: Final = 1_000
ASK_PAUSE_MS: Final = 100
PATIENCE_TIMEOUTS: Final = 3
"""Election timeouts for which a process that died may still be taken for alive."""
PATIENCE_MS_MIN: Final = 5_000
"""However short those are: who tells may be busy, or far away."""


class Twins:
    """Looks for other processes of this node's identity."""

    def __init__(
        self, config: NodeConfig, identity: Identity, boot_id: int, channels: PeerChannels
    ) -> None:
        self._identity, self._boot_id, self._channels = identity, boot_id, channels
        self._patience_ms = max(PATIENCE_MS_MIN, PATIENCE_TIMEOUTS * config.election_timeout_ms)
        self._places = [
            address
            for node_id, address in config.controllers
            if node_id != config.node_id or address != config.advertised
        ]

    async def refuse(self) -> None:
        """Return when no other process of this identity is heard. Raises StreamlogError
        (IDENTITY_IN_USE) when one is, all the time."""
        for _ in range(math.ceil(self._patience_ms / ASK_PAUSE_MS)):
            tellers = await self._tellers()
            if not tellers:
                return
            await asyncio.sleep(ASK_PAUSE_MS / 1_000)
        raise StreamlogError(
            Reason.IDENTITY_IN_USE,
            f"another process runs as node {self._identity.node_id} on data directory"
            f" {self._identity.directory_id:032x} or a copy of it, as {', '.join(tellers)} tells:"
            " stop that one first; a copy needs to be deleted, and its node to be started on an"
            " empty directory with a node id that was never used",
            {"node_id": str(self._identity.node_id)},
        )

    def overtaken_by(self, node: Node | None) -> StreamlogError | None:
        """Why this node must stop; None while the metadata names this start of it, or a start
        before it. `node`: as it is registered."""
        if node is None or node.boot_id == self._boot_id:
            return None
        return StreamlogError(
            Reason.IDENTITY_IN_USE,
            f"node {self._identity.node_id} was started once more, at {node.address}, on data"
            f" directory {self._identity.directory_id:032x} or a copy of it: only one of them may"
            " run, so this one stops",
            {"node_id": str(self._identity.node_id)},
        )

    async def _tellers(self) -> Sequence[str]:
        """Addresses of those that hear another process, or are it."""
        found = await asyncio.gather(*(self._is_told(address) for address in self._places))
        return [a for a, told in zip(self._places, found, strict=True) if told]

    async def _is_told(self, address: str) -> bool:
        request = pb.DescribeNodeRequest(node_id=self._identity.node_id).SerializeToString()
        try:
            data = await self._channels.call(address, "DescribeNode", request, ASK_TIMEOUT_MS)
            answer = pb.DescribeNodeResponse.FromString(data)
        except (CallFailed, StreamlogError, DecodeError):
            return False
        node_id = NodeId(answer.node_id)
        directory_id = DirectoryId(whole(answer.directory_id_high, answer.directory_id_low))
        if (node_id, directory_id) == (self._identity.node_id, self._identity.directory_id):
            return bool(answer.boot_id != self._boot_id)
        return answer.heard_boot_id not in {0, self._boot_id}
