"""The store on a simulated disk: order, group commit, the direct path, limits, failures."""

from __future__ import annotations

import asyncio
import errno
import random
from dataclasses import replace

import pytest

from jepsen_like.sim.ports.disk import DiskLatency, DiskOperation, SimDisk
from replication.errors import DiskFull, LogCorrupt, OffsetOutOfRange, Overloaded, StorageFailed
from replication.types import (
    GroupId,
    HardState,
    LogPosition,
    Offset,
    ReplicaId,
    Term,
    WriteSequence,
)
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.group.group_log import GroupLog
from tests.fakes.store_harness import (
    LATENCY,
    SMALL,
    Recorder,
    append_values,
    content,
    creation_of,
    new_store,
    run,
)


def test_what_was_written_is_there_after_a_clean_stop() -> None:
    """Appends and hard state come back after stop and start, and the stop counts as clean."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, recorder = new_store(disk), Recorder()
        await store.start(recorder)
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        log.save_hard_state(WriteSequence(1), HardState(Term(2), ReplicaId(3)))
        written = append_values(log, 2, 2, [[b"a", b"b"], [b"c" * 3000]])
        written += append_values(log, 3, 2, [[b"d" * 9000]])
        written += append_values(log, 4, 2, [[b"e"]])
        await log.settled()
        assert recorder.completed == {GroupId(1): 4}
        await store.stop()

        again, recorder = new_store(disk), Recorder()
        await again.start(recorder)
        found = again.logs[GroupId(1)]
        assert isinstance(found, GroupLog)
        assert not again.unclean_start
        assert found.hard_state == HardState(Term(2), ReplicaId(3))
        assert await content(found) == tuple(written)
        assert found.end == log.end
        await again.stop()

    run(work())


def test_writes_of_one_iteration_share_a_flush_and_one_call() -> None:
    """Many groups stepped in one iteration: one flush, and the listener hears once."""

    async def work() -> None:
        store, recorder = new_store(SimDisk(latency=LATENCY)), Recorder()
        await store.start(recorder)
        logs = []
        for number in range(1, 11):
            log = await store.create(creation_of(number))
            assert isinstance(log, GroupLog)
            logs.append(log)
        await asyncio.sleep(0.1)
        flushes, calls = store.counters.flushes, recorder.calls
        for log in logs:
            append_values(log, 1, 1, [[b"x"]])
            log.save_hard_state(WriteSequence(2), HardState(Term(1), None))
        for log in logs:
            await log.settled()
        assert store.counters.flushes == flushes + 1
        assert recorder.calls == calls + 1
        assert set(recorder.completed.values()) == {2}
        await store.stop()

    run(work())


def test_large_append_goes_to_its_segment_once_and_holds_back_only_its_group() -> None:
    """The journal gets a reference; the group's later write waits for it, another group does
    not; all of it is there after a power cut."""

    async def work() -> None:
        disk = SimDisk(latency=DiskLatency(sync_ms=(1.0, 1.0), write_ms=(5.0, 5.0)))
        store, recorder = new_store(disk), Recorder()
        await store.start(recorder)
        large, other = await store.create(creation_of(1)), await store.create(creation_of(2))
        assert isinstance(large, GroupLog)
        assert isinstance(other, GroupLog)
        await asyncio.sleep(0.1)
        journalled = store.counters.journal_bytes
        written = append_values(large, 1, 1, [[random.Random(1).randbytes(12_000)]])
        written += append_values(large, 2, 1, [[b"small"]])
        append_values(other, 1, 1, [[b"x"]])
        await other.settled()
        assert recorder.completed == {GroupId(2): 1}
        await large.settled()
        assert recorder.completed == {GroupId(1): 2, GroupId(2): 1}
        counters = store.counters
        assert counters.direct_bytes == len(written[0][3])
        assert counters.journal_bytes - journalled <= 4 * 4096, "the bytes are not journalled"

        again = new_store(disk.crash(random.Random(2)))
        await again.start(Recorder())
        found = again.logs[GroupId(1)]
        assert isinstance(found, GroupLog)
        assert await content(found) == tuple(written)
        await again.stop()

    run(work())


def test_truncation_gives_large_appends_up_without_waiting_for_them() -> None:
    """A truncation in the midst of large appends: nothing above it comes back, and what is left
    below is durable when the truncation is."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, recorder = new_store(disk), Recorder()
        await store.start(recorder)
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        kept = append_values(log, 1, 1, [[b"k" * 6000], [b"gone" * 2000]])
        append_values(log, 2, 1, [[b"gone"]])
        append_values(log, 3, 1, [[random.Random(1).randbytes(9000)]])
        log.truncate(WriteSequence(4), Offset(1))
        kept = kept[:1] + append_values(log, 5, 2, [[b"new"]])
        await log.settled()
        assert recorder.completed[GroupId(1)] == 5
        assert await content(log) == tuple(kept)
        again = new_store(disk.crash(random.Random(2)))
        await again.start(Recorder())
        found = again.logs[GroupId(1)]
        assert isinstance(found, GroupLog)
        assert await content(found) == tuple(kept)
        await again.stop()

    run(work())


