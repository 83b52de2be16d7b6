"""What clients can get wrong: each gets a clear error, nothing is stored, the node serves on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import zstandard

from streamlog.model import status_details
from streamlog.model.batch import payload_crc32c
from streamlog.v1 import admin_service_pb2 as admin
from streamlog.v1 import batch_pb2, error_pb2, record_pb2
from streamlog.v1 import log_service_pb2 as log
from tests.fakes.node_processes import NodeProcess, free_addresses

FORMAT_NONE = 1 | 1 << 8
FORMAT_ZSTD = 1 | 2 << 8
TOPIC = "inputs"
TIMEOUT_S = 20


class Node:
    """Raw calls to one node: what a client in any language can send."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.max_send_message_length", -1)]
        )
        self.topic_id = 0

    def unary(self, method: str, request: bytes) -> bytes:
        """Call it; the answer's bytes. Raises grpc.RpcError."""
        call: Any = self._channel.unary_unary(f"/streamlog.v1.{method}")
        answer = call(request, timeout=TIMEOUT_S)
        assert isinstance(answer, bytes)
        return answer

    def refusal(self, method: str, request: bytes) -> tuple[grpc.StatusCode, str, str]:
        """Status code, reason and message of a call that must fail."""
        with pytest.raises(grpc.RpcError) as caught:
            self.unary(method, request)
        error = caught.value
        metadata: Any = error.trailing_metadata()
        trailers = dict(metadata)
        details = status_details.decode(trailers["grpc-status-details-bin"])
        assert details is not None
        return error.code(), details.reason, str(error.details())

    def produce(self, *messages: bytes) -> log.ProduceResult:
        """The first result of a stream of these messages. Raises grpc.RpcError."""
        call: Any = self._channel.stream_stream("/streamlog.v1.LogService/Produce")
        for answer in call(iter(messages), timeout=TIMEOUT_S):
            return log.ProduceResponse.FromString(answer).results[0]
        raise AssertionError("the stream ended without a result")

    def produce_batch(self, batch: batch_pb2.RecordBatch, topic_id: int = 0) -> log.ProduceResult:
        """The result of one batch."""
        entry = log.ProduceEntry(request_id=7, topic_id=topic_id or self.topic_id, batch=batch)
        return self.produce(log.ProduceRequest(entries=[entry]).SerializeToString())

    def fetch(self, partition: log.FetchPartition) -> log.FetchResponse:
        """The first response of a fetch stream."""
        request = log.FetchRequest(partitions=[partition], credit_bytes=1 << 20)
        call: Any = self._channel.stream_stream("/streamlog.v1.LogService/Fetch")
        responses = call(iter([request.SerializeToString()]), timeout=TIMEOUT_S)
        return log.FetchResponse.FromString(next(responses))

    def end(self) -> int:
        """Committed end of partition 0."""
        query = log.OffsetQuery(topic_id=self.topic_id, spec=log.OFFSET_SPEC_LATEST)
        request = log.ListOffsetsRequest(queries=[query])
        answer = self.unary("LogService/ListOffsets", request.SerializeToString())
        return log.ListOffsetsResponse.FromString(answer).answers[0].offset

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node with one topic."""
    process = NodeProcess(tmp_path_factory.mktemp("inputs"), 1, free_addresses(1))
    process.start()
    try:
        process.until_healthy()
        node = Node(process.address)
        create = admin.CreateTopicRequest(
            name=TOPIC, partition_count=2, replication_factor=1, config={"max.batch.bytes": "65536"}
        )
        created = node.unary("AdminService/CreateTopic", create.SerializeToString())
        node.topic_id = admin.CreateTopicResponse.FromString(created).topic.topic_id
        while node.produce_batch(good_batch()).HasField("error"):
            pass  # its leader is being elected
        yield node
        node.close()
    finally:
        process.kill()


@pytest.fixture(autouse=True)
def serves_on(node: Node) -> Iterator[None]:
    """After each test the log is as it was, and takes a good batch."""
    before = node.end()
    yield
    assert node.end() == before
    assert not node.produce_batch(good_batch()).HasField("error")
    assert node.end() == before + 1


def good_batch(count: int = 1, **changes: int | bytes) -> batch_pb2.RecordBatch:
    """A batch that is right, apart from the changes; the checksum is right in any case."""
    records = record_pb2.RecordSet(
        records=[record_pb2.Record(value=b"x", offset_delta=i) for i in range(count)]
    )
    payload = records.SerializeToString()
    batch = batch_pb2.RecordBatch(
        format_and_flags=FORMAT_NONE,
        last_offset_delta=count - 1,
        record_count=count,
        uncompressed_bytes=len(payload),
        payload=payload,
    )
    for name, value in changes.items():
        setattr(batch, name, value)
    batch.payload_crc32c = payload_crc32c(batch, batch.payload)
    return batch


def assert_error(result: log.ProduceResult, reason: str, *words: str) -> None:
    """The result is this error, and its message holds these words."""
    error: error_pb2.Error = result.error
    assert error.reason == reason
    assert not error.indefinite
    for word in words:
        assert word in error.message, error.message


def test_unknown_topic_and_partition(node: Node) -> None:
    """Named with what there is."""
    assert_error(node.produce_batch(good_batch(), topic_id=999), "UNKNOWN_TOPIC", "999")
    assert_error(node.produce_batch(good_batch(partition=9)), "UNKNOWN_PARTITION", "9", "0 to 1")


def test_wrong_checksum(node: Node) -> None:
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
    ],
)
def test_headers_that_lie(
    node: Node, changes: dict[str, int | bytes], words: tuple[str, ...]
) -> None:
    """Counts, sizes, flags and content that contradict each other."""
    assert_error(node.produce_batch(good_batch(2, **changes)), "INVALID_BATCH", *words)


def test_a_payload_that_inflates_past_its_bound(node: Node) -> None:
    """Refused by its header, before anything is inflated, whatever the batch's own field says."""
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(200 * 1024 * 1024))
    assert len(bomb) < 65_536
    declared = good_batch(
        format_and_flags=FORMAT_ZSTD, payload=bomb, uncompressed_bytes=200 * 1024 * 1024
    )
    assert_error(node.produce_batch(declared), "INVALID_BATCH", "uncompressed_bytes", "67108864")
    hidden = good_batch(format_and_flags=FORMAT_ZSTD, payload=bomb, uncompressed_bytes=100)
    assert_error(node.produce_batch(hidden), "INVALID_BATCH", "209715200", "100")


