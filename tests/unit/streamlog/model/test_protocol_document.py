"""docs/protocol.md tells the truth: its example, its names and its limits are the code's."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FileDescriptor

from contract import vectors
from streamlog.broker import admin, each, fetch, metadata, partition, produce
from streamlog.host import grpc_options
from streamlog.model import batch as batch_format
from streamlog.model import record_set
from streamlog.model.errors import Reason
from streamlog.model.settings.node import NODE_SETTINGS
from streamlog.model.settings.topic import BATCH_BYTES_MAX, TopicConfig
from streamlog.storage.segments import log_state
from streamlog.storage.validation import BatchValidator
from streamlog.v1 import (
    admin_service_pb2,
    batch_pb2,
    error_pb2,
    group_service_pb2,
    log_service_pb2,
    record_pb2,
    record_service_pb2,
)

PAGE = (Path(__file__).parents[4] / "docs" / "protocol.md").read_text()
FILES: list[FileDescriptor] = [
    module.DESCRIPTOR
    for module in (
        admin_service_pb2,
        batch_pb2,
        error_pb2,
        group_service_pb2,
        log_service_pb2,
        record_pb2,
        record_service_pb2,
    )
]
OTHER_NAMES = {
    "__consumer_offsets",
    "batch.proto",
    "grpc.health.v1.Health",
    "grpc-status-details-bin",
    "proto/replication",
    "proto/streamlog/cluster",
    "proto/streamlog/v1",
    "streamlog.v1",
    # What others call by these names.
    "--go-grpc_opt",
    "--go_opt=M",
    "-I proto",
    "Mstreamlog/v1/batch.proto=example.org/streamlogv1",
    "admin_service.proto",
    "error.proto",
    "group_service.proto",
    "java_multiple_files",
    "log_service.proto",
    "optional",
    "proto/",
    "proto/testdata",
    "record.proto",
    "record_service.proto",
    "uint64",
    "vectors",
    # Texts of the example.
    "k",
    "hello",
    "h",
    "1",
}


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit, as RFC 3720 defines it: nothing of the project's own."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def block(name: str) -> bytes:
    """The bytes of a fenced block, without its comments."""
    found = re.search(rf"```{name}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    hexadecimal = (
        re.match(r"(?:\s*[0-9a-f]{2}(?= |$))+", line) for line in found.group(1).splitlines()
    )
    return b"".join(bytes.fromhex(match.group()) for match in hexadecimal if match is not None)


def example() -> log_service_pb2.ProduceRequest:
    """The request that the page spells out."""
    return log_service_pb2.ProduceRequest.FromString(block("request"))


def test_the_example_is_what_generated_code_writes() -> None:
    """Parsing and serializing gives the bytes again, and they hold the payload of the page."""
    assert example().SerializeToString(deterministic=True) == block("request")
    (entry,) = example().entries
    assert (entry.request_id, entry.topic_id, entry.batch.partition) == (1, 7, 2)
    assert entry.batch.payload == block("payload")
    first, second = record_pb2.RecordSet.FromString(block("payload")).records
    assert (first.key, first.value, first.offset_delta) == (b"k", b"hello", 0)
    assert (second.HasField("key"), second.HasField("value"), second.value) == (False, True, b"")
    assert (second.headers[0].name, second.headers[0].value) == ("h", b"1")
    assert (second.offset_delta, second.timestamp_delta_ms) == (1, 5)


def test_the_example_passes_the_nodes_checks() -> None:
    """The page's checksum, computed here by hand, is the one that a node asks for."""
    batch = example().entries[0].batch
    packed = struct.pack(
        "<IIIIqqQIIIIII",
        *(batch.format_and_flags, batch.partition, batch.last_offset_delta, batch.record_count),
        *(batch.first_timestamp_ms, batch.max_timestamp_ms, batch.producer_id),
        *(batch.producer_epoch, batch.base_sequence, batch.schema_id, batch.routing_epoch),
        *(batch.encryption_key_id, batch.uncompressed_bytes),
    )
    assert packed == block("packed")
    assert crc32c(packed + batch.payload) == batch.payload_crc32c
    assert f"{batch.payload_crc32c:#x}" in PAGE
    draft = BatchValidator().validate(batch, topic_id=7, max_batch_bytes=1024)
    assert (draft.producer_id, draft.has_producer, draft.record_count) == (9, True, 2)


