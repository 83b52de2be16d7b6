"""The cluster layer on the real replication and the real storage, in virtual time, with power cuts.

Only the broker is missing. Topics come and go through any node while nodes die and come back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from jepsen_like.sim.clock import SimClock
from jepsen_like.sim.disk import SimDisk
from jepsen_like.sim.fabric import Fabric, NetworkConditions
from jepsen_like.sim.network import SimNetwork
from jepsen_like.sim.scheduler import Scheduler, silence
from replication.multiraft.host import MultiRaft
from replication.raft.effects import Role
from replication.transport.identity import NodeIdentity as TransportIdentity
from replication.types import METADATA_GROUP, NodeId
from streamlog.cluster.cluster import Cluster
from streamlog.cluster.metadata.codec import encode_snapshot
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
        self.host = MultiRaft(
            TransportIdentity(
                identity.node_id,
                identity.directory_id,
                identity.cluster_id,
                rng.getrandbits(63) | 1,
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


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Of the seed that the test names. Nodes that live at the end stop cleanly."""
    made = World(request.param)
    yield made
    for node in made.nodes.values():
        node.run(node.stop())
    scheduler, loops = made.scheduler, [node.loop for node in made.every]
    del node
    with silence():  # Coroutines of dead processes complain while they are collected.
        made.__dict__.clear()
        scheduler.dispose(loops)
        loops.clear()


@pytest.mark.parametrize("world", [1, 2, 3], indirect=True)
def test_metadata_survives_power_cuts(world: World) -> None:
    """What was answered is there on every node, replicas follow, and the states are equal."""
    world.boot(1, 2, 3)
    rng, topics = world.random, set[str]()
    for round_number in range(30):
        node = world.nodes[rng.randrange(1, 4)]
        if topics and rng.random() < 0.3:
            name = rng.choice(sorted(topics))
            node.run(node.cluster.delete_topic(name))
            topics.discard(name)
        else:
            name = f"t{round_number}"
            node.run(node.cluster.create_topic(name, partition_count=rng.randint(1, 4)))
            topics.add(name)
        if round_number % 10 == 9:
            gone = [1, 2, 3] if round_number == 19 else [rng.randrange(1, 4)]
            for node_id in gone:
                world.cut_power(node_id)
            world.boot(*gone)
    world.boot(4)
    nodes = list(world.nodes.values())
    world.wait(lambda: all(node.topics() == topics for node in nodes))
    world.wait(lambda: all(node.holds_what_it_must() for node in nodes))
    runtimes = [node.cluster.runtime for node in nodes]
    end = max(runtime.applied for runtime in runtimes if runtime)
    world.wait(lambda: all(runtime is not None and runtime.applied >= end for runtime in runtimes))
    assert len({encode_snapshot(runtime.state) for runtime in runtimes if runtime}) == 1
    for node in nodes:
        assert not node.failures
        assert not node.loop.failures
        assert not node.cluster.lost_replicas


@pytest.mark.parametrize("world", [4], indirect=True)
def test_many_partitions_have_leaders_soon(world: World) -> None:
    """300 partitions are created and led by their preferred leaders within half a second."""
    world.boot(1, 2, 3)
    world.wait(lambda: all(len(node.view.nodes()) == 3 for node in world.nodes.values()))
    begun = world.scheduler.now
    node = world.nodes[2]
    topic = node.run(node.cluster.create_topic("a", partition_count=300))

    def led() -> bool:
        known = [node.host.leader_of(partition.group_id) for partition in topic.partitions]
        return all(
            leader is not None and leader.node_id == partition.preferred_leader
            for leader, partition in zip(known, topic.partitions, strict=True)
        )

    world.wait(led)
    assert world.scheduler.now - begun < 0.5


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


@pytest.mark.parametrize("world", [5], indirect=True)
def test_a_node_that_stops_hands_over_all_it_leads(world: World) -> None:
    """Every partition has another leader when `leave` returns, and no election was waited for."""
    world.boot(1, 2, 3)
    world.wait(lambda: all(len(node.view.nodes()) == 3 for node in world.nodes.values()))
    topic = world.nodes[2].run(world.nodes[2].cluster.create_topic("a", partition_count=90))
    world.wait(lambda: None not in leaders(world, topic).values())
    node, begun = world.nodes[1], world.scheduler.now
    assert 1 in leaders(world, topic).values()
    assert node.run(node.cluster.leadership.leave(5_000)) == 0
    assert world.scheduler.now - begun < node.config.election_timeout_ms / 1_000
    world.wait(lambda: None not in leaders(world, topic).values())
    after = leaders(world, topic)
    assert set(after.values()) == {2, 3}
    moved = [after[p.number] for p in topic.partitions if p.preferred_leader == 1]
    assert abs(moved.count(NodeId(2)) - moved.count(NodeId(3))) <= len(moved) // 3


@pytest.mark.parametrize("world", [6], indirect=True)
def test_handing_over_gives_up_when_nobody_can_take_over(world: World) -> None:
    """A node that is alone stops all the same, after the time it was given."""
    world.boot(1, 2, 3)
    topic = world.nodes[1].run(world.nodes[1].cluster.create_topic("a", partition_count=9))
    world.wait(lambda: None not in leaders(world, topic).values())
    for node_id in (2, 3):
        world.cut_power(node_id)
    node, begun = world.nodes[1], world.scheduler.now
    node.run(node.cluster.leadership.leave(700))
    assert world.scheduler.now - begun <= 0.71
    world.boot(2, 3)


@pytest.mark.parametrize("world", [7], indirect=True)
def test_leaders_go_home_after_a_failure(world: World) -> None:
    """A node that comes back leads again what it should; nothing moves before it is ready."""
    world.boot(1, 2, 3)
    world.wait(lambda: all(len(node.view.nodes()) == 3 for node in world.nodes.values()))
    topic = world.nodes[1].run(world.nodes[1].cluster.create_topic("a", partition_count=30))
    placed = {p.number: p.preferred_leader for p in topic.partitions}
    world.wait(lambda: leaders(world, topic) == placed)
    world.cut_power(3)
    down = world.nodes.pop(3)
    world.wait(lambda: set(leaders(world, topic).values()) == {1, 2})
    world.nodes[3] = down
    world.boot(3)
    begun = world.scheduler.now
    interval_s = world.nodes[1].config.leader_return_ms / 1_000
    world.wait(lambda: leaders(world, topic) == placed)
    assert world.scheduler.now - begun <= 3 * interval_s
