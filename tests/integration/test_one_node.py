"""One node with one replica is a full mode: everything a client does, in blocking style, here."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

import pytest

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import (
    ClientClosed,
    ClientError,
    OffsetOutOfRange,
    PositionReset,
    PositionUnknown,
    RecordMetadata,
    RecordsLost,
    RecordUndecodable,
    TopicPartition,
    TopicUnknown,
    WrongUse,
)
from streamlog.client.sync import HANDOVER_RECORDS_MAX, Admin, Consumer, Producer
from tests.fakes.node_processes import until

SILENCE_MS = 60_000
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One node for all tests here; each has a topic of its own."""
    cluster = LocalCluster(tmp_path_factory.mktemp("node"), nodes=1)
    try:
        asyncio.run(cluster.start())
        yield cluster.bootstrap
    finally:
        cluster.kill_all()


@pytest.fixture
def topic(bootstrap: str, request: pytest.FixtureRequest) -> str:
    """One partition."""
    name = str(request.node.name)[:200].replace("[", ".").replace("]", "")
    with Admin(bootstrap) as admin:
        assert len(admin.create_topic(name).partitions[0].replica_node_ids) == 1
    return name


def fill(bootstrap: str, topic: str, count: int) -> None:
    with Producer(bootstrap) as producer:
        assert producer.send_many(topic, (b"%d" % number for number in range(count))) == count


def test_write_and_read(bootstrap: str, topic: str) -> None:
    """Every way of sending, in order; leaving a loop and coming back passes nothing over."""
    told: list[int] = []
    with Producer(bootstrap) as producer:
        place = producer.send(topic, b"0", key=b"k", headers=[("h", b"v")], timestamp_ms=7)
        assert place == RecordMetadata(topic, 0, place.offset, 7)

        def delivered(metadata: RecordMetadata | None, error: ClientError | None) -> None:
            assert metadata is not None, error
            told.append(metadata.offset)

        for number in range(1, 500):
            producer.send_nowait(topic, b"%d" % number, on_delivery=delivered)
        producer.flush()
        # A leader that begins anew writes a record of its own, which takes an offset.
        assert told == sorted(set(told))
        assert len(told) == 499
        assert told[0] > place.offset
        producer.send_many(topic, (b"%d" % number for number in range(500, 1_000)))
    pair = TopicPartition(topic, 0)
    with Consumer(bootstrap) as consumer:
        consumer.assign([pair])
        values = [record.value for record in islice(consumer, 10)]
        assert consumer.position(pair) == told[8] + 1
        record = consumer.getone()
        assert record is not None
        values.append(record.value)
        while len(values) < 16:
            polled = consumer.getmany(max_records=16 - len(values), timeout_ms=SILENCE_MS)
            values += [record.value for records in polled.values() for record in records]
        assert len(values) == 16
        values += [record.value for record in islice(consumer, 984)]
        assert values == [b"%d" % number for number in range(1_000)]
        assert consumer.getone(timeout_ms=50) is None
        consumer.seek(pair, place.offset)
        first = consumer.getone()
        assert first is not None
        assert (first.key, first.headers, first.timestamp_ms) == (b"k", (("h", b"v"),), 7)
        for count, record in enumerate(consumer):
            if count == 3:
                consumer.seek(pair, place.offset)
            if count == 4:
                assert record.offset == place.offset, "a seek inside the loop counts at once"
                break


def test_several_threads_share_a_producer(bootstrap: str, topic: str) -> None:
    """Nothing is lost or doubled; each thread's records keep their order."""
    with Producer(bootstrap) as producer:

        def work(name: int) -> None:
            for number in range(2_000):
                producer.send_nowait(topic, b"%d %d" % (name, number))

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    by_thread: dict[int, list[int]] = {name: [] for name in range(4)}
    with Consumer(bootstrap) as consumer:
        consumer.assign([(topic, 0)])
        for record in islice(consumer, 8_000):
            name, number = map(int, record.value.split())
            by_thread[name].append(number)
    assert all(numbers == list(range(2_000)) for numbers in by_thread.values())


def test_failures_of_records_handed_over(bootstrap: str, topic: str) -> None:
    """They are told to the callback, or by flush; the others are stored."""
    told: list[ClientError | None] = []
    with Producer(bootstrap) as producer:
        producer.send_nowait(topic, b"good")
        producer.send_nowait(topic, "text")
        producer.send_nowait(topic, b"x", partition=9)
        with pytest.raises(RecordsLost, match="2 records"):
            producer.flush()
        producer.send_nowait("nowhere", b"x", on_delivery=lambda _, error: told.append(error))
        producer.flush()
        assert isinstance(told[0], TopicUnknown)
        producer.send_nowait(topic, b"better")
    with Consumer(bootstrap) as consumer:
        consumer.assign([(topic, 0)])
        assert [record.value for record in islice(consumer, 2)] == [b"good", b"better"]
    assert HANDOVER_RECORDS_MAX > 0


