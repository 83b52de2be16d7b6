"""How records become batches: what comes while a partition is busy fills one batch."""

from __future__ import annotations

import asyncio
import random

import pytest

from jepsen_like.sim.ports.scheduler import Scheduler
from streamlog.client import Producer
from streamlog.client.errors import DeliveryTimedOut, NotReady, RecordRejected, RecordsLost
from streamlog.client.produce.partition_queue import RecordMetadata
from streamlog.model.batch import PREFIX_BYTES
from streamlog.v1.record_pb2 import RecordSet
from tests.fakes.fake_nodes import TOPIC, FakeCluster

PATIENCE_S = 60


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


def test_what_gathers_expires_with_its_time() -> None:
    """An answer that never comes does not keep the records behind it for ever. In virtual time: what
    has 50 ms must not expire before it was sent."""
    cluster = FakeCluster("one:1")

    async def work() -> None:
        producer = Producer(
            "one:1",
            linger_ms=0,
            max_in_flight=1,
            delivery_timeout_ms=50,
            request_timeout_ms=3_600_000,
            environment=cluster.environment(),
        )
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

    scheduler = Scheduler(1)
    loop = scheduler.new_loop("client")
    scheduler.complete(loop.create_task(work()), PATIENCE_S)
    scheduler.dispose([loop])


@pytest.mark.parametrize("value_bytes", [20_000, 20_700, 40_000, 64_000])
async def test_a_large_record_waits_for_room(value_bytes: int) -> None:
    """`room` does not return before the record that did not fit can be taken, however large it is
    beside the buffer: who waits for it does not go round and round."""
    cluster = FakeCluster("one:1")
    node = cluster.nodes["one:1"]
    async with (
        asyncio.timeout(PATIENCE_S),
        Producer(
            "one:1",
            linger_ms=0,
            batch_bytes=500,
            buffer_bytes=64 * 1024,
            max_in_flight=1,
            compression="none",
            environment=cluster.environment(),
        ) as producer,
    ):
        await producer.writer(TOPIC)
        node.answers.clear()
        producer.send_nowait(TOPIC, bytes(45_000))
        await until_stored(cluster, 1)
        tries = 0
        sent = False

        async def send() -> None:
            nonlocal tries, sent
            while not sent:
                tries += 1
                try:
                    producer.send_nowait(TOPIC, bytes(value_bytes))
                    sent = True
                except NotReady:
                    await producer.room()

        sending = asyncio.create_task(send())
        for _ in range(200):
            await asyncio.sleep(0)
        assert sent == (value_bytes == 20_000)
        assert tries <= 3
        node.answers.set()
        await sending
        await producer.flush()
        assert [len(value) for (value,) in batches(cluster)] == [45_000, value_bytes]


async def test_a_record_larger_than_the_buffer_is_refused() -> None:
    """It would wait for ever."""
    cluster = FakeCluster("one:1")
    async with Producer(
        "one:1", buffer_bytes=64 * 1024, environment=cluster.environment()
    ) as producer:
        await producer.writer(TOPIC)
        with pytest.raises(ValueError, match="buffer_bytes is 65536"):
            producer.send_nowait(TOPIC, bytes(65_536))


@pytest.mark.parametrize("limit_bytes", [1_024, 10_000, 65_536])
@pytest.mark.parametrize("value_bytes", [10, 200, 700])
async def test_batches_fit_in_their_topic(limit_bytes: int, value_bytes: int) -> None:
    """However many records come at once, and although they do not compress: each batch but the last
    is as full as the topic allows."""
    cluster = FakeCluster("one:1")
    cluster.max_batch_bytes = limit_bytes
    values = [bytes(value_bytes)] * 2_000
    async with (
        asyncio.timeout(PATIENCE_S),
        Producer(
            "one:1", linger_ms=60_000, compression="none", environment=cluster.environment()
        ) as producer,
    ):
        await producer.send_many(TOPIC, values)
        await producer.flush()
    assert sum(map(len, batches(cluster))) == 2_000
    *full, last = (len(payload) + PREFIX_BYTES for payload in cluster.stored)
    assert last <= limit_bytes
    for size_bytes in full:
        assert limit_bytes - value_bytes - 16 < size_bytes <= limit_bytes


async def test_a_record_that_its_topic_does_not_take_is_refused_alone() -> None:
    """Its neighbours are stored; and what fits after compression is stored, too."""
    cluster = FakeCluster("one:1")
    cluster.max_batch_bytes = 65_536
    noise = random.Random(1).randbytes(70_000)
    async with (
        asyncio.timeout(PATIENCE_S),
        Producer("one:1", environment=cluster.environment()) as producer,
    ):
        outcomes = await asyncio.gather(
            *(producer.send(TOPIC, value) for value in (b"a", noise, bytes(70_000), b"b")),
            return_exceptions=True,
        )
    refused = outcomes.pop(1)
    assert isinstance(refused, RecordRejected)
    assert refused.reason == "BATCH_TOO_LARGE"
    assert "a batch of 1 records" in str(refused)
    assert refused.metadata["max_batch_bytes"] == "65536"
    assert all(isinstance(outcome, RecordMetadata) for outcome in outcomes)
    assert len(cluster.stored) == 3


async def test_a_topic_whose_limit_was_changed() -> None:
    """Batches that are begun after it was heard of keep to the new one."""
    cluster = FakeCluster("one:1")
    source = random.Random(3)
    async with (
        asyncio.timeout(PATIENCE_S),
        Producer(
            "one:1", linger_ms=60_000, compression="none", environment=cluster.environment()
        ) as producer,
    ):
        writer = await producer.writer(TOPIC)
        for limit_bytes in (10_000, 50_000, 5_000):
            cluster.max_batch_bytes = limit_bytes
            while writer.queues[0].content_bytes_max != limit_bytes - PREFIX_BYTES:
                producer.refresh_soon()
                await asyncio.sleep(0.001)
            cluster.stored.clear()
            await producer.send_many(TOPIC, [source.randbytes(1_000) for _ in range(100)])
            await producer.flush()
            largest_bytes = max(map(len, cluster.stored)) + PREFIX_BYTES
            assert limit_bytes - 1_020 < largest_bytes <= limit_bytes
