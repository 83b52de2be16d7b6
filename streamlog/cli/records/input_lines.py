"""The lines of standard input or of a file, as they come."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from streamlog.cli.failure import EXIT_USAGE, CommandFailed

BLOCK_BYTES: Final = 256 * 1024
BLOCKS_AHEAD: Final = 4
"""Blocks that are read and not yet sent; then the reader waits."""
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""No batch holds more; a longer line ends the command instead of filling the memory."""


def open_input(file: Path | None) -> int:
    """The descriptor to read; standard input for None and "-". Raises CommandFailed."""
    if file is None or str(file) == "-":
        return sys.stdin.fileno()
    try:
        if file.is_dir():
            raise CommandFailed(f"{file} is a directory", EXIT_USAGE)
        return os.open(file, os.O_RDONLY)
    except OSError as error:
        raise CommandFailed(f"can not read {file}: {error.strerror}", EXIT_USAGE) from error


async def read_lines(descriptor: int) -> AsyncIterator[list[bytes]]:
    """Whole lines as they come, without their ends; the last one may lack its newline.

    A thread reads, because whether a descriptor can be polled depends on what it is. It is a
    daemon on the bare descriptor: Ctrl-C must not wait for a terminal, nor for a lock of `sys`.
    """
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room = threading.Semaphore(BLOCKS_AHEAD)

    def read() -> None:
        block: bytes | OSError = b"more"
        while block and not isinstance(block, OSError):
            room.acquire()
            try:
                block = os.read(descriptor, BLOCK_BYTES)
            except OSError as error:
                block = error
            try:
                loop.call_soon_threadsafe(blocks.put_nowait, block)
            except RuntimeError:
                return  # the loop is closed: the command ended first

    threading.Thread(target=read, daemon=True).start()
    rest: list[bytes] = []
    rest_bytes = 0
    while block := await blocks.get():
        if isinstance(block, OSError):
            raise CommandFailed(f"can not read the input: {block.strerror}")
        room.release()
        *lines, last = block.split(b"\n")
        if lines:
            lines[0] = b"".join([*rest, lines[0]])
            rest, rest_bytes = [], 0
            yield [line.removesuffix(b"\r") for line in lines]
        rest.append(last)
        rest_bytes += len(last)
        if rest_bytes > LINE_BYTES_MAX:
            raise CommandFailed(f"a line is longer than {LINE_BYTES_MAX} bytes")
    if tail := b"".join(rest):
        yield [tail.removesuffix(b"\r")]
