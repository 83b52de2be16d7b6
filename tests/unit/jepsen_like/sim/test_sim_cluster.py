"""Nodes live several lives, and the nemesis leaves every one of them running."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jepsen_like.sim.options import EIO, FAULTS, ROT, STRUCK, SimOptions, draw_options
from jepsen_like.sim.ports.network import SimNetwork
from replication.types import NodeId
from tests.fakes.counting_node import World


def options(seed: int = 1) -> SimOptions:
    """Three nodes."""
    return replace(draw_options(seed), nodes=3, controllers=3, replication_factor=3)


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
    world.scheduler.dispose(world.cluster.loops)


def test_the_nemesis_strikes_with_everything_and_heals() -> None:
    """Every kind of fault strikes in some seed; afterwards every node is up and reachable."""
    strikes = dict.fromkeys(STRUCK, 0)
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
    # These nodes elect nobody, call nobody, have no logs, and ask for no space.
    without = [name for name, count in strikes.items() if not count and name not in EIO]
    operators = FAULTS[FAULTS.index("move partition") :]
    expected = ["power cut leader", "break connections", "full disk", *ROT, "hand over"]
    expected += [*operators, "index rot"]
    assert without == expected


def test_a_node_that_fails_is_reported() -> None:
    """What a node raises while it starts is a failure of the simulation."""
    world = World(options())
    node = world.cluster.nodes[NodeId(3)]
    world.cluster.kill(node, power_cut=False)
    node.disk.put("count", b"\xff")  # one more does not fit
    world.cluster.start(node)
    world.run(1.0)
    assert any("could not start" in failure for failure in world.cluster.all_failures())
    world.scheduler.dispose(world.cluster.loops)
