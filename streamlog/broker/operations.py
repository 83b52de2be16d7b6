"""The part of AdminService that changes the cluster: nodes, controllers, where partitions live."""

from __future__ import annotations

from collections.abc import Sequence

from replication.group import GroupHost
from replication.raft.effects import Role
from replication.types import NodeId, Offset
from streamlog.broker.leaders import known_leader
from streamlog.broker.metadata import MetadataService
from streamlog.cluster.cluster import Cluster
from streamlog.cluster.metadata.moves import ASSIGNMENTS_MAX
from streamlog.cluster.metadata.records import Assignment
from streamlog.cluster.metadata.state import NodeCondition, Partition
from streamlog.model.errors import Reason, StreamlogError
from streamlog.v1 import admin_service_pb2 as pb

REBALANCE_MOVES = 100


class OperationsService:
    """What operators ask for; `streamlog.cluster.operations` carries it out."""

    def __init__(
        self, node_id: int, cluster: Cluster, metadata: MetadataService, host: GroupHost
    ) -> None:
        self._node_id = node_id
        self._cluster, self._metadata, self._host = cluster, metadata, host

    async def set_node_condition(
        self, request: pb.SetNodeConditionRequest
    ) -> pb.SetNodeConditionResponse:
        """In service, in maintenance, or drained; committed when it returns."""
        try:
            condition = NodeCondition(request.condition)
        except ValueError:
            raise StreamlogError(
                Reason.INVALID_REQUEST, f"this node knows no condition {request.condition}"
            ) from None
        await self._cluster.operations.set_condition(
            NodeId(request.node_id),
            condition,
            replacement=NodeId(request.replacement_node_id),
            force=request.force,
            validate_only=request.validate_only,
        )
        state = self._cluster.view.state
        held = state.node_groups(NodeId(request.node_id)) if state is not None else []
        return pb.SetNodeConditionResponse(replica_count=len(held))

    async def remove_node(self, request: pb.RemoveNodeRequest) -> pb.RemoveNodeResponse:
        """Forget a node; committed when it returns."""
        await self._cluster.operations.remove_node(
            NodeId(request.node_id), validate_only=request.validate_only
        )
        return pb.RemoveNodeResponse()

    async def set_controllers(self, request: pb.SetControllersRequest) -> pb.SetControllersResponse:
        """Let other nodes vote on the metadata; committed when it returns."""
        await self._cluster.operations.set_controllers(
            [NodeId(node_id) for node_id in request.node_ids], validate_only=request.validate_only
        )
        return pb.SetControllersResponse()

    async def move_partitions(self, request: pb.MovePartitionsRequest) -> pb.MovePartitionsResponse:
        """Let partitions live elsewhere; committed when it returns."""
        await self._cluster.operations.move_partitions(
            [
                Assignment(
                    each.topic, each.partition, tuple(NodeId(node_id) for node_id in each.node_ids)
                )
                for each in request.assignments
            ],
            force=request.force,
            validate_only=request.validate_only,
        )
        return pb.MovePartitionsResponse()

    async def set_replication_factor(
        self, request: pb.SetReplicationFactorRequest
    ) -> pb.SetReplicationFactorResponse:
        """More replicas, or fewer; committed when it returns."""
        topic = await self._cluster.operations.set_replication_factor(
            request.topic, request.replication_factor, validate_only=request.validate_only
        )
        return pb.SetReplicationFactorResponse(topic=self._metadata.topic_metadata(topic))

    async def list_moves(self, request: pb.ListMovesRequest) -> pb.ListMovesResponse:
        """Partitions that are on their way."""
        del request
        state = self._cluster.view.state
        moving = [] if state is None else list(state.moving.values())
        moves = [self._move(partition) for partition in moving]
        moves.sort(key=lambda move: (move.topic, move.partition))
        return pb.ListMovesResponse(moves=moves)

    def _move(self, partition: Partition) -> pb.PartitionMove:
        topic = self._cluster.view.topic_by_id(partition.topic_id)
        leader = known_leader(self._host, self._node_id, partition.group_id)
        move = pb.PartitionMove(
            topic="" if topic is None else topic.name,
            partition=partition.number,
            node_ids=partition.node_ids,
            leaving_node_ids=[replica.node_id for replica in partition.leaving],
            leader_node_id=0 if leader is None else leader.node_id,
        )
        group = self._host.groups.get(partition.group_id)
        if group is None or group.role is not Role.LEADER:
            return move
        stored, sent = group.replica_progress(), group.copied
        move.progress_known = True
        move.start_offset, move.end_offset = group.start, group.log.end.end
        for replica in partition.replicas:
            if not group.membership.is_voter(replica.replica_id):
                own = replica.replica_id
                end = max(stored.get(own, Offset(0)), sent.get(own, Offset(0)))
                move.copies.add(node_id=replica.node_id, end_offset=end)
        return move

    async def rebalance(self, request: pb.RebalanceRequest) -> pb.RebalanceResponse:
        """Move replicas towards an even spread, or say what would be moved."""
        count = request.moves_max or REBALANCE_MOVES
        if count > ASSIGNMENTS_MAX:
            raise StreamlogError(
                Reason.INVALID_REQUEST, f"moves_max is {count}, it must be 1 to {ASSIGNMENTS_MAX}"
            )
        planned = self._cluster.operations.plan_balance(count)
        if planned and not request.validate_only:
            await self._cluster.operations.move_partitions(planned)
        return pb.RebalanceResponse(assignments=_to_proto(planned))


def _to_proto(assignments: Sequence[Assignment]) -> list[pb.PartitionAssignment]:
    return [
        pb.PartitionAssignment(topic=each.topic, partition=each.partition, node_ids=each.node_ids)
        for each in assignments
    ]
