"""The real disk keeps the promises of `replication.ports`."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from replication.ports import Disk
from streamlog.host.disk import RealDisk
from streamlog.host.file import RealFile
from streamlog.host.io_threads import Job
from streamlog.host.syscalls import IOV_MAX, PortableCalls, gathered, platform_calls

PATIENCE_S = 60
"""Far more than anything here takes on a busy machine."""


class GatedCalls:
    """The platform's calls, where writes wait at a gate, and which can be made to fail."""

    def __init__(self) -> None:
        self.real = platform_calls()
        self.gate = threading.Event()
        self.gate.set()
        self.fail_with: int | None = None
        self.log: list[str] = []

    def _pass(self, what: str) -> None:
        self.gate.wait(PATIENCE_S)
        self.log.append(what)
        if self.fail_with is not None:
            raise OSError(self.fail_with, os.strerror(self.fail_with))

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
        self._pass(f"write {offset}")
        self.real.write(descriptor, buffers, offset)

    def write_durable(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
        self._pass(f"write_durable {offset}")
        self.real.write_durable(descriptor, buffers, offset)

    def sync_data(self, descriptor: int) -> None:
        self._pass("sync")
        self.real.sync_data(descriptor)

    def sync_directory(self, descriptor: int) -> None:
        self.real.sync_directory(descriptor)

    def read_at_hand(self, descriptor: int, offset: int, length: int) -> bytes | None:
        return self.real.read_at_hand(descriptor, offset, length)


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[RealDisk]:
    disk = RealDisk(tmp_path / "data")
    await disk.make_directory("")
    yield disk
    await disk.close()


@pytest.fixture
def calls() -> GatedCalls:
    return GatedCalls()


@pytest.fixture
async def gated(tmp_path: Path, calls: GatedCalls) -> AsyncIterator[RealDisk]:
    disk = RealDisk(tmp_path / "data", calls=calls)
    await disk.make_directory("")
    yield disk
    calls.gate.set()
    await disk.close()


async def until_pending(file: RealFile, count: int) -> None:
    for _ in range(1000):
        if len(file._pending) == count:
            return
        await asyncio.sleep(0)
    pytest.fail(f"{len(file._pending)} operations are pending, not {count}")


async def test_bytes_come_back(disk: RealDisk) -> None:
    """Plain and durable writes of several buffers are read back, cut short only at the end."""
    port: Disk = disk
    file = await port.open("a", create=True)
    await file.write(0, [b"one ", b"", b"two "])
    await file.write_durable(8, [b"three"])
    await file.sync()
    assert await file.read(0, 13) == b"one two three"
    assert await file.read(4, 100) == b"two three"
    assert await file.read(100, 5) == b""
    assert await file.size() == 13
    await file.truncate(3)
    assert await file.read(0, 100) == b"one"
    await file.truncate(5)
    assert await file.read(0, 100) == b"one\0\0"
    await file.close()


@pytest.mark.parametrize("journal", [False, True])
async def test_more_buffers_than_one_call_takes(disk: RealDisk, journal: bool) -> None:
    """A flush of very many small buffers is gathered, and nothing is lost or reordered."""
    buffers = [f"{number:06d}".encode() for number in range(3 * IOV_MAX + 7)]
    file = await disk.open("j", create=True, journal=journal)
    await file.write_durable(0, buffers)
    assert await file.read(0, 10 * len(buffers)) == b"".join(buffers)
    await file.close()


def test_gathering_keeps_large_buffers_apart() -> None:
    """Up to the limit no buffer is copied; above it neighbours are joined."""
    few = [b"a", b"b"]
    assert gathered(few) is few
    assert gathered([b"", b"a"]) == [b"a"]
    many = gathered([b"xy"] * (IOV_MAX + 1))
    assert len(many) <= IOV_MAX
    assert b"".join(many) == b"xy" * (IOV_MAX + 1)


async def test_short_writes_are_continued(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that takes less than it was given is repeated with what is left."""
    real = os.pwritev

    def seven_bytes(fd: int, buffers: Sequence[bytes], offset: int, *flags: int) -> int:
        return real(fd, [b"".join(buffers)[:7]], offset, *flags)

    monkeypatch.setattr(os, "pwritev", seven_bytes)
    file = await disk.open("a", create=True)
    await file.write_durable(0, [b"0123", b"456789", b"abcdefghijk", b"l"])
    monkeypatch.undo()
    assert await file.read(0, 100) == b"0123456789abcdefghijkl"
    await file.close()


async def test_operations_take_effect_in_the_order_of_the_calls(
    gated: RealDisk, calls: GatedCalls
) -> None:
    """Writes, cuts, syncs and reads that are issued at once act one after the other, although
    they run on threads of different kinds."""
    file = await gated.open("a", create=True, journal=True)
    calls.gate.clear()
    steps = [
        asyncio.ensure_future(step)
        for step in (
            file.write_durable(0, [b"aaaa"]),
            file.write(0, [b"bb"]),
            file.truncate(3),
            file.sync(),
            file.read(0, 10),
            file.write_durable(3, [b"c"]),
            file.size(),
        )
    ]
    await until_pending(file, 7)
    calls.gate.set()
    results = await asyncio.gather(*steps)
    assert results[4] == b"bba"
    assert results[6] == 4
    assert calls.log == ["write_durable 0", "write 0", "sync", "write_durable 3"]
    await file.close()


async def test_reads_do_not_wait_for_writes_of_other_bytes(
    gated: RealDisk, calls: GatedCalls
) -> None:
    """While an append is stuck, what lies below it can be read in both ways, and what it
    writes can not be had without waiting."""
    file = await gated.open("a", create=True)
    await file.write(0, [b"below"])
    calls.gate.clear()
    writing = asyncio.ensure_future(file.write(5, [b"above"]))
    await until_pending(file, 1)
    assert file.read_nowait(0, 5) == b"below"
    assert await file.read(0, 5) == b"below"
    assert file.read_nowait(0, 6) is None
    reading = asyncio.ensure_future(file.read(0, 6))
    await until_pending(file, 2)
    assert not reading.done()
    calls.gate.set()
    assert await reading == b"belowa"
    await writing
    await file.close()


async def test_the_journal_is_not_held_up_by_other_files(
    gated: RealDisk, calls: GatedCalls
) -> None:
    """A flush goes through while every other thread that writes is stuck."""
    journal = await gated.open("journal", create=True, journal=True)
    segments = [await gated.open(f"s{n}", create=True) for n in range(8)]
    release = threading.Event()
    real_write = calls.real.write

    def stuck(descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
        release.wait(2 * PATIENCE_S)
        real_write(descriptor, buffers, offset)

    calls.write = stuck  # type: ignore[method-assign]
    writes = [asyncio.ensure_future(file.write(0, [b"x"])) for file in segments]
    await asyncio.sleep(0)
    await asyncio.wait_for(journal.write_durable(0, [b"frame"]), PATIENCE_S)
    assert not any(write.done() for write in writes)
    release.set()
    await asyncio.gather(*writes)


async def test_a_cancelled_write_is_carried_out(gated: RealDisk, calls: GatedCalls) -> None:
    """Giving up the wait does not tear a write out of the order."""
    file = await gated.open("a", create=True)
    calls.gate.clear()
    first = asyncio.ensure_future(file.write(0, [b"1111"]))
    second = asyncio.ensure_future(file.write(2, [b"22"]))
    await until_pending(file, 2)
    first.cancel()
    second.cancel()
    calls.gate.set()
    assert await file.read(0, 10) == b"1122"
    await file.close()


async def test_nothing_follows_a_failed_flush(gated: RealDisk, calls: GatedCalls) -> None:
    """After a failed durable write or sync every later mutation fails, those already queued
    included, and nothing reaches the file."""
    flushes: list[Callable[[RealFile], Coroutine[Any, Any, None]]] = [
        lambda file: file.sync(),
        lambda file: file.write_durable(0, [b"z"]),
    ]
    for number, flush in enumerate(flushes):
        file = await gated.open(f"a{number}", create=True)
        await file.write(0, [b"before"])
        calls.fail_with = errno.EIO
        calls.gate.clear()
        flushing = asyncio.ensure_future(flush(file))
        queued = asyncio.ensure_future(file.write(0, [b"AFTER"]))
        await until_pending(file, 2)
        calls.gate.set()
        with pytest.raises(OSError, match="Input/output error"):
            await flushing
        calls.fail_with = None
        with pytest.raises(OSError, match="an earlier flush failed") as caught:
            await queued
        assert caught.value.errno == errno.EIO
        with pytest.raises(OSError, match="an earlier flush failed"):
            await file.sync()
        assert await file.read(0, 10) == b"before"
        await file.close()


async def test_read_nowait(disk: RealDisk, tmp_path: Path) -> None:
    """What is in the page cache comes at once; the end cuts short; what was dropped from the
    cache would need the disk."""
    file = await disk.open("a", create=True)
    data = os.urandom(3 << 20)
    await file.write(0, [data])
    await file.sync()
    assert file.read_nowait(0, 4096) == data[:4096]
    assert file.read_nowait(0, len(data)) == data
    assert file.read_nowait(len(data) - 10, 100) == data[-10:]
    assert file.read_nowait(len(data), 100) == b""
    with (tmp_path / "data" / "a").open("rb") as other:
        os.posix_fadvise(other.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert file.read_nowait(0, len(data)) is None
    assert await file.read(0, len(data)) == data
    assert file.read_nowait(0, len(data)) == data
    await file.close()


async def test_errors_have_their_errno(disk: RealDisk) -> None:
    """What the operating system says arrives as it is."""
    (await disk.open("there", create=True)).path  # noqa: B018
    for attempt, number in (
        (disk.open("there", create=True), errno.EEXIST),
        (disk.open("missing"), errno.ENOENT),
        (disk.remove("missing"), errno.ENOENT),
        (disk.rename("missing", "x"), errno.ENOENT),
        (disk.sync_directory("missing"), errno.ENOENT),
        (disk.open("../outside", create=True), errno.EINVAL),
        (disk.open("/etc/passwd"), errno.EINVAL),
        (disk.remove_tree("a/../.."), errno.EINVAL),
    ):
        with pytest.raises(OSError, match=r".") as caught:
            await attempt
        assert caught.value.errno == number
    reader = await disk.open("there", writable=False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        await reader.write(0, [b"x"])
    await reader.close()
    await reader.close()
    with pytest.raises(OSError, match="closed") as caught:
        await reader.read(0, 1)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError, match="closed"):
        reader.read_nowait(0, 1)


async def test_closing_waits_for_what_is_under_way(gated: RealDisk, calls: GatedCalls) -> None:
    """The descriptor is given back only behind the writes that were issued before."""
    file = await gated.open("a", create=True)
    calls.gate.clear()
    writing = asyncio.ensure_future(file.write(0, [b"last words"]))
    await until_pending(file, 1)
    closing = asyncio.ensure_future(file.close())
    await until_pending(file, 2)
    assert not closing.done()
    calls.gate.set()
    await closing
    assert writing.done()
    again = await gated.open("a")
    assert await again.read(0, 100) == b"last words"


async def test_directories(disk: RealDisk, tmp_path: Path) -> None:
    """Directories are made with parents, listed sorted, renamed, removed, and may be absent."""
    assert await disk.list_directory("none") == []
    await disk.make_directory("a/b/c")
    await disk.make_directory("a/b/c")
    for name in ("z", "10", "9"):
        await (await disk.open(f"a/{name}", create=True)).close()
    assert await disk.list_directory("a") == ["10", "9", "b", "z"]
    await disk.sync_directory("a")
    await disk.rename("a/z", "a/9")
    await disk.rename("a", "moved")
    await disk.remove("moved/10")
    assert await disk.list_directory("moved") == ["9", "b"]
    await disk.remove_tree("moved")
    await disk.remove_tree("moved")
    assert await disk.list_directory("") == []
    assert (tmp_path / "data").is_dir()


async def test_free_space_keeps_the_reserve_back(tmp_path: Path) -> None:
    """The reserve is not offered, and the figure never falls below nothing."""
    for reserve, expected in ((0, True), (1 << 62, False)):
        disk = RealDisk(tmp_path, reserve_bytes=reserve)
        assert (await disk.free_bytes() > 0) is expected
        await disk.close()


async def test_one_process_has_the_directory(disk: RealDisk, tmp_path: Path) -> None:
    """A second process gets EAGAIN and the directory's name; closing gives the lock back."""
    await disk.lock()
    await disk.lock()
    attempt = (
        "import asyncio, pathlib, sys\n"
        "from streamlog.host.disk import RealDisk\n"
        "try: asyncio.run(RealDisk(pathlib.Path(sys.argv[1])).lock())\n"
        "except OSError as error: print(error.errno, error)\n"
        "else: print('taken')\n"
    )
    command = [sys.executable, "-c", attempt, str(tmp_path / "data")]

    def other() -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    refused = await asyncio.to_thread(other)
    assert refused.startswith(f"{errno.EAGAIN} ")
    assert str(tmp_path / "data") in refused
    await disk.close()
    assert await asyncio.to_thread(other) == "taken\n"


async def test_the_portable_way_keeps_the_same_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without RWF_ flags a durable write is a write and a full sync, and reads use threads."""
    synced: list[int] = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda _fd, command: synced.append(command))
    disk = RealDisk(tmp_path, calls=PortableCalls())
    file = await disk.open("a", create=True, journal=True)
    await file.write_durable(0, [b"abc", b"def"])
    assert synced == [51]
    assert file.read_nowait(0, 6) is None
    assert await file.read(0, 6) == b"abcdef"
    await file.close()
    monkeypatch.undo()
    await disk.sync_directory("")
    await disk.close()


async def test_the_loop_is_woken_once_for_results_that_come_together(
    disk: RealDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the loop is busy, finished operations gather behind a single wake-up."""
    files = [await disk.open(f"{n}", create=True) for n in range(20)]
    loop = asyncio.get_running_loop()
    wakes: list[object] = []
    real = loop.call_soon_threadsafe

    def counted(*arguments: object, **keywords: object) -> asyncio.Handle:
        wakes.append(arguments[0])
        return real(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    writes = [asyncio.ensure_future(file.write(0, [b"x"])) for file in files]
    await asyncio.sleep(0)
    assert disk._threads is not None
    passed = threading.Barrier(3)
    for _ in range(2):
        disk._threads.writes.submit(Job(passed.wait, loop.create_future(), lambda: None))
    # Blocks the loop until both threads that write are behind all of the writes.
    passed.wait(PATIENCE_S)
    await asyncio.gather(*writes)
    assert len(wakes) <= 3
