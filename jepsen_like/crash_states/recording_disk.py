"""Disks that a store runs on here: one that records, and one that takes no time.

Both are the simulator's disk (`jepsen_like.sim.ports.disk`), which knows how the port behaves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from jepsen_like.crash_states.record import Operation, Record
from jepsen_like.sim.ports.disk import DiskLatency, SimDisk, SimFile
from jepsen_like.sim.ports.volume import Inode, Volume

LATENCY: Final = DiskLatency((0.0, 0.3), (0.0, 0.3), (0.2, 2.0), (0.0, 0.3))
"""Of recorded operations: syncs take long enough for others to begin meanwhile."""


class RecordingDisk(SimDisk):
    """A process's data directory; every operation goes to the record.

    Latencies make operations of different files overlap. A process that is killed (`next_process`)
    leaves the page cache to the next, and the record goes on.
    """

    def __init__(
        self, record: Record, rng: random.Random, latency: DiskLatency, volume: Volume
    ) -> None:
        super().__init__(rng, volume=volume, latency=latency)
        self._record = record
        self._rng_of_latency = rng

    def next_process(self) -> RecordingDisk:
        """End this process but not the machine."""
        self.process_killed()
        return RecordingDisk(self._record, self._rng_of_latency, self.latency, self.volume)

    async def open(
        self, path: str, *, create: bool = False, writable: bool = True, journal: bool = False
    ) -> SimFile:
        handle = self._record.new_handle()
        operation = self._record.began("create" if create else "open", path, handle=handle)
        try:
            await super().open(path, create=create, writable=writable, journal=journal)
        except OSError:
            self._refused(operation)
            raise
        self._record.ended(operation)
        return _RecordingFile(self, path, self.volume.file(path), handle, writable=writable)

    async def make_directory(self, path: str) -> None:
        operation = self._record.began("mkdir", path)
        await super().make_directory(path)
        self._record.ended(operation)

    async def rename(self, source: str, target: str) -> None:
        operation = self._record.began("rename", source, target=target)
        try:
            await super().rename(source, target)
        except OSError:
            self._refused(operation)
            raise
        self._record.ended(operation)

    async def remove(self, path: str) -> None:
        operation = self._record.began("remove", path)
        try:
            await super().remove(path)
        except OSError:
            self._refused(operation)
            raise
        self._record.ended(operation)

    async def remove_tree(self, path: str) -> None:
        operation = self._record.began("remove_tree", path)
        await super().remove_tree(path)
        self._record.ended(operation)

    async def sync_directory(self, path: str) -> None:
        operation = self._record.began("sync_directory", path)
        try:
            await super().sync_directory(path)
        except OSError:
            self._refused(operation)
            raise
        self._record.ended(operation)

    @property
    def record(self) -> Record:
        """What was asked so far."""
        return self._record

    def _refused(self, operation: Operation) -> None:
        if not self.ended:
            self._record.refused(operation)


class _RecordingFile(SimFile):
    """A file whose changes go to the record."""

    def __init__(
        self, disk: RecordingDisk, path: str, inode: Inode, handle: int, *, writable: bool
    ) -> None:
        super().__init__(disk, path, inode, writable=writable)
        self._record = disk.record
        self._handle = handle

    async def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        operation = self._began("write", offset, buffers)
        await super().write(offset, buffers)
        self._record.ended(operation)

    async def write_durable(self, offset: int, buffers: Sequence[bytes]) -> None:
        operation = self._began("write_durable", offset, buffers)
        await super().write_durable(offset, buffers)
        self._record.ended(operation)

    async def sync(self) -> None:
        operation = self._began("sync")
        await super().sync()
        self._record.ended(operation)

    async def truncate(self, size: int) -> None:
        operation = self._began("truncate", size)
        await super().truncate(size)
        self._record.ended(operation)

    def _began(self, kind: str, offset: int = 0, buffers: Sequence[bytes] = ()) -> Operation:
        return self._record.began(
            kind, self.path, handle=self._handle, offset=offset, buffers=buffers
        )


class InstantDisk(SimDisk):
    """A disk whose operations complete within the call: thousands of recoveries are judged."""

    async def open(
        self, path: str, *, create: bool = False, writable: bool = True, journal: bool = False
    ) -> SimFile:
        await super().open(path, create=create, writable=writable, journal=journal)
        return _InstantFile(self, path, self.volume.file(path), writable=writable)

    async def wait(self, interval: tuple[float, float], path: str) -> None:
        """No time passes."""


class _InstantFile(SimFile):
    async def _finish(
        self,
        interval: tuple[float, float],
        effect: Callable[[], None] | None = None,
        *,
        slow: bool = False,
    ) -> None:
        if effect is not None:
            effect()
