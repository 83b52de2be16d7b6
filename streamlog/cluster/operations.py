"""What operators ask of the cluster: nodes out of service and gone, partitions elsewhere.

Every call returns when what is wanted is committed; what follows from it (copies, hand-overs) is
carried out by `partition_moves`, `evacuation`, `metadata_members` and `leadership`, and can be
watched in the view. All calls may be repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from replication.group import GroupHost
from replication.types import NodeId
from streamlog.cluster.evacuation import assignments
from streamlog.cluster.executor import Executed
from streamlog.cluster.metadata.records import (
    Assignment,
    Command,
    ReassignPartitions,
    RemoveNode,
    SetControllers,
    SetNodeCondition,
    SetReplicationFactor,
)
from streamlog.cluster.metadata.relocation import Relocation
from streamlog.cluster.metadata.state import NodeCondition, Topic
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError


class Operations:
    """Of one node, for its admin service."""

    def __init__(
        self,
        view: ClusterView,
        host: GroupHost,
        change: Callable[[Command], Awaitable[Executed]],
        request_id: Callable[[], int],
    ) -> None:
        """`change` commits a command and waits until the view shows it."""
        self._view, self._host = view, host
        self._change, self._request_id = change, request_id

    async def set_condition(
        self,
        node_id: NodeId,
        condition: NodeCondition,
        *,
        replacement: NodeId | None = None,
        force: bool = False,
        validate_only: bool = False,
    ) -> None:
        """Take a node out of service, or back. Raises StreamlogError: UNKNOWN_NODE,
        MAJORITY_AT_RISK, INVALID_REQUEST, INVALID_REPLICATION_FACTOR, METADATA_*."""
        await self._change(
            SetNodeCondition(
                node_id,
                condition,
                replacement or NodeId(0),
                force,
                validate_only,
                request_id=self._request_id(),
            )
        )

    async def remove_node(self, node_id: NodeId, *, validate_only: bool = False) -> None:
        """Forget a node for good. Raises StreamlogError: UNKNOWN_NODE, NODE_IN_USE, METADATA_*."""
        await self._change(RemoveNode(node_id, validate_only, self._request_id()))

    async def set_controllers(
        self, node_ids: Sequence[NodeId], *, validate_only: bool = False
    ) -> None:
        """Let these nodes vote on the metadata. Raises StreamlogError: UNKNOWN_NODE,
        MAJORITY_AT_RISK, INVALID_REQUEST, METADATA_*."""
        await self._change(
            SetControllers(tuple(node_ids), validate_only, request_id=self._request_id())
        )

    async def move_partitions(
        self, wanted: Sequence[Assignment], *, force: bool = False, validate_only: bool = False
    ) -> None:
        """Let partitions live on these nodes: all of them, or none. Raises StreamlogError:
        UNKNOWN_*, MAJORITY_AT_RISK, INVALID_REQUEST, METADATA_*."""
        await self._change(
            ReassignPartitions(tuple(wanted), force, validate_only, request_id=self._request_id())
        )

    async def set_replication_factor(
        self, topic: str, replication_factor: int, *, validate_only: bool = False
    ) -> Topic:
        """Give all partitions of a topic so many replicas; answers with what is wanted then.
        Raises StreamlogError: UNKNOWN_TOPIC, INVALID_REPLICATION_FACTOR, MAJORITY_AT_RISK,
        METADATA_*."""
        executed = await self._change(
            SetReplicationFactor(
                topic, replication_factor, validate_only, request_id=self._request_id()
            )
        )
        if executed.topic is None:
            raise StreamlogError(Reason.INTERNAL_ERROR, "the metadata leader named no topic")
        return executed.topic

    def plan_balance(self, count: int) -> tuple[Assignment, ...]:
        """At most `count` moves that make the spread more even, as this node sees it."""
        state = self._view.state
        if state is None:
            return ()
        dead = state.dead_nodes(self._host.live_nodes())
        return assignments(state, Relocation(state, dead).balance(count))
