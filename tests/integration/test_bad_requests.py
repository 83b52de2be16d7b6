"""Requests that are wrong, call by call: value and range are named, and nothing has changed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import zstandard
from google.protobuf.message import Message

from streamlog.v1 import admin_service_pb2 as admin
from streamlog.v1 import log_service_pb2 as log
from streamlog.v1 import record_pb2
from streamlog.v1 import record_service_pb2 as plain
from tests.fakes.raw_client import FORMAT_NONE, FORMAT_ZSTD, TOPIC, RawNode, good_batch, raw_node

BAD = b"\xff\xff\xff"
UNARY = (
    "LogService/Handshake",
    "LogService/GetMetadata",
    "LogService/InitProducer",
    "LogService/ListOffsets",
    "AdminService/CreateTopic",
    "AdminService/AlterTopic",
    "AdminService/AddPartitions",
    "AdminService/DeleteTopic",
    "AdminService/ListTopics",
    "AdminService/DescribeTopic",
    "AdminService/DescribeCluster",
    "RecordService/Publish",
)
STREAMS = ("LogService/Produce", "LogService/Fetch", "RecordService/PublishStream")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawNode]:
    """One node with one topic."""
    with raw_node(tmp_path_factory.mktemp("requests")) as node:
        yield node


def described(node: RawNode, name: str = TOPIC) -> admin.DescribeTopicResponse:
    """The topic as the node tells it."""
    request = admin.DescribeTopicRequest(name=name).SerializeToString()
    return admin.DescribeTopicResponse.FromString(node.unary("AdminService/DescribeTopic", request))


def topics(node: RawNode) -> list[str]:
    """All names."""
    answer = node.unary("AdminService/ListTopics", admin.ListTopicsRequest().SerializeToString())
    return [topic.name for topic in admin.ListTopicsResponse.FromString(answer).topics]


@pytest.fixture(autouse=True)
def changes_nothing(node: RawNode) -> Iterator[None]:
    """After each test: the same topics, settings and records, and the node takes a good batch."""
    before = (topics(node), described(node), node.end())
    yield
    assert (topics(node), described(node), node.end()) == before
    assert not node.produce_batch(good_batch()).HasField("error")


@pytest.mark.parametrize("method", UNARY)
def test_malformed_unary_requests(node: RawNode, method: str) -> None:
    """The reason, and what was expected."""
    code, reason, message = node.refusal(method, BAD)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert "3 bytes are not a streamlog.v1." in message


@pytest.mark.parametrize("method", STREAMS)
def test_malformed_messages_on_streams(node: RawNode, method: str) -> None:
    """The call ends with the reason."""
    code, reason, message = node.stream_refusal(method, BAD)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert "3 bytes are not a streamlog.v1." in message


def test_an_unknown_method(node: RawNode) -> None:
    """What an older node says to a newer client."""
    with pytest.raises(grpc.RpcError) as caught:
        node.unary("LogService/Teleport", b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


REFUSED: list[tuple[str, Message, str, tuple[str, ...]]] = [
    (
        "LogService/Handshake",
        log.HandshakeRequest(min_protocol_version=2, max_protocol_version=5),
        "UNSUPPORTED_VERSION",
        ("2 to 5", "1 to 1"),
    ),
    (
        "LogService/Handshake",
        log.HandshakeRequest(min_protocol_version=3, max_protocol_version=2),
        "INVALID_REQUEST",
        ("3 to 2",),
    ),
    ("LogService/Handshake", log.HandshakeRequest(), "INVALID_REQUEST", ("0 to 0",)),
    (
        "LogService/GetMetadata",
        log.GetMetadataRequest(topics=[TOPIC], all_topics=True),
        "INVALID_REQUEST",
        ("all_topics", "topics must be empty"),
    ),
    (
        "LogService/GetMetadata",
        log.GetMetadataRequest(topics=["t"] * 10_001),
        "INVALID_REQUEST",
        ("10001", "10000"),
    ),
    ("LogService/ListOffsets", log.ListOffsetsRequest(), "INVALID_REQUEST", ("0 queries", "1 to")),
    (
        "AdminService/ListTopics",
        admin.ListTopicsRequest(page_size=1_001),
        "INVALID_REQUEST",
        ("1001", "0 to 1000"),
    ),
    (
        "AdminService/ListTopics",
        admin.ListTopicsRequest(page_token="\x00?"),
        "INVALID_REQUEST",
        ("page_token",),
    ),
    (
        "AdminService/DescribeTopic",
        admin.DescribeTopicRequest(name="nobody"),
        "UNKNOWN_TOPIC",
        ("'nobody'",),
    ),
    (
        "AdminService/DeleteTopic",
        admin.DeleteTopicRequest(name="nobody"),
        "UNKNOWN_TOPIC",
        ("'nobody'",),
    ),
    (
        "AdminService/AlterTopic",
        admin.AlterTopicRequest(name="nobody"),
        "UNKNOWN_TOPIC",
        ("'nobody'",),
    ),
    (
        "AdminService/AddPartitions",
        admin.AddPartitionsRequest(name="nobody", partition_count=2),
        "UNKNOWN_TOPIC",
        ("'nobody'",),
    ),
    (
        "AdminService/AddPartitions",
        admin.AddPartitionsRequest(name=TOPIC, partition_count=2),
        "INVALID_PARTITION_COUNT",
        ("2 partitions", "3 to 10000"),
    ),
    (
        "AdminService/AddPartitions",
        admin.AddPartitionsRequest(name=TOPIC, partition_count=10_001),
        "INVALID_PARTITION_COUNT",
        ("10001", "3 to 10000"),
    ),
    (
        "AdminService/CreateTopic",
        admin.CreateTopicRequest(name="t", replication_factor=8),
        "INVALID_REPLICATION_FACTOR",
        ("8", "1 to 1", "1 nodes"),
    ),
    (
        "AdminService/AlterTopic",
        admin.AlterTopicRequest(
            name=TOPIC, set={"retention.ms": "1000", "segment.bytes": "1073741825"}
        ),
        "INVALID_CONFIG",
        ("segment.bytes", "1073741825", "16384 to 1073741824"),
    ),
    (
        "AdminService/AlterTopic",
        admin.AlterTopicRequest(name=TOPIC, set={"retention.ms": "soon"}),
        "INVALID_CONFIG",
        ("retention.ms", "'soon'", "a whole number"),
    ),
    (
        "AdminService/AlterTopic",
        admin.AlterTopicRequest(
            name=TOPIC, set={"retention.ms": "1000"}, unset=["retention.millis"]
        ),
        "INVALID_CONFIG",
        ("retention.millis", "retention.ms"),
    ),
    (
        "AdminService/AlterTopic",
        admin.AlterTopicRequest(name=TOPIC, set={"cleanup.policy": "shred"}),
        "INVALID_CONFIG",
        ("cleanup.policy", "'shred'", "delete"),
    ),
    (
        "AdminService/CreateTopic",
        admin.CreateTopicRequest(name="../../etc/passwd"),
        "INVALID_TOPIC_NAME",
        ("../../etc/passwd", "16 characters"),
    ),
    (
        "AdminService/DescribeTopic",
        admin.DescribeTopicRequest(name="a\n"),
        "INVALID_TOPIC_NAME",
        (r"a\n",),
    ),
    (
        "AdminService/DeleteTopic",
        admin.DeleteTopicRequest(name=".."),
        "INVALID_TOPIC_NAME",
        ("'..'", "249"),
    ),
    ("RecordService/Publish", plain.PublishRequest(topic=TOPIC), "INVALID_REQUEST", ("0 records",)),
    (
        "RecordService/Publish",
        plain.PublishRequest(topic=TOPIC, records=[plain.PublishRecord()] * 10_001),
        "INVALID_REQUEST",
        ("10001", "1 to 10000"),
    ),
]


@pytest.mark.parametrize(("method", "request_", "reason", "words"), REFUSED)
def test_refused_calls(
    node: RawNode, method: str, request_: Message, reason: str, words: tuple[str, ...]
) -> None:
    """The message names the value and what is allowed; of several settings none is changed."""
    _, found, message = node.refusal(method, request_.SerializeToString())
    assert found == reason, message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("name", "reason"), [("nobody", "UNKNOWN_TOPIC"), ("../up", "INVALID_TOPIC_NAME")]
)
def test_metadata_of_topics_that_are_not(node: RawNode, name: str, reason: str) -> None:
    """An error in the topic's place; the others of the request are answered."""
    request = log.GetMetadataRequest(topics=[name, TOPIC]).SerializeToString()
    answer = log.GetMetadataResponse.FromString(node.unary("LogService/GetMetadata", request))
    by_name = {topic.name: topic for topic in answer.topics}
    assert by_name[name].error.reason == reason
    assert name in by_name[name].error.message
    assert len(by_name[TOPIC].partitions) == 2


