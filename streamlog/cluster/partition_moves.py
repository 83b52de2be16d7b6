"""Moves partitions: each leader brings its groups to the replicas that the metadata asks for.

Only partitions that the metadata calls `moving` are looked at. A leader takes one step at a time
(`membership_steps`), and tells the metadata when a group has come to what is wanted; only then
do the nodes that are left behind delete their replicas. A new leader, or a restarted node, goes on
where the last one stopped: there is nothing to remember but the wish and the group's own members.

Bounds: at most COPIES_MAX groups of a node copy to new replicas at a time, at the pace that
`replication.multiraft.copy_rate` sets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from replication.errors import ReplicationError
from replication.group import GroupHost, ReplicatedGroup
from replication.raft.effects import Role
from replication.types import GroupId, NodeId, Offset
from streamlog.cluster.forwarding import Forwarding
from streamlog.cluster.intervals import gather_bounded
from streamlog.cluster.membership_steps import RecentEnds, take_step
from streamlog.cluster.metadata.records import Record, SettledGroup, SettlePartitions
from streamlog.cluster.metadata.state import MetadataState, Partition
from streamlog.model.errors import StreamlogError

ROUND_MS: Final = 200
COPIES_MAX: Final = 4
STEPS_CONCURRENT: Final = 16
SETTLE_TIMEOUT_MS: Final = 5_000

_log = logging.getLogger(__name__)


class PartitionMoves:
    """Of one node. Implements replication.runtime.applied.AppliedListener."""

    def __init__(self, host: GroupHost, forwarding: Forwarding) -> None:
        self._host, self._forwarding = host, forwarding
        self._state: MetadataState | None = None
        self._ends: dict[GroupId, RecentEnds] = {}
        """Of the groups that move and were led here in the last round."""
        self._wake = asyncio.Event()

    def records_applied(
        self, records: Sequence[tuple[Offset, Record]], state: MetadataState, end: Offset
    ) -> None:
        del records
        self.state_replaced(state, end)

    def state_replaced(self, state: MetadataState, end: Offset) -> None:
        del end
        self._state = state
        if state.moving:
            self._wake.set()

    async def run(self) -> None:
        """Takes steps while anything moves, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._state is not None and self._state.moving:
                await self._round(self._state)
                await asyncio.sleep(ROUND_MS / 1_000)

    async def _round(self, state: MetadataState) -> None:
        """One step of each group that this node leads."""
        live = self._host.live_nodes()
        led = [
            (partition, group)
            for group_id in sorted(state.moving)
            if (group := self._host.groups.get(group_id)) is not None
            and group.role is Role.LEADER
            and group.established
            for partition in (state.moving[group_id],)
        ]
        self._ends = {
            partition.group_id: self._ends.get(partition.group_id) or RecentEnds()
            for partition, _ in led
        }
        copying = 0
        steps = []
        for partition, group in led:
            may_begin = False
            if _copies(partition, group) and _reachable(partition, live):
                copying += 1
                may_begin = copying <= COPIES_MAX
            steps.append(partial(self._step, partition, group, live, may_begin=may_begin))
        settled = [group for group in await gather_bounded(steps, STEPS_CONCURRENT) if group]
        if settled:
            await self._settle(settled)

    async def _step(
        self,
        partition: Partition,
        group: ReplicatedGroup,
        live: frozenset[NodeId],
        *,
        may_begin: bool,
    ) -> SettledGroup | None:
        target = partition.membership()
        try:
            ends = self._ends[partition.group_id]
            if not await take_step(group, target, live, ends, may_begin=may_begin):
                return None
        except ReplicationError as error:
            _log.info("move_postponed", extra={"group": partition.group_id, "reason": str(error)})
            return None
        replica_ids = tuple(voter.replica_id for voter in target.voters)
        return SettledGroup(partition.topic_id, partition.number, target.version, replica_ids)

    async def _settle(self, groups: Sequence[SettledGroup]) -> None:
        try:
            await self._forwarding.execute(SettlePartitions(tuple(groups)), SETTLE_TIMEOUT_MS)
        except StreamlogError as error:
            _log.info("moves_not_settled_yet", extra={"reason": str(error)})
        else:
            _log.info("moves_settled", extra={"groups": len(groups)})


def _copies(partition: Partition, group: ReplicatedGroup) -> bool:
    """Replicas that shall vote do not yet: they are copied to, or are to be."""
    return any(not group.membership.is_voter(each.replica_id) for each in partition.replicas)


def _reachable(partition: Partition, live: frozenset[NodeId]) -> bool:
    return all(replica.node_id in live for replica in partition.replicas)
