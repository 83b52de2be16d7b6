"""`streamlog produce`: lines of standard input become records."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.remote import BOOTSTRAP_DEFAULT, Bootstrap, run


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("produce")(produce)


def produce(
    topic: Annotated[str, typer.Argument(help="Topic to write to.")],
    key: Annotated[str | None, typer.Option("--key", "-k", help="One key for all lines.")] = None,
    key_separator: Annotated[
        str | None, typer.Option(help="What stands between key and value in a line.")
    ] = None,
    partition: Annotated[
        int | None, typer.Option("--partition", "-p", min=0, help="Default: by the key.")
    ] = None,
    bootstrap: Bootstrap = BOOTSTRAP_DEFAULT,
) -> None:
    """Write each line of standard input as a record, and wait until a majority has it on disk.

    echo hello | streamlog produce greetings
    """
    if key is not None and key_separator is not None:
        raise CommandFailed("--key and --key-separator exclude each other", EXIT_USAGE)

    async def work() -> None:
        from streamlog.client import NotReady, Producer

        count = 0
        async with Producer(bootstrap) as producer:
            for line in sys.stdin.buffer:
                value = line.rstrip(b"\r\n")
                record_key = None if key is None else key.encode()
                if key_separator is not None:
                    head, found, rest = value.partition(key_separator.encode())
                    record_key, value = (head, rest) if found else (None, value)
                while True:
                    try:
                        producer.send_nowait(topic, value, key=record_key, partition=partition)
                        break
                    except NotReady:
                        await producer.room()
                count += 1
            await producer.flush()
        typer.echo(f"{count} records are stored", err=True)

    run(work(), bootstrap)
