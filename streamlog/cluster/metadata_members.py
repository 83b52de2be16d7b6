"""Brings group 0 to the members that the metadata in it asks for: as its leader.

A node whose replica was lost is named with another replica id from then on. Controllers vote; every other registered node follows as a learner; a removed node is neither. A
controller that a forced recovery left behind comes back by itself, as a learner at first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from replication.errors import ReplicationError
from replication.group import GroupHost, ReplicatedGroup
from replication.raft.effects import Role
from replication.types import Membership, NodeId, Offset, Replica, Term
from streamlog.cluster.membership_steps import RecentEnds, take_step
from streamlog.cluster.metadata.records import ControllersSet, NodeRegistered, NodeRemoved, Record
from streamlog.cluster.metadata.state import MetadataState

ROUND_MS: Final = 200

_log = logging.getLogger(__name__)


def wanted_members(state: MetadataState) -> Membership:
    """The members that group 0 shall have."""
    founders = {replica.node_id: replica for replica in state.founding.membership.voters}
    registered = {
        node.node_id: Replica(node.metadata_replica_id, node.node_id, node.directory_id)
        for node in state.nodes.values()
    }
    # A founder votes from the beginning, registered or not.
    voters = [
        registered[node_id] if node_id in registered else founders[node_id]
        for node_id in state.controllers
    ]
    learners = [
        replica for node_id, replica in registered.items() if node_id not in state.controllers
    ]
    return Membership(
        tuple(sorted(voters)), (), tuple(sorted(learners)), version=state.members_version
    )


class MetadataMembers:
    """Watches what the metadata asks for, and the leadership of group 0."""

    def __init__(self, group: ReplicatedGroup, host: GroupHost) -> None:
        self._group, self._host = group, host
        self._state: MetadataState | None = None
        self._wake = asyncio.Event()

    # AppliedListener.

    def records_applied(
        self, records: Sequence[tuple[Offset, Record]], state: MetadataState, end: Offset
    ) -> None:
        del end
        first, self._state = self._state is None, state
        if first or any(
            isinstance(record, NodeRegistered | NodeRemoved | ControllersSet)
            for _, record in records
        ):
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
        pass

    async def run(self) -> None:
        """Takes steps while this node leads, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            ends = RecentEnds()
            while self._state is not None and self._group.established:
                target = wanted_members(self._state)
                try:
                    done = await take_step(self._group, target, self._host.live_nodes(), ends)
                except ReplicationError as error:
                    _log.info("metadata_members_postponed", extra={"reason": str(error)})
                    done = False
                if done:
                    break
                await asyncio.sleep(ROUND_MS / 1_000)
