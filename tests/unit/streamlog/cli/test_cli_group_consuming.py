"""Printing as a member of a group: what is committed in the end, and when it ends."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.records import group_consuming
from streamlog.cli.records.group_consuming import GroupConsumption, first_position, tell_assigned
from streamlog.cli.records.positions import parse_range
from streamlog.cli.records.printer import raw_printer
from streamlog.client import ClientError, Consumer, ConsumerRecord, TopicPartition

PAIR, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)


@dataclass
class View:
    phase: str = "stable"
    assigned: tuple[TopicPartition, ...] = (PAIR,)


@dataclass
class FakeConsumer:
    """A member that is handed out `batches`, and knows where its partitions end."""

    batches: list[int]
    """Records of each; 0: none came."""
    ends: Mapping[TopicPartition, int] = field(default_factory=lambda: {PAIR: 6, OTHER: 0})
    membership: View = field(default_factory=View)
    refusal: ClientError | None = None
    at: int = 0
    committed: list[int] = field(default_factory=list)

    async def getmany(
        self, *, max_records: int, timeout_ms: float
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        await asyncio.sleep(0)
        if not self.batches:
            raise asyncio.CancelledError  # Ctrl-C
        wanted = min(self.batches.pop(0), max_records)
        records = [
            cast("ConsumerRecord", type("R", (), {"value": str(self.at + number).encode()}))
            for number in range(wanted)
        ]
        self.at += wanted
        return {PAIR: records} if records else {}

    async def commit(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.committed.append(self.at)

    async def position(self, pair: TopicPartition) -> int:
        if pair != PAIR:
            raise ValueError("not assigned")
        return self.at

    async def end_offsets(self, pairs: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {pair: self.ends[pair] for pair in pairs}


class Full(io.BytesIO):
    """A disk without room."""

    def flush(self) -> None:
        raise OSError("no space left")


def opened(monkeypatch: pytest.MonkeyPatch, *, nobody: bool = False) -> io.BytesIO:
    """Standard output from now on; `nobody` reads it."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", type("Out", (), {"buffer": written}))
    monkeypatch.setattr(group_consuming, "nobody_reads", lambda: nobody)
    return written


def reading(consumer: FakeConsumer, *, exit_at_end: bool = False) -> GroupConsumption:
    return GroupConsumption(cast("Consumer", consumer), exit_at_end=exit_at_end)


async def test_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """No record more than asked for is taken, and these are committed."""
    out = opened(monkeypatch)
    consumer = FakeConsumer([2, 0, 5])
    assert await reading(consumer).print(raw_printer, 4) == 4
    assert out.getvalue() == b"0123"
    assert consumer.committed == [4]


async def test_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was printed before is committed on the way out."""
    out = opened(monkeypatch)
    consumer = FakeConsumer([3, 0])
    with pytest.raises(asyncio.CancelledError):
        await reading(consumer).print(raw_printer, None)
    assert out.getvalue() == b"012"
    assert consumer.committed == [3]


async def test_what_can_not_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not committed."""
    monkeypatch.setattr(sys, "stdout", type("Out", (), {"buffer": Full()}))
    consumer = FakeConsumer([3])
    with pytest.raises(OSError, match="no space"):
        await reading(consumer).print(raw_printer, None)
    assert consumer.committed == []


async def test_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that was closed at its other end ends the membership."""
    opened(monkeypatch, nobody=True)
    with pytest.raises(BrokenPipeError):
        await reading(FakeConsumer([0])).print(raw_printer, None)


async def test_the_end_is_that_of_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the partitions ended when this member was given them; others' do not count."""
    opened(monkeypatch)
    consumer = FakeConsumer([3, 0, 3, 3])
    consumer.membership.assigned = ()
    consumer.membership.phase = "joining"
    task = asyncio.create_task(reading(consumer, exit_at_end=True).print(raw_printer, None))
    await asyncio.sleep(0)
    consumer.membership.phase, consumer.membership.assigned = "stable", (PAIR,)
    assert await task == 6
    assert consumer.committed == [6]


async def test_a_member_that_is_given_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits a while, and has nothing to read then; a partition that goes is not waited for."""
    opened(monkeypatch)
    monkeypatch.setattr(group_consuming, "NOTHING_ASSIGNED_S", 0.0)
    consumer = FakeConsumer([0] * 3)
    consumer.membership.assigned = ()
    assert await reading(consumer, exit_at_end=True).print(raw_printer, None) == 0
    lost = FakeConsumer([6, 0])
    lost.membership.assigned = (PAIR, OTHER)
    with pytest.raises(asyncio.CancelledError):
        await reading(lost, exit_at_end=True).print(raw_printer, None)


async def test_a_last_commit_that_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is a note: the records are printed, and somebody else may print them again."""
    opened(monkeypatch)
    consumer = FakeConsumer([2], refusal=ClientError("another owns it"))
    assert await reading(consumer).print(raw_printer, 2) == 2
    assert "not committed, and will be printed again: another owns it" in capsys.readouterr().err


def test_where_a_group_begins() -> None:
    """Places that make sense for partitions that have no position yet."""
    assert first_position(parse_range("--from", "start")) == "earliest"
    assert first_position(parse_range("--from", "end")) == "latest"
    ago = first_position(parse_range("--from", "@-1h"))
    assert isinstance(ago, timedelta)
    assert timedelta(hours=1) <= ago < timedelta(hours=2)
    for text in ("5", "-5", "start:end", "@2999-01-01", "@-2h:@-1h"):
        with pytest.raises(CommandFailed) as caught:
            first_position(parse_range("--from", text))
        assert caught.value.exit_code == EXIT_USAGE


def test_only_a_terminal_is_told_of_partitions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts read errors there."""
    told: Any = sys.stderr
    tell_assigned([PAIR])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(told, "isatty", lambda: True)
    tell_assigned([OTHER, PAIR])
    tell_assigned([])
    assert capsys.readouterr().err == "note: this member reads t:0,1\n"
