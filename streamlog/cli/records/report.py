"""What became of the records that were produced: where each is, or what went wrong."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from streamlog.cli.failure import CommandFailed
from streamlog.cli.output import Output, counted

if TYPE_CHECKING:
    from streamlog.client import ClientError, RecordMetadata


Delivery = Callable[["RecordMetadata | None", "ClientError | None"], None]
"""Called with where a record is stored (the offset is -1 when it is not known any more), or with
why it is not."""


class ProduceReport:
    """Collects acknowledgements, and prints them as they come when each shall be told.

    Invariant: every record that `delivery` was asked for is counted once, as stored or as failed.
    """

    def __init__(self, topic: str, output: Output, *, each: bool) -> None:
        self._topic, self._output, self._each = topic, output, each
        self._stored = 0
        self._failed = 0
        self._first_error: ClientError | None = None
        self._ranges: dict[int, tuple[int, int, int]] = {}
        """Records, first offset, last offset by partition."""
        self._lines: list[str] = []
        self._reader_gone = False

    def delivery(self, number: int) -> Delivery:
        """What the producer calls for the record of that number."""
        return partial(self._delivered, number)

    def _delivered(
        self, number: int, metadata: RecordMetadata | None, error: ClientError | None
    ) -> None:
        if metadata is not None:
            self._stored += 1
            offset = metadata.offset
            records, first, last = self._ranges.get(metadata.partition, (0, offset, offset))
            first, last = (min(first, offset) if first >= 0 else offset), max(last, offset)
            self._ranges[metadata.partition] = (records + 1, first, last)
        else:
            self._failed += 1
            self._first_error = self._first_error or error
        if self._each:
            if not self._lines:
                # Many acknowledgements arrive together, and are written together.
                asyncio.get_running_loop().call_soon(self._print)
            self._lines.append(self._line(number, metadata, error))

    def _line(self, number: int, metadata: RecordMetadata | None, error: ClientError | None) -> str:
        if self._output is Output.JSON:
            content: dict[str, Any] = {"record": number, "topic": self._topic}
            if metadata is not None:
                content |= {
                    "partition": metadata.partition,
                    "offset": metadata.offset,
                    "timestamp_ms": metadata.timestamp_ms,
                }
            else:
                content["error"] = str(error)
            return json.dumps(content) + "\n"
        if metadata is None:
            return f"record {number}: not acknowledged: {error}\n"
        return f"record {number}: {self._topic}/{metadata.partition} offset {metadata.offset}\n"

    def _print(self) -> None:
        lines, self._lines = self._lines, []
        if self._reader_gone:
            return
        try:
            sys.stdout.write("".join(lines))
            sys.stdout.flush()
        except BrokenPipeError:
            self._reader_gone = True  # told by `check`: this is called by the event loop

    def check(self) -> None:
        """Raises BrokenPipeError when nobody reads the report any more."""
        if self._lines:
            self._print()
        if self._reader_gone:
            raise BrokenPipeError

    def finish(self, size_bytes: int, seconds: float) -> None:
        """After the last acknowledgement: print the summary. Raises CommandFailed for records
        that were not stored, BrokenPipeError."""
        self.check()
        if not self._each:
            content = {
                "topic": self._topic,
                "records": self._stored,
                "failed": self._failed,
                "bytes": size_bytes,
                "seconds": round(seconds, 3),
                "partitions": [
                    {
                        "partition": partition,
                        "records": records,
                        "first_offset": first,
                        "last_offset": last,
                    }
                    for partition, (records, first, last) in sorted(self._ranges.items())
                ],
            }
            sys.stdout.write(json.dumps(content) + "\n")
        if self._failed:
            raise CommandFailed(
                f"{counted(self._failed, 'record')} not acknowledged; the first error: "
                f"{self._first_error}"
            )
