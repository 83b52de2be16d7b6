"""A reader that is under way when a log is closed, for a deletion or for a copy, raises no alarm."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest

from jepsen_like.sim.ports.disk import NO_LATENCY, DiskOperation, SimDisk, SimFile
from replication.errors import LogCorrupt
from replication.group import GroupHost
from replication.types import GroupId, Offset
from streamlog.cluster.scrub import Scrubber
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.store import NodeStore
from tests.fakes.store_harness import (
    LoopClock,
    Recorder,
    append_values,
    content,
    creation_of,
    log_of,
    new_store,
    run,
)

ONE = GroupId(1)
ENTRIES = 12
FAST = 1 << 40
"""Bytes per second: as good as no limit."""


async def filled(*groups: int) -> tuple[SimDisk, NodeStore]:
    """Logs of several segments, as they are after a start: no file is open, no index in memory."""
    disk = SimDisk(random.Random(1), latency=NO_LATENCY)
    store = new_store(disk)
    await store.start(Recorder())
    for number in groups:
        log = await store.create(creation_of(number))
        assert isinstance(log, GroupLog)
        for entry in range(ENTRIES):
            append_values(log, entry + 1, 1, [[random.Random(entry).randbytes(4_000)]])
            await log.settled()
        assert log.segment_count > 2
    await store.stop()
    again = new_store(disk)
    await again.start(Recorder())
    return disk, again


def scrubber_of(store: NodeStore, bytes_per_second: int) -> tuple[Scrubber, dict[GroupId, object]]:
    """With the groups that it knows."""
    groups: dict[GroupId, object] = {
        group_id: SimpleNamespace(creation=log.creation, log=log, commit_end=log.end.end)
        for group_id, log in store.logs.items()
    }
    host = cast("GroupHost", SimpleNamespace(groups=groups))
    scrubber = Scrubber(host, LoopClock(), random.Random(1), store.damage, lambda: bytes_per_second)
    return scrubber, groups


async def delete(store: NodeStore, _: SimDisk) -> None:
    """The group."""
    await store.delete(ONE)


async def replace(store: NodeStore, disk: SimDisk) -> None:
    """The log, by a copy of itself."""
    source = new_store(disk.crash_image(random.Random(1)))
    await source.start(Recorder())
    frames = [frame for *_, frame in await content(log_of(source))]
    await source.stop()
    log = log_of(store)
    membership, state = log.creation.membership, log.log_state(Offset(0))
    installer = await log.begin_install(log.start, membership, state, None)
    for frame in frames:
        await installer.write(frame)
    await installer.finish()


async def lose(store: NodeStore, disk: SimDisk) -> None:
    """The files of a log that is in use."""
    await store.segment_logs.resources.files.forget_directory("groups")
    for path in disk.files():
        if path.startswith("groups/"):
            await disk.remove(path)


@pytest.mark.parametrize(
    ("happens", "found"),
    [(delete, 0), (replace, 0), (lose, 1)],
    ids=["deleted", "replaced", "lost"],
)
@pytest.mark.parametrize("scrubs", [False, True], ids=["read", "scrubbing"])
def test_a_reader_that_finds_the_files_gone_reports_no_damage_of_a_closed_log(
    happens: Callable[[NodeStore, SimDisk], Awaitable[None]], found: int, *, scrubs: bool
) -> None:
    """It waited for the disk meanwhile, and is refused. The files of a log that is in use must not
    be gone: that is told, once."""

    async def work() -> None:
        disk, store = await filled(1)
        reached, go = asyncio.Event(), asyncio.Event()
        opens = disk.open

        async def late(path: str, **flags: bool) -> SimFile:
            if path.endswith(".index") and not reached.is_set():
                reached.set()
                await go.wait()
            return await opens(path, **flags)

        disk.open = late  # type: ignore[method-assign]
        log = log_of(store)
        read = log.read_file if scrubs else log.read
        reading = asyncio.create_task(read(Offset(0), log.end.end, 100))
        await reached.wait()
        await happens(store, disk)
        go.set()
        with pytest.raises(LogCorrupt):
            await reading
        assert (store.damage.found, len(store.damage.open)) == (found, found)
        await store.stop()

    run(work())


def test_a_log_that_is_deleted_while_it_is_scrubbed_raises_no_alarm() -> None:
    """Neither for the segment that is read nor for those behind it; other logs are read on."""

    async def work() -> None:
        _, store = await filled(1, 2)
        scrubber, groups = scrubber_of(store, 20_000)
        size = log_of(store).size_bytes
        round_ = asyncio.create_task(scrubber.round())
        while not 0 < scrubber.scrubbed_bytes % size < size // 2:
            await asyncio.sleep(0.01)
        for group_id in list(groups):
            del groups[group_id]
            await store.delete(group_id)
        assert not round_.done()
        await round_
        assert (scrubber.rounds, scrubber.incomplete_rounds) == (1, 0)
        assert (store.damage.found, store.damage.open) == (0, {})
        await store.stop()

    run(work())


def test_too_many_open_files_do_not_end_a_round() -> None:
    """What can not be opened is left for another round, and is no damage; the other log is read,
    whichever comes first."""

    async def work() -> None:
        disk, store = await filled(1, 2)
        scrubber, _ = scrubber_of(store, FAST)
        refused = 0

        def hook(operation: DiskOperation) -> OSError | None:
            nonlocal refused
            if operation.kind != "open" or not operation.path.startswith(
                "groups/0000000000000001/"
            ):
                return None
            refused += 1
            return OSError(errno.EMFILE, "Too many open files", operation.path)

        disk.faults.hook = hook
        for _ in range(4):
            await scrubber.round()
        assert (scrubber.rounds, scrubber.incomplete_rounds, refused) == (0, 4, 4)
        one_log = scrubber.scrubbed_bytes // 4
        assert one_log > ENTRIES * 4_000
        disk.faults.hook = None
        await scrubber.round()
        assert scrubber.scrubbed_bytes == 6 * one_log
        assert scrubber.rounds == 1
        assert (store.damage.found, store.damage.open) == (0, {})
        await store.stop()

    run(work())
