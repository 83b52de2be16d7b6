"""Nodes in memory for the client library: a transport whose answers the test decides."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from streamlog.client.transport import (
    Channel,
    ClientStream,
    Environment,
    TransportError,
)
from streamlog.v1 import log_service_pb2 as pb

UNAVAILABLE = 14
TOPIC, TOPIC_ID = "t", 7


class FakeCluster:
    """Nodes by address, and who leads the one partition of the one topic."""

    def __init__(self, *addresses: str) -> None:
        self.nodes = {
            address: FakeNode(self, number, address) for number, address in enumerate(addresses, 1)
        }
        self.leader, self.term = 1, 1
        self.stored: list[bytes] = []
        """Payloads, in the order they were stored."""
        self.max_timestamps: list[int] = []
        """What each of those batches said of its records, in milliseconds."""
        self.max_batch_bytes = 1 << 20

    def lead(self, node_id: int) -> None:
        """Another node was elected."""
        self.leader, self.term = node_id, self.term + 1

    def environment(self) -> Environment:
        """For a client; its clock is the real one."""
        return Environment(self, Clock(), random.Random(1))

    def connect(self, address: str) -> Channel:
        return FakeChannel(self.nodes[address])


class Clock:
    """The loop's time and the wall's."""

    def monotonic_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1_000

    def wall_ms(self) -> int:
        return int(time.time() * 1_000)


class FakeNode:
    """One node; attributes are its temper."""

    def __init__(self, cluster: FakeCluster, node_id: int, address: str) -> None:
        self.cluster, self.node_id, self.address = cluster, node_id, address
        self.silent = False
        """Answers nothing, like a machine that vanished."""
        self.answers = asyncio.Event()
        """Cleared: streams take requests, and their answers wait."""
        self.answers.set()
        self.streams_opened = 0
        self.on_send: Callable[[], None] = lambda: None
        """Called for each message of a stream; raises what the transport is to raise."""

    async def unary(self, method: str, request: bytes) -> bytes:
        if self.silent:
            await asyncio.Event().wait()
        name = method.rpartition("/")[2]
        if name == "Handshake":
            return pb.HandshakeResponse(
                protocol_version=1, cluster_id="c", node_id=self.node_id
            ).SerializeToString()
        if name == "InitProducer":
            return pb.InitProducerResponse(producer_id=1).SerializeToString()
        if name == "GetMetadata":
            return self._metadata().SerializeToString()
        if name == "ListOffsets":
            answers = [
                pb.OffsetAnswer(topic_id=TOPIC_ID, partition=0, offset=0, leader_term=1)
                for _ in pb.ListOffsetsRequest.FromString(request).queries
            ]
            return pb.ListOffsetsResponse(answers=answers).SerializeToString()
        raise TransportError(12, f"{method} is not known here")

    def _metadata(self) -> pb.GetMetadataResponse:
        cluster = self.cluster
        return pb.GetMetadataResponse(
            cluster_id="c",
            nodes=[
                pb.Node(node_id=node.node_id, address=node.address, live=not node.silent)
                for node in cluster.nodes.values()
            ],
            topics=[
                pb.TopicMetadata(
                    name=TOPIC,
                    topic_id=TOPIC_ID,
                    max_batch_bytes=cluster.max_batch_bytes,
                    routing=pb.Routing(function="crc32", partition_count=1, epoch=1),
                    partitions=[
                        pb.PartitionMetadata(
                            partition=0, leader_node_id=cluster.leader, leader_term=cluster.term
                        )
                    ],
                )
            ],
        )


class FakeChannel:
    """Implements streamlog.client.transport.Channel."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                return await self._node.unary(method, request)
        except TimeoutError:
            raise TransportError(4, f"{self._node.address} does not answer") from None

    def stream(self, method: str) -> ClientStream:
        self._node.streams_opened += 1
        return FakeStream(self._node)

    async def close(self) -> None:
        pass


class FakeStream:
    """Implements streamlog.client.transport.ClientStream; stores what is produced at once."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send(self, message: bytes) -> None:
        self._node.on_send()
        results = []
        for entry in pb.ProduceRequest.FromString(message).entries:
            stored = self._node.cluster.stored
            results.append(pb.ProduceResult(request_id=entry.request_id, base_offset=len(stored)))
            stored.append(entry.batch.payload)
            self._node.cluster.max_timestamps.append(entry.batch.max_timestamp_ms)
        self._answers.put_nowait(pb.ProduceResponse(results=results).SerializeToString())

    async def receive(self) -> bytes | None:
        answer = await self._answers.get()
        await self._node.answers.wait()
        return answer

    async def done_sending(self) -> None:
        pass

    def cancel(self) -> None:
        self._answers.put_nowait(None)
