"""A truncation falls into a file that does not tell where to cut it: it is damaged below the cut.

After a start nothing of the log is in memory, so the place is looked up in the file. Until the file
is mended, or the log replaced, nothing of the group is written to its files; the journal has it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from jepsen_like.sim.ports.disk import SimDisk
from replication.errors import StorageFailed
from replication.types import GroupId, LogPosition, Offset, Term, WriteSequence
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.group.group_files import MENDED_WITHIN_S
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.segments.segment_repair import Copy
from streamlog.storage.segments.segment_resources import SegmentSettings
from streamlog.storage.store_settings import StoreSettings
from tests.fakes.store_harness import (
    LATENCY,
    SMALL,
    Entry,
    Recorder,
    append_values,
    content,
    creation_of,
    log_of,
    new_store,
    run,
)

ENTRIES = 12
CUT = Offset(9)
WIDE = SegmentSettings(segment_bytes=1 << 20)
"""All of it is in one segment."""


class World:
    """A store with a log that must be cut, and can not be."""

    def __init__(self, settings: StoreSettings = SMALL) -> None:
        self.disk = SimDisk(latency=LATENCY)
        self.settings = settings
        self.sound: tuple[Entry, ...] = ()
        self.write = 0

    async def start(self) -> None:
        self.store, self.recorder = new_store(self.disk, self.settings, WIDE), Recorder()
        await self.store.start(self.recorder)

    @property
    def log(self) -> GroupLog:
        return log_of(self.store)

    async def begin(self) -> None:
        """A start, rot, a truncation above it, and an entry in the place of what was cut away."""
        await self.start()
        await self.store.create(creation_of(1))
        for number in range(ENTRIES):
            self.append(1, random.Random(number).randbytes(2_000))
        await self.store.checkpoint_now()
        self.sound = await content(self.log)
        await self.store.stop()
        await self.start()
        (path,) = (path for path in self.disk.files() if path.endswith(".segment"))
        self.disk.flip_bits(path, 3_000)
        self.cut(CUT)
        self.append(2, b"in its place")
        await self.log.settled()
        await asyncio.sleep(1)
        assert self.recorder.failure is None
        assert [each.start for each in self.store.damage.open.values()] == [0]

    def cut(self, end: Offset) -> None:
        self.write += 1
        self.log.truncate(WriteSequence(self.write), end)

    def append(self, term: int, value: bytes) -> None:
        self.write += 1
        append_values(self.log, self.write, term, [[value]])

    async def fetch(self, start: Offset, end: Offset) -> Copy:
        """What another replica has of it."""
        entry = next(each for each in self.sound if each[0] == start)
        return tuple(BatchEntryCodec().split(self.log.creation, entry[3])[0]), entry[3]

    async def check_sound(self) -> None:
        """All of it is there, in the files, too, and more can follow."""
        self.append(2, b"the last")
        await self.store.checkpoint_now()
        assert not self.store.damage.open
        for _ in range(2):
            found = await content(self.log)
            assert found[:CUT] == self.sound[:CUT]
            assert [(each[0], each[2]) for each in found[CUT:]] == [(CUT, 2), (CUT + 1, 2)]
            assert self.recorder.failure is None
            await self.store.stop()
            self.disk = self.disk.crash(random.Random(1))
            await self.start()
        await self.store.stop()


async def fail(start: Offset, end: Offset) -> Copy:
    raise ConnectionError("nobody answers")


def test_the_cut_waits_until_the_file_is_mended() -> None:
    """What comes after it is acknowledged meanwhile. A copy that does not come changes nothing."""

    async def work() -> None:
        world = World()
        await world.begin()
        assert world.recorder.completed[GroupId(1)] == world.write
        with pytest.raises(ConnectionError):
            await world.log.repair(Offset(0), fail)
        assert await world.log.repair(Offset(0), world.fetch)
        await world.check_sound()

    run(work())


def test_another_truncation_comes_while_the_cut_waits() -> None:
    """Deeper than the first: the copy ends there."""

    async def work() -> None:
        world = World()
        await world.begin()
        world.cut(Offset(CUT - 1))
        for number in (CUT - 1, CUT):
            world.append(2, b"%d" % number)
        assert await world.log.repair(Offset(0), world.fetch)
        await world.store.checkpoint_now()
        found = await content(world.log)
        assert found[: CUT - 1] == world.sound[: CUT - 1]
        assert [each[2] for each in found[CUT - 1 :]] == [2, 2]
        await world.store.stop()
        assert world.recorder.failure is None

    run(work())


def test_a_copy_of_the_whole_log_takes_its_place() -> None:
    async def work() -> None:
        world = World()
        await world.begin()
        log = world.log
        start = LogPosition(Term(0), Offset(0))
        installer = await log.begin_install(
            start, log.memberships[0][1], log.log_state(Offset(0)), None
        )
        for each in world.sound[:CUT]:
            await installer.write(each[3])
        await installer.finish()
        world.append(2, b"in its place")
        world.store.damage.close(GroupId(1), Offset(0), mended=False)
        await world.check_sound()

    run(work())


def test_the_log_is_deleted() -> None:
    """It needs no cut any more. No checkpoint is under way, which would have to capture it first."""

    async def work() -> None:
        world = World(replace(SMALL, checkpoint_interval_ms=3_600_000))
        await world.begin()
        await world.store.delete(GroupId(1))
        await asyncio.sleep(2 * MENDED_WITHIN_S)
        assert world.recorder.failure is None
        assert GroupId(1) not in world.store.logs
        await world.store.stop()

    run(work())


def test_the_state_of_the_start_is_remembered() -> None:
    """Where the producers are after a cut follows from a saved state; the newest that is sound may
    be the one in memory."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store = new_store(disk)
        await store.start(Recorder())
        await store.create(creation_of(1))
        log = log_of(store)
        for write in range(1, 30):
            append_values(log, write, 1, [[random.Random(write).randbytes(2_000)]])
        log.log_start_committed(Offset(12))
        await log.settled()
        await store.checkpoint_now()
        assert log.start.end == 12
        sound = await content(log)
        await store.stop()
        store, recorder = new_store(disk), Recorder()
        await store.start(recorder)
        states = [path for path in disk.files() if path.endswith(".state")]
        assert states
        for path in states:
            disk.flip_bits(path, len(disk.content(path)) - 1)
        again = log_of(store)
        again.truncate(WriteSequence(1), Offset(14))
        append_values(again, 2, 2, [[b"in its place"]])
        await again.settled()
        await store.checkpoint_now()
        assert (await content(again))[:2] == sound[:2]
        assert again.end.end == 15
        await store.stop()
        assert recorder.failure is None

    run(work())


async def nothing(world: World) -> None:
    """Nobody has a copy."""


async def stop(world: World) -> None:
    """The files are not as a clean stop leaves them."""
    stopping = asyncio.create_task(world.store.stop())
    await asyncio.sleep(2 * MENDED_WITHIN_S)
    assert stopping.done()


@pytest.mark.parametrize("then", [nothing, stop], ids=lambda each: each.__name__)
def test_a_log_that_is_not_mended_stops_the_store(
    then: Callable[[World], Awaitable[None]],
) -> None:
    """Its journal would grow without end. After the next start the replica waits for a copy."""

    async def work() -> None:
        world = World()
        await world.begin()
        await then(world)
        await asyncio.sleep(MENDED_WITHIN_S)
        assert isinstance(world.recorder.failure, StorageFailed)
        assert "CRC32C" in str(world.recorder.failure)
        await world.store.stop()
        world.disk = world.disk.crash(random.Random(1))
        await world.start()
        assert world.log.needs_install
        await world.store.stop()

    run(work())
