"""A simulated data directory: `replication.ports.Disk` over a `Volume`.

A `SimDisk` is one process's view of the volume. Three ways to end it:

- `crash(rng)`: a power cut; returns the disk that the next process finds (see `volume`).
- `crash_image(rng)`: the same disk without ending this one, to enumerate crash states.
- `process_killed()`: the process dies, the machine lives: the page cache survives.

Works on any running asyncio loop: latencies are waited for with `call_later`, so virtual time
applies where the loop has it. Even a latency of 0 yields to the loop once.

Semantics that callers may rely on, and no others:

1. Operations of one file take effect in the order of the calls. A write is seen by reads from
   the moment it was called; it is durable only when a later sync completed.
2. `write_durable` is durable when it completes; a crash before tears it like any other write.
3. Cancelling a caller does not undo an operation.
4. After the end of the process every operation on an old handle raises OSError(ESTALE), also
   those that were under way.

Faults are injected through `faults`: see `DiskFaults`.
"""

from __future__ import annotations

import asyncio
import errno
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from jepsen_like.sim.ports.content import Content
from jepsen_like.sim.ports.volume import Directory, Inode, Volume, os_error

UNLIMITED_BYTES: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class DiskLatency:
    """Ranges (lowest, highest) in milliseconds, drawn uniformly for each operation."""

    read_ms: tuple[float, float] = (0.0, 0.0)
    write_ms: tuple[float, float] = (0.0, 0.0)
    sync_ms: tuple[float, float] = (0.0, 0.0)
    """Of syncs, durable writes and directory syncs."""
    directory_ms: tuple[float, float] = (0.0, 0.0)


NO_LATENCY: Final = DiskLatency()


@dataclass(frozen=True, slots=True)
class DiskOperation:
    """What a fault hook is asked about, before it takes effect."""

    kind: str
    """open, list, mkdir, rename, remove, remove_tree, sync_directory, read, read_nowait, write,
    write_durable, sync, truncate, close."""
    path: str
    offset: int = 0
    length: int = 0


@dataclass(slots=True)
class DiskFaults:
    """How the disk misbehaves; change it at any time."""

    hook: Callable[[DiskOperation], OSError | None] | None = None
    """Asked before every operation. An error it returns is raised and the operation has no
    effect; but a failed sync loses what is pending for good: see `Inode.lose_pending`."""
    capacity_bytes: int = UNLIMITED_BYTES
    """Writes and extensions beyond it raise OSError(ENOSPC)."""
    asked_for_space: Callable[[], None] | None = None
    """Called when the node is told how much is free."""
    slowdown: float = 1.0
    """Factor on every latency."""
    extra_ms: float = 0.0
    """Added to every latency of reads, writes and syncs."""
    witness: Callable[[str, Inode, int, bytes], None] | None = None
    """Told of every write before it takes effect: path, file, offset, data."""
    cold_read_probability: float = 0.0
    """How often `read_nowait` answers None although bytes are there."""


@dataclass(slots=True)
class DiskCounters:
    """What was asked of the disk."""

    reads: int = 0
    writes: int = 0
    syncs: int = 0
    bytes_written: int = 0
    operations: dict[str, int] = field(default_factory=dict)


