"""Open files are bounded, handed on in turn, and never closed with writes that were not fsynced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from jepsen_like.sim.ports.disk import NO_LATENCY, DiskLatency, SimDisk, SimFile
from streamlog.storage.segments.file_cache import FileCache
from tests.fakes.store_harness import run

SLOW_SYNC = DiskLatency(sync_ms=(5.0, 5.0))


async def made(disk: SimDisk, limit: int, files: int) -> FileCache:
    """A cache, and files "0", "1", ... that nobody has opened."""
    for number in range(files):
        file = await disk.open(str(number), create=True)
        await file.write(0, [b"x"])
        await file.sync()
        await file.close()
    return FileCache(disk, limit)


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def hold(cache: FileCache, path: str, held: list[str], let_go: asyncio.Event) -> None:
    """Use a file until it may be let go of."""
    async with cache.use(path):
        held.append(path)
        await let_go.wait()


def test_the_next_file_waits_while_all_are_in_use() -> None:
    """The bound holds always, and everybody is served in the end."""

    async def work() -> None:
        cache = await made(SimDisk(latency=NO_LATENCY), 2, 5)
        held: list[str] = []
        ends = [asyncio.Event() for _ in range(5)]
        users = []
        for number in range(5):
            users.append(asyncio.create_task(hold(cache, str(number), held, ends[number])))
            await turns()
        assert (held, cache.open_count) == (["0", "1"], 2)
        for served in (3, 4, 5):
            ends[int(held[served - 3])].set()
            await turns()
            assert (len(held), cache.open_count) == (served, 2)
        for end in ends:
            end.set()
        await asyncio.gather(*users)
        assert sorted(held) == ["0", "1", "2", "3", "4"]

    run(work())


@pytest.mark.parametrize("woken", [False, True])
def test_a_turn_that_nobody_takes_is_the_next_ones(*, woken: bool) -> None:
    """A reader gives up while it waits for a file to be free, or at the moment when one is: those
    behind it do not wait for ever."""

    async def work() -> None:
        cache = await made(SimDisk(latency=NO_LATENCY), 1, 3)
        held: list[str] = []
        ends = [asyncio.Event() for _ in range(3)]
        users = []
        for number in range(3):
            users.append(asyncio.create_task(hold(cache, str(number), held, ends[number])))
            await turns()
        if woken:
            cancel_when(lambda: bool(users[0].done()), users[1])
        else:
            users[1].cancel()
        ends[0].set()
        ends[2].set()
        async with asyncio.timeout(1):
            await users[2]
        assert users[1].cancelled()
        assert held == ["0", "2"]

    run(work())


def cancel_when(condition: Callable[[], bool], task: asyncio.Task[None]) -> None:
    """Cancel it in the turn in which the condition came to hold, before the task runs."""

    def look() -> None:
        if condition():
            task.cancel()
        else:
            asyncio.get_running_loop().call_soon(look)

    look()


def test_an_fsync_whose_caller_gave_up_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that pushes out a written file is cancelled while that is fsynced: nobody heard how
    it ended, so the file is not closed before another fsync told."""
    synced: list[str] = []
    sync = SimFile.sync

    async def noted(file: SimFile) -> None:
        await sync(file)
        synced.append(file._path)

    async def work() -> None:
        cache = await made(SimDisk(latency=SLOW_SYNC), 1, 2)
        async with cache.use("0", write=True) as file:
            await file.write(0, [b"y"])
        monkeypatch.setattr(SimFile, "sync", noted)
        let_go = asyncio.Event()
        let_go.set()
        gives_up = asyncio.create_task(hold(cache, "1", [], let_go))
        await asyncio.sleep(0.002)
        gives_up.cancel()
        await asyncio.gather(gives_up, return_exceptions=True)
        assert synced == []
        await hold(cache, "1", [], let_go)
        assert synced == ["0"]

    run(work())
