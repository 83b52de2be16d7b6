"""The cluster layer on the real replication and the real storage, in virtual time, with power cuts.

Only the broker is missing. Topics come and go through any node while nodes die and come back.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replication.types import NodeId
from streamlog.cluster.metadata.snapshot_codec import encode_snapshot
from tests.fakes.cluster_world import World, leaders, new_world


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Of the seed that the test names."""
    with new_world(request.param) as made:
        yield made


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


@pytest.mark.parametrize("world", [5], indirect=True)
def test_a_node_that_stops_hands_over_all_it_leads(world: World) -> None:
    """Every partition has another leader when `leave` returns, and no election was waited for."""
    world.boot(1, 2, 3)
    world.wait(lambda: all(len(node.view.nodes()) == 3 for node in world.nodes.values()))
    topic = world.nodes[2].run(world.nodes[2].cluster.create_topic("a", partition_count=90))
    world.wait(lambda: None not in leaders(world, topic).values())
    node = world.nodes[1]
    groups = [node.host.groups[partition.group_id] for partition in topic.partitions]
    # Who has more is asked first; where both have all, they share what is handed over.
    world.wait(lambda: all(len({*group.replica_progress().values()}) <= 1 for group in groups))
    begun = world.scheduler.now
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
