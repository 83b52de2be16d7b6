"""Bytes of a simulated file, in pages that copies share until they are written.

A crash copies every file of a disk, and a journal is megabytes of which little changes: copying
the bytes took most of a simulation's time.
"""

from __future__ import annotations

from typing import Final

PAGE_BYTES: Final = 4096
_ZEROS: Final = bytes(PAGE_BYTES)
_MANY_BYTES: Final = 16 * PAGE_BYTES
"""Writes from this length on may be all zeros, and share one page."""


class Content:
    """A growing and shrinking run of bytes.

    Invariant: every page has PAGE_BYTES bytes; those beyond `size` are zeros.
    """

    __slots__ = ("_pages", "_size")

    def __init__(self, data: bytes = b"") -> None:
        self._pages: list[bytes] = []
        self._size = 0
        self.write(0, data)

    def __len__(self) -> int:
        return self._size

    def copy(self) -> Content:
        """Another one with the same bytes."""
        other = Content()
        other._pages = list(self._pages)
        other._size = self._size
        return other

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`; fewer than `length` only at the end."""
        end = min(offset + length, self._size)
        if offset >= end:
            return b""
        first, start = divmod(offset, PAGE_BYTES)
        pages = self._pages[first : -(-end // PAGE_BYTES)]
        run = pages[0] if len(pages) == 1 else b"".join(pages)
        return run[start : start + end - offset]

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes at `offset`; a gap before it is zeros."""
        length = len(data)
        if not length:
            return
        if offset + length > self._size:
            self.resize(offset + length)
        pages = self._pages
        number, start = divmod(offset, PAGE_BYTES)
        if start == 0 and length >= _MANY_BYTES and data == bytes(length):
            whole = length // PAGE_BYTES  # a new journal file
            pages[number : number + whole] = [_ZEROS] * whole
            number, data = number + whole, data[whole * PAGE_BYTES :]
            length = len(data)
        at = 0
        while at < length:
            taken = min(PAGE_BYTES - start, length - at)
            if taken == PAGE_BYTES:
                pages[number] = data[at : at + PAGE_BYTES]
            else:
                old = pages[number]
                pages[number] = old[:start] + data[at : at + taken] + old[start + taken :]
            at += taken
            number += 1
            start = 0

    def resize(self, size: int) -> None:
        """Cut, or extend with zeros."""
        pages = self._pages
        count = -(-size // PAGE_BYTES)
        if size < self._size:
            del pages[count:]
            kept = size % PAGE_BYTES
            if kept:
                pages[-1] = pages[-1][:kept] + _ZEROS[kept:]
        else:
            pages.extend([_ZEROS] * (count - len(pages)))
        self._size = size
