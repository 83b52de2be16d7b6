"""Nodes form a cluster, join it, change its metadata and hold what it gives them.

Real: the cluster layer, the runtime, the simulated network, disks and time. In memory: replication.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import pytest

from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.disk import SimDisk
from jepsen_like.sim.ports.fabric import Fabric, NetworkConditions
from jepsen_like.sim.ports.network import SimNetwork
from jepsen_like.sim.ports.scheduler import Scheduler
from replication.errors import DiskFull, LogCorrupt
from replication.group import MembershipClaim
from replication.types import METADATA_GROUP, DirectoryId, GroupId, LogPosition, NodeId
from streamlog.cluster.calls import PeerChannels
from streamlog.cluster.claims import CLAIM_WAIT_MS, Claims
from streamlog.cluster.cluster import Cluster
from streamlog.cluster.metadata.records import RegisterNode
from streamlog.cluster.metadata.state import Topic
from streamlog.cluster.twins import Twins
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.live import LiveSettings
from streamlog.model.settings.node import NodeConfig
from streamlog.storage.damage import DamageReports
from tests.fakes.memory_cluster import MemoryFabric, MemoryHost
from tests.fakes.memory_log import MemoryCodec, MemoryLog

T = TypeVar("T")
Controllers = tuple[tuple[int, str], ...]
THREE: Controllers = ((1, "n1:1"), (2, "n2:1"), (3, "n3:1"))
ONE: Controllers = ((1, "n1:1"),)


@dataclass(frozen=True)
class FakeIdentity:
    """Who a directory is."""

    node_id: NodeId
    directory_id: DirectoryId
    cluster_id: int = 0


class Node:
    """One process of a node; `crash` ends it, and a new Node goes on with its disk."""

    def __init__(self, world: World, config: NodeConfig, directory_id: int, disk: SimDisk) -> None:
        self.world, self.config, self.directory_id, self.disk = world, config, directory_id, disk
        self.name = f"n{config.node_id}"
        self.node_id = NodeId(config.node_id)
        self.loop = world.scheduler.new_loop(self.name)
        self.network = SimNetwork(world.net, self.name, self.loop)
        self.view = ClusterView(config)
        self.failures: list[Exception] = []
        self.joined: list[int] = []
        self.claims = Claims()
        self.host = self.run(self._host())
        self.cluster = self.run(self._cluster())
        self.run(self.network.listen(f"{self.name}:1", self.cluster.services()))

    async def _host(self) -> MemoryHost:
        return MemoryHost(self.world.groups, self.node_id, self.loop)

    async def _cluster(self) -> Cluster:
        return Cluster(
            settings=LiveSettings(self.config),
            damage=DamageReports(),
            claims=self.claims,
            identity=FakeIdentity(self.node_id, DirectoryId(self.directory_id)),
            view=self.view,
            group_host=self.host,
            codec=MemoryCodec(),
            disk=self.disk,
            network=self.network,
            clock=SimClock(self.loop),
            random=self.world.random,
            on_joined=self._joined,
            on_failure=self.failures.append,
        )

    def _joined(self, cluster_id: int) -> None:
        assert not self.host.created
        self.joined.append(cluster_id)

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        """Complete work on this node's loop."""
        return self.world.scheduler.complete(self.loop.create_task(work), seconds)

    def begin(self) -> None:
        """Start without waiting."""
        self.starting = self.loop.create_task(self.cluster.start())

    def crash(self) -> None:
        """The process is gone; what was not fsynced too."""
        self.world.scheduler.drop(self.loop)
        self.network.die()
        self.world.net.process_gone(self.network, power_cut=False)
        self.world.groups.node_down(self.node_id)
        self.disk = self.disk.crash(random.Random(1))

    def again(self, **changes: Any) -> Node:
        """The next process on the same disk."""
        values = {name: getattr(self.config, name) for name in self.config.__slots__}
        config = NodeConfig(**{**values, **changes})
        return self.world.adopt(Node(self.world, config, self.directory_id, self.disk))


