"""What swarms of simulated clusters found about damage and copies, each by itself."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable
from typing import cast

import pytest

from jepsen_like.sim.faults.journal_proof import journal_files, proven_flushes
from jepsen_like.sim.ports.disk import NO_LATENCY, DiskOperation, SimDisk
from jepsen_like.sim.ports.volume import Inode
from replication.errors import LogCorrupt, StorageFailed
from replication.log import LogInstaller
from replication.types import GroupId, LogPosition, Offset, Term, WriteSequence
from streamlog.model.batch import iterate_frames
from streamlog.storage import snapshot_file
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.segments.segment_file import SEGMENT_INFO_BYTES, SegmentIdentity
from streamlog.storage.store import NodeStore
from tests.fakes.store_harness import (
    LATENCY,
    Recorder,
    append_values,
    content,
    creation_of,
    entry,
    new_store,
    run,
)

BLOCK = 4096


async def with_a_log(
    disk: SimDisk, *, freed_by_snapshots: bool = False
) -> tuple[NodeStore, GroupLog]:
    """A store that runs on a blank disk, and its log of group 1."""
    store = new_store(disk)
    await store.start(Recorder())
    log = await store.create(creation_of(1, freed_by_snapshots=freed_by_snapshots))
    assert isinstance(log, GroupLog)
    return store, log


def test_a_copy_whose_end_was_interrupted_leaves_the_next_alone() -> None:
    """A copy is given up, and whoever waits for that is given up too: files that it left open do
    not pass for those of the next copy."""

    async def work() -> None:
        store, log = await with_a_log(SimDisk(latency=LATENCY))
        append_values(log, 1, 1, [[random.Random(n).randbytes(300_000)] for n in range(5)])
        await log.settled()
        written = await content(log)

        async def copied() -> LogInstaller:
            installer = await log.begin_install(
                log.start, log.creation.membership, log.log_state(Offset(0)), b"snapshot"
            )
            for *_, frame in written:
                await installer.write(frame)
            return installer

        giving_up = asyncio.create_task((await copied()).abort())
        await asyncio.sleep(0)
        giving_up.cancel()
        await asyncio.wait([giving_up])
        await (await copied()).finish()
        assert await content(log) == written
        await store.stop()

    run(work())


def test_a_copy_is_read_from_its_own_files_after_one_that_could_not_be_read_back() -> None:
    """What rots while a copy is put in place is not taken; the next copy replaces those files, and
    is not read through descriptors of the old ones."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, log = await with_a_log(disk)
        append_values(log, 1, 1, [[random.Random(n).randbytes(3_000)] for n in range(5)])
        await log.settled()
        written = await content(log)

        async def copied() -> LogInstaller:
            installer = await log.begin_install(
                log.start, log.creation.membership, log.log_state(Offset(0)), None
            )
            for *_, frame in written:
                await installer.write(frame)
            return installer

        def rots(operation: DiskOperation) -> OSError | None:
            if operation.kind == "rename" and operation.path.endswith(".installing"):
                segments = [p for p in disk.files() if p.startswith(operation.path + "/")]
                disk.flip_bits(next(p for p in segments if p.endswith(".segment")), 2_000)
            return None

        disk.faults.hook = rots
        with pytest.raises(LogCorrupt):
            await (await copied()).finish()
        disk.faults.hook = None
        await (await copied()).finish()
        assert await content(log) == written
        await store.stop()

    run(work())


async def _written_journal() -> SimDisk:
    """A disk after some flushes, in one journal file."""
    disk = SimDisk(latency=LATENCY)
    _store, log = await with_a_log(disk)
    for write in range(1, 6):
        append_values(log, write, 1, [[b"value %d" % write]])
        await log.settled()
    await asyncio.sleep(0.1)
    return disk.crash(random.Random(1))


def _newest(disk: SimDisk) -> Inode:
    return disk.volume.file(journal_files(disk)[-1])


def _cut(inode: Inode) -> None:
    """Just behind the second flush."""
    for content_ in (inode.content, inode.durable):
        content_.resize(3 * BLOCK)


def _older(inode: Inode) -> None:
    """As it was before it got its name."""
    for content_ in (inode.content, inode.durable):
        size = len(content_)
        content_.resize(0)
        content_.resize(size)


