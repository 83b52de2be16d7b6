"""One open file whose operations take effect in the order of the calls.

Operations that can not tell the difference run side by side: reads with reads, and a read with a
write of other bytes. Everything else waits for what it conflicts with. So a cold read of an old
range never delays the append at the end, and a sync never overtakes the writes before it.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from streamlog.host.io_threads import IoThreads, Job
from streamlog.host.syscalls import FileCalls, read_fully

if TYPE_CHECKING:
    from streamlog.host.disk import DiskThreads

UNBOUNDED: Final = 1 << 63
"""The end of a range that reaches to the end of the file, wherever that will be."""


class _Operation:
    """An operation from its call to its end."""

    __slots__ = ("end", "followers", "job", "mutates", "start", "threads", "waiting_for")

    def __init__(self, start: int, end: int, *, mutates: bool, threads: IoThreads) -> None:
        self.start, self.end, self.mutates, self.threads = start, end, mutates, threads
        self.followers: list[_Operation] = []
        self.waiting_for = 0
        self.job: Job | None = None

    def conflicts_with(self, other: _Operation) -> bool:
        """Their order can be told: two mutations, or a mutation of what the other reads."""
        if self.mutates and other.mutates:
            return True
        if not (self.mutates or other.mutates):
            return False
        return self.start < other.end and other.start < self.end


class RealFile:
    """`replication.ports.File` on a descriptor.

    Invariant: `_pending` holds the unfinished operations in the order of their calls, and one is
    submitted to its threads only when it waits for none of those before it.
    """

    def __init__(
        self, path: str, descriptor: int, calls: FileCalls, threads: DiskThreads, *, journal: bool
    ) -> None:
        self._path = path
        self._descriptor = descriptor
        self._calls = calls
        self._threads = threads
        self._durable_threads = threads.journal if journal else threads.writes
        self._pending: list[_Operation] = []
        self._closing: asyncio.Future[None] | None = None
        self._failure: OSError | None = None

    @property
    def path(self) -> str:
        return self._path

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        self._check_open()
        end = offset + length
        for operation in self._pending:
            if operation.mutates and operation.start < end and offset < operation.end:
                return None
        return self._calls.read_at_hand(self._descriptor, offset, length)

    async def read(self, offset: int, length: int) -> bytes:
        def work() -> bytes:
            return read_fully(self._descriptor, offset, length)

        operation = _Operation(offset, offset + length, mutates=False, threads=self._threads.reads)
        return cast("bytes", await self._start(operation, work))

    async def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        def work() -> None:
            self._check_sound()
            self._calls.write(self._descriptor, buffers, offset)

        await self._mutate(offset, offset + _total(buffers), self._threads.writes, work)

    async def write_durable(self, offset: int, buffers: Sequence[bytes]) -> None:
        def work() -> None:
            self._check_sound()
            try:
                self._calls.write_durable(self._descriptor, buffers, offset)
            except OSError as error:
                self._failure = error
                raise

        await self._mutate(offset, offset + _total(buffers), self._durable_threads, work)

    async def sync(self) -> None:
        def work() -> None:
            self._check_sound()
            try:
                self._calls.sync_data(self._descriptor)
            except OSError as error:
                self._failure = error
                raise

        await self._mutate(0, 0, self._threads.syncs, work)

    async def truncate(self, size: int) -> None:
        def work() -> None:
            self._check_sound()
            os.ftruncate(self._descriptor, size)

        await self._mutate(size, UNBOUNDED, self._threads.writes, work)

    async def size(self) -> int:
        def work() -> int:
            return os.fstat(self._descriptor).st_size

        operation = _Operation(0, UNBOUNDED, mutates=False, threads=self._threads.reads)
        return cast("int", await self._start(operation, work))

    async def close(self) -> None:
        if self._closing is None:
            operation = _Operation(0, UNBOUNDED, mutates=True, threads=self._threads.housekeeping)
            self._closing = self._start(operation, lambda: os.close(self._descriptor))
        await asyncio.shield(self._closing)

    async def _mutate(
        self, start: int, end: int, threads: IoThreads, work: Callable[[], None]
    ) -> None:
        await self._start(_Operation(start, end, mutates=True, threads=threads), work)

    def _start(self, operation: _Operation, work: Callable[[], object]) -> asyncio.Future[Any]:
        """Submit the operation, now or when those that it conflicts with are done."""
        self._check_open()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def finished() -> None:
            self._pending.remove(operation)
            for follower in operation.followers:
                follower.waiting_for -= 1
                if follower.waiting_for == 0 and follower.job is not None:
                    follower.threads.submit(follower.job)

        operation.job = Job(work, future, finished, droppable=not operation.mutates)
        for earlier in self._pending:
            if operation.conflicts_with(earlier):
                earlier.followers.append(operation)
                operation.waiting_for += 1
        self._pending.append(operation)
        if operation.waiting_for == 0:
            operation.threads.submit(operation.job)
        return future

    def _check_open(self) -> None:
        if self._closing is not None:
            raise OSError(errno.EBADF, "the file was closed", self._path)

    def _check_sound(self) -> None:
        """After a failed flush the kernel may call lost pages clean: nothing may follow it."""
        if self._failure is not None:
            raise OSError(errno.EIO, f"an earlier flush failed: {self._failure}", self._path)


def _total(buffers: Sequence[bytes]) -> int:
    return sum(map(len, buffers))