class World:
    """Everything the nodes share."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(1)
        self.net = Fabric(self.scheduler, NetworkConditions())
        self.groups = MemoryFabric(self.scheduler)
        self.random = random.Random(5)
        self.nodes: list[Node] = []
        self.next_directory = 100

    def adopt(self, node: Node) -> Node:
        self.nodes.append(node)
        return node

    def node(self, node_id: int, controllers: Controllers, **settings: Any) -> Node:
        """A process on a blank disk."""
        self.next_directory += 1
        config = NodeConfig(
            node_id=node_id,
            bind=f"n{node_id}:1",
            insecure=True,
            controllers=controllers,
            **settings,
        )
        return self.adopt(Node(self, config, self.next_directory, SimDisk()))

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Let time pass until the condition holds."""
        assert self.scheduler.run(self.scheduler.now + seconds, condition), "it never came to hold"

    def sleep(self, seconds: float) -> None:
        self.scheduler.run(self.scheduler.now + seconds)

    def started(self, *nodes: Node) -> tuple[Node, ...]:
        """Start nodes at the same time and wait for all."""
        for node in nodes:
            node.begin()
        self.wait(lambda: all(node.starting.done() for node in nodes))
        for node in nodes:
            node.starting.result()
        return nodes

    def three(self) -> tuple[Node, ...]:
        """A cluster of three, all of which know each other."""
        nodes = self.started(*(self.node(n, THREE, bootstrap=True) for n in (1, 2, 3)))
        self.wait(lambda: all(len(node.view.nodes()) == 3 for node in nodes))
        return nodes


@pytest.fixture
def world() -> Iterator[World]:
    """Made anew for each test; no task of any node may have failed unseen."""
    made = World()
    yield made
    failures = [failure for node in made.nodes for failure in node.loop.failures]
    made.scheduler.dispose([node.loop for node in made.nodes])
    assert not failures


def refusal(node: Node, work: Coroutine[Any, Any, object]) -> StreamlogError:
    """The error that the work ends with."""
    with pytest.raises(StreamlogError) as caught:
        node.run(work)
    return caught.value


def create(node: Node, name: str, partitions: int = 1, factor: int = 0) -> Topic:
    """Create a topic through a node."""
    return node.run(
        node.cluster.create_topic(name, partition_count=partitions, replication_factor=factor)
    )


def held(node: Node) -> list[int]:
    """Groups of partitions on a node."""
    return sorted(group_id for group_id in node.host.groups if group_id != METADATA_GROUP)


# Forming.


def test_a_single_node_bootstraps_at_once(world: World) -> None:
    """It needs nobody, and takes changes as soon as start returned."""
    (node,) = world.started(world.node(1, ONE, bootstrap=True))
    assert node.view.cluster_id != 0
    assert node.joined == [node.view.cluster_id]
    assert [n.node_id for n in node.view.nodes()] == [1]
    assert len(create(node, "a", 3).partitions) == 3
    assert node.view.topic("a") is not None


def test_a_blank_lone_node_is_not_bootstrapped_by_accident(world: World) -> None:
    """Without the flag the error says what to do."""
    node = world.node(1, ONE)
    error = refusal(node, node.cluster.start())
    assert error.reason is Reason.INVALID_CONFIG
    assert "bootstrap" in error.message


def test_a_blank_node_with_a_controllers_id_founds_no_second_cluster(world: World) -> None:
    """Node 1 of the list is elsewhere: with the flag it would found a cluster of its own."""
    second = world.node(1, ((1, "elsewhere:1"),), bootstrap=True)
    error = refusal(second, second.cluster.start())
    assert error.reason is Reason.INVALID_CONFIG
    assert "node 1 at elsewhere:1" in error.message
    assert "advertises n1:1" in error.message
    assert not second.host.groups


def test_three_nodes_found_one_cluster(world: World) -> None:
    """The same founding everywhere, all of them registered, nodes 2 and 3 without the flag too."""
    nodes = world.started(
        world.node(1, THREE, bootstrap=True), world.node(2, THREE), world.node(3, THREE)
    )
    world.wait(lambda: all(len(node.view.nodes()) == 3 for node in nodes))
    assert len({node.view.cluster_id for node in nodes}) == 1
    creations = [node.host.groups[METADATA_GROUP].creation for node in nodes]
    assert len({creation.membership for creation in creations}) == 1
    assert [c.local_replica_id for c in creations] == [1, 2, 3]
    assert [r.directory_id for r in creations[0].membership.voters] == [101, 102, 103]


