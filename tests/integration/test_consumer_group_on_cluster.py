"""Consumers of a group on three real nodes: they share, one goes, and positions outlive a node."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin, CallPolicy, Consumer, Producer, TopicPartition, WrongUse
from streamlog.client.sync import Consumer as BlockingConsumer
from tests.fakes.patience import PATIENT

PARTITIONS = 6
PATIENCE_S = 120.0
"""More than the session of a member whose leaving did not reach a coordinator."""
SILENCE_MS = 120_000
POLICY = CallPolicy(unknown_topic_wait_ms=SILENCE_MS)
"""The topic was made a moment ago, and the coordinator's node may lag behind."""


@pytest.fixture
async def cluster(cluster: LocalCluster) -> LocalCluster:
    """Three nodes and a topic."""
    async with Admin(cluster.bootstrap, policy=PATIENT) as admin:
        await admin.create_topic("t", partitions=PARTITIONS, replication_factor=3)
    return cluster


class Member:
    """Reads until it is told to stop."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.consumer = Consumer(cluster.bootstrap, group="g", topics=["t"], policy=POLICY)
        self.values: list[bytes] = []
        self.task = asyncio.create_task(self.read())

    async def read(self) -> None:
        async with self.consumer:
            async for record in self.consumer:
                self.values.append(record.value)

    @property
    def owned(self) -> list[TopicPartition]:
        return sorted(self.consumer.membership.assigned)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def send(cluster: LocalCluster, numbers: range) -> None:
    async with Producer(cluster.bootstrap) as producer:
        for number in numbers:
            await producer.send("t", b"%d" % number, partition=number % PARTITIONS)


def whole(numbers: range) -> list[bytes]:
    return sorted(b"%d" % number for number in numbers)


async def test_two_share_one_leaves_and_positions_survive(cluster: LocalCluster) -> None:
    """Six partitions are shared three and three; when one leaves the other has all at once; after
    both have gone, and a node was killed, a third one goes on where they stopped. Nothing is missed,
    and nothing is read twice."""
    first, second = Member(cluster), Member(cluster)
    await until(lambda: len(first.owned) == len(second.owned) == PARTITIONS // 2)
    assert sorted(first.owned + second.owned) == [("t", n) for n in range(PARTITIONS)]
    await send(cluster, range(60))
    await until(lambda: len(first.values) + len(second.values) == 60)
    assert len(first.values) == len(second.values) == 30
    await second.stop()
    await until(lambda: len(first.owned) == PARTITIONS)
    await send(cluster, range(60, 90))
    await until(lambda: len(first.values) == 60)
    await first.stop()
    assert sorted(first.values + second.values) == whole(range(90))
    async with Consumer(cluster.bootstrap, group="g", topics=["t"], policy=POLICY) as third:
        cluster.kill(2)
        await send(cluster, range(90, 96))
        values: list[bytes] = []
        while len(values) < 6:
            record = await third.getone(timeout_ms=SILENCE_MS)
            assert record is not None
            values.append(record.value)
        await third.commit()
        assert sorted(values) == whole(range(90, 96))
    async with Consumer(cluster.bootstrap, group="g", topics=["t"], policy=POLICY) as fourth:
        await send(cluster, range(96, 97))
        record = await fourth.getone(timeout_ms=SILENCE_MS)
        assert record is not None
        assert record.value == b"96"


async def test_blocking_members(cluster: LocalCluster) -> None:
    """In threads and without asyncio: callbacks run in a thread of their consumer's, where it can
    be used, and can not be closed; a handler that blocks its thread costs nobody the membership."""
    await send(cluster, range(12))
    diary: list[tuple[str, int, str]] = []

    def work() -> None:
        def note(what: str) -> Callable[[list[TopicPartition]], None]:
            def called(partitions: list[TopicPartition]) -> None:
                diary.append((what, len(partitions), threading.current_thread().name))
                if what == "revoked":
                    consumer.commit()
                    with pytest.raises(WrongUse, match="callbacks"):
                        consumer.close()

            return called

        with BlockingConsumer(
            cluster.bootstrap,
            group="blocking",
            topics=["t"],
            policy=POLICY,
            auto_commit_ms=None,
            on_assigned=note("assigned"),
            on_revoked=note("revoked"),
        ) as consumer:
            values = []
            ends = {}
            for record in consumer:
                values.append(record.value)
                ends[record.partition] = record.offset + 1
                if len(values) == 12:
                    break
            assert sorted(values) == whole(range(12))
            assert len(consumer.membership.assigned) == PARTITIONS
            consumer.commit_nowait()
            assert consumer.lag().keys() <= set(consumer.assignment)
        with BlockingConsumer(cluster.bootstrap, group="blocking") as other:
            pairs = [("t", number) for number in range(PARTITIONS)]
            found = other.committed(pairs)
            for pair, at in found.items():
                # Behind the last record there may be a batch of a new leader.
                assert at is not None
                assert at.offset >= ends[pair.partition]

    await asyncio.to_thread(work)
    assert [(what, count) for what, count, _ in diary] == [("assigned", 6), ("revoked", 6)]
    assert {name.rpartition("_")[0] for *_, name in diary} == {"streamlog callbacks of a consumer"}
