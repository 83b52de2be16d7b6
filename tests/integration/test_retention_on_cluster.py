"""Old segments go on three real nodes, and readers are told."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import (
    Admin,
    Consumer,
    ConsumerRecord,
    OffsetOutOfRange,
    Producer,
    ReplicaDescription,
    TopicPartition,
)

VALUE = bytes(range(256)) * 4
WAIT_S = 60
FAR_FUTURE_MS = 2**52
NODES = [1, 2, 3]


@pytest.fixture(autouse=True)
def nodes_look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what retention lets go."""
    monkeypatch.setenv("STREAMLOG_RETENTION_CHECK_MS", "100")


async def write(
    bootstrap: str, topic: str, count: int, timestamp_ms: int | None = None, value: bytes = VALUE
) -> list[int]:
    """The offsets; between them lie those of control records, which nobody is shown."""
    async with Producer(bootstrap, compression="none", batch_bytes=4_096) as producer:
        sent = [producer.send(topic, value, timestamp_ms=timestamp_ms) for _ in range(count)]
        return sorted(place.offset for place in await asyncio.gather(*sent))


async def until_first(consumer: Consumer, pair: TopicPartition, least: int) -> None:
    """Wait until the log begins at `least` or later."""
    async with asyncio.timeout(WAIT_S):
        while (await consumer.beginning_offsets([pair]))[pair] < least:
            await asyncio.sleep(0.05)


async def from_the_start(
    consumer: Consumer, pair: TopicPartition
) -> tuple[int, list[ConsumerRecord]]:
    """Where the log begins, and the first records there. Retention may take them away before they
    are read: then there is another beginning."""
    async with asyncio.timeout(WAIT_S):
        while True:
            first = (await consumer.beginning_offsets([pair]))[pair]
            consumer.assign([])
            consumer.assign([pair], start=first)
            try:
                return first, (await consumer.getmany(timeout_ms=WAIT_S * 1_000))[pair]
            except OffsetOutOfRange:
                continue


async def replicas_that(
    admin: Admin, topic: str, fits: Callable[[ReplicaDescription], bool]
) -> list[ReplicaDescription]:
    """Those of all nodes, once each is as it shall be: one may lag behind what two of them
    acknowledged, and a node that does not answer is left out of a description."""
    async with asyncio.timeout(WAIT_S):
        while True:
            replicas = await admin.describe_replicas(topic)
            if [replica.node_id for replica in replicas] == NODES and all(map(fits, replicas)):
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
        stored = await write(cluster.bootstrap, "t", 2_000)
        await until_first(consumer, pair, stored[-400])
        consumer.assign([pair], start=0)
        with pytest.raises(OffsetOutOfRange) as caught:
            await consumer.getmany(timeout_ms=WAIT_S * 1_000)
        # A leader that was elected this moment may remember an earlier start.
        assert 0 < int(caught.value.metadata["log_start_offset"]) <= stored[-1]
        first, records = await from_the_start(consumer, pair)
        assert first <= stored[-1]
        left = [offset for offset in stored if offset >= first]
        assert [record.offset for record in records] == left[: len(records)]
        assert {record.value for record in records} == {VALUE}
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
        stored = await write(cluster.bootstrap, "t", 300, stamp)
        await until_first(consumer, pair, stored[-1] + 1)
        # Nothing of it is left: the first that a reader meets is new. That goes soon, too, perhaps
        # before it was read, so it is written again and again.
        writing = asyncio.ensure_future(write_on(cluster.bootstrap, "t"))
        try:
            _, records = await from_the_start(consumer, pair)
        finally:
            writing.cancel()
            await asyncio.wait([writing])
        assert {record.value for record in records} == {b"new"}
        assert records[0].offset > stored[-1]


async def write_on(bootstrap: str, topic: str) -> None:
    """A new record now and then."""
    while True:
        await write(bootstrap, topic, 1, value=b"new")
        await asyncio.sleep(0.1)


async def test_a_trim_frees_the_disk_of_every_node(cluster: LocalCluster) -> None:
    """What lies below goes from all three disks, the records above stay, the sizes that nodes tell
    are those of their files, and a trim above the end changes nothing."""
    pair = TopicPartition("t", 0)
    async with Admin(cluster.bootstrap) as admin, Consumer(cluster.bootstrap) as consumer:
        await admin.create_topic("t", partitions=1, replication_factor=3)
        stored = await write(cluster.bootstrap, "t", 1_000)
        end = (await consumer.end_offsets([pair]))[pair]
        with pytest.raises(OffsetOutOfRange) as caught:
            await admin.trim({pair: end + 1_000})
        assert end <= int(caught.value.metadata["high_watermark"]) < end + 1_000
        with pytest.raises(ValueError, match="partitions 0 to 0"):
            await admin.trim({("t", 1): 0})
        started = (await admin.trim({pair: 500}))[pair]
        assert 490 < started <= 500, "the batch that holds the offset is kept whole"
        assert (await admin.trim({pair: 3}))[pair] == started
        consumer.assign([pair], start="earliest")
        records = (await consumer.getmany(timeout_ms=WAIT_S * 1_000))[pair]
        assert records[0].offset == min(offset for offset in stored if offset >= started)
        await replicas_that(admin, "t", lambda replica: replica.size_bytes > 100_000)
        async with asyncio.timeout(WAIT_S):  # There may be no leader for a moment.
            roles: list[str] = []
            while sorted(roles) != ["follower", "follower", "leader"]:
                await asyncio.sleep(0.1)
                roles = [replica.role for replica in await admin.describe_replicas("t")]
        now = (await consumer.end_offsets([pair]))[pair]
        assert (await admin.trim({pair: now}))[pair] == now
        await replicas_that(
            admin,
            "t",
            lambda replica: replica.size_bytes <= 50_000 and replica.start_offset == now,
        )
        async with asyncio.timeout(WAIT_S):
            while any(size > 50_000 for size in segment_bytes(cluster)):
                await asyncio.sleep(0.1)
        await write(cluster.bootstrap, "t", 1)
        _, records = await from_the_start(consumer, pair)
        assert [record.value for record in records] == [VALUE]


async def test_a_deleted_topic_frees_the_disk_of_every_node(cluster: LocalCluster) -> None:
    """Its files go on all three nodes; the other topics' stay."""
    async with Admin(cluster.bootstrap) as admin:
        await admin.create_topic("gone", partitions=2, replication_factor=3)
        await admin.create_topic("kept", partitions=1, replication_factor=3)
        await write(cluster.bootstrap, "gone", 500)
        await write(cluster.bootstrap, "kept", 500)
        await replicas_that(admin, "kept", lambda replica: replica.size_bytes > 500_000)
        await admin.delete_topic("gone")
        async with asyncio.timeout(WAIT_S):
            while any(not 0 < size < 700_000 for size in segment_bytes(cluster)):
                await asyncio.sleep(0.1)
            while [
                (replica.topic, replica.node_id) for replica in await admin.describe_replicas()
            ] != [("kept", node) for node in NODES]:
                await asyncio.sleep(0.1)
            while len(groups(cluster)) != len(NODES):
                await asyncio.sleep(0.1)


def groups(cluster: LocalCluster) -> list[str]:
    """Directories of groups on all nodes, without those of the metadata."""
    return [
        path.name
        for directory in cluster.data_directories
        for path in directory.glob("groups/*")
        if int(path.name, 16) != 0
    ]