def test_founding_waits_for_all_controllers(world: World) -> None:
    """With one of three missing nothing is founded; when it comes, it is."""
    first, second = (world.node(n, THREE, bootstrap=True) for n in (1, 2))
    first.begin()
    second.begin()
    world.sleep(20)
    assert not world.groups.logs[first.node_id]
    assert first.view.cluster_id == second.view.cluster_id == 0
    third = world.node(3, THREE, bootstrap=True)
    third.begin()
    world.wait(lambda: third.starting.done() and first.starting.done() and second.starting.done())


def test_controllers_that_list_others_are_waited_for(world: World) -> None:
    """A node with another list of controllers does not become part of a founding."""
    other = (*THREE[:2], (4, "n4:1"))
    nodes = [world.node(1, THREE, bootstrap=True), world.node(2, THREE), world.node(3, THREE)]
    odd = world.node(4, other)
    nodes[1].crash()
    odd_second = nodes[1].again(controllers=other)
    for node in (nodes[0], odd_second, nodes[2], odd):
        node.begin()
    world.sleep(10)
    assert nodes[0].view.cluster_id == 0


@pytest.mark.parametrize("moment_ms", [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233])
@pytest.mark.parametrize("victim", [0, 1])
def test_a_crash_while_founding_resumes(world: World, moment_ms: int, victim: int) -> None:
    """Whenever a node dies on the way, the cluster comes about, once."""
    nodes = [world.node(n, THREE, bootstrap=True) for n in (1, 2, 3)]
    for node in nodes:
        node.begin()
    world.sleep(moment_ms / 1_000)
    nodes[victim].crash()
    world.sleep(0.5)
    nodes[victim] = nodes[victim].again()
    nodes[victim].begin()
    world.wait(lambda: all(node.starting.done() for node in nodes))
    for node in nodes:
        node.starting.result()
    world.wait(lambda: all(len(node.view.nodes()) == 3 for node in nodes))
    assert len({node.view.cluster_id for node in nodes}) == 1


