"""Writing and reading as fast as the client can, or at a rate, and measuring it.

Only the public client is used: what is measured is what an application gets.
"""

from __future__ import annotations

import asyncio
import math
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamlog.cli.bench.latency import Latencies
from streamlog.cli.failure import CommandFailed
from streamlog.cli.output import counted
from streamlog.cli.records.pacing import Pacer

if TYPE_CHECKING:
    from streamlog.cli.progress import Progress
    from streamlog.client import ClientError, Consumer, Producer

VALUES_MAX: Final = 1_024
VALUES_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of the different values that are sent in turn."""
YIELD_EVERY_RECORDS: Final = 256
RECORDS_AT_ONCE: Final = 10_000
POLL_MS: Final = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop; None: not because of that."""

    records: int | None
    seconds: float | None


def values_of(record_bytes: int) -> list[bytes]:
    """Different values of that size, hexadecimal digits: zstd halves them, as it does much of
    what applications write."""
    count = max(1, min(VALUES_MAX, VALUES_BYTES_MAX // record_bytes))
    return [os.urandom((record_bytes + 1) // 2).hex().encode()[:record_bytes] for _ in range(count)]


class ProduceLoad:
    """Writes records without keys to a topic.

    Invariant: after `run`, every record that `progress` counts was acknowledged.
    """

    def __init__(
        self,
        producer: Producer,
        topic: str,
        progress: Progress,
        *,
        record_bytes: int,
        rate: int | None,
        latencies: Latencies | None,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._progress = progress
        self._values = values_of(record_bytes)
        self._rate = rate
        self._latencies = latencies
        self._failed = 0
        self._first_error: ClientError | None = None

    async def run(self, limits: Limits) -> None:
        """Write until a limit, and wait for the acknowledgements. Raises ClientError,
        CommandFailed (records were not stored)."""
        from streamlog.client import NotReady

        producer, progress, values = self._producer, self._progress, self._values
        loop = asyncio.get_running_loop()
        await producer.writer(self._topic)
        pacer = None
        if self._rate is not None:
            pacer = Pacer(self._rate, loop.time, behind_s_max=math.inf)
        began_s = due_s = loop.time()
        sent = 0
        while limits.records is None or sent < limits.records:
            if pacer is not None:
                due_s = await pacer.turn()
            if sent % YIELD_EVERY_RECORDS == 0:
                await asyncio.sleep(0)  # so that batches leave
            if (
                limits.seconds is not None
                and (pacer is not None or sent % YIELD_EVERY_RECORDS == 0)
                and loop.time() - began_s >= limits.seconds
            ):
                break
            value = values[sent % len(values)]
            delivery: Any = None
            if self._latencies is not None:
                # At a rate a record that waits for others that are slow is late itself.
                began = loop.time() if pacer is None else due_s
                delivery = partial(self._acknowledged, began)
            while True:
                try:
                    producer.send_nowait(self._topic, value, on_delivery=delivery)
                    break
                except NotReady:
                    await producer.room()
            sent += 1
            progress.records = sent
            progress.size_bytes += len(value)
        await producer.flush()
        if self._failed:
            raise CommandFailed(
                f"{counted(self._failed, 'record')} not acknowledged; the first error: "
                f"{self._first_error}"
            )

    def _acknowledged(self, sent_s: float, _metadata: Any, error: ClientError | None) -> None:
        if error is not None:
            self._failed += 1
            self._first_error = self._first_error or error
        elif self._latencies is not None:
            took_s = asyncio.get_running_loop().time() - sent_s
            self._latencies.add(round(took_s * 1_000_000))


class ConsumeLoad:
    """Reads all partitions of a topic from their beginning."""

    def __init__(self, consumer: Consumer, topic: str, progress: Progress) -> None:
        self._consumer = consumer
        self._topic = topic
        self._progress = progress
        self.first_record_ms: float | None = None
        """From the beginning to the first records."""
        self.last_record_s = 0.0
        """From the beginning to the last records."""

    async def run(self, limits: Limits, *, follow: bool) -> None:
        """Read until a limit or, unless it shall follow, to the end as it is now.

        Raises ClientError.
        """
        consumer, progress = self._consumer, self._progress
        loop = asyncio.get_running_loop()
        pairs = [(self._topic, n) for n in await consumer.partitions_for(self._topic)]
        ends = await consumer.end_offsets(pairs)
        began_s = loop.time()
        consumer.assign(pairs, start="earliest")
        while limits.records is None or progress.records < limits.records:
            passed_s = loop.time() - began_s
            if limits.seconds is not None and passed_s >= limits.seconds:
                break
            if not follow and all([await consumer.position(p) >= end for p, end in ends.items()]):
                break
            left = RECORDS_AT_ONCE
            if limits.records is not None:
                left = min(left, limits.records - progress.records)
            polled = await consumer.getmany(max_records=left, timeout_ms=POLL_MS)
            for records in polled.values():
                progress.records += len(records)
                progress.size_bytes += sum(
                    [len(r.value or b"") + len(r.key or b"") for r in records]
                )
            if polled:
                self.last_record_s = loop.time() - began_s
                if self.first_record_ms is None:
                    self.first_record_ms = self.last_record_s * 1_000
