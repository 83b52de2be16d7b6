"""Old segments go on three real nodes, and readers are told."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import (
    Admin,
    Consumer,
    OffsetOutOfRange,
    Producer,
    ReplicaDescription,
    TopicPartition,
)

VALUE = bytes(range(256)) * 4
WAIT_S = 60
FAR_FUTURE_MS = 2**52
CONTROL_RECORDS_MAX = 3
"""The offsets at a log's start that readers are not shown: each move of the start, made while
records are still being written, begins a segment with one, and so may a new leader."""


@pytest.fixture(autouse=True)
def nodes_look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what retention lets go."""
    monkeypatch.setenv("STREAMLOG_RETENTION_CHECK_MS", "100")


async def write(bootstrap: str, topic: str, count: int, timestamp_ms: int | None = None) -> None:
    async with Producer(bootstrap, compression="none", batch_bytes=4_096) as producer:
        await producer.send_many(topic, ((None, VALUE, timestamp_ms) for _ in range(count)))


async def until_first(consumer: Consumer, pair: TopicPartition, least: int) -> int:
    """Wait until the log begins at `least` or later."""
    async with asyncio.timeout(WAIT_S):
        while (first := (await consumer.beginning_offsets([pair]))[pair]) < least:
            await asyncio.sleep(0.05)
    return first


async def all_larger(admin: Admin, topic: str, size: int) -> list[ReplicaDescription]:
    """The replicas of a topic, once each holds more than `size` bytes: one may lag behind what two
    of them acknowledged."""
    async with asyncio.timeout(WAIT_S):
        while True:
            replicas = await admin.describe_replicas(topic)
            if all(replica.size_bytes > size for replica in replicas):
                return replicas
            await asyncio.sleep(0.1)


def segment_bytes(cluster: LocalCluster) -> list[int]:
    """Bytes of segment files on each node, without those of the metadata. Files and directories
    may go while they are looked at."""
    return [
        sum(
            file_bytes(Path(parent, name))
            for parent, _, names in os.walk(directory / "groups")
            for name in names
            if name.endswith(".segment") and int(Path(parent).parent.name, 16) != 0
        )
        for directory in cluster.data_directories
    ]


