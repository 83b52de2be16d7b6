"""What `consume` prints of a log, beside a list of the records that it should."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlog.cli.failure import CommandFailed
from streamlog.cli.records.consuming import Consumption, tell_reset
from streamlog.cli.records.positions import parse_range
from streamlog.cli.records.printer import template_printer
from streamlog.client import (
    ConsumerRecord,
    OffsetAtTime,
    PartitionDescription,
    PositionReset,
    TopicDescription,
    TopicPartition,
)

Logs = dict[TopicPartition, list[int]]
"""Offsets of the records of each partition; their times are ten times as much."""


class FakeCluster:
    """Consumer and administrator of logs in memory; each question brings a record more, as when
    somebody goes on writing."""

    def __init__(self, logs: Logs, starts: Mapping[TopicPartition, int], batch: int) -> None:
        self.logs, self.starts, self.batch = logs, starts, batch
        self.positions: dict[TopicPartition, int] = {}
        self.paused: dict[TopicPartition, None] = {}

    def end(self, pair: TopicPartition) -> int:
        return max([self.starts[pair], *[offset + 1 for offset in self.logs[pair]]])

    async def partitions_for(self, topic: str) -> list[int]:
        return [pair.partition for pair in self.logs if pair.topic == topic]

    async def beginning_offsets(self, pairs: Iterable[tuple[str, int]]) -> Mapping[Any, int]:
        return {TopicPartition(*pair): self.starts[TopicPartition(*pair)] for pair in pairs}

    async def end_offsets(self, pairs: Iterable[tuple[str, int]]) -> Mapping[Any, int]:
        return {TopicPartition(*pair): self.end(TopicPartition(*pair)) for pair in pairs}

    async def offsets_for_times(self, times: Mapping[Any, int]) -> Mapping[Any, OffsetAtTime]:
        return {
            pair: OffsetAtTime(
                min([o for o in self.logs[pair] if o * 10 >= time] or [self.end(pair)]), time
            )
            for pair, time in times.items()
        }

    def assign(self, pairs: Iterable[tuple[str, int]], *, start: str = "earliest") -> None:
        for pair in [TopicPartition(*pair) for pair in pairs]:
            self.positions.setdefault(pair, self.starts[pair])
            assert start == "earliest"

    @property
    def assignment(self) -> list[TopicPartition]:
        return list(self.positions)

    def pause(self, pair: TopicPartition) -> None:
        self.paused[pair] = None

    async def seek(self, pair: TopicPartition, offset: int) -> None:
        self.positions[pair] = offset

    async def position(self, pair: TopicPartition) -> int:
        return self.positions[pair]

    async def getmany(
        self, *, max_records: int, timeout_ms: float
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        polled: dict[TopicPartition, list[ConsumerRecord]] = {}
        left = min(max_records, self.batch)
        for pair, offsets in self.logs.items():
            if pair not in self.positions or pair in self.paused:
                continue
            found = [offset for offset in offsets if offset >= self.positions[pair]]
            if found and left:
                found = found[:left]
                left -= len(found)
                self.positions[pair] = found[-1] + 1
                polled[pair] = [
                    ConsumerRecord(pair.topic, pair.partition, o, o * 10, None, b"", ())
                    for o in found
                ]
            elif not found:
                self.positions[pair] = self.end(pair)  # what is left are control batches
        for pair in self.logs:
            self.logs[pair].append(self.end(pair))
        return polled

    async def describe_topic(self, topic: str) -> TopicDescription:
        pairs = [pair for pair in self.logs if pair.topic == topic]
        return TopicDescription(
            topic, 1, tuple(PartitionDescription(p.partition, 1, 1, (1,), 1) for p in pairs)
        )


class Output:
    """Standard output without a file below it."""

    def __init__(self) -> None:
        self.buffer = io.BytesIO()

    def flush(self) -> None:
        """Nothing waits."""


PRINTER = template_printer(r"%p %o\n")


async def consume(
    cluster: FakeCluster,
    place: str,
    count: int | None = None,
    partitions: list[int] | None = None,
) -> list[tuple[int, int]]:
    """Partitions and offsets, as they were printed."""
    fake: Any = cluster
    with pytest.MonkeyPatch.context() as patch:
        output = Output()
        patch.setattr(sys, "stdout", output)
        patch.setattr("streamlog.cli.records.consuming.nobody_reads", lambda: False)
        reading = Consumption(fake, fake, ["t"], partitions, parse_range("--from", place))
        await reading.begin()
        printed = await reading.print(PRINTER, count)
    lines = output.buffer.getvalue().decode().splitlines()
    assert len(lines) == printed
    return [(int(a), int(b)) for a, b in (line.split() for line in lines)]


offsets = st.lists(st.integers(3, 40), unique=True, max_size=20).map(sorted)
edges = st.integers(0, 45)


@given(
    logs=st.lists(offsets, min_size=1, max_size=3),
    start=st.one_of(
        st.sampled_from(["start", "end"]),
        edges.map(str),
        st.integers(1, 30).map(lambda n: f"-{n}"),
        edges.map(lambda n: f"@{n * 10}"),
    ),
    until=st.one_of(st.just("end"), edges.map(lambda n: f"@{n * 10}")),
    batch=st.integers(1, 7),
)
async def test_ranges(logs: list[list[int]], start: str, until: str, batch: int) -> None:
    """Every record of the range is printed once, in order, and none behind its end, although
    more are written meanwhile."""
    pairs = {TopicPartition("t", n): log for n, log in enumerate(logs)}
    starts = {pair: min(log, default=3) for pair, log in pairs.items()}
    cluster = FakeCluster({pair: list(log) for pair, log in pairs.items()}, starts, batch)
    expected = []
    for pair, log in pairs.items():
        low, high = starts[pair], cluster.end(pair)
        first = {
            "start": low,
            "end": high,
        }.get(start)
        if first is None and start.startswith("@"):
            first = int(start[1:]) // 10
        elif first is None and start.startswith("-"):
            first = max(low, high - int(start[1:]))
        elif first is None:
            first = int(start)
        last = high if until == "end" else int(until[1:]) // 10
        expected += [(pair.partition, o) for o in log if first <= o < min(last, high)]
    refused = ""
    try:
        printed = await consume(cluster, f"{start}:{until}")
    except CommandFailed as failure:
        refused = failure.message
    if refused:
        assert "ends before it begins" in refused or "is out of range" in refused
        return
    for partition in range(len(logs)):
        ours = [o for p, o in printed if p == partition]
        assert ours == sorted(ours)
    assert sorted(printed) == expected


@given(batch=st.integers(1, 7), count=st.integers(1, 50))
async def test_so_many(batch: int, count: int) -> None:
    """Exactly as many as were asked for, of those that come."""
    log = {TopicPartition("t", 0): [1, 2, 3]}
    cluster = FakeCluster(log, {TopicPartition("t", 0): 0}, batch)
    printed = await consume(cluster, "start", count)
    assert printed == [(0, offset) for offset in range(1, count + 1)]


async def test_some_partitions() -> None:
    """No others are read, and one that does not exist is refused."""
    logs = {TopicPartition("t", n): [n] for n in range(3)}
    starts = dict.fromkeys(logs, 0)
    cluster = FakeCluster(logs, starts, 10)
    assert await consume(cluster, "start:end", partitions=[2, 0, 2]) == [(0, 0), (2, 2)]
    with pytest.raises(CommandFailed, match="t has partitions 0 to 2, not 3"):
        await consume(FakeCluster(logs, starts, 10), "start", partitions=[0, 3])


async def test_partitions_that_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Are read from their start by whoever follows all of them."""
    monkeypatch.setattr("streamlog.cli.records.consuming.GROWTH_CHECK_S", -1.0)
    first, second = TopicPartition("t", 0), TopicPartition("t", 1)

    class Growing(FakeCluster):
        async def getmany(self, **arguments: Any) -> dict[TopicPartition, list[ConsumerRecord]]:
            if second not in self.logs:
                self.logs[second] = [0, 1]
            return await super().getmany(**arguments)

    starts = {first: 0, second: 0}
    printed = await consume(Growing({first: [5]}, starts, 10), "end", 6)
    assert (1, 0) in printed
    assert (0, 5) not in printed
    alone = await consume(Growing({first: [5]}, starts, 10), "end", 6, partitions=[0])
    assert {partition for partition, _ in alone} == {0}


def test_what_was_let_go_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """With the range."""
    tell_reset(PositionReset("t", 3, 10, 20, "below_start"))
    assert capsys.readouterr().err == (
        "note: t/3 begins at offset 20 by now; what was from 10 on was let go before it could be"
        " read\n"
    )