def test_a_batch_over_the_topics_limit(node: Node) -> None:
    """The limit is named."""
    large = good_batch(payload=bytes(65_537), uncompressed_bytes=65_537)
    assert_error(node.produce_batch(large), "BATCH_TOO_LARGE", "65537", "65536")


def test_malformed_messages(node: Node) -> None:
    """The call ends with the reason; for unary calls too."""
    with pytest.raises(grpc.RpcError) as caught:
        node.produce(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    code, reason, message = node.refusal("LogService/GetMetadata", b"\xff\xff\xff")
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert "GetMetadataRequest" in message


def test_a_message_over_the_limit(node: Node) -> None:
    """The transport refuses it before it is read, and names both sizes."""
    with pytest.raises(grpc.RpcError) as caught:
        node.produce(bytes(40 * 1024 * 1024))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(40 * 1024 * 1024) in str(caught.value.details())


def test_an_offset_out_of_range(node: Node) -> None:
    """The valid range is told, in words and as values."""
    response = node.fetch(log.FetchPartition(topic_id=node.topic_id, offset=10**9))
    assert response.error.reason == "OFFSET_OUT_OF_RANGE"
    assert response.error.metadata["log_start_offset"] == "0"
    assert response.error.metadata["high_watermark"] == str(node.end())
    assert str(10**9) in response.error.message


def test_a_condition_that_does_not_hold(node: Node) -> None:
    """The real end is told."""
    entry = log.ProduceEntry(
        request_id=1, topic_id=node.topic_id, expected_end_offset=10**6, batch=good_batch()
    )
    result = node.produce(log.ProduceRequest(entries=[entry]).SerializeToString())
    assert_error(result, "CONDITION_FAILED", str(10**6))
    assert int(result.error.metadata["end_offset"]) <= node.end()


@pytest.mark.parametrize("name", ["../up", "..", "", "a" * 250, "bell\x07", "slash/ed"])
def test_illegal_topic_names(node: Node, name: str) -> None:
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
    node: Node, request_: admin.CreateTopicRequest, reason: str, words: tuple[str, ...]
) -> None:
    """Value and allowed range are named."""
    _, found, message = node.refusal("AdminService/CreateTopic", request_.SerializeToString())
    assert found == reason
    for word in words:
        assert word in message
