"""A log is made anew under the id of a group whose earlier log was deleted: a replica came back to a
node that another one of its group had left."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from jepsen_like.sim.ports.disk import SimDisk
from replication.types import GroupCreation, GroupId, Membership, Replica, ReplicaId, WriteSequence
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.store import NodeStore
from tests.fakes.store_harness import (
    Entry,
    Recorder,
    append_values,
    content,
    creation_of,
    log_of,
    new_store,
    run,
)

GROUP = GroupId(1)


def later_creation() -> GroupCreation:
    """Of replica 7, which learns from the others."""
    first = creation_of(1)
    voter = first.membership.voters[0]
    own = Replica(ReplicaId(7), voter.node_id, voter.directory_id)
    membership = Membership(first.membership.voters, learners=(own,))
    return replace(first, membership=membership, local_replica_id=ReplicaId(7))


class ForgivingRecorder(Recorder):
    """Each log of a group counts its writes from 1."""

    def writes_completed(self, completed: Sequence[tuple[GroupId, WriteSequence]]) -> None:
        for group_id, sequence in completed:
            if sequence == 1:
                self.completed.pop(group_id, None)
        super().writes_completed(completed)


async def started(disk: SimDisk) -> NodeStore:
    store = new_store(disk)
    await store.start(ForgivingRecorder())
    return store


async def lived_twice(disk: SimDisk, *, checkpoints: bool) -> list[Entry]:
    """Create, write, delete, create anew and write something else; what is left of the power is
    cut by whoever called."""
    store = await started(disk)
    await store.create(creation_of(1))
    append_values(log_of(store), 1, 1, [[b"old" * 100, b"older"]])
    await log_of(store).settled()
    if checkpoints:
        await store.checkpoint_now()
    await store.delete(GROUP)
    if checkpoints:
        await store.checkpoint_now()
    await store.create(later_creation())
    entries = append_values(log_of(store), 1, 2, [[b"new"], [b"newer" * 50]])
    await log_of(store).settled()
    if checkpoints:
        await store.checkpoint_now()
        entries += append_values(log_of(store), 2, 2, [[b"newest"]])
        await log_of(store).settled()
    return list(entries)


@pytest.mark.parametrize("checkpoints", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_the_new_log_survives_a_power_cut(seed: int, *, checkpoints: bool) -> None:
    """With its own creation and entries, and nothing of the old one, wherever checkpoints lie."""
    rng = random.Random(seed)
    disk = SimDisk(rng)
    entries = run(lived_twice(disk, checkpoints=checkpoints))
    disk = disk.crash(rng)

    async def look() -> None:
        store = await started(disk)
        log = log_of(store)
        assert log.creation == later_creation()
        assert list(await content(log)) == entries
        await store.stop()

    run(look())


@pytest.mark.parametrize("seed", range(20))
def test_a_crash_between_the_two_leaves_one_or_none(seed: int) -> None:
    """At some moment of deletion and creation: afterwards the group is as before, or gone, or new;
    and it can be made anew then."""
    rng = random.Random(seed)
    disk = SimDisk(rng)

    async def begin() -> NodeStore:
        store = await started(disk)
        await store.create(creation_of(1))
        append_values(log_of(store), 1, 1, [[b"old" * 100]])
        await log_of(store).settled()
        return store

    async def go() -> None:
        store = await begin()

        async def replace_it() -> None:
            await store.delete(GROUP)
            await store.create(later_creation())

        task = asyncio.ensure_future(replace_it())
        for _ in range(rng.randrange(60)):
            await asyncio.sleep(0.0001)
        task.cancel()

    run(go())
    crashed = disk.crash(rng)

    async def look() -> None:
        store = await started(crashed)
        if GROUP in store.logs:
            assert log_of(store).creation in (creation_of(1), later_creation())
            if log_of(store).creation == creation_of(1):
                assert len(await content(log_of(store))) == 1
                await store.delete(GROUP)
        await store.create(later_creation())
        append_values(log_of(store), 1, 2, [[b"new"]])
        await log_of(store).settled()
        await store.stop()

    run(look())


def test_a_file_that_a_reader_opened_late_is_let_go() -> None:
    """A read that was under way opens a file after the log was closed: the next log must not find
    it in the cache and take the disk for a strange one."""
    disk = SimDisk(random.Random(1))

    async def go() -> None:
        store = await started(disk)
        await store.create(creation_of(1))
        append_values(log_of(store), 1, 1, [[b"old" * 100]])
        await log_of(store).settled()
        await store.checkpoint_now()
        path = f"groups/{1:016x}/{1:08x}/{0:020}.segment"
        files = store.segment_logs.resources.files
        close_alone = GroupLog.close_alone

        async def close_and_read(self: GroupLog) -> None:
            await close_alone(self)
            async with files.use(path):
                pass

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GroupLog, "close_alone", close_and_read)
            await store.delete(GROUP)
        assert files.peek(path) is None
        await store.create(later_creation())
        append_values(log_of(store), 1, 2, [[b"new"]])
        await log_of(store).settled()
        await store.checkpoint_now()
        await store.stop()

    run(go())


def test_a_replica_is_whole_though_the_deletion_of_the_one_before_rotted() -> None:
    """All that was journalled of it lies behind the part that can not be read; the one before is
    not there again, and group 2, of which something may be missing, is lost."""

    async def work() -> None:
        disk = SimDisk()
        store = await started(disk)
        await store.create(creation_of(2))
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        append_values(log, 1, 1, [[b"of the first"]])
        await log.settled()
        await store.checkpoint_now()
        path = [p for p in disk.files() if p.startswith("journal/") and any(disk.content(p)[4096:])]
        before = disk.content(path[-1])
        await store.delete(GROUP)
        after = disk.content(path[-1])
        log = await store.create(later_creation())
        assert isinstance(log, GroupLog)
        written = append_values(log, 1, 1, [[b"of the second"]])
        await log.settled()
        await asyncio.sleep(0.1)
        at = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
        crashed = disk.crash(random.Random(1))
        crashed.flip_bits(path[-1], at + 40)

        again = await started(crashed)
        assert again.recovered is not None
        assert len(again.recovered.gaps) == 1
        assert again.logs[GroupId(2)].lost
        found = log_of(again)
        assert found.creation == later_creation()
        assert not found.needs_install
        assert await content(found) == tuple(written)
        await again.stop()

    run(work())
