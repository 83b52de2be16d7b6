"""Strikes do not depend on each other; damage to files is damage, and a refusal is no failure."""

from __future__ import annotations

import random
from dataclasses import replace

from jepsen_like.sim.faults.rot import Rot
from jepsen_like.sim.options import FAULTS, OPERATORS, ROT, SimOptions, draw_options
from jepsen_like.sim.ports.disk import SimDisk
from jepsen_like.sim.runs.narrowing import Narrowing
from jepsen_like.sim.simulation import Outcome, simulate
from tests.fakes.counting_node import World

ALL = tuple(fault for fault in FAULTS if fault != "power cut leader")


def three(seed: int, faults: tuple[str, ...] = ALL) -> SimOptions:
    """Three nodes under many faults."""
    drawn = replace(draw_options(seed), nodes=3, controllers=3, replication_factor=3, faults=faults)
    return replace(drawn, fault_pause_ms=(0.0, 200.0), fault_length_ms=(20.0, 100.0))


def strikes(options: SimOptions) -> dict[int, str]:
    """What each strike was, by its number."""
    world = World(options)
    world.nemesis.start()
    world.run(6.0)
    world.nemesis.heal_all()
    world.run(2.0)
    world.scheduler.dispose(world.cluster.loops)
    found = {}
    for line in world.trace.lines:
        _, is_strike, what = line.partition("nemesis    strike ")
        if is_strike:
            number, _, kind = what.partition(": ")
            found[int(number)] = kind.partition(", for")[0]
    return found


def test_a_strike_that_is_left_out_leaves_the_others() -> None:
    """Without a kind, without a number, or with fewer of them, those that are left are the same,
    as long as there is something to strike."""
    options = three(1)
    before = strikes(options)
    assert len(before) > 10
    kinds = ("isolate one", "one-way", "ring", "slow disk", "full disk", "slow network")
    some = Narrowing(without=("pause one",), skip=(min(before),), strikes=40)
    after = strikes(some.apply(options))
    assert "pause one" not in after.values()
    assert min(before) not in after
    assert max(after) < 40
    always = {n: kind for n, kind in before.items() if kind in kinds and n < 40}
    always.pop(min(before), None)
    assert always
    assert {n: kind for n, kind in after.items() if kind in kinds} == always


def test_a_rolling_restart_gives_every_node_one_more_life() -> None:
    """One after the other: while one is down, the others run."""
    world = World(three(2, ("rolling restart",)))
    lowest = [3]

    def look() -> None:
        up = sum(
            node.life is not None and node.life.started for node in world.cluster.nodes.values()
        )
        lowest[0] = min(lowest[0], up)
        world.scheduler.call_later(0.01, look)

    look()
    world.nemesis.start()
    world.run(4.0)
    world.nemesis.heal_all()
    world.run(2.0)
    assert world.nemesis.strikes["rolling restart"] >= 1
    assert all(node.lives > 1 for node in world.cluster.nodes.values())
    assert lowest[0] == 2
    assert all(node.is_serving for node in world.cluster.nodes.values())
    assert world.cluster.all_failures() == []
    world.scheduler.dispose(world.cluster.loops)


def _damaged(seed: int) -> Outcome:
    """A run in which everything that is stored on one node rots, and nothing else happens."""
    drawn = replace(draw_options(seed), nodes=3, controllers=3, replication_factor=3, faults=ROT)
    options = replace(drawn, fault_pause_ms=(0.0, 200.0), snapshot_records=10)
    return simulate(seed, Narrowing(load_ms=4_000).apply(options))


def test_whatever_rots_on_one_node_nothing_is_lost() -> None:
    """Each kind strikes, some node refuses to go on, and no promise is broken."""
    struck = dict.fromkeys(ROT, 0)
    refusals = 0
    for seed in range(9):
        outcome = _damaged(seed)
        assert outcome.violations == [], seed
        refusals += outcome.counts["refusals"]
        for name in ROT:
            struck[name] += outcome.strikes[name]
    assert all(struck.values()), struck
    assert refusals


