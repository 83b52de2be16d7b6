"""Who leads what: leaders go home after a failure, and leave a node before it stops.

Every partition has a preferred leader, spread over the nodes when it was placed. After a failure
others lead, and the node that comes back leads nothing. So each node looks, once in a while, at
what it leads and hands it to the preferred leader, when that one lives and has nearly everything.
There is no coordinator, and no ping-pong: only one node is preferred.

A node in maintenance, or one that is drained, leads only what nobody else can: it hands over as long
as it is so, and nobody hands over to it.

Before a node stops it hands over all it leads. Its clients then wait for a transfer (milliseconds)
and not for an election timeout.

Invariant: a partition is handed over only to a voter that lives and lacks at most LAG_MAX offsets,
because its leader takes nothing new while the other catches up.
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
from replication.types import METADATA_GROUP, GroupId, NodeId, Offset, Replica
from streamlog.cluster.intervals import gather_bounded
from streamlog.cluster.membership_steps import LAG_MAX
from streamlog.cluster.metadata.state import NodeCondition
from streamlog.cluster.view import ClusterView

REST_CHECK_MS: Final = 500
RETURNS_CONCURRENT: Final = 8
"""Going home is not urgent, and each transfer holds a partition up for a moment."""
LEAVES_CONCURRENT: Final = 64

_log = logging.getLogger(__name__)


class Leadership:
    """Moves the leaderships of this node."""

    def __init__(self, node_id: NodeId, view: ClusterView, host: GroupHost) -> None:
        self._node_id, self._view, self._host = node_id, view, host
        self._away: dict[GroupId, None] = {}
        """Groups whose preferred leader could have had them in the last round."""

    async def return_home(self) -> int:
        """One round; returns how many groups went.

        A group goes when two rounds in a row find its preferred leader ready: a node that comes
        and goes is left alone.
        """
        ready = {
            group_id: target
            for group_id, group in self._led().items()
            if (target := self._home_of(group)) is not None
        }
        due = [group_id for group_id in ready if group_id in self._away]
        self._away = dict.fromkeys(ready)
        moved = await gather_bounded(
            [partial(self._hand_over, group_id, [ready[group_id]]) for group_id in due],
            RETURNS_CONCURRENT,
        )
        if due:
            _log.info("leaders_returned", extra={"moved": sum(moved), "due": len(due)})
        return sum(moved)

    async def rest(self) -> None:
        """One round of a node that shall not lead; nothing on any other."""
        if self._in_service(self._node_id):
            return
        moved = await gather_bounded(
            [partial(self.hand_over, group_id) for group_id in sorted(self._led())],
            RETURNS_CONCURRENT,
        )
        if any(moved):
            _log.info("leaders_left_resting_node", extra={"moved": sum(moved)})

    def _in_service(self, node_id: NodeId) -> bool:
        node = self._view.node(node_id)
        return node is None or node.condition is NodeCondition.ACTIVE

    async def leave(self, timeout_ms: int) -> int:
        """Hand over everything this node leads; returns how much it still leads at the end.

        The metadata goes last: clients ask for new leaders while the others move.
        """
        groups = sorted(self._led(), key=lambda group_id: (group_id == METADATA_GROUP, group_id))
        if not groups or not timeout_ms:
            return len(groups)
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                await gather_bounded(
                    [partial(self.hand_over, group_id) for group_id in groups], LEAVES_CONCURRENT
                )
        except TimeoutError:
            pass  # what is left is elected after the stop
        left = len(self._led())
        _log.info("leadership_handed_over", extra={"moved": len(groups) - left, "left": left})
        return left

    async def hand_over(self, group_id: GroupId) -> bool:
        """Hand one group over; whether it is led elsewhere now."""
        group = self._led().get(group_id)
        return group is not None and await self._hand_over(group_id, self._successors(group))

    async def _hand_over(self, group_id: GroupId, targets: Sequence[NodeId]) -> bool:
        """Try the targets in turn; whether one took over."""
        for target in targets:
            group = self._led().get(group_id)
            if group is None:
                return True
            try:
                await group.transfer_leadership(target)
            except ReplicationError as error:
                _log.debug(
                    "leadership_not_taken",
                    extra={"group": group_id, "target": target, "reason": str(error)},
                )
            else:
                return True
        return False

    def _led(self) -> dict[GroupId, ReplicatedGroup]:
        return {
            group_id: group
            for group_id, group in self._host.groups.items()
            if group.role is Role.LEADER and group.established
        }

    def _home_of(self, group: ReplicatedGroup) -> NodeId | None:
        """The preferred leader, if it is another node that is ready."""
        creation = group.creation
        placed = self._view.partition(creation.topic_id, creation.partition)
        if placed is None or placed.group_id != creation.group_id:
            return None
        home = placed.preferred_leader
        return home if home in self._successors(group) else None

    def _successors(self, group: ReplicatedGroup) -> list[NodeId]:
        """Nodes that could lead: the one that has most first, spread where several have all."""
        live = self._host.live_nodes()
        progress = group.replica_progress()
        end = group.log.end.end

        def match(replica: Replica) -> Offset:
            return progress.get(replica.replica_id, Offset(0))

        ready = [
            replica
            for replica in sorted(group.membership.voters, key=lambda voter: voter.node_id)
            if replica.node_id != self._node_id
            and replica.node_id in live
            and self._in_service(replica.node_id)
            and end - match(replica) <= LAG_MAX
        ]
        turn = group.creation.group_id % max(1, len(ready))
        spread = [*ready[turn:], *ready[:turn]]
        return [replica.node_id for replica in sorted(spread, key=match, reverse=True)]
