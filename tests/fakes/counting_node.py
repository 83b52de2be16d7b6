"""Nodes for tests of the simulator itself: they count their lives, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from jepsen_like.sim.checks.invariants import Invariants
from jepsen_like.sim.cluster import SimCluster
from jepsen_like.sim.faults.nemesis import Nemesis
from jepsen_like.sim.options import SimOptions
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.trace import Trace
from replication.errors import StorageFailed
from replication.group import ReplicatedGroup
from replication.ports import Listener, Ports, Service
from replication.types import GroupId, NodeId
from streamlog.model.settings.node import NodeConfig
from streamlog.server.metrics.counters import NodeCounters


class CountingNode:
    """Counts its starts durably, and one more thing that it does not sync; refuses to start when
    there is a file of that name."""

    def __init__(self, config: NodeConfig, ports: Ports) -> None:
        self.config, self.ports = config, ports
        self.starts = 0
        self.unsynced = 0
        self.listener: Listener | None = None
        self.counters = NodeCounters()

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
        if "refuse" in await disk.list_directory(""):
            raise StorageFailed("a test", "it was told to refuse")
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
