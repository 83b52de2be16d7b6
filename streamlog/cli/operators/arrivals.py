"""Looks at what moves: whether partitions have come to where they shall live, whether a node is
empty; and says how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from streamlog.cli.failure import CommandFailed
from streamlog.cli.output import counted

if TYPE_CHECKING:
    from streamlog.client import (
        Admin,
        ClusterDescription,
        NodeDescription,
        PartitionAssignment,
        PartitionMove,
    )

SHOWN_MAX: Final = 2
"""Partitions that a line names."""
STALE_LOOKS: Final = 20
"""A node that answers may know less than the one that took the change; after so many looks what
differs is somebody else's change."""
WATCH: Final = "the cluster goes on; watch it: streamlog partition moves --watch"


class Arrival:
    """Of partitions at the nodes where they shall live."""

    def __init__(self, admin: Admin, wanted: Sequence[PartitionAssignment]) -> None:
        self._admin = admin
        self._left = {(each.topic, each.partition): each for each in wanted}
        self._total = len(self._left)
        self._elsewhere: dict[tuple[str, int], int] = {}

    async def look(self) -> str | None:
        """What is left; None: all are there. Raises ClientError, CommandFailed (somebody else moved
        one)."""
        moves = {(move.topic, move.partition): move for move in await self._admin.list_moves()}
        for topic in dict.fromkeys(topic for topic, number in self._left):
            if any(key[0] == topic and key not in moves for key in self._left):
                await self._look_at(topic)
        if not self._left:
            return None
        arrived = self._total - len(self._left)
        ours = [moves[key] for key in self._left if key in moves]
        return f"{arrived} of {counted(self._total, 'partition')} moved{_how_far(ours)}"

    async def _look_at(self, topic: str) -> None:
        from streamlog.client import TopicUnknown

        try:
            partitions = (await self._admin.describe_topic(topic)).partitions
        except TopicUnknown:  # it was deleted meanwhile, and is where it shall be
            self._left = {key: each for key, each in self._left.items() if key[0] != topic}
            return
        for partition in partitions:
            key = (topic, partition.partition)
            wish = self._left.get(key)
            if wish is None or partition.moving:
                continue
            if partition.replica_node_ids == wish.node_ids:
                del self._left[key]
                continue
            self._elsewhere[key] = self._elsewhere.get(key, 0) + 1
            if self._elsewhere[key] >= STALE_LOOKS:
                raise CommandFailed(
                    f"{topic}/{partition.partition} is on nodes {_listed(partition.replica_node_ids)}"
                    f" and not on {_listed(wish.node_ids)}: somebody else moved it meanwhile"
                )


class Emptying:
    """Of a node that is drained."""

    def __init__(self, admin: Admin, node_id: int) -> None:
        self._admin, self._node_id = admin, node_id
        self._first: int | None = None
        self._taken_back = 0

    async def look(self) -> str | None:
        """What is left; None: the node holds nothing. Raises ClientError, CommandFailed (somebody
        took it back)."""
        from streamlog.client import NodeCondition

        node = node_of(await self._admin.describe_cluster(), self._node_id)
        if node is None:
            return None
        if node.condition is not NodeCondition.DRAINING:
            self._taken_back += 1
            if self._taken_back >= STALE_LOOKS:
                raise CommandFailed(
                    f"node {self._node_id} is not drained any more: it was taken back into service"
                )
            return "nothing has moved yet"
        self._taken_back = 0
        held = await self._admin.drain_node(self._node_id, force=True, validate_only=True)
        if held == 0:
            return None
        self._first = max(self._first or 0, held)
        moves = [
            move
            for move in await self._admin.list_moves()
            if self._node_id in move.leaving_node_ids
        ]
        gone = self._first - held
        how_far = _how_far(moves) or "; nothing moves now: are the nodes alive that must copy?"
        return f"{gone} of {counted(self._first, 'replica')} given away{how_far}"


def node_of(cluster: ClusterDescription, node_id: int) -> NodeDescription | None:
    """The node, if it is registered."""
    return next((node for node in cluster.nodes if node.node_id == node_id), None)


def progress_of(move: PartitionMove) -> str:
    """How far a partition is, for people: "node 4: 45%"."""
    if not move.progress_known:
        return "no leader" if move.leader_node_id == 0 else "not known"
    if not move.copies:
        return "members change"
    return ", ".join(f"node {copy.node_id}: {move.share_of(copy):.0%}" for copy in move.copies)


def _how_far(moves: Sequence[PartitionMove]) -> str:
    """The end of a line about these: those that are copied to first."""
    copying = sorted(moves, key=lambda move: not move.copies)[:SHOWN_MAX]
    named = [f"{move.topic}/{move.partition} ({progress_of(move)})" for move in copying]
    return f"; under way: {', '.join(named)}" if named else ""


def _listed(node_ids: Sequence[int]) -> str:
    return ", ".join(map(str, node_ids))
