"""The few system calls whose form depends on the platform, each releasing the GIL once.

Linux is the production platform: a durable write is one `pwritev` with RWF_DSYNC, and a read that
must not wait is `preadv` with RWF_NOWAIT. Elsewhere (macOS) the same promises are kept with more
calls: a durable write is a write and then F_FULLFSYNC, since plain fsync stops at the drive's
cache there, and nothing is ever said to be at hand.

Why one call: a thread that comes back from a system call must win the GIL back. With two calls a
flush (`pwrite`, `fdatasync`) a busy event loop makes it wait twice, and the time between them is
time in which nothing is on its way to the disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Sequence
from typing import Protocol

IOV_MAX = os.sysconf("SC_IOV_MAX")
"""Most buffers one vectored call takes (1,024 on Linux)."""

SCRATCH_BYTES = 1 << 20
"""Reads at hand up to this size go through one buffer that is kept."""


class FileCalls(Protocol):
    """What the platform offers on a descriptor. Every failure is an OSError."""

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
        """Write all of the buffers at the offset, into the page cache."""
        ...

    def write_durable(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
        """Write all of the buffers; they are on the disk when it returns."""
        ...

    def sync_data(self, descriptor: int) -> None:
        """What was written, and the size, are on the disk when it returns."""
        ...

    def sync_directory(self, descriptor: int) -> None:
        """The directory's entries are on the disk when it returns."""
        ...

    def read_at_hand(self, descriptor: int, offset: int, length: int) -> bytes | None:
        """Bytes from the page cache; None when some are not there. Fewer only at the end."""
        ...


def read_fully(descriptor: int, offset: int, length: int) -> bytes:
    """Read `length` bytes from `offset`; fewer only at the end of the file."""
    data = os.pread(descriptor, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    got = len(data)
    while got < length and (data := os.pread(descriptor, length - got, offset + got)):
        parts.append(data)
        got += len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def gathered(buffers: Sequence[bytes]) -> Sequence[bytes]:
    """The same bytes in at most IOV_MAX buffers that are not empty.

    So many buffers are small ones, and joining neighbours costs less than a second durable call.
    """
    if all(buffers) and len(buffers) <= IOV_MAX:
        return buffers
    filled = [buffer for buffer in buffers if buffer]
    per_group = -(-len(filled) // IOV_MAX)
    if per_group <= 1:
        return filled
    return [b"".join(filled[at : at + per_group]) for at in range(0, len(filled), per_group)]


def _write_fully(descriptor: int, buffers: Sequence[bytes], offset: int, flags: int | None) -> None:
    """Write until nothing is left: a call may take less than it was given (over 2 GiB, signals,
    a disk that fills up; the next call then says why)."""
    rest: Sequence[bytes | memoryview] = gathered(buffers)
    while rest:
        if flags is None:
            written = os.pwritev(descriptor, rest, offset)
        else:
            written = os.pwritev(descriptor, rest, offset, flags)
        if written == 0:
            raise OSError(errno.EIO, "the disk took no bytes of a write")
        offset += written
        rest = _after(rest, written)


def _after(buffers: Sequence[bytes | memoryview], written: int) -> list[bytes | memoryview]:
    """What is left of the buffers behind their first `written` bytes."""
    for index, buffer in enumerate(buffers):
        if written < len(buffer):
            return [memoryview(buffer)[written:], *buffers[index + 1 :]]
        written -= len(buffer)
    return []


class PortableCalls:
    """The slower way that is as safe: for macOS, and for whatever lacks the RWF_ flags."""

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
        _write_fully(descriptor, buffers, offset, None)

    def write_durable(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
        _write_fully(descriptor, buffers, offset, None)
        self.sync_data(descriptor)

    def sync_data(self, descriptor: int) -> None:
        full_sync: int | None = getattr(fcntl, "F_FULLFSYNC", None)
        if full_sync is None:
            os.fsync(descriptor)
        else:
            fcntl.fcntl(descriptor, full_sync)

    def sync_directory(self, descriptor: int) -> None:
        self.sync_data(descriptor)

    def read_at_hand(self, descriptor: int, offset: int, length: int) -> bytes | None:
        del descriptor, offset, length
        return None


if sys.platform == "linux":

    class LinuxCalls:
        """One call for each promise. Not thread-safe in `read_at_hand`: the loop's thread only."""

        def __init__(self) -> None:
            self._scratch = bytearray(SCRATCH_BYTES)
            self._nowait = True

        def write(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
            _write_fully(descriptor, buffers, offset, None)

        def write_durable(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
            _write_fully(descriptor, buffers, offset, os.RWF_DSYNC)

        def sync_data(self, descriptor: int) -> None:
            os.fdatasync(descriptor)

        def sync_directory(self, descriptor: int) -> None:
            os.fsync(descriptor)

        def read_at_hand(self, descriptor: int, offset: int, length: int) -> bytes | None:
            if not self._nowait:
                return None
            # The kept buffer spares the zeroing of a new one; only what was read is copied out.
            scratch = self._scratch if length <= SCRATCH_BYTES else bytearray(length)
            with memoryview(scratch) as whole, whole[:length] as view:
                try:
                    got = os.preadv(descriptor, [view], offset, os.RWF_NOWAIT)
                except BlockingIOError:
                    return None
                except OSError as error:
                    if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
                        raise
                    # This file system can not tell; every read goes to a thread from now on.
                    self._nowait = False
                    return None
                if got < length and offset + got < os.fstat(descriptor).st_size:
                    return None
                return bytes(view[:got])


def platform_calls() -> FileCalls:
    """The calls for the platform this runs on."""
    if sys.platform == "linux":
        return LinuxCalls()
    return PortableCalls()
