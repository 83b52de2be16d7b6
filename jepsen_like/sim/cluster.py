"""A cluster of nodes that run the real node code on simulated ports.

A node's life is a process: a loop, a network, a clock, a disk as the last life left it, and what
`streamlog.server.node.build_node` builds on them: the composition root of `streamlog server`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from jepsen_like.sim.checks.invariants import Invariants, WatchedProcess
from jepsen_like.sim.checks.state_machines import Applied
from jepsen_like.sim.options import SimOptions
from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.disk import DiskFaults, SimDisk
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.network import SimNetwork
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.trace import Trace
from replication.errors import ReplicationError
from replication.group import ReplicatedGroup
from replication.ports import Ports
from replication.types import METADATA_GROUP, GroupId, NodeId
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.node import NodeConfig
from streamlog.server.member import Member
from streamlog.server.metrics.counters import NodeCounters
from streamlog.storage.identity import IdentityRefused

PORT: Final = 9092
REFUSALS: Final = (ReplicationError, StreamlogError, IdentityRefused)
"""With these a node says that it will not go on, and why; `streamlog server` prints them."""
DISK_ERRORS: Final = (*REFUSALS, OSError)
"""What a node may end with when its disk fails; `streamlog server` prints these, too."""
CLOCK_OFFSET_SECONDS_MAX: Final = 10_000.0
"""Monotonic clocks begin anywhere up to here."""


class NodeLike(Protocol):
    """What the simulator needs of `streamlog.server.node.Node`."""

    async def start(self) -> None:
        """Recover, listen, take part."""
        ...

    async def stop(self) -> None:
        """End in an orderly way."""
        ...

    async def failed(self) -> Exception:
        """Returns, once the node can not go on, the reason."""
        ...

    @property
    def failure(self) -> Exception | None:
        """Why the node can not go on; None while it can."""
        ...

    @property
    def member(self) -> Member | None:
        """Its parts, once it takes part."""
        ...

    @property
    def groups(self) -> Mapping[GroupId, ReplicatedGroup]:
        """The node's Raft groups."""
        ...

    @property
    def counters(self) -> NodeCounters:
        """What it counts for operators, since its start."""
        ...


BuildNode = Callable[[NodeConfig, Ports], NodeLike]


@dataclass(slots=True)
class Life:
    """One process of a node."""

    number: int
    loop: SimLoop
    network: SimNetwork
    clock: SimClock
    node: NodeLike
    task: asyncio.Task[None]
    """`start`, later `stop`."""
    started: bool = False
    stopping: bool = False
    failing: asyncio.Task[None] | None = None
    """Waits for the node to give up."""


class SimNode:
    """A node over all of its lives."""

    def __init__(self, node_id: NodeId, config: NodeConfig, disk: SimDisk) -> None:
        self.node_id, self.config, self.disk = node_id, config, disk
        self.host = f"node{node_id}"
        self.lives = 0
        self.life: Life | None = None
        self.paused = False
        self.wall_offset_ms = 0.0
        self.disk_fails = False
        """It has met an error of its disk: it may give up, if it knows why, and is started anew."""
        self.rotten = False
        """What it needs to know what it promised was damaged: it may refuse to start or go on."""
        self.retired = False
        """It refused: it stays down."""

    @property
    def address(self) -> str:
        """host:port."""
        return f"{self.host}:{PORT}"

    @property
    def is_serving(self) -> bool:
        """It has started, and neither stops nor is paused."""
        life = self.life
        return life is not None and life.started and not life.stopping and not self.paused


