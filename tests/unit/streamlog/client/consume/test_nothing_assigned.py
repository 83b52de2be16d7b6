"""A consumer that reads nothing says so, where it would wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streamlog.client import Consumer
from streamlog.client.errors import WrongUse
from tests.fakes.fake_nodes import FakeCluster

PATIENCE_S = 60
"""Only what would wait for ever fails by it."""


async def next_of_all(consumer: Consumer) -> object:
    async for record in consumer:
        return record
    return None


async def next_batch(consumer: Consumer) -> object:
    async for batch in consumer.batches():
        return batch
    return None


async def next_stored(consumer: Consumer) -> object:
    async for batch in consumer.stored_batches():
        return batch
    return None


READS: list[Callable[[Consumer], Awaitable[object]]] = [
    Consumer.getone,
    Consumer.next_records,
    next_of_all,
    next_batch,
    next_stored,
]


@pytest.mark.parametrize("read", READS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("group", [None, "by-hand"])
async def test_reading_without_partitions(
    read: Callable[[Consumer], Awaitable[object]], group: str | None
) -> None:
    """Before the first assignment, and when the last one was empty."""
    cluster = FakeCluster("one:1")
    async with (
        asyncio.timeout(PATIENCE_S),
        Consumer("one:1", group=group, environment=cluster.environment()) as consumer,
    ):
        with pytest.raises(WrongUse, match="nothing is assigned to it; call assign"):
            await read(consumer)
        consumer.assign([])
        with pytest.raises(WrongUse, match="would wait for ever"):
            await read(consumer)


async def test_with_a_timeout_nothing_comes() -> None:
    """Who polls may assign later."""
    cluster = FakeCluster("one:1")
    async with Consumer("one:1", environment=cluster.environment()) as consumer:
        assert await consumer.getone(timeout_ms=1) is None
        assert await consumer.getmany(timeout_ms=1) == {}
        assert await consumer.next_records(timeout_ms=1) is None
