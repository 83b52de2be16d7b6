"""What recovery does with damage, and with what a killed process left in the page cache."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from jepsen_like.sim.ports.disk import DiskLatency, SimDisk, SimFile
from replication.errors import LogCorrupt, StorageFailed
from replication.types import (
    DirectoryId,
    GroupId,
    HardState,
    Offset,
    ReplicaId,
    Term,
    WriteSequence,
)
from streamlog.storage.store import NodeStore
from tests.fakes.store_harness import (
    IDENTITY,
    LATENCY,
    Entry,
    Recorder,
    VirtualLoop,
    abandon,
    append_values,
    content,
    creation_of,
    log_of,
    new_store,
    run,
)

STUCK = DiskLatency(sync_ms=(50.0, 50.0))


async def started(disk: SimDisk) -> NodeStore:
    store = new_store(disk)
    await store.start(Recorder())
    return store


async def written(disk: SimDisk, groups: int = 1, appends: int = 6) -> dict[int, list[Entry]]:
    """A store with some appends, checkpointed and stopped cleanly."""
    store = await started(disk)
    entries: dict[int, list[Entry]] = {}
    for number in range(1, groups + 1):
        await store.create(creation_of(number))
        log = log_of(store, number)
        entries[number] = []
        for write in range(1, appends + 1):
            entries[number] += append_values(log, write, 1, [[b"%d" % write * 50, b"x"]])
        await log.settled()
    await store.stop()
    return entries


def cut_power_during_recovery_after_a_kill(seed: int) -> None:
    """A truncation is in the page cache only when the process is killed; then the power is cut at
    every turn of the next recovery. Whatever it did by then, the log is one of the two."""
    rng = random.Random(seed)
    disk = SimDisk(rng)
    before = run(written(disk, appends=8))[1]
    disk = disk.process_killed()
    keep = before[3][1]

    loop = VirtualLoop()
    store = new_store(disk)
    loop.run_until_complete(store.start(Recorder()))
    disk.latency = STUCK
    written_before = store.journal.last_lsn
    loop.call_soon(log_of(store).truncate, WriteSequence(1), Offset(keep))
    while store.journal.last_lsn < written_before + 2:
        loop.turn()
    disk = disk.process_killed()
    abandon(loop)

    disk.latency = LATENCY
    loop = VirtualLoop()
    recovering = new_store(disk)
    task = loop.create_task(recovering.start(Recorder()))
    turn = 0
    try:
        while not task.done():
            loop.turn()
            turn += 1
            if turn % 3 == 0:
                check_image(disk.crash_image(rng), before, keep)
    finally:
        abandon(loop)


def check_image(image: SimDisk, before: list[Entry], keep: int) -> None:
    async def work() -> None:
        store = await started(image)
        log = log_of(store)
        assert not log.needs_install, "the log was lost"
        found = await content(log)
        assert found in (tuple(before), tuple(e for e in before if e[1] <= keep))
        await store.stop()

    run(work())


@pytest.mark.parametrize("seed", range(4))
def test_power_cut_during_recovery_after_a_kill_loses_nothing(seed: int) -> None:
    """Recovery writes again, durably, what it read, before it cuts a file on its word."""
    cut_power_during_recovery_after_a_kill(seed)


def test_a_removed_state_does_not_come_back_after_a_kill_and_a_power_cut() -> None:
    """A truncation removes the state of a full segment; the process is killed before the directory
    is fsynced, and the next one appends over. Recovery makes the removal durable before it speaks:
    else a later power cut brings the old state back, whose terms are those of what was cut."""

    async def cut_over_a_roll(disk: SimDisk) -> None:
        store = await started(disk)
        await store.create(creation_of(1))
        log = log_of(store)
        rng = random.Random(1)
        for write in range(1, 8):
            append_values(log, write, 1, [[rng.randbytes(3_500)]])
        await log.settled()
        await store.checkpoint_now()
        log.truncate(WriteSequence(8), Offset(2))
        for write in range(9, 14):
            append_values(log, write, 2, [[b"new"]])
        await log.settled()
        await asyncio.sleep(0.1)

    def states(disk: SimDisk) -> list[str]:
        return [path for path in disk.files() if path.endswith(".state")]

    disk = SimDisk()
    run(cut_over_a_roll(disk))
    images = [disk.crash_image(random.Random(seed)) for seed in range(40)]
    assert not states(disk)
    assert any(states(image) for image in images), "the removal was durable before the kill"

    killed = disk.process_killed()

    async def check(image: SimDisk) -> None:
        store = await started(image)
        log = log_of(store)
        assert not log.needs_install
        assert tuple(log.terms) == ((1, 0), (2, 2))
        assert log.end.end == 7

    run(check(killed))
    for seed in range(40):
        run(check(killed.crash_image(random.Random(seed))))


def test_a_mark_that_a_power_cut_took_was_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is taken while an idle journal writes its last mark, which the power cut takes:
    nothing was promised by it, so nothing, not even a creation, may have been forgotten."""
    write = SimFile.write_durable

    async def hold_the_journal(file: SimFile, offset: int, buffers: Sequence[bytes]) -> None:
        if file._path.startswith("journal/"):
            await asyncio.Event().wait()
        await write(file, offset, buffers)

    async def checkpoint_beside_a_mark(disk: SimDisk) -> None:
        store = await started(disk)
        await store.create(creation_of(1))
        append_values(log_of(store), 1, 1, [[b"kept"]])
        await log_of(store).settled()
        monkeypatch.setattr(SimFile, "write_durable", hold_the_journal)
        while store.journal.last_lsn == store.journal.durable_lsn:
            await asyncio.sleep(0.001)
        await store.checkpoint_now()
        monkeypatch.undo()

    async def check(disk: SimDisk) -> None:
        store = await started(disk)
        assert not store.damage.journal_has_gaps
        assert len(await content(log_of(store))) == 1

    disk = SimDisk(latency=LATENCY)
    run(checkpoint_beside_a_mark(disk))
    run(check(disk.crash(random.Random(1))))


