"""Makes `proto/testdata`: test vectors for clients in other languages, from the product's code.

Each file is one JSON object with a list `vectors`; bytes are hexadecimal, numbers below 2^53, null
means absent. `docs/protocol.md` says how to read them. A zstd frame is not a function of its
content alone (compressors differ from version to version): one that is there already, and holds
the right content, is kept, so that the files change only when the format does.

python -m contract.vectors
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import google_crc32c

from consumer_groups.types import GroupName
from streamlog.client.produce.partition_queue import SEQUENCE_MODULUS
from streamlog.client.produce.record_encoder import OFFSET_FIELDS, encode_record, headers_fields
from streamlog.client.produce.topic_writer import default_partitioner
from streamlog.groups.offsets_topic import partition_of
from streamlog.model.batch import (
    APPEND_TIME,
    CODEC_NONE,
    CODEC_SHIFT,
    CODEC_ZSTD,
    CONTROL,
    FORMAT_VERSION,
    HAS_EXPIRY,
    HAS_PRODUCER,
    draft_from_message,
    draft_of_payload,
    payload_crc32c,
)
from streamlog.model.errors import Reason
from streamlog.model.record_set import MalformedPayload, inflate, new_compressor, new_decompressor
from streamlog.model.status_details import encode as encode_status
from streamlog.v1.batch_pb2 import CONTROL_TYPE_LEADER_NO_OP, ControlRecord, RecordBatch
from streamlog.v1.log_service_pb2 import FetchResponse
from streamlog.v1.record_pb2 import Header, Record, RecordSet

FOLDER: Final = Path(__file__).parents[1] / "proto" / "testdata"
FIRST_MS: Final = 1_700_000_000_000
TOPIC_ID: Final = 7

Vector = dict[str, Any]


def checksums() -> list[Vector]:
    """CRC32C: those of RFC 3720, and a long one."""
    inputs = [
        b"",
        b"a",
        b"123456789",
        bytes(32),
        b"\xff" * 32,
        bytes(range(32)),
        bytes(reversed(range(32))),
        bytes(n * 7 % 256 for n in range(1_000)),
    ]
    return [{"data": data.hex(), "crc32c": google_crc32c.value(data)} for data in inputs]


def record_of(fields: Mapping[str, Any]) -> Record:
    """The message of a vector's fields."""
    record = Record(
        offset_delta=fields["offset_delta"], timestamp_delta_ms=fields["timestamp_delta_ms"]
    )
    for name in ("key", "value", "record_id"):
        if fields.get(name) is not None:
            setattr(record, name, bytes.fromhex(fields[name]))
    if fields.get("expires_at_ms") is not None:
        record.expires_at_ms = fields["expires_at_ms"]
    for name, value in fields["headers"]:
        record.headers.append(
            Header(name=name) if value is None else Header(name=name, value=bytes.fromhex(value))
        )
    return record


def fields_of(record: Record) -> Vector:
    """The reverse of `record_of`, without the rarely used fields."""
    return {
        "key": record.key.hex() if record.HasField("key") else None,
        "value": record.value.hex() if record.HasField("value") else None,
        "headers": [
            [each.name, each.value.hex() if each.HasField("value") else None]
            for each in record.headers
        ],
        "offset_delta": record.offset_delta,
        "timestamp_delta_ms": record.timestamp_delta_ms,
    }


def some_records() -> list[Record]:
    """Every field absent, empty, small and large."""
    return [
        Record(key=b"k", value=b"hello"),
        Record(),
        Record(key=b"", value=b""),
        Record(value=b"v", offset_delta=1, timestamp_delta_ms=5),
        Record(key=b"k", offset_delta=2, timestamp_delta_ms=-5),
        Record(
            key=b"k",
            value=b"v",
            headers=[
                Header(name="h", value=b"1"),
                Header(name="h", value=b""),
                Header(name="null"),
                Header(name="größe", value=b"\x00\xff"),
            ],
            offset_delta=127,
            timestamp_delta_ms=63,
        ),
        Record(value=b"x" * 200, offset_delta=128, timestamp_delta_ms=64),
        Record(key=b"y" * 300, offset_delta=16_383, timestamp_delta_ms=-1_000_000_000_000),
    ]


