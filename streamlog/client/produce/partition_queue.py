"""The batches of one partition on the producer's side: their order, sequences and retries.

No I/O and no clock here: the sender asks what may be sent and tells what became of it.

A batch is open (records are added), then waiting, then in flight, then resolved. Batches are
sent in order; up to `max_in_flight` at a time. When one of them fails, nothing more is sent
until all are answered ("recovering"); then those that are left go back to the front of the
line, in order, and are sent again.

Sequences make a retry safe: a leader stores a batch only when its sequence follows the last
stored one, and answers one it has stored before as a duplicate.

Invariant: a batch that may have been stored (`indefinite`) keeps its sequence and its bytes
until it is resolved. A batch that was certainly not stored loses its sequence on recovery, so
that one given up leaves no gap behind it.
Invariant: bound batches stand before unbound ones in `waiting`, and `next_sequence` follows the
last bound one.

When a batch that may have been stored is given up, and was in fact not stored, the leader
answers the next with OUT_OF_ORDER_SEQUENCE. The partition then continues under a new producer
id: what certainly was not stored is sent again, what may have been is reported as lost with
`indefinite` set, because sending it under another id could store it twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from streamlog.client.connections.backoff import Backoff
from streamlog.client.errors import ClientError, SequenceBroken
from streamlog.client.produce.record_encoder import BATCH_CONTENT_BYTES_MAX
from streamlog.model.errors import FAILED_PRECONDITION, Reason

SEQUENCE_MODULUS: Final = 2**31
UNBOUND: Final = -1
IDENTITY_RESETS_MAX: Final = 3
"""A batch that is out of order even as the first of a new producer id fails."""


class RecordMetadata(NamedTuple):
    """Where a record was stored. `offset` is -1 when a duplicate's place is not known any more."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class ProducerIdentity(NamedTuple):
    """Producer id and epoch."""

    producer_id: int
    producer_epoch: int


Delivery = Callable[[RecordMetadata | None, ClientError | None], None]
"""Called once with either what was stored or why it was not."""


class Batch:
    """Records of one partition that are stored together or not at all."""

    __slots__ = (
        "all_told",
        "attempts",
        "base_sequence",
        "codec",
        "content_bytes",
        "count",
        "created_ms",
        "default_tail",
        "default_timestamp_ms",
        "deliveries",
        "expected_end_offset",
        "first_timestamp_ms",
        "frame",
        "identity_resets",
        "indefinite",
        "last_error",
        "limit_bytes",
        "max_timestamp_ms",
        "outstanding",
        "payload",
        "preparing",
        "queue",
        "records",
        "reserved_bytes",
        "resolved",
        "sent_ms",
        "waiters",
    )

    def __init__(self, queue: PartitionQueue, created_ms: float, first_timestamp_ms: int) -> None:
        self.queue = queue
        self.created_ms = created_ms
        self.first_timestamp_ms = first_timestamp_ms
        self.max_timestamp_ms = first_timestamp_ms
        self.default_timestamp_ms = first_timestamp_ms
        """Of records that bring none of their own; `default_tail` is its field."""
        self.default_tail = b""
        self.records: list[bytes] = []
        self.count = 0
        self.content_bytes = 0
        self.limit_bytes = 0
        self.reserved_bytes = 0
        self.deliveries: list[tuple[int, int, Delivery]] | None = None
        self.all_told = False
        """The deliveries speak for every record, not only for their own."""
        self.waiters: list[Callable[[], None]] | None = None
        self.expected_end_offset: int | None = None
        self.payload: bytes | None = None
        self.codec = 0
        self.preparing = False
        self.frame: bytes | None = None
        self.base_sequence = UNBOUND
        self.attempts = 0
        self.identity_resets = 0
        self.sent_ms = 0.0
        self.outstanding = False
        self.indefinite = False
        self.resolved = False
        self.last_error: ClientError | None = None