def test_a_damaged_snapshot_is_copied_from_a_peer() -> None:
    """The node waits for another one and goes on."""
    faults = ("snapshot rot", "kill one", "hand over")
    drawn = replace(draw_options(1), nodes=3, controllers=3, replication_factor=3, faults=faults)
    options = replace(drawn, fault_pause_ms=(0.0, 400.0), snapshot_records=10)
    outcome = simulate(1, Narrowing(load_ms=6_000).apply(options))
    assert outcome.violations == []
    assert outcome.strikes["snapshot rot"]
    assert not outcome.counts["refusals"]


async def test_a_lost_write_is_as_if_it_had_never_been() -> None:
    """What was there before is there again, in the page cache and on the platter; a misdirected
    one is found elsewhere as well."""
    for misdirect in (False, True):
        world = World(three(3, ROT))
        node = world.nemesis.rot.node
        rot: Rot = world.nemesis.rot
        node.disk.put("groups/1/0.segment", b"old" * 1_000)
        node.disk.put("groups/1/1.segment", b"other" * 1_000)
        file = await node.disk.open("groups/1/0.segment")
        await file.write(512, [b"NEW"])
        assert rot.faults()["lost write"](random.Random(1)) is None, "it is not on the platter yet"
        await file.sync()
        name = "misdirected write" if misdirect else "lost write"
        assert rot.faults()[name](random.Random(1)) is not None
        image: SimDisk = node.disk.crash_image(random.Random(1))
        for disk in (node.disk, image):
            found = disk.content("groups/1/0.segment") + disk.content("groups/1/1.segment")
            assert disk.content("groups/1/0.segment")[512:515] != b"NEW"
            assert found.count(b"NEW") == (1 if misdirect else 0)
        assert node.rotten
        world.scheduler.dispose(world.cluster.loops)


def test_only_a_rotten_node_may_refuse() -> None:
    """A refusal is a failure of a node that was not touched; a rotten one stays down for good."""
    for rotten in (False, True):
        world = World(three(4, ()))
        node = next(iter(world.cluster.nodes.values()))
        world.cluster.kill(node, power_cut=False)
        node.rotten = rotten
        node.disk.put("refuse", b"x")
        world.cluster.start(node)
        world.run(1.0)
        assert node.retired == rotten
        assert bool(world.cluster.all_failures()) != rotten
        if rotten:
            world.cluster.start(node)
            assert node.life is None
            assert node not in world.cluster.members()
        world.scheduler.dispose(world.cluster.loops)


def test_what_operators_ask_for_counts_when_it_is_taken() -> None:
    """As often as the trace tells that a node took it, and not when it was refused."""
    drawn = replace(draw_options(2), nodes=4, controllers=3, replication_factor=3)
    options = replace(
        drawn, faults=OPERATORS, fault_pause_ms=(0.0, 200.0), fault_length_ms=(20.0, 100.0)
    )
    outcome = simulate(2, Narrowing(load_ms=3_000).apply(options))
    assert outcome.violations == []
    told = {"drain one": "DRAINING", "maintenance": "MAINTENANCE", "change factor": "factor"}
    for fault, what in told.items():
        taken = [line for line in outcome.trace if f" took {what} " in line]
        assert outcome.strikes[fault] == len(taken), fault
    assert sum(outcome.strikes[fault] for fault in OPERATORS) < outcome.strikes_tried
    assert any(outcome.strikes[fault] for fault in told)


def test_rot_of_an_index_has_a_count_of_its_own() -> None:
    """Beside that of bit rot, which has segments and states too."""
    for path, counted in (("groups/1/0.index", 1), ("groups/1/0.segment", 0)):
        world = World(three(3, ROT))
        world.nemesis.rot.node.disk.put(path, b"x" * 1_000)
        assert world.nemesis.rot.faults()["bit rot"](random.Random(1)) is not None
        assert world.nemesis.strikes["index rot"] == counted
        world.scheduler.dispose(world.cluster.loops)