def records() -> list[Vector]:
    """Records, and how each stands in a RecordSet."""
    made = []
    for record in some_records():
        tail = Record(timestamp_delta_ms=record.timestamp_delta_ms).SerializeToString()
        headers = headers_fields(
            (each.name, each.value if each.HasField("value") else None) for each in record.headers
        )
        encoded = encode_record(
            record.key if record.HasField("key") else None,
            record.value if record.HasField("value") else None,
            tail,
            headers + OFFSET_FIELDS[record.offset_delta],
        )
        made.append({**fields_of(record), "in_record_set": encoded.hex()})
    rare = {
        **fields_of(Record(key=b"k", value=b"v")),
        "record_id": b"id-1".hex(),
        "expires_at_ms": FIRST_MS,
    }
    encoded = RecordSet(records=[record_of(rare)]).SerializeToString()
    return [*made, {**rare, "in_record_set": encoded.hex()}]


@cache
def kept_frames() -> dict[str, bytes]:
    """Payloads of the batches that are there already, by name."""
    try:
        there = json.loads((FOLDER / "batches.json").read_text())["vectors"]
    except FileNotFoundError:
        return {}
    return {each["name"]: bytes.fromhex(each["payload"]) for each in there}


def compressed(name: str, plain: bytes) -> bytes:
    """A zstd frame: the one of the vector `name` if it is there and right."""
    kept = kept_frames().get(name)
    if kept is not None:
        try:
            if inflate(kept, CODEC_ZSTD, len(plain), new_decompressor()) == plain:
                return kept
        except MalformedPayload:
            pass
    return new_compressor().compress(plain)


def batch_of(
    name: str, made_of: Iterable[Record], codec: int, flags: int = 0, **fields: int
) -> RecordBatch:
    """A batch as a producer sends it."""
    record_set = RecordSet(records=made_of)
    plain = record_set.SerializeToString()
    payload = compressed(name, plain) if codec == CODEC_ZSTD else plain
    times = [FIRST_MS + each.timestamp_delta_ms for each in record_set.records]
    batch = RecordBatch(
        format_and_flags=FORMAT_VERSION | codec << CODEC_SHIFT | flags,
        last_offset_delta=len(record_set.records) - 1,
        record_count=len(record_set.records),
        first_timestamp_ms=FIRST_MS,
        max_timestamp_ms=max(times),
        uncompressed_bytes=len(plain),
        payload=payload,
        **fields,
    )
    batch.payload_crc32c = payload_crc32c(batch, payload)
    return batch


def packed(batch: RecordBatch) -> bytes:
    """What the checksum covers before the payload, put together again from the fields."""
    parts = [
        (batch.format_and_flags, 4),
        (batch.partition, 4),
        (batch.last_offset_delta, 4),
        (batch.record_count, 4),
        (batch.first_timestamp_ms, 8),
        (batch.max_timestamp_ms, 8),
        (batch.producer_id, 8),
        (batch.producer_epoch, 4),
        (batch.base_sequence, 4),
        (batch.schema_id, 4),
        (batch.routing_epoch, 4),
        (batch.encryption_key_id, 4),
        (batch.uncompressed_bytes, 4),
    ]
    return b"".join((value % (1 << 8 * size)).to_bytes(size, "little") for value, size in parts)


def two_records() -> list[Record]:
    """Those of the example in docs/protocol.md."""
    return [
        Record(key=b"k", value=b"hello"),
        Record(
            value=b"",
            headers=[Header(name="h", value=b"1")],
            offset_delta=1,
            timestamp_delta_ms=5,
        ),
    ]


def many_records(count: int) -> list[Record]:
    """Some that compress well."""
    return [
        Record(
            key=b"key-%d" % (n % 10),
            value=b'{"reading": %d, "unit": "celsius"}' % n,
            offset_delta=n,
            timestamp_delta_ms=n,
        )
        for n in range(count)
    ]


def sound_batches() -> dict[str, RecordBatch]:
    """Batches that a node takes, by name."""
    last = SEQUENCE_MODULUS - 50
    later = [*many_records(3), Record(offset_delta=3, timestamp_delta_ms=-7)]
    expiring = Record(key=b"k", value=b"v", expires_at_ms=FIRST_MS + 1_000)
    producer = {"producer_id": 9, "routing_epoch": 1}
    made: list[tuple[str, list[Record], int, int, dict[str, int]]] = [
        ("the example of the page", two_records(), CODEC_NONE, HAS_PRODUCER, producer | {"partition": 2}),
        ("no producer", two_records(), CODEC_NONE, 0, {}),
        ("zstd", many_records(100), CODEC_ZSTD, 0, {"partition": 5, "routing_epoch": 3}),
        (
            "zstd, producer, sequence that wraps",
            many_records(100),
            CODEC_ZSTD,
            HAS_PRODUCER,
            {"producer_id": 1 << 40, "producer_epoch": 3, "base_sequence": last, "routing_epoch": 1},
        ),
        ("a time before the first", later, CODEC_NONE, HAS_PRODUCER, producer | {"base_sequence": 2}),
        ("producer 0", two_records(), CODEC_NONE, HAS_PRODUCER, {}),
        ("a record that expires", [expiring], CODEC_NONE, HAS_EXPIRY, {}),
        ("a thousand empty records", [Record(offset_delta=n) for n in range(1_000)], CODEC_ZSTD, 0, {}),
    ]  # fmt: skip
    return {
        name: batch_of(name, made_of, codec, flags, **fields)
        for name, made_of, codec, flags, fields in made
    }