def test_policies_for_positions(bootstrap: str, topic: str) -> None:
    """No position, below the start, above the end: each has its own answer, and is reported."""
    fill(bootstrap, topic, 1_000)
    pair = TopicPartition(topic, 0)

    def newest_end() -> int:
        with Admin(bootstrap) as admin:
            return admin.list_offsets([pair], "latest")[pair].offset

    with Admin(bootstrap) as admin:
        start = admin.trim({pair: newest_end()})[pair]
        assert start > 0
    fill(bootstrap, topic, 3)
    filled = newest_end()
    resets: list[PositionReset] = []

    def first(offset: int, **policies: object) -> object:
        """The value of the record that the policy leads to."""
        with Consumer(bootstrap, on_reset=resets.append, **policies) as consumer:
            consumer.assign([pair], start=offset)
            record = consumer.getone(timeout_ms=SILENCE_MS)
            return record if record is None else record.value

    def at_the_end(offset: int, **policies: object) -> None:
        """The policy leads to where there is nothing to read."""
        told = len(resets)
        with Consumer(bootstrap, on_reset=resets.append, **policies) as consumer:
            consumer.assign([pair], start=offset)
            for _ in range(SILENCE_MS // 100):
                assert consumer.getone(timeout_ms=100) is None
                if len(resets) > told:
                    break
            assert consumer.getone(timeout_ms=500) is None

    with pytest.raises(OffsetOutOfRange) as caught:
        first(0, above_end="earliest")
    assert caught.value.metadata["log_start_offset"] == str(start)
    assert first(0, below_start="earliest") == b"0"
    at_the_end(0, below_start="latest")
    assert first(0, below_start=timedelta(hours=1)) == b"0"
    with pytest.raises(OffsetOutOfRange):
        first(10**9, below_start="earliest")
    assert first(10**9, above_end="earliest") == b"0"
    at_the_end(10**9, above_end="latest")
    end, newest = newest_end(), resets[1].to_offset
    assert resets == [
        PositionReset(topic, 0, 0, start, "below_start"),
        PositionReset(topic, 0, 0, newest, "below_start"),
        PositionReset(topic, 0, 0, resets[2].to_offset, "below_start"),
        PositionReset(topic, 0, 10**9, start, "above_end"),
        PositionReset(topic, 0, 10**9, resets[4].to_offset, "above_end"),
    ]
    # A leader that begins anew moves the end on.
    assert filled <= newest <= resets[4].to_offset <= end
    assert start <= resets[2].to_offset < filled
    with Consumer(bootstrap, no_position="error") as consumer:
        with pytest.raises(PositionUnknown):
            consumer.assign([pair])
        consumer.assign([pair], start="earliest")
        assert consumer.assignment == [pair]
    with Consumer(bootstrap, no_position="latest") as consumer:
        consumer.assign([pair])
        assert end <= consumer.position(pair) <= newest_end()
    with pytest.raises(ValueError, match="below_start is 'newest'; allowed are"):
        Consumer(bootstrap, below_start="newest")
    with pytest.raises(ValueError, match="must not be negative"):
        Consumer(bootstrap, no_position=timedelta(hours=-1))


def test_deserializers(bootstrap: str, topic: str) -> None:
    """Values of the application's types; one that can not be made stops there until it is passed."""
    with Producer(bootstrap, value_serializer=lambda value: json.dumps(value).encode()) as producer:
        producer.send_many(topic, [1, {"a": 2}, None])
    with Producer(bootstrap) as producer:
        bad = producer.send(topic, b"{not json", key=b"k").offset
        producer.send(topic, b"5")
    with Consumer(
        bootstrap, key_deserializer=bytes.decode, value_deserializer=json.loads
    ) as consumer:
        consumer.assign([(topic, 0)])
        assert [record.value for record in islice(consumer, 3)] == [1, {"a": 2}, None]
        with pytest.raises(RecordUndecodable, match="the value of") as caught:
            consumer.getmany(timeout_ms=SILENCE_MS)
        assert caught.value.offset == bad
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(RecordUndecodable):
            consumer.getone(timeout_ms=SILENCE_MS)
        consumer.seek((topic, 0), bad + 1)
        good = consumer.getone()
        assert good is not None
        assert good.value == 5


def test_wrong_use(bootstrap: str, topic: str) -> None:
    """In an event loop, after close, after a fork: a clear error, and no thread is left behind."""
    with pytest.raises(ValueError, match="linger_ms is -1"):
        Producer(bootstrap, linger_ms=-1)
    before = threading.active_count()
    producer = Producer(bootstrap)

    async def inside() -> None:
        with pytest.raises(WrongUse, match="would block the event loop"):
            producer.send(topic, b"x")

    asyncio.run(inside())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            producer.send(topic, b"x")
        except WrongUse as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    assert b"make it after the fork" in os.read(reader, 1_000)
    os.close(reader)
    producer.send(topic, b"x")
    producer.close()
    producer.close()
    with pytest.raises(ClientClosed, match="the producer is closed"):
        producer.send(topic, b"x")
    with pytest.raises(ClientClosed):
        producer.send_nowait(topic, b"x")
    until(lambda: threading.active_count() <= before, "no thread is left behind")
