"""What operators ask of a cluster: nodes out of service and gone, partitions elsewhere.

Every change is committed when its call returns; what follows from it (copies, hand-overs) is carried
out by the nodes, and seen in `list_moves`, `describe_topic` and `describe_cluster`. A change may be
asked for again: it does nothing then. All the same the client itself repeats one after an indefinite
error only where nobody else's change could be undone by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.connections.connection import ADMIN_SERVICE, Connections
from streamlog.client.errors import ClientError
from streamlog.v1 import admin_service_pb2 as pb
from streamlog.v1 import log_service_pb2

PROGRESS_TIMEOUT_MS: Final = 2_000.0
"""A leader that does not tell its progress within so long is left out."""


class NodeCondition(StrEnum):
    """What operators want of a node."""

    ACTIVE = "active"
    """Takes part."""
    MAINTENANCE = "maintenance"
    """Keeps its replicas, leads nothing that another can lead, gets no new replicas."""
    DRAINING = "draining"
    """Gets no new replicas, and gives away those it has; drained when it holds none."""


_TO_WIRE: Final[Mapping[NodeCondition, log_service_pb2.NodeCondition]] = {
    NodeCondition.ACTIVE: log_service_pb2.NODE_CONDITION_UNSPECIFIED,
    NodeCondition.MAINTENANCE: log_service_pb2.NODE_CONDITION_MAINTENANCE,
    NodeCondition.DRAINING: log_service_pb2.NODE_CONDITION_DRAINING,
}
_FROM_WIRE: Final = {int(number): condition for condition, number in _TO_WIRE.items()}


def condition_from_wire(number: int) -> NodeCondition:
    """One that this client does not know counts as active."""
    return _FROM_WIRE.get(number, NodeCondition.ACTIVE)


@dataclass(frozen=True, slots=True)
class PartitionAssignment:
    """Where a partition shall live."""

    topic: str
    partition: int
    node_ids: tuple[int, ...]
    """1 to 7 different nodes; the first is the preferred leader."""


@dataclass(frozen=True, slots=True)
class ReplicaCopy:
    """A replica that is being filled."""

    node_id: int
    end_offset: int
    """It has everything below, durably; while a copy of the whole log is under way: what was sent of
    it."""


@dataclass(frozen=True, slots=True)
class PartitionMove:
    """A partition on its way."""

    topic: str
    partition: int
    node_ids: tuple[int, ...]
    """Nodes that shall hold it, the preferred leader first."""
    leaving_node_ids: tuple[int, ...]
    """Nodes that hold a replica until the move is done."""
    leader_node_id: int
    """0: none is known."""
    progress_known: bool
    """Its leader told the fields below."""
    start_offset: int
    end_offset: int
    """Of the leader's log."""
    copies: tuple[ReplicaCopy, ...]
    """Those that do not vote yet; empty: all have nearly everything, and the rest is quick."""

    def share_of(self, copy: ReplicaCopy) -> float:
        """Of the leader's log that a replica has: 0.0 to 1.0."""
        length = self.end_offset - self.start_offset
        if length <= 0:
            return 1.0
        return min(1.0, max(0.0, (copy.end_offset - self.start_offset) / length))


