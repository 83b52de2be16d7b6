"""The simulated disk keeps what was synced and nothing else for sure."""

from __future__ import annotations

import asyncio
import errno
import random

import pytest

from jepsen_like.sim.ports.disk import DiskFaults, DiskLatency, DiskOperation, SimDisk
from replication.ports import Disk, File


def as_port(disk: SimDisk) -> Disk:
    """The type checker sees that the simulated disk is a Disk."""
    return disk


async def synced_file(disk: SimDisk, path: str, data: bytes) -> File:
    """A file whose content and name are durable."""
    file = await as_port(disk).open(path, create=True)
    await file.write(0, [data])
    await file.sync()
    await disk.sync_directory("")
    return file


async def test_synced_bytes_and_names_survive_every_crash() -> None:
    """What fsync and sync_directory covered is in each of many crash images."""
    disk = SimDisk()
    file = await synced_file(disk, "a", b"x" * 1500)
    await file.write(700, [b"y" * 1000])
    for seed in range(50):
        image = disk.crash_image(random.Random(seed))
        content = image.content("a")
        assert content[:700] == b"x" * 700
        assert len(content) in {1500, 1700}
        assert set(content[700:]) <= set(b"xy\0")


async def test_unsynced_writes_are_torn_at_sectors_and_reordered() -> None:
    """Some crash keeps a later sector without an earlier one; none tears inside a sector."""
    disk = SimDisk()
    file = await synced_file(disk, "a", b"0" * 2048)
    await file.write(0, [b"1" * 1024, b"1" * 1024])
    seen = set()
    for seed in range(300):
        content = disk.crash_image(random.Random(seed)).content("a")
        sectors = [content[i : i + 512] for i in range(0, 2048, 512)]
        assert all(len(set(sector)) == 1 for sector in sectors)
        seen.add("".join(chr(sector[0]) for sector in sectors))
    assert {"0000", "1111"} <= seen
    assert any(pattern.startswith("0") and pattern.endswith("1") for pattern in seen)


async def test_a_sector_may_hold_any_of_its_versions() -> None:
    """Of two pending writes to one sector the crash may keep none, the first or both."""
    disk = SimDisk()
    file = await synced_file(disk, "a", b"0" * 512)
    await file.write(0, [b"1" * 512])
    await file.write(0, [b"2" * 512])
    seen = {disk.crash_image(random.Random(seed)).content("a")[:1] for seed in range(200)}
    assert seen == {b"0", b"1", b"2"}


async def test_directory_operations_are_kept_or_lost_one_by_one() -> None:
    """Without sync_directory each of two new names may be missing after a crash."""
    disk = SimDisk()
    for name in ("a", "b"):
        file = await disk.open(name, create=True)
        await file.write(0, [name.encode()])
        await file.sync()
    seen = {tuple(disk.crash_image(random.Random(seed)).files()) for seed in range(100)}
    assert seen == {(), ("a",), ("b",), ("a", "b")}


async def test_a_rename_is_never_half_done() -> None:
    """tmp, fsync, rename leaves the old file or the new one at the target, never none."""
    disk = SimDisk()
    await synced_file(disk, "f", b"old")
    await synced_file(disk, "f.tmp", b"new")
    await disk.rename("f.tmp", "f")
    seen = set()
    for seed in range(100):
        image = disk.crash_image(random.Random(seed))
        seen.add((tuple(image.files()), image.content("f")))
    assert seen == {(("f",), b"new"), (("f", "f.tmp"), b"old")}
    await disk.sync_directory("")
    image = disk.crash(random.Random(1))
    assert image.files() == ["f"]
    assert image.content("f") == b"new"


async def test_rename_across_directories_is_durable_with_either() -> None:
    """Syncing the target directory also makes the source's removal durable."""
    disk = SimDisk()
    await disk.make_directory("d")
    await disk.make_directory("e")
    file = await disk.open("d/f", create=True)
    await file.write(0, [b"1"])
    await file.sync()
    await disk.rename("d/f", "e/f")
    await disk.sync_directory("e")
    await disk.sync_directory("")
    for seed in range(50):
        assert disk.crash_image(random.Random(seed)).files() == ["e/f"]