@pytest.mark.parametrize("damage", [_cut, _older])
def test_the_newest_journal_file_is_not_taken_for_short(damage: Callable[[Inode], None]) -> None:
    """Cut, or as it was long ago, it holds no mark that would tell of what is missing. The node
    refuses to start: it may have forgotten votes and acknowledged records."""

    async def work() -> None:
        disk = await _written_journal()
        damage(_newest(disk))
        with pytest.raises(StorageFailed, match="votes and records may be lost"):
            await new_store(disk).start(Recorder())

    run(work())


def test_what_a_mark_proves_is_missed() -> None:
    """Each flush that is called proven may rot without passing for the end of the journal."""

    async def work() -> None:
        flushes = proven_flushes(await _written_journal())
        assert len(flushes) >= 5
        for place in flushes:
            disk = await _written_journal()
            inode = disk.volume.file(place.path)
            for content_ in (inode.content, inode.durable):
                content_.write(place.start, bytes(place.end - place.start))
            store = new_store(disk)
            await store.start(Recorder())
            log = store.logs.get(creation_of(1).group_id)
            assert log is None or log.needs_install, place  # None: its creation is lost too
            await store.stop()

    run(work())


SNAPSHOT = "groups/0000000000000001/00000001.snapshot"


async def with_snapshot(disk: SimDisk) -> tuple[NodeStore, GroupLog, bytes]:
    """A state machine's log that was let go up to a snapshot, and the snapshot before that."""
    store, log = await with_a_log(disk, freed_by_snapshots=True)
    for write in range(1, 30):
        append_values(log, write, 1, [[random.Random(write).randbytes(2000)]])
    await log.settled()
    await log.save_snapshot(LogPosition(Term(1), Offset(2)), b"older")
    older = disk.content(SNAPSHOT)
    await log.save_snapshot(LogPosition(Term(1), Offset(20)), b"newer")
    assert 2 < log.start.end <= 20
    return store, log, older


async def _spoil(disk: SimDisk, how: str, older: bytes) -> None:
    match how:
        case "rotten":
            disk.flip_bits(SNAPSHOT, 30)
        case "older":
            disk.put(SNAPSHOT, older)
        case "another log's":
            other = SegmentIdentity(0, topic_id=7, partition=2, group_id=GroupId(2))
            through = LogPosition(Term(1), Offset(20))
            await snapshot_file.save(disk, SNAPSHOT, other, through, b"newer")
        case "gone":
            await disk.remove(SNAPSHOT)


SPOILT = ["rotten", "older", "another log's", "gone"]


@pytest.mark.parametrize("how", [*SPOILT, "sound"])
def test_a_log_without_the_snapshot_below_it_waits_for_a_copy(how: str) -> None:
    """A disk that gives the snapshot for which the log was let go back rotten, or an older one, or
    another log's, or none: what lies below the log is not here. Peers have another; other groups
    are not touched."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, _, older = await with_snapshot(disk)
        await store.create(creation_of(2))
        await store.stop()
        await _spoil(disk, how, older)
        again = new_store(disk)
        await again.start(Recorder())
        assert again.logs[GroupId(1)].needs_install == (how in SPOILT)
        assert not again.logs[GroupId(2)].needs_install
        await again.stop()

    run(work())


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("mended_by", ["snapshot", "copy"])
def test_a_snapshot_that_is_spoilt_while_the_node_runs_is_reported(
    how: str, mended_by: str
) -> None:
    """Once, as what it stands for, until a newer one or a copy of the log takes its place."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, log, older = await with_snapshot(disk)
        loaded = await log.load_snapshot()
        assert loaded is not None
        assert loaded[1] == b"newer"
        await _spoil(disk, how, older)
        for _ in range(2):
            with pytest.raises(LogCorrupt, match=r"00000001\.snapshot"):
                await log.load_snapshot()
        (damaged,) = store.damage.open.values()
        assert (damaged.group_id, damaged.start, damaged.of_snapshot) == (1, 0, True)
        assert (damaged.end, store.damage.found) == (log.start.end, 1)
        if mended_by == "snapshot":
            await log.save_snapshot(LogPosition(Term(1), Offset(25)), b"newest")
        else:
            start = LogPosition(Term(1), Offset(25))
            membership = log.creation.membership
            installer = await log.begin_install(start, membership, b"", b"newest")
            await installer.finish()
        loaded = await log.load_snapshot()
        assert loaded is not None
        assert loaded[1] == b"newest"
        assert (store.damage.open, store.damage.mended) == ({}, 1)
        await store.stop()

    run(work())


