"""The hot path: one record into its partition's open batch.

A record costs an encoding (one formatting of bytes), a list append and a few comparisons; no
future, no task, no lock, unless the caller asks to be told about it. Everything else happens a
batch at a time.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable
from threading import get_ident
from typing import Final

from streamlog.client.connections.cluster_metadata import TopicView
from streamlog.client.errors import ClientError, rejected
from streamlog.client.home import Home
from streamlog.client.produce.accumulator import Accumulator
from streamlog.client.produce.partition_queue import Delivery, PartitionQueue
from streamlog.client.produce.record_encoder import (
    BATCH_CONTENT_BYTES_MAX,
    BYTES_LIKE,
    OFFSET_FIELDS,
    RECORDS_MAX,
    TIMESTAMP_MS_MAX,
    TIMESTAMP_MS_MIN,
    VARINTS,
    Headers,
    check_timestamp,
    encode_record,
    headers_fields,
    timestamp_field,
    wrong_type,
)
from streamlog.model.batch import PREFIX_BYTES
from streamlog.model.errors import Reason

_VARINTS_END: Final = RECORDS_MAX - 64
"""Key and value together below this: every length has its varint in the table."""
_NEIGHBOURS_MAX: Final = 4
STICKY_MS: Final = 100
"""Records without a key go on to another partition after so long, or after a full batch: what comes
together is stored together, and over time it is spread evenly."""

Partitioner = Callable[[bytes], int]
"""Hash of a key, not negative; the partition is its remainder by the number of partitions."""


def default_partitioner(key: bytes) -> int:
    """CRC-32 (IEEE), as the routing function "crc32" says; librdkafka's `consistent`."""
    return crc32(key)


