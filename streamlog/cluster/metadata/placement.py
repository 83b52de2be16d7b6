"""Which nodes get the replicas of a topic's partitions: pure and deterministic.

1. The replicas of a partition go to different racks as long as there are racks, and then again
   round the racks; never two to one node.
2. Within these bounds every rack and every node gets equally many replicas of the topic; among
   equals, whoever holds fewest replicas of other topics.
3. Every node leads equally many partitions of the topic.

Why the spread stays within 1 (racks of equal size): taking the k least loaded of n racks keeps
their loads within 1 of each other, and so does taking the least loaded node within a rack. A node
with r replicas of k per partition can lead floor(r/k) to ceil(r/k) of them for all nodes at once
(the fractional assignment 1/k is feasible, so an integral one is); `_balance_leaders` finds it by
moving leaderships along augmenting paths until no path lowers a maximum.

Racks of different size can not be served like that: there distinct racks come first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from replication.errors import invariant
from replication.types import NodeId


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may get replicas, and its load before."""

    node_id: NodeId
    rack: str
    topic_replicas: int = 0
    """Of the topic that is being placed."""
    topic_leaders: int = 0
    total_replicas: int = 0
    """Of all topics."""
    total_leaders: int = 0


@dataclass(slots=True)
class _Load:
    candidate: Candidate
    replicas: int
    leaders: int

    def rank(self) -> tuple[int, int, int]:
        return (self.replicas, self.candidate.total_replicas, self.candidate.node_id)

    def leader_rank(self) -> tuple[int, int, int]:
        return (self.leaders, self.candidate.total_leaders, self.candidate.node_id)


@dataclass(slots=True)
class _Rack:
    name: str
    nodes: list[_Load]
    replicas: int
    total: int

    def share(self, used: int) -> tuple[int, float, float, str]:
        size = len(self.nodes)
        return (used, self.replicas / size, self.total / size, self.name)


def place(
    partition_count: int, replication_factor: int, candidates: Sequence[Candidate]
) -> tuple[tuple[NodeId, ...], ...]:
    """Nodes of each partition's replicas, the preferred leader first.

    Requires 1 <= replication_factor <= len(candidates), node ids each once.
    """
    invariant(
        1 <= replication_factor <= len(candidates),
        "placement needs a node for every replica",
        replication_factor=replication_factor,
        nodes=len(candidates),
    )
    ordered = sorted(candidates, key=lambda c: c.node_id)
    loads = {c.node_id: _Load(c, c.topic_replicas, c.topic_leaders) for c in ordered}
    racks = _racks(loads)
    sets: list[list[NodeId]] = []
    leaders: list[NodeId] = []
    for _ in range(partition_count):
        nodes = _choose_nodes(racks, replication_factor)
        leader = min(nodes, key=lambda node: loads[node].leader_rank())
        loads[leader].leaders += 1
        sets.append(nodes)
        leaders.append(leader)
    _balance_leaders(sets, leaders, loads)
    return tuple(
        (leader, *_rotated([node for node in nodes if node != leader], number))
        for number, (nodes, leader) in enumerate(zip(sets, leaders, strict=True))
    )


def _racks(loads: dict[NodeId, _Load]) -> list[_Rack]:
    by_name: dict[str, _Rack] = {}
    for load in loads.values():
        candidate = load.candidate
        rack = by_name.setdefault(candidate.rack, _Rack(candidate.rack, [], 0, 0))
        rack.nodes.append(load)
        rack.replicas += candidate.topic_replicas
        rack.total += candidate.total_replicas
    return [by_name[name] for name in sorted(by_name)]


def _choose_nodes(racks: list[_Rack], count: int) -> list[NodeId]:
    """Take `count` nodes for one partition, and count them in."""
    used: dict[str, list[NodeId]] = {rack.name: [] for rack in racks}
    chosen: list[NodeId] = []
    for _ in range(count):
        rack = min(
            (rack for rack in racks if len(used[rack.name]) < len(rack.nodes)),
            key=lambda rack: rack.share(len(used[rack.name])),
        )
        taken = used[rack.name]
        load = min(
            (load for load in rack.nodes if load.candidate.node_id not in taken), key=_Load.rank
        )
        taken.append(load.candidate.node_id)
        chosen.append(load.candidate.node_id)
        load.replicas += 1
        rack.replicas += 1
    return chosen


def _balance_leaders(
    sets: list[list[NodeId]], leaders: list[NodeId], loads: dict[NodeId, _Load]
) -> None:
    """Move leaderships until no chain of moves takes one from a node to another that has at
    least two fewer."""
    led: dict[NodeId, list[int]] = {node: [] for node in loads}
    for number, leader in enumerate(leaders):
        led[leader].append(number)
    while True:
        least = min(load.leaders for load in loads.values())
        heavy = [node for node in loads if led[node] and loads[node].leaders >= least + 2]
        heavy.sort(key=lambda node: (-loads[node].leaders, node))
        if not any(_shed(node, sets, leaders, led, loads) for node in heavy):
            return


def _shed(
    start: NodeId,
    sets: list[list[NodeId]],
    leaders: list[NodeId],
    led: dict[NodeId, list[int]],
    loads: dict[NodeId, _Load],
) -> bool:
    """Pass one leadership on along the shortest chain that ends at a node with two fewer."""
    came_by: dict[NodeId, int] = {}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        if loads[node].leaders <= loads[start].leaders - 2:
            loads[start].leaders -= 1
            loads[node].leaders += 1
            while node != start:
                number = came_by[node]
                giver = leaders[number]
                led[giver].remove(number)
                led[node].append(number)
                leaders[number] = node
                node = giver
            return True
        for number in led[node]:
            for other in sets[number]:
                if other != start and other not in came_by:
                    came_by[other] = number
                    queue.append(other)
    return False


def _rotated(nodes: list[NodeId], by: int) -> list[NodeId]:
    """Successors in turn, so that a dead leader's partitions do not all go to one node."""
    if not nodes:
        return nodes
    cut = by % len(nodes)
    return nodes[cut:] + nodes[:cut]
