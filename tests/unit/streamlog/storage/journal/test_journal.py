from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Sequence

import pytest

from jepsen_like.sim.ports.disk import DiskLatency, DiskOperation, SimDisk
from replication.errors import StorageFailed
from streamlog.storage.journal import journal_file
from streamlog.storage.journal.frame import (
    BLOCK_BYTES,
    FrameKind,
    decode_file_header,
    decode_frame,
    encode_file_header,
    encode_frame,
    salt,
)
from streamlog.storage.journal.journal import Journal, JournalSettings, PendingFrame
from streamlog.storage.journal.scan import Gap, JournalFiles, JournalScan
from tests.fakes.store_harness import run

JOURNAL_ID = 0xABCDEF
TINY = JournalSettings(file_bytes=32 << 10, files_max=3)
SLOW = DiskLatency(sync_ms=(1.0, 2.0))


class Life:
    """A journal with what it told."""

    def __init__(self, disk: SimDisk, settings: JournalSettings = TINY) -> None:
        self.disk = disk
        self.durable: list[bytes] = []
        self.flushes = 0
        self.failure: StorageFailed | None = None
        self.journal = Journal(
            disk, JOURNAL_ID, settings, on_flushed=self._flushed, on_failed=self._failed
        )

    async def open(self, next_lsn: int = 1, old: Sequence[int] = ()) -> Journal:
        await self.journal.open(next_lsn=next_lsn, previous_crc32c=0, old_sequences=old)
        self.journal.begin()
        return self.journal

    def put(self, content: bytes, group: int = 5) -> PendingFrame:
        frame = PendingFrame(FrameKind.APPEND, group, (content,), on_durable=self._durable)
        self.journal.enqueue(frame)
        return frame

    def _durable(self, frame: PendingFrame) -> None:
        self.durable.append(b"".join(frame.content))

    def _flushed(self) -> None:
        self.flushes += 1

    def _failed(self, error: StorageFailed) -> None:
        self.failure = error


async def scan(disk: SimDisk, first_lsn: int = 1) -> tuple[list[bytes], list[Gap]]:
    """Contents of all frames, and the gaps."""
    files = JournalFiles(disk)
    sequences = await journal_file.list_sequences(disk)
    walk = JournalScan(files, JOURNAL_ID, sequences, first_lsn)
    found: list[bytes] = []
    while (flush := await walk.next_flush()) is not None:
        found.extend(frame.content for frame in flush)
    await files.close()
    return found, walk.gaps


def test_frame_passes_only_in_its_own_file_life() -> None:
    """The checksum covers journal id, file sequence, LSN, chain and content."""
    here = salt(1, 1)
    header, crc = encode_frame(
        here, FrameKind.TRUNCATE, (b"content",), previous_crc32c=7, lsn=9, group_id=3
    )
    data = header + b"content"
    found = decode_frame(here, data, 0, len(data))
    assert found is not None
    assert (found[0].lsn, found[0].group_id, found[0].previous_crc32c) == (9, 3, 7)
    assert found[0].crc32c == crc
    assert found[1] == b"content"
    assert decode_frame(salt(1, 2), data, 0, len(data)) is None, "another life of the file"
    assert decode_frame(salt(2, 1), data, 0, len(data)) is None, "another journal"
    for at in range(len(data)):
        rotten = bytearray(data)
        rotten[at] ^= 1
        assert decode_frame(here, bytes(rotten), 0, len(rotten)) is None, at


def test_file_header_is_one_block_and_checked() -> None:
    """Every flipped bit of a header is seen."""
    block = encode_file_header(JOURNAL_ID, 4, 1 << 20)
    assert len(block) == BLOCK_BYTES
    header = decode_file_header(block)
    assert header is not None
    assert (header.journal_id, header.sequence, header.file_bytes) == (JOURNAL_ID, 4, 1 << 20)
    for at in range(48):
        rotten = bytearray(block)
        rotten[at] ^= 0x10
        assert decode_file_header(bytes(rotten)) is None, at


