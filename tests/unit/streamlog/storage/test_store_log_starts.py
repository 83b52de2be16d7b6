"""Entries that move a log's start: known until the start has moved, whatever happens between.

A trim is acknowledged when its entry is committed. That the start moved is journalled after it, on
each replica by itself; a power cut in between must not take the trim back, so the entry is found
again and handed to replication, which carries it out as soon as it is committed anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from jepsen_like.sim.ports.disk import SimDisk
from replication.raft.effects import LogStartMoved
from replication.types import Offset, Term, WriteSequence
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.segments.segment_repair import Copy
from streamlog.storage.store import NodeStore
from tests.fakes.store_harness import (
    LATENCY,
    Recorder,
    append_values,
    content,
    creation_of,
    entry,
    log_of,
    new_store,
    run,
)

MOVE = ((Offset(3), Offset(2)),)


async def started(disk: SimDisk) -> NodeStore:
    store = new_store(disk)
    await store.start(Recorder())
    return store


async def created(disk: SimDisk) -> tuple[NodeStore, GroupLog]:
    """A log of three records, one an entry."""
    store = await started(disk)
    log = await store.create(creation_of(1))
    assert isinstance(log, GroupLog)
    append_values(log, 1, 1, [[b"one"], [b"two"], [b"three"]])
    return store, log


def move_start(log: GroupLog, write: int, start: int, *, large: bytes = b"") -> None:
    """An entry that moves the start, alone or beside a large one."""
    codec = BatchEntryCodec()
    base = log.end.end
    frame = codec.control(log.creation, LogStartMoved(Offset(start)), 0).frame(base, Term(1))
    metas, _ = codec.split(log.creation, frame)
    frames, entries = [frame], list(metas)
    if large:
        meta, data = entry(codec, log.creation, base + 1, 1, [large])
        frames, entries = [*frames, data], [*entries, meta]
    log.append(WriteSequence(write), frames, entries)


Ending = Callable[[SimDisk], SimDisk]


@pytest.mark.parametrize("checkpointed", [False, True], ids=["in the journal", "in the checkpoint"])
@pytest.mark.parametrize("large", [b"", b"x" * 8_000], ids=["journalled", "by reference"])
def test_it_is_found_after_a_power_cut(checkpointed: bool, large: bytes) -> None:
    """In each place where it may lie; and once the start has moved it is not told again."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, log = await created(disk)
        move_start(log, 2, 2, large=random.Random(1).randbytes(len(large)))
        assert tuple(log.log_starts) == MOVE
        await log.settled()
        if checkpointed:
            await store.checkpoint_now()
        again = await started(disk.crash(random.Random(3)))
        log = log_of(again)
        assert tuple(log.log_starts) == MOVE
        log.log_start_committed(Offset(2))
        assert tuple(log.log_starts) == ()
        await again.stop()
        assert again.recovered is not None

    run(work())


def test_it_is_found_through_many_lives() -> None:
    """Each of which takes a checkpoint."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, log = await created(disk)
        move_start(log, 2, 2)
        await store.stop()
        for _ in range(3):
            disk = disk.process_killed()
            store = await started(disk)
            assert tuple(log_of(store).log_starts) == MOVE
            await store.stop()
        disk = disk.process_killed()
        store = await started(disk)
        log_of(store).log_start_committed(Offset(2))
        await store.stop()
        store = await started(disk.process_killed())
        assert tuple(log_of(store).log_starts) == ()
        assert log_of(store).start.end == 2
        await store.stop()

    run(work())


@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
def test_a_truncation_takes_it_back(restarted: bool) -> None:
    """Of two such entries the first is left."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, log = await created(disk)
        move_start(log, 2, 2)
        move_start(log, 3, 3)
        log.truncate(WriteSequence(4), Offset(4))
        await log.settled()
        if restarted:
            store = await started(disk.crash(random.Random(3)))
        assert tuple(log_of(store).log_starts) == MOVE
        await store.stop()

    run(work())


def test_an_installed_copy_brings_it() -> None:
    """A copy begins where the leader's files do, which may lag behind the start of its log."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, log = await created(disk)
        move_start(log, 2, 2)
        await log.settled()
        frames = await log.read(Offset(0), log.end.end, 1 << 20)
        target = await store.create(creation_of(2))
        codec = BatchEntryCodec()
        metas, parts = codec.split(log.creation, frames)
        del parts
        installer = await target.begin_install(
            target.start, target.creation.membership, target.log_state(Offset(0)), None
        )
        for meta in metas:
            draft = codec.control(target.creation, LogStartMoved(Offset(2)), 0)
            if meta.log_start is None:
                draft = codec.records(target.creation, [b"x"], 0)
            await installer.write(draft.frame(meta.base, meta.term))
        await installer.finish()
        assert tuple(target.log_starts) == MOVE
        again = await started(disk.crash(random.Random(3)))
        assert tuple(log_of(again, 2).log_starts) == MOVE
        await again.stop()

    run(work())


def test_damage_at_the_start_holds_it_back_until_it_is_mended() -> None:
    """The state of producers at the start follows from what is damaged. The store goes on; once the
    segment is mended the start moves."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, recorder = new_store(disk), Recorder()
        await store.start(recorder)
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        for write in range(1, 30):
            append_values(log, write, 1, [[random.Random(write).randbytes(2000)]])
        await log.settled()
        await store.checkpoint_now()
        sound = await content(log)
        await store.stop()
        store, recorder = new_store(disk), Recorder()  # what it remembers would be enough
        await store.start(recorder)
        log = log_of(store)
        segments = sorted(path for path in disk.files() if path.endswith(".segment"))
        disk.flip_bits(segments[1], 3_000)
        begin = Offset(int(segments[1].rpartition("/")[2].partition(".")[0]))
        wanted = Offset(begin + 2)  # within the segment
        log.log_start_committed(wanted)
        await log.settled()
        await store.checkpoint_now()
        await asyncio.sleep(1)
        assert recorder.failure is None
        assert log.start.end == 0
        assert [each.start for each in store.damage.open.values()] == [begin]

        async def fetch(start: Offset, end: Offset) -> Copy:
            frames = b"".join(each[3] for each in sound if start <= each[0] and each[1] <= end)
            return tuple(BatchEntryCodec().split(log.creation, frames)[0]), frames

        assert await log.repair(begin, fetch)
        await asyncio.sleep(1)
        assert log.start.end == wanted
        assert not store.damage.open
        await store.stop()

    run(work())