class TopicWriter:
    """Sends records to one topic. Get one with `await producer.writer(topic)`."""

    def __init__(
        self,
        view: TopicView,
        accumulator: Accumulator,
        make_queue: Callable[[TopicView, int], PartitionQueue],
        partitioner: Partitioner,
        first_partition: int,
        home: Home,
    ) -> None:
        self.topic = view.name
        self.topic_id = view.topic_id
        self._accumulator = accumulator
        self._home = home
        self._make_queue = make_queue
        self._partitioner = partitioner
        self._queues: list[PartitionQueue] = []
        self._routing_partitions = 0
        self._sticky: PartitionQueue
        self._turn = first_partition
        self._sticky_bytes = 0
        self._sticky_since_ms = 0.0
        self.closed_error: ClientError | None = None
        self.bind(view)

    def bind(self, view: TopicView) -> list[PartitionQueue]:
        """Take newer metadata; returns the queues of a topic that is gone, for the caller."""
        abandoned: list[PartitionQueue] = []
        if view.topic_id != self.topic_id:
            abandoned, self._queues = self._queues, []
            self.topic_id = view.topic_id
        while len(self._queues) < len(view.partitions):
            self._queues.append(self._make_queue(view, len(self._queues)))
        if not self._queues:
            message = f"topic {view.name} has no partitions yet"
            raise ClientError(message, reason=Reason.LEADER_NOT_AVAILABLE.name, retriable=True)
        content_bytes_max = _content_bytes_max(view)
        for queue in self._queues:
            queue.content_bytes_max = content_bytes_max
        self._routing_partitions = min(view.routing_partitions, len(self._queues))
        self._turn %= len(self._queues)
        self._sticky = self._queues[self._turn]
        return abandoned

    @property
    def queues(self) -> list[PartitionQueue]:
        """One a partition."""
        return self._queues

    def send_nowait(
        self,
        value: bytes | None,
        key: bytes | None = None,
        *,
        timestamp_ms: int | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
        on_delivery: Delivery | None = None,
    ) -> None:
        """Put a record into its partition's open batch.

        Args:
            value: None is a tombstone.
            key: Chooses the partition; None spreads records batch by batch.
            timestamp_ms: Unix milliseconds, -2^62 + 1 to 2^62 - 1; default: when the batch was
                opened, which is at most `linger_ms` ago while the event loop runs.
            headers: Names and values, at most 255.
            partition: Instead of the key's.
            on_delivery: Called once with the metadata or the error. Without it, errors are
                raised by the next `flush` or by `close`.

        Raises:
            BufferFull: nothing was taken; `await producer.room()` and send again.
            RecordRejected: the record is larger than any batch may be.
            ValueError: a header, the partition or the timestamp is out of its range.
            ClientClosed, ClientDefect: the producer was closed, or broke.
            TypeError: key or value are not bytes, a header or the timestamp is not what it must be.
            WrongUse: not in the thread that the producer belongs to.
        """
        if get_ident() != self._home.thread:
            raise self._home.elsewhere()
        if partition is not None:
            queue = self.queue_of(partition)
        elif key is None:
            queue = self._sticky
        else:
            try:
                key_hash = self._partitioner(key)
            except TypeError:
                if isinstance(key, BYTES_LIKE):
                    raise
                raise wrong_type(key, value) from None
            queue = self._queues[key_hash % self._routing_partitions]
        if timestamp_ms is not None and (
            type(timestamp_ms) is not int
            or not TIMESTAMP_MS_MIN <= timestamp_ms <= TIMESTAMP_MS_MAX
        ):
            check_timestamp(timestamp_ms)
        header_part = b"" if headers is None else headers_fields(headers)
        while True:
            batch = queue.open_batch
            if batch is None:
                if self.closed_error is not None:
                    raise self.closed_error
                self._home.check()
                batch = self._accumulator.open(queue, timestamp_ms)
            records = batch.records
            index = len(records)
            if index == RECORDS_MAX:
                self._accumulator.seal(queue)
                continue
            offset_part = OFFSET_FIELDS[index]
            if header_part:
                offset_part = header_part + offset_part
            if timestamp_ms is None:
                tail = batch.default_tail
            elif timestamp_ms == batch.first_timestamp_ms:
                tail = b""
            else:
                tail = timestamp_field(timestamp_ms - batch.first_timestamp_ms)
            try:
                if (
                    key is None
                    and value is not None
                    and len(value) < _VARINTS_END
                    and not header_part
                ):
                    value_length = VARINTS[len(value)]
                    encoded = b"\x0a%b\x12%b%b%b%b" % (
                        VARINTS[1 + len(value_length) + len(value) + len(offset_part) + len(tail)],
                        value_length,
                        value,
                        offset_part,
                        tail,
                    )
                else:
                    encoded = encode_record(key, value, tail, offset_part)
            except TypeError:
                raise wrong_type(key, value) from None
            size_bytes = batch.content_bytes + len(encoded)
            if size_bytes > batch.limit_bytes:
                if len(encoded) > BATCH_CONTENT_BYTES_MAX:
                    raise self._too_large(len(encoded))
                if not self._accumulator.extend(batch, size_bytes):
                    self._accumulator.seal(queue)
                    if key is None and partition is None:
                        queue = self._sticky  # records without a key go on elsewhere
                    continue
            break
        batch.content_bytes = size_bytes
        records.append(encoded)
        stamp_ms = batch.default_timestamp_ms if timestamp_ms is None else timestamp_ms
        if stamp_ms > batch.max_timestamp_ms:  # noqa: PLR1730  # max() costs a call a record
            batch.max_timestamp_ms = stamp_ms
        if on_delivery is not None:
            if batch.deliveries is None:
                batch.deliveries = []
            batch.deliveries.append((index, stamp_ms, on_delivery))

    def _move_on(self) -> None:
        """The next partition in turn, passing over neighbours that have more waiting."""
        count = len(self._queues)
        best = min(
            range(1, min(_NEIGHBOURS_MAX, count) + 1),
            key=lambda step: len(self._queues[(self._turn + step) % count].waiting),
        )
        self._turn = (self._turn + best) % count
        self._sticky = self._queues[self._turn]

    def batch_sealed(self, queue: PartitionQueue, size_bytes: int, now_ms: float) -> None:
        """A batch is complete; records without a key may go on in another partition."""
        if queue is not self._sticky:
            return
        self._sticky_bytes += size_bytes
        if (
            self._sticky_bytes >= self._accumulator.batch_bytes // 2
            or now_ms - self._sticky_since_ms >= STICKY_MS
            or len(queue.waiting) > 1
        ):
            self._move_on()
            self._sticky_bytes, self._sticky_since_ms = 0, now_ms

    def queue_of(self, partition: int) -> PartitionQueue:
        """The partition's queue. Raises ValueError when there is no such partition."""
        if not 0 <= partition < len(self._queues):
            raise ValueError(
                f"partition {partition} of topic {self.topic}; it has 0 to {len(self._queues) - 1}"
            )
        return self._queues[partition]

    def _too_large(self, size_bytes: int) -> ClientError:
        return rejected(
            Reason.BATCH_TOO_LARGE,
            f"a record of {size_bytes} bytes; a batch holds at most {BATCH_CONTENT_BYTES_MAX}",
        )


def _content_bytes_max(view: TopicView) -> int:
    """What fits in one batch of the topic, however little it compresses."""
    if not view.batch_bytes_max:
        return BATCH_CONTENT_BYTES_MAX
    return view.batch_bytes_max - PREFIX_BYTES
