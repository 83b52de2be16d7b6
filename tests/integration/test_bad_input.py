"""What clients can get wrong: each gets a clear error, nothing is stored, the node serves on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import grpc
import pytest
import zstandard

from streamlog.host.grpc_options import MESSAGE_SLACK_BYTES
from streamlog.v1 import admin_service_pb2 as admin
from streamlog.v1 import error_pb2
from streamlog.v1 import log_service_pb2 as log
from tests.fakes.raw_client import FORMAT_NONE, FORMAT_ZSTD, TOPIC, RawNode, good_batch, raw_node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawNode]:
    """One node with one topic."""
    with raw_node(tmp_path_factory.mktemp("inputs")) as node:
        yield node


@pytest.fixture(autouse=True)
def serves_on(node: RawNode) -> Iterator[None]:
    """After each test the log is as it was, and takes a good batch."""
    before = node.end()
    yield
    assert node.end() == before
    assert not node.produce_batch(good_batch()).HasField("error")
    assert node.end() == before + 1


def assert_error(result: log.ProduceResult, reason: str, *words: str) -> None:
    """The result is this error, and its message holds these words."""
    error: error_pb2.Error = result.error
    assert error.reason == reason
    assert not error.indefinite
    for word in words:
        assert word in error.message, error.message


def test_unknown_topic_and_partition(node: RawNode) -> None:
    """Named with what there is."""
    assert_error(node.produce_batch(good_batch(), topic_id=999), "UNKNOWN_TOPIC", "999")
    assert_error(node.produce_batch(good_batch(partition=9)), "UNKNOWN_PARTITION", "9", "0 to 1")


def test_wrong_checksum(node: RawNode) -> None:
    """Both checksums are named."""
    batch = good_batch()
    batch.payload_crc32c ^= 1
    assert_error(node.produce_batch(batch), "CORRUPT_BATCH", f"{batch.payload_crc32c:#010x}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"record_count": 3, "last_offset_delta": 2}, ("record_count is 3",)),
        ({"record_count": 0}, ("record_count is 0", "1 to 16384")),
        ({"last_offset_delta": 5}, ("last_offset_delta is 5",)),
        ({"uncompressed_bytes": 1}, ("uncompressed_bytes",)),
        ({"format_and_flags": FORMAT_NONE | 1 << 13}, ("control",)),
        ({"format_and_flags": FORMAT_NONE | 1 << 30}, ("format_and_flags",)),
        ({"format_and_flags": 9 | 1 << 8}, ("format version is 9",)),
        ({"format_and_flags": 1 | 7 << 8}, ("codec is 7",)),
        ({"payload": b"\xff\xff\xff", "uncompressed_bytes": 3}, ("RecordSet",)),
        ({"first_timestamp_ms": 2**62}, ("first_timestamp_ms", f"{2**62}", "2^62 - 1")),
        ({"max_timestamp_ms": -(2**62)}, ("max_timestamp_ms", f"{-(2**62)}", "-2^62 + 1")),
    ],
)
def test_headers_that_lie(
    node: RawNode, changes: dict[str, int | bytes], words: tuple[str, ...]
) -> None:
    """Counts, sizes, flags and content that contradict each other."""
    assert_error(node.produce_batch(good_batch(2, **changes)), "INVALID_BATCH", *words)


def test_a_payload_that_inflates_past_its_bound(node: RawNode) -> None:
    """Refused by its header, before anything is inflated, whatever the batch's own field says."""
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(200 * 1024 * 1024))
    assert len(bomb) < 65_536
    declared = good_batch(
        format_and_flags=FORMAT_ZSTD, payload=bomb, uncompressed_bytes=200 * 1024 * 1024
    )
    assert_error(node.produce_batch(declared), "INVALID_BATCH", "uncompressed_bytes", "67108864")
    hidden = good_batch(format_and_flags=FORMAT_ZSTD, payload=bomb, uncompressed_bytes=100)
    assert_error(node.produce_batch(hidden), "INVALID_BATCH", "209715200", "100")


