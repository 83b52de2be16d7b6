"""What the application has in hand, and what it is done with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from streamlog.client import TopicPartition
from streamlog.client.consume.record_source import RecordSource
from streamlog.client.groups import progress as module
from streamlog.client.groups.progress import Progress

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


@dataclass
class Source:
    """Positions as a test says; of a RecordSource, what Progress asks."""

    positions: dict[TopicPartition, int] = field(default_factory=dict)
    iterated: dict[TopicPartition, int] = field(default_factory=dict)
    left_to_iterate: int = 0

    def position_of(self, pair: TopicPartition) -> int | None:
        return self.positions.get(pair)

    def iterated_at(self, pair: TopicPartition) -> int | None:
        return self.iterated.get(pair)


@pytest.fixture
def source() -> Source:
    return Source({A: 0, B: 0})


@pytest.fixture
def progress(source: Source) -> Progress:
    """Both partitions are read from 0, where A was committed."""
    made = Progress(cast("RecordSource", source), lambda: True)
    made.begin(A, 0, 0)
    made.begin(B, 0, None)
    return made


async def test_records_are_done_when_the_next_are_asked_for(
    source: Source, progress: Progress
) -> None:
    """Until then what was handed out is in hand; a position that the policy chose is to be
    committed at once."""
    asked: list[bool] = []
    progress.on_asked = lambda: asked.append(True)
    assert progress.uncommitted([A, B], handed=False) == {B: 0}
    progress.asked()
    source.positions[A] = 10
    progress.handed_out(A)
    assert progress.is_in_hand(A)
    assert (progress.done(A), progress.handed(A)) == (0, 10)
    assert progress.uncommitted([A, B], handed=True) == {A: 10, B: 0}
    assert asked == []
    progress.asked()
    assert asked == [True]
    assert not progress.is_in_hand(A)
    assert progress.uncommitted([A, B], handed=False) == {A: 10, B: 0}


async def test_of_an_iteration_the_record_taken_last_is_in_hand(
    source: Source, progress: Progress
) -> None:
    """What came before it is done, without being asked for, also when the iteration was ended by
    something else."""
    progress.asked()
    source.positions[A] = 20
    progress.handed_out(A)
    source.iterated[A] = 14
    assert progress.done(A) == 14
    progress.settled(A, 15)
    source.iterated.clear()
    source.positions[A] = 16
    assert (progress.done(A), progress.handed(A)) == (15, 16)


async def test_a_commit_that_nobody_waits_for_is_sent_once(
    source: Source, progress: Progress
) -> None:
    """Until it is refused, or there is something newer."""
    assert progress.unsent([A, B]) == {B: 0}
    progress.sent({B: 0})
    assert progress.unsent([A, B]) == {}
    progress.not_committed(B)
    assert progress.unsent([A, B]) == {B: 0}
    progress.committed(B, 0)
    assert progress.unsent([A, B]) == {}
    assert progress.uncommitted([A, B], handed=True) == {}


async def test_what_is_lost_is_forgotten_but_for_having_been_taken(
    source: Source, progress: Progress
) -> None:
    """Its records in hand are known as lost until the next are asked for; what anybody knows of its
    position counts for nothing until something is taken, or sought, anew."""
    progress.asked()
    source.positions[A] = 10
    progress.handed_out(A)
    progress.drop(A)
    progress.drop(B)
    assert (progress.done(A), progress.handed(A)) == (None, None)
    assert progress.lost_in_hand == [A]
    assert progress.was_taken_before(A)
    assert not progress.was_taken_before(B)
    progress.asked()
    assert progress.lost_in_hand == []
    progress.begin(A, 5, 5)
    assert progress.was_taken_before(A)
    progress.moved(A)
    assert not progress.was_taken_before(A)
    assert progress.handed(A) == 10  # As the source has it, from where it was put.


async def test_the_end_counts_what_is_in_hand_unless_another_task_works_on_it(
    source: Source, progress: Progress
) -> None:
    """A task that asked and has ended is none that works."""

    async def take() -> None:
        progress.asked()
        source.positions[A] += 10
        progress.handed_out(A)

    async def take_and_work() -> None:
        await take()
        await asyncio.sleep(3_600)

    await asyncio.create_task(take())
    progress.finish()
    assert progress.done(A) == 10
    working = asyncio.create_task(take_and_work())
    await asyncio.sleep(0)
    progress.finish()
    assert progress.done(A) == 10
    working.cancel()
    await asyncio.wait([working])


async def test_the_count_of_progress_stands_still_only_with_the_application(
    source: Source, progress: Progress
) -> None:
    """It grows with each request, with each record of an iteration, and while somebody waits."""
    progress.asked()
    first = progress.handled_count()
    assert progress.handled_count() == first
    progress.asked()
    assert progress.handled_count() == first + 1
    source.left_to_iterate = 5
    assert progress.handled_count() == first + 2
    assert progress.handled_count() == first + 2
    progress.waits(1)
    assert progress.handled_count() == first + 3
    assert progress.handled_count() == first + 4
    progress.waits(-1)
    assert progress.handled_count() == first + 4


async def test_what_is_remembered_of_lost_partitions_is_bounded(
    source: Source, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest goes first."""
    monkeypatch.setattr(module, "TAKEN_BEFORE_MAX", 2)
    pairs = [TopicPartition("t", number) for number in range(3)]
    for pair in pairs:
        progress.handed_out(pair)
        progress.drop(pair)
    assert [progress.was_taken_before(pair) for pair in pairs] == [False, True, True]