@pytest.mark.parametrize("kind", ["write_durable", "sync"])
def test_failed_fsync_ends_the_store(kind: str) -> None:
    """After a failed fsync of the journal or of a segment nothing is reported, everything raises,
    and the listener hears once. It fails once: another attempt would seem to succeed."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, recorder = new_store(disk), Recorder()
        await store.start(recorder)
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        append_values(log, 1, 1, [[b"good"]])
        await log.settled()

        def broken(operation: DiskOperation) -> OSError | None:
            if operation.kind != kind:
                return None
            disk.faults.hook = None
            return OSError(errno.EIO, "broken")

        disk.faults.hook = broken
        append_values(log, 2, 1, [[random.Random(1).randbytes(9000)]])
        with pytest.raises(StorageFailed):
            await log.settled()
        assert isinstance(recorder.failure, StorageFailed)
        assert recorder.completed == {GroupId(1): 1}
        with pytest.raises(StorageFailed):
            append_values(log, 3, 1, [[b"later"]])
        with pytest.raises(StorageFailed):
            log.check_room(1)
        with pytest.raises(StorageFailed):
            await store.create(creation_of(2))
        await store.stop()
        assert recorder.completed == {GroupId(1): 1}

    run(work())


def test_full_journal_refuses_data_and_takes_votes() -> None:
    """While checkpoints can not release journal files, data is pushed back; hard state goes
    through; and data again when they can."""

    async def work() -> None:
        disk = SimDisk()
        store, recorder = new_store(disk), Recorder()
        await store.start(recorder)
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        stuck = asyncio.Lock()
        await stuck.acquire()
        store._checkpointer.taking = stuck
        write, refusal = 0, ""
        while not refusal:
            try:
                log.check_room(3000)
            except Overloaded as error:
                refusal = str(error)
                continue
            write += 1
            append_values(log, write, 1, [[random.Random(write).randbytes(3000)]])
            await log.settled()
        assert refusal.startswith("journal")
        assert write > 10
        for term in range(2, 40):
            write += 1
            log.save_hard_state(WriteSequence(write), HardState(Term(term), ReplicaId(1)))
            await log.settled()
        assert recorder.completed[GroupId(1)] == write
        stuck.release()
        await asyncio.sleep(1)
        log.check_room(3000)
        await store.stop()

    run(work())


def test_full_disk_refuses_data_and_takes_votes() -> None:
    """Below the reserve data is refused with what is needed and what is free."""

    async def work() -> None:
        disk = SimDisk()
        settings = replace(SMALL, disk_reserve_bytes=100_000, unwritten_bytes_max=1 << 20)
        store, recorder = new_store(disk, settings), Recorder()
        await store.start(recorder)
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        await asyncio.sleep(1)
        await store.stop()
        disk = disk.process_killed()
        disk.faults.capacity_bytes = disk.volume.used_bytes() + 350_000
        store, recorder = new_store(disk, settings), Recorder()
        await store.start(recorder)
        again = store.logs[GroupId(1)]
        assert isinstance(again, GroupLog)
        room = store.disk_free_bytes - settings.disk_reserve_bytes
        assert room > 0
        again.check_room(room)
        with pytest.raises(DiskFull):
            again.check_room(room + 1)
        again.save_hard_state(WriteSequence(1), HardState(Term(4), ReplicaId(1)))
        await again.settled()
        disk.faults.capacity_bytes = 1 << 40
        await asyncio.sleep(2)
        with pytest.raises(DiskFull):
            again.check_room(room + 1)
        await asyncio.sleep(0.1)
        again.check_room(room + 1)
        await store.stop()

    run(work())


def test_a_disk_that_others_fill_is_noticed_while_little_is_appended() -> None:
    """What is free is asked for every second in which something is appended."""

    async def work() -> None:
        disk = SimDisk()
        settings = replace(SMALL, disk_reserve_bytes=100_000, unwritten_bytes_max=1 << 20)
        store = new_store(disk, settings)
        await store.start(Recorder())
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        disk.faults.capacity_bytes = disk.volume.used_bytes() + 90_000
        append_values(log, 1, 1, [[b"one"]])
        log.check_room(10)
        await asyncio.sleep(1.5)
        append_values(log, 2, 1, [[b"two"]])
        await log.settled()
        await asyncio.sleep(0.1)
        assert store.disk_free_bytes < settings.disk_reserve_bytes
        with pytest.raises(DiskFull):
            log.check_room(10)
        await store.stop()

    run(work())


def test_snapshot_is_kept_and_the_log_below_goes_in_whole_segments() -> None:
    """A state machine's snapshot survives a power cut; the start moves to a segment's base."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store = new_store(disk)
        await store.start(Recorder())
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        written = []
        for write in range(1, 30):
            written += append_values(log, write, 1, [[random.Random(write).randbytes(2000)]])
        await log.settled()
        assert await log.load_snapshot() is None
        through = LogPosition(Term(1), Offset(20))
        await log.save_snapshot(through, b"the state")
        assert 0 < log.start.end <= 20
        with pytest.raises(OffsetOutOfRange):
            log.read_nowait(Offset(0), Offset(1), 100)
        again = new_store(disk.crash(random.Random(3)))
        await again.start(Recorder())
        found = again.logs[GroupId(1)]
        assert isinstance(found, GroupLog)
        assert await found.load_snapshot() == (through, b"the state")
        assert found.start == log.start
        assert await content(found) == tuple(e for e in written if e[0] >= log.start.end)
        await again.stop()

    run(work())


