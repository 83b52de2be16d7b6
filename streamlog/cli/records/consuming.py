"""Reading partitions from where to where, and printing what comes."""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.records.positions import Place, Range

if TYPE_CHECKING:
    from streamlog.cli.records.printer import Printer
    from streamlog.client import Admin, Consumer, PositionReset, TopicPartition

POLL_MS: Final = 500
RECORDS_AT_ONCE: Final = 5_000
GROWTH_CHECK_S: Final = 3.0
"""How often somebody who waits for new records looks for new partitions."""


RANGES_SHOWN_MAX: Final = 5
"""Partitions that an error names."""


class Consumption:
    """One reading of topics.

    Invariant: with an end, no record at or behind it is printed, and reading stops when every
    partition has reached its own.
    """

    def __init__(
        self,
        consumer: Consumer,
        admin: Admin,
        topics: Sequence[str],
        partitions: Sequence[int] | None,
        wanted: Range,
    ) -> None:
        """`partitions`: of each topic; None: all, those that are added meanwhile included."""
        self._consumer = consumer
        self._admin = admin
        self._topics = topics
        self._partitions = partitions
        self._range = wanted
        self._ends: dict[TopicPartition, int] | None = None
        self._open_ends: dict[TopicPartition, int] = {}
        """Of the partitions that have not reached theirs."""

    async def begin(self) -> None:
        """Place the consumer.

        Raises CommandFailed (no such partition, no such offset), ClientError.
        """
        pairs = await self._pairs()
        starts = await self._consumer.beginning_offsets(pairs)
        ends = await self._consumer.end_offsets(pairs)
        bounds = {pair: (starts[pair], ends[pair]) for pair in ends}
        self._refuse_outside(bounds)
        places = await self._offsets(self._range.start, bounds)
        if self._range.until is not None:
            self._ends = await self._offsets(self._range.until, bounds)
            self._open_ends = dict(self._ends)
        self._consumer.assign(pairs)
        for pair, offset in places.items():
            await self._consumer.seek(pair, offset)

    async def _pairs(self) -> list[tuple[str, int]]:
        pairs = []
        for topic in self._topics:
            there = await self._consumer.partitions_for(topic)
            for number in self._partitions or ():
                if number not in there:
                    raise CommandFailed(
                        f"{topic} has partitions 0 to {len(there) - 1}, not {number}", EXIT_USAGE
                    )
            pairs += [(topic, number) for number in self._partitions or there]
        return list(dict.fromkeys(pairs))

    def _refuse_outside(self, bounds: dict[TopicPartition, tuple[int, int]]) -> None:
        """Of several partitions an offset may lie outside of some, but not of all."""
        place = self._range.start
        if place.kind != "offset" or not bounds:
            return
        if not any(start <= place.number <= end for start, end in bounds.values()):
            ranges = ", ".join(
                f"{pair.topic}/{pair.partition} has {start} to {end}"
                for pair, (start, end) in list(bounds.items())[:RANGES_SHOWN_MAX]
            )
            more = ", ..." if len(bounds) > RANGES_SHOWN_MAX else ""
            raise CommandFailed(f"offset {place.number} is out of range: {ranges}{more}")

    async def _offsets(
        self, place: Place, bounds: dict[TopicPartition, tuple[int, int]]
    ) -> dict[TopicPartition, int]:
        """The place in each partition."""
        match place.kind:
            case "start":
                return {pair: start for pair, (start, _) in bounds.items()}
            case "end":
                return {pair: end for pair, (_, end) in bounds.items()}
            case "offset":
                number = place.number
                return {p: min(max(number, start), end) for p, (start, end) in bounds.items()}
            case "last":
                return {p: max(start, end - place.number) for p, (start, end) in bounds.items()}
            case "time":
                found = await self._consumer.offsets_for_times(dict.fromkeys(bounds, place.number))
                return {p: min(at.offset, bounds[p][1]) for p, at in found.items()}

    async def print(self, printer: Printer, count: int | None) -> int:
        """Print until the end, or so many records; returns their number.

        Raises BrokenPipeError when nobody reads the output, ClientError.
        """
        printed = 0
        grown_s = asyncio.get_running_loop().time() + GROWTH_CHECK_S
        out = sys.stdout.buffer
        while count is None or printed < count:
            if self._ends is not None and await self._at_end():
                break
            wanted = RECORDS_AT_ONCE if count is None else min(count - printed, RECORDS_AT_ONCE)
            polled = await self._consumer.getmany(max_records=wanted, timeout_ms=POLL_MS)
            for pair, records in polled.items():
                if self._ends is not None:
                    end = self._ends[pair]
                    records = [record for record in records if record.offset < end]
                out.write(b"".join(map(printer, records)))
                printed += len(records)
            out.flush()
            if not polled and nobody_reads():
                raise BrokenPipeError
            if self._ends is None and asyncio.get_running_loop().time() > grown_s:
                await self._take_new_partitions()
                grown_s = asyncio.get_running_loop().time() + GROWTH_CHECK_S
        return printed

    async def _take_new_partitions(self) -> None:
        """Read partitions that were added, from their beginning. Raises ClientError."""
        from streamlog.client import ClientError

        if self._partitions is not None:
            return
        pairs = []
        for topic in self._topics:
            try:
                # The consumer itself would hear of them within a minute.
                described = await self._admin.describe_topic(topic)
            except ClientError as error:
                if not error.retriable:
                    raise
                return  # the next time
            pairs += [(topic, partition.partition) for partition in described.partitions]
        if len(pairs) > len(self._consumer.assignment):
            self._consumer.assign(pairs, start="earliest")

    async def _at_end(self) -> bool:
        """Whether every partition is; those that are read no further."""
        for pair, end in list(self._open_ends.items()):
            if await self._consumer.position(pair) >= end:
                self._consumer.pause(pair)
                del self._open_ends[pair]
        return not self._open_ends


def tell_reset(reset: PositionReset) -> None:
    """Records were let go before they could be printed."""
    typer.echo(
        f"note: {reset.topic}/{reset.partition} begins at offset {reset.to_offset} by now; what was"
        f" from {reset.from_offset} on was let go before it could be read",
        err=True,
    )


def nobody_reads() -> bool:
    """Whether the pipe that standard output goes to was closed at its other end."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
