"""Reading as a member of a consumer group: what was printed is committed, and nothing else.

A batch is committed once it was written and flushed: by the consumer itself when the next one is
asked for, and at the end, also after Ctrl-C. Who can not write commits nothing of it; somebody else,
or the next one, prints it again.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.records.consuming import POLL_MS, RECORDS_AT_ONCE, nobody_reads
from streamlog.cli.records.positions import Range

if TYPE_CHECKING:
    from streamlog.cli.records.printer import Printer
    from streamlog.client import Consumer, TopicPartition
    from streamlog.client.consume.starting import Policy

NOTHING_ASSIGNED_S: Final = 10.0
"""A member that shall stop at the end, and is given nothing for so long, has nothing to read."""
SETTLE_TIMEOUT_S: Final = 5.0
"""At the end: how long the last commit may take."""


def first_position(wanted: Range) -> Policy:
    """Where partitions in which the group has no position are begun. Raises CommandFailed for
    places that are not for groups."""
    place, now_ms = wanted.start, time.time_ns() // 1_000_000
    if wanted.until is None:
        match place.kind:
            case "start":
                return "earliest"
            case "end":
                return "latest"
            case "time" if place.number <= now_ms:
                return timedelta(milliseconds=now_ms - place.number)
            case _:
                pass
    raise CommandFailed(
        "--from with --group says where to begin without a position of the group: start, end or a"
        " past @TIME; 'streamlog group reset' moves a group",
        EXIT_USAGE,
    )


class GroupConsumption:
    """One membership.

    Invariant: what is handed out and not `_printed` is never committed.
    """

    def __init__(self, consumer: Consumer, *, exit_at_end: bool) -> None:
        self._consumer = consumer
        self._exit_at_end = exit_at_end
        self._printed = True
        self._ends: dict[TopicPartition, int] = {}
        """Of the partitions that this member was given, as they were then."""
        self._idle_since_s: float | None = None

    async def print(self, printer: Printer, count: int | None) -> int:
        """Print until the end, or so many records; returns their number.

        Raises BrokenPipeError when nobody reads the output, ClientError.
        """
        printed = 0
        try:
            while count is None or printed < count:
                if self._exit_at_end and await self._at_end():
                    break
                printed += await self._print_some(
                    printer,
                    RECORDS_AT_ONCE if count is None else min(count - printed, RECORDS_AT_ONCE),
                )
        finally:
            if self._printed:
                await self._settle()
        return printed

    async def _print_some(self, printer: Printer, wanted: int) -> int:
        polled = await self._consumer.getmany(max_records=wanted, timeout_ms=POLL_MS)
        if not polled:
            if nobody_reads():
                raise BrokenPipeError
            return 0
        self._printed = False
        out = sys.stdout.buffer
        for records in polled.values():
            out.write(b"".join(map(printer, records)))
        out.flush()
        self._printed = True
        return sum(map(len, polled.values()))

    async def _settle(self) -> None:
        """Commit what was printed last; without it that is printed again the next time."""
        from streamlog.client import ClientError

        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                await self._consumer.commit()
        except (ClientError, TimeoutError) as error:
            why = f"not within {SETTLE_TIMEOUT_S:.0f} s" if not str(error) else str(error)
            typer.echo(
                f"note: the last records were not committed, and will be printed again: {why}",
                err=True,
            )

    async def _at_end(self) -> bool:
        """Whether this member has read what there was when it was given its partitions."""
        member = self._consumer.membership
        now_s = asyncio.get_running_loop().time()
        if member.phase != "stable" or not member.assigned:
            if self._idle_since_s is None:
                self._idle_since_s = now_s
            return member.phase == "stable" and now_s - self._idle_since_s >= NOTHING_ASSIGNED_S
        self._idle_since_s = None
        new = [pair for pair in member.assigned if pair not in self._ends]
        if new:
            self._ends |= await self._consumer.end_offsets(new)
        for pair in member.assigned:
            if await self._position(pair) < self._ends[pair]:
                return False
        return True

    async def _position(self, pair: TopicPartition) -> int:
        """Where this member is; before everything in one that was taken away meanwhile."""
        try:
            return await self._consumer.position(pair)
        except ValueError:
            return -1


def tell_assigned(pairs: list[TopicPartition]) -> None:
    """For somebody at a terminal: nothing moves while the group settles."""
    if sys.stderr.isatty():
        _tell("reads", pairs)


def tell_given_up(pairs: list[TopicPartition]) -> None:
    """Likewise."""
    if sys.stderr.isatty():
        _tell("gives up", pairs)


def _tell(what: str, pairs: list[TopicPartition]) -> None:
    from streamlog.cli.groups.cells import partitions_text

    named = partitions_text(sorted(pairs))
    if named:
        typer.echo(f"note: this member {what} {named}", err=True)