def record_set_of(batch: RecordBatch) -> bytes:
    """The plain payload."""
    codec = batch.format_and_flags >> CODEC_SHIFT & 0xF
    return inflate(batch.payload, codec, batch.uncompressed_bytes, new_decompressor())


def batches() -> list[Vector]:
    """Batches as producers send them."""
    return [
        {
            "name": name,
            "record_set": record_set_of(batch).hex(),
            "format_and_flags": batch.format_and_flags,
            "partition": batch.partition,
            "last_offset_delta": batch.last_offset_delta,
            "record_count": batch.record_count,
            "first_timestamp_ms": batch.first_timestamp_ms,
            "max_timestamp_ms": batch.max_timestamp_ms,
            "producer_id": batch.producer_id,
            "producer_epoch": batch.producer_epoch,
            "base_sequence": batch.base_sequence,
            "routing_epoch": batch.routing_epoch,
            "uncompressed_bytes": batch.uncompressed_bytes,
            "payload": batch.payload.hex(),
            "packed": packed(batch).hex(),
            "payload_crc32c": batch.payload_crc32c,
            "batch": batch.SerializeToString(deterministic=True).hex(),
        }
        for name, batch in sound_batches().items()
    ]


def refused() -> list[Vector]:
    """Batches that a node refuses, and why."""
    sound = sound_batches()["zstd"].SerializeToString()
    made: list[Vector] = []

    def spoiled(name: str, reason: Reason, *, seal: bool, **changes: Any) -> None:
        batch = RecordBatch.FromString(sound)
        for field, value in changes.items():
            setattr(batch, field, value)
        if seal:
            batch.payload_crc32c = payload_crc32c(batch, batch.payload)
        encoded = batch.SerializeToString(deterministic=True).hex()
        made.append({"name": name, "batch": encoded, "reason": reason.name})

    batch = RecordBatch.FromString(sound)
    corrupt, invalid = Reason.CORRUPT_BATCH, Reason.INVALID_BATCH
    flipped = bytes([*batch.payload[:-1], batch.payload[-1] ^ 1])
    spoiled("a bit of the payload is wrong", corrupt, seal=False, payload=flipped)
    spoiled("the partition was changed", corrupt, seal=False, partition=6)
    spoiled("the checksum of the payload alone", corrupt, seal=False,
            payload_crc32c=google_crc32c.value(batch.payload))  # fmt: skip
    spoiled("one record too many is counted", invalid, seal=True,
            record_count=101, last_offset_delta=100)  # fmt: skip
    spoiled(
        "the size is wrong", invalid, seal=True, uncompressed_bytes=batch.uncompressed_bytes + 1
    )
    spoiled("the codec is none", invalid, seal=True,
            format_and_flags=FORMAT_VERSION | CODEC_NONE << CODEC_SHIFT)  # fmt: skip
    spoiled("bytes after the zstd frame", invalid, seal=True, payload=batch.payload + b"\x00")
    spoiled("a flag of the node's", invalid, seal=True,
            format_and_flags=batch.format_and_flags | APPEND_TIME)  # fmt: skip
    return made


def partitions() -> list[Vector]:
    """Keys, and where the routing function "crc32" sends them."""
    keys = [b"", b"k", b"key-1", b"key-2", b"bike-1", b"\x00\xff", "größe".encode(), b"x" * 1_000]
    return [
        {
            "key": key.hex(),
            "crc32": crc32(key),
            "partitions": [[count, default_partitioner(key) % count] for count in (1, 2, 3, 12, 10_000)],
        }
        for key in keys
    ]  # fmt: skip


def coordinators() -> list[Vector]:
    """Groups, and which partition of __consumer_offsets has each."""
    groups = ["g", "billing", "Team-A.payments_2", "x" * 249]
    return [
        {
            "group": group,
            "crc32": crc32(group.encode()),
            "partitions": [[count, partition_of(GroupName(group), count)] for count in (1, 16, 50)],
        }
        for group in groups
    ]