def known_names() -> set[str]:
    """Whatever the protocol gives a name to."""
    names = {*Reason.__members__, *metadata.FEATURES, *NODE_SETTINGS, *vectors.FILES}
    for make in vectors.FILES.values():
        names.update(name for vector in make() for name in vector)
    for reason in Reason:
        names.update(reason.info.metadata)
    for file in FILES:
        for service in file.services_by_name.values():
            names.update([service.name, *(method.name for method in service.methods)])
        for enum in file.enum_types_by_name.values():
            names.update([enum.name, *enum.values_by_name])
        messages: list[Descriptor] = list(file.message_types_by_name.values())
        for message in messages:
            names.update([message.name, *message.fields_by_name])
    return names


def test_every_name_on_the_page_exists() -> None:
    """In backticks, or in capitals as reasons are."""
    text = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    quoted = set(re.findall(r"`([^`]+)`", text))
    assert quoted - known_names() - OTHER_NAMES == set()
    assert OTHER_NAMES - quoted == set()
    capitals = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", PAGE))
    canonical = {"RESOURCE_EXHAUSTED"}
    assert capitals - known_names() - canonical == set()


def test_every_call_and_feature_is_on_the_page() -> None:
    """A new one needs a word here."""
    for file in (log_service_pb2.DESCRIPTOR, admin_service_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            undescribed = [m.name for m in service.methods if m.name not in PAGE]
            assert set(undescribed) <= {"DescribeTopic", "DescribeCluster"}
    for name in metadata.FEATURES:
        assert f"| `{name}` |" in PAGE
    assert f"# Protocol, version {metadata.PROTOCOL_VERSION} " in PAGE


def test_every_reason_has_its_row() -> None:
    """In the table that says what a client does, each once."""
    table = PAGE.partition("\n### Every reason\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([A-Z_, ]+) \|", table, re.MULTILINE)
    named = [name for cell in cells for name in cell.split(", ")]
    assert sorted(named) == sorted(Reason.__members__)


LIMITS = {
    "records in a batch": batch_format.RECORDS_PER_BATCH_MAX,
    "payload after decompression, bytes": batch_format.PAYLOAD_BYTES_MAX,
    "zstd window, bytes": record_set.WINDOW_BYTES_MAX,
    "largest `max_batch_bytes` of a topic": BATCH_BYTES_MAX,
    "entries in a `ProduceRequest`": produce.ENTRIES_PER_REQUEST_MAX,
    "uncommitted batches of a producer on a partition": partition.UNCOMMITTED_BATCHES_PER_PRODUCER,
    "partitions on a `Fetch` stream": fetch.PARTITIONS_PER_STREAM_MAX,
    "largest `max_bytes` of a `FetchPartition`": fetch.RESPONSE_BYTES_MAX,
    "queries in a `ListOffsetsRequest` or trims in a `TrimPartitionsRequest`": each.QUESTIONS_MAX,
    "topics in a `GetMetadataRequest`": metadata.TOPICS_PER_REQUEST_MAX,
    "entries in a page of `ListTopics`": admin.PAGE_SIZE_MAX,
    "streams on a connection": grpc_options.STREAMS_PER_CONNECTION_MAX,
    "calls at a time on a node": grpc_options.CALLS_MAX,
    "gRPC metadata of a call, bytes": grpc_options.METADATA_BYTES_MAX,
    "length of a topic's name, characters": 249,
}


def test_the_limits_are_the_codes() -> None:
    """Each row of the table, and no row that nobody checks."""
    table = PAGE.partition("\n## Limits\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (.+?) \| (\d+) \|", table, re.MULTILINE))
    assert rows == {name: str(value) for name, value in LIMITS.items()}


@pytest.mark.parametrize(
    "words",
    [
        f"default {TopicConfig().max_batch_bytes}",
        f"counts {produce.ENTRY_OVERHEAD_BYTES} bytes more",
        f"remembers its {log_state.PRODUCERS_MAX:,} latest producers",
        f"keepalive every {grpc_options.KEEPALIVE_INTERVAL_MS // 1000} s with",
        f"a timeout of {grpc_options.KEEPALIVE_TIMEOUT_MS // 1000} s",
        f"more often than every {grpc_options.PING_INTERVAL_MIN_MS // 1000} s",
        f"reconnect after {grpc_options.BACKOFF_FIRST_MS} ms,",
        f"ms, doubling up to {grpc_options.BACKOFF_MAX_MS // 1000} s",
        f"at most {fetch.MIN_BYTES_MAX >> 20} MiB",
    ],
)
def test_numbers_in_the_text(words: str) -> None:
    """They are the constants'."""
    assert words in " ".join(PAGE.split())
