"""Lets nodes that do not decide follow the metadata: as its leader, adds them to group 0.

Controllers are voters from the beginning; those that a forced recovery left behind are not, and
follow when they come back.

Invariant: only learners are added; the voters stay as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from replication.errors import ReplicationError
from replication.group import ReplicatedGroup
from replication.raft.effects import Role
from replication.types import Membership, NodeId, Offset, Replica, Term
from streamlog.cluster.metadata.records import NodeRegistered, Record
from streamlog.cluster.metadata.state import MetadataState

RETRY_PAUSE_MS: Final = 200
CHANGE_TIMEOUT_MS: Final = 10_000

_log = logging.getLogger(__name__)


class Learners:
    """Watches registrations and leadership of group 0."""

    def __init__(self, group: ReplicatedGroup) -> None:
        self._group = group
        self._state: MetadataState | None = None
        self._wake = asyncio.Event()

    # AppliedListener.

    def records_applied(
        self, records: Sequence[tuple[Offset, Record]], state: MetadataState, end: Offset
    ) -> None:
        del end
        first, self._state = self._state is None, state
        if first or any(isinstance(record, NodeRegistered) for _, record in records):
            self._wake.set()

    def state_replaced(self, state: MetadataState, end: Offset) -> None:
        del end
        self._state = state
        self._wake.set()

    # GroupObserver.

    def role_changed(self, role: Role, term: Term, leader: NodeId | None) -> None:
        pass

    def leadership_established(self, term: Term) -> None:
        del term
        self._wake.set()

    def committed(self, end: Offset) -> None:
        pass

    def log_replaced(self) -> None:
        pass

    def membership_changed(self, membership: Membership, committed: bool) -> None:
        del membership
        if committed:
            self._wake.set()

    async def run(self) -> None:
        """Adds learners while this node leads, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            target = self._target()
            if target is None:
                continue
            try:
                async with asyncio.timeout(CHANGE_TIMEOUT_MS / 1_000):
                    await self._group.change_membership(target)
            except (ReplicationError, TimeoutError) as error:
                _log.info("learners_postponed", extra={"reason": str(error)})
                await asyncio.sleep(RETRY_PAUSE_MS / 1_000)
            self._wake.set()

    def _target(self) -> Membership | None:
        """The membership with every registered node in it; None when there is nothing to do."""
        if self._state is None or not self._group.established:
            return None
        present = self._group.membership
        if present.joint:
            return None
        missing = [
            Replica(node.metadata_replica_id, node.node_id, node.directory_id)
            for node in self._state.nodes.values()
            if present.find(node.metadata_replica_id) is None
        ]
        if not missing:
            return None
        learners = tuple(sorted((*present.learners, *missing)))
        return Membership(present.voters, (), learners, present.version)
