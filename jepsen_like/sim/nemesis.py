"""Faults: what strikes, whom, when and for how long, all drawn from the seed.

Each fault is a function that strikes and returns what heals it. They overlap freely; at the end
everything is healed and every node runs, so that the cluster must come back.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from jepsen_like.sim.cluster import SimCluster, SimNode
from jepsen_like.sim.disk import UNLIMITED_BYTES, DiskOperation
from jepsen_like.sim.fabric import Fabric
from jepsen_like.sim.invariants import Invariants
from jepsen_like.sim.options import FAULTS, SimOptions
from jepsen_like.sim.scheduler import Scheduler
from jepsen_like.sim.trace import Trace
from replication.errors import ReplicationError
from replication.group import ReplicatedGroup
from replication.raft.effects import Role
from replication.types import NodeId
from streamlog.storage.segment_file import INDEX, SEGMENT, STATE, TIME_INDEX

Heal = Callable[[], None]
CLOCK_JUMP_MS_MAX: Final = 3_600_000.0
FULL_DISK_FREE_BYTES: Final = 64 << 20
"""Below the reserve that a node keeps."""
FAILING_KINDS: Final = ("read", "write", "write_durable", "sync", "sync_directory", "open")
ROTTING: Final = tuple(f".{kind}" for kind in (SEGMENT, INDEX, TIME_INDEX, STATE))
"""What can be mended from peers or made again while the node runs on."""


class Nemesis:
    """Strikes until it is told to heal.

    Invariant: every strike that has not been healed is in `_open`, in the order of striking.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        fabric: Fabric,
        cluster: SimCluster,
        invariants: Invariants,
        *,
        trace: Trace,
        options: SimOptions,
    ) -> None:
        self.strikes: dict[str, int] = dict.fromkeys(FAULTS, 0)
        self._scheduler, self._fabric, self._cluster = scheduler, fabric, cluster
        self._invariants, self._trace, self._options = invariants, trace, options
        self._rng = scheduler.random("nemesis")
        self._open: dict[int, Heal] = {}
        self._count = 0
        self._active = False
        self._faults: dict[str, Callable[[], Heal | None]] = {
            "kill one": lambda: self._kill_some(1, power_cut=False),
            "power cut one": lambda: self._kill_some(1, power_cut=True),
            "power cut leader": self._kill_leader,
            "power cut majority": lambda: self._kill_some(self._majority(), power_cut=True),
            "power cut all": lambda: self._kill_some(len(cluster.nodes), power_cut=True),
            "isolate one": self._isolate,
            "split majority": self._split,
            "one-way": self._one_way,
            "ring": self._ring,
            "break connections": self._break_connections,
            "slow network": self._slow_network,
            "pause one": self._pause,
            "slow disk": self._slow_disk,
            "full disk": self._full_disk,
            "failing disk": self._failing_disk,
            "bit rot": self._rot,
            "clock jump": self._jump,
            "restart one": self._restart,
            "hand over": self._hand_over,
        }
        self.rotting = self._rng.choice(list(cluster.nodes.values()))
        """The one node whose stored bytes may rot: a minority of every partition."""

    def start(self) -> None:
        """Begin to strike."""
        if self._options.faults:
            self._active = True
            self._next()

    def heal_all(self) -> None:
        """Strike no more; undo what is open; start every node."""
        self._active = False
        for number in list(self._open):
            self._heal(number)
        self._fabric.unblock_all()
        for node in self._cluster.nodes.values():
            self._cluster.resume(node)
            if node.life is None:
                self._cluster.start(node)
        self._trace.add("nemesis", "everything is healed")

    def _next(self) -> None:
        low, high = self._options.fault_pause_ms
        pause_ms = low + (high - low) * self._rng.random()
        self._scheduler.call_later(pause_ms / 1000, self._strike)

    def _strike(self) -> None:
        if not self._active:
            return
        name = self._rng.choice(self._options.faults)
        heal = self._faults[name]()
        if heal is not None:
            self.strikes[name] += 1
            self._count += 1
            number = self._count
            self._open[number] = heal
            low, high = self._options.fault_length_ms
            length_ms = low + (high - low) * self._rng.random()
            self._scheduler.call_later(length_ms / 1000, lambda: self._heal(number))
        self._next()

    def _heal(self, number: int) -> None:
        heal = self._open.pop(number, None)
        if heal is not None:
            heal()

    # Whom.

    def _majority(self) -> int:
        return len(self._cluster.nodes) // 2 + 1

    def _some_running(self, count: int) -> list[SimNode]:
        running = self._cluster.running()
        return self._rng.sample(running, min(count, len(running)))

    def _hosts(self) -> list[str]:
        """All nodes in a random order."""
        hosts = [node.host for node in self._cluster.nodes.values()]
        self._rng.shuffle(hosts)
        return hosts

    # Processes.

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

    def _kill_some(self, count: int, *, power_cut: bool) -> Heal | None:
        return self._kill(self._some_running(count), power_cut=power_cut)

    def _kill_leader(self) -> Heal | None:
        leaders = self._invariants.leaders()
        nodes = [n for n in self._cluster.running() if n.node_id in leaders]
        return self._kill([self._rng.choice(nodes)] if nodes else [], power_cut=True)

    def _restart(self) -> Heal | None:
        victims = [node for node in self._some_running(1) if not node.paused]
        if not victims or victims[0].life is None or not victims[0].life.started:
            return None
        node = victims[0]
        self._cluster.stop(node)

        def heal() -> None:
            if node.life is None:
                self._cluster.start(node)
            elif node.life.stopping:  # not done yet: look again soon
                self._scheduler.call_later(0.05, heal)

        return heal

    def _pause(self) -> Heal | None:
        victims = [node for node in self._some_running(1) if not node.paused]
        if not victims:
            return None
        node = victims[0]
        self._cluster.pause(node)
        return lambda: self._cluster.resume(node)

    # The network.

    def _block(self, ways: list[tuple[str, str]], what: str) -> Heal:
        for source, target in ways:
            self._fabric.block(source, target)
        self._trace.add("nemesis", what)

        def heal() -> None:
            for source, target in ways:
                self._fabric.unblock(source, target)
            self._trace.add("nemesis", f"healed: {what}")

        return heal

    def _apart(self, left: list[str], right: list[str], what: str) -> Heal:
        ways = [way for a in left for b in right for way in ((a, b), (b, a))]
        return self._block(ways, what)

    def _isolate(self) -> Heal:
        one, *others = self._hosts()
        return self._apart([one], others, f"{one} is cut off from the other nodes")

    def _split(self) -> Heal:
        hosts = self._hosts()
        few = hosts[self._majority() :]
        return self._apart(few, hosts[: self._majority()], f"{few} are cut off from a majority")

    def _one_way(self) -> Heal:
        one, two = self._hosts()[:2]
        return self._block([(one, two)], f"nothing gets from {one} to {two}")

    def _ring(self) -> Heal:
        """Every node sees its two neighbours only (with three nodes: one link is cut)."""
        hosts = self._hosts()
        count = len(hosts)
        cut = [
            (hosts[i], hosts[j])
            for i in range(count)
            for j in range(count)
            if i != j and (j - i) % count not in {1, count - 1}
        ] or [(hosts[0], hosts[1]), (hosts[1], hosts[0])]
        return self._block(cut, f"a ring of {hosts}")

    def _break_connections(self) -> Heal | None:
        connections = list(self._fabric.connections.values())
        if not connections:
            return None
        count = self._rng.randint(1, len(connections))
        for connection in self._rng.sample(connections, count):
            connection.break_side(self._rng.random() < 0.5, "connection reset")
        self._trace.add("nemesis", f"{count} connections break")
        return lambda: None

    def _slow_network(self) -> Heal:
        conditions = self._fabric.conditions
        factor = self._rng.choice([5.0, 20.0, 100.0])

        def times(interval: tuple[float, float]) -> tuple[float, float]:
            return interval[0], min(interval[1] * factor, 500.0)

        original = self._options.network()
        conditions.delay_ms, conditions.spike_ms = (
            times(original.delay_ms),
            times(original.spike_ms),
        )
        self._trace.add("nemesis", f"the network is {factor:.0f} times slower")

        def heal() -> None:
            conditions.delay_ms, conditions.spike_ms = original.delay_ms, original.spike_ms
            self._trace.add("nemesis", "the network is as fast as before")

        return heal

    # Disks and clocks.

    def _slow_disk(self) -> Heal:
        node = self._rng.choice(list(self._cluster.nodes.values()))
        faults = node.disk.faults  # survives the node's lives
        faults.extra_ms = self._rng.choice([10.0, 100.0, 1_000.0])
        self._trace.add(f"node {node.node_id}", f"disk is {faults.extra_ms:.0f} ms slower")

        def heal() -> None:
            faults.extra_ms = 0.0
            self._trace.add(f"node {node.node_id}", "disk is as fast as before")

        return heal

    def _full_disk(self) -> Heal | None:
        """So full that what is kept for votes and deletions is all that is left."""
        node = self._rng.choice(list(self._cluster.nodes.values()))
        faults = node.disk.faults
        faults.capacity_bytes = node.disk.volume.used_bytes() + FULL_DISK_FREE_BYTES
        self._trace.add(f"node {node.node_id}", "disk is full")

        def heal() -> None:
            faults.capacity_bytes = UNLIMITED_BYTES
            self._trace.add(f"node {node.node_id}", "disk has room again")

        return heal

    def _failing_disk(self) -> Heal | None:
        """One operation of a kind fails with EIO; the node gives up, and is started again."""
        nodes = [n for n in self._some_running(1) if not n.disk_fails and not n.paused]
        if not nodes or nodes[0].life is None or not nodes[0].life.started:
            return None
        node = nodes[0]
        faults, kind = node.disk.faults, self._rng.choice(FAILING_KINDS)
        node.disk_fails = True

        def hook(operation: DiskOperation) -> OSError | None:
            if operation.kind != kind:
                return None
            faults.hook = None
            self._trace.add(f"node {node.node_id}", f"{kind} of {operation.path} fails")
            return OSError(errno.EIO, "injected", operation.path)

        faults.hook = hook
        self._trace.add(f"node {node.node_id}", f"the next {kind} will fail")

        def heal() -> None:
            faults.hook = None
            if node.life is not None and node.life.node.failure is not None:
                self._cluster.kill(node, power_cut=False)
            node.disk_fails = False
            if node.life is None:
                self._cluster.start(node)

        return heal

    def _rot(self) -> Heal | None:
        """A bit of a stored file turns over, on the one node where that may be."""
        disk = self.rotting.disk
        files = [
            path
            for path in disk.files()
            if path.startswith("groups/") and path.endswith(ROTTING) and disk.content(path)
        ]
        if not files:
            return None
        path = self._rng.choice(files)
        at = self._rng.randrange(len(disk.content(path)))
        disk.flip_bits(path, at, 1 << self._rng.randrange(8))
        self._trace.add(f"node {self.rotting.node_id}", f"{path} rots at byte {at}")
        return lambda: None

    def _hand_over(self) -> Heal | None:
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
        node, group = self._rng.choice(led)
        others = [r.node_id for r in group.membership.voters if r.node_id != node.node_id]
        if not others or node.life is None:
            return None
        target = self._rng.choice(others)
        node.life.loop.create_task(_transfer(group, target))
        self._trace.add(f"node {node.node_id}", f"group {group.creation.group_id} to {target}")
        return lambda: None

    def _jump(self) -> Heal:
        node = self._rng.choice(list(self._cluster.nodes.values()))
        self._cluster.jump_clock(node, CLOCK_JUMP_MS_MAX * (2 * self._rng.random() - 1))
        return lambda: self._cluster.jump_clock(node, 0.0)


async def _transfer(group: ReplicatedGroup, target: NodeId) -> None:
    with suppress(ReplicationError):
        await group.transfer_leadership(target)