def test_a_batch_over_the_topics_limit(node: RawNode) -> None:
    """The limit is named."""
    large = good_batch(payload=bytes(65_537), uncompressed_bytes=65_537)
    assert_error(node.produce_batch(large), "BATCH_TOO_LARGE", "65537", "65536")


def test_malformed_messages(node: RawNode) -> None:
    """The call ends with the reason; for unary calls too."""
    with pytest.raises(grpc.RpcError) as caught:
        node.produce(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    code, reason, message = node.refusal("LogService/GetMetadata", b"\xff\xff\xff")
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert "GetMetadataRequest" in message


def test_a_message_over_the_limit(node: RawNode) -> None:
    """The transport refuses it before it is read, and names both sizes."""
    with pytest.raises(grpc.RpcError) as caught:
        node.produce(bytes(40 * 1024 * 1024))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    request = log.HandshakeRequest(min_protocol_version=1, max_protocol_version=1)
    answer = node.unary("LogService/Handshake", request.SerializeToString())
    limit = log.HandshakeResponse.FromString(answer).max_message_bytes + MESSAGE_SLACK_BYTES
    sizes = [int(size) for size in re.findall(r"[0-9]{6,}", str(caught.value.details()))]
    assert sizes == [40 * 1024 * 1024, limit]


def test_an_offset_out_of_range(node: RawNode) -> None:
    """The valid range is told, in words and as values."""
    response = node.fetch(log.FetchPartition(topic_id=node.topic_id, offset=10**9))
    assert response.error.reason == "OFFSET_OUT_OF_RANGE"
    assert response.error.metadata["log_start_offset"] == "0"
    assert response.error.metadata["high_watermark"] == str(node.end())
    assert str(10**9) in response.error.message


def test_a_condition_that_does_not_hold(node: RawNode) -> None:
    """The real end is told."""
    entry = log.ProduceEntry(
        request_id=1, topic_id=node.topic_id, expected_end_offset=10**6, batch=good_batch()
    )
    result = node.produce(log.ProduceRequest(entries=[entry]).SerializeToString())
    assert_error(result, "CONDITION_FAILED", str(10**6))
    assert int(result.error.metadata["end_offset"]) <= node.end()


@pytest.mark.parametrize("name", ["../up", "..", "", "a" * 250, "bell\x07", "slash/ed"])
def test_illegal_topic_names(node: RawNode, name: str) -> None:
    """Refused with the rule."""
    request = admin.CreateTopicRequest(name=name, partition_count=1).SerializeToString()
    code, reason, message = node.refusal("AdminService/CreateTopic", request)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOPIC_NAME")
    assert "249" in message


@pytest.mark.parametrize(
    ("request_", "reason", "words"),
    [
        (
            admin.CreateTopicRequest(name="t", replication_factor=4),
            "INVALID_REPLICATION_FACTOR",
            ("4", "1 to 1"),
        ),
        (
            admin.CreateTopicRequest(name="t", partition_count=10_001),
            "INVALID_PARTITION_COUNT",
            ("10001", "10000"),
        ),
        (
            admin.CreateTopicRequest(name="t", config={"retention.millis": "1"}),
            "INVALID_CONFIG",
            ("retention.millis", "retention.ms"),
        ),
        (
            admin.CreateTopicRequest(name="t", config={"segment.bytes": "7"}),
            "INVALID_CONFIG",
            ("segment.bytes", "7", "16384"),
        ),
        (admin.CreateTopicRequest(name=TOPIC), "TOPIC_EXISTS", (TOPIC,)),
    ],
)
def test_topics_that_can_not_be(
    node: RawNode, request_: admin.CreateTopicRequest, reason: str, words: tuple[str, ...]
) -> None:
    """Value and allowed range are named."""
    _, found, message = node.refusal("AdminService/CreateTopic", request_.SerializeToString())
    assert found == reason
    for word in words:
        assert word in message