def test_rot_in_the_journal_takes_groups_out_of_service_not_data() -> None:
    """A rotten part that is not the tail: groups not proven outside are lost, durably; they take no
    copy, and keep what is known to be theirs for an operator, whose will brings them back."""

    async def work() -> None:
        disk = SimDisk()
        store = await started(disk)
        for number in (1, 2):
            await store.create(creation_of(number))
        quiet, busy = log_of(store, 1), log_of(store, 2)
        kept = append_values(quiet, 1, 1, [[b"quiet"]])
        await quiet.settled()
        append_values(busy, 1, 1, [[b"one"]])
        await busy.settled()
        await store.checkpoint_now()
        quiet.save_hard_state(WriteSequence(2), HardState(Term(3), ReplicaId(2)))
        await quiet.settled()
        before = disk.content(journal_path(disk))
        append_values(busy, 2, 1, [[b"two" * 30]])
        await busy.settled()
        after = disk.content(journal_path(disk))
        append_values(busy, 3, 1, [[b"three"]])
        await busy.settled()
        await asyncio.sleep(0.1)
        at = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b) + 100
        crashed = disk.crash(random.Random(1))
        crashed.flip_bits(journal_path(crashed), at)

        again = await started(crashed)
        assert again.recovered is not None
        assert len(again.recovered.gaps) == 1
        for number in (1, 2):
            assert log_of(again, number).lost
            assert log_of(again, number).needs_install
        await again.stop()

        once_more = await started(crashed)
        for number in (1, 2):
            log = log_of(once_more, number)
            assert log.lost, "it is remembered"
            with pytest.raises(LogCorrupt, match="another one must take its place"):
                await log.begin_install(log.start, log.creation.membership, b"", None)
        assert await content(log_of(once_more, 1)) == tuple(kept), "nothing of it was lost"
        assert [len(await content(log_of(once_more, 2)))] == [1], "up to the rotten part"
        log = log_of(once_more, 1)
        log.save_hard_state(WriteSequence(1), HardState(Term(1 << 32), ReplicaId(1)))
        durable = log.accept_loss()
        await durable
        assert not log.needs_install
        crashed = crashed.crash(random.Random(2))

        last = await started(crashed)
        assert not log_of(last, 1).lost, "an operator gave up what it may have forgotten"
        assert log_of(last, 1).hard_state == HardState(Term(1 << 32), ReplicaId(1))
        assert await content(log_of(last, 1)) == tuple(kept)
        assert log_of(last, 2).lost
        await last.stop()

    run(work())


def journal_path(disk: SimDisk) -> str:
    """The newest file that holds frames."""
    used = [
        path
        for path in disk.files()
        if path.startswith("journal/") and any(disk.content(path)[4096:8192])
    ]
    return used[-1]


def test_rot_in_a_segment_below_the_checkpoint_needs_an_install() -> None:
    """A flipped bit in fsynced bytes is never cut away."""

    async def work() -> None:
        disk = SimDisk()
        entries = await written(disk)
        path = next(p for p in disk.files() if p.endswith(".segment"))
        size = len(disk.content(path))
        disk.flip_bits(path, size - 30)
        disk = disk.process_killed()
        store = await started(disk)
        assert log_of(store).needs_install
        assert len(disk.content(path)) == size
        assert entries[1]
        await store.stop()

    run(work())


