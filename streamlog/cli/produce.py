"""`streamlog produce`: lines of standard input or of a file become records."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.options import examples, whole_number
from streamlog.cli.remote import BOOTSTRAP_DEFAULT, Bootstrap, policy, run

PARTITION_MAX = 2**31 - 1
TIMEOUT_S_MAX = 86_400
BLOCK_BYTES: Final = 256 * 1024
BLOCKS_AHEAD: Final = 4
"""Blocks that are read and not yet sent; then the reader waits."""
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""No batch holds more; a longer line ends the command instead of filling the memory."""


class Compression(StrEnum):
    """What batches are compressed with."""

    ZSTD = "zstd"
    NONE = "none"


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command(
        "produce",
        epilog=examples(
            "echo hello | streamlog produce greetings",
            "streamlog produce orders --key-separator : < orders.txt",
            "streamlog produce orders --file orders.txt -H source=import --null NULL",
        ),
    )(produce)


def produce(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Topic to write to.")],
    key: Annotated[str | None, typer.Option("--key", "-k", help="One key for all lines.")] = None,
    key_separator: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="What stands between key and value; a line without it has no key."
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", "-H", metavar="NAME=VALUE", help="For every record; may be repeated."
        ),
    ] = None,
    null: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A value that is this is null.")
    ] = None,
    partition: Annotated[
        int | None,
        typer.Option(
            "--partition",
            "-p",
            metavar="N",
            parser=whole_number(0, PARTITION_MAX),
            help="Default: by the key; without a key, spread.",
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Read this instead of standard input.")] = None,
    compression: Annotated[Compression, typer.Option(help="Of the batches.")] = Compression.ZSTD,
    timeout: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            parser=whole_number(1, TIMEOUT_S_MAX),
            help="How long to try to store a record before giving up.",
        ),
    ] = 30,
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    """Write each line of the input as a record.

    Lines are sent as they come. The command ends with its input, when a majority of the replicas
    has every record on disk: that is what exit code 0 says.
    """
    if key is not None and key_separator is not None:
        raise CommandFailed("--key and --key-separator exclude each other", EXIT_USAGE)
    if key_separator == "":
        raise CommandFailed("--key-separator is empty", EXIT_USAGE)
    headers = [_header(text) for text in header or []] or None
    separator = None if key_separator is None else key_separator.encode()
    null_value = None if null is None else null.encode()
    source = _open(file)

    async def work() -> None:
        from streamlog.client import NotReady, Producer

        count = 0
        async with Producer(
            bootstrap,
            compression=compression,
            delivery_timeout_ms=timeout * 1_000,
            policy=policy(),
        ) as producer:
            await producer.writer(topic)  # an unknown topic is told before anything is read
            async for lines in _lines(source):
                for line in lines:
                    value: bytes | None = line
                    record_key = None if key is None else key.encode()
                    if separator is not None:
                        head, found, rest = line.partition(separator)
                        record_key, value = (head, rest) if found else (None, line)
                    if value == null_value:
                        value = None
                    while True:
                        try:
                            producer.send_nowait(
                                topic, value, key=record_key, headers=headers, partition=partition
                            )
                            break
                        except NotReady:
                            await producer.room()
                    count += 1
            await producer.flush()
        typer.echo(f"{count} records are stored", err=True)

    run(work(), bootstrap)


def _header(text: str) -> tuple[str, bytes]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandFailed(f"--header {text!r} is not NAME=VALUE", EXIT_USAGE)
    return name, value.encode()


def _open(file: Path | None) -> int:
    """The descriptor to read. Raises CommandFailed."""
    if file is None:
        return sys.stdin.fileno()
    try:
        if file.is_dir():
            raise CommandFailed(f"{file} is a directory", EXIT_USAGE)
        return os.open(file, os.O_RDONLY)
    except OSError as error:
        raise CommandFailed(f"can not read {file}: {error.strerror}", EXIT_USAGE) from error


async def _lines(descriptor: int) -> AsyncIterator[list[bytes]]:
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