def test_frames_of_one_iteration_share_a_flush() -> None:
    """What is enqueued together goes out together; what comes during a flush, in the next."""

    async def work() -> None:
        life = Life(SimDisk(latency=SLOW))
        await life.open()
        for n in range(5):
            life.put(b"%d" % n)
        await asyncio.sleep(0)
        life.put(b"during")
        life.put(b"during too")
        await life.journal.drain()
        assert life.flushes == 2
        assert life.durable == [b"0", b"1", b"2", b"3", b"4", b"during", b"during too"]
        await life.journal.stop()
        assert (await scan(life.disk))[0] == life.durable

    run(work())


def test_idle_journal_writes_one_mark_and_then_nothing() -> None:
    """10 ms after the last flush a MARK covers it; an idle journal does not go on writing."""

    async def work() -> None:
        life = Life(SimDisk())
        journal = await life.open()
        life.put(b"x")
        await asyncio.sleep(5)
        assert journal.counters.marks_alone == 1
        assert journal.counters.flushes == 2
        await journal.stop()

    run(work())


def test_files_are_recycled_after_release_and_old_frames_never_replay() -> None:
    """Hundreds of frames go through three files; only what was not released is found again."""

    async def work() -> None:
        life = Life(SimDisk())
        journal = await life.open()
        for n in range(400):
            frame = life.put(b"%03d" % n + bytes(600))
            await journal.drain()
            journal.release_below(journal.file_holding(frame.lsn))
        await journal.stop()
        sequences = await journal_file.list_sequences(life.disk)
        assert len(sequences) <= TINY.files_max
        assert journal.counters.file_switches > 10
        first = journal.first_lsn_of(journal.file_holding(journal.last_lsn))
        files = JournalFiles(life.disk)
        current = journal.file_holding(journal.last_lsn)
        walk = JournalScan(files, JOURNAL_ID, [s for s in sequences if s >= current], first)
        found: list[bytes] = []
        while (flush := await walk.next_flush()) is not None:
            found.extend(frame.content for frame in flush)
        assert walk.gaps == []
        assert found == life.durable[len(life.durable) - len(found) :]
        assert found[-1].startswith(b"399")
        assert walk.next_lsn == journal.last_lsn + 1

    run(work())


def test_full_journal_goes_on_for_what_was_taken() -> None:
    """Beyond files_max a file is made only when a flush waits for it: votes are never stuck."""

    async def work() -> None:
        life = Life(SimDisk())
        journal = await life.open()
        for n in range(60):
            life.put(b"%02d" % n + bytes(4000))
            await journal.drain()
        assert journal.free_bytes < TINY.file_bytes
        assert journal.counters.stalls > 0
        await journal.stop()
        assert (await scan(life.disk))[0] == life.durable

    run(work())


def test_failed_write_is_told_once_and_never_retried() -> None:
    """After a failed durable write nothing is written or reported any more."""

    async def work() -> None:
        life = Life(SimDisk())
        journal = await life.open()
        life.put(b"good")
        await journal.drain()

        def break_writes(operation: DiskOperation) -> OSError | None:
            if operation.kind == "write_durable":
                return OSError(errno.EIO, "broken", operation.path)
            return None

        life.disk.faults.hook = break_writes
        life.put(b"bad")
        with pytest.raises(StorageFailed):
            await journal.drain()
        assert isinstance(life.failure, StorageFailed)
        life.disk.faults.hook = None
        with pytest.raises(StorageFailed):
            life.put(b"later")
        await journal.stop()
        assert life.durable == [b"good"]

    run(work())


def test_full_disk_keeps_the_journal_that_there_is() -> None:
    """ENOSPC while the next file is made fails nothing; a released file lets it go on."""

    async def work() -> None:
        disk = SimDisk()
        life = Life(disk)
        journal = await life.open()
        await asyncio.sleep(1)
        disk.faults.capacity_bytes = disk.volume.used_bytes()
        for n in range(20):
            life.put(b"%02d" % n + bytes(4000))
        await asyncio.sleep(1)
        assert life.failure is None
        assert len(life.durable) < 20
        journal.release_below(journal.file_holding(journal.last_lsn))
        await journal.drain()
        assert len(life.durable) == 20
        await journal.stop()

    run(work())


