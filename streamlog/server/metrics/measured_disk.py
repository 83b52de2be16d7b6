"""The disk port with a stop-watch: how long durable operations take, and which calls fail.

It sits between a node and whatever disk it was given, so that neither the storage nor the disk
knows of it, and both disks, the real and the simulated one, are measured alike. What is measured
is what the node waits for: the time on the disk and the time until the loop hears of the result.

Invariant: it changes no call, no order, and no error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from replication.ports import Clock, Disk, File
from streamlog.model.histogram import Histogram

OPERATIONS: Final = ("journal", "direct", "sync", "directory")
"""Durable operations: a flush of the journal, a large append straight to its segment, an fsync of
a file, one of a directory."""


class DiskCounters:
    """Of one node."""

    def __init__(self) -> None:
        self.durable_ms = {operation: Histogram() for operation in OPERATIONS}
        self.failures = dict.fromkeys(OPERATIONS, 0)
        """Durable operations that raised an OSError, by operation."""


class MeasuredDisk:
    """`replication.ports.Disk` on another one."""

    def __init__(self, disk: Disk, clock: Clock, counters: DiskCounters) -> None:
        """`counters` is filled."""
        self._disk, self._clock, self._counters = disk, clock, counters
        # Nothing to measure: no detour either.
        self.list_directory = disk.list_directory
        self.make_directory = disk.make_directory
        self.rename = disk.rename
        self.remove = disk.remove
        self.remove_tree = disk.remove_tree
        self.free_bytes = disk.free_bytes
        self.lock = disk.lock

    async def open(
        self, path: str, *, create: bool = False, writable: bool = True, journal: bool = False
    ) -> File:
        file = await self._disk.open(path, create=create, writable=writable, journal=journal)
        if not writable:
            return file
        return _MeasuredFile(file, self._clock, self._counters, "journal" if journal else "direct")

    async def sync_directory(self, path: str) -> None:
        watch = _Watch(self._clock, self._counters, "directory")
        try:
            await self._disk.sync_directory(path)
        except OSError:
            watch.failed()
            raise
        watch.done()


class _MeasuredFile:
    """`replication.ports.File`; only what makes bytes durable takes the detour."""

    def __init__(self, file: File, clock: Clock, counters: DiskCounters, durable: str) -> None:
        self._file, self._clock, self._counters = file, clock, counters
        self._durable = durable
        self.path = file.path
        self.read_nowait: Callable[[int, int], bytes | None] = file.read_nowait
        self.read = file.read
        self.write = file.write
        self.truncate = file.truncate
        self.size = file.size
        self.close = file.close

    async def write_durable(self, offset: int, buffers: Sequence[bytes]) -> None:
        watch = _Watch(self._clock, self._counters, self._durable)
        try:
            await self._file.write_durable(offset, buffers)
        except OSError:
            watch.failed()
            raise
        watch.done()

    async def sync(self) -> None:
        watch = _Watch(self._clock, self._counters, "sync")
        try:
            await self._file.sync()
        except OSError:
            watch.failed()
            raise
        watch.done()


class _Watch:
    """One operation, from now on."""

    __slots__ = ("_clock", "_counters", "_operation", "_since_ms")

    def __init__(self, clock: Clock, counters: DiskCounters, operation: str) -> None:
        self._clock, self._counters, self._operation = clock, counters, operation
        self._since_ms = clock.monotonic_ms()

    def done(self) -> None:
        elapsed_ms = self._clock.monotonic_ms() - self._since_ms
        self._counters.durable_ms[self._operation].add(elapsed_ms)

    def failed(self) -> None:
        self._counters.failures[self._operation] += 1
