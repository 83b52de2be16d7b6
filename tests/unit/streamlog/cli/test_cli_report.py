"""The report of what was produced, fed as a producer feeds it."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from streamlog.cli.failure import CommandFailed
from streamlog.cli.output import Output
from streamlog.cli.records.report import ProduceReport
from streamlog.client import RecordMetadata, RecordRejected


def stored(partition: int, offset: int) -> RecordMetadata:
    """Where a record is."""
    return RecordMetadata("t", partition, offset, 5)


def lines(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """Records, and the range of offsets by partition, in whatever order they were acknowledged;
    an offset that is not known any more is no part of a range."""
    report = ProduceReport("t", Output.JSON, each=False)
    for number, place in enumerate(
        [stored(1, 7), stored(0, -1), stored(1, 6), stored(1, 9), stored(0, 3), stored(2, -1)], 1
    ):
        report.delivery(number)(place, None)
    report.finish(60, 1.23456)
    assert lines(capsys) == [
        {
            "topic": "t",
            "records": 6,
            "failed": 0,
            "bytes": 60,
            "seconds": 1.235,
            "partitions": [
                {"partition": 0, "records": 2, "first_offset": 3, "last_offset": 3},
                {"partition": 1, "records": 3, "first_offset": 6, "last_offset": 9},
                {"partition": 2, "records": 1, "first_offset": -1, "last_offset": -1},
            ],
        }
    ]


async def test_each_record(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each as they come, failures too, which make the command fail."""
    report = ProduceReport("t", Output.JSON, each=True)
    report.delivery(1)(stored(0, 3), None)
    report.delivery(2)(None, RecordRejected("too large", reason="BATCH_TOO_LARGE"))
    assert capsys.readouterr().out == ""
    await asyncio.sleep(0)
    assert lines(capsys) == [
        {"record": 1, "topic": "t", "partition": 0, "offset": 3, "timestamp_ms": 5},
        {"record": 2, "topic": "t", "error": "BATCH_TOO_LARGE: too large"},
    ]
    with pytest.raises(CommandFailed, match=r"1 record not acknowledged; .*too large"):
        report.finish(0, 1)
    table = ProduceReport("t", Output.TABLE, each=True)
    table.delivery(7)(stored(2, 9), None)
    table.finish(0, 1)
    assert capsys.readouterr().out == "record 7: t/2 offset 9\n"


async def test_nobody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop, which prints, does not fail; whoever checks is told, again and again."""

    class Closed:
        def write(self, _text: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    report = ProduceReport("t", Output.TABLE, each=True)
    report.delivery(1)(stored(0, 3), None)
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            report.check()
