"""Nodes without a broker, on the real replication and the real storage, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.disk import SimDisk
from jepsen_like.sim.ports.fabric import Fabric, NetworkConditions
from jepsen_like.sim.ports.network import SimNetwork
from jepsen_like.sim.ports.scheduler import Scheduler, silence
from replication.multiraft.host import MultiRaft
from replication.raft.effects import Role
from replication.transport.identity import NodeIdentity as TransportIdentity
from replication.types import METADATA_GROUP, NodeId
from streamlog.cluster.cluster import Cluster
from streamlog.cluster.metadata.state import Topic
from streamlog.cluster.view import ClusterView
from streamlog.model.settings.live import LiveSettings
from streamlog.model.settings.node import NodeConfig
from streamlog.server.settings import replication_settings, store_settings
from streamlog.storage.damage import DamageReports
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.identity import format_directory, load_identity
from streamlog.storage.store import NodeStore

T = TypeVar("T")
THREE = ((1, "n1:1"), (2, "n2:1"), (3, "n3:1"))


class Node:
    """One process of a node."""

    def __init__(self, world: World, node_id: int, disk: SimDisk) -> None:
        self.world, self.node_id, self.disk = world, NodeId(node_id), disk
        self.loop = world.scheduler.new_loop(f"n{node_id}")
        self.network = SimNetwork(world.net, f"n{node_id}", self.loop)
        self.failures: list[Exception] = []
        self.config = NodeConfig(
            node_id=node_id,
            bind=f"n{node_id}:1",
            insecure=True,
            controllers=THREE,
            bootstrap=node_id <= 3,
            snapshot_records=10,
            journal_file_bytes=1 << 20,
            balance_leaders=world.balances_leaders,
            balance_replicas=world.balances,
        )
        self.view = ClusterView(self.config)
        self.starting = self.loop.create_task(self._start())

    async def _start(self) -> None:
        clock, rng, codec = SimClock(self.loop), self.world.random, BatchEntryCodec()
        identity = await load_identity(self.disk)
        if identity is None:
            await self.disk.make_directory("")
            identity = await format_directory(
                self.disk, rng, cluster_id=0, node_id=self.node_id, wall_ms=0
            )
        self.store = NodeStore(
            self.disk, clock, identity, codec=codec, settings=store_settings(self.config)
        )
        boot_id = rng.getrandbits(63) | 1
        self.host = MultiRaft(
            TransportIdentity(
                identity.node_id, identity.directory_id, identity.cluster_id, boot_id
            ),
            self.store,
            codec,
            self.network,
            clock,
            rng,
            self.view.addresses,
            replication_settings(self.config),
            on_failed=self.failures.append,
        )
        self.cluster = Cluster(
            settings=LiveSettings(self.config),
            damage=DamageReports(),
            identity=identity,
            view=self.view,
            group_host=self.host,
            codec=codec,
            disk=self.disk,
            network=self.network,
            clock=clock,
            random=rng,
            boot_id=boot_id,
            on_failure=self.failures.append,
        )
        await self.host.start()
        self.listener = await self.network.listen(
            f"n{self.node_id}:1", [*self.host.services(), *self.cluster.services()]
        )
        await self.cluster.start()

    async def stop(self) -> None:
        await self.cluster.stop()
        await self.listener.close(0)
        await self.host.stop()
        await self.store.stop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.world.scheduler.complete(self.loop.create_task(work), 60)

    def topics(self) -> set[str]:
        return {topic.name for topic in self.view.topics()}

    def holds_what_it_must(self) -> bool:
        """Exactly the replicas that the metadata puts here."""
        due = {
            partition.group_id
            for topic in self.view.topics()
            for partition in topic.partitions
            if partition.replica_on(self.node_id)
        }
        return set(self.host.groups) == due | {METADATA_GROUP}


class World:
    """The nodes and what lies between them."""

    def __init__(self, seed: int) -> None:
        self.scheduler = Scheduler(seed)
        self.net = Fabric(self.scheduler, NetworkConditions())
        self.random = random.Random(seed)
        self.balances = False
        """Nodes that start from now on even out the replicas by themselves."""
        self.balances_leaders = True
        """Of nodes that start from now on."""
        self.nodes: dict[int, Node] = {}
        self.every: list[Node] = []

    def boot(self, *node_ids: int) -> None:
        """Start nodes, each on its disk or a blank one, and wait for them."""
        for node_id in node_ids:
            before = self.nodes.get(node_id)
            disk = before.disk if before is not None else SimDisk(random.Random(node_id))
            self.nodes[node_id] = Node(self, node_id, disk)
            self.every.append(self.nodes[node_id])
        self.wait(lambda: all(self.nodes[n].starting.done() for n in node_ids))
        for node_id in node_ids:
            self.nodes[node_id].starting.result()

    def cut_power(self, node_id: int) -> None:
        node = self.nodes[node_id]
        self.scheduler.drop(node.loop)
        node.network.die()
        self.net.process_gone(node.network, power_cut=True)
        node.disk = node.disk.crash(self.random)

    def wait(self, condition: Callable[[], bool]) -> None:
        assert self.scheduler.run(self.scheduler.now + 60, condition), "it never came to hold"


def leaders(world: World, topic: Topic) -> dict[int, NodeId | None]:
    """Who leads which partition, as those who are up know it of themselves."""
    led = {}
    for partition in topic.partitions:
        led[partition.number] = next(
            (
                node.node_id
                for node in world.nodes.values()
                if (group := node.host.groups.get(partition.group_id)) is not None
                and group.role is Role.LEADER
                and group.established
            ),
            None,
        )
    return led


@contextmanager
def new_world(seed: int) -> Iterator[World]:
    """A world of a seed. Nodes that live at the end stop cleanly."""
    made = World(seed)
    yield made
    for node in made.nodes.values():
        node.run(node.stop())
    scheduler, loops = made.scheduler, [node.loop for node in made.every]
    del node
    with silence():  # Coroutines of dead processes complain while they are collected.
        made.__dict__.clear()
        scheduler.dispose(loops)
        loops.clear()