@pytest.mark.parametrize("how", ["rotten", "another log's", "gone"])
def test_a_whole_log_needs_no_snapshot(how: str) -> None:
    """It begins at 0: the state machine replays it from there."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, log = await with_a_log(disk, freed_by_snapshots=True)
        append_values(log, 1, 1, [[b"a"], [b"b"], [b"c"]])
        await log.settled()
        await log.save_snapshot(LogPosition(Term(1), Offset(2)), b"state")
        await store.stop()
        await _spoil(disk, how, b"")
        again = new_store(disk)
        await again.start(Recorder())
        kept = again.logs[GroupId(1)]
        assert (kept.needs_install, kept.start.end, kept.end.end) == (False, 0, 3)
        assert await kept.load_snapshot() is None
        assert not again.damage.open
        await again.stop()

    run(work())


def test_a_rotten_header_is_not_taken_for_a_newer_format() -> None:
    """Whichever byte of a frame's header rots, the node starts: a version is believed only of bytes
    that are sound."""

    async def work() -> None:
        disk = SimDisk(latency=NO_LATENCY)
        store, log = await with_a_log(disk)
        append_values(log, 1, 1, [[b"a"], [b"b"]])
        await log.settled()
        await store.stop()
        path = "groups/0000000000000001/00000001/00000000000000000000.segment"
        waiting = 0
        for at in range(SEGMENT_INFO_BYTES, SEGMENT_INFO_BYTES + 60):
            rotten = disk.crash_image(random.Random(1))
            rotten.flip_bits(path, at, 0x02)
            again = new_store(rotten)
            await again.start(Recorder())
            waiting += again.logs[GroupId(1)].needs_install
            await again.stop()
        assert waiting

    run(work())


def test_what_a_read_can_not_check_is_reported() -> None:
    """A batch whose checksum fails is refused, and its segment is told to whoever mends it, once."""

    async def work() -> None:
        disk = SimDisk(latency=NO_LATENCY)
        store, log = await with_a_log(disk)
        append_values(log, 1, 1, [[b"a"], [random.Random(1).randbytes(5_000)]])
        await log.settled()
        await store.stop()
        again = new_store(disk)
        await again.start(Recorder())
        kept = again.logs[GroupId(1)]
        disk.flip_bits("groups/0000000000000001/00000001/00000000000000000000.segment", 3_000)
        told: list[None] = []
        again.damage.on_report(lambda: told.append(None))
        for _ in range(2):
            with pytest.raises(LogCorrupt):
                await kept.read(Offset(1), kept.end.end, 1 << 20)
        assert [each.start for each in again.damage.open.values()] == [0]
        assert len(told) == 1
        await again.stop()

    run(work())


@pytest.mark.parametrize("whose", ["partition", "offset", "term"])
def test_a_sound_batch_in_the_wrong_place_is_not_served(whose: str) -> None:
    """A write that landed elsewhere, or an older one that is there still: its checksum is right, and
    no index range tells yet what stands there. What it says of itself does."""

    async def work() -> None:
        disk = SimDisk(latency=NO_LATENCY)
        store, log = await with_a_log(disk)
        entries = append_values(log, 1, 2, [[b"a"], [b"b"], [b"c"]])
        await log.settled()
        await store.stop()
        again = new_store(disk)
        await again.start(Recorder())
        kept = again.logs[GroupId(1)]
        assert await kept.read(Offset(0), Offset(3), 1 << 20) == b"".join(e[3] for e in entries)
        creation, base, term, told = {
            "partition": (creation_of(2), 1, 2, "is of topic 7, partition 2"),
            "offset": (kept.creation, 2, 2, "begins at offset 2, not 1"),
            "term": (kept.creation, 1, 1, "is of term 1, not 2"),
        }[whose]
        _, frame = entry(BatchEntryCodec(), creation, base, term, [b"x"])
        assert len(frame) == len(entries[1][3])
        segment = disk.volume.file("groups/0000000000000001/00000001/00000000000000000000.segment")
        for content_ in (segment.content, segment.durable):
            content_.write(SEGMENT_INFO_BYTES + len(entries[0][3]), frame)
        for start in (1, 0):
            with pytest.raises(LogCorrupt, match=told):
                await kept.read(Offset(start), Offset(3), 1 << 20)
        assert [each.start for each in again.damage.open.values()] == [0]
        assert await kept.read(Offset(0), Offset(1), 1 << 20) == entries[0][3]
        await again.stop()

    run(work())


def test_a_batch_that_was_replaced_does_not_come_back() -> None:
    """The write of the one that took its place was lost: a start finds the older one, which is
    sound, and fits. The checkpoint knows the terms."""

    async def work() -> None:
        disk = SimDisk(latency=NO_LATENCY)
        store, log = await with_a_log(disk)
        first, replaced = append_values(log, 1, 1, [[b"a"], [b"b"]])
        await log.settled()
        log.truncate(WriteSequence(2), Offset(1))
        append_values(log, 3, 2, [[b"x"], [b"c"]])
        await log.settled()
        await store.stop()
        again = new_store(disk.crash_image(random.Random(1)))
        await again.start(Recorder())
        assert not again.logs[GroupId(1)].needs_install
        await again.stop()
        segment = disk.volume.file("groups/0000000000000001/00000001/00000000000000000000.segment")
        for content_ in (segment.content, segment.durable):
            content_.write(SEGMENT_INFO_BYTES + len(first[3]), replaced[3])
        again = new_store(disk)
        await again.start(Recorder())
        assert again.logs[GroupId(1)].needs_install
        await again.stop()

    run(work())


@pytest.mark.parametrize("kind", ["open", "size", "read"])
def test_an_error_of_the_disk_on_a_read_is_damage(kind: str) -> None:
    """Whatever fails once on the way to an entry, its segment or an index: the index is made again,
    or the read is refused as damaged, so that somebody mends the segment. Nothing else is raised,
    and the next read has everything."""

    async def fail_number(disk: SimDisk, number: int) -> bool:
        store = new_store(disk)
        await store.start(Recorder())
        log = store.logs[GroupId(1)]
        left = [number]

        def hook(operation: DiskOperation) -> OSError | None:
            if operation.kind != kind or not operation.path.startswith("groups/"):
                return None
            left[0] -= 1
            return OSError(errno.EIO, "injected", operation.path) if left[0] == -1 else None

        disk.faults.hook = hook
        at = log.start.end
        while at < log.end.end:
            try:
                frames = await log.read(at, log.end.end, 1 << 20)
            except LogCorrupt:
                assert store.damage.open
                continue
            for _, header in iterate_frames(frames):
                at = Offset(header.end_offset)
        disk.faults.hook = None
        await store.stop()
        return left[0] < 0

    async def work() -> None:
        disk = SimDisk(latency=NO_LATENCY)
        store, log = await with_a_log(disk)
        for number in range(8):
            append_values(log, number + 1, 1, [[random.Random(number).randbytes(5_000)]])
            await log.settled()
        await store.stop()
        assert any(path.endswith(".index") for path in disk.files())
        number = 0
        while await fail_number(disk, number):
            number += 1
        assert number

    run(work())


def test_an_error_of_the_disk_on_a_snapshot_ends_the_node() -> None:
    """A state machine that could not get its state would be missing on this replica, without a
    word, until the node's next start. What passes its checks later is read then."""

    async def work() -> None:
        disk = SimDisk(latency=NO_LATENCY)
        store, recorder = new_store(disk), Recorder()
        await store.start(recorder)
        log = await store.create(creation_of(1))
        append_values(cast("GroupLog", log), 1, 1, [[b"a"]])
        await cast("GroupLog", log).settled()
        await log.save_snapshot(log.end, b"state")
        disk.faults.hook = lambda operation: (
            OSError(errno.EIO, "injected", operation.path)
            if operation.kind == "read" and operation.path.endswith(".snapshot")
            else None
        )
        with pytest.raises(StorageFailed, match="reading a snapshot"):
            await log.load_snapshot()
        assert isinstance(recorder.failure, StorageFailed)
        await store.stop()
        disk.faults.hook = None
        again = new_store(disk)
        await again.start(Recorder())
        loaded = await again.logs[GroupId(1)].load_snapshot()
        assert loaded is not None
        assert loaded[1] == b"state"
        await again.stop()

    run(work())
