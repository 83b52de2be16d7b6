"""Whole nodes in virtual time, and a client's process beside them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from jepsen_like.sim.checks.invariants import Invariants
from jepsen_like.sim.cluster import SimCluster, SimNode, node_config
from jepsen_like.sim.options import draw_options
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.network import SimChannel, SimNetwork
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.trace import Trace
from replication.types import NodeId
from streamlog.server.member import Member
from streamlog.server.node import Node, build_node

T = TypeVar("T")
PATIENCE_S = 120.0


class NodeWorld:
    """Nodes that serve. A test has it from a fixture, made within `silence`."""

    def __init__(self, *, nodes: int = 3, **settings: Any) -> None:
        """The first three are the configured controllers; `settings` of NodeConfig."""
        options = replace(
            draw_options(1),
            nodes=nodes,
            controllers=min(nodes, 3),
            faults=(),
            drift=0.0,
            sync_ms=0.5,
        )
        self.scheduler = Scheduler(1)
        trace = Trace(self.scheduler)
        self.fabric = Fabric(self.scheduler, options.network())
        self.cluster = SimCluster(
            self.scheduler,
            self.fabric,
            trace,
            Invariants(trace),
            options=options,
            build_node=build_node,
        )
        for number, node in enumerate(self.cluster.nodes.values(), start=1):
            node.config = replace(node_config(options, number), **settings)
            self.cluster.start(node)
        self.loop = self.scheduler.new_loop("client")
        self.network = SimNetwork(self.fabric, "client", self.loop)
        self.channels: dict[int, SimChannel] = {}
        self.more_loops: list[SimLoop] = []
        """Of other clients."""
        self.wait(lambda: all(node.is_serving for node in self.cluster.nodes.values()))

    # Time.

    def complete(self, work: Coroutine[Any, Any, T]) -> T:
        return self.scheduler.complete(self.loop.create_task(work), PATIENCE_S)

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        assert self.scheduler.run(self.scheduler.now + seconds, condition), "it never came to hold"

    def run(self, seconds: float) -> None:
        self.scheduler.run(self.scheduler.now + seconds)

    # Nodes.

    def node(self, number: int) -> SimNode:
        return self.cluster.nodes[NodeId(number)]

    def parts(self, number: int) -> Member:
        life = self.node(number).life
        assert life is not None
        assert isinstance(life.node, Node)
        assert life.node.member is not None
        return life.node.member

    def channel(self, number: int) -> SimChannel:
        if number not in self.channels:
            self.channels[number] = self.network.connect(self.node(number).address)
        return self.channels[number]

    def dispose(self) -> None:
        """Nothing inside of a node went wrong."""
        assert self.cluster.all_failures() == []
        self.scheduler.dispose([*self.cluster.loops, self.loop, *self.more_loops])
        self.__dict__.clear()
