"""A failing disk counts when an operation failed, whatever it was armed for."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from jepsen_like.sim.faults.failing_disk import (
    AIMED,
    AIMED_PROBABILITY,
    AT_START_PROBABILITY,
    FAILING,
    START_OPERATIONS,
    WAITS_S,
)
from jepsen_like.sim.options import EIO, SimOptions, draw_options
from jepsen_like.sim.ports.disk import SimDisk
from jepsen_like.sim.runs.narrowing import Narrowing
from jepsen_like.sim.simulation import simulate
from replication.types import NodeId
from tests.fakes.counting_node import World


def three(*, aimed: bool = False) -> SimOptions:
    """Three nodes, nothing of which strikes by itself."""
    drawn = replace(draw_options(1), nodes=3, controllers=3, replication_factor=3, faults=())
    return replace(drawn, cold_read_probability=0.0, aimed_disk_errors=aimed)


def striker(kind: str) -> random.Random:
    """A source that makes the next strike one of this kind."""
    for seed in range(1_000):
        rng = random.Random(seed)
        rng.choice([1, 2, 3])
        if rng.choice(tuple(FAILING)) == kind:
            return random.Random(seed)
    raise AssertionError(kind)


def aimed_striker(kind: str, *, at_start: bool) -> random.Random:
    """One that aims it, at the first operation of the next start or at the next one."""
    for seed in range(10_000):
        rng = random.Random(seed)
        rng.choice([1, 2, 3])
        rng.choice(tuple(FAILING))
        if (
            rng.random() < AIMED_PROBABILITY
            and rng.choice(AIMED) == kind
            and (rng.random() < AT_START_PROBABILITY) == at_start
            and not (at_start and rng.randrange(START_OPERATIONS))
        ):
            return random.Random(seed)
    raise AssertionError(kind)


async def _operate(disk: SimDisk, kind: str) -> None:
    """One operation of the kind, on a file that is there."""
    if kind == "sync_directory":
        await disk.sync_directory("")
        return
    file = await disk.open("count")
    match kind:
        case "read":
            await file.read(0, 1)
        case "write":
            await file.write(0, [b"\1"])
        case "write_durable":
            await file.write_durable(0, [b"\1"])
        case "sync":
            await file.sync()


def _on_its_loop(world: World, node_id: NodeId, kind: str) -> asyncio.Task[None]:
    node = world.cluster.nodes[node_id]
    assert node.life is not None
    task = node.life.loop.create_task(_operate(node.disk, kind))
    world.run(0.1)
    return task


@pytest.mark.parametrize("kind", FAILING)
def test_what_fails_is_counted_when_it_fails(kind: str) -> None:
    """Not when it is armed; once; and then the disk works again."""
    world = World(three())
    strikes = world.nemesis.strikes
    assert world.nemesis.failing.faults()["failing disk"](striker(kind)) is not None
    (node,) = [n for n in world.cluster.nodes.values() if n.disk.faults.hook is not None]
    assert strikes["failing disk"] == 0
    failed = _on_its_loop(world, node.node_id, kind)
    assert isinstance(failed.exception(), OSError)
    assert node.disk_fails
    assert {name for name in EIO if strikes[name]} == {FAILING[kind]}
    assert strikes["failing disk"] == 1
    assert _on_its_loop(world, node.node_id, kind).exception() is None
    world.scheduler.dispose(world.cluster.loops)


@pytest.mark.parametrize("kind", AIMED)
def test_an_aimed_failure_meets_a_start(kind: str) -> None:
    """The process ends, the next one meets the failure and says so, a third one runs."""
    world = World(three(aimed=True))
    world.nemesis.failing.faults()["failing disk"](aimed_striker(kind, at_start=True))
    world.run(WAITS_S + 1.0)
    assert world.nemesis.strikes[FAILING[kind]] == 1
    assert sorted(node.lives for node in world.cluster.nodes.values()) == [1, 1, 3]
    assert all(node.is_serving for node in world.cluster.nodes.values())
    assert world.cluster.all_failures() == []
    world.scheduler.dispose(world.cluster.loops)


@pytest.mark.parametrize("healed", [False, True])
def test_an_aimed_failure_that_never_comes_is_not_waited_for(healed: bool) -> None:
    """Meanwhile the page cache is cold. After a while, or when everything is healed, the disk is as
    it was, and nothing counted."""
    world = World(three(aimed=True))
    world.nemesis.failing.faults()["failing disk"](aimed_striker("read", at_start=False))
    armed = [n.disk.faults for n in world.cluster.nodes.values() if n.disk.faults.hook]
    assert [faults.cold_read_probability for faults in armed] == [1.0]
    if healed:
        world.nemesis.heal_all()
    else:
        world.run(WAITS_S + 0.1)
    assert [faults.hook for faults in armed] == [None]
    assert [faults.cold_read_probability for faults in armed] == [0.0]
    assert not any(world.nemesis.strikes[name] for name in EIO)
    world.scheduler.dispose(world.cluster.loops)


def test_a_failing_disk_explains_no_defect() -> None:
    """A node whose disk failed may end with an error that tells so, not with any."""
    world = World(three(aimed=True))
    node = world.cluster.nodes[NodeId(3)]
    world.cluster.kill(node, power_cut=False)
    node.disk.put("count", b"\xff")  # one more does not fit
    node.disk_fails = True
    world.cluster.start(node)
    world.run(1.0)
    assert any("could not start" in failure for failure in world.cluster.all_failures())
    world.scheduler.dispose(world.cluster.loops)


def test_reads_fail_and_nothing_is_lost() -> None:
    """Reads and opens of running nodes and of nodes that start fail, under load. Who gives up says
    why and comes back; what could not be read is mended; no promise is broken."""
    struck = dict.fromkeys(EIO, 0)
    for seed in (1, 2, 3, 4):
        drawn = replace(draw_options(seed), nodes=3, controllers=3, replication_factor=3)
        options = replace(
            drawn,
            faults=("failing disk", "kill one"),
            aimed_disk_errors=True,
            fault_pause_ms=(0.0, 400.0),
            snapshot_records=10,
            groups=1,
        )
        outcome = simulate(seed, Narrowing(load_ms=4_000).apply(options))
        assert outcome.violations == [], seed
        for name in EIO:
            struck[name] += outcome.strikes[name]
    assert struck["EIO on read"] >= 3
    assert struck["EIO on open"]