async def test_removed_file_comes_back_when_the_removal_was_not_synced() -> None:
    """A removal may be lost; the file then has its durable content."""
    disk = SimDisk()
    await synced_file(disk, "f", b"1")
    await disk.remove("f")
    seen = {tuple(disk.crash_image(random.Random(seed)).files()) for seed in range(50)}
    assert seen == {(), ("f",)}


async def test_new_directory_is_lost_without_a_sync_of_its_parent() -> None:
    """A durable file in a directory that is not durable itself is lost with it."""
    disk = SimDisk()
    await disk.make_directory("d/e")
    file = await disk.open("d/e/f", create=True)
    await file.sync()
    await disk.sync_directory("d/e")
    seen = {tuple(disk.crash_image(random.Random(seed)).files()) for seed in range(50)}
    assert seen == {(), ("d/e/f",)}
    await disk.sync_directory("")
    await disk.sync_directory("d")
    assert disk.crash(random.Random(0)).files() == ["d/e/f"]


async def test_a_sync_covers_what_was_issued_before_it_began() -> None:
    """Of two overlapping syncs of a directory the later makes nothing durable that was issued
    after it had begun, though the earlier took some of what was pending."""
    disk = SimDisk(latency=DiskLatency(sync_ms=(1.0, 1.0)))
    await disk.open("one", create=True)
    first = asyncio.create_task(disk.sync_directory(""))
    await asyncio.sleep(0)
    second = asyncio.create_task(disk.sync_directory(""))
    await asyncio.sleep(0)
    await disk.open("two", create=True)
    await asyncio.gather(first, second)
    found = [disk.crash_image(random.Random(seed)).files() for seed in range(50)]
    assert ["one"] in found
    assert all("one" in files for files in found)


async def test_durable_write_is_durable_when_it_completes_and_torn_before() -> None:
    """A crash in the middle leaves any mix of sectors; afterwards all of them."""
    disk = SimDisk(latency=DiskLatency(sync_ms=(1.0, 1.0)))
    file = await synced_file(disk, "j", bytes(4096))
    task = asyncio.ensure_future(file.write_durable(512, [b"1" * 512, b"1" * 1024]))
    await asyncio.sleep(0)
    seen = {disk.crash_image(random.Random(seed)).content("j").count(b"1") for seed in range(200)}
    assert seen == {0, 512, 1024, 1536}
    await task
    content = disk.crash(random.Random(0)).content("j")
    assert content == bytes(512) + b"1" * 1536 + bytes(2048)


async def test_durable_write_leaves_other_pending_writes_pending() -> None:
    """Only the sectors of the durable write are on the platter, with all their versions."""
    disk = SimDisk()
    file = await synced_file(disk, "j", b"0" * 2048)
    await file.write(0, [b"1" * 1024])
    await file.write_durable(600, [b"2" * 10])
    seen = set()
    for seed in range(100):
        content = disk.crash_image(random.Random(seed)).content("j")
        assert content[512:1024] == b"1" * 88 + b"2" * 10 + b"1" * 414
        seen.add(content[:1])
    assert seen == {b"0", b"1"}


async def test_truncation_is_pending_like_a_write() -> None:
    """Before the sync a crash may bring the cut bytes back; zeros never become old bytes."""
    disk = SimDisk()
    file = await synced_file(disk, "f", b"1" * 1024)
    await file.truncate(100)
    await file.write(100, [b"2" * 100])
    lengths = set()
    for seed in range(200):
        content = disk.crash_image(random.Random(seed)).content("f")
        lengths.add(len(content))
        assert content[:100] == b"1" * 100
    assert lengths == {1024, 100, 200}
    await file.sync()
    assert disk.crash(random.Random(0)).content("f") == b"1" * 100 + b"2" * 100