@pytest.mark.parametrize("damage", ["none", "rot", "another batch"])
def test_a_large_append_above_the_checkpoint_is_verified(damage: str) -> None:
    """The journal only refers to it. Before anything is served its bytes are held against the
    journal: another batch of the same place and length is sound in itself."""

    async def appended(seed: int) -> tuple[SimDisk, list[Entry]]:
        disk = SimDisk()
        store = await started(disk)
        await store.create(creation_of(1))
        entries = append_values(log_of(store), 1, 1, [[random.Random(seed).randbytes(9_000)]])
        await log_of(store).settled()
        assert store.counters.direct_bytes > 0
        return disk.crash(random.Random(2)), entries

    async def work() -> None:
        disk, entries = await appended(1)
        path = next(path for path in disk.files() if path.endswith(".segment"))
        if damage == "rot":
            disk.flip_bits(path, 5_000)
        elif damage == "another batch":
            other, _ = await appended(3)
            assert len(other.content(path)) == len(disk.content(path))
            disk.put(path, other.content(path))
        store = await started(disk)
        log = log_of(store)
        assert log.needs_install == (damage != "none")
        if damage == "none":
            assert await content(log) == tuple(entries)
        await store.stop()

    run(work())


def test_a_checkpoint_of_another_directory_is_passed_over() -> None:
    """However new it says that it is; and where there is no other, the node does not start."""

    async def work() -> None:
        disk = SimDisk()
        await written(disk)
        disk = disk.process_killed()
        other = SimDisk()
        identity = replace(IDENTITY, directory_id=DirectoryId(0xD2))
        stranger = new_store(other, identity=identity)
        await stranger.start(Recorder())
        await stranger.stop()
        foreign = other.content(next(p for p in other.files() if p.endswith(".checkpoint")))
        disk.put("checkpoint/00000000000000ff.checkpoint", foreign)
        store = await started(disk)
        assert store.recovered is not None
        (told,) = store.recovered.damaged_checkpoints
        assert "00000000000000ff.checkpoint: is of directory" in told
        assert not log_of(store).needs_install
        await store.stop()
        disk = disk.process_killed()
        for path in [each for each in disk.files() if each.endswith(".checkpoint")]:
            disk.put(path, foreign)
        with pytest.raises(StorageFailed, match="no checkpoint can be read"):
            await started(disk)

    run(work())


def test_missing_segment_files_need_an_install() -> None:
    """A log whose files are gone does not start empty."""

    async def work() -> None:
        disk = SimDisk()
        await written(disk, groups=2)
        await disk.remove_tree("groups/0000000000000001")
        disk = disk.process_killed()
        store = await started(disk)
        assert log_of(store, 1).needs_install
        assert not log_of(store, 2).needs_install
        await store.stop()

    run(work())


def test_missing_or_damaged_metadata_stops_the_node() -> None:
    """Without its checkpoint or the journal that it needs, a store refuses and names the file."""

    async def work() -> None:
        disk = SimDisk()
        await written(disk)
        for _ in range(4):
            disk = disk.process_killed()
            store = await started(disk)
            await store.checkpoint_now()
            await store.checkpoint_now()
            await asyncio.sleep(1)
            await store.stop()
        assert "journal/0000000000000001.journal" not in disk.files()
        state = disk.volume

        no_checkpoint = SimDisk(volume=state.after_power_cut(random.Random(0)))
        await no_checkpoint.remove_tree("checkpoint")
        with pytest.raises(StorageFailed, match=r"no checkpoint|neither a checkpoint"):
            await started(no_checkpoint)

        rotten = SimDisk(volume=state.after_power_cut(random.Random(0)))
        for path in rotten.files():
            if path.startswith("checkpoint/"):
                rotten.flip_bits(path, 30)
        with pytest.raises(StorageFailed, match="checkpoint/"):
            await started(rotten)

        no_journal = SimDisk(volume=state.after_power_cut(random.Random(0)))
        await no_journal.remove_tree("journal")
        await no_journal.make_directory("journal")
        with pytest.raises(StorageFailed, match=r"journal/.* is missing"):
            await started(no_journal)

        no_logs = SimDisk(volume=state.after_power_cut(random.Random(0)))
        await no_logs.remove_tree("groups")
        with pytest.raises(StorageFailed, match=r"groups/ is missing, with 1 logs\. .*never used"):
            await started(no_logs)

        nothing_but_groups = SimDisk(volume=state.after_power_cut(random.Random(0)))
        await nothing_but_groups.remove_tree("journal")
        await nothing_but_groups.remove_tree("checkpoint")
        with pytest.raises(StorageFailed, match="neither a checkpoint"):
            await started(nothing_but_groups)

    run(work())


