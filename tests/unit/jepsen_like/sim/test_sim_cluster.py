"""Nodes live several lives, and the nemesis leaves every one of them running."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from jepsen_like.sim.cluster import SimCluster
from jepsen_like.sim.fabric import Fabric
from jepsen_like.sim.invariants import Invariants
from jepsen_like.sim.nemesis import Nemesis
from jepsen_like.sim.network import SimNetwork
from jepsen_like.sim.options import FAULTS, ROT, SimOptions, draw_options
from jepsen_like.sim.scheduler import Scheduler
from jepsen_like.sim.trace import Trace
from replication.group import ReplicatedGroup
from replication.ports import Listener, Ports, Service
from replication.types import GroupId, NodeId
from streamlog.model.settings.node import NodeConfig


class CountingNode:
    """Counts its starts durably, and one more thing that it does not sync."""

    def __init__(self, config: NodeConfig, ports: Ports) -> None:
        self.config, self.ports = config, ports
        self.starts = 0
        self.unsynced = 0
        self.listener: Listener | None = None

    @property
    def failure(self) -> Exception | None:
        return None

    @property
    def member(self) -> None:
        return None

    @property
    def groups(self) -> Mapping[GroupId, ReplicatedGroup]:
        return {}

    async def start(self) -> None:
        disk = self.ports.disk
        await disk.lock()
        try:
            file = await disk.open("count")
        except FileNotFoundError:
            file = await disk.open("count", create=True)
            await disk.sync_directory("")
        content = await file.read(0, 2)
        if content:
            self.starts, self.unsynced = content[0], len(content) - 1
        self.starts += 1
        await file.truncate(1)
        await file.write(0, [bytes([self.starts])])
        await file.sync()
        await file.write(1, [b"x"])
        self.listener = await self.ports.network.listen(
            self.config.bind, [Service("t.T", {"Echo": self.echo}, {})]
        )

    async def echo(self, request: bytes) -> bytes:
        return request

    async def stop(self) -> None:
        assert self.listener is not None
        await self.listener.close(100)

    async def failed(self) -> Exception:
        await asyncio.Event().wait()
        raise AssertionError


class World:
    """A cluster of counting nodes."""

    def __init__(self, options: SimOptions) -> None:
        self.scheduler = Scheduler(options.seed)
        self.trace = Trace(self.scheduler)
        self.fabric = Fabric(self.scheduler, options.network())
        self.invariants = Invariants(self.trace)
        self.cluster = SimCluster(
            self.scheduler,
            self.fabric,
            self.trace,
            self.invariants,
            options=options,
            build_node=CountingNode,
        )
        self.nemesis = Nemesis(
            self.scheduler,
            self.fabric,
            self.cluster,
            self.invariants,
            trace=self.trace,
            options=options,
        )
        for node in self.cluster.nodes.values():
            self.cluster.start(node)
        self.run(1.0)

    def run(self, seconds: float) -> None:
        self.scheduler.run(self.scheduler.now + seconds)

    def node(self, node_id: int) -> CountingNode:
        life = self.cluster.nodes[NodeId(node_id)].life
        assert life is not None
        assert life.started
        assert isinstance(life.node, CountingNode)
        return life.node


def options(seed: int = 1) -> SimOptions:
    """Three nodes."""
    return replace(draw_options(seed), nodes=3, replication_factor=3)


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_life_ends_and_the_next_finds_the_disk(power_cut: bool) -> None:
    """A kill leaves the page cache; a power cut only what was synced, for sure."""
    seen = set()
    for seed in range(20):
        world = World(options(seed))
        node = world.cluster.nodes[NodeId(1)]
        world.cluster.kill(node, power_cut=power_cut)
        assert node.life is None
        world.cluster.start(node)
        world.run(1.0)
        assert world.node(1).starts == 2
        seen.add(world.node(1).unsynced)
        assert world.cluster.all_failures() == []
        world.scheduler.dispose(world.cluster.loops)
    assert seen == ({0, 1} if power_cut else {1})


def test_an_orderly_stop_ends_the_process() -> None:
    """`stop` runs to its end, then the process is gone and can be started again."""
    world = World(options())
    node = world.cluster.nodes[NodeId(2)]
    world.cluster.stop(node)
    world.run(1.0)
    assert node.life is None
    world.cluster.start(node)
    world.run(1.0)
    assert world.node(2).starts == 2
    assert world.cluster.all_failures() == []


def test_the_nemesis_strikes_with_everything_and_heals() -> None:
    """Every kind of fault strikes in some seed; afterwards every node is up and reachable."""
    strikes = dict.fromkeys(FAULTS, 0)
    for seed in range(4):
        world = World(
            replace(
                options(seed),
                faults=tuple(f for f in FAULTS if f != "power cut leader"),
                fault_pause_ms=(0.0, 100.0),
                fault_length_ms=(20.0, 300.0),
            )
        )
        world.nemesis.start()
        world.run(8.0)
        world.nemesis.heal_all()
        world.run(2.0)
        loop = world.scheduler.new_loop("client")
        network = SimNetwork(world.fabric, "client", loop)
        for number in (1, 2, 3):
            channel = network.connect(f"node{number}:9092")
            task = loop.create_task(channel.unary("/t.T/Echo", b"x", 1_000))
            assert world.scheduler.complete(task, 2.0) == b"x"
            world.node(number)
        for name, count in world.nemesis.strikes.items():
            strikes[name] += count
        assert world.cluster.all_failures() == []
        world.scheduler.dispose([*world.cluster.loops, loop])
    # These nodes elect nobody, call nobody, and have no logs.
    without = [name for name, count in strikes.items() if not count]
    assert without == ["power cut leader", "break connections", *ROT, "hand over"]


def test_a_node_that_fails_is_reported() -> None:
    """What a node raises while it starts is a failure of the simulation."""
    world = World(options())
    node = world.cluster.nodes[NodeId(3)]
    world.cluster.kill(node, power_cut=False)
    node.disk.put("count", b"\xff")  # one more does not fit
    world.cluster.start(node)
    world.run(1.0)
    assert any("could not start" in failure for failure in world.cluster.all_failures())
