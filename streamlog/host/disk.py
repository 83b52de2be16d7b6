"""The real disk: files under one root directory, blocking calls on threads of their own kind.

| threads | what runs there | why apart |
|---|---|---|
| journal (1) | `write_durable` of journal files | nothing may stand before a flush |
| writes | segment writes, direct durable appends, cuts, zero-filling | order is per file, so a few suffice |
| syncs | fdatasync of checkpoints | tens of ms each when many files are dirty |
| reads | reads that miss the page cache | a cold reader delays only other cold readers |
| housekeeping | open, close, list, rename, remove, directories | an unlink of a large file is slow |

A path is relative to the root, uses "/", and can not leave the root.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from streamlog.host.file import RealFile
from streamlog.host.io_threads import Completions, IoThreads, Job
from streamlog.host.syscalls import FileCalls, platform_calls

WRITE_THREADS = 2
SYNC_THREADS = 2
READ_THREADS = 4
HOUSEKEEPING_THREADS = 2
LOCK_FILE = "lock"
JOIN_TIMEOUT_SECONDS = 5.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DiskThreads:
    """The threads of one disk, by kind of work."""

    journal: IoThreads
    writes: IoThreads
    syncs: IoThreads
    reads: IoThreads
    housekeeping: IoThreads

    @classmethod
    def started(cls, loop: asyncio.AbstractEventLoop) -> DiskThreads:
        """All of them, running, with their results going to the loop."""
        done = Completions(loop)
        return cls(
            journal=IoThreads("journal", 1, done),
            writes=IoThreads("write", WRITE_THREADS, done),
            syncs=IoThreads("sync", SYNC_THREADS, done),
            reads=IoThreads("read", READ_THREADS, done),
            housekeeping=IoThreads("housekeeping", HOUSEKEEPING_THREADS, done),
        )

    def all(self) -> tuple[IoThreads, ...]:
        """Every kind."""
        return (self.journal, self.writes, self.syncs, self.reads, self.housekeeping)


class RealDisk:
    """`replication.ports.Disk` on a directory; used from one event loop, closed by its owner."""

    def __init__(
        self, root: Path, *, reserve_bytes: int = 0, calls: FileCalls | None = None
    ) -> None:
        """Nothing is touched yet.

        Args:
            root: the data directory; made, with its parents, when it is first needed.
            reserve_bytes: space kept back from `free_bytes`, from 0; what the store keeps free
                for votes and deletions is its own matter.
            calls: the platform's calls; by default those of this platform.
        """
        self._root = root
        self._reserve_bytes = reserve_bytes
        self._calls = platform_calls() if calls is None else calls
        self._threads: DiskThreads | None = None
        self._lock_descriptor: int | None = None

    async def open(
        self, path: str, *, create: bool = False, writable: bool = True, journal: bool = False
    ) -> RealFile:
        flags = os.O_RDWR if writable else os.O_RDONLY
        if create:
            flags |= os.O_CREAT | os.O_EXCL
        target = self._resolve(path)
        opening = self._submit(lambda: os.open(target, flags, 0o640))
        try:
            descriptor = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        return RealFile(path, descriptor, self._calls, self._started(), journal=journal)

    async def list_directory(self, path: str) -> Sequence[str]:
        target = self._resolve(path)

        def work() -> list[str]:
            try:
                return sorted(entry.name for entry in target.iterdir())
            except FileNotFoundError:
                return []

        return await self._run(work)

    async def make_directory(self, path: str) -> None:
        target = self._resolve(path)
        await self._run(lambda: target.mkdir(parents=True, exist_ok=True))

    async def rename(self, source: str, target: str) -> None:
        old, new = self._resolve(source), self._resolve(target)
        await self._run(lambda: old.replace(new))

    async def remove(self, path: str) -> None:
        target = self._resolve(path)
        await self._run(target.unlink)

    async def remove_tree(self, path: str) -> None:
        target = self._resolve(path)

        def work() -> None:
            try:
                shutil.rmtree(target)
            except FileNotFoundError:
                if target.exists():
                    raise

        await self._run(work)

    async def sync_directory(self, path: str) -> None:
        target = self._resolve(path)

        def work() -> None:
            descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._calls.sync_directory(descriptor)
            finally:
                os.close(descriptor)

        await self._run(work)

    async def free_bytes(self) -> int:
        def work() -> int:
            space = os.statvfs(self._root)
            return max(0, space.f_bavail * space.f_frsize - self._reserve_bytes)

        return await self._run(work)

    async def lock(self) -> None:
        """Take the directory with flock: the kernel gives it back however the process ends."""
        if self._lock_descriptor is None:
            self._lock_descriptor = await self._run(self._take_lock)

    async def close(self) -> None:
        """End the threads behind what was submitted, and give the lock back."""
        threads, self._threads = self._threads, None
        if threads is not None:
            for group in threads.all():
                group.stop()

            def join() -> None:
                for group in threads.all():
                    group.join(JOIN_TIMEOUT_SECONDS)

            await asyncio.to_thread(join)
        descriptor, self._lock_descriptor = self._lock_descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _take_lock(self) -> int:
        self._root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._root / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # For people who wonder who has it; nothing reads it back.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            os.close(descriptor)
            raise OSError(
                errno.EAGAIN, "another process has the data directory", str(self._root)
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _resolve(self, path: str) -> Path:
        relative = PurePosixPath(path)
        if relative.is_absolute() or ".." in relative.parts:
            raise OSError(errno.EINVAL, "the path leaves the data directory", path)
        return self._root / relative

    def _started(self) -> DiskThreads:
        if self._threads is None:
            self._threads = DiskThreads.started(asyncio.get_running_loop())
        return self._threads

    def _submit(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._started().housekeeping.submit(Job(work, future, _nothing))
        return future

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await self._submit(work)


def _nothing() -> None:
    """Directory operations have nobody waiting behind them."""


def _close_unwanted(opened: asyncio.Future[int]) -> None:
    """The caller of an open gave up while a thread carried it out."""
    if not opened.cancelled() and opened.exception() is None:
        os.close(opened.result())