def sequences() -> list[Vector]:
    """Which sequence follows a batch."""
    given = [
        (0, 1),
        (0, 500),
        (500, 16_384),
        (SEQUENCE_MODULUS - 1, 1),
        (SEQUENCE_MODULUS - 10, 30),
    ]
    return [
        {
            "base_sequence": base,
            "record_count": count,
            "next_base_sequence": (base + count) % SEQUENCE_MODULUS,
        }
        for base, count in given
    ]  # fmt: skip


def told(batch: RecordBatch, base_offset: int, append_time_ms: int | None = None) -> list[Vector]:
    """What an application is given of a stored batch."""
    return [
        {
            "offset": base_offset + record.offset_delta,
            "timestamp_ms": batch.first_timestamp_ms + record.timestamp_delta_ms
            if append_time_ms is None
            else append_time_ms,
            **{name: fields_of(record)[name] for name in ("key", "value", "headers")},
        }
        for record in RecordSet.FromString(record_set_of(batch)).records
    ]


def fetches() -> list[Vector]:
    """Responses of a node, with what a consumer makes of them."""
    sound = sound_batches()
    plain, zstd = sound["the example of the page"], sound["zstd"]
    drafts = [draft_from_message(each, each.payload, TOPIC_ID) for each in (plain, zstd)]
    control = draft_of_payload(
        ControlRecord(type=CONTROL_TYPE_LEADER_NO_OP, version=1).SerializeToString(),
        topic_id=TOPIC_ID,
        partition=2,
        record_count=1,
        timestamp_ms=FIRST_MS,
        flags=CONTROL,
    )
    stamp_ms = FIRST_MS + 90_000

    def response(frames: Iterable[bytes], next_offset: int) -> bytes:
        rest = FetchResponse(
            topic_id=TOPIC_ID,
            partition=2,
            session_epoch=1,
            high_watermark=next_offset,
            next_offset=next_offset,
            leader_term=4,
        )
        return b"".join((*frames, rest.SerializeToString()))

    damaged = bytearray(drafts[1].frame(41, 4))
    damaged[-1] ^= 1
    return [
        {
            "name": "a control batch between, and a batch that begins before the offset asked for",
            "from_offset": 42,
            "response": response(
                [drafts[0].frame(41, 3), control.frame(43, 4), drafts[1].frame(44, 4)], 144
            ).hex(),
            "records": [*told(plain, 41)[1:], *told(zstd, 44)],
            "next_offset": 144,
        },
        {
            "name": "a topic that stamps records with the time of their append",
            "from_offset": 0,
            "response": response([drafts[0].frame(0, 3, stamp_ms)], 2).hex(),
            "records": told(plain, 0, stamp_ms),
            "next_offset": 2,
        },
        {
            "name": "nothing but a control batch",
            "from_offset": 43,
            "response": response([control.frame(43, 4)], 44).hex(),
            "records": [],
            "next_offset": 44,
        },
        {
            "name": "a payload whose checksum is wrong: refused as a whole",
            "from_offset": 41,
            "response": response([bytes(damaged)], 141).hex(),
            "records": None,
            "next_offset": 141,
        },
    ]


def statuses() -> list[Vector]:
    """What stands in the trailer `grpc-status-details-bin` of failed calls."""
    hints = {"leader_node_id": "2", "leader_address": "host-2:9092", "leader_term": "4"}
    given: list[tuple[Reason, str, dict[str, str], int]] = [
        (Reason.NOT_LEADER, "node 1 does not lead it", hints, 0),
        (Reason.OVERLOADED, "ask again", {}, 1_500),
        (Reason.UNKNOWN_MEMBER, "it was removed", {}, 0),
    ]
    return [
        {
            "status": encode_status(reason, message, metadata, retry_after_ms).hex(),
            "code": reason.info.code,
            "reason": reason.name,
            "message": message,
            "metadata": metadata,
            "retry_after_ms": retry_after_ms,
        }
        for reason, message, metadata, retry_after_ms in given
    ]


FILES: Final = {
    "crc32c.json": checksums,
    "records.json": records,
    "batches.json": batches,
    "refused.json": refused,
    "fetches.json": fetches,
    "partitions.json": partitions,
    "coordinators.json": coordinators,
    "sequences.json": sequences,
    "statuses.json": statuses,
}


def render(name: str) -> str:
    """Text of a file: one vector a line."""
    make = FILES[name]
    lines = [json.dumps(vector, ensure_ascii=True) for vector in make()]
    about = (make.__doc__ or "").strip()
    body = ",\n".join(lines)
    return f'{{"about": {json.dumps(about)}, "vectors": [\n{body}\n]}}\n'


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name in FILES:
        (FOLDER / name).write_text(render(name))


if __name__ == "__main__":
    main()