def test_installed_copy_comes_with_its_snapshot_and_memberships() -> None:
    """The copy takes the log's place, durably when `finish` returns; the old files are gone."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store = new_store(disk)
        await store.start(Recorder())
        source, target = await store.create(creation_of(1)), await store.create(creation_of(2))
        assert isinstance(source, GroupLog)
        assert isinstance(target, GroupLog)
        append_values(target, 1, 1, [[b"old"]])
        await target.settled()
        membership = creation_of(3).membership
        codec = BatchEntryCodec()
        draft = codec.control(target.creation, membership, 0)
        installer = await target.begin_install(
            target.start, membership, target.log_state(Offset(0)), b"snapshot"
        )
        frame = draft.frame(Offset(0), Term(5))
        await installer.write(frame)
        with pytest.raises(LogCorrupt, match="do not connect"):
            await installer.write(draft.frame(Offset(3), Term(5)))
        await installer.finish()
        again = new_store(disk.crash(random.Random(3)))
        await again.start(Recorder())
        found = again.logs[GroupId(2)]
        assert isinstance(found, GroupLog)
        assert await content(found) == ((0, 1, 5, frame),)
        assert [offset for offset, _ in found.memberships] == [0, 0]
        assert await found.load_snapshot() == (LogPosition(Term(0), Offset(0)), b"snapshot")
        assert not any("0000000000000002/00000001" in path for path in disk.files())
        await again.stop()

    run(work())


def test_memberships_follow_appends_truncations_and_restarts() -> None:
    """In force at the start, then each later one; a truncation takes back what it cuts."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store = new_store(disk)
        await store.start(Recorder())
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        codec = BatchEntryCodec()
        changed = replace(log.creation.membership, voters=log.creation.membership.voters[:2])

        def append_membership(write: int) -> None:
            base = log.end.end
            frame = codec.control(log.creation, changed, 0).frame(base, Term(1))
            meta, _ = codec.split(log.creation, frame)
            log.append(WriteSequence(write), [frame], meta)

        append_values(log, 1, 1, [[b"x", b"y"]])
        append_membership(2)
        append_membership(3)
        log.truncate(WriteSequence(4), Offset(3))
        expected = ((0, log.creation.membership), (2, changed))
        assert tuple(log.memberships) == expected
        await log.settled()
        for checkpoint in (False, True):
            disk = disk.crash(random.Random(3))
            store = new_store(disk)
            await store.start(Recorder())
            found = store.logs[GroupId(1)]
            assert tuple(found.memberships) == expected
            if checkpoint:
                await store.stop()

    run(work())


