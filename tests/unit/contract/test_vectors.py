"""The test vectors in proto/testdata are fresh, and the product agrees with each of them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from consumer_groups.types import GroupName
from contract import vectors
from streamlog.groups.offsets_topic import partition_of
from streamlog.model import status_details
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.record_set import decode_payload, new_decompressor
from streamlog.storage.validation import BatchValidator
from streamlog.v1.batch_pb2 import RecordBatch
from streamlog.v1.log_service_pb2 import FetchResponse
from streamlog.v1.record_pb2 import RecordSet

TOPIC_ID = 7
MAX_BATCH_BYTES = 1 << 20
FLAGS_OF_READERS = {"append_time": 1 << 12, "control": 1 << 13}


def load(name: str) -> list[dict[str, Any]]:
    """The vectors of a file as it is committed."""
    found: list[dict[str, Any]] = json.loads((vectors.FOLDER / name).read_text())["vectors"]
    return found


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit, as RFC 3720 defines it: nothing of the project's own."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("name", vectors.FILES)
def test_a_file_is_fresh(name: str) -> None:
    """`python -m contract.vectors` would change nothing; else run it and commit the output."""
    assert (vectors.FOLDER / name).read_text() == vectors.render(name)


def test_no_file_is_left_over() -> None:
    """What nobody makes, nobody checks."""
    assert {path.name for path in vectors.FOLDER.iterdir()} == set(vectors.FILES)


def test_another_compressor_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Frames that are there are kept while they hold the content, and made anew where they do not."""
    batch = next(each for each in load("batches.json") if each["name"] == "zstd")
    plain = bytes.fromhex(batch["record_set"])
    assert vectors.compressed("zstd", plain).hex() == batch["payload"]
    monkeypatch.setattr(vectors, "FOLDER", tmp_path)
    vectors.kept_frames.cache_clear()
    assert new_decompressor().decompress(vectors.compressed("zstd", plain)) == plain
    vectors.kept_frames.cache_clear()


@pytest.mark.parametrize("vector", load("crc32c.json"), ids=lambda each: each["data"][:8])
def test_checksums(vector: dict[str, Any]) -> None:
    """They are those of the definition."""
    assert crc32c(bytes.fromhex(vector["data"])) == vector["crc32c"]


@pytest.mark.parametrize("vector", load("records.json"), ids=range(len(load("records.json"))))
def test_records(vector: dict[str, Any]) -> None:
    """Generated code writes the same bytes, and reads the fields back."""
    record = vectors.record_of(vector)
    encoded = RecordSet(records=[record]).SerializeToString(deterministic=True)
    assert encoded.hex() == vector["in_record_set"]
    (read,) = RecordSet.FromString(encoded).records
    expected = {name: vector[name] for name in vectors.fields_of(read)}
    assert vectors.fields_of(read) == expected


@pytest.mark.parametrize("vector", load("batches.json"), ids=lambda each: each["name"])
def test_batches(vector: dict[str, Any]) -> None:
    """A node takes them; the checksum is that of the bytes said to be covered."""
    batch = RecordBatch.FromString(bytes.fromhex(vector["batch"]))
    draft = BatchValidator().validate(batch, topic_id=TOPIC_ID, max_batch_bytes=MAX_BATCH_BYTES)
    covered = bytes.fromhex(vector["packed"]) + batch.payload
    assert crc32c(covered) == draft.payload_checksum == vector["payload_crc32c"]
    codec = batch.format_and_flags >> 8 & 0xF
    read = decode_payload(batch.payload, codec, batch.uncompressed_bytes, new_decompressor())
    assert read.SerializeToString().hex() == vector["record_set"]
    fields = {field.name for field, _ in batch.ListFields()} - {"payload"}
    assert fields <= set(vector)
    assert {name: getattr(batch, name) for name in fields} == {
        name: vector[name] for name in fields
    }
    assert batch.payload.hex() == vector["payload"]


@pytest.mark.parametrize("vector", load("refused.json"), ids=lambda each: each["name"])
def test_refused_batches(vector: dict[str, Any]) -> None:
    """A node refuses them with that reason."""
    batch = RecordBatch.FromString(bytes.fromhex(vector["batch"]))
    with pytest.raises(StreamlogError) as refusal:
        BatchValidator().validate(batch, topic_id=TOPIC_ID, max_batch_bytes=MAX_BATCH_BYTES)
    assert refusal.value.reason is Reason[vector["reason"]]


def read_as_the_page_says(response: FetchResponse, from_offset: int) -> list[dict[str, Any]] | None:
    """What docs/protocol.md tells consumers to do; None when a checksum is wrong."""
    made: list[dict[str, Any]] = []
    for batch in response.batches:
        if batch.format_and_flags & FLAGS_OF_READERS["control"]:
            continue
        flags = batch.format_and_flags
        stamped = bool(flags & FLAGS_OF_READERS["append_time"])
        covered = RecordBatch.FromString(batch.SerializeToString())
        covered.format_and_flags = flags & ~(1 << 12 | 1 << 17)
        if stamped:
            covered.max_timestamp_ms = 0
        if crc32c(vectors.packed(covered) + batch.payload) != batch.payload_crc32c:
            return None
        read = decode_payload(
            batch.payload, flags >> 8 & 0xF, batch.uncompressed_bytes, new_decompressor()
        )
        for record in read.records:
            offset = batch.base_offset + record.offset_delta
            if offset < from_offset:
                continue
            of_record = batch.first_timestamp_ms + record.timestamp_delta_ms
            made.append(
                {
                    "offset": offset,
                    "timestamp_ms": batch.max_timestamp_ms if stamped else of_record,
                    **{n: vectors.fields_of(record)[n] for n in ("key", "value", "headers")},
                }
            )
    return made


@pytest.mark.parametrize("vector", load("fetches.json"), ids=lambda each: each["name"])
def test_fetches(vector: dict[str, Any]) -> None:
    """A consumer that does what the page says gets these records."""
    response = FetchResponse.FromString(bytes.fromhex(vector["response"]))
    assert response.next_offset == vector["next_offset"]
    assert read_as_the_page_says(response, vector["from_offset"]) == vector["records"]


def test_partitions() -> None:
    """By the definition of the routing function."""
    for vector in load("partitions.json"):
        checksum = zlib.crc32(bytes.fromhex(vector["key"]))
        assert checksum == vector["crc32"]
        assert [[n, checksum % n] for n, _ in vector["partitions"]] == vector["partitions"]


def test_coordinators() -> None:
    """Where the product looks for a group."""
    for vector in load("coordinators.json"):
        assert zlib.crc32(vector["group"].encode()) == vector["crc32"]
        for count, partition in vector["partitions"]:
            assert partition_of(GroupName(vector["group"]), count) == partition


def test_sequences() -> None:
    """They wrap to 0 behind 2^31 - 1."""
    wrapped = 0
    for vector in load("sequences.json"):
        after = vector["base_sequence"] + vector["record_count"]
        assert vector["next_base_sequence"] == after % 2**31
        wrapped += after >= 2**31
    assert wrapped >= 2


def test_statuses() -> None:
    """The product reads them as it does those of a failed call."""
    for vector in load("statuses.json"):
        read = status_details.decode(bytes.fromhex(vector["status"]))
        assert read is not None
        assert (read.code, read.reason) == (vector["code"], vector["reason"])
        assert dict(read.metadata) == vector["metadata"]
        assert read.retry_after_ms == vector["retry_after_ms"]