QUERIES: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({"topic_id": 999, "spec": log.OFFSET_SPEC_LATEST}, "UNKNOWN_TOPIC", ("999",)),
    ({"partition": 2, "spec": log.OFFSET_SPEC_LATEST}, "UNKNOWN_PARTITION", ("2", "0 to 1")),
    ({"partition": 2**32 - 1, "spec": log.OFFSET_SPEC_LATEST}, "UNKNOWN_PARTITION", ("0 to 1",)),
    ({}, "INVALID_REQUEST", ("spec is 0", "1 (earliest)")),
    ({"spec": 77}, "INVALID_REQUEST", ("spec is 77", "3 (timestamp)")),
]


@pytest.mark.parametrize(("fields", "reason", "words"), QUERIES)
def test_offset_queries(
    node: RawNode, fields: dict[str, Any], reason: str, words: tuple[str, ...]
) -> None:
    """One that can not be answered fails alone."""
    wrong = log.OffsetQuery(**{"topic_id": node.topic_id, **fields})
    right = log.OffsetQuery(topic_id=node.topic_id, spec=log.OFFSET_SPEC_EARLIEST)
    request = log.ListOffsetsRequest(queries=[wrong, right]).SerializeToString()
    answer = log.ListOffsetsResponse.FromString(node.unary("LogService/ListOffsets", request))
    first, second = answer.answers
    assert first.error.reason == reason
    for word in words:
        assert word in first.error.message
    assert not second.HasField("error")


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"topic_id": 999}, "UNKNOWN_TOPIC", ("999",)),
        ({"partition": 2}, "UNKNOWN_PARTITION", ("2", "0 to 1")),
        ({"max_bytes": 2**24 + 1}, "INVALID_REQUEST", ("16777217", "1 to 16777216")),
        ({"offset": 2**64 - 1}, "OFFSET_OUT_OF_RANGE", (str(2**64 - 1), "the log holds 0 to ")),
        ({"offset": 2**63}, "OFFSET_OUT_OF_RANGE", (str(2**63), "the log holds 0 to ")),
    ],
)
def test_partitions_of_fetch_streams(
    node: RawNode, fields: dict[str, Any], reason: str, words: tuple[str, ...]
) -> None:
    """The partition leaves the stream with the error; the other one is served."""
    wrong = log.FetchPartition(**{"topic_id": node.topic_id, "session_epoch": 3, **fields})
    right = log.FetchPartition(topic_id=node.topic_id, session_epoch=4)
    if (wrong.topic_id, wrong.partition) == (right.topic_id, right.partition):
        wrong.partition = 1
    request = log.FetchRequest(partitions=[wrong, right], credit_bytes=1 << 20)
    by_epoch: dict[int, log.FetchResponse] = {}
    for answer in node.stream("LogService/Fetch", request.SerializeToString()):
        response = log.FetchResponse.FromString(answer)
        by_epoch[response.session_epoch] = response
        if len(by_epoch) == 2:
            break
    assert by_epoch[3].error.reason == reason
    for word in words:
        assert word in by_epoch[3].error.message, by_epoch[3].error.message
    assert by_epoch[4].batches


