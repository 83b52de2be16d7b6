"""The order of one group's file work, where its files can not be cut."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import cast

import pytest

from replication.errors import LogCorrupt, StorageFailed
from replication.types import GroupId
from streamlog.storage.group.group_files import MENDED_WITHIN_S, GroupFiles
from streamlog.storage.group.write_queue import WriteQueue
from streamlog.storage.interfaces import SegmentLog
from tests.fakes.store_harness import run

GROUP = GroupId(1)


class DamagedSegments:
    """Implements SegmentLog as far as cuts go."""

    pending_bytes = 0

    def __init__(self) -> None:
        self.needs_cut = self.damaged = True

    async def cut_files(self) -> None:
        await asyncio.sleep(0.001)
        if self.damaged:
            raise LogCorrupt(GROUP, "a file", "rot")
        self.needs_cut = False


class NoDirectAppends:
    def direct_appends(self) -> list[object]:
        return []


class World:
    """Implements FileHost, of one group."""

    def __init__(self) -> None:
        self.segments = DamagedSegments()
        self.failure: StorageFailed | None = None
        self.ran: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        queue = cast("WriteQueue", NoDirectAppends())
        self.files = GroupFiles(GROUP, queue, self, write_bytes=1)
        self.files.use(cast("SegmentLog", self.segments))

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        self.tasks.append(asyncio.create_task(work, name=name))

    def fail(self, error: StorageFailed) -> None:
        self.failure = error
        self.files.fail(error)

    def segments_written(self, group_id: GroupId, pending_bytes: int) -> None:
        raise NotImplementedError

    def direct_written(self, size_bytes: int) -> None:
        raise NotImplementedError

    def begin(self, name: str, *, before_cut: bool) -> asyncio.Task[None]:
        async def job() -> None:
            self.ran.append(name)
            if name == "mend":
                self.segments.damaged = False

        return asyncio.create_task(self.files.run_alone(job, before_cut=before_cut))


@pytest.mark.parametrize("help_first", [True, False])
def test_other_jobs_wait_for_the_cut_and_the_cut_for_help(*, help_first: bool) -> None:
    """In whatever order they come. Help that does not help is no end."""

    async def work() -> None:
        world = World()
        durable = world.files.truncated()
        durable()
        calls = [("useless", True), ("mend", True), ("checkpoint", False)]
        for name, before_cut in calls if help_first else reversed(calls):
            world.begin(name, before_cut=before_cut)
            await asyncio.sleep(0.1)
        assert world.ran == (
            ["useless", "mend", "checkpoint"] if help_first else ["mend", "checkpoint", "useless"]
        )
        assert (world.segments.needs_cut, world.failure) == (False, None)

    run(work())


def test_nothing_helps_before_the_truncation_is_durable() -> None:
    """What it takes away may count until then, as another one of before is being waited for."""

    async def work() -> None:
        world = World()
        world.files.truncated()()
        await asyncio.sleep(0.1)
        durable = world.files.truncated()
        world.begin("mend", before_cut=True)
        await asyncio.sleep(0.1)
        assert world.ran == []
        durable()
        await asyncio.sleep(0.1)
        assert world.ran == ["mend"]
        assert (world.segments.needs_cut, world.failure) == (False, None)

    run(work())


def test_help_is_waited_for_so_long_and_no_longer() -> None:
    """However often something is tried in between; whoever waits for the files hears of it."""

    async def work() -> None:
        world = World()
        waiting = world.begin("checkpoint", before_cut=False)
        for _ in range(10):
            await asyncio.sleep(MENDED_WITHIN_S / 11)
            assert world.failure is None
            await world.begin("useless", before_cut=True)
        await asyncio.sleep(MENDED_WITHIN_S / 5)
        assert "rot" in str(world.failure)
        with pytest.raises(StorageFailed, match="rot"):
            await waiting
        with pytest.raises(StorageFailed, match="rot"):
            await world.begin("late", before_cut=True)
        assert all(task.done() for task in world.tasks)

    run(work())


def test_a_disk_that_fails_ends_the_waiting() -> None:
    async def work() -> None:
        world = World()
        world.files.truncated()()
        await asyncio.sleep(0.1)
        world.fail(StorageFailed("fsync", "EIO"))
        await asyncio.sleep(0.1)
        assert all(task.done() for task in world.tasks)
        assert "EIO" in str(world.failure)

    run(work())
