"""Gives out producer ids from blocks that the node got from the metadata.

Invariant: an id is given out once in the life of the cluster; ids of a block that a restart left
unused are lost.
"""

from __future__ import annotations

import asyncio
from typing import Final

from replication.types import NodeId
from streamlog.cluster.forwarding import Forwarding
from streamlog.cluster.metadata.records import AllocateProducerIds

BLOCK_IDS: Final = 1_000


class ProducerIds:
    """The node's block of producer ids."""

    def __init__(self, node_id: NodeId, forwarding: Forwarding) -> None:
        self._node_id, self._forwarding = node_id, forwarding
        self._next = self._end = 0
        self._lock = asyncio.Lock()

    async def take(self, timeout_ms: float) -> int:
        """An id that nobody else has or had. Raises StreamlogError (METADATA_UNAVAILABLE)."""
        async with self._lock:
            if self._next == self._end:
                # Asking twice at worst wastes a block.
                executed = await self._forwarding.execute(
                    AllocateProducerIds(self._node_id, BLOCK_IDS), timeout_ms
                )
                self._next = executed.first_producer_id
                self._end = self._next + BLOCK_IDS
            self._next += 1
            return self._next - 1
