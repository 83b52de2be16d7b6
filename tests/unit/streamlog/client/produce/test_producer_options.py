"""What a producer makes of what it is given: serializers, room, wrong types."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from streamlog.client import BufferFull, Producer
from streamlog.client.produce.topic_writer import default_partitioner
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
    """With what to do about it, and nothing of the record is sent, whoever chooses partitions."""
    cluster = FakeCluster("one:1")
    for partitioner in (default_partitioner, lambda key: 0):
        async with Producer(
            "one:1", partitioner=partitioner, environment=cluster.environment()
        ) as producer:
            with pytest.raises(TypeError, match=f"{words}.*_serializer"):
                await producer.send(TOPIC, value, key=key)
            with pytest.raises(TypeError, match=f"{words}.*_serializer"):
                await producer.append_batch(TOPIC, 0, [(key, value)])
    assert cluster.stored == []


async def test_what_a_partitioner_raises_is_its_own() -> None:
    """A TypeError about something else than the key's type."""
    cluster = FakeCluster("one:1")

    def partitioner(key: bytes) -> int:
        raise TypeError("two of them")

    async with Producer(
        "one:1", partitioner=partitioner, environment=cluster.environment()
    ) as producer:
        with pytest.raises(TypeError, match="two of them"):
            await producer.send(TOPIC, b"x", key=b"k")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([("a", "b")], "the value of header 'a' is of type str"),
        ({"a": b"b"}, "headers are of type dict"),
        ([(b"a", b"b")], "a header's name is b'a'"),
        (["ab"], "a header is of type str"),
        ([("a",)], "a header is of type tuple"),
        (7, "headers are of type int"),
    ],
)
async def test_wrong_headers_are_named(headers: Any, words: str) -> None:
    """With what they should be, and nothing of the record is sent."""
    cluster = FakeCluster("one:1")
    wanted = f"{words}.*; give a list of pairs of a name"
    async with Producer("one:1", environment=cluster.environment()) as producer:
        with pytest.raises(TypeError, match=wanted):
            await producer.send(TOPIC, b"x", headers=headers)
        with pytest.raises(TypeError, match=wanted):
            await producer.append_batch(TOPIC, 0, [b"x"], headers=headers)
    assert cluster.stored == []


LAST_MS = 2**62 - 1


async def test_timestamps_of_the_whole_range_are_stored_as_they_are() -> None:
    """In one batch, where each is a difference to the first."""
    stamps = [-LAST_MS, LAST_MS, 0, -1, LAST_MS, -LAST_MS]
    for first in range(len(stamps)):
        turned = stamps[first:] + stamps[:first]
        cluster = FakeCluster("one:1")
        async with Producer(
            "one:1", compression="none", environment=cluster.environment()
        ) as producer:
            await producer.writer(TOPIC)
            places = await asyncio.gather(
                *(producer.send(TOPIC, b"", timestamp_ms=stamp) for stamp in turned)
            )
            await producer.append_batch(TOPIC, 0, [(None, b"", stamp) for stamp in turned])
        assert [place.timestamp_ms for place in places] == turned
        assert cluster.max_timestamps == [LAST_MS, LAST_MS]
        for payload in cluster.stored:
            records = RecordSet.FromString(payload).records
            assert [turned[0] + record.timestamp_delta_ms for record in records] == turned


@pytest.mark.parametrize(
    ("timestamp_ms", "kind", "words"),
    [
        (2**62, ValueError, r"4611686018427387904; allowed are -2\^62 \+ 1 to 2\^62 - 1"),
        (-(2**62), ValueError, "timestamp_ms is -4611686018427387904"),
        (2**63, ValueError, "timestamp_ms is 9223372036854775808"),
        (-(2**70), ValueError, "allowed are"),
        (1.5, TypeError, "timestamp_ms is 1.5, of type float; give whole milliseconds"),
        ("now", TypeError, "timestamp_ms is 'now', of type str"),
    ],
)
async def test_a_wrong_timestamp_fails_alone(
    timestamp_ms: Any, kind: type[Exception], words: str
) -> None:
    """Once it killed the producer, or all that shared its batch; now it is not taken, first in its
    batch or not, and the others are stored."""
    cluster = FakeCluster("one:1")
    async with (
        asyncio.timeout(PATIENCE_S),
        Producer("one:1", linger_ms=60_000, environment=cluster.environment()) as producer,
    ):
        await producer.writer(TOPIC)
        for value in (b"1", b"2"):
            with pytest.raises(kind, match=words):
                producer.send_nowait(TOPIC, b"wrong", timestamp_ms=timestamp_ms)
            producer.send_nowait(TOPIC, value)
        with pytest.raises(kind, match=words):
            await producer.append_batch(TOPIC, 0, [b"3", (None, b"wrong", timestamp_ms)])
        await producer.flush()
    assert stored(cluster) == [(b"", b"1"), (b"", b"2")]


@pytest.mark.parametrize("own_ms", [1_000, LAST_MS])
async def test_records_with_and_without_a_timestamp_share_a_batch(own_ms: int) -> None:
    """The batch tells the largest of them all: retention and searches by time go by it. Each
    record's sender is told the time that is stored."""
    cluster = FakeCluster("one:1")
    async with Producer("one:1", compression="none", environment=cluster.environment()) as producer:
        await producer.writer(TOPIC)
        before_ms = cluster.environment().clock.wall_ms()
        own, arrival = await asyncio.gather(
            producer.send(TOPIC, b"", timestamp_ms=own_ms), producer.send(TOPIC, b"")
        )
        after_ms = cluster.environment().clock.wall_ms()
    (payload,) = cluster.stored
    first, second = RecordSet.FromString(payload).records
    assert (own.timestamp_ms, first.timestamp_delta_ms) == (own_ms, 0)
    assert arrival.timestamp_ms == own_ms + second.timestamp_delta_ms
    assert before_ms <= arrival.timestamp_ms <= after_ms
    assert cluster.max_timestamps == [max(own_ms, arrival.timestamp_ms)]


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