@pytest.mark.parametrize("seed", range(60))
def test_crash_leaves_what_was_durable_and_a_prefix(seed: int) -> None:
    """Whatever the power cut tears: every durable frame is found, then a prefix of the rest, and
    a torn tail is never taken for rot."""
    rng = random.Random(seed)

    async def work() -> None:
        life = Life(SimDisk(random.Random(seed), latency=SLOW))
        await life.open()
        sent: list[bytes] = []
        for n in range(rng.randint(1, 40)):
            content = b"%d:" % n + rng.randbytes(rng.choice((10, 100, 3000)))
            sent.append(content)
            life.put(content)
            if rng.random() < 0.5:
                await asyncio.sleep(rng.random() * 0.004)
        durable = len(life.durable)
        found, gaps = await scan(life.disk.crash(rng))
        assert gaps == []
        assert found == sent[: len(found)]
        assert len(found) >= durable

    run(work())


@pytest.mark.parametrize("seed", range(40))
def test_rot_in_a_durable_flush_is_never_taken_for_the_end(seed: int) -> None:
    """A flipped bit in a flush that a later MARK covers is a gap; frames after it are found."""
    rng = random.Random(seed)

    async def work() -> None:
        life = Life(SimDisk())
        journal = await life.open()
        lsn_of: dict[bytes, int] = {}
        for n in range(12):
            frame = life.put(b"%02d" % n + bytes(3000))
            await journal.drain()
            lsn_of[b"".join(life.durable[-1:])] = frame.lsn
        await journal.stop()
        path = journal_file.path_of(rng.choice(await journal_file.list_sequences(life.disk)))
        data = life.disk.content(path)
        used = [i for i in range(BLOCK_BYTES, len(data)) if data[i]]
        if not used:
            return
        life.disk.flip_bits(path, rng.choice(used), 1 << rng.randrange(8))
        found, gaps = await scan(life.disk)
        if found != life.durable:
            missing = [lsn_of[c] for c in life.durable if c not in found]
            assert all(any(g.first_lsn <= m < g.resumed_lsn for g in gaps) for m in missing)
        assert [c for c in life.durable if c in found] == found

    run(work())


async def over_several_files() -> tuple[Life, Journal]:
    """30 flushes, a few to a file."""
    life = Life(SimDisk(), JournalSettings(file_bytes=16 << 10, files_max=20))
    journal = await life.open()
    for n in range(30):
        life.put(b"%02d" % n + bytes(3000))
        await journal.drain()
    return life, journal


def test_missing_file_in_the_middle_is_a_gap() -> None:
    """The chain crosses files: a file that is gone is noticed."""

    async def work() -> None:
        life, journal = await over_several_files()
        await journal.stop()
        sequences = await journal_file.list_sequences(life.disk)
        await life.disk.remove(journal_file.path_of(sequences[2]))
        found, gaps = await scan(life.disk)
        assert len(gaps) == 1
        assert 0 < len(found) < 30

    run(work())


def test_the_file_in_use_is_missed_by_the_spare_one_behind_it() -> None:
    """No mark is behind it, so what was in it ends the journal before; but the files are numbered."""

    async def work() -> None:
        life, _ = await over_several_files()
        await asyncio.sleep(1)
        disk = life.disk.process_killed()
        *_, in_use, _spare = await journal_file.list_sequences(disk)
        assert await unread_damage(disk) is None
        await disk.remove(journal_file.path_of(in_use))
        assert await unread_damage(disk) == f"{journal_file.path_of(in_use)} is missing"

    run(work())


async def unread_damage(disk: SimDisk) -> str | None:
    """After all that can be read."""
    sequences = await journal_file.list_sequences(disk)
    walk = JournalScan(JournalFiles(disk), JOURNAL_ID, sequences, 1)
    while await walk.next_flush() is not None:
        pass
    return await walk.unread_damage()
