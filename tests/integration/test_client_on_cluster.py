"""The client library on three real nodes: what it promises while a leader dies under it."""

from __future__ import annotations

import asyncio
from itertools import chain

import pytest

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import (
    Admin,
    ConditionFailed,
    Consumer,
    ConsumerRecord,
    NotReady,
    OffsetOutOfRange,
    Producer,
    TopicPartition,
    TopicUnknown,
)
from tests.fakes.patience import PATIENCE_S, PATIENT

SILENCE_MS = 60_000


async def read(consumer: Consumer, count: int) -> list[ConsumerRecord]:
    """So many records, as they come."""
    records: list[ConsumerRecord] = []
    while len(records) < count:
        polled = await consumer.getmany(max_records=count - len(records), timeout_ms=SILENCE_MS)
        assert polled, f"only {len(records)} of {count} records came"
        for some in polled.values():
            records += some
    return records


async def leader_of(admin: Admin, topic: str, partition: int) -> int:
    """As soon as one is known."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            described = await admin.describe_topic(topic)
            leader = described.partitions[partition].leader_node_id
            if leader:
                return leader
            await asyncio.sleep(0.05)


async def test_a_killed_leader_costs_nothing(cluster: LocalCluster) -> None:
    """Records sent before, while and after the leader is killed are all there, once, in order of
    their keys; a consumer that was reading goes on at the new leader."""
    total, keys = 3_000, 7
    failures: list[object] = []
    async with Admin(cluster.bootstrap, policy=PATIENT) as admin:
        await admin.create_topic("t", partitions=3, replication_factor=3)
        async with Consumer(cluster.bootstrap) as consumer, Producer(cluster.bootstrap) as producer:
            consumer.assign([("t", number) for number in range(3)])
            for number in range(total):
                if number == total // 2:
                    await producer.flush()
                    cluster.kill(await leader_of(admin, "t", 0))
                while True:
                    try:
                        producer.send_nowait(
                            "t",
                            b"%d" % number,
                            key=b"key-%d" % (number % keys),
                            on_delivery=lambda _, error: failures.append(error) if error else None,
                        )
                        break
                    except NotReady:
                        await producer.room()
            await producer.flush()
            records = await read(consumer, total)
    assert failures == []
    by_key: dict[bytes | None, list[int]] = {}
    for record in records:
        by_key.setdefault(record.key, []).append(int(record.value or b""))
    assert sorted(chain.from_iterable(by_key.values())) == list(range(total))
    for numbers in by_key.values():
        assert numbers == sorted(numbers)


async def test_positions(cluster: LocalCluster) -> None:
    """seek, seek_to_time, pause, positions and ends, and what is out of range. An election may put
    a control batch behind the records at any time."""
    async with (
        Admin(cluster.bootstrap, policy=PATIENT) as admin,
        Producer(cluster.bootstrap) as producer,
    ):
        await admin.create_topic("t", partitions=1, replication_factor=3)
        pair = TopicPartition("t", 0)
        for number in range(10):
            await producer.send("t", b"%d" % number, timestamp_ms=1_000 * number, partition=0)
        async with Consumer(cluster.bootstrap) as consumer:
            consumer.assign([pair])
            everything = await read(consumer, 10)
            assert [record.value for record in everything] == [b"%d" % n for n in range(10)]
            end = (await consumer.end_offsets([pair]))[pair]
            assert await consumer.position(pair) == everything[-1].offset + 1 <= end
            await consumer.seek_to_time({pair: 6_500})
            assert (await read(consumer, 1))[0].value == b"7"
            await consumer.seek(pair, everything[3].offset)
            consumer.pause(pair)
            assert await consumer.getmany(timeout_ms=200) == {}
            consumer.resume(pair)
            assert (await read(consumer, 1))[0].value == b"3"
            await consumer.seek(pair, 10**9)
            with pytest.raises(OffsetOutOfRange) as caught:
                await consumer.getmany(timeout_ms=SILENCE_MS)
            told = int(caught.value.metadata["high_watermark"])
            assert end <= told <= (await consumer.end_offsets([pair]))[pair]
        async with Consumer(cluster.bootstrap, above_end="earliest") as consumer:
            consumer.assign([pair], start=10**9)
            assert (await read(consumer, 1))[0].value == b"0"
            with pytest.raises(TopicUnknown):
                await consumer.end_offsets([("nope", 0)])


async def test_conditional_append(cluster: LocalCluster) -> None:
    """Stored only where the caller expects the end; a refusal tells the real end. Control batches
    that elections put there are no end of the caller's."""
    async with (
        Admin(cluster.bootstrap, policy=PATIENT) as admin,
        Producer(cluster.bootstrap) as producer,
    ):
        await admin.create_topic("t", partitions=1, replication_factor=3)
        first = await producer.append_batch("t", 0, [b"a", b"b"])
        end = first.offset + 2
        second = await producer.append_batch("t", 0, [b"c"], expected_end_offset=end)
        assert second.offset >= end
        with pytest.raises(ConditionFailed) as caught:
            await producer.append_batch("t", 0, [b"d"], expected_end_offset=end)
        assert caught.value.metadata["end_offset"] == str(second.offset + 1)