class SimDisk:
    """A process's data directory in memory."""

    def __init__(
        self,
        rng: random.Random | None = None,
        *,
        volume: Volume | None = None,
        latency: DiskLatency = NO_LATENCY,
        faults: DiskFaults | None = None,
    ) -> None:
        self.volume = volume if volume is not None else Volume()
        self.latency = latency
        self.faults = faults if faults is not None else DiskFaults()
        self.counters = DiskCounters()
        self._rng = rng if rng is not None else random.Random(0)
        self._ended = False
        self._locked = False

    # The end of the process.

    def crash(self, rng: random.Random) -> SimDisk:
        """Cut the power; returns what the next process finds. This object is dead."""
        image = self.crash_image(rng)
        self._ended = True
        return image

    def crash_image(self, rng: random.Random) -> SimDisk:
        """What a power cut now would leave; this disk goes on."""
        return self._successor(self.volume.after_power_cut(rng))

    def process_killed(self) -> SimDisk:
        """End the process but not the machine: all that was written is still seen."""
        self._ended = True
        return self._successor(self.volume)

    def _successor(self, volume: Volume) -> SimDisk:
        return SimDisk(self._rng, volume=volume, latency=self.latency, faults=self.faults)

    @property
    def ended(self) -> bool:
        """The process that used it is gone."""
        return self._ended

    # What only tests and nemeses do.

    def flip_bits(self, path: str, offset: int, mask: int = 0x01) -> None:
        """Rot: change one byte in the page cache and on the platter."""
        inode = self.volume.file(path)
        for content in (inode.content, inode.durable):
            rotten = bytes(byte ^ mask for byte in content.read(offset, 1))
            content.write(offset, rotten)

    def files(self) -> list[str]:
        """Paths of all files, sorted."""
        found: list[str] = []
        _list_files(self.volume.root, "", found)
        return sorted(found)

    def content(self, path: str) -> bytes:
        """What processes see of a file."""
        content = self.volume.file(path).content
        return content.read(0, len(content))

    def put(self, path: str, data: bytes) -> None:
        """Make or replace a file, durably, with its directories."""
        *parents, name = path.split("/")
        directory = self.volume.root
        for parent in parents:
            node = directory.entries.get(parent)
            if node is None:
                node = Directory()
                directory.entries[parent] = directory.durable[parent] = node
            assert isinstance(node, Directory)
            directory = node
        inode = Inode(Content(data), Content(data))
        directory.entries[name] = directory.durable[name] = inode

    # replication.ports.Disk.

    async def open(
        self, path: str, *, create: bool = False, writable: bool = True, journal: bool = False
    ) -> SimFile:
        """See `replication.ports.Disk.open`; `journal` makes no difference here."""
        del journal
        self.check(DiskOperation("open", path))
        if create:
            directory, name = self.volume.parent(path)
            if name in directory.entries:
                raise os_error(errno.EEXIST, path)
            inode = Inode()
            directory.link(name, inode)
        else:
            inode = self.volume.file(path)
        await self.wait(self.latency.directory_ms, path)
        return SimFile(self, path, inode, writable=writable)

    async def list_directory(self, path: str) -> Sequence[str]:
        """Names, sorted."""
        self.check(DiskOperation("list", path))
        try:
            names = sorted(self.volume.directory(path).entries)
        except FileNotFoundError:
            names = []
        await self.wait(self.latency.directory_ms, path)
        return names

    async def make_directory(self, path: str) -> None:
        """With its parents; each is durable when the directory above it is synced."""
        self.check(DiskOperation("mkdir", path))
        directory = self.volume.root
        for name in path.split("/"):
            if name in {"", "."}:
                continue
            node = directory.entries.get(name)
            if node is None:
                node = Directory()
                directory.link(name, node)
            elif not isinstance(node, Directory):
                raise os_error(errno.ENOTDIR, path)
            directory = node
        await self.wait(self.latency.directory_ms, path)

    async def rename(self, source: str, target: str) -> None:
        """Replaces a file, or an empty directory by a directory, like the system call."""
        self.check(DiskOperation("rename", source))
        node = self.volume.find(source)
        source_directory, source_name = self.volume.parent(source)
        target_directory, target_name = self.volume.parent(target)
        existing = target_directory.entries.get(target_name)
        if existing is not None and existing is not node:
            if isinstance(node, Directory) and not isinstance(existing, Directory):
                raise os_error(errno.ENOTDIR, target)
            if isinstance(existing, Directory):
                if not isinstance(node, Directory):
                    raise os_error(errno.EISDIR, target)
                if existing.entries:
                    raise os_error(errno.ENOTEMPTY, target)
        source_directory.rename(source_name, target_directory, target_name)
        await self.wait(self.latency.directory_ms, source)

    async def remove(self, path: str) -> None:
        """Remove a file; open handles go on."""
        self.check(DiskOperation("remove", path))
        self.volume.file(path)
        directory, name = self.volume.parent(path)
        directory.unlink(name)
        await self.wait(self.latency.directory_ms, path)

    async def remove_tree(self, path: str) -> None:
        """Each name is removed on its own: a crash may leave any part of the tree."""
        self.check(DiskOperation("remove_tree", path))
        try:
            node = self.volume.directory(path)
        except FileNotFoundError:
            await self.wait(self.latency.directory_ms, path)
            return
        _empty(node)
        directory, name = self.volume.parent(path)
        directory.unlink(name)
        await self.wait(self.latency.directory_ms, path)

    async def sync_directory(self, path: str) -> None:
        """Durable is what had been done when the call was made."""
        self.check(DiskOperation("sync_directory", path))
        directory = self.volume.directory(path)
        changes = tuple(directory.pending)
        await self.wait(self.latency.sync_ms, path)
        directory.make_durable(changes)

    async def free_bytes(self) -> int:
        """Capacity less the sizes of all files."""
        self.check(DiskOperation("free", ""))
        await self.wait(self.latency.directory_ms, "")
        if self.faults.asked_for_space is not None:
            self.faults.asked_for_space()
        return max(0, self.faults.capacity_bytes - self.volume.used_bytes())

    async def lock(self) -> None:
        """Held until the process ends."""
        self.check(DiskOperation("lock", ""))
        if self._locked:
            raise os_error(errno.EAGAIN, "")
        self._locked = True
        await self.wait(self.latency.directory_ms, "")

    # For SimFile.

    def check(self, operation: DiskOperation) -> None:
        """Count an operation; raise what a fault or the end of the process makes of it."""
        if self._ended:
            raise os_error(errno.ESTALE, operation.path)
        counts = self.counters.operations
        counts[operation.kind] = counts.get(operation.kind, 0) + 1
        hook = self.faults.hook
        if hook is not None:
            error = hook(operation)
            if error is not None:
                raise error

    def check_space(self, path: str, growth: int) -> None:
        """OSError(ENOSPC) when the volume can not grow by so much."""
        capacity = self.faults.capacity_bytes
        if (
            growth > 0
            and capacity < UNLIMITED_BYTES
            and (self.volume.used_bytes() + growth > capacity)
        ):
            raise os_error(errno.ENOSPC, path)

    def draw_ms(self, interval: tuple[float, float], *, slow: bool = False) -> float:
        """A latency."""
        low, high = interval
        drawn = low if high <= low else low + (high - low) * self._rng.random()
        return drawn * self.faults.slowdown + (self.faults.extra_ms if slow else 0.0)

    def cold(self) -> bool:
        """Whether a read at hand shall be refused."""
        probability = self.faults.cold_read_probability
        return probability > 0 and self._rng.random() < probability

    async def wait(self, interval: tuple[float, float], path: str) -> None:
        """Let the latency pass."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_later(self.draw_ms(interval) / 1000, _wake, future)
        await future
        if self._ended:
            raise os_error(errno.ESTALE, path)


class SimFile:
    """An open file: `replication.ports.File`."""

    def __init__(self, disk: SimDisk, path: str, inode: Inode, *, writable: bool) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode
        self._writable = writable
        self._closed = False
        self._busy_until = 0.0

    @property
    def path(self) -> str:
        """As it was opened."""
        return self._path

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        """Everything is in the page cache, unless `cold_read_probability` says otherwise."""
        self._check(DiskOperation("read_nowait", self._path, offset, length))
        if self._disk.cold():
            return None
        return self._slice(offset, length)

    async def read(self, offset: int, length: int) -> bytes:
        """Sees every write called before."""
        self._check(DiskOperation("read", self._path, offset, length))
        self._disk.counters.reads += 1
        data = self._slice(offset, length)
        await self._finish(self._disk.latency.read_ms, slow=True)
        return data

    async def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        """Into the page cache."""
        data = self._take(DiskOperation("write", self._path, offset, _total(buffers)), buffers)
        self._inode.write(offset, data)
        await self._finish(self._disk.latency.write_ms, slow=True)

    async def write_durable(self, offset: int, buffers: Sequence[bytes]) -> None:
        """Into the page cache and, when it completes, on the platter."""
        operation = DiskOperation("write_durable", self._path, offset, _total(buffers))
        data = self._take(operation, buffers)
        index = self._inode.write(offset, data)
        self._disk.counters.syncs += 1
        inode = self._inode
        await self._finish(
            self._disk.latency.sync_ms, lambda: inode.make_write_durable(index), slow=True
        )

    async def sync(self) -> None:
        """Everything written before the call is on the platter."""
        try:
            self._check(DiskOperation("sync", self._path))
        except OSError:
            self._inode.lose_pending()
            raise
        self._disk.counters.syncs += 1
        inode, below = self._inode, self._inode.changes
        await self._finish(self._disk.latency.sync_ms, lambda: inode.make_durable(below), slow=True)

    async def truncate(self, size: int) -> None:
        """Durable only after a sync."""
        self._check(DiskOperation("truncate", self._path, size))
        self._check_writable()
        self._disk.check_space(self._path, size - len(self._inode.content))
        self._inode.truncate(size)
        await self._finish(self._disk.latency.write_ms, slow=True)

    async def size(self) -> int:
        """Bytes."""
        self._check(DiskOperation("size", self._path))
        size = len(self._inode.content)
        await self._finish(self._disk.latency.read_ms)
        return size

    async def close(self) -> None:
        """Nothing happens when it is closed already."""
        if self._closed:
            return
        self._closed = True
        self._disk.check(DiskOperation("close", self._path))
        await self._finish((0.0, 0.0))

    def _check(self, operation: DiskOperation) -> None:
        if self._closed:
            raise os_error(errno.EBADF, self._path)
        if operation.offset < 0 or operation.length < 0:
            raise os_error(errno.EINVAL, self._path)
        self._disk.check(operation)

    def _check_writable(self) -> None:
        if not self._writable:
            raise os_error(errno.EBADF, self._path)

    def _slice(self, offset: int, length: int) -> bytes:
        return self._inode.content.read(offset, length)

    def _take(self, operation: DiskOperation, buffers: Sequence[bytes]) -> bytes:
        self._check(operation)
        self._check_writable()
        end = operation.offset + operation.length
        self._disk.check_space(self._path, end - len(self._inode.content))
        counters = self._disk.counters
        counters.writes += 1
        counters.bytes_written += operation.length
        data = bytes(buffers[0]) if len(buffers) == 1 else b"".join(buffers)
        witness = self._disk.faults.witness
        if witness is not None:
            witness(self._path, self._inode, operation.offset, data)
        return data

    async def _finish(
        self,
        interval: tuple[float, float],
        effect: Callable[[], None] | None = None,
        *,
        slow: bool = False,
    ) -> None:
        """Wait for the operation's turn and latency; carry out `effect` even if cancelled."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        latency = self._disk.draw_ms(interval, slow=slow) / 1000
        future: asyncio.Future[None] = loop.create_future()
        if self._busy_until <= now and latency <= 0:
            loop.call_soon(self._complete, future, effect)
        else:
            after_the_last = math.nextafter(self._busy_until, math.inf)
            self._busy_until = max(now + latency, self._busy_until + latency, after_the_last)
            loop.call_at(self._busy_until, self._complete, future, effect)
        await future

    def _complete(self, future: asyncio.Future[None], effect: Callable[[], None] | None) -> None:
        if self._disk.ended:
            if not future.done():
                future.set_exception(os_error(errno.ESTALE, self._path))
            return
        if effect is not None:
            effect()
        _wake(future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _total(buffers: Sequence[bytes]) -> int:
    return sum(len(buffer) for buffer in buffers)


def _empty(directory: Directory) -> None:
    for name, node in list(directory.entries.items()):
        if isinstance(node, Directory):
            _empty(node)
        directory.unlink(name)


def _list_files(directory: Directory, prefix: str, found: list[str]) -> None:
    for name, node in directory.entries.items():
        if isinstance(node, Directory):
            _list_files(node, f"{prefix}{name}/", found)
        else:
            found.append(prefix + name)