@pytest.mark.parametrize(
    ("method", "request_", "words"),
    [
        ("LogService/Fetch", log.FetchRequest(min_bytes=2**26 + 1), ("67108865", "0 to 67108864")),
        ("LogService/Fetch", log.FetchRequest(max_wait_ms=60_001), ("60001", "0 to 60000")),
        ("LogService/Produce", log.ProduceRequest(), ("0 entries", "1 to 1000")),
        (
            "LogService/Produce",
            log.ProduceRequest(entries=[log.ProduceEntry()] * 1_001),
            ("1001 entries", "1 to 1000"),
        ),
        ("RecordService/PublishStream", plain.PublishRequest(), ("0 records", "1 to 10000")),
    ],
)
def test_refused_streams(
    node: RawNode, method: str, request_: Message, words: tuple[str, ...]
) -> None:
    """What is wrong with the stream itself ends it."""
    code, reason, message = node.stream_refusal(method, request_.SerializeToString())
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    for word in words:
        assert word in message


def _zstd(content: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(level=1, **options).compress(content)


def _zstd_with_window(log: int) -> bytes:
    """A frame that says it needs so large a window to inflate."""
    parameters = zstandard.ZstdCompressionParameters(window_log=log, write_content_size=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size=2**25)
    return stream.compress(bytes(2**25)) + stream.flush()


PLAIN = record_pb2.RecordSet(records=[record_pb2.Record(value=bytes(1_000))]).SerializeToString()


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"not zstd at all", ("not a zstd frame",)),
        (_zstd(PLAIN)[:-3], ("does not decompress",)),
        (_zstd(PLAIN) + b"more", ("does not decompress",)),
        (_zstd(PLAIN, write_content_size=False), ("content of",)),
        (_zstd(bytes(len(PLAIN))), ("RecordSet",)),
        (_zstd_with_window(24), ("window", "8388608")),
    ],
)
def test_payloads_that_do_not_inflate(
    node: RawNode, payload: bytes, words: tuple[str, ...]
) -> None:
    """Cut off, followed by more, without a size, or of something else: nothing is stored."""
    size = 2**25 if "window" in words else len(PLAIN)
    batch = good_batch(format_and_flags=FORMAT_ZSTD, payload=payload, uncompressed_bytes=size)
    result = node.produce_batch(batch)
    assert result.error.reason == "INVALID_BATCH", result
    for word in words:
        assert word in result.error.message