class ClusterOperations:
    """The operators' part of `Admin`."""

    _connections: Connections
    _metadata: ClusterMetadata

    # Nodes.

    async def set_node_condition(
        self,
        node_id: int,
        condition: NodeCondition | str,
        *,
        replacement_node_id: int = 0,
        force: bool = False,
        validate_only: bool = False,
    ) -> int:
        """Take a node out of service, or back; returns how many replicas it holds, wanted there or
        not deleted yet.

        `replacement_node_id`: with "draining", the node that takes over all it has; 0: whichever
        suits best. `force`: although partitions may be without a majority, which is refused as
        MAJORITY_AT_RISK otherwise.
        """
        answer = await self._metadata.call_any(
            f"{ADMIN_SERVICE}SetNodeCondition",
            pb.SetNodeConditionRequest(
                node_id=node_id,
                condition=_TO_WIRE[NodeCondition(condition)],
                replacement_node_id=replacement_node_id,
                force=force,
                validate_only=validate_only,
            ),
            pb.SetNodeConditionResponse,
            idempotent=validate_only,
        )
        return answer.replica_count

    async def drain_node(
        self,
        node_id: int,
        *,
        replacement_node_id: int = 0,
        force: bool = False,
        validate_only: bool = False,
    ) -> int:
        """Let a node give away all replicas, and get none; returns how many it holds. It is empty
        when asking again returns 0."""
        return await self.set_node_condition(
            node_id,
            NodeCondition.DRAINING,
            replacement_node_id=replacement_node_id,
            force=force,
            validate_only=validate_only,
        )

    async def begin_maintenance(
        self, node_id: int, *, force: bool = False, validate_only: bool = False
    ) -> None:
        """Let others lead what a node leads, because it is about to stop. Refused as
        MAJORITY_AT_RISK when partitions, or the metadata, would have no majority without it."""
        await self.set_node_condition(
            node_id, NodeCondition.MAINTENANCE, force=force, validate_only=validate_only
        )

    async def return_to_service(self, node_id: int, *, validate_only: bool = False) -> None:
        """End a maintenance, or a draining: what was given away does not come back by itself."""
        await self.set_node_condition(node_id, NodeCondition.ACTIVE, validate_only=validate_only)

    async def remove_node(self, node_id: int, *, validate_only: bool = False) -> None:
        """Forget a node for good: its id never comes back. Refused as NODE_IN_USE while it holds
        replicas, is a controller or still votes; no error when it was removed before."""
        await self._metadata.call_any(
            f"{ADMIN_SERVICE}RemoveNode",
            pb.RemoveNodeRequest(node_id=node_id, validate_only=validate_only),
            pb.RemoveNodeResponse,
            idempotent=True,
        )

    async def set_controllers(
        self, node_ids: Sequence[int], *, validate_only: bool = False
    ) -> None:
        """Let these nodes, 1 to 7 (best 1, 3 or 5), vote on the metadata, and no others.

        They begin and end to vote soon after: `metadata_voter_node_ids` of `describe_cluster`.
        """
        await self._metadata.call_any(
            f"{ADMIN_SERVICE}SetControllers",
            pb.SetControllersRequest(node_ids=node_ids, validate_only=validate_only),
            pb.SetControllersResponse,
            idempotent=validate_only,
        )

    # Partitions.

    async def move_partitions(
        self,
        assignments: Iterable[PartitionAssignment],
        *,
        force: bool = False,
        validate_only: bool = False,
    ) -> None:
        """Let partitions, 1 to 1,000, live on other nodes: all of them, or none.

        `force`: although no majority lives, as far as is known: after a forced recovery.
        """
        await self._metadata.call_any(
            f"{ADMIN_SERVICE}MovePartitions",
            pb.MovePartitionsRequest(
                assignments=[
                    pb.PartitionAssignment(
                        topic=each.topic, partition=each.partition, node_ids=each.node_ids
                    )
                    for each in assignments
                ],
                force=force,
                validate_only=validate_only,
            ),
            pb.MovePartitionsResponse,
            idempotent=validate_only,
        )

    async def set_replication_factor(
        self, topic: str, replication_factor: int, *, validate_only: bool = False
    ) -> list[PartitionAssignment]:
        """Give each partition of a topic so many replicas, 1 to 7; returns where they shall live."""
        answer = await self._metadata.call_any(
            f"{ADMIN_SERVICE}SetReplicationFactor",
            pb.SetReplicationFactorRequest(
                topic=topic, replication_factor=replication_factor, validate_only=validate_only
            ),
            pb.SetReplicationFactorResponse,
            idempotent=validate_only,
        )
        return [
            PartitionAssignment(topic, each.partition, tuple(each.replica_node_ids))
            for each in answer.topic.partitions
        ]

    async def rebalance(
        self, *, moves_max: int = 0, validate_only: bool = False
    ) -> list[PartitionAssignment]:
        """Move replicas, of at most `moves_max` partitions (1 to 1,000; 0: 100), so that all nodes
        hold equally many. Returns what is moved, or would be; empty: the spread is even."""
        answer = await self._metadata.call_any(
            f"{ADMIN_SERVICE}Rebalance",
            pb.RebalanceRequest(moves_max=moves_max, validate_only=validate_only),
            pb.RebalanceResponse,
            idempotent=validate_only,
        )
        return [
            PartitionAssignment(each.topic, each.partition, tuple(each.node_ids))
            for each in answer.assignments
        ]

    async def list_moves(self, *, progress: bool = True) -> list[PartitionMove]:
        """Partitions that are on their way, by topic and partition.

        How far they are only their leaders know; they are asked unless `progress` is False, and
        where one does not answer `progress_known` is False.
        """
        answer = await self._metadata.call_any(
            f"{ADMIN_SERVICE}ListMoves",
            pb.ListMovesRequest(),
            pb.ListMovesResponse,
            idempotent=True,
        )
        moves = {(each.topic, each.partition): _move(each) for each in answer.moves}
        leaders = dict.fromkeys(
            each.leader_node_id for each in moves.values() if progress and not each.progress_known
        )
        for told in await asyncio.gather(
            *(self._moves_of(address) for address in await self._live_addresses(leaders))
        ):
            moves |= {
                key: move
                for move in told
                if (key := (move.topic, move.partition)) in moves and move.progress_known
            }
        return [moves[key] for key in sorted(moves)]

    async def _live_addresses(self, node_ids: Mapping[int, None]) -> list[str]:
        if not any(node_ids):
            return []
        cluster = await self._metadata.call_any(
            f"{ADMIN_SERVICE}DescribeCluster",
            pb.DescribeClusterRequest(),
            pb.DescribeClusterResponse,
            idempotent=True,
        )
        return [node.address for node in cluster.nodes if node.live and node.node_id in node_ids]

    async def _moves_of(self, address: str) -> list[PartitionMove]:
        """As the node there knows them; none when it does not answer."""
        try:
            answer = await self._connections.to(address).unary(
                f"{ADMIN_SERVICE}ListMoves",
                pb.ListMovesRequest(),
                pb.ListMovesResponse,
                PROGRESS_TIMEOUT_MS,
            )
        except ClientError:
            return []
        return [_move(each) for each in answer.moves]


def _move(move: pb.PartitionMove) -> PartitionMove:
    return PartitionMove(
        move.topic,
        move.partition,
        tuple(move.node_ids),
        tuple(move.leaving_node_ids),
        move.leader_node_id,
        move.progress_known,
        move.start_offset,
        move.end_offset,
        tuple(ReplicaCopy(copy.node_id, copy.end_offset) for copy in move.copies),
    )