async def check_without_the_newest_checkpoint(disk: SimDisk, entries: list[Entry]) -> None:
    """It is damaged: the one before and its journal give all entries."""
    newest = max(p for p in disk.files() if p.endswith(".checkpoint"))
    disk.flip_bits(newest, 40)
    again = await started(disk)
    assert again.recovered is not None
    assert len(again.recovered.damaged_checkpoints) == 1
    assert await content(log_of(again)) == tuple(entries)
    await again.stop()


@pytest.mark.parametrize("seed", range(12))
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(seed: int) -> None:
    """The older generation and the journal that was kept for it give the same log."""
    rng = random.Random(seed)

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store = await started(disk)
        await store.create(creation_of(1))
        log = log_of(store)
        entries: list[Entry] = []
        write = 0
        for _ in range(3):
            for _ in range(rng.randint(1, 6)):
                write += 1
                entries += append_values(
                    log, write, 2 + write, [[rng.randbytes(rng.randint(1, 1500))]]
                )
            write += 1
            cut = rng.choice([e[0] for e in entries])
            log.truncate(WriteSequence(write), Offset(cut))
            entries = [e for e in entries if e[1] <= cut]
            write += 1
            entries += append_values(log, write, 2 + write, [[rng.randbytes(5000)]])
            await log.settled()
            await store.checkpoint_now()
        disk = disk.crash(rng)
        await check_without_the_newest_checkpoint(disk, entries)

    run(work())


@pytest.mark.parametrize("starts", [0, 1, 3])
def test_journal_files_without_a_flush_hide_nothing(starts: int) -> None:
    """The next file is made ahead, and every start begins one, also when it ends before its first
    flush. The checkpoint before the newest one has such files behind those that it needs: what is
    in later ones counts all the same."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store = await started(disk)
        await store.create(creation_of(1))
        entries = append_values(log_of(store), 1, 1, [[b"first"]])
        await log_of(store).settled()
        for number in range(starts):
            disk = disk.crash(random.Random(number))
            await started(disk)
        disk = disk.crash(random.Random(99))
        last = await started(disk)
        entries += append_values(log_of(last), 2, 2, [[b"acknowledged"]])
        await log_of(last).settled()
        disk = disk.crash(random.Random(100))
        await check_without_the_newest_checkpoint(disk, entries)

    run(work())


def test_unknown_directories_are_left_alone_and_reported() -> None:
    """A directory that nothing names is data until an operator says otherwise."""

    async def work() -> None:
        disk = SimDisk()
        await written(disk)
        disk.put("groups/00000000000000aa/00000001/00000000000000000000.segment", b"somebody's")
        disk = disk.process_killed()
        store = await started(disk)
        assert list(store.unknown_directories) == ["groups/00000000000000aa"]
        await store.stop()
        assert any("00000000000000aa" in path for path in disk.files())

    run(work())


def test_damage_that_is_found_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """By event: a replica that waits for a copy, a checkpoint that was passed over, and what
    nobody made."""

    async def work() -> None:
        disk = SimDisk()
        await written(disk, groups=2)
        await disk.remove_tree("groups/0000000000000001")
        disk.put("groups/somebody's", b"file")
        disk = disk.process_killed()
        await (await started(disk)).stop()
        disk.flip_bits(max(p for p in disk.files() if p.endswith(".checkpoint")), 40)
        await (await started(disk.process_killed())).stop()

    with caplog.at_level("INFO"):
        run(work())
    told = {record.message: record for record in caplog.records}
    assert vars(told["replica_damaged"])["group"] == 1
    assert vars(told["directory_unknown"])["path"] == "groups/somebody's"
    assert "checkpoint/" in vars(told["checkpoint_damaged"])["reason"]
    assert vars(told["store_recovered"])["groups"] == 2


def test_interrupted_deletion_goes_on_after_a_crash() -> None:
    """Once the deletion is durable the directory goes, however many lives that takes."""

    async def work() -> None:
        disk = SimDisk()
        await written(disk, groups=2)
        disk = disk.process_killed()
        store = await started(disk)

        async def no_removal(path: str) -> None:
            raise OSError(5, "broken", path)

        disk.remove_tree = no_removal  # type: ignore[method-assign]
        await store.delete(GroupId(1))
        disk = disk.crash(random.Random(3))
        assert any("0000000000000001/" in path for path in disk.files())
        again = await started(disk)
        assert GroupId(1) not in again.logs
        await asyncio.sleep(1)
        assert not any("groups/0000000000000001" in path for path in disk.files())
        assert list(again.unknown_directories) == []
        await again.stop()

    run(work())
