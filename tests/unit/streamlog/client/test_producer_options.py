"""What a producer makes of what it is given: serializers, room, wrong types."""

from __future__ import annotations

import asyncio
import json

import pytest

from streamlog.client import BufferFull, Producer
from streamlog.v1.record_pb2 import RecordSet
from tests.fakes.fake_nodes import TOPIC, FakeCluster

PATIENCE_S = 60


def stored(cluster: FakeCluster) -> list[tuple[bytes, bytes]]:
    """Keys and values of all records, in order."""
    return [
        (record.key, record.value)
        for payload in cluster.stored
        for record in RecordSet.FromString(payload).records
    ]


async def test_serializers_make_bytes() -> None:
    """In every way of sending; null keys and values pass them by; the partitioner sees bytes."""
    cluster = FakeCluster("one:1")
    seen: list[bytes] = []

    def partitioner(key: bytes) -> int:
        seen.append(key)
        return 0

    async with Producer(
        "one:1",
        compression="none",
        key_serializer=str.encode,
        value_serializer=lambda value: json.dumps(value).encode(),
        partitioner=partitioner,
        environment=cluster.environment(),
    ) as producer:
        await producer.send(TOPIC, {"a": 1}, key="k")
        producer.send_nowait(TOPIC, [2])
        await producer.send_many(TOPIC, [3, ("m", 4), ("n", None, 5)])
        await producer.append_batch(TOPIC, 0, [("o", 6)])
    assert stored(cluster) == [
        (b"k", b'{"a": 1}'),
        (b"", b"[2]"),
        (b"", b"3"),
        (b"m", b"4"),
        (b"n", b""),
        (b"o", b"6"),
    ]
    assert seen == [b"k", b"m", b"n"]


async def test_a_serializer_that_fails_sends_nothing() -> None:
    """Its own error reaches the caller, and the next record is sent."""
    cluster = FakeCluster("one:1")
    async with Producer(
        "one:1",
        compression="none",
        value_serializer=lambda value: json.dumps(value).encode(),
        environment=cluster.environment(),
    ) as producer:
        with pytest.raises(TypeError, match="not JSON serializable"):
            await producer.send(TOPIC, {1, 2})
        await producer.send(TOPIC, 1)
    assert stored(cluster) == [(b"", b"1")]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (None, "text", "the value is of type str"),
        ("text", b"x", "the key is of type str"),
        (7, None, "the key is of type int"),
        (b"k", {}, "the value is of type dict"),
    ],
)
async def test_wrong_types_are_named(key: object, value: object, words: str) -> None:
    """With what to do about it, and nothing of the record is sent."""
    cluster = FakeCluster("one:1")
    partitioner = lambda key: 0  # noqa: E731  # the default fails on text by itself
    async with Producer(
        "one:1", partitioner=partitioner, environment=cluster.environment()
    ) as producer:
        with pytest.raises(TypeError, match=f"{words}.*_serializer"):
            await producer.send(TOPIC, value, key=key)
    assert cluster.stored == []


async def test_room_is_waited_for_no_longer_than_asked() -> None:
    """Back-pressure or an error, by choice; what was taken before is still sent."""
    cluster = FakeCluster("one:1")
    async with (
        asyncio.timeout(PATIENCE_S),
        Producer(
            "one:1",
            compression="none",
            buffer_bytes=32 * 1024,
            linger_ms=60_000,
            max_block_ms=0,
            environment=cluster.environment(),
        ) as producer,
    ):
        await producer.writer(TOPIC)
        for _ in range(16):
            producer.send_nowait(TOPIC, bytes(1_000))
        with pytest.raises(BufferFull, match="buffer_bytes is 32768") as caught:
            await producer.send(TOPIC, bytes(20_000))
        assert caught.value.retriable
    async with Producer("one:1", max_block_ms=50, environment=cluster.environment()) as producer:
        await producer.send(TOPIC, b"there is room")
    with pytest.raises(ValueError, match="max_block_ms is -1"):
        Producer("one:1", max_block_ms=-1)