@pytest.mark.parametrize("numbers", [(0, 2), (1, 2), (5, 1)])
def test_records_that_are_numbered_wrongly(node: RawNode, numbers: tuple[int, int]) -> None:
    """The count is right, but the offsets would not be."""
    records = [record_pb2.Record(value=b"x", offset_delta=number) for number in numbers]
    payload = record_pb2.RecordSet(records=records).SerializeToString()
    batch = good_batch(2, payload=payload, uncompressed_bytes=len(payload))
    result = node.produce_batch(batch)
    assert result.error.reason == "INVALID_BATCH"
    assert f"numbered {numbers[0]} to {numbers[1]}" in result.error.message
    assert "0 to 1" in result.error.message


def test_a_refused_batch_between_good_ones(node: RawNode) -> None:
    """Of one request the good ones are stored and the bad ones are not, each with its result."""
    entries = [
        log.ProduceEntry(
            request_id=number,
            topic_id=node.topic_id,
            batch=good_batch(partition=1, format_and_flags=flags),
        )
        for number, flags in enumerate((FORMAT_NONE, 9, FORMAT_NONE))
    ]
    request = log.ProduceRequest(entries=entries).SerializeToString()
    results: list[log.ProduceResult] = []
    for answer in node.stream("LogService/Produce", request):
        results += log.ProduceResponse.FromString(answer).results
        if len(results) == 3:
            break
    assert [result.request_id for result in results] == [0, 1, 2]
    assert [result.error.reason for result in results] == ["", "INVALID_BATCH", ""]
    assert results[2].base_offset == results[0].base_offset + 1


@pytest.mark.parametrize(
    ("record", "reason", "words"),
    [
        (plain.PublishRecord(topic="nobody"), "UNKNOWN_TOPIC", ("nobody",)),
        (plain.PublishRecord(topic="../up"), "INVALID_TOPIC_NAME", ("../up", "249")),
        (plain.PublishRecord(partition=9), "INVALID_REQUEST", ("9", "0 to 1")),
        (
            plain.PublishRecord(headers=[record_pb2.Header(name="n" * 256)]),
            "INVALID_REQUEST",
            ("255",),
        ),
        (plain.PublishRecord(headers=[record_pb2.Header()]), "INVALID_REQUEST", ("255",)),
        (
            plain.PublishRecord(timestamp_ms=2**62, partition=1),
            "INVALID_REQUEST",
            (f"{2**62}", "-2^62 + 1 to 2^62 - 1"),
        ),
        (
            plain.PublishRecord(timestamp_ms=-(2**63), partition=1),
            "INVALID_REQUEST",
            (f"{-(2**63)}", "-2^62 + 1 to 2^62 - 1"),
        ),
        (
            plain.PublishRecord(value=random.Random(1).randbytes(70_000), partition=1),
            "BATCH_TOO_LARGE",
            ("a batch of 1 records", "65536"),
        ),
    ],
)
def test_single_records_that_are_wrong(
    node: RawNode, record: plain.PublishRecord, reason: str, words: tuple[str, ...]
) -> None:
    """Refused alone; the record beside it is stored."""
    good = plain.PublishRecord(id=2, value=b"x", partition=1)
    record.id = 1
    request = plain.PublishRequest(topic=TOPIC, records=[record, good]).SerializeToString()
    answer = node.unary("RecordService/Publish", request)
    first, second = plain.PublishResponse.FromString(answer).results
    assert first.error.reason == reason, first
    for word in words:
        assert word in first.error.message, first
    assert (second.id, second.partition, second.HasField("error")) == (2, 1, False)


def test_more_records_than_one_batch_takes(node: RawNode) -> None:
    """Records that arrive together leave as as many batches as the topic's limit asks for."""
    source = random.Random(2)
    records = [plain.PublishRecord(value=source.randbytes(9_000), partition=1) for _ in range(30)]
    request = plain.PublishRequest(topic=TOPIC, records=records).SerializeToString()
    answer = node.unary("RecordService/Publish", request)
    results = plain.PublishResponse.FromString(answer).results
    assert not [result for result in results if result.HasField("error")]
    offsets = [result.offset for result in results]
    assert offsets == sorted(set(offsets))


def test_a_record_over_the_limit(node: RawNode) -> None:
    """The limit is named, by the broker as by the path for single records."""
    value = random.Random(1).randbytes(70_000)
    record = plain.PublishRecord(value=value, partition=1)
    request = plain.PublishRequest(topic=TOPIC, records=[record]).SerializeToString()
    answer = node.unary("RecordService/Publish", request)
    (result,) = plain.PublishResponse.FromString(answer).results
    assert result.error.reason == "BATCH_TOO_LARGE", result
    assert "65536" in result.error.message
    assert not result.error.indefinite
