"""Single records in and out of three real nodes, by a client that has nothing but stubs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import pytest

from streamlog.cli.local_cluster import LocalCluster
from streamlog.client import Admin, Consumer, ConsumerRecord
from streamlog.v1.record_pb2 import Header
from streamlog.v1.record_service_pb2 import (
    PublishRecord,
    PublishRequest,
    PublishResponse,
    PublishResult,
)

TIMEOUT_S = 60
SERVICE = "/streamlog.v1.RecordService/"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    """Three nodes with a topic of three partitions."""
    cluster = LocalCluster(tmp_path, nodes=3)
    try:
        await cluster.start()
        async with Admin(cluster.bootstrap) as admin:
            await admin.create_topic("t", partitions=3, replication_factor=3)
        yield cluster
    finally:
        cluster.kill_all()


class Stub:
    """What a generated stub does, on one node."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self.publish: Any = self._channel.unary_unary(
            SERVICE + "Publish", PublishRequest.SerializeToString, PublishResponse.FromString
        )
        self.publish_stream: Any = self._channel.stream_stream(
            SERVICE + "PublishStream", PublishRequest.SerializeToString, PublishResponse.FromString
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()


async def read_all(bootstrap: str, topic: str, partitions: int = 3) -> list[ConsumerRecord]:
    """Everything that is committed, by partition and offset."""
    records: list[ConsumerRecord] = []
    async with Consumer(bootstrap) as consumer:
        pairs = [(topic, number) for number in range(partitions)]
        ends = await consumer.end_offsets(pairs)
        consumer.assign(pairs)
        while any([await consumer.position(pair) < end for pair, end in ends.items()]):
            for some in (await consumer.getmany(timeout_ms=1_000)).values():
                records += some
    return sorted(records, key=lambda record: (record.partition, record.offset))


async def test_any_node_takes_records_for_any_partition(cluster: LocalCluster) -> None:
    """Each of them answers with the place, and what was stored is what was sent."""
    record = PublishRecord(
        key=b"k", value=b"v", headers=[Header(name="h", value=b"1"), Header(name="null")]
    )
    places = set()
    for address in cluster.bootstrap.split(","):
        async with Stub(address) as stub:
            for partition in range(3):
                sent = PublishRecord(id=7, partition=partition, timestamp_ms=1234)
                sent.MergeFrom(record)
                answer = await stub.publish(PublishRequest(topic="t", records=[sent]))
                (result,) = answer.results
                assert not result.HasField("error"), result
                assert (result.id, result.partition, result.timestamp_ms) == (7, partition, 1234)
                places.add((result.partition, result.offset))
            nulls = await stub.publish(PublishRequest(topic="t", records=[PublishRecord()]))
            places.add((nulls.results[0].partition, nulls.results[0].offset))
    stored = await read_all(cluster.bootstrap, "t")
    assert {(record.partition, record.offset) for record in stored} == places
    assert len(stored) == 12
    contents = {(record.key, record.value, record.headers) for record in stored}
    assert contents == {(b"k", b"v", (("h", b"1"), ("null", None))), (None, None, ())}


async def test_one_bad_record_fails_alone(cluster: LocalCluster) -> None:
    """Each error names what is wrong and what is allowed; the others are stored."""
    records = [
        PublishRecord(id=1, topic="t", value=b"good"),
        PublishRecord(id=2, topic="absent", value=b"x"),
        PublishRecord(id=3, topic="t", partition=3, value=b"x"),
        PublishRecord(id=4, topic="../t", value=b"x"),
        PublishRecord(id=5, topic="t", headers=[Header(name="")]),
        PublishRecord(id=6, topic="t", value=b"good"),
    ]
    async with Stub(cluster.bootstrap.split(",")[0]) as stub:
        answer = await stub.publish(PublishRequest(records=records))
    results = {result.id: result for result in answer.results}
    assert [result.id for result in answer.results] == [1, 2, 3, 4, 5, 6]
    assert not results[1].HasField("error")
    assert not results[6].HasField("error")
    assert results[2].error.reason == "UNKNOWN_TOPIC"
    assert "it has 0 to 2" in results[3].error.message
    assert results[4].error.reason == "INVALID_TOPIC_NAME"
    assert results[5].HasField("error")
    assert len(await read_all(cluster.bootstrap, "t")) == 2


@pytest.mark.parametrize("records", [0, 10_001])
async def test_the_number_of_records_is_bounded(cluster: LocalCluster, records: int) -> None:
    """The whole request is refused, with the range."""
    request = PublishRequest(topic="t", records=[PublishRecord(value=b"x")] * records)
    async with Stub(cluster.bootstrap.split(",")[0]) as stub:
        with pytest.raises(grpc.aio.AioRpcError, match="1 to 10000 are allowed") as caught:
            await stub.publish(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_leader_dies_under_a_stream(cluster: LocalCluster) -> None:
    """Records sent through a node that lives are stored once and in order, whoever leads."""
    total, killed = 2_000, cluster.bootstrap.split(",")[2]
    results: list[PublishResult] = []
    async with Stub(cluster.bootstrap.split(",")[0]) as stub:
        call = stub.publish_stream()

        async def receive() -> None:
            while len(results) < total:
                response = await call.read()
                assert response is not grpc.aio.EOF
                results.extend(response.results)

        receiving = asyncio.ensure_future(receive())
        for number in range(total):
            record = PublishRecord(id=number, key=b"key %d" % (number % 50), value=b"%d" % number)
            await call.write(PublishRequest(topic="t", records=[record]))
            if number == total // 2:
                node_id = next(n for n, a in cluster.addresses.items() if a == killed)
                cluster.kill(node_id)
        await call.done_writing()
        async with asyncio.timeout(TIMEOUT_S):
            await receiving
        assert await call.read() is grpc.aio.EOF
    assert not [result for result in results if result.HasField("error")]
    assert sorted(result.id for result in results) == list(range(total))
    stored = await read_all(cluster.bootstrap, "t")
    assert len(stored) == total
    by_key: dict[bytes | None, list[int]] = {}
    for each in stored:
        by_key.setdefault(each.key, []).append(int(each.value or b""))
    assert all(values == sorted(values) for values in by_key.values())
