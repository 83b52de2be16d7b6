"""The producer: records in, batches out, acknowledged when a majority has them on disk.

    async with Producer("127.0.0.1:9092") as producer:
        place = await producer.send("events", b"value", key=b"key")   # waits for the ack
        await producer.send_many("events", values)                    # waits for room only
        await producer.flush()                                        # everything acked

Idempotent by default: a record is stored once and in order per partition, whatever is retried.
What the application must know is in the errors: `indefinite` says that a record that failed may
have been stored all the same.

Invariant: what `flush` returned for without raising is acknowledged.

Neighbours: `topic_writer` (the hot path), `accumulator` (memory, linger), `sender` (routing,
retries), `partition_queue` (order and sequences).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from streamlog.client.connections.backoff import Backoff
from streamlog.client.connections.cluster_metadata import CallPolicy, ClusterMetadata, TopicView
from streamlog.client.connections.connection import Connections
from streamlog.client.errors import (
    ClientError,
    NotReady,
    RecordsLost,
    TopicNotLoaded,
    closed,
)
from streamlog.client.home import Home
from streamlog.client.produce.accumulator import Accumulator
from streamlog.client.produce.batch_builder import BatchBuilder, Compressor, ZstdCompressor
from streamlog.client.produce.partition_queue import (
    Batch,
    Delivery,
    PartitionQueue,
    RecordMetadata,
)
from streamlog.client.produce.record_encoder import (
    OFFSET_FIELDS,
    RECORDS_MAX,
    Headers,
    check_timestamp,
    encode_record,
    headers_fields,
    timestamp_field,
    wrong_type,
)
from streamlog.client.produce.sender import Losses, Sender, SendPolicy
from streamlog.client.produce.topic_writer import Partitioner, TopicWriter, default_partitioner
from streamlog.client.transport import Environment
from streamlog.model.errors import UNAVAILABLE

IN_FLIGHT_MAX: Final = 5
"""Batches of a partition that a leader remembers of a producer."""
YIELD_EVERY_RECORDS: Final = 1_024
"""`send_many` lets the event loop run this often, so that batches leave while it goes on."""
CLOSE_AFTER_ERROR_MS: Final = 5_000

Sendable = Any
"""A value, or a tuple (key, value) or (key, value, timestamp_ms)."""
Serializer = Callable[[Any], bytes]


class Producer:
    """Sends records to topics; an asynchronous context manager.

    Args:
        bootstrap: "host:port,host:port" of some nodes; the others are found through them.
        linger_ms: How long a batch waits for more records, 0 to 60,000; 0: until the event
            loop comes round.
        batch_bytes: Uncompressed bytes at which a batch is full, 1 to 64 MiB; a topic's
            max.batch.bytes (less 138 for the batch's header), where that is less.
        compression: "zstd" or "none".
        level: Of zstd, 1 to 19.
        max_in_flight: Unacknowledged batches of a partition, 1 to 5.
        delivery_timeout_ms: From the opening of a batch to its acknowledgement.
        request_timeout_ms: A leader that owes an answer this long is given up.
        retry_backoff_ms: First wait before a batch is sent again; doubles up to 1 s.
        buffer_bytes: Uncompressed bytes of unacknowledged records.
        max_block_ms: How long `send` and `send_many` wait while the buffer is full before they
            raise BufferFull; 0: at once. Default: as long as it takes.
        idempotence: Store each record once. Without it retries may store it twice.
        partitioner: Hash of a serialized key; default CRC-32, as every client has it.
        key_serializer, value_serializer: Make bytes of keys and values; null keys and values are
            not handed to them. What they raise, the call that was given the record raises.
        compressor: Instead of `compression`: a `batch_builder.Compressor`, on a thread perhaps.
        client_id: For the nodes' logs.
        environment: Transport, clock and randomness; default: the real ones.

    It belongs to the event loop of its first use; see `streamlog.client.sync` for threads and
    scripts. Raises ValueError when an argument is out of its range.
    """

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        *,
        linger_ms: float = 5,
        batch_bytes: int = 256 * 1024,
        compression: str = "zstd",
        level: int = 1,
        max_in_flight: int = IN_FLIGHT_MAX,
        delivery_timeout_ms: float = 120_000,
        request_timeout_ms: float = 10_000,
        retry_backoff_ms: float = 20,
        buffer_bytes: int = 64 * 1024 * 1024,
        max_block_ms: float | None = None,
        idempotence: bool = True,
        key_serializer: Serializer | None = None,
        value_serializer: Serializer | None = None,
        partitioner: Partitioner = default_partitioner,
        compressor: Compressor | None = None,
        client_id: str = "",
        policy: CallPolicy | None = None,
        environment: Environment | None = None,
    ) -> None:
        _check("linger_ms", linger_ms, 0, 60_000)
        _check("batch_bytes", batch_bytes, 1, 64 * 1024 * 1024)
        _check("max_in_flight", max_in_flight, 1, IN_FLIGHT_MAX)
        _check("delivery_timeout_ms", delivery_timeout_ms, 1, 86_400_000)
        _check("request_timeout_ms", request_timeout_ms, 1, 86_400_000)
        _check("retry_backoff_ms", retry_backoff_ms, 1, 60_000)
        _check("buffer_bytes", buffer_bytes, 32 * 1024, 2**40)
        if max_block_ms is not None:
            _check("max_block_ms", max_block_ms, 0, 86_400_000)
        if compression not in ("zstd", "none"):
            raise ValueError(f"compression is {compression!r}; allowed are 'zstd' and 'none'")
        if compressor is None and compression == "zstd":
            compressor = ZstdCompressor(level)
        if environment is None:
            from streamlog.client.connections.real_environment import real_environment

            environment = real_environment()
        self._home = Home("producer")
        self._environment = environment
        self._max_block_ms = max_block_ms
        self._key_serializer, self._value_serializer = key_serializer, value_serializer
        self._serializes = key_serializer is not None or value_serializer is not None
        self._max_in_flight = max_in_flight
        self._retry_backoff_ms = retry_backoff_ms
        self._idempotent = idempotence
        self._partitioner = partitioner
        self._connections = Connections(environment, client_id)
        self._metadata = ClusterMetadata(
            bootstrap, self._connections, environment, policy or CallPolicy()
        )
        self._sender = Sender(
            metadata=self._metadata,
            connections=self._connections,
            builder=BatchBuilder(compressor),
            clock=environment.clock,
            policy=SendPolicy(delivery_timeout_ms, request_timeout_ms, idempotence),
            offload=compressor is not None and compressor.offloads,
            on_broken=self._on_broken,
        )
        self._accumulator = Accumulator(
            clock=environment.clock,
            linger_ms=linger_ms,
            batch_bytes=batch_bytes,
            buffer_bytes=buffer_bytes,
            on_sealed=self._on_sealed,
        )
        self._sender.accumulator = self._accumulator
        self._writers: dict[str, TopicWriter] = {}
        self._wanted: dict[str, None] = {}
        self._started = False
        self._closed = False
        self._broken: ClientError | None = None

    async def start(self) -> None:
        """Begin; entering the context does it. Sends nothing yet."""
        self._check_open()
        if not self._started:
            self._started = True
            self._metadata.on_change(self._on_metadata)
            self._sender.start()

    async def close(self, timeout_ms: float | None = None) -> None:
        """Send what is left, wait for the acknowledgements, and end.

        Args:
            timeout_ms: What is not acknowledged by then fails as closed; default: the
                delivery timeout decides.

        Raises RecordsLost when records failed that no callback was told about.
        """
        if self._closed:
            return
        self._home.check()
        self._closed = True
        for writer in self._writers.values():
            writer.closed_error = closed("producer")
        try:
            if self._started:
                async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                    await self._acknowledged()
        except TimeoutError:
            pass  # those fail as closed
        finally:
            self._accumulator.close()
            await self._sender.close()
            await self._connections.close()
        self._raise_losses()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.close()
            return
        try:
            await self.close(CLOSE_AFTER_ERROR_MS)
        except RecordsLost as lost:
            error.add_note(str(lost))

    # Sending ---------------------------------------------------------------------------------

    async def send(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = None,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> RecordMetadata:
        """Send a record and wait until it is acknowledged; arguments as `send_nowait`.

        Cancelling the wait does not take the record back. Raises ClientError; BufferFull when
        there was no room within `max_block_ms`.
        """
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        writer = self._writers.get(topic) or await self.writer(topic)
        if self._serializes:
            key, value = self._serialized(key, value)
        await self._when_room(
            partial(
                writer.send_nowait,
                value,
                key,
                timestamp_ms=timestamp_ms,
                headers=headers,
                partition=partition,
                on_delivery=partial(_deliver, future),
            )
        )
        return await future

    def send_nowait(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = None,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
        partition: int | None = None,
        on_delivery: Delivery | None = None,
    ) -> None:
        """Put a record into its batch without waiting; see `TopicWriter.send_nowait`.

        Key and value are bytes, or what the serializers take, or None.

        Raises NotReady (BufferFull, or TopicNotLoaded at the topic's first record): nothing was
        taken; `await producer.room()` and send again.
        """
        writer = self._writers.get(topic)
        if writer is None:
            self._check_open()
            self._wanted[topic] = None
            message = f"the partitions of topic {topic} are not known yet"
            raise TopicNotLoaded(message, code=UNAVAILABLE, retriable=True)
        if self._serializes:
            key, value = self._serialized(key, value)
        writer.send_nowait(
            value,
            key,
            timestamp_ms=timestamp_ms,
            headers=headers,
            partition=partition,
            on_delivery=on_delivery,
        )

    async def send_many(
        self, topic: str, records: Iterable[Sendable] | AsyncIterator[Sendable]
    ) -> int:
        """Send many records; returns their number once all are buffered, not acknowledged.

        Each is a value, or a tuple (key, value) or (key, value, timestamp_ms). Waits while the
        buffer is full. Failures show in `flush` and `close`.
        """
        writer = self._writers.get(topic) or await self.writer(topic)
        send = writer.send_nowait
        count = 0
        if not isinstance(records, Iterable):
            async for record in records:
                await self._send_one(writer, record)
                count += 1
            return count
        for record in records:
            if self._serializes:
                await self._send_one(writer, record)
            else:
                try:
                    if isinstance(record, bytes):
                        send(record)
                    elif len(record) == 2:
                        send(record[1], record[0])
                    else:
                        send(record[1], record[0], timestamp_ms=record[2])
                except NotReady:
                    await self._send_one(writer, record)
            count += 1
            if not count % YIELD_EVERY_RECORDS:
                await asyncio.sleep(0)
        return count

    async def _send_one(self, writer: TopicWriter, record: Sendable) -> None:
        key, value, timestamp_ms = self._fields(record)
        await self._when_room(partial(writer.send_nowait, value, key, timestamp_ms=timestamp_ms))

    async def _when_room(self, send: Callable[[], None]) -> None:
        """Send as soon as there is room. Raises BufferFull after `max_block_ms`."""
        now_ms = self._environment.clock.monotonic_ms
        deadline_ms = None if self._max_block_ms is None else now_ms() + self._max_block_ms
        while True:
            try:
                send()
                return
            except NotReady:
                if deadline_ms is None:
                    await self.room()
                    continue
                left_ms = deadline_ms - now_ms()
                if left_ms <= 0:
                    raise
            with suppress(TimeoutError):
                async with asyncio.timeout(left_ms / 1_000):
                    await self.room()

    def _fields(self, record: Sendable) -> tuple[bytes | None, bytes | None, int | None]:
        """Serialized key, serialized value, timestamp."""
        key, value, *rest = record if isinstance(record, tuple) else (None, record)
        if self._serializes:
            key, value = self._serialized(key, value)
        return key, value, rest[0] if rest else None

    def _serialized(self, key: Any, value: Any) -> tuple[bytes | None, bytes | None]:
        if key is not None and self._key_serializer is not None:
            key = self._key_serializer(key)
        if value is not None and self._value_serializer is not None:
            value = self._value_serializer(value)
        return key, value

    async def append_batch(
        self,
        topic: str,
        partition: int,
        records: Sequence[Sendable],
        *,
        headers: Headers | None = None,
        expected_end_offset: int | None = None,
    ) -> RecordMetadata:
        """Store records together or not at all, as one batch; returns the first one's place.

        Args:
            topic: Topic.
            partition: Partition number.
            records: 1 to 16,384.
            headers: Of every record.
            expected_end_offset: Store only if the offset after the partition's last data record
                is this; else ConditionFailed with metadata `end_offset`.

        Raises ClientError.
        """
        if not 1 <= len(records) <= RECORDS_MAX:
            raise ValueError(f"{len(records)} records; a batch has 1 to {RECORDS_MAX}")
        writer = self._writers.get(topic) or await self.writer(topic)
        queue = writer.queue_of(partition)
        now_ms = self._environment.clock.wall_ms()
        header_part = b"" if headers is None else headers_fields(headers)
        batch = Batch(queue, self._environment.clock.monotonic_ms(), now_ms)
        batch.expected_end_offset = expected_end_offset
        for index, record in enumerate(records):
            key, value, own_stamp_ms = self._fields(record)
            stamp_ms = now_ms if own_stamp_ms is None else own_stamp_ms
            check_timestamp(stamp_ms)
            if index == 0:
                batch.first_timestamp_ms = batch.max_timestamp_ms = stamp_ms
            batch.max_timestamp_ms = max(batch.max_timestamp_ms, stamp_ms)
            tail = timestamp_field(stamp_ms - batch.first_timestamp_ms)
            try:
                encoded = encode_record(key, value, tail, header_part + OFFSET_FIELDS[index])
            except TypeError:
                raise wrong_type(key, value) from None
            batch.records.append(encoded)
        batch.count = len(records)
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        deliver = partial(_deliver, future)
        batch.deliveries = [(0, batch.first_timestamp_ms, deliver)]
        batch.all_told = True
        size_bytes = sum(map(len, batch.records))

        def adopt() -> None:
            self._check_open()
            self._accumulator.adopt(batch, size_bytes)

        await self._when_room(adopt)
        return await future

    # Waiting ---------------------------------------------------------------------------------

    async def writer(self, topic: str) -> TopicWriter:
        """The topic's writer, for many `send_nowait`; loads its metadata.

        Raises TopicUnknown, ConnectionLost.
        """
        self._check_open()
        await self.start()
        view = await self._metadata.topic(topic)
        writer = self._writers.get(topic)
        if writer is None:
            first = int(self._environment.random.random() * max(1, len(view.partitions)))
            writer = TopicWriter(
                view, self._accumulator, self._make_queue, self._partitioner, first, self._home
            )
            self._writers[topic] = writer
        return writer

    async def room(self) -> None:
        """Wait until `send_nowait` can take a record; lets the event loop run in any case.

        Raises TopicUnknown, ConnectionLost for a topic that `send_nowait` could not find.
        """
        self._check_open()
        await asyncio.sleep(0)
        wanted, self._wanted = list(self._wanted), {}
        for topic in wanted:
            await self.writer(topic)
        await self._accumulator.room()

    def refresh_soon(self) -> None:
        """Topics may have changed: ask for them again, in the background."""
        self._metadata.request_refresh()

    @property
    def sent_bytes(self) -> int:
        """Bytes of batches sent so far, compressed; those that were sent again count again."""
        return self._sender.sent_bytes

    async def flush(self) -> None:
        """Send everything now and wait until what was sent before is acknowledged.

        Raises RecordsLost when records failed that no callback was told about.
        """
        self._check_open()
        await self._acknowledged()
        self._raise_losses()

    async def _acknowledged(self) -> None:
        self._accumulator.seal_all()
        batches = self._accumulator.unresolved()
        if not batches:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = len(batches)

        def resolved() -> None:
            nonlocal left
            left -= 1
            if left == 0 and not future.done():
                future.set_result(None)

        for batch in batches:
            batch.waiters = [*(batch.waiters or ()), resolved]
        await future

    def _raise_losses(self) -> None:
        losses, self._sender.losses = self._sender.losses, Losses()
        if losses.first_error is not None:
            raise RecordsLost(losses.records, losses.first_error)

    # Inside ----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        self._home.check()
        if self._broken is not None:
            raise self._broken
        if self._closed:
            raise closed("producer")

    def _on_broken(self, error: ClientError) -> None:
        self._broken = error
        for writer in self._writers.values():
            writer.closed_error = error

    def _on_sealed(self, queue: PartitionQueue) -> None:
        writer = self._writers.get(queue.topic)
        if writer is not None:
            size_bytes = queue.waiting[-1].content_bytes
            writer.batch_sealed(queue, size_bytes, self._environment.clock.monotonic_ms())
        self._sender.on_sealed(queue)

    def _make_queue(self, view: TopicView, partition: int) -> PartitionQueue:
        return PartitionQueue(
            view.name,
            view.topic_id,
            partition,
            idempotent=self._idempotent,
            max_in_flight=self._max_in_flight,
            backoff=Backoff(self._retry_backoff_ms, 1_000, self._environment.random),
        )

    def _on_metadata(self) -> None:
        """Topics may have got more partitions, or be other ones of the same name."""
        for writer in self._writers.values():
            view = self._metadata.known_topic(writer.topic)
            if view is not None and view.partitions:
                for queue in writer.bind(view):
                    self._sender.abandon(queue)


def _deliver(
    future: asyncio.Future[RecordMetadata],
    metadata: RecordMetadata | None,
    error: ClientError | None,
) -> None:
    if future.done():
        return  # the caller was cancelled
    if error is not None:
        future.set_exception(error)
    else:
        assert metadata is not None
        future.set_result(metadata)


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; allowed are {least} to {most}")
