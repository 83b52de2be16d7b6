"""A disk for trying on paper what a node would do: it reads a directory, and keeps every change in
memory.

Two uses: the store's decoders are given it to read with, and a whole recovery runs on it, which
writes checkpoints and segments. The memory it takes is what was written, in pages of 64 KiB; a
recovery writes about as much as the journal holds.

Invariant: files are opened for reading only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

PAGE_BYTES: Final = 64 << 10
FREE_BYTES: Final = 1 << 50
"""What it says is free: there is no end to paper."""


class _Content:
    """The bytes of a file: those on the disk, and pages that were changed."""

    def __init__(self, origin: Path | None, size: int, count: Callable[[int], None]) -> None:
        self.size = size
        self._origin = origin
        self._origin_bytes = size if origin is not None else 0
        """Below this, what no page holds is as on the disk; above it is zero."""
        self._pages: dict[int, bytearray] = {}
        self._count = count

    def read(self, offset: int, length: int) -> bytes:
        """Fewer bytes at the end of the file. Raises OSError."""
        length = max(0, min(length, self.size - offset))
        if not self._pages and offset + length <= self._origin_bytes:
            return self._read_origin(offset, length)
        parts: list[bytes] = []
        while length > 0:
            number, within = divmod(offset, PAGE_BYTES)
            step = min(length, PAGE_BYTES - within)
            page = self._pages.get(number) or self._read_page(number)
            parts.append(bytes(page[within : within + step]))
            offset, length = offset + step, length - step
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        """Change bytes, and the size."""
        self.size = max(self.size, offset + len(data))
        at = 0
        while at < len(data):
            number, within = divmod(offset + at, PAGE_BYTES)
            page = self._pages.get(number)
            if page is None:
                page = self._pages[number] = self._read_page(number)
            step = min(len(data) - at, PAGE_BYTES - within)
            page[within : within + step] = data[at : at + step]
            at += step

    def truncate(self, size: int) -> None:
        """Cut, or extend with zeros."""
        if size < self.size:
            for number in [n for n in self._pages if n * PAGE_BYTES >= size]:
                del self._pages[number]
            last = self._pages.get(size // PAGE_BYTES)
            if last is not None:
                last[size % PAGE_BYTES :] = bytes(PAGE_BYTES - size % PAGE_BYTES)
            self._origin_bytes = min(self._origin_bytes, size)
        self.size = size

    def _read_page(self, number: int) -> bytearray:
        begin = number * PAGE_BYTES
        length = max(0, min(PAGE_BYTES, self._origin_bytes - begin))
        return bytearray(self._read_origin(begin, length).ljust(PAGE_BYTES, b"\0"))

    def _read_origin(self, offset: int, length: int) -> bytes:
        if length == 0 or self._origin is None:
            return b""
        self._count(length)
        descriptor = os.open(self._origin, os.O_RDONLY)
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)


class PaperFile:
    """`replication.ports.File` on paper; nothing waits, and all is durable at once."""

    def __init__(self, path: str, content: _Content) -> None:
        self._path, self._content = path, content

    @property
    def path(self) -> str:
        return self._path

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        return self._content.read(offset, length)

    async def read(self, offset: int, length: int) -> bytes:
        return self._content.read(offset, length)

    async def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        self._content.write(offset, b"".join(buffers))

    async def write_durable(self, offset: int, buffers: Sequence[bytes]) -> None:
        self._content.write(offset, b"".join(buffers))

    async def sync(self) -> None:
        pass

    async def truncate(self, size: int) -> None:
        self._content.truncate(size)

    async def size(self) -> int:
        return self._content.size

    async def close(self) -> None:
        pass


class PaperDisk:
    """`replication.ports.Disk` on paper. What a recovery does not do is refused: locking, removing
    trees, renaming directories."""

    def __init__(
        self,
        root: Path,
        on_read: Callable[[int], None] = lambda _: None,
        *,
        only: str | None = None,
    ) -> None:
        """`on_read` hears of the bytes that are read; `only`: of the directory of this file
        nothing else is seen."""
        self._root, self._on_read = root, on_read
        self._only = only.rpartition("/")[::2] if only is not None else None
        self._contents: dict[str, _Content | None] = {}
        """None: removed."""
        self._directories: dict[str, None] = {}
        """Those that were made."""

    def showing_only(self, path: str) -> PaperDisk:
        """The directory as it is, with no other file beside this one."""
        return PaperDisk(self._root, self._on_read, only=path)

    async def open(
        self, path: str, *, create: bool = False, writable: bool = True, journal: bool = False
    ) -> PaperFile:
        del writable, journal
        content = self._find(path)
        if create:
            if content is not None:
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            content = self._contents[path] = _Content(None, 0, self._on_read)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return PaperFile(path, content)

    async def list_directory(self, path: str) -> Sequence[str]:
        try:
            names = dict.fromkeys(entry.name for entry in (self._root / path).iterdir())
        except FileNotFoundError:
            names = {}
        if self._only is not None and path == self._only[0]:
            return [name for name in sorted(names) if name == self._only[1]]
        for changed, content in (*self._contents.items(), *self._directories.items()):
            parent, _, name = changed.rpartition("/")
            if parent == path:
                if changed in self._contents and content is None:
                    names.pop(name, None)
                else:
                    names[name] = None
        return sorted(names)

    async def make_directory(self, path: str) -> None:
        while path:
            if not (self._root / path).is_dir():
                self._directories[path] = None
            path = path.rpartition("/")[0]

    async def rename(self, source: str, target: str) -> None:
        content = self._find(source)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
        self._contents[source], self._contents[target] = None, content

    async def remove(self, path: str) -> None:
        if self._find(path) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._contents[path] = None

    async def remove_tree(self, path: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    async def sync_directory(self, path: str) -> None:
        if path not in self._directories and not (self._root / path).is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    async def free_bytes(self) -> int:
        return FREE_BYTES

    async def lock(self) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self._root))

    def _find(self, path: str) -> _Content | None:
        """The file as it is now; None when there is none."""
        if path not in self._contents:
            origin = self._root / path
            try:
                size = origin.stat().st_size
            except FileNotFoundError:
                return None
            if not origin.is_file():
                raise OSError(errno.EISDIR, "not a regular file", path)
            self._contents[path] = _Content(origin, size, self._on_read)
        return self._contents[path]