def file_bytes(path: Path) -> int:
    """0 when it has gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


async def test_size_bounds_the_disk_of_every_node(cluster: LocalCluster) -> None:
    """Whole segments go on all replicas; what is left can be read; the reader at 0 is told."""
    pair = TopicPartition("t", 0)
    async with Admin(cluster.bootstrap) as admin, Consumer(cluster.bootstrap) as consumer:
        config = {"segment.bytes": "65536", "retention.bytes": "200000", "retention.ms": "-1"}
        await admin.create_topic("t", partitions=1, replication_factor=3, config=config)
        await write(cluster.bootstrap, "t", 2_000)
        end = (await consumer.end_offsets([pair]))[pair]
        first = await until_first(consumer, pair, end - 400)
        assert first < end
        consumer.assign([pair], start=0)
        with pytest.raises(OffsetOutOfRange) as caught:
            await consumer.getmany(timeout_ms=WAIT_S * 1_000)
        assert int(caught.value.metadata["log_start_offset"]) >= first
        await consumer.seek(pair, first)
        records = (await consumer.getmany(timeout_ms=WAIT_S * 1_000))[pair]
        assert 0 <= records[0].offset - first <= CONTROL_RECORDS_MAX
        assert records[0].value == VALUE
        async with asyncio.timeout(WAIT_S):
            while any(size > 400_000 for size in segment_bytes(cluster)):
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("future", [False, True])
async def test_age_empties_a_quiet_topic(cluster: LocalCluster, *, future: bool) -> None:
    """The last segment is closed and goes too; timestamps in the far future keep nothing."""
    pair = TopicPartition("t", 0)
    stamp = FAR_FUTURE_MS if future else int(time.time() * 1_000) - 3_600_000
    config = {"segment.bytes": "65536", "retention.ms": "1000", "segment.ms": "1000"}
    async with Admin(cluster.bootstrap) as admin, Consumer(cluster.bootstrap) as consumer:
        await admin.create_topic("t", partitions=1, replication_factor=3, config=config)
        await write(cluster.bootstrap, "t", 300, stamp)
        end = (await consumer.end_offsets([pair]))[pair]
        await until_first(consumer, pair, end)
        await write(cluster.bootstrap, "t", 1)
        consumer.assign([pair])
        records = (await consumer.getmany(timeout_ms=WAIT_S * 1_000))[pair]
        assert [record.offset >= end for record in records] == [True]


async def test_a_trim_frees_the_disk_of_every_node(cluster: LocalCluster) -> None:
    """What lies below goes from all three disks, the records above stay, the sizes that nodes tell
    are those of their files, and a trim above the end changes nothing."""
    pair = TopicPartition("t", 0)
    async with Admin(cluster.bootstrap) as admin, Consumer(cluster.bootstrap) as consumer:
        await admin.create_topic("t", partitions=1, replication_factor=3)
        await write(cluster.bootstrap, "t", 1_000)
        end = (await consumer.end_offsets([pair]))[pair]
        with pytest.raises(OffsetOutOfRange) as caught:
            await admin.trim({pair: end + 1})
        assert caught.value.metadata["high_watermark"] == str(end)
        with pytest.raises(ValueError, match="partitions 0 to 0"):
            await admin.trim({("t", 1): 0})
        started = (await admin.trim({pair: 500}))[pair]
        assert 490 < started <= 500, "the batch that holds the offset is kept whole"
        assert (await admin.trim({pair: 3}))[pair] == started
        consumer.assign([pair], start="earliest")
        records = (await consumer.getmany(timeout_ms=WAIT_S * 1_000))[pair]
        assert records[0].offset == started
        before = await all_larger(admin, "t", 100_000)
        assert [replica.node_id for replica in before] == [1, 2, 3]
        assert sorted(replica.role for replica in before) == ["follower", "follower", "leader"]
        now = (await consumer.end_offsets([pair]))[pair]
        assert (await admin.trim({pair: now}))[pair] == now
        async with asyncio.timeout(WAIT_S):
            after = before
            while any(replica.size_bytes > 50_000 for replica in after):
                await asyncio.sleep(0.1)
                after = await admin.describe_replicas("t")
            while any(size > 50_000 for size in segment_bytes(cluster)):
                await asyncio.sleep(0.1)
        assert all(replica.start_offset == now for replica in after)
        await write(cluster.bootstrap, "t", 1)
        consumer.assign([])
        consumer.assign([pair], start="earliest")
        records = (await consumer.getmany(timeout_ms=WAIT_S * 1_000))[pair]
        assert [record.value for record in records] == [VALUE]


async def test_a_deleted_topic_frees_the_disk_of_every_node(cluster: LocalCluster) -> None:
    """Its files go on all three nodes; the other topics' stay."""
    async with Admin(cluster.bootstrap) as admin:
        await admin.create_topic("gone", partitions=2, replication_factor=3)
        await admin.create_topic("kept", partitions=1, replication_factor=3)
        await write(cluster.bootstrap, "gone", 500)
        await write(cluster.bootstrap, "kept", 500)
        await all_larger(admin, "kept", 500_000)
        await admin.delete_topic("gone")
        async with asyncio.timeout(WAIT_S):
            while any(not 0 < size < 700_000 for size in segment_bytes(cluster)):
                await asyncio.sleep(0.1)
            while {replica.topic for replica in await admin.describe_replicas()} != {"kept"}:
                await asyncio.sleep(0.1)
        groups = [
            path.name
            for directory in cluster.data_directories
            for path in directory.glob("groups/*")
            if int(path.name, 16) != 0
        ]
        assert len(groups) == 3
