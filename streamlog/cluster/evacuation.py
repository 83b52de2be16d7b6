"""Empties nodes that are drained, and evens out preferred leaders and replicas: as the metadata
leader.

Nothing is remembered but the condition of the nodes: each round looks at what is still there and
asks for some more moves, never so many that the cluster has more than MOVING_MAX under way. So a
new metadata leader goes on by itself, and new partitions or returning nodes are seen.

Replicas are evened out only where `balance.replicas` says so. Who is the preferred leader costs no
copy, so that is evened unless `balance.leaders` is off: a few at a time, and only while every node
lives and is in service and nothing moves, because what is uneven then stays so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from replication.group import GroupHost
from replication.types import NodeId, Offset
from streamlog.cluster.executor import Executor
from streamlog.cluster.metadata.majorities import is_majority
from streamlog.cluster.metadata.records import Assignment, ReassignPartitions, Record
from streamlog.cluster.metadata.relocation import Move, Relocation
from streamlog.cluster.metadata.state import MetadataState, NodeCondition, Topic
from streamlog.model.errors import StreamlogError
from streamlog.model.settings.live import LiveSettings

ROUND_MS: Final = 500
BALANCE_EVERY: Final = 20
"""Rounds between two looks at the balance."""
MOVING_MAX: Final = 32
BALANCE_MOVES_MAX: Final = 16
"""Of replicas, or of preferred leaders, at a look."""
EXECUTE_TIMEOUT_MS: Final = 5_000

_log = logging.getLogger(__name__)


def assignments(state: MetadataState, moves: Sequence[Move]) -> tuple[Assignment, ...]:
    """The moves as a command names them."""
    return tuple(
        Assignment(state.topics[move.partition.topic_id].name, move.partition.number, move.node_ids)
        for move in moves
    )


class Evacuation:
    """Of one node; it does something while that leads the metadata. An AppliedListener."""

    def __init__(self, settings: LiveSettings, host: GroupHost, executor: Executor) -> None:
        self._settings, self._host, self._executor = settings, host, executor
        self._state: MetadataState | None = None
        self._rounds = 0
        self._even: Mapping[int, Topic] | None = None
        """Topics in which no preferred leader was left to be changed."""

    def records_applied(
        self, records: Sequence[tuple[Offset, Record]], state: MetadataState, end: Offset
    ) -> None:
        del records, end
        self._state = state

    def state_replaced(self, state: MetadataState, end: Offset) -> None:
        del end
        self._state = state

    async def run(self) -> None:
        """Rounds, until cancelled."""
        while True:
            await asyncio.sleep(ROUND_MS / 1_000)
            state = self._state
            if state is None or not self._executor.leads:
                continue
            self._rounds += 1
            command = self._due(state)
            if command is not None:
                await self._ask_for(command)

    def _due(self, state: MetadataState) -> ReassignPartitions | None:
        draining = [
            node_id
            for node_id in sorted(state.nodes)
            if state.nodes[node_id].condition is NodeCondition.DRAINING
        ]
        dead = state.dead_nodes(self._host.live_nodes())
        if draining:
            moves = self._evacuate(state, draining, dead)
            if moves:
                return ReassignPartitions(assignments(state, moves))
        if self._rounds % BALANCE_EVERY or state.moving or dead:
            return None
        if self._settings.now.balance_replicas:
            moves = Relocation(state).balance(BALANCE_MOVES_MAX)
            return ReassignPartitions(assignments(state, moves)) if moves else None
        moves = self._leaders_to_even(state) if self._settings.now.balance_leaders else []
        return ReassignPartitions(assignments(state, moves), order_only=True) if moves else None

    def _leaders_to_even(self, state: MetadataState) -> list[Move]:
        """Other preferred leaders; none while a node is to be emptied or is in maintenance."""
        resting = any(node.condition is not NodeCondition.ACTIVE for node in state.nodes.values())
        if resting or self._even is state.topics:
            return []
        moves = Relocation(state).even_leaders(BALANCE_MOVES_MAX)
        self._even = None if moves else state.topics
        return moves

    @staticmethod
    def _evacuate(
        state: MetadataState, draining: Sequence[NodeId], dead: Sequence[NodeId]
    ) -> list[Move]:
        relocation = Relocation(state, dead)
        moves: list[Move] = []
        for node_id in draining:
            for partition in state.node_groups(node_id):
                if len(state.moving) + len(moves) >= MOVING_MAX:
                    return moves
                live = sum(each not in dead for each in partition.node_ids)
                if (
                    partition.moving
                    or partition.replica_on(node_id) is None
                    or not is_majority(live, len(partition.replicas))
                ):
                    continue
                move = relocation.replacement(partition, node_id)
                if move is not None:
                    moves.append(move)
        return moves

    async def _ask_for(self, command: ReassignPartitions) -> None:
        count = len(command.assignments)
        try:
            await self._executor.execute(command, EXECUTE_TIMEOUT_MS)
        except StreamlogError as error:
            _log.info("moves_postponed", extra={"moves": count, "reason": str(error)})
        else:
            if command.order_only:
                _log.info("preferred_leaders_evened", extra={"moves": count})
            else:
                _log.info("moves_begun", extra={"moves": count})