def test_a_founder_that_never_registered_does_so_with_a_damaged_snapshot(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody gives a copy of the metadata to a node that is not registered, so it must not be waited
    for before."""
    nodes = [world.node(n, THREE, bootstrap=True) for n in (1, 2, 3)]
    for node in nodes:
        node.begin()
    world.wait(lambda: METADATA_GROUP in nodes[2].host.groups)
    nodes[2].crash()
    world.wait(lambda: all(node.starting.done() for node in nodes[:2]))
    assert nodes[0].view.node(NodeId(3)) is None
    damaged = world.groups.logs[NodeId(3)][METADATA_GROUP]
    damaged.needs_install = True
    load = MemoryLog.load_snapshot

    async def load_damaged(log: MemoryLog) -> tuple[LogPosition, bytes] | None:
        if log is damaged and nodes[0].view.node(NodeId(3)) is None:
            raise LogCorrupt(METADATA_GROUP, "the snapshot", "CRC32C")
        return await load(log)

    monkeypatch.setattr(MemoryLog, "load_snapshot", load_damaged)
    nodes[2].again().begin()
    world.wait(lambda: nodes[0].view.node(NodeId(3)) is not None)


def test_bootstrap_again_is_no_founding(world: World) -> None:
    """With the flag still set a restart goes on in its cluster."""
    nodes = world.three()
    cluster_id = nodes[0].view.cluster_id
    for node in nodes:
        node.crash()
    nodes = tuple(node.again() for node in nodes)
    world.started(*nodes)
    assert {node.view.cluster_id for node in nodes} == {cluster_id}
    assert not any(node.host.created for node in nodes)


# Joining.


def test_a_node_joins_and_follows_as_a_learner(world: World) -> None:
    """It registers, becomes a learner of the metadata, and gets partitions."""
    nodes = world.three()
    create(nodes[0], "before", 2, 3)
    (fourth,) = world.started(world.node(4, THREE, rack="r4"))
    assert fourth.view.cluster_id == nodes[0].view.cluster_id
    world.wait(lambda: fourth.view.topic("before") is not None)
    registered = fourth.view.node(NodeId(4))
    assert registered is not None
    assert (registered.rack, registered.controller) == ("r4", False)
    creation = fourth.host.groups[METADATA_GROUP].creation
    assert creation.local_replica_id == registered.metadata_replica_id == 4
    assert not creation.membership.is_voter(creation.local_replica_id)
    assert len(create(fourth, "after", 4, 4).partitions) == 4
    world.wait(lambda: len(held(fourth)) == 4)


def test_a_blank_disk_under_an_old_id_is_refused(world: World) -> None:
    """Of a controller and of another node; with the reason, and nothing is created."""
    nodes = world.three()
    (fourth,) = world.started(world.node(4, THREE))
    for old in (nodes[1], fourth):
        old.crash()
        world.groups.logs[old.node_id].clear()
        blank = world.node(old.node_id, THREE, bootstrap=old.config.bootstrap)
        error = refusal(blank, blank.cluster.start())
        assert error.reason is Reason.NODE_ID_TAKEN
        assert "never used" in error.message
        assert not blank.host.groups


def test_the_founders_blank_disk_founds_nothing(world: World) -> None:
    """Node 1 with the flag and a new disk meets its old cluster, and is refused."""
    nodes = world.three()
    nodes[0].crash()
    world.groups.logs[NodeId(1)].clear()
    blank = world.node(1, THREE, bootstrap=True)
    assert refusal(blank, blank.cluster.start()).reason is Reason.NODE_ID_TAKEN


@pytest.mark.parametrize("after_ms", [0, CLAIM_WAIT_MS - 10])
def test_a_blank_lone_founder_that_a_cluster_claims_founds_nothing(
    world: World, after_ms: int
) -> None:
    """Members of the cluster that it belonged to call it; it says who, and what to do."""
    blank = world.node(1, ONE, bootstrap=True)
    blank.begin()
    world.sleep(after_ms / 1_000)
    blank.claims.heard(MembershipClaim(NodeId(2), 0xBAD))
    world.wait(blank.starting.done)
    error = blank.starting.exception()
    assert isinstance(error, StreamlogError)
    assert error.reason is Reason.NODE_ID_TAKEN
    for word in (f"{0xBAD:032x}", "node 2 of it", "node replace 1 --with NEW", "without bootstrap"):
        assert word in error.message
    assert blank.view.cluster_id == 0
    assert not blank.host.groups


def test_a_lone_founder_that_a_cluster_claims_later_stops(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody could tell it before: an error names both clusters, and the node ends."""
    (node,) = world.started(world.node(1, ONE, bootstrap=True))
    own = node.view.cluster_id
    node.claims.heard(MembershipClaim(NodeId(2), own))
    world.sleep(1)
    assert not node.failures
    node.claims.heard(MembershipClaim(NodeId(2), 0xBAD))
    world.wait(lambda: bool(node.failures))
    (error,) = node.failures
    assert isinstance(error, StreamlogError)
    assert error.reason is Reason.CLUSTER_MISMATCH
    for word in (f"{own:032x}", f"{0xBAD:032x}", "node 2 of it", "node replace 1 --with NEW"):
        assert word in error.message
    assert "claimed_by_another_cluster" in caplog.messages


def test_a_claim_does_not_end_a_cluster_of_several(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It is an error in the log, once for each that claims."""
    first = world.three()[0]
    for _ in range(3):
        first.claims.heard(MembershipClaim(NodeId(2), 0xBAD))
    world.sleep(5)
    assert not first.failures
    assert caplog.messages.count("claimed_by_another_cluster") == 1
    assert create(first, "a").name == "a"


def test_a_node_of_another_cluster_is_refused(world: World) -> None:
    """A directory of one cluster, pointed at the controllers of another; both are named."""
    (stranger,) = world.started(world.node(9, ((9, "n9:1"),), bootstrap=True))
    other = stranger.view.cluster_id
    stranger.crash()
    world.three()
    stranger = stranger.again(controllers=THREE, bootstrap=False)
    error = refusal(stranger, stranger.cluster.start())
    assert error.reason is Reason.CLUSTER_MISMATCH
    assert f"{other:032x}" in error.message


def test_a_stranger_among_the_controllers_does_not_stop_the_others(world: World) -> None:
    """Two of a cluster meet a third that is of another one: they go on, it is refused."""
    (stranger,) = world.started(world.node(3, ((3, "n3:1"),), bootstrap=True))
    stranger.crash()
    logs = world.groups.logs[NodeId(3)]
    world.groups.logs[NodeId(3)] = {}
    first, second, third = world.three()
    for node in (first, second, third):
        node.crash()
    world.groups.logs[NodeId(3)] = logs
    stranger = stranger.again(controllers=THREE, bootstrap=False)
    world.started(first.again(), second.again())
    assert refusal(stranger, stranger.cluster.start()).reason is Reason.CLUSTER_MISMATCH


def test_missing_metadata_stops_the_node(world: World) -> None:
    """A node whose metadata was on its disk and is gone does not vote with a blank one."""
    nodes = world.three()
    nodes[2].crash()
    del world.groups.logs[NodeId(3)][METADATA_GROUP]
    third = nodes[2].again()
    error = refusal(third, third.cluster.start())
    assert error.reason is Reason.CORRUPT_LOG
    assert METADATA_GROUP not in third.host.groups


def test_a_restart_registers_its_new_address(world: World) -> None:
    """In the background: start does not wait for a majority."""
    nodes = world.three()
    for node in nodes[1:]:
        node.crash()
    alone = nodes[1].again(advertised="elsewhere:7", rack="west")
    world.started(alone)
    nodes[2].again().begin()
    world.wait(lambda: nodes[0].view.address_of(NodeId(2)) == "elsewhere:7")
    seen = nodes[0].view.node(NodeId(2))
    assert seen is not None
    assert seen.rack == "west"


# Changes.


def test_any_node_takes_changes(world: World) -> None:
    """They are passed on to the leader; the node that took one shows it at once."""
    nodes = world.three()
    for number, node in enumerate(nodes):
        topic = create(node, f"t{number}", 3)
        assert node.view.topic(f"t{number}") is not None
        assert len(topic.partitions[0].replicas) == 3
    follower = nodes[2]
    altered = follower.run(
        follower.cluster.alter_topic("t0", overrides={"retention.ms": "5"}, unset=())
    )
    assert altered.config.retention_ms == 5
    grown = follower.run(follower.cluster.add_partitions("t0", partition_count=5))
    assert len(grown.partitions) == 5
    follower.run(follower.cluster.delete_topic("t1"))
    assert follower.view.topic("t1") is None
    partition = follower.view.partition(grown.topic_id, 4)
    assert partition is not None
    assert partition.group_id == grown.partitions[4].group_id
    assert follower.view.partition(grown.topic_id, 5) is None


def test_refusals_cross_the_wire_whole(world: World) -> None:
    """Reason, message and metadata are those of the leader, on every node."""
    nodes = world.three()
    create(nodes[0], "a")
    for node in nodes:
        error = refusal(node, node.cluster.create_topic("a"))
        assert error.reason is Reason.TOPIC_EXISTS
        assert error.metadata["topic"] == "a"
        error = refusal(node, node.cluster.create_topic("b", replication_factor=4))
        assert error.reason is Reason.INVALID_REPLICATION_FACTOR
        assert "1 to 3" in error.message
        error = refusal(node, node.cluster.create_topic("../x"))
        assert error.reason is Reason.INVALID_TOPIC_NAME
        error = refusal(node, node.cluster.delete_topic("none"))
        assert error.reason is Reason.UNKNOWN_TOPIC
    assert create(nodes[1], "b", 2).name == "b"


def test_without_a_majority_changes_fail_definitely_or_not(world: World) -> None:
    """No leader: certainly not done. A leader that can not commit: outcome unknown."""
    nodes = world.three()
    world.groups.stopped.add(METADATA_GROUP)
    leader = next(n for n in nodes if n.node_id == world.groups.leaders[METADATA_GROUP].node_id)
    error = refusal(leader, leader.cluster.delete_topic("none", timeout_ms=500))
    assert error.reason is Reason.UNKNOWN_TOPIC  # Needs no entry; the leader is confirmed.
    error = refusal(leader, leader.cluster.create_topic("a", timeout_ms=500))
    assert error.reason is Reason.METADATA_OUTCOME_UNKNOWN
    others = [node for node in nodes if node is not leader]
    leader.crash()
    error = refusal(others[0], others[0].cluster.create_topic("b", timeout_ms=500))
    assert error.reason in {Reason.METADATA_UNAVAILABLE, Reason.METADATA_OUTCOME_UNKNOWN}


def test_a_creation_survives_the_leader(world: World) -> None:
    """The leader dies with the change half-way; repeated elsewhere it is done once."""
    nodes = world.three()
    leader = next(n for n in nodes if n.node_id == world.groups.leaders[METADATA_GROUP].node_id)
    follower = next(n for n in nodes if n is not leader)
    work = follower.loop.create_task(follower.cluster.create_topic("a", partition_count=2))
    world.sleep(0.0005)
    leader.crash()
    topic = world.scheduler.complete(work, 60)
    assert follower.view.topic("a") is not None
    assert follower.view.topics()[0].request_id == topic.request_id
    assert len(follower.view.topics()) == 1


def test_dead_nodes_get_no_new_replicas(world: World) -> None:
    """With four nodes and one dead, three replicas go to the living."""
    nodes = world.three()
    (fourth,) = world.started(world.node(4, THREE))
    fourth.crash()
    topic = create(nodes[0], "a", 8, 3)
    assert {r.node_id for p in topic.partitions for r in p.replicas} == {1, 2, 3}


def test_producer_ids_are_unique_over_nodes_and_restarts(world: World) -> None:
    """Blocks do not overlap, whoever asks."""
    nodes = world.three()
    ids = [node.run(node.cluster.allocate_producer_id()) for node in nodes for _ in range(3)]
    nodes[1].crash()
    again = nodes[1].again()
    world.started(again)
    ids += [again.run(again.cluster.allocate_producer_id()) for _ in range(1_001)]
    assert len(set(ids)) == len(ids)


def test_waiting_for_a_topic(world: World) -> None:
    """It returns when the topic is known here; an unknown one ends with its name."""
    nodes = world.three()
    waiting = nodes[2].loop.create_task(nodes[2].cluster.wait_for_topic("a", 5_000))
    world.sleep(0.1)
    create(nodes[0], "a")
    assert world.scheduler.complete(waiting, 5).name == "a"
    error = refusal(nodes[2], nodes[2].cluster.wait_for_topic("b", 100))
    assert error.reason is Reason.UNKNOWN_TOPIC


# One identity, one process.


def registration(node: Node, boot_id: int, at_ms: int) -> RegisterNode:
    """As another start on the node's directory, or on a copy of it, would register."""
    registered = node.view.node(node.node_id)
    assert registered is not None
    return RegisterNode(
        node.view.cluster_id,
        node.node_id,
        "elsewhere:1",
        "",
        registered.directory_id,
        boot_id,
        registered.registered_at_ms + at_ms,
    )


def test_a_second_process_of_an_identity_waits_and_is_refused(world: World) -> None:
    """While others hear the first one: at its start, and when it registers. When the first one is
    dead, the second goes on."""
    nodes = world.three()
    world.groups.boots[nodes[2].node_id] = 77
    error = refusal(nodes[2], nodes[2].cluster.refuse_twin())
    assert error.reason is Reason.IDENTITY_IN_USE
    assert "another process runs as node 3" in error.message
    assert "n1:1, n2:1" in error.message
    assert "a node id that was never used" in error.message
    register = nodes[0].cluster._forwarding.execute(registration(nodes[2], 78, 1), 1_000)
    assert refusal(nodes[0], register).reason is Reason.IDENTITY_IN_USE
    waiting = nodes[2].loop.create_task(nodes[2].cluster.refuse_twin())
    world.sleep(0.3)
    assert not waiting.done()
    world.groups.boots.clear()
    world.scheduler.complete(waiting, 1)


def test_the_last_life_of_a_node_is_forgotten_in_time(world: World) -> None:
    """However short election timeouts are: who still hears a process that died may be slow."""
    nodes = world.three()
    nodes[2].crash()
    world.groups.boots[nodes[2].node_id] = 77
    again = nodes[2].again(heartbeat_interval_ms=20, election_timeout_ms=200)
    waiting = again.loop.create_task(again.cluster.refuse_twin())
    world.sleep(4)
    assert not waiting.done()
    world.groups.boots.clear()
    world.scheduler.complete(waiting, 1)


def test_the_only_controller_is_asked_where_it_is_listed(world: World) -> None:
    """A copy that is started elsewhere meets the original there."""
    (node,) = world.started(world.node(1, ONE, bootstrap=True))
    copied = NodeConfig(node_id=1, bind="n9:1", insecure=True, controllers=ONE)
    network = SimNetwork(world.net, "n9", node.loop)
    identity = FakeIdentity(node.node_id, DirectoryId(node.directory_id))
    twins = Twins(copied, identity, 5, PeerChannels(network))
    error = refusal(node, twins.refuse())
    assert error.reason is Reason.IDENTITY_IN_USE
    other = Twins(copied, FakeIdentity(node.node_id, DirectoryId(9)), 5, PeerChannels(network))
    node.run(other.refuse())


def test_a_node_whose_registration_is_overtaken_stops(world: World) -> None:
    """A later start of the same directory: one of the two must go, and it is the earlier one."""
    nodes = world.three()
    nodes[0].run(nodes[0].cluster._forwarding.execute(registration(nodes[2], 78, 1), 1_000))
    world.wait(lambda: bool(nodes[2].failures), 5)
    (failure,) = nodes[2].failures
    assert isinstance(failure, StreamlogError)
    assert failure.reason is Reason.IDENTITY_IN_USE
    assert "started once more, at elsewhere:1" in failure.message


def test_a_registration_of_an_earlier_start_that_comes_late_changes_nothing(world: World) -> None:
    """The request of a process that died meanwhile: the one that lives registers again."""
    nodes = world.three()
    nodes[0].run(nodes[0].cluster._forwarding.execute(registration(nodes[2], 78, -1), 1_000))
    world.wait(lambda: nodes[2].cluster.registered, 5)
    node = nodes[0].view.node(nodes[2].node_id)
    assert node is not None
    world.wait(lambda: getattr(nodes[0].view.node(nodes[2].node_id), "address", "") == "n3:1", 5)
    assert not nodes[2].failures


# Replicas.


def test_replicas_follow_the_metadata(world: World) -> None:
    """Created where they belong, the preferred leader campaigns, deleted with the topic."""
    nodes = world.three()
    changes: list[int] = []
    nodes[0].run(_subscribe(nodes[0], changes))
    topic = create(nodes[0], "a", 6, 2)
    for node in nodes:
        due = sorted(p.group_id for p in topic.partitions if p.replica_on(node.node_id))
        world.wait(partial(_holds, node, due))
        wishes = {c.group_id for c, campaign in node.host.created if campaign} - {METADATA_GROUP}
        assert wishes == {
            p.group_id for p in topic.partitions if p.preferred_leader == node.node_id
        }
        for creation, _ in node.host.created[1:]:
            assert creation.topic_id == topic.topic_id
            local = creation.membership.find(creation.local_replica_id)
            assert local is not None
            assert (local.node_id, local.directory_id) == (node.node_id, node.directory_id)
    world.wait(lambda: bool(changes))
    nodes[1].run(nodes[1].cluster.delete_topic("a"))
    world.wait(lambda: not any(held(node) for node in nodes))


def _holds(node: Node, groups: Sequence[int]) -> bool:
    return held(node) == groups


async def _subscribe(node: Node, changes: list[int]) -> None:
    node.cluster.on_replicas_changed(lambda: changes.append(1))


def test_many_partitions_are_created_together(world: World) -> None:
    """600 partitions share flushes: many creations at a time, one write of the mark."""
    nodes = world.three()
    world.sleep(1)
    before = [node.disk.counters.syncs for node in nodes]
    begun = world.scheduler.now
    create(nodes[0], "a", 600, 3)
    world.wait(lambda: all(len(held(node)) == 600 for node in nodes))
    assert world.scheduler.now - begun < 1
    world.sleep(1)
    assert all(64 <= node.host.most_creating <= 128 for node in nodes)
    for node, syncs in zip(nodes, before, strict=True):
        assert node.disk.counters.syncs - syncs <= 4


def test_what_a_crash_left_undone_is_done_after_the_restart(world: World) -> None:
    """A node that died among its creations has them all later, and none twice."""
    nodes = world.three()
    work = nodes[0].loop.create_task(nodes[0].cluster.create_topic("a", partition_count=400))
    world.wait(lambda: len(held(nodes[1])) > 100)
    assert len(held(nodes[1])) < 400
    nodes[1].crash()
    world.scheduler.complete(work, 60)
    again = nodes[1].again()
    world.started(again)
    world.wait(lambda: len(held(again)) == 400)
    assert not again.cluster.lost_replicas


def test_lost_data_is_not_made_anew(world: World) -> None:
    """A replica that was here and is gone does not come back under its id: the metadata is asked
    for another, of a new id; others are untouched."""
    nodes = world.three()
    topic = create(nodes[0], "a", 4, 3)
    world.wait(lambda: all(len(held(node)) == 4 for node in nodes))
    world.sleep(1)
    nodes[2].crash()
    lost = topic.partitions[1].group_id
    del world.groups.logs[NodeId(3)][lost]
    third = nodes[2].again()
    world.started(third)
    world.wait(lambda: bool(third.cluster.lost_replicas))
    assert [p.group_id for p in third.cluster.lost_replicas] == [lost]
    world.wait(lambda: lost in third.host.groups)
    assert third.host.groups[lost].creation.local_replica_id == 4
    assert [r.replica_id for r in third.host.groups[lost].creation.membership.learners] == [4]
    world.wait(lambda: not third.cluster.lost_replicas)
    assert len(held(third)) == 4


def test_the_only_replica_is_not_replaced_by_a_blank_one(world: World) -> None:
    """There is nobody to copy it from: it stays out, and reported, until its topic is deleted."""
    nodes = world.three()
    topic = create(nodes[0], "a", 3, 1)
    world.wait(lambda: sum(len(held(node)) for node in nodes) == 3)
    world.sleep(1)
    nodes[2].crash()
    (lost,) = [p.group_id for p in topic.partitions if p.preferred_leader == 3]
    del world.groups.logs[NodeId(3)][lost]
    third = nodes[2].again()
    world.started(third)
    world.wait(lambda: bool(third.cluster.lost_replicas))
    world.sleep(20)
    assert [p.group_id for p in third.cluster.lost_replicas] == [lost]
    assert lost not in third.host.groups
    nodes[0].run(nodes[0].cluster.delete_topic("a"))
    world.wait(lambda: not third.cluster.lost_replicas)


def test_deletions_while_away_are_carried_out_later(world: World) -> None:
    """Also when the node learns of them from a snapshot; unknown groups are left alone."""
    first, _, third = world.started(
        *(world.node(n, THREE, bootstrap=True, snapshot_records=10) for n in (1, 2, 3))
    )
    world.wait(lambda: len(third.view.nodes()) == 3)
    create(first, "a", 4, 3)
    create(first, "b", 1, 3)
    world.wait(lambda: len(held(third)) == 5)
    world.sleep(1)
    third.crash()
    first.run(first.cluster.delete_topic("a"))
    for number in range(25):
        create(first, f"t{number}", 1, 3)
    assert world.groups.logs[NodeId(1)][METADATA_GROUP].start.end > 10
    stray = world.groups.logs[NodeId(1)][GroupId(5)]
    world.groups.logs[NodeId(3)][GroupId(10_000)] = _moved(stray, GroupId(10_000))
    third = third.again()
    world.started(third)
    world.wait(lambda: len(held(third)) == 27)
    assert held(third)[-1] == 10_000
    assert not third.cluster.lost_replicas


def _moved(log: MemoryLog, group_id: GroupId) -> MemoryLog:
    """A log of a group that the metadata has never heard of."""
    return MemoryLog(replace(log.creation, group_id=group_id, topic_id=999))


def test_creations_that_fail_are_tried_again(world: World) -> None:
    """A full disk delays a replica; it does not lose it."""
    nodes = world.three()
    nodes[1].host.refuse_creation = DiskFull(1, 0)
    create(nodes[0], "a", 3, 3)
    world.sleep(3)
    assert not held(nodes[1])
    nodes[1].host.refuse_creation = None
    world.wait(lambda: len(held(nodes[1])) == 3)
    assert not nodes[1].failures
