"""Workers in a group at three whole nodes, in virtual time: handed over, and frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from streamlog.client import ConsumerRecord, Worker
from tests.fakes.group_consumers import ConsumerWorld, Reader, new_consumer_world
from tests.fakes.group_world import SESSION_MS

ALL = [0, 1, 2, 3]


@pytest.fixture
def world() -> Iterator[ConsumerWorld]:
    """It ends after the test has forgotten what lives in it."""
    with new_consumer_world() as made:
        yield made


class Working:
    """A member whose records a Worker handles, each for a while."""

    def __init__(self, world: ConsumerWorld, name: str, seconds: float, **options: Any) -> None:
        self.begun: list[tuple[int, bytes]] = []
        self.done: list[tuple[int, bytes]] = []
        self.seconds = seconds
        self.reader = Reader(world, name, auto_commit_ms=None)
        self.worker = Worker(self.reader.consumer, self._handle, commit_ms=100, **options)
        self.task = self.reader.loop.create_task(self.worker.run())

    async def _handle(self, record: ConsumerRecord) -> None:
        place = record.partition, record.value
        self.begun.append(place)
        await asyncio.sleep(self.seconds)
        self.done.append(place)

    def everything_is_committed(self) -> bool:
        """Up to the ends of all partitions, as the group knows it."""
        pairs = [("orders", number) for number in ALL]
        ends = self.reader.complete(self.reader.consumer.end_offsets(pairs))
        return self.reader.committed() == {pair.partition: end for pair, end in ends.items()}

    def stop(self) -> None:
        """As the last thing."""

        async def work() -> None:
            self.worker.stop()
            await self.task
            await self.reader.consumer.close()

        self.reader.complete(work())


def fill_all(world: ConsumerWorld, *names: bytes) -> list[tuple[int, bytes]]:
    world.fill("orders", {number: list(names) for number in ALL})
    return [(number, name) for number in ALL for name in names]


def test_a_clean_hand_over_repeats_nothing(world: ConsumerWorld) -> None:
    """One comes while handlers run: what they work on is finished and committed before it is given
    up, what they have not begun is the other's, and every record is handled once."""
    places = fill_all(world, b"a", b"b", b"c", b"d")
    first = Working(world, "r1", 3.0, concurrency=10)
    world.wait(lambda: len(first.begun) == 10)
    second = Working(world, "r2", 0.1)
    world.wait(lambda: len(second.reader.owned) == 2)
    world.wait(lambda: len(first.done) + len(second.done) == len(places))
    assert sorted(first.done + second.done) == sorted(places)
    world.run(1)
    assert first.everything_is_committed()
    second.stop()
    first.reader.wait_for(*ALL)
    more = fill_all(world, b"e")
    world.wait(lambda: set(first.done) >= set(more))
    world.run(1)
    assert first.everything_is_committed()
    first.stop()


def test_a_worker_that_stood_still_begins_nothing_of_what_it_lost(world: ConsumerWorld) -> None:
    """Its process is frozen with records taken and not begun. When it wakes, others have handled
    and committed them: it begins none of them, and commits nothing."""
    places = fill_all(world, b"a", b"b", b"c")
    first = Working(world, "r1", 1.0, concurrency=4)
    world.wait(lambda: first.worker.in_flight == len(places) and len(first.begun) == 4)
    world.scheduler.pause(first.reader.loop)
    second = Working(world, "r2", 0.01)
    second.reader.wait_for(*ALL)
    world.wait(lambda: sorted(second.done) == places)
    world.run(SESSION_MS / 1_000)
    world.scheduler.resume(first.reader.loop)
    world.wait(lambda: len(first.reader.owned) == 2)
    world.run(5)
    assert len(first.begun) == 4
    more = fill_all(world, b"d")
    world.wait(lambda: set(first.done + second.done) >= set(more))
    assert len(first.done + second.done) == 4 + len(places) + len(more)
    world.run(1)
    assert second.everything_is_committed()
    second.stop()
    first.stop()
