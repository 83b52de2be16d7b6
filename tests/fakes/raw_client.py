"""One real node and raw calls to it: what a client in any language can send, right or wrong."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from streamlog.model import status_details
from streamlog.model.batch import payload_crc32c
from streamlog.v1 import admin_service_pb2 as admin
from streamlog.v1 import batch_pb2, record_pb2
from streamlog.v1 import log_service_pb2 as log
from tests.fakes.node_processes import NodeProcess, free_addresses, until

FORMAT_NONE = 1 | 1 << 8
FORMAT_ZSTD = 1 | 2 << 8
TOPIC = "inputs"
TIMEOUT_S = 60
PARTITIONS = 2


class RawNode:
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
        return _told(caught.value)

    def stream(self, method: str, *messages: bytes) -> Generator[bytes]:
        """The answers to a stream of these messages, which stays open. Raises grpc.RpcError."""
        requests: SimpleQueue[bytes] = SimpleQueue()
        for message in messages:
            requests.put(message)
        call: Any = self._channel.stream_stream(f"/streamlog.v1.{method}")
        responses = call(iter(requests.get, None), timeout=TIMEOUT_S)
        try:
            yield from responses
        finally:
            responses.cancel()
            requests.put(b"")

    def stream_refusal(self, method: str, *messages: bytes) -> tuple[grpc.StatusCode, str, str]:
        """Status code, reason and message of a stream that must end with an error."""
        with pytest.raises(grpc.RpcError) as caught:
            list(self.stream(method, *messages))
        return _told(caught.value)

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
        # The stream stays open meanwhile: nobody is promised an answer who has hung up.
        with closing(self.stream("LogService/Fetch", request.SerializeToString())) as responses:
            return log.FetchResponse.FromString(next(responses))

    def end(self) -> int:
        """Committed end of partition 0."""
        query = log.OffsetQuery(topic_id=self.topic_id, spec=log.OFFSET_SPEC_LATEST)
        request = log.ListOffsetsRequest(queries=[query])
        response = self.unary("LogService/ListOffsets", request.SerializeToString())
        (answer,) = log.ListOffsetsResponse.FromString(response).answers
        assert not answer.HasField("error"), answer.error
        return answer.offset

    def close(self) -> None:
        self._channel.close()


def _told(error: grpc.RpcError) -> tuple[grpc.StatusCode, str, str]:
    metadata: Any = error.trailing_metadata()
    details = status_details.decode(dict(metadata)["grpc-status-details-bin"])
    assert details is not None
    return error.code(), details.reason, str(error.details())


@contextmanager
def raw_node(directory: Path) -> Iterator[RawNode]:
    """A node with one topic of two partitions that takes batches of at most 64 KiB."""
    process = NodeProcess(directory, 1, free_addresses(1))
    process.start()
    try:
        process.until_healthy()
        node = RawNode(process.address)
        create = admin.CreateTopicRequest(
            name=TOPIC,
            partition_count=PARTITIONS,
            replication_factor=1,
            config={"max.batch.bytes": "65536"},
        )
        created = node.unary("AdminService/CreateTopic", create.SerializeToString())
        node.topic_id = admin.CreateTopicResponse.FromString(created).topic.topic_id
        for partition in range(PARTITIONS):
            batch = good_batch(partition=partition)
            until(
                lambda batch=batch: not node.produce_batch(batch).HasField("error"),  # type: ignore[misc]
                f"partition {partition} has a leader",
            )
        yield node
        node.close()
    finally:
        process.kill()


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
