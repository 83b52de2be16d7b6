"""Faults of processes: kills, power cuts, pauses, orderly restarts, leaderships that move."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Final

from jepsen_like.sim.checks.invariants import Invariants
from jepsen_like.sim.cluster import SimCluster, SimNode
from jepsen_like.sim.faults.fault import Fired, Heal, Strike
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.trace import Trace
from replication.errors import ReplicationError
from replication.group import ReplicatedGroup
from replication.raft.effects import Role
from replication.types import NodeId

LOOK_AGAIN_S: Final = 0.05


class ProcessFaults:
    """Strikes at nodes as a whole.

    Invariant: at most one rolling restart is under way; it goes on until each node was restarted
    once or `stop_rolling` is called, however long its strike was to last.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        cluster: SimCluster,
        invariants: Invariants,
        trace: Trace,
        fired: Fired,
    ) -> None:
        self._scheduler, self._cluster = scheduler, cluster
        self._invariants, self._trace, self._fired = invariants, trace, fired
        self._rolling: list[SimNode] = []
        """Nodes that a rolling restart has not restarted yet."""

    def faults(self) -> dict[str, Strike]:
        """By name."""
        count = len(self._cluster.nodes)
        majority = count // 2 + 1
        return {
            "kill one": lambda rng: self._kill_some(rng, 1, power_cut=False),
            "power cut one": lambda rng: self._kill_some(rng, 1, power_cut=True),
            "power cut leader": self._kill_leader,
            "power cut majority": lambda rng: self._kill_some(rng, majority, power_cut=True),
            "power cut all": lambda rng: self._kill_some(rng, count, power_cut=True),
            "pause one": self._pause,
            "restart one": self._restart,
            "rolling restart": self._roll,
            "hand over": self._hand_over,
        }

    def start_when_stopped(self, node: SimNode) -> None:
        """Start it, once it is down if it is stopping now."""
        if node.life is None:
            self._cluster.start(node)
        elif node.life.stopping:
            self._scheduler.call_later(LOOK_AGAIN_S, lambda: self.start_when_stopped(node))

    def stop_rolling(self) -> None:
        """Restart nobody else."""
        self._rolling.clear()

    def _some_running(self, rng: random.Random, count: int) -> list[SimNode]:
        running = self._cluster.running()
        return rng.sample(running, min(count, len(running)))

    def _kill(self, victims: list[SimNode], *, power_cut: bool) -> Heal | None:
        if not victims:
            return None
        for node in victims:
            self._cluster.kill(node, power_cut=power_cut)

        def heal() -> None:
            for node in victims:
                if node.life is None:
                    self._cluster.start(node)

        return heal

    def _kill_some(self, rng: random.Random, count: int, *, power_cut: bool) -> Heal | None:
        return self._kill(self._some_running(rng, count), power_cut=power_cut)

    def _kill_leader(self, rng: random.Random) -> Heal | None:
        leaders = self._invariants.leaders()
        nodes = [n for n in self._cluster.running() if n.node_id in leaders]
        return self._kill([rng.choice(nodes)] if nodes else [], power_cut=True)

    def _pause(self, rng: random.Random) -> Heal | None:
        victims = [node for node in self._some_running(rng, 1) if not node.paused]
        if not victims:
            return None
        node = victims[0]
        self._cluster.pause(node)
        return lambda: self._cluster.resume(node)

    def _restart(self, rng: random.Random) -> Heal | None:
        victims = [node for node in self._some_running(rng, 1) if node.is_serving]
        if not victims:
            return None
        self._cluster.stop(victims[0])
        return lambda: self.start_when_stopped(victims[0])

    def _roll(self, rng: random.Random) -> Heal | None:
        """Every node in turn, as for an upgrade: the next one when the one before serves again."""
        if self._rolling:
            return None
        self._rolling = rng.sample(list(self._cluster.nodes.values()), len(self._cluster.nodes))
        self._trace.add("nemesis", f"all nodes are restarted: {[n.host for n in self._rolling]}")
        self._roll_on(self._rolling, stopped_life=0)
        return lambda: None

    def _roll_on(self, left: list[SimNode], stopped_life: int) -> None:
        """`left` is emptied, here or by `stop_rolling`; `stopped_life`: of the first node, the
        life that was told to stop, 0 when none was."""
        while left and left[0].retired:
            left.pop(0)
        if not left:
            return
        node = left[0]
        if not stopped_life and node.is_serving:
            stopped_life = node.lives
            self._cluster.stop(node)
        elif stopped_life and node.life is None:
            self._cluster.start(node)
        elif stopped_life and node.lives > stopped_life and node.is_serving:
            left.pop(0)
            stopped_life = 0
            if not left:
                self._trace.add("nemesis", "all nodes were restarted")
                return
        self._scheduler.call_later(LOOK_AGAIN_S, lambda: self._roll_on(left, stopped_life))

    def _hand_over(self, rng: random.Random) -> Heal | None:
        """An operator moves a leadership; it may or may not succeed."""
        led = [
            (node, group)
            for node in self._cluster.running()
            if node.life is not None and node.life.started and not node.paused
            for group in node.life.node.groups.values()
            if group.role is Role.LEADER
        ]
        if not led:
            return None
        node, group = rng.choice(led)
        others = [r.node_id for r in group.membership.voters if r.node_id != node.node_id]
        if not others or node.life is None:
            return None
        target = rng.choice(others)
        node.life.loop.create_task(self._transfer(group, target))
        self._trace.add(f"node {node.node_id}", f"group {group.creation.group_id} to {target}")
        return lambda: None

    async def _transfer(self, group: ReplicatedGroup, target: NodeId) -> None:
        with suppress(ReplicationError):
            await group.transfer_leadership(target)
            self._fired("hand over")