class PartitionQueue:
    """One partition's batches and what is known about sending them."""

    __slots__ = (
        "backoff",
        "blocked",
        "content_bytes_max",
        "idempotent",
        "identity",
        "in_flight",
        "max_in_flight",
        "next_sequence",
        "open_batch",
        "outstanding",
        "partition",
        "recovering",
        "topic",
        "topic_id",
        "unknown_since_ms",
        "waiting",
    )

    def __init__(
        self,
        topic: str,
        topic_id: int,
        partition: int,
        *,
        idempotent: bool,
        max_in_flight: int,
        backoff: Backoff,
    ) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.partition = partition
        self.idempotent = idempotent
        self.max_in_flight = max_in_flight
        self.backoff = backoff
        self.content_bytes_max = BATCH_CONTENT_BYTES_MAX
        """Uncompressed bytes that surely fit in one batch of the topic."""
        self.identity: ProducerIdentity | None = None
        self.next_sequence = 0
        self.open_batch: Batch | None = None
        self.waiting: deque[Batch] = deque()
        self.in_flight: deque[Batch] = deque()
        self.outstanding = 0
        self.recovering = False
        self.blocked = False
        """A backoff is under way."""
        self.unknown_since_ms: float | None = None
        """When a leader first said that it does not know the topic."""

    @property
    def may_send(self) -> bool:
        """Whether the next waiting batch may be sent now, given its identity."""
        return (
            bool(self.waiting)
            and not self.recovering
            and not self.blocked
            and len(self.in_flight) < self.max_in_flight
        )

    @property
    def is_busy(self) -> bool:
        """As many batches are under way, or wait to be, as may be in flight."""
        return len(self.in_flight) + len(self.waiting) >= self.max_in_flight

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return not self.waiting and not self.in_flight

    def take_next(self, now_ms: float) -> Batch:
        """Move the next batch into flight, binding its sequence."""
        batch = self.waiting.popleft()
        if self.idempotent and batch.base_sequence == UNBOUND:
            batch.base_sequence = self.next_sequence
            self.next_sequence = (self.next_sequence + batch.count) % SEQUENCE_MODULUS
            batch.frame = None
        batch.attempts += 1
        batch.last_error = None
        batch.sent_ms = now_ms
        batch.outstanding = True
        self.outstanding += 1
        self.in_flight.append(batch)
        return batch

    def on_stored(self, batch: Batch) -> bool:
        """An answer said that it is stored. True when every answer is in and `recover` is due."""
        self._answered(batch)
        self.in_flight.remove(batch)
        self.backoff.reset()
        self.unknown_since_ms = None
        return self._recovery_due()

    def on_failed(self, batch: Batch, error: ClientError) -> bool:
        """An answer was an error, or no answer will come (then `error.indefinite`).

        The caller has resolved the batch if it gives it up. True when `recover` is due.
        """
        self._answered(batch)
        batch.last_error = error
        batch.indefinite = batch.indefinite or error.indefinite
        self.recovering = True
        return self._recovery_due()

    def _answered(self, batch: Batch) -> None:
        batch.outstanding = False
        self.outstanding -= 1

    def _recovery_due(self) -> bool:
        return self.recovering and self.outstanding == 0

    def recover(self) -> list[tuple[Batch, ClientError]]:
        """Put what is left back in line; returns the batches to give up, with the reason.

        All in-flight batches are answered. Those already resolved are forgotten here.
        """
        order = list(self.in_flight)
        self.in_flight.clear()
        self.recovering = False
        lost = self._continue_under_new_identity(order)
        if self.identity is not None:
            self._unbind_certain(order)
        self.waiting.extendleft(reversed([batch for batch in order if not batch.resolved]))
        return lost

    def _unbind_certain(self, order: list[Batch]) -> None:
        """Take the sequences back from batches behind the last that may have been stored."""
        if self.waiting and self.waiting[0].base_sequence != UNBOUND:
            return  # one that may have been stored stands behind them
        keep = 0
        for index, batch in enumerate(order):
            if batch.indefinite:
                keep = index + 1
        if keep < len(order):
            self.next_sequence = order[keep].base_sequence
            for batch in order[keep:]:
                batch.base_sequence = UNBOUND
                batch.frame = None

    def _continue_under_new_identity(self, order: list[Batch]) -> list[tuple[Batch, ClientError]]:
        """If the first unresolved batch met a gap, begin a new identity for this partition."""
        head = next((batch for batch in order if not batch.resolved), None)
        if head is None or not self._is_identity_broken(head.last_error):
            return []
        lost: list[tuple[Batch, ClientError]] = []
        order.extend(self.waiting)
        self.waiting.clear()
        for batch in order:
            if batch.resolved or batch.base_sequence == UNBOUND:
                continue
            batch.identity_resets += 1
            if batch.indefinite or batch.identity_resets > IDENTITY_RESETS_MAX:
                lost.append((batch, self._sequence_broken(batch)))
            else:
                batch.base_sequence = UNBOUND
                batch.frame = None
        self.identity = None
        self.next_sequence = 0
        lost_batches = {id(batch) for batch, _ in lost}
        order[:] = [batch for batch in order if id(batch) not in lost_batches]
        return lost

    def _is_identity_broken(self, error: ClientError | None) -> bool:
        return error is not None and error.reason in (
            Reason.OUT_OF_ORDER_SEQUENCE.name,
            Reason.PRODUCER_FENCED.name,
        )

    def _sequence_broken(self, batch: Batch) -> SequenceBroken:
        error = batch.last_error
        message = (
            f"{self.topic}/{self.partition}: an earlier batch was lost, so that this one "
            f"({batch.count} records) could not be placed after it"
        )
        return SequenceBroken(
            message if error is None else f"{message}: {error.message}",
            reason=Reason.OUT_OF_ORDER_SEQUENCE.name,
            code=FAILED_PRECONDITION,
            metadata=error.metadata if error is not None else None,
            indefinite=batch.indefinite,
        )
