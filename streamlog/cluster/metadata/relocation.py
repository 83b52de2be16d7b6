"""Where replicas go when something changes: pure and deterministic.

A drained node gives each replica to the node that suits best; a replica's place in the order stays,
so that leaderships move with it. Balancing moves one replica at a time from the fullest node to the
emptiest, and then leaderships, until nothing differs by more than one. Leaderships alone are evened
among the nodes that hold a partition already, which copies nothing.

In all of it racks come first: a partition never ends up in fewer racks than it could.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from replication.types import NodeId
from streamlog.cluster.metadata.placement import Candidate
from streamlog.cluster.metadata.state import (
    Load,
    MetadataState,
    Node,
    NodeCondition,
    Partition,
    Topic,
    changed_loads,
)

PAIRS_TRIED = 4
"""Of the fullest and the emptiest nodes: bounds the work when racks forbid what would be even."""
_NOTHING = Load(0, 0)


def hosts(state: MetadataState) -> list[Node]:
    """Nodes that may hold new replicas: all but those that are drained."""
    return [node for node in state.nodes.values() if node.condition is not NodeCondition.DRAINING]


def in_service(state: MetadataState, dead: Collection[NodeId]) -> list[Node]:
    """Nodes that should: also alive, and not in maintenance."""
    return [
        node
        for node in state.nodes.values()
        if node.condition is NodeCondition.ACTIVE and node.node_id not in dead
    ]


def candidates(state: MetadataState, topic: Topic | None, nodes: Iterable[Node]) -> list[Candidate]:
    """The nodes with what they hold."""
    of_topic = changed_loads({}, topic.partitions if topic else ())
    return [
        Candidate(
            node.node_id,
            node.rack,
            of_topic.get(node.node_id, _NOTHING).replicas,
            of_topic.get(node.node_id, _NOTHING).leaders,
            state.loads.get(node.node_id, _NOTHING).replicas,
            state.loads.get(node.node_id, _NOTHING).leaders,
        )
        for node in nodes
    ]


@dataclass(frozen=True, slots=True)
class Move:
    """A partition and the nodes that shall hold it, the preferred leader first."""

    partition: Partition
    node_ids: tuple[NodeId, ...]


class Relocation:
    """Plans moves one after the other; each counts for the next.

    Args:
        state: where everything is.
        dead: nodes that seem dead: nothing goes there.
    """

    def __init__(self, state: MetadataState, dead: Collection[NodeId] = ()) -> None:
        self._state = state
        self._hosts = {node.node_id: node for node in in_service(state, dead)}
        self._loads = {node_id: state.loads.get(node_id, _NOTHING) for node_id in state.nodes}
        self._by_topic: dict[int, dict[NodeId, Load]] = {}

    def replacement(self, partition: Partition, gone: NodeId) -> Move | None:
        """Another node in the place of `gone`; None: there is none."""
        wish = self._state.nodes[gone].replacement if gone in self._state.nodes else NodeId(0)
        kept = [node_id for node_id in partition.node_ids if node_id != gone]
        if wish and wish in self._hosts and wish not in kept:
            found: NodeId | None = wish
        else:
            found = self._best(partition, kept)
        if found is None:
            return None
        nodes = tuple(found if node_id == gone else node_id for node_id in partition.node_ids)
        return self._note(Move(partition, nodes))

    def resized(self, partition: Partition, count: int) -> Move | None:
        """So many replicas; None: there are not enough nodes."""
        nodes = list(partition.node_ids)
        while len(nodes) > count:
            nodes.remove(self._most_dispensable(partition, nodes))
        while len(nodes) < count:
            found = self._best(partition, nodes)
            if found is None:
                return None
            nodes.append(found)
        return self._note(Move(partition, tuple(nodes)))

    def balance(self, count: int) -> list[Move]:
        """At most `count` moves towards an even spread; partitions that move are left alone."""
        return self._plan(count, lambda each: self._even_replicas(each) or self._even_leaders(each))

    def even_leaders(self, count: int) -> list[Move]:
        """At most `count` other orders of the nodes that partitions are on, so that each node is
        preferred by equally many; partitions that move are left alone."""
        # Bounds the work where nothing is due: otherwise all partitions would be looked at.
        leaders = [load.leaders for load in self._loads.values()]
        if max(leaders, default=0) - min(leaders, default=0) < 2:
            return []
        return self._plan(count, self._even_leaders)

    def _plan(
        self, count: int, choose: Callable[[Collection[Partition]], Move | None]
    ) -> list[Move]:
        settled = [
            partition
            for topic_id in sorted(self._state.topics)
            for partition in self._state.topics[topic_id].partitions
            if not partition.moving
        ]
        present = {partition.group_id: partition for partition in settled}
        moves: dict[int, Move] = {}
        while len(moves) < count:
            move = choose(present.values())
            if move is None:
                break
            group_id = move.partition.group_id
            # Planned twice: one move from where it is to where it ends.
            first = moves.get(group_id)
            moves[group_id] = Move(first.partition if first else move.partition, move.node_ids)
            present[group_id] = self._as_planned(move)
        return [move for move in moves.values() if move.node_ids != move.partition.node_ids]

    # -- choice ----------------------------------------------------------------------------------

    def _best(self, partition: Partition, kept: Sequence[NodeId]) -> NodeId | None:
        """The node to add to `kept`: in a rack that has fewest of them, then the emptiest."""
        of_topic = self._topic_loads(partition.topic_id)
        used = self._racks(kept)
        free = [node for node_id, node in self._hosts.items() if node_id not in kept]
        if not free:
            return None
        return min(
            free,
            key=lambda node: (
                used.get(node.rack, 0),
                of_topic.get(node.node_id, _NOTHING).replicas,
                self._loads[node.node_id].replicas,
                node.node_id,
            ),
        ).node_id

    def _most_dispensable(self, partition: Partition, nodes: Sequence[NodeId]) -> NodeId:
        """The node to take away: one that nothing shall be on, then of the rack that has most,
        then the fullest; the preferred leader only when nothing else is left."""
        of_topic = self._topic_loads(partition.topic_id)
        used = self._racks(nodes)

        def rank(node_id: NodeId) -> tuple[bool, bool, int, int, int, int]:
            node = self._state.nodes.get(node_id)
            return (
                node_id not in self._hosts,
                node_id != nodes[0],
                used[node.rack if node else ""],
                of_topic.get(node_id, _NOTHING).replicas,
                self._loads.get(node_id, _NOTHING).replicas,
                node_id,
            )

        return max(nodes, key=rank)

    def _even_replicas(self, partitions: Collection[Partition]) -> Move | None:
        """One replica from a full node to one that has at least two fewer."""
        by_load = sorted(self._hosts, key=lambda node_id: (self._loads[node_id].replicas, node_id))
        for full in by_load[: -1 - PAIRS_TRIED : -1]:
            for empty in by_load[:PAIRS_TRIED]:
                if self._loads[full].replicas - self._loads[empty].replicas < 2:
                    break
                move = self._shift(partitions, full, empty)
                if move is not None:
                    return self._note(move)
        return None

    def _shift(self, partitions: Collection[Partition], full: NodeId, empty: NodeId) -> Move | None:
        """The partition whose replica goes from `full` to `empty` best."""
        leads = self._loads[full].leaders > self._loads[empty].leaders

        def rank(partition: Partition) -> tuple[int, bool, int]:
            of_topic = self._topic_loads(partition.topic_id)
            surplus = of_topic.get(full, _NOTHING).replicas - of_topic.get(empty, _NOTHING).replicas
            return (-surplus, (partition.preferred_leader == full) is not leads, partition.group_id)

        able = [
            partition
            for partition in partitions
            if full in partition.node_ids
            and empty not in partition.node_ids
            and self._spread(_exchanged(partition.node_ids, full, empty))
            >= self._spread(partition.node_ids)
        ]
        if not able:
            return None
        chosen = min(able, key=rank)
        return Move(chosen, _exchanged(chosen.node_ids, full, empty))

    def _even_leaders(self, partitions: Collection[Partition]) -> Move | None:
        """One preferred leadership from a node to another that has at least two fewer."""
        for partition in partitions:
            leader = partition.preferred_leader
            able = [
                node_id
                for node_id in partition.node_ids[1:]
                if node_id in self._hosts
                and self._loads[leader].leaders - self._loads[node_id].leaders >= 2
            ]
            if able:
                least = min(able, key=lambda node_id: (self._loads[node_id].leaders, node_id))
                rest = [node_id for node_id in partition.node_ids if node_id != least]
                return self._note(Move(partition, (least, *rest)))
        return None

    # -- bookkeeping -----------------------------------------------------------------------------

    def _racks(self, nodes: Iterable[NodeId]) -> dict[str, int]:
        used: dict[str, int] = {}
        for node_id in nodes:
            node = self._state.nodes.get(node_id)
            rack = node.rack if node else ""
            used[rack] = used.get(rack, 0) + 1
        return used

    def _spread(self, nodes: Iterable[NodeId]) -> int:
        """In how many racks they are."""
        return len(self._racks(nodes))

    def _topic_loads(self, topic_id: int) -> dict[NodeId, Load]:
        loads = self._by_topic.get(topic_id)
        if loads is None:
            loads = changed_loads({}, self._state.topics[topic_id].partitions)
            self._by_topic[topic_id] = loads
        return loads

    def _note(self, move: Move) -> Move:
        """Count the move."""
        before, after = move.partition, self._as_planned(move)
        topic_id = before.topic_id
        of_topic = changed_loads(self._topic_loads(topic_id), [before], -1)
        self._by_topic[topic_id] = changed_loads(of_topic, [after])
        totals = changed_loads(changed_loads(self._loads, [before], -1), [after])
        self._loads = {node_id: totals.get(node_id, _NOTHING) for node_id in self._loads}
        return move

    def _as_planned(self, move: Move) -> Partition:
        """The partition as it would be; only nodes matter here."""
        some = move.partition.replicas[0]
        return replace(
            move.partition,
            replicas=tuple(replace(some, node_id=node_id) for node_id in move.node_ids),
        )


def _exchanged(nodes: Iterable[NodeId], old: NodeId, new: NodeId) -> tuple[NodeId, ...]:
    return tuple(new if node_id == old else node_id for node_id in nodes)
