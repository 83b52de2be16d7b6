"""What operators do while everything else goes wrong: partitions move, nodes are drained or rest,
controllers and replication factors change.

Every request goes through some node's own operations, and may be refused or get lost. What is asked
for never costs a partition its third replica, so that the damage to one node stays a minority's. Such a
fault counts when a request was taken.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from jepsen_like.sim.clients.workload import TOPIC
from jepsen_like.sim.cluster import Life, SimCluster, SimNode
from jepsen_like.sim.faults.fault import Fired, Heal, Strike
from jepsen_like.sim.options import SimOptions
from jepsen_like.sim.trace import Trace
from replication.types import NodeId
from streamlog.cluster.metadata.records import Assignment
from streamlog.cluster.metadata.state import MetadataState, NodeCondition
from streamlog.cluster.operations import Operations
from streamlog.model.errors import StreamlogError
from streamlog.model.internal_topics import CONSUMER_OFFSETS

CONTROLLERS: Final = 3
COORDINATORS_SHARE: Final = 0.5

Request = Callable[[Operations], Awaitable[object]]
OperatorsWork = Callable[[Operations, MetadataState, list[NodeId]], Awaitable[bool]]


class MembershipFaults:
    """Strikes by asking for changes; and brings everything to rest in the end."""

    def __init__(
        self, cluster: SimCluster, options: SimOptions, trace: Trace, fired: Fired
    ) -> None:
        self._cluster, self._options, self._trace = cluster, options, trace
        self._fired = fired
        self._asked: list[tuple[SimNode, Life, asyncio.Task[None]]] = []
        """Requests, some of which may not be answered yet."""

    def faults(self) -> dict[str, Strike]:
        """By name."""
        return {
            "move partition": self._move,
            "change factor": self._resize,
            "drain one": lambda rng: self._withdraw(rng, "drain one", NodeCondition.DRAINING),
            "maintenance": lambda rng: self._withdraw(
                rng, "maintenance", NodeCondition.MAINTENANCE
            ),
            "other controllers": self._vote,
        }

    def _move(self, rng: random.Random) -> Heal | None:
        topic, partitions = self._topic(rng)
        number = rng.randrange(partitions)
        nodes = rng.sample(sorted(self._cluster.nodes), self._options.replication_factor)
        wish = Assignment(topic, number, tuple(nodes))
        return self._ask(
            rng,
            "move partition",
            f"{topic}/{number} to {nodes}",
            lambda to: to.move_partitions([wish]),
        )

    def _topic(self, rng: random.Random) -> tuple[str, int]:
        """One that may move, with its partitions: the coordinators' too, where there are groups."""
        options = self._options
        if options.groups and rng.random() < COORDINATORS_SHARE:
            return CONSUMER_OFFSETS, options.group_partitions
        return TOPIC, options.partitions

    def _resize(self, rng: random.Random) -> Heal | None:
        factor = rng.randint(self._options.replication_factor, len(self._cluster.nodes))
        topic, _ = self._topic(rng)
        return self._ask(
            rng,
            "change factor",
            f"factor {factor} of {topic}",
            lambda to: to.set_replication_factor(topic, factor),
        )

    def _withdraw(self, rng: random.Random, fault: str, condition: NodeCondition) -> Heal | None:
        node_id = rng.choice(sorted(self._cluster.nodes))
        asked = self._ask(
            rng,
            fault,
            f"{condition.name} {node_id}",
            lambda to: to.set_condition(node_id, condition),
        )
        if asked is None:
            return None

        def heal() -> None:
            self._ask(
                rng,
                None,
                f"ACTIVE {node_id}",
                lambda to: to.set_condition(node_id, NodeCondition.ACTIVE),
            )

        return heal

    def _vote(self, rng: random.Random) -> Heal | None:
        wanted = sorted(rng.sample(sorted(self._cluster.nodes), CONTROLLERS))
        return self._ask(
            rng,
            "other controllers",
            f"controllers {wanted}",
            lambda to: to.set_controllers(wanted),
        )

    def _ask(
        self, rng: random.Random, fault: str | None, what: str, request: Request
    ) -> Heal | None:
        """Ask some node; nobody waits for the answer. `fault` counts when the request is taken.
        None: no node serves."""
        serving = [node for node in self._cluster.running() if _operations(node) is not None]
        if not serving:
            return None
        node = rng.choice(serving)
        operations = _operations(node)
        assert operations is not None
        assert node.life is not None
        task = node.life.loop.create_task(self._send(node, fault, what, operations, request))
        self._asked = [*self._unanswered(), (node, node.life, task)]
        return lambda: None

    def _unanswered(self) -> list[tuple[SimNode, Life, asyncio.Task[None]]]:
        """Requests that may still be taken: the process that has them lives."""
        return [each for each in self._asked if not each[2].done() and each[0].life is each[1]]

    async def _send(
        self,
        node: SimNode,
        fault: str | None,
        what: str,
        operations: Operations,
        request: Request,
    ) -> None:
        try:
            await request(operations)
        except StreamlogError as error:
            self._trace.add(f"node {node.node_id}", f"refused {what}: {error}")
        else:
            self._trace.add(f"node {node.node_id}", f"took {what}")
            if fault is not None:
                self._fired(fault)

    async def into_service(self, node: SimNode) -> bool:
        """As a careful operator, through a node that serves: all nodes that are not down for good
        back into service, which nobody may have heard when it was asked. True when they are."""
        return await self._as_operator(node, self._into_service)

    async def bring_to_rest(self, node: SimNode) -> bool:
        """As `into_service`, and nothing on its way to nodes that are down for good. True when
        nothing moves any more."""
        if self._unanswered():
            return False
        return await self._as_operator(node, self._bring_to_rest)

    async def _as_operator(self, node: SimNode, work: OperatorsWork) -> bool:
        operations = _operations(node)
        if operations is None or node.life is None:
            return False
        member = node.life.node.member
        state = None if member is None else member.cluster.view.state
        if state is None:
            return False
        retired = [each.node_id for each in self._cluster.nodes.values() if each.retired]
        try:
            return await work(operations, state, retired)
        except StreamlogError as error:
            self._trace.add("operator", f"tries again: {error}")
            return False

    async def _into_service(
        self, operations: Operations, state: MetadataState, retired: list[NodeId]
    ) -> bool:
        for node in state.nodes.values():
            if node.condition is not NodeCondition.ACTIVE and node.node_id not in retired:
                await operations.set_condition(node.node_id, NodeCondition.ACTIVE)
                return False
        return True

    async def _bring_to_rest(
        self, operations: Operations, state: MetadataState, retired: list[NodeId]
    ) -> bool:
        if not await self._into_service(operations, state, retired):
            return False
        stuck = [
            partition
            for partition in state.moving.values()
            if any(node_id in retired for node_id in partition.node_ids)
        ]
        for partition in stuck:
            topic = state.topics[partition.topic_id].name
            kept = [node_id for node_id in partition.node_ids if node_id not in retired]
            spare = [n for n in sorted(state.nodes) if n not in retired and n not in kept]
            nodes = (*kept, *spare)[: len(partition.node_ids)]
            await operations.move_partitions([Assignment(topic, partition.number, nodes)])
        return not stuck and not state.moving


def _operations(node: SimNode) -> Operations | None:
    """Of a node that serves."""
    if not node.is_serving or node.life is None:
        return None
    member = node.life.node.member
    return None if member is None else member.cluster.operations
