"""How records become batches: what comes while a partition is busy fills one batch."""

from __future__ import annotations

import asyncio

import pytest

from streamlog.client import Producer
from streamlog.client.errors import DeliveryTimedOut, RecordsLost
from streamlog.v1.record_pb2 import RecordSet
from tests.fakes.fake_nodes import TOPIC, FakeCluster

PATIENCE_S = 30


def batches(cluster: FakeCluster) -> list[list[bytes]]:
    """Values of each stored batch."""
    return [
        [record.value for record in RecordSet.FromString(payload).records]
        for payload in cluster.stored
    ]


async def until_stored(cluster: FakeCluster, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(cluster.stored) < count:
            await asyncio.sleep(0.001)


async def test_a_busy_partition_gathers() -> None:
    """With as many batches under way as allowed, records do not queue up as batches of one."""
    cluster = FakeCluster("one:1")
    node = cluster.nodes["one:1"]
    async with Producer(
        "one:1",
        linger_ms=0,
        max_in_flight=1,
        compression="none",
        environment=cluster.environment(),
    ) as producer:
        await producer.writer(TOPIC)
        node.answers.clear()
        producer.send_nowait(TOPIC, b"0")
        await until_stored(cluster, 1)
        for number in range(1, 20):
            producer.send_nowait(TOPIC, b"%d" % number)
            await asyncio.sleep(0.001)
        assert len(cluster.stored) == 1
        node.answers.set()
        await until_stored(cluster, 2)
        await producer.send(TOPIC, b"20")
    assert batches(cluster) == [[b"0"], [b"%d" % n for n in range(1, 20)], [b"20"]]


async def test_what_gathers_expires_with_its_time() -> None:
    """An answer that never comes does not keep the records behind it for ever."""
    cluster = FakeCluster("one:1")
    producer = Producer(
        "one:1",
        linger_ms=0,
        max_in_flight=1,
        delivery_timeout_ms=50,
        request_timeout_ms=3_600_000,
        environment=cluster.environment(),
    )
    async with asyncio.timeout(PATIENCE_S):
        await producer.start()
        await producer.writer(TOPIC)
        cluster.nodes["one:1"].answers.clear()
        first = asyncio.create_task(producer.send(TOPIC, b"0"))
        await until_stored(cluster, 1)
        producer.send_nowait(TOPIC, b"1")
        with pytest.raises(DeliveryTimedOut) as caught:
            await first
        assert caught.value.indefinite
        with pytest.raises(RecordsLost):
            await producer.flush()
        await producer.close()
