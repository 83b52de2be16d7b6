"""Publish: single records in, gathered by the client inside the node, each with its own result.

Records that arrive together, from however many connections, leave as one compressed batch a
partition: while batches are on their way to the leader, the next one fills.

Invariants:
- Bytes of records without a result are bounded per stream (then it is not read on) and per node
  (the producer's buffer).
- A record that is refused by itself (unknown topic, too large, no such partition) has its error at
  once; the others of the request are not affected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from replication.ports import ServerStream
from streamlog.broker.budget import ByteBudget
from streamlog.broker.duplex import run_duplex
from streamlog.broker.error_mapping import parse
from streamlog.client.errors import ClientError, NotReady, TopicNotLoaded
from streamlog.client.produce.partition_queue import RecordMetadata
from streamlog.client.produce.producer import Producer
from streamlog.gateway.errors import from_value_error, to_proto
from streamlog.model.errors import Reason, StreamlogError
from streamlog.v1.record_service_pb2 import (
    PublishRecord,
    PublishRequest,
    PublishResponse,
    PublishResult,
)

RECORDS_PER_REQUEST_MAX: Final = 10_000
Done = Callable[[PublishResult], None]
"""Called once with the result of a record."""

RECORD_OVERHEAD_BYTES: Final = 256
"""What a record without a result costs besides its bytes."""


class PublishService:
    """Serves Publish and PublishStream."""

    def __init__(self, producer: Producer, stream_budget_bytes: int) -> None:
        self.producer = producer
        self.stream_budget_bytes = stream_budget_bytes

    async def publish(self, request: PublishRequest) -> PublishResponse:
        """Answer when every record has its result, in the order of the records."""
        _check(request)
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[PublishResult]] = []
        for record in request.records:
            future: asyncio.Future[PublishResult] = loop.create_future()
            futures.append(future)
            await self.send(record, request.topic, partial(_resolve, future))
        return PublishResponse(results=await asyncio.gather(*futures))

    async def serve(self, stream: ServerStream) -> None:
        """Handle one stream until the client has no more and everything has its result."""
        publishing = _PublishStream(self, stream)
        await run_duplex(publishing.read(), publishing.write(), drain=True)

    async def send(self, record: PublishRecord, topic: str, done: Done) -> None:
        """Hand a record to the producer; waits while its buffer is full. `done` is called once,
        maybe before this returns."""
        answer = partial(_answer, record.id, done)
        topic = record.topic or topic
        while True:
            try:
                self.producer.send_nowait(
                    topic,
                    record.value if record.HasField("value") else None,
                    key=record.key if record.HasField("key") else None,
                    headers=_headers(record),
                    timestamp_ms=record.timestamp_ms if record.HasField("timestamp_ms") else None,
                    partition=record.partition if record.HasField("partition") else None,
                    on_delivery=answer,
                )
                return None
            except TopicNotLoaded:
                try:
                    await self.producer.writer(topic)
                except ClientError as error:
                    return answer(None, error)
            except NotReady:
                await self.producer.room()
            except ClientError as error:
                return answer(None, error)
            except ValueError as error:
                return done(PublishResult(id=record.id, error=from_value_error(error)))


class _PublishStream:
    def __init__(self, service: PublishService, stream: ServerStream) -> None:
        self._service, self._stream = service, stream
        self._budget = ByteBudget(service.stream_budget_bytes)
        self._results: list[PublishResult] = []
        self._unanswered = 0
        self._input_ended = False
        self._wake = asyncio.Event()

    async def read(self) -> None:
        while (data := await self._stream.receive()) is not None:
            request = parse(PublishRequest, data)
            _check(request)
            for record in request.records:
                size_bytes = len(record.value) + len(record.key) + RECORD_OVERHEAD_BYTES
                await self._budget.take(size_bytes)
                self._unanswered += 1
                await self._service.send(record, request.topic, partial(self._done, size_bytes))
        self._input_ended = True
        self._wake.set()

    def _done(self, size_bytes: int, result: PublishResult) -> None:
        self._budget.give(size_bytes)
        self._unanswered -= 1
        self._results.append(result)
        self._wake.set()

    async def write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._results:
                results, self._results = self._results, []
                await self._stream.send(PublishResponse(results=results).SerializeToString())
            if self._input_ended and not self._unanswered:
                return


def _check(request: PublishRequest) -> None:
    if not 1 <= len(request.records) <= RECORDS_PER_REQUEST_MAX:
        raise StreamlogError(
            Reason.INVALID_REQUEST,
            f"a PublishRequest holds {len(request.records)} records, "
            f"1 to {RECORDS_PER_REQUEST_MAX} are allowed",
        )


def _headers(record: PublishRecord) -> list[tuple[str, bytes | None]] | None:
    if not record.headers:
        return None
    return [
        (header.name, header.value if header.HasField("value") else None)
        for header in record.headers
    ]


def _answer(
    record_id: int, done: Done, place: RecordMetadata | None, error: ClientError | None
) -> None:
    if place is None:
        assert error is not None
        done(PublishResult(id=record_id, error=to_proto(error)))
    else:
        done(
            PublishResult(
                id=record_id,
                partition=place.partition,
                offset=place.offset,
                timestamp_ms=place.timestamp_ms,
            )
        )


def _resolve(future: asyncio.Future[PublishResult], result: PublishResult) -> None:
    if not future.done():
        future.set_result(result)
