"""Single records in and out of three real nodes, by a client that has nothing but stubs."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import grpc
import grpc.aio
import pytest

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin, Consumer, ConsumerRecord, Producer
from streamlog.v1.log_service_pb2 import OffsetSpec
from streamlog.v1.record_pb2 import Header
from streamlog.v1.record_service_pb2 import (
    PublishRecord,
    PublishRequest,
    PublishResponse,
    PublishResult,
    SubscribeRequest,
    SubscribeResponse,
)

TIMEOUT_S = 60
SERVICE = "/streamlog.v1.RecordService/"


@pytest.fixture
async def cluster(cluster: LocalCluster) -> LocalCluster:
    """Three nodes with a topic of three partitions, which each of them knows: who has nothing but
    stubs asks one of them, once."""
    async with Admin(cluster.bootstrap) as admin, asyncio.timeout(TIMEOUT_S):
        await admin.create_topic("t", partitions=3, replication_factor=3)
        while len(await admin.describe_replicas("t")) < 9:
            await asyncio.sleep(0.05)
    return cluster


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
        self.subscribe: Any = self._channel.unary_stream(
            SERVICE + "Subscribe", SubscribeRequest.SerializeToString, SubscribeResponse.FromString
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
        PublishRecord(id=7, topic="t", timestamp_ms=2**63 - 1),
    ]
    async with Stub(cluster.bootstrap.split(",")[0]) as stub:
        answer = await stub.publish(PublishRequest(records=records))
    results = {result.id: result for result in answer.results}
    assert [result.id for result in answer.results] == [1, 2, 3, 4, 5, 6, 7]
    assert not results[1].HasField("error")
    assert not results[6].HasField("error")
    assert results[2].error.reason == "UNKNOWN_TOPIC"
    assert "it has 0 to 2" in results[3].error.message
    assert results[4].error.reason == "INVALID_TOPIC_NAME"
    assert results[5].HasField("error")
    assert "allowed are -2^62 + 1 to 2^62 - 1" in results[7].error.message
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


Place = tuple[int, int, int, bytes]
"""Partition, offset, timestamp in Unix milliseconds, value."""


def places(response: SubscribeResponse) -> list[Place]:
    """As the comments of the proto say; this is all that a plain client has to know."""
    return [
        (
            response.partition,
            response.base_offset + record.offset_delta,
            response.append_time_ms or response.base_timestamp_ms + record.timestamp_delta_ms,
            record.value,
        )
        for record in response.records
    ]


async def subscribed(address: str, **request: Any) -> list[Place]:
    """Everything up to the end, in the order it came."""
    found: list[Place] = []
    async with Stub(address) as stub, asyncio.timeout(TIMEOUT_S):
        async for response in stub.subscribe(SubscribeRequest(until_end=True, **request)):
            found += places(response)
    return found


async def stored(bootstrap: str, **options: Any) -> list[Place]:
    """300 records in batches of a few; returns their places."""
    sent: list[Place] = []
    async with Producer(bootstrap, linger_ms=0, **options) as producer:
        for number in range(0, 300, 10):
            many = [
                producer.send("t", b"%d" % n, partition=n % 3, timestamp_ms=1_000 + n)
                for n in range(number, number + 10)
            ]
            for n, at in enumerate(await asyncio.gather(*many), number):
                sent.append((at.partition, at.offset, at.timestamp_ms, b"%d" % n))
    return sorted(sent)


async def test_subscribe_from_anywhere_on_any_node(cluster: LocalCluster) -> None:
    """From the start, from offsets, from a time, to the end: exactly what is there."""
    sent = await stored(cluster.bootstrap)
    for address in cluster.bootstrap.split(","):
        everything = await subscribed(address, topic="t", start=OffsetSpec.OFFSET_SPEC_EARLIEST)
        assert sorted(everything) == sent
        for number in range(3):
            offsets = [offset for partition, offset, *_ in everything if partition == number]
            assert offsets == sorted(offsets)
    later = await subscribed(
        address, topic="t", start=OffsetSpec.OFFSET_SPEC_TIMESTAMP, timestamp_ms=1_150
    )
    assert sorted(later) == [place for place in sent if place[2] >= 1_150]
    middle = sent[33][1]
    start = [{"partition": 0, "offset": middle}]
    one = await subscribed(address, topic="t", partitions=[0], offsets=start)
    assert one == [place for place in sent if place[0] == 0 and place[1] >= middle]
    assert not await subscribed(address, topic="t")


async def test_a_subscription_goes_on_while_a_leader_dies(cluster: LocalCluster) -> None:
    """New records come as they commit, each once, through a node that lives."""
    addresses = cluster.bootstrap.split(",")
    total = 600
    found: list[Place] = []
    async with Stub(addresses[0]) as reader, Stub(addresses[1]) as writer:
        call = reader.subscribe(SubscribeRequest(topic="t", start=OffsetSpec.OFFSET_SPEC_EARLIEST))

        async def read() -> None:
            async for response in call:
                found.extend(places(response))
                if len(found) >= total:
                    return

        reading = asyncio.ensure_future(read())
        for number in range(total):
            if number == total // 2:
                cluster.kill(3)
            record = PublishRecord(value=b"%d" % number)
            answer = await writer.publish(PublishRequest(topic="t", records=[record]))
            assert not answer.results[0].HasField("error"), answer
        async with asyncio.timeout(TIMEOUT_S):
            await reading
        call.cancel()
    assert sorted(int(value) for *_, value in found) == list(range(total))


async def test_a_subscription_takes_up_new_partitions(cluster: LocalCluster) -> None:
    """Who subscribes to a topic gets all of it, also what is added to it."""
    address = cluster.bootstrap.split(",")[0]
    async with Stub(address) as stub, Admin(cluster.bootstrap) as admin:
        call = stub.subscribe(SubscribeRequest(topic="t", start=OffsetSpec.OFFSET_SPEC_EARLIEST))
        await stub.publish(PublishRequest(topic="t", records=[PublishRecord(value=b"old")]))
        async with asyncio.timeout(TIMEOUT_S):
            assert places(await call.read())[0][3] == b"old"
            await admin.add_partitions("t", 4)
            while True:
                record = PublishRecord(value=b"new", partition=3)
                answer = await stub.publish(PublishRequest(topic="t", records=[record]))
                if not answer.results[0].HasField("error"):
                    break
                await asyncio.sleep(0.05)
            found = places(await call.read())
        assert {(place[0], place[3]) for place in found} == {(3, b"new")}
        call.cancel()


@pytest.mark.parametrize(
    ("request_fields", "code", "words"),
    [
        ({"topic": "absent"}, grpc.StatusCode.NOT_FOUND, "absent"),
        ({"topic": ""}, grpc.StatusCode.INVALID_ARGUMENT, "topic is empty"),
        ({"topic": "t", "partitions": [3]}, grpc.StatusCode.INVALID_ARGUMENT, "0 to 2, not 3"),
        ({"topic": "t", "start": 9}, grpc.StatusCode.INVALID_ARGUMENT, "allowed are 0 to 3"),
        (
            {"topic": "t", "partitions": [0], "offsets": [{"partition": 1}]},
            grpc.StatusCode.INVALID_ARGUMENT,
            "partition 1, which is not subscribed",
        ),
        (
            {"topic": "t", "partitions": [0], "offsets": [{"partition": 0, "offset": 99}]},
            grpc.StatusCode.OUT_OF_RANGE,
            "99",
        ),
    ],
)
async def test_a_wrong_subscription_is_told_what_is_allowed(
    cluster: LocalCluster, request_fields: Any, code: grpc.StatusCode, words: str
) -> None:
    """The call ends with a canonical status, the value and the range."""
    async with Stub(cluster.bootstrap.split(",")[0]) as stub:
        call = stub.subscribe(SubscribeRequest(**request_fields))
        async with asyncio.timeout(TIMEOUT_S):
            with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
                await call.read()
    assert caught.value.code() is code