def test_same_creation_twice_is_no_error_and_an_unknown_deletion_neither() -> None:
    """Both calls may be repeated."""

    async def work() -> None:
        store = new_store(SimDisk())
        await store.start(Recorder())
        first = await store.create(creation_of(1))
        assert await store.create(creation_of(1)) is first
        await store.delete(GroupId(9))
        await store.delete(GroupId(1))
        assert store.logs == {}
        await store.delete(GroupId(1))
        await store.stop()

    run(work())


def test_idle_store_does_nothing() -> None:
    """After the last checkpoint an idle store schedules no work."""

    async def work() -> None:
        disk = SimDisk()
        store = new_store(disk)
        await store.start(Recorder())
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        append_values(log, 1, 1, [[b"x"]])
        await asyncio.sleep(5)
        before = dict(disk.counters.operations)
        await asyncio.sleep(3600)
        assert disk.counters.operations == before
        await store.stop()

    run(work())


@pytest.mark.parametrize("after_ms", [0.0, 0.3, 1.0, 2.0, 4.0, 8.0])
def test_whoever_waits_for_a_checkpoint_may_be_cancelled(after_ms: float) -> None:
    """It goes on: of what it was to capture the next one would know nothing, and say that all of
    the journal is covered."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store = new_store(disk)
        await store.start(Recorder())
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        log.save_hard_state(WriteSequence(1), HardState(Term(2), ReplicaId(3)))
        written = append_values(log, 2, 2, [[b"a"]])
        waiting = asyncio.create_task(store.checkpoint_now())
        await asyncio.sleep(after_ms / 1_000)
        waiting.cancel()
        await store.stop()

        again = new_store(disk)
        await again.start(Recorder())
        found = again.logs[GroupId(1)]
        assert isinstance(found, GroupLog)
        assert found.hard_state == HardState(Term(2), ReplicaId(3))
        assert await content(found) == tuple(written)
        await again.stop()

    run(work())


@pytest.mark.parametrize("after_ms", [0.0, 0.3, 1.0, 2.0, 4.0, 8.0])
def test_whoever_waits_for_a_deletion_may_be_cancelled(after_ms: float) -> None:
    """It goes on once it began: a log whose end is journalled takes nothing more."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store = new_store(disk)
        await store.start(Recorder())
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        append_values(log, 1, 2, [[b"a"]])
        await log.settled()
        waiting = asyncio.create_task(store.delete(GroupId(1)))
        await asyncio.sleep(after_ms / 1_000)
        waiting.cancel()
        await store.stop()

        again = new_store(disk)
        await again.start(Recorder())
        assert GroupId(1) not in again.logs
        assert not [path for path in disk.files() if path.startswith("groups/")]
        await again.stop()

    run(work())