class SimCluster:
    """All nodes, and what can be done to them.

    Invariant: `failures` holds whatever went wrong inside of a node that no fault explains.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        fabric: Fabric,
        trace: Trace,
        invariants: Invariants,
        *,
        options: SimOptions,
        build_node: BuildNode,
    ) -> None:
        self.failures: list[str] = []
        self.loops: list[SimLoop] = []
        self.nodes: dict[NodeId, SimNode] = {}
        self._scheduler, self._fabric, self._trace = scheduler, fabric, trace
        self._invariants = invariants
        self._witnessed: Counter[str] = Counter()
        """By nodes' lives that are over."""
        self._options = options
        self._build_node = build_node
        self._rng = scheduler.random("cluster")
        fabric.on_handler_error = self._handler_failed
        for number in range(1, options.nodes + 1):
            node_id = NodeId(number)
            faults = DiskFaults(cold_read_probability=options.cold_read_probability)
            disk = SimDisk(
                scheduler.random(f"disk {number}"), latency=options.disk(), faults=faults
            )
            self.nodes[node_id] = SimNode(node_id, node_config(options, number), disk)

    @property
    def addresses(self) -> list[str]:
        """Of all nodes."""
        return [node.address for node in self.nodes.values()]

    def members(self) -> list[SimNode]:
        """Nodes that belong to the cluster still: those that are not retired."""
        return [node for node in self.nodes.values() if not node.retired]

    def running(self) -> list[SimNode]:
        """Nodes with a process, paused ones too."""
        return [node for node in self.nodes.values() if node.life is not None]

    def start(self, node: SimNode) -> None:
        """A new process; it begins with whatever is on the disk. A retired node stays down."""
        assert node.life is None
        if node.retired:
            return
        node.lives += 1
        name = f"node {node.node_id}"
        drift = self._options.drift
        loop = self._scheduler.new_loop(
            name,
            rate=1.0 + drift * (2 * self._rng.random() - 1),
            offset=self._rng.random() * CLOCK_OFFSET_SECONDS_MAX,
        )
        self.loops.append(loop)
        network = SimNetwork(self._fabric, node.host, loop)
        clock = SimClock(loop, node.wall_offset_ms)
        rng = self._scheduler.random(f"{name} life {node.lives}")
        ports = Ports(clock=clock, disk=node.disk, network=network, random=rng)
        built = self._build_node(node.config, ports)
        task = loop.create_task(built.start())
        node.life = life = Life(node.lives, loop, network, clock, built, task)
        watched = WatchedProcess(
            node.node_id,
            node.lives,
            node.disk,
            lambda: built.groups,
            lambda group_id: _applied(built, group_id),
        )
        self._invariants.watch(loop, watched)
        self._trace.add(name, f"starts, life {node.lives}")
        task.add_done_callback(lambda task: self._started(node, life, task))
        life.failing = loop.create_task(self._watch_failure(node, built))

    async def _watch_failure(self, node: SimNode, built: NodeLike) -> None:
        error = await built.failed()
        self._gave_up(node, "gave up", error)

    def _gave_up(self, node: SimNode, what: str, error: BaseException) -> None:
        """A node that ends by itself: when its disk failed it may, and its process is ended; a
        rotten one may, too, and is not started again. It must know why."""
        what = f"{what}: {error!r}"
        if node.disk_fails and isinstance(error, DISK_ERRORS):
            self._trace.add(f"node {node.node_id}", what)
        elif node.rotten and isinstance(error, REFUSALS):
            self._trace.add(f"node {node.node_id}", f"{what}: it stays down")
            node.retired = True
        else:
            self._fail(node, what)
            return
        life = node.life

        def end() -> None:
            if life is not None and node.life is life:
                self.kill(node, power_cut=False)

        self._scheduler.call_later(0.0, end)

    def _started(self, node: SimNode, life: Life, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._fail(node, "start was cancelled")
        elif (error := task.exception()) is not None:
            self._gave_up(node, "could not start", error)
        else:
            life.started = True
            self._trace.add(f"node {node.node_id}", "started")

    def _fail(self, node: SimNode, what: str) -> None:
        self._trace.add(f"node {node.node_id}", what)
        self.failures.append(f"node {node.node_id}: {what}")

    def _handler_failed(self, host: str, method: str, error: BaseException) -> None:
        self._trace.add(host, f"{method} failed: {error!r}")
        self.failures.append(f"{host}: {method} failed: {error!r}")

    def kill(self, node: SimNode, *, power_cut: bool) -> None:
        """End the process; a power cut takes what was not fsynced too."""
        life = node.life
        assert life is not None
        self._witnessed += _witnessed(life.node)
        self._collect_failures(node, life)
        self._invariants.process_dies(life.loop)
        self._scheduler.drop(life.loop)
        self._scheduler.bury([life])
        self._fabric.process_gone(life.network, power_cut=power_cut)
        old = node.disk
        node.disk = old.crash(self._rng) if power_cut else old.process_killed()
        node.life = None
        node.paused = False
        self._trace.add(f"node {node.node_id}", "loses power" if power_cut else "is killed")

    def stop(self, node: SimNode) -> None:
        """Stop in an orderly way; the process ends when `stop` returned."""
        life = node.life
        assert life is not None
        if not life.started or life.stopping:
            return
        life.stopping = True
        self._trace.add(f"node {node.node_id}", "stops")
        life.task = life.loop.create_task(life.node.stop())

        def stopped(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._gave_up(node, "could not stop", error)
            self._trace.add(f"node {node.node_id}", "stopped")
            self._scheduler.call_later(0.0, lambda: self._end(node, life))

        life.task.add_done_callback(stopped)

    def _end(self, node: SimNode, life: Life) -> None:
        if node.life is life:
            self.kill(node, power_cut=False)

    def pause(self, node: SimNode) -> None:
        """SIGSTOP."""
        if node.life is not None and not node.paused:
            node.paused = True
            self._scheduler.pause(node.life.loop)
            self._fabric.pause(node.host)
            self._trace.add(f"node {node.node_id}", "is paused")

    def resume(self, node: SimNode) -> None:
        """SIGCONT."""
        if node.life is not None and node.paused:
            node.paused = False
            self._fabric.resume(node.host)
            self._scheduler.resume(node.life.loop)
            self._trace.add(f"node {node.node_id}", "goes on")

    def jump_clock(self, node: SimNode, offset_ms: float) -> None:
        """Set the wall clock to so much off the truth."""
        node.wall_offset_ms = offset_ms
        if node.life is not None:
            node.life.clock.wall_offset_ms = offset_ms
        self._trace.add(f"node {node.node_id}", f"wall clock is off by {offset_ms:.0f} ms")

    def witnessed(self) -> Counter[str]:
        """What all nodes counted of the effects of faults (`options.WITNESSED`)."""
        living = [node.life.node for node in self.nodes.values() if node.life is not None]
        return sum((_witnessed(node) for node in living), self._witnessed)

    def all_failures(self) -> list[str]:
        """What went wrong, with exceptions that nobody took."""
        for node in self.nodes.values():
            if node.life is not None:
                self._collect_failures(node, node.life)
        return self.failures

    def _collect_failures(self, node: SimNode, life: Life) -> None:
        for context in life.loop.failures:
            error = context.get("exception")
            what = f"{context.get('message')}: {error!r}"
            if node.disk_fails and isinstance(error, DISK_ERRORS):
                self._trace.add(f"node {node.node_id}", what)
            else:
                self._fail(node, what)
        life.loop.failures.clear()


def _applied(node: NodeLike, group_id: GroupId) -> Applied | None:
    member = node.member
    if member is None:
        return None
    if group_id == METADATA_GROUP:
        runtime = member.cluster.runtime
        return None if runtime is None else (runtime.applied, runtime.state)
    coordinator = member.consumer_groups.coordinator(group_id)
    return None if coordinator is None else (coordinator.applied, coordinator.state)


def _witnessed(node: NodeLike) -> Counter[str]:
    broker = node.counters.broker
    repeated = sum(topic.duplicate_batches for _, topic in broker.topics())
    full = Reason.DISK_FULL.name
    refused = sum(number for (_, reason), number in broker.refused.items() if reason == full)
    return Counter({"batch repeated": repeated, "refused, disk full": refused})


RETENTION_CHECK_MS: Final = 500


def node_config(options: SimOptions, number: int) -> NodeConfig:
    """The configuration of one node."""
    controllers = tuple((n, f"node{n}:{PORT}") for n in range(1, options.controllers + 1))
    return NodeConfig(
        node_id=number,
        bind=f"node{number}:{PORT}",
        controllers=controllers,
        bootstrap=number <= options.controllers,
        insecure=True,
        heartbeat_interval_ms=options.heartbeat_interval_ms,
        election_timeout_ms=options.election_timeout_ms,
        journal_file_bytes=1 << 20,
        journal_files=3,
        journal_direct_bytes=options.journal_direct_bytes,
        checkpoint_interval_ms=options.checkpoint_interval_ms,
        snapshot_records=options.snapshot_records,
        snapshot_bytes=options.snapshot_bytes,
        scrub_interval_ms=options.scrub_ms,
        retention_check_ms=RETENTION_CHECK_MS,
        replication_message_bytes=64 << 10,
        groups_partitions=options.group_partitions,
    )
