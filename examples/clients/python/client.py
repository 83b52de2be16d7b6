"""The Python client of the matrix: the project's own library, by the contract of ../README.md.

Usage: client.py vectors|plain|produce|consume|replay|group --flag value ...
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any
from zlib import crc32

import google_crc32c
import grpc
import zstandard

from streamlog.client import (
    Admin,
    ClientError,
    Consumer,
    ConsumerRecord,
    OffsetAndMetadata,
    Producer,
    RecordMetadata,
    TopicExists,
    TopicPartition,
)
from streamlog.client.consume.decoding import decode_records
from streamlog.model.batch import payload_crc32c
from streamlog.v1.batch_pb2 import RecordBatch
from streamlog.v1.log_service_pb2 import OFFSET_SPEC_EARLIEST, FetchResponse
from streamlog.v1.record_pb2 import Header, Record, RecordSet
from streamlog.v1.record_service_pb2 import (
    PartitionStart,
    PublishRecord,
    PublishRequest,
    PublishResponse,
    SubscribeRequest,
    SubscribeResponse,
)

FIRST_MS = 1_700_000_000_000
PATIENCE_S = 60
PUBLISHED_AT_A_TIME = 500
CALL_S = 10
SERVICE = "/streamlog.v1.RecordService/"
KEEPALIVE = (("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 5_000))
Flags = dict[str, str]


class NoResult(Exception):
    """A record may have to be published again."""


def say(**line: Any) -> None:
    """A line for whoever started the program."""
    print(json.dumps(line), flush=True)


# What it writes, and how it prints what it reads.


def record(name: str, number: int) -> Record:
    """Record `number` of the program `name`; its time counts from FIRST_MS."""
    made = Record(timestamp_delta_ms=number)
    if number % 10 != 9:
        made.key = b"key-%d" % (number % 100)
    if number % 100 == 18:
        made.value = b""
    elif number % 100 != 17:
        made.value = f"{name}:{number}:".encode().ljust(100, b"x")
    if number % 10 == 3:
        made.headers.extend([Header(name="writer", value=name.encode()), Header(name="none")])
    return made


def show(record: ConsumerRecord) -> None:
    """A record that was read."""
    say(
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        key=None if record.key is None else record.key.hex(),
        value=None if record.value is None else record.value.hex(),
        headers=[[name, None if value is None else value.hex()] for name, value in record.headers],
    )


def optional(message: Any, field: str) -> bytes | None:
    """None when it is absent."""
    value: bytes = getattr(message, field)
    return value if message.HasField(field) else None


def published(name: str, number: int) -> PublishRecord:
    """The same for the plain path."""
    made = record(name, number)
    key, value = optional(made, "key"), optional(made, "value")
    at_ms = FIRST_MS + number
    return PublishRecord(id=number, key=key, value=value, headers=made.headers, timestamp_ms=at_ms)


async def make_topic(flags: Flags, partitions: int) -> None:
    """Unless it is there."""
    async with Admin(flags["bootstrap"]) as admin:
        with suppress(TopicExists):
            await admin.create_topic(flags["topic"], partitions=partitions, replication_factor=3)


# The commands.


def check(folder: Path) -> None:
    """The vectors. Raises AssertionError."""

    def each(name: str) -> list[dict[str, Any]]:
        vectors: list[dict[str, Any]] = json.loads((folder / name).read_text())["vectors"]
        say(file=name, checked=len(vectors))
        return vectors

    unzip = zstandard.ZstdDecompressor()
    for vector in each("crc32c.json"):
        assert google_crc32c.value(bytes.fromhex(vector["data"])) == vector["crc32c"]
    for vector in each("records.json"):
        (read,) = RecordSet.FromString(bytes.fromhex(vector["in_record_set"])).records
        assert [optional(read, "key"), optional(read, "value")] == [
            None if vector[name] is None else bytes.fromhex(vector[name])
            for name in ("key", "value")
        ]
        assert RecordSet(records=[read]).SerializeToString().hex() == vector["in_record_set"]
    for vector in each("batches.json"):
        batch = RecordBatch.FromString(bytes.fromhex(vector["batch"]))
        assert payload_crc32c(batch, batch.payload) == vector["payload_crc32c"]
        assert batch.payload_crc32c == vector["payload_crc32c"]
        zipped = batch.format_and_flags >> 8 & 0xF == 2
        plain = unzip.decompress(batch.payload) if zipped else batch.payload
        assert plain.hex() == vector["record_set"]
    for vector in each("refused.json"):
        batch = RecordBatch.FromString(bytes.fromhex(vector["batch"]))
        fits = payload_crc32c(batch, batch.payload) == batch.payload_crc32c
        assert fits == (vector["reason"] != "CORRUPT_BATCH")
    for vector in each("fetches.json"):
        response = FetchResponse.FromString(bytes.fromhex(vector["response"]))
        try:
            read_records = [
                record
                for batch in response.batches
                for record in decode_records(batch, "t", vector["from_offset"], unzip)
            ]
        except ClientError:
            assert vector["records"] is None
            continue
        told = [(each["offset"], each["timestamp_ms"]) for each in vector["records"]]
        assert told == [(each.offset, each.timestamp_ms) for each in read_records]
    for name, of in (("partitions.json", "key"), ("coordinators.json", "group")):
        for vector in each(name):
            text = vector[of]
            checksum = crc32(bytes.fromhex(text) if of == "key" else text.encode())
            assert checksum == vector["crc32"]
            assert all(checksum % count == number for count, number in vector["partitions"])
    for vector in each("sequences.json"):
        following = (vector["base_sequence"] + vector["record_count"]) % 2**31
        assert following == vector["next_base_sequence"]


class PlainPath:
    """Single records at any node, with generated messages alone; another node when one is gone.

    Records without a result are published again, and may be there twice: who minds takes the fast
    path.
    """

    def __init__(self, flags: Flags) -> None:
        self.name, self.topic = flags["name"], flags["topic"]
        self.nodes = cycle(flags["bootstrap"].split(","))
        self.count = int(flags["records"])
        self.left = list(range(self.count))
        self.sent = self.read = 0
        self.positions: dict[int, int] = {}

    async def patiently(self, work: Callable[[grpc.aio.Channel], Awaitable[None]]) -> None:
        """At one node after the other until it is done, or nothing came of it for PATIENCE_S."""
        done, since, pause_s = None, time.monotonic(), 0.05
        while True:
            async with grpc.aio.insecure_channel(next(self.nodes), KEEPALIVE) as channel:
                try:
                    return await work(channel)
                except (grpc.aio.AioRpcError, NoResult) as error:
                    if done != (done := (len(self.left), self.read)):
                        since, pause_s = time.monotonic(), 0.05
                    if time.monotonic() - since > PATIENCE_S:
                        sys.exit(f"nothing succeeds: {error}")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 1)

    async def publish(self, channel: grpc.aio.Channel) -> None:
        """What is not stored yet."""
        call = channel.unary_unary(
            f"{SERVICE}Publish", PublishRequest.SerializeToString, PublishResponse.FromString
        )
        while self.left:
            numbers = self.left[:PUBLISHED_AT_A_TIME]
            self.sent += len(numbers)
            records = [published(self.name, number) for number in numbers]
            answer = await call(PublishRequest(topic=self.topic, records=records), timeout=CALL_S)
            refused = {each.id: each.error for each in answer.results if each.HasField("error")}
            self.left[: len(numbers)] = refused
            say(stored=self.count - len(self.left))
            for number, error in refused.items():
                if not (error.retriable or error.indefinite):
                    sys.exit(f"record {number}: {error.reason}: {error.message}")
                raise NoResult(error.reason)

    async def subscribe(self, channel: grpc.aio.Channel) -> None:
        """From where it was to what is the end now."""
        call = channel.unary_stream(
            f"{SERVICE}Subscribe", SubscribeRequest.SerializeToString, SubscribeResponse.FromString
        )
        offsets = [PartitionStart(partition=p, offset=at) for p, at in self.positions.items()]
        wanted = SubscribeRequest(
            topic=self.topic, start=OFFSET_SPEC_EARLIEST, offsets=offsets, until_end=True
        )
        async for part in call(wanted):
            for each in part.records:
                headers = tuple((each.name, optional(each, "value")) for each in each.headers)
                stamp_ms = part.append_time_ms or part.base_timestamp_ms + each.timestamp_delta_ms
                place = part.partition, part.base_offset + each.offset_delta, stamp_ms
                content = optional(each, "key"), optional(each, "value"), headers
                show(ConsumerRecord(self.topic, *place, *content))
            self.read += len(part.records)
            self.positions[part.partition] = part.next_offset


async def plain(flags: Flags) -> None:
    """Publishes all, then reads all."""
    await make_topic(flags, 2)
    path, begun = PlainPath(flags), time.perf_counter()
    await path.patiently(path.publish)
    published_s, begun = time.perf_counter() - begun, time.perf_counter()
    await path.patiently(path.subscribe)
    say(
        result="plain",
        records=path.count,
        read=path.read,
        resent=path.sent - path.count,
        publish_per_second=path.count / published_s,
        subscribe_per_second=path.read / (time.perf_counter() - begun),
    )


async def produce(flags: Flags) -> None:
    """The fast path; the library batches, compresses, numbers and repeats."""
    await make_topic(flags, 3)
    name, count = flags["name"], int(flags["records"])
    batch, pause_s = int(flags["batch"]), int(flags["pause_ms"]) / 1_000
    stored = 0

    def told(place: RecordMetadata | None, error: ClientError | None) -> None:
        nonlocal stored
        if place is None:
            sys.exit(f"lost: {error}")
        stored += 1

    async with Producer(flags["bootstrap"], delivery_timeout_ms=PATIENCE_S * 1_000) as producer:
        writer = await producer.writer(flags["topic"])
        begun = time.perf_counter()
        for number in range(count):
            made = record(name, number)
            headers = [(each.name, optional(each, "value")) for each in made.headers]
            writer.send_nowait(
                optional(made, "value"),
                key=optional(made, "key"),
                headers=headers or None,
                timestamp_ms=FIRST_MS + number,
                on_delivery=told,
            )
            if number % batch == batch - 1:
                await (asyncio.sleep(pause_s) if pause_s else producer.room())
                say(stored=stored)
        await producer.flush()
        seconds = time.perf_counter() - begun
    done: dict[str, Any] = {"records": stored, "seconds": seconds, "per_second": stored / seconds}
    say(result="produce", **done, duplicates=0, resent=0)


async def read_to(
    consumer: Consumer, ends: dict[Any, int], count: int
) -> AsyncIterator[Sequence[ConsumerRecord]]:
    """So many records, or with 0 up to these ends."""
    while True:
        if not count and all([await consumer.position(each) >= end for each, end in ends.items()]):
            return
        taken = await consumer.getmany(timeout_ms=500)
        for records in taken.values():
            yield records


async def consume(flags: Flags) -> None:
    """From the start, an offset or a time, as the flags say."""
    topic, count = flags["topic"], int(flags.get("records", "0"))
    async with Consumer(flags["bootstrap"], no_position="earliest") as consumer:
        if "partition" in flags:
            pairs = [(topic, int(flags["partition"]))]
        else:
            pairs = [(topic, number) for number in await consumer.partitions_for(topic)]
        begun, read = time.perf_counter(), 0
        ends = {(topic, pair[1]): end for pair, end in (await consumer.end_offsets(pairs)).items()}
        consumer.assign(pairs, start=int(flags["offset"]) if "offset" in flags else "earliest")
        if "time_ms" in flags:
            await consumer.seek_to_time({pair: int(flags["time_ms"]) for pair in pairs})
        async for records in read_to(consumer, ends, count):
            read += len(records)
            if flags.get("print", "1") == "1":
                for each in records:
                    show(each)
            if count and read >= count:
                break
        seconds = time.perf_counter() - begun
    say(result="consume", records=read, seconds=seconds, per_second=read / seconds)


async def group(flags: Flags) -> None:
    """A member of a group until standard input ends; the library does what members must do."""
    owned: set[int] = set()
    closing = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    def assigned(pairs: list[TopicPartition]) -> None:
        owned.update(pair.partition for pair in pairs)
        say(assigned=sorted(owned), epoch=consumer.membership.epoch)

    async def revoked(pairs: list[TopicPartition]) -> None:
        await consumer.commit()  # Nothing commits by itself here.
        lost(pairs)

    def lost(pairs: list[TopicPartition]) -> None:
        owned.difference_update(pair.partition for pair in pairs)
        say(revoked=sorted(pair.partition for pair in pairs))
        say(assigned=sorted(owned), epoch=consumer.membership.epoch)

    def told(
        error: ClientError | None, offsets: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> None:
        if error is None and offsets:
            say(committed={pair.partition: at.offset for pair, at in offsets.items()})

    async with Consumer(
        flags["bootstrap"],
        group=flags["group"],
        topics=[flags["topic"]],
        session_timeout_ms=10_000,
        auto_commit_ms=None,
        no_position="earliest",
        on_assigned=assigned,
        on_revoked=revoked,
        on_lost=lost,
    ) as consumer:
        begun, read = time.perf_counter(), 0
        committed_s = begun
        while not closing.done():
            taken = await consumer.getmany(timeout_ms=100)
            for records in taken.values():
                for each in records:
                    show(each)
                read += len(records)
            if time.perf_counter() - committed_s > 0.1:
                committed_s = time.perf_counter()
                consumer.commit_nowait(on_commit=told)
        await consumer.commit()
        seconds = time.perf_counter() - begun
    say(result="group", records=read, seconds=seconds, per_second=read / seconds)


def main() -> None:
    """Run one command."""
    command, *rest = sys.argv[1:]
    flags = {
        name.removeprefix("--").replace("-", "_"): value
        for name, value in zip(rest[::2], rest[1::2], strict=True)
    }
    if command == "vectors":
        check(Path(flags["data"]))
        return
    reading = {"consume": consume, "replay": consume, "group": group}
    work = {"plain": plain, "produce": produce, **reading}[command]
    asyncio.run(work(flags))


if __name__ == "__main__":
    main()
