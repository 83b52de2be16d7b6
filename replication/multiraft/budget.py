"""Node-wide bounds on bytes in memory: proposed and not committed, received and not fsynced."""

from __future__ import annotations

import asyncio

from replication.errors import Overloaded


class NodeBudget:
    """Counts bytes of all groups.

    Invariant: both counts are sums over the groups' own, and never negative.
    """

    def __init__(self, uncommitted_max: int, unsynced_max: int) -> None:
        self.uncommitted_max = uncommitted_max
        self.unsynced_max = unsynced_max
        self.uncommitted_bytes = 0
        self.unsynced_bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    def check_proposal(self, size_bytes: int) -> None:
        """Raises Overloaded when the node holds too many uncommitted bytes."""
        if self.uncommitted_bytes and self.uncommitted_bytes + size_bytes > self.uncommitted_max:
            raise Overloaded(
                "the node's uncommitted bytes", self.uncommitted_bytes, self.uncommitted_max
            )

    def received(self, size_bytes: int) -> None:
        """Bytes were appended for a leader."""
        self.unsynced_bytes += size_bytes
        if self.unsynced_bytes > self.unsynced_max:
            self._room.clear()

    def synced(self, size_bytes: int) -> None:
        """They are on the disk, or the group is gone."""
        self.unsynced_bytes -= size_bytes
        if self.unsynced_bytes <= self.unsynced_max:
            self._room.set()

    async def room(self) -> None:
        """Returns when more may be received."""
        if not self._room.is_set():
            await self._room.wait()
