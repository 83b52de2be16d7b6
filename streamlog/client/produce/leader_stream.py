"""The Produce stream to one leader: requests out, results in.

One task sends, one receives. A message carries the next batches of every partition that has
some, so that a busy producer pays for few messages; a quiet one sends at once.

Invariant: a request that was handed to the transport ends exactly once, with its result or with
the loss of its stream; after a loss nobody knows what the leader did with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from streamlog.client.connections.connection import LOG_SERVICE, Connection, NodeLimits
from streamlog.client.errors import ClientError, ConnectionLost, from_transport
from streamlog.client.produce.batch_builder import entry_parts
from streamlog.client.produce.partition_queue import Batch, PartitionQueue
from streamlog.client.tasks import Tasks
from streamlog.client.transport import ClientStream, TransportError
from streamlog.model.errors import UNAVAILABLE
from streamlog.v1.log_service_pb2 import ProduceResponse, ProduceResult

ENTRIES_MAX: Final = 1_000
MESSAGE_BYTES_WANTED: Final = 1024 * 1024
"""A message is closed at this size, so that results of its first batches do not wait for all."""
ENTRY_OVERHEAD_BYTES: Final = 64


class StreamOwner(Protocol):
    """What a leader stream asks of the sender."""

    def next_batch(
        self, queue: PartitionQueue, stream: LeaderStream, limits: NodeLimits
    ) -> Batch | None:
        """The next batch of the partition, in flight and framed; None when it has none now."""
        ...

    def on_result(self, batch: Batch, result: ProduceResult) -> None:
        """A result came."""
        ...

    def on_lost(self, batches: Sequence[Batch], error: ClientError) -> None:
        """The stream ended before the results came."""
        ...

    def on_unreachable(self, queues: Sequence[PartitionQueue], error: ClientError) -> None:
        """No stream could be opened; nothing was sent."""
        ...

    def on_defect(self, error: BaseException) -> None:
        """A task of the stream ended in a way that nobody foresaw."""
        ...


class _OpenStream:
    """One call and the requests whose results it owes."""

    def __init__(self, call: ClientStream, limits: NodeLimits) -> None:
        self.call = call
        self.limits = limits
        self.unanswered: dict[int, Batch] = {}
        self.unanswered_bytes = 0
        self.lost = False


class LeaderStream:
    """The producer's way to one leader."""

    def __init__(self, connection: Connection, owner: StreamOwner) -> None:
        self.address = connection.address
        self._connection = connection
        self._owner = owner
        self._ready: dict[PartitionQueue, None] = {}
        self._wake = asyncio.Event()
        self._open: _OpenStream | None = None
        self._next_request_id = 1
        self._tasks = Tasks(owner.on_defect)
        self._tasks.start(self._send_loop())

    def submit(self, queue: PartitionQueue) -> None:
        """The partition has batches for this leader."""
        self._ready[queue] = None
        self._wake.set()

    def take_unsent(self) -> list[PartitionQueue]:
        """Take back the partitions that wait for a stream to this leader; none when it is open."""
        if self._open is not None:
            return []
        queues, self._ready = list(self._ready), {}
        return queues

    def oldest_sent_ms(self) -> float | None:
        """When the oldest unanswered request was sent; None when there is none."""
        if self._open is None:
            return None
        return next((batch.sent_ms for batch in self._open.unanswered.values()), None)

    def break_off(self, error: ClientError) -> None:
        """Give the open call up: its leader does not answer."""
        if self._open is not None:
            stream = self._open
            stream.call.cancel()
            self._lose(stream, error)

    async def close(self) -> None:
        """Cancel the call and the tasks."""
        self._tasks.cancel()
        if self._open is not None:
            self._open.call.cancel()
        await self._tasks.close()

    # Sending -------------------------------------------------------------------------------

    async def _send_loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ready:
                stream = await self._opened()
                if stream is None:
                    break
                message = self._collect(stream)
                if message is None:
                    break  # woken by the next result, or by a new batch
                try:
                    await stream.call.send(message)
                except TransportError as error:
                    self._lose(stream, from_transport(error, self.address))

    async def _opened(self) -> _OpenStream | None:
        if self._open is not None:
            return self._open
        try:
            limits = await self._connection.ready()
            call = await self._connection.stream(LOG_SERVICE + "Produce")
        except ClientError as error:
            queues, self._ready = list(self._ready), {}
            self._owner.on_unreachable(queues, error)
            return None
        stream = self._open = _OpenStream(call, limits)
        self._tasks.start(self._receive_loop(stream))
        return stream

    def _collect(self, stream: _OpenStream) -> bytes | None:
        """The next ProduceRequest; partitions take turns batch by batch."""
        parts: list[bytes] = []
        size_bytes = 0
        entries = 0
        wanted_bytes = min(MESSAGE_BYTES_WANTED, stream.limits.message_bytes_max // 2)
        while self._ready and entries < ENTRIES_MAX and size_bytes < wanted_bytes:
            if stream.unanswered_bytes >= stream.limits.produce_inflight_bytes_max:
                break
            queue = next(iter(self._ready))
            del self._ready[queue]
            batch = self._owner.next_batch(queue, self, stream.limits)
            if batch is None:
                continue
            self._ready[queue] = None  # to the end of the line
            request_id = self._next_request_id
            self._next_request_id += 1
            head, frame = entry_parts(batch, request_id)
            parts += (head, frame)
            size_bytes += len(head) + len(frame)
            entries += 1
            stream.unanswered[request_id] = batch
            stream.unanswered_bytes += len(frame)
        return b"".join(parts) if parts else None

    # Receiving -----------------------------------------------------------------------------

    async def _receive_loop(self, stream: _OpenStream) -> None:
        error: ClientError
        try:
            while True:
                message = await stream.call.receive()
                if message is None:
                    error = ConnectionLost(
                        f"{self.address} ended the stream", code=UNAVAILABLE, retriable=True
                    )
                    break
                for result in ProduceResponse.FromString(message).results:
                    batch = stream.unanswered.pop(result.request_id, None)
                    if batch is not None:
                        stream.unanswered_bytes -= len(batch.frame or b"")
                        self._owner.on_result(batch, result)
                if self._ready:
                    self._wake.set()
        except TransportError as failure:
            error = from_transport(failure, self.address)
        except DecodeError:
            stream.call.cancel()
            error = ConnectionLost(
                f"{self.address} sent bytes that are no ProduceResponse", code=UNAVAILABLE
            )
        self._lose(stream, error)

    def _lose(self, stream: _OpenStream, error: ClientError) -> None:
        if stream.lost:
            return
        stream.lost = True
        if self._open is stream:
            self._open = None
        self._connection.forget_handshake()
        batches = list(stream.unanswered.values())
        stream.unanswered.clear()
        if batches:
            lost = ConnectionLost(
                error.message,
                reason=error.reason,
                code=error.code,
                retriable=True,
                indefinite=True,
                retry_after_ms=error.retry_after_ms,
            )
            self._owner.on_lost(batches, lost)
        self._wake.set()
