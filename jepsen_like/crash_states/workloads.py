"""What the store is asked to do while its disk is recorded: each workload shows one way of the
storage engine, and ends in a moment at which nothing was put in order.

A workload is one or more lives of a node. A life that does not stop is killed: its page cache
is what the next life finds, and what was not fsynced may still be lost in a later power cut.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from jepsen_like.crash_states.promise import GroupHistory
from jepsen_like.crash_states.record import Record
from jepsen_like.crash_states.recording_disk import LATENCY, RecordingDisk
from jepsen_like.crash_states.stored_node import (
    PRODUCERS,
    SMALL_STORE,
    NodeSettings,
    StoredNode,
    creation_of,
)
from jepsen_like.crash_states.virtual_time import VirtualLoop
from jepsen_like.sim.ports.volume import Volume
from replication.types import GroupId, Membership
from streamlog.storage.journal.journal import JournalSettings

Script = Callable[[StoredNode], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Workload:
    """Scripts of lives that follow each other on one disk."""

    name: str
    shows: str
    lives: Sequence[Script]
    settings: NodeSettings = NodeSettings()
    share: int = 1
    """Of the states that are judged, beside the other workloads."""


def record_workload(workload: Workload, seed: int) -> Record:
    """Run it once. Raises whatever fails: without a crash nothing may."""
    rng = random.Random(f"{workload.name} {seed}")
    record = Record()
    histories: dict[GroupId, GroupHistory] = {}
    disk = RecordingDisk(record, rng, LATENCY, Volume())
    for number, script in enumerate(workload.lives):
        loop = VirtualLoop(number * 100.0)
        node = StoredNode(disk, record, histories, rng, workload.settings)
        try:
            loop.run_until_complete(_live(node, script))
        finally:
            disk = disk.next_process()
            loop.abandon()
    return record


async def _live(node: StoredNode, script: Script) -> None:
    await node.start()
    await script(node)
    if node.failure is not None:
        raise node.failure


async def _appends(node: StoredNode) -> None:
    await node.create(1)
    node.hard_state(1, 1, 1)
    node.append(1, [0])
    await node.settled(1)
    for size in (40, 700, 90):
        node.append(1, [size, size + 10])
        node.produce(1, PRODUCERS[0], size)
        await node.pause(0.5)
    node.produce(1, PRODUCERS[1], 300)
    node.append(1, [20] * 5)
    await node.settled(1)
    await node.pause(12)  # A mark alone covers the last flush.
    for _ in range(4):
        node.produce(1, PRODUCERS[0], 500)
        node.produce(1, PRODUCERS[1], 50)
        await node.pause(1)
    node.append(1, [1_500, 10, 900])
    await node.pause(1)
    await node.checkpoint()
    node.append(1, [100])
    await node.pause(0.4)


async def _large(node: StoredNode) -> None:
    await node.create(1)
    node.hard_state(1, 1, 1)
    node.append(1, [6_000])
    node.append(1, [50])
    await node.settled(1)
    node.append(1, [200])
    node.append(1, [4_000, 5_000])
    node.append(1, [100])
    node.hard_state(1, 2)
    node.append(1, [5_500])
    await node.settled(1)
    await node.checkpoint()
    node.append(1, [4_200])
    await node.pause(0.6)
    node.append(1, [30])
    node.append(1, [7_000])
    await node.pause(0.8)


async def _groups(node: StoredNode) -> None:
    for number in (1, 2, 3):
        await node.create(number)
        node.hard_state(number, 1, number)
    learners = creation_of(2).membership
    for turn in range(5):
        node.append(1, [60, 80])
        node.append(2, [900])
        if turn % 2:
            node.append(3, [4_500])
        node.produce(3, PRODUCERS[0], 100)
        if turn == 2:
            changed = Membership(learners.voters[:2], (), learners.voters[2:])
            node.append(2, [0], membership=changed)
            node.hard_state(1, 5)
        await node.pause(0.7)
    await node.settled(1, 3)
    await node.checkpoint()
    for number in (3, 1, 2):
        node.append(number, [120])
        node.hard_state(number, 7, 2)
    await node.pause(1.5)


async def _votes(node: StoredNode) -> None:
    await node.create(1)
    await node.create(2)
    term = 0
    for turn in range(1, 12):
        term += node.rng.randint(1, 100)
        node.hard_state(1, term)
        node.hard_state(1, term, turn % 3 + 1)
        if turn % 4 == 0:
            node.hard_state(2, term, 1)
            await node.checkpoint()
        if turn % 3 == 0:
            await node.settled(1, 2)
        await node.pause(0.4)


async def _truncations(node: StoredNode) -> None:
    await node.create(1)
    node.hard_state(1, 1, 1)
    for _ in range(4):
        node.append(1, [400])
    await node.settled(1)
    node.truncate(1, 2)
    node.append(1, [300])
    node.produce(1, PRODUCERS[0], 250)
    await node.pause(0.5)
    node.append(1, [5_000])
    node.append(1, [60])
    node.truncate(1, 1)  # While the large append is on its way.
    node.append(1, [70])
    await node.settled(1)
    for _ in range(6):
        node.append(1, [1_200])
    await node.pause(2)
    await node.settled(1)
    node.truncate(1, 5)  # Over a segment's end.
    node.append(1, [800])
    await node.settled(1)
    await node.checkpoint()
    node.append(1, [1_000, 900])
    await node.settled(1)
    node.truncate(1, 3)  # Below the checkpoint.
    node.produce(1, PRODUCERS[0], 2_000)
    await node.pause(1.5)
    node.append(1, [4_400])
    await node.settled(1)
    node.append(1, [200])
    node.truncate(1, 2)  # The reference too.
    node.append(1, [150])
    for size in (700, 1_900, 60):
        node.append(1, [size, size])
        await node.settled(1)
        await node.checkpoint()
        node.hard_state(1, node.now(1).hard_state.term + 1)
        await node.pause(0.1)
        node.truncate(1, 2)  # It waits for the flush that is under way.
        node.append(1, [300])
        await node.pause(1.5)


async def _rolls(node: StoredNode) -> None:
    await node.create(1)
    node.hard_state(1, 1, 1)
    for turn in range(11):
        node.produce(1, PRODUCERS[turn % 2], 1_700)
        if turn in {4, 8}:
            await node.checkpoint()
        await node.pause(0.5)
    await node.settled(1)
    node.append(1, [2_500])
    node.append(1, [2_500])
    await node.pause(0.5)
    await node.checkpoint()


async def _checkpoints(node: StoredNode) -> None:
    await node.create(1)
    await node.create(2)
    node.hard_state(1, 1, 1)
    for turn in range(7):
        node.append(1, [500 + 90 * turn])
        node.append(2, [60])
        await node.pause(0.2)
        # They wait for the flush that is under way, and are captured before they are durable.
        node.append(1, [80])
        node.hard_state(2, turn + 1, 1)
        node.store.request_checkpoint()
        await node.pause(0.3)
        node.append(1, [700])
        await node.pause(0.9)
        if turn == 3:
            node.truncate(1, 3)
            node.append(1, [333])
        if turn == 5:
            node.append(2, [4_000])
    await node.settled(1, 2)


async def _snapshots(node: StoredNode) -> None:
    await node.create(1, freed_by_snapshots=True)
    node.hard_state(1, 1, 1)
    for turn in range(9):
        node.produce(1, PRODUCERS[0], 1_500)
        if turn in {3, 6}:
            await node.settled(1)
            await node.snapshot(1, node.now(1).end - 2, b"state %d" % turn * 200)
    await node.settled(1)
    node.append(1, [300])
    await node.snapshot(1, node.now(1).entries[-2].end, b"newest")
    node.append(1, [100])
    await node.pause(0.5)


async def _log_start(node: StoredNode) -> None:
    await node.create(1)
    node.hard_state(1, 1, 1)
    for turn in range(10):
        node.produce(1, PRODUCERS[turn % 2], 1_400)
        await node.pause(0.3)
    await node.settled(1)
    for entries in (4, 2):
        start = node.now(1).entries[-entries].base
        node.append(1, [0], moves_start_to=start)
        await node.settled(1)
        node.move_start(1, start)
        await node.pause(0.5)
        await node.checkpoint()
        await node.pause(3)
        node.append(1, [900])
        node.append(1, [900])
    await node.settled(1)
    # All of it, and on from there.
    node.append(1, [0], moves_start_to=node.now(1).end)
    await node.settled(1)
    node.move_start(1, node.now(1).end)
    await node.checkpoint()
    await node.pause(2)
    node.append(1, [200])
    await node.pause(1)


async def _install(node: StoredNode) -> None:
    await node.create(1)
    node.hard_state(1, 1, 1)
    for _ in range(3):
        node.produce(1, PRODUCERS[0], 600)
    await node.settled(1)
    install = await node.begin_install(1, [900, 2_000, 5_000], b"snapshot")
    await install[0].abort()
    install = await node.begin_install(1, [900, 2_000, 5_000, 100], b"snapshot" * 90)
    await node.finish_install(1, install)
    node.append(1, [300])
    node.hard_state(1, 3)
    await node.settled(1)
    await node.checkpoint()
    node.produce(1, PRODUCERS[0], 1_000)
    await node.settled(1)
    install = await node.begin_install(1, [700])
    await node.finish_install(1, install)
    node.truncate(1, 1)
    node.append(1, [50])
    await node.pause(2)


async def _deletion(node: StoredNode) -> None:
    for number in (1, 2):
        await node.create(number)
        node.hard_state(number, 1, 1)
        node.append(number, [800])
        node.append(number, [4_000])
    await node.settled(1, 2)
    await node.checkpoint()
    node.append(1, [200])
    await node.delete(1)
    node.append(2, [100])
    await node.create(3)
    node.append(3, [1_200])
    await node.pause(1)
    await node.checkpoint()
    await node.delete(3)
    node.append(2, [100])
    await node.checkpoint()
    await node.pause(1)


async def _replacement(node: StoredNode) -> None:
    """Each replica of group 1 holds other entries at the same offsets, and other votes."""
    for number in (1, 2):
        if GroupId(number) not in node.store.logs:
            await node.create(number)
    first = node.log(1).creation.local_replica_id
    for turn in range(1, 5):
        node.hard_state(1, node.now(1).hard_state.term + turn, turn % 3 + 1)
        node.produce(1, PRODUCERS[0], 700)
        node.append(1, [3_900])
        node.append(2, [90])
        await node.pause(0.6)
        if turn == 2:
            await node.settled(1)
            through = node.now(1).entries[0].end
            await node.snapshot(1, through, b"of replica %d" % (first + turn))
        if turn % 2:
            await node.checkpoint()
        node.append(1, [200])
        await node.replace(1, first + turn, early=turn != 3)
        node.append(1, [50])
        await node.pause(0.3)
    node.hard_state(1, 2, 1)
    node.produce(1, PRODUCERS[0], 300)
    await node.checkpoint()
    node.append(1, [4_100])
    await node.pause(1)


async def _recycling(node: StoredNode) -> None:
    await node.create(1)
    await node.create(2)
    node.hard_state(2, 4, 2)
    for turn in range(26):
        for number in (1, 2):
            node.append(number, [1_300])
        await node.pause(0.8)
        if turn % 6 == 2:
            await node.settled(1, 2)
            await node.checkpoint()
        elif turn % 6 == 5:
            # Files run full, and the next ones are made, while it is taken.
            node.store.request_checkpoint()
    await node.settled(1, 2)


async def _first_of_lives(node: StoredNode) -> None:
    await node.create(1)
    node.hard_state(1, 1, 1)
    node.append(1, [900])
    node.append(1, [4_000])
    await node.settled(1)
    node.append(1, [1_800])
    node.truncate(1, 1)
    node.append(1, [100])
    await node.pause(0.9)


async def _second_of_lives(node: StoredNode) -> None:
    node.append(1, [600])
    await node.settled(1)
    node.append(1, [3_900])
    await node.pause(0.7)


async def _stopped_life(node: StoredNode) -> None:
    node.append(1, [1_100])
    node.truncate(1, 1)
    node.append(1, [200])
    await node.stop()


async def _cut_over_a_roll(node: StoredNode) -> None:
    if GroupId(1) not in node.store.logs:
        await node.create(1)
    for turn in range(6):
        node.produce(1, PRODUCERS[turn % 2], 1_300, records=1)
    await node.settled(1)
    await node.checkpoint()
    node.truncate(1, 4)  # The state and the indexes of the segment that was full are removed.
    for _ in range(3):
        node.append(1, [300])
    await node.pause(node.rng.random() * 4)


async def _go_on_a_little(node: StoredNode) -> None:
    node.append(1, [400])
    await node.settled(1)
    await node.checkpoint()


async def _mixed(node: StoredNode) -> None:
    """Group 1 holds records, group 2 is a state machine's."""
    rng = node.rng
    for number in (1, 2):
        if GroupId(number) not in node.store.logs:
            await node.create(number, freed_by_snapshots=number == 2)
    for _ in range(22):
        number = rng.choice((1, 2))
        match rng.choices(
            (
                "append",
                "large",
                "produce",
                "vote",
                "truncate",
                "checkpoint",
                "start",
                "snapshot",
                "install",
            ),
            (8, 3, 5, 3, 4, 2, 1, 1, 1),
        )[0]:
            case "append":
                node.append(number, [rng.randint(1, 900) for _ in range(rng.randint(1, 3))])
            case "large":
                node.append(number, [rng.randint(3_000, 7_000)])
            case "produce":
                node.produce(number, rng.choice(PRODUCERS), rng.randint(10, 600))
            case "vote":
                node.hard_state(number, node.now(number).hard_state.term + 1, rng.randint(1, 3))
            case "truncate":
                await _truncate_some(node, number, rng)
            case "checkpoint":
                await node.checkpoint()
            case "start" | "snapshot":
                await node.settled(number)
                above = [e for e in node.now(number).entries if e.base > node.log(number).start.end]
                if above:
                    chosen = above[len(above) // 2].base
                    if number == 2:
                        await node.snapshot(number, chosen, rng.randbytes(300))
                    else:
                        node.move_start(number, chosen)
            case _:
                if rng.random() < 0.5:
                    snapshot = b"copied" if number == 2 else None
                    install = await node.begin_install(number, [700, 90], snapshot)
                    await node.finish_install(number, install)
        await node.pause(rng.random() * 1.2)


async def _truncate_some(node: StoredNode, number: int, rng: random.Random) -> None:
    start = node.committed_start(number)
    above = [entry for entry in node.now(number).entries if entry.base >= start]
    if above:
        node.truncate(number, rng.randint(1, min(4, len(above))))


def _journal(file_bytes: int, files_max: int) -> NodeSettings:
    journal = JournalSettings(file_bytes=file_bytes, files_max=files_max)
    return NodeSettings(replace(SMALL_STORE, journal=journal))


WORKLOADS: Final[tuple[Workload, ...]] = (
    Workload("appends", "small appends, producers, a mark alone, a checkpoint", (_appends,)),
    Workload("large", "the direct path, with small appends that wait behind it", (_large,)),
    Workload("groups", "three groups in the same flushes, a membership", (_groups,)),
    Workload("votes", "terms and votes in quick succession", (_votes,)),
    Workload("truncations", "conflicts cut away, and appended over", (_truncations,)),
    Workload("rolls", "full segments, their indexes and states", (_rolls,)),
    Workload("checkpoints", "checkpoints while writes and truncations go on", (_checkpoints,)),
    Workload("snapshots", "snapshots of a state machine, and the log trimmed", (_snapshots,)),
    Workload("log-start", "the log's start moves, files go", (_log_start,)),
    Workload("install", "copies of a log take its place, one is given up", (_install,)),
    Workload("deletion", "groups come and go", (_deletion,)),
    Workload(
        "replacement",
        "a group deleted and made anew, with another replica id, over two lives",
        (_replacement, _replacement),
    ),
    Workload(
        "recycling", "journal files recycled again and again", (_recycling,), _journal(16 << 10, 3)
    ),
    Workload(
        "lives",
        "killed, started, stopped, started",
        (_first_of_lives, _second_of_lives, _stopped_life, _second_of_lives),
    ),
    Workload(
        "kills",
        "killed after a cut over a segment's end, twice",
        (_cut_over_a_roll, _go_on_a_little, _cut_over_a_roll, _go_on_a_little),
    ),
    Workload("mixed", "everything, over three lives", (_mixed, _mixed, _mixed), share=3),
)