async def test_old_handles_are_fenced() -> None:
    """After a crash the old process can neither write nor finish what it began."""
    disk = SimDisk(latency=DiskLatency(sync_ms=(1.0, 1.0)))
    file = await synced_file(disk, "f", b"1")
    task = asyncio.ensure_future(file.write_durable(0, [b"2"]))
    await asyncio.sleep(0)
    image = disk.crash(random.Random(3))
    before = image.content("f")
    with pytest.raises(OSError, match="Stale") as stale:
        await task
    assert stale.value.errno == errno.ESTALE
    with pytest.raises(OSError, match="Stale"):
        await file.write(0, [b"3"])
    with pytest.raises(OSError, match="Stale"):
        await disk.open("f")
    assert image.content("f") == before


async def test_killed_process_leaves_the_page_cache() -> None:
    """A process that dies without a power cut loses nothing it wrote, and frees the lock."""
    disk = SimDisk()
    await disk.lock()
    with pytest.raises(BlockingIOError):
        await disk.lock()
    file = await disk.open("f", create=True)
    await file.write(0, [b"1"])
    successor = disk.process_killed()
    await successor.lock()
    assert successor.content("f") == b"1"


async def test_cancelled_write_still_happens() -> None:
    """Cancelling the caller of a durable write does not undo it."""
    disk = SimDisk(latency=DiskLatency(sync_ms=(1.0, 1.0)))
    file = await synced_file(disk, "f", b"1")
    task = asyncio.ensure_future(file.write_durable(0, [b"2"]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await file.sync()
    assert disk.crash(random.Random(0)).content("f") == b"2"


async def test_faults() -> None:
    """Errors, a full disk, rot and cold reads happen as told; a failed fsync is final."""
    faults = DiskFaults(capacity_bytes=1000)
    disk = SimDisk(faults=faults)
    file = await synced_file(disk, "f", b"1" * 900)
    with pytest.raises(OSError, match="No space"):
        await file.write(900, [b"2" * 101])
    assert await disk.free_bytes() == 100
    disk.flip_bits("f", 5)
    assert file.read_nowait(4, 2) == b"10"
    faults.cold_read_probability = 1.0
    assert file.read_nowait(0, 1) is None
    assert await file.read(0, 1) == b"1"

    def fail_sync(operation: DiskOperation) -> OSError | None:
        return OSError(errno.EIO, "planted") if operation.kind == "sync" else None

    await file.write(0, [b"3"])
    faults.hook = fail_sync
    with pytest.raises(OSError, match="planted"):
        await file.sync()
    faults.hook = None
    await file.sync()
    assert await file.read(0, 1) == b"3"
    assert disk.crash(random.Random(0)).content("f")[:1] == b"1"


async def test_names_and_errors_are_those_of_a_file_system() -> None:
    """Missing, existing, wrong kind and escaping paths raise the usual errors."""
    disk = SimDisk()
    await synced_file(disk, "b", b"")
    await synced_file(disk, "a", b"")
    assert await disk.list_directory("") == ["a", "b"]
    assert await disk.list_directory("none") == []
    with pytest.raises(FileNotFoundError):
        await disk.open("none")
    with pytest.raises(FileExistsError):
        await disk.open("a", create=True)
    with pytest.raises(FileNotFoundError):
        await disk.open("none/a", create=True)
    with pytest.raises(OSError, match="Invalid"):
        await disk.open("../a")
    await disk.make_directory("d")
    with pytest.raises(IsADirectoryError):
        await disk.remove("d")
    await disk.remove_tree("d")
    await disk.remove_tree("d")
    reader = await disk.open("a", writable=False)
    with pytest.raises(OSError, match="Bad file"):
        await reader.write(0, [b"1"])
    await reader.close()
    with pytest.raises(OSError, match="Bad file"):
        reader.read_nowait(0, 1)


async def test_operations_of_one_file_complete_in_order() -> None:
    """Even when a later operation drew a shorter latency."""
    disk = SimDisk(random.Random(5), latency=DiskLatency(write_ms=(0.0, 2.0)))
    file = await synced_file(disk, "f", b"")
    done: list[int] = []

    async def write(number: int) -> None:
        await file.write(0, [b"%d" % number])
        done.append(number)

    await asyncio.gather(*(write(number) for number in range(10)))
    assert done == list(range(10))
