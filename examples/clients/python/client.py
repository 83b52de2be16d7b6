"""The Python client of the matrix: the project's own library, by the contract of ../README.md.

Usage: client.py vectors|plain|produce|consume|replay|group --flag value ...
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
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
from streamlog.client.records import decode_records
from streamlog.model.batch import payload_crc32c
from streamlog.v1.batch_pb2 import RecordBatch
from streamlog.v1.log_service_pb2 import OFFSET_SPEC_EARLIEST, FetchResponse
from streamlog.v1.record_pb2 import Header, Record, RecordSet
from streamlog.v1.record_service_pb2 import (
    PublishRecord,
    PublishRequest,
    PublishResponse,
    SubscribeRequest,
    SubscribeResponse,
)

FIRST_MS = 1_700_000_000_000
PATIENCE_S = 60
PUBLISHED_AT_A_TIME = 500
Flags = dict[str, str]


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


async def plain(flags: Flags) -> None:
    """The plain path, with generated messages alone."""
    await make_topic(flags, 2)
    name, count = flags["name"], int(flags["records"])
    service = "/streamlog.v1.RecordService/"
    for address in flags["bootstrap"].split(","):
        channel = grpc.aio.insecure_channel(address)
        try:
            await asyncio.wait_for(channel.channel_ready(), timeout=2)
            break
        except TimeoutError:
            await channel.close()
    else:
        sys.exit("no node answers")
    async with channel:
        publish = channel.unary_unary(
            f"{service}Publish", PublishRequest.SerializeToString, PublishResponse.FromString
        )
        begun = time.perf_counter()
        for first in range(0, count, PUBLISHED_AT_A_TIME):
            numbers = range(first, min(first + PUBLISHED_AT_A_TIME, count))
            records = []
            for number in numbers:
                made = record(name, number)
                records.append(
                    PublishRecord(
                        id=number,
                        key=optional(made, "key"),
                        value=optional(made, "value"),
                        headers=made.headers,
                        timestamp_ms=FIRST_MS + number,
                    )
                )
            request = PublishRequest(topic=flags["topic"], records=records)
            for result in (await publish(request, timeout=PATIENCE_S)).results:
                if result.HasField("error"):
                    sys.exit(f"record {result.id}: {result.error.reason}: {result.error.message}")
            say(stored=numbers.stop)
        published_s, begun = time.perf_counter() - begun, time.perf_counter()
        subscribe = channel.unary_stream(
            f"{service}Subscribe", SubscribeRequest.SerializeToString, SubscribeResponse.FromString
        )
        wanted = SubscribeRequest(topic=flags["topic"], start=OFFSET_SPEC_EARLIEST, until_end=True)
        read = 0
        async for part in subscribe(wanted, timeout=PATIENCE_S):
            for each in part.records:
                headers = tuple((each.name, optional(each, "value")) for each in each.headers)
                stamp_ms = part.append_time_ms or part.base_timestamp_ms + each.timestamp_delta_ms
                offset = part.base_offset + each.offset_delta
                show(
                    ConsumerRecord(
                        *(flags["topic"], part.partition, offset, stamp_ms),
                        *(optional(each, "key"), optional(each, "value"), headers),
                    )
                )
            read += len(part.records)
        read_s = time.perf_counter() - begun
    say(
        result="plain",
        records=count,
        read=read,
        publish_per_second=count / published_s,
        subscribe_per_second=read / read_s,
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
    say(
        result="produce",
        records=stored,
        seconds=seconds,
        per_second=stored / seconds,
        duplicates=0,
        resent=0,
    )


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
    work = {
        "plain": plain,
        "produce": produce,
        "consume": consume,
        "replay": consume,
        "group": group,
    }[command]
    asyncio.run(work(flags))


if __name__ == "__main__":
    main()
