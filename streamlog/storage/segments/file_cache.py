"""A bounded set of open segment files: thousands of segments under `ulimit -n 1024`.

A file is opened at its first use and stays open until others push it out, least recently used
first. A file in use is never closed under its user; a file that was written is fsynced before it
is closed, so that no failed writeback can go unnoticed. When every file is in use, the next one
waits: the limit holds always.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from replication.errors import invariant
from replication.ports import Disk, File

OPEN_FILES_MAX: Final = 512
"""Default number of segment files that a node keeps open."""


class _Entry:
    __slots__ = ("dirty", "file", "forgotten", "users")

    def __init__(self, file: File) -> None:
        self.file = file
        self.users = 0
        self.dirty = False
        self.forgotten = False


class FileCache:
    """Open files by path. Invariant: at most `limit` are open or being opened."""

    def __init__(self, disk: Disk, limit: int = OPEN_FILES_MAX) -> None:
        invariant(limit >= 1, "at least one file can be open", limit=limit)
        self._disk = disk
        self._limit = limit
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._opening: dict[str, asyncio.Future[None]] = {}
        self._open_count = 0
        """Descriptors taken, those being opened or closed included."""
        self._waiters: OrderedDict[int, asyncio.Future[None]] = OrderedDict()
        self._waiter_count = 0

    @property
    def limit(self) -> int:
        """Most files that are open at a time."""
        return self._limit

    @property
    def open_count(self) -> int:
        """Files that are open, or being opened or closed."""
        return self._open_count

    def peek(self, path: str) -> File | None:
        """The file when it is open now: for calls that do not wait, within this step."""
        entry = self._entries.get(path)
        if entry is None:
            return None
        self._entries.move_to_end(path)
        return entry.file

    @asynccontextmanager
    async def use(
        self, path: str, *, create: bool = False, write: bool = False
    ) -> AsyncIterator[File]:
        """The open file for the time of a `with`; `write`: it is fsynced before it is closed."""
        entry = await self._take(path, create=create)
        if write:
            entry.dirty = True
        try:
            yield entry.file
        finally:
            await self._done(path, entry)

    async def sync(self, path: str) -> None:
        """Make what was written to the file durable (fdatasync)."""
        entry = await self._take(path, create=False)
        entry.dirty = False
        try:
            await entry.file.sync()
        except BaseException:  # also when only its caller was cancelled: nobody heard how it ended
            entry.dirty = True
            raise
        finally:
            await self._done(path, entry)

    async def forget(self, path: str) -> None:
        """The file is going to be removed or moved: close it, as soon as nobody uses it."""
        pending = self._opening.get(path)
        if pending is not None:
            await asyncio.wait((pending,))
        entry = self._entries.pop(path, None)
        if entry is None:
            return
        entry.forgotten = True
        if entry.users == 0:
            await self._close(entry)

    async def forget_directory(self, directory: str) -> None:
        """The files of a directory are about to be removed or replaced, or were."""
        known = dict.fromkeys((*self._entries, *self._opening))
        for path in [path for path in known if path.startswith(f"{directory}/")]:
            await self.forget(path)

    async def close(self) -> None:
        """Close every file; none may be in use."""
        while self._entries:
            _, entry = self._entries.popitem(last=False)
            invariant(entry.users == 0, "no file is in use at the end", path=entry.file.path)
            if entry.dirty:
                await entry.file.sync()
            await self._close(entry)

    async def _take(self, path: str, *, create: bool) -> _Entry:
        while True:
            entry = self._entries.get(path)
            if entry is not None:
                invariant(not create, "the file is there already", path=path)
                self._entries.move_to_end(path)
                entry.users += 1
                return entry
            pending = self._opening.get(path)
            if pending is None:
                break
            await asyncio.wait((pending,))
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._opening[path] = opened
        try:
            await self._reserve()
            try:
                entry = _Entry(await self._disk.open(path, create=create))
            except BaseException:
                self._free()
                raise
            entry.users = 1
            self._entries[path] = entry
            return entry
        finally:
            del self._opening[path]
            opened.set_result(None)

    async def _done(self, path: str, entry: _Entry) -> None:
        entry.users -= 1
        if entry.users > 0:
            return
        if entry.forgotten:
            await self._close(entry)
        else:
            invariant(self._entries.get(path) is entry, "an open file is known", path=path)
            # Its place can be had by whoever waits: the waiter closes it.
            self._wake()

    async def _reserve(self) -> None:
        """Take the place of one descriptor, closing the least recently used when needed."""
        while self._open_count >= self._limit:
            victim = next((p for p, e in self._entries.items() if e.users == 0), None)
            if victim is None:
                await self._wait()
                continue
            entry = self._entries[victim]
            if entry.dirty:
                await self.sync(victim)
                continue
            del self._entries[victim]
            await self._close(entry)
        self._open_count += 1

    async def _close(self, entry: _Entry) -> None:
        try:
            await entry.file.close()
        finally:
            self._free()

    def _free(self) -> None:
        self._open_count -= 1
        self._wake()

    async def _wait(self) -> None:
        key = self._waiter_count
        self._waiter_count += 1
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[key] = waiter
        try:
            await waiter
        except asyncio.CancelledError:
            self._waiters.pop(key, None)
            self._wake()  # It may have been woken already: then it is somebody else's turn.
            raise

    def _wake(self) -> None:
        while self._waiters:
            _, waiter = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                return
