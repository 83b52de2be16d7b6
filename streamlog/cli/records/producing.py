"""Sending the lines of an input, each as a record."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import typer

from streamlog.cli.failure import CommandFailed
from streamlog.cli.output import counted
from streamlog.cli.records.input_lines import read_lines
from streamlog.cli.records.parser import LineUnreadable, ParsedRecord, Parser

if TYPE_CHECKING:
    from streamlog.cli.progress import Progress
    from streamlog.cli.records.pacing import Pacer
    from streamlog.cli.records.report import ProduceReport
    from streamlog.client import Producer

QUIET_S: Final = 1.0
"""After Ctrl-C; a command that goes on for longer says why."""


class Production:
    """One writing to a topic.

    Invariant: `progress` counts the records that the producer took, in the order of the lines.
    """

    def __init__(
        self,
        producer: Producer,
        topic: str,
        parse: Parser,
        progress: Progress,
        *,
        pacer: Pacer | None,
        report: ProduceReport | None,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._parse = parse
        self._progress = progress
        self._pacer = pacer
        self._report = report

    async def send_all(self, descriptor: int) -> None:
        """Send what is read, to its end, and wait for the acknowledgements.

        Raises CommandFailed (a line is no record; those before it are stored), BrokenPipeError
        (nobody reads the report), ClientError.
        """
        await self._producer.writer(self._topic)  # an unknown topic is told before reading
        async for lines in read_lines(descriptor):
            for line in lines:
                try:
                    record = self._parse(line)
                except LineUnreadable as error:
                    await self._producer.flush()
                    sent = self._progress.records
                    raise CommandFailed(
                        f"line {sent + 1} is no record: {error}; before it, "
                        f"{counted(sent, 'record')} went out"
                    ) from None
                if self._pacer is not None:
                    await self._pacer.turn()
                await self._send(record)
                self._progress.records += 1
                self._progress.size_bytes += len(line)
            if self._report is not None:
                self._report.check()
        await self._producer.flush()

    async def store_the_rest(self) -> None:
        """After `send_all` was cancelled: wait for the acknowledgements of what went out. Raises
        ClientError."""
        flushing = asyncio.ensure_future(self._producer.flush())
        if not (await asyncio.wait([flushing], timeout=QUIET_S))[0]:
            typer.echo("waiting for what went out to be stored; Ctrl-C again gives up", err=True)
        await flushing

    async def _send(self, record: ParsedRecord) -> None:
        from streamlog.client import NotReady

        delivery = None
        if self._report is not None:
            delivery = self._report.delivery(self._progress.records + 1)
        while True:
            try:
                self._producer.send_nowait(
                    self._topic,
                    record.value,
                    key=record.key,
                    headers=record.headers,
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms,
                    on_delivery=delivery,
                )
                return
            except NotReady:
                await self._producer.room()
