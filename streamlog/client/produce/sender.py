"""Brings sealed batches to their leaders: routing, identity, retries, timeouts.

The rules of order and of sequences are in `partition_queue`, the streams in `leader_stream`;
here is everything that connects them to what is known of the cluster. Runs as three tasks and
one task pair a leader, all owned by this object and awaited by `close`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.connections.connection import LOG_SERVICE, Connections, NodeLimits
from streamlog.client.errors import (
    ClientError,
    ConnectionLost,
    DeliveryTimedOut,
    TopicUnknown,
    closed,
    defect,
    from_wire,
    rejected,
)
from streamlog.client.produce.accumulator import Accumulator
from streamlog.client.produce.batch_builder import BatchBuilder
from streamlog.client.produce.leader_stream import LeaderStream
from streamlog.client.produce.partition_queue import (
    UNBOUND,
    Batch,
    PartitionQueue,
    ProducerIdentity,
    RecordMetadata,
)
from streamlog.client.tasks import Tasks
from streamlog.client.transport import Clock
from streamlog.model.batch import PREFIX_BYTES
from streamlog.model.errors import DEADLINE_EXCEEDED, NOT_FOUND, UNAVAILABLE, Reason
from streamlog.v1.log_service_pb2 import InitProducerRequest, InitProducerResponse, ProduceResult

CORRUPT_ATTEMPTS_MAX: Final = 3
"""Bytes damaged on the way are sent again; damaged thrice, they are damaged here."""
UNKNOWN_TOPIC_WAIT_MS: Final = 5_000
"""A leader that was just elected may hear of the topic a little later."""
HOUSEKEEPING_MS_MAX: Final = 500

_BUSY_REASONS: Final = frozenset(
    {Reason.OVERLOADED.name, Reason.TOO_MANY_INFLIGHT.name, Reason.DISK_FULL.name}
)
"""The leader is the right one; metadata would tell nothing new."""
_SEQUENCE_REASONS: Final = frozenset(
    {Reason.OUT_OF_ORDER_SEQUENCE.name, Reason.PRODUCER_FENCED.name}
)
_UNKNOWN_REASONS: Final = frozenset({Reason.UNKNOWN_TOPIC.name, Reason.UNKNOWN_PARTITION.name})


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """Milliseconds."""

    delivery_timeout_ms: float
    request_timeout_ms: float
    idempotent: bool


@dataclass(slots=True)
class Losses:
    """Records that failed without a callback of their own, since the last report."""

    records: int = 0
    first_error: ClientError | None = None


class Sender:
    """Sends what the accumulator seals."""

    def __init__(
        self,
        *,
        metadata: ClusterMetadata,
        connections: Connections,
        builder: BatchBuilder,
        clock: Clock,
        policy: SendPolicy,
        offload: bool,
        on_broken: Callable[[ClientError], None],
    ) -> None:
        self.losses = Losses()
        self.sent_bytes = 0
        """Bytes of batches handed to streams, those that were sent again included."""
        self.accumulator: Accumulator | None = None
        self._metadata = metadata
        self._connections = connections
        self._builder = builder
        self._clock = clock
        self._policy = policy
        self._offload = offload
        self._streams: dict[str, LeaderStream] = {}
        self._leaderless: dict[PartitionQueue, None] = {}
        self._blocked: dict[PartitionQueue, tuple[asyncio.TimerHandle, str | None]] = {}
        self._identity: ProducerIdentity | None = None
        self._wanting_identity: dict[PartitionQueue, None] = {}
        self._identity_wanted = asyncio.Event()
        self._tasks = Tasks(self.on_defect)
        self._on_broken = on_broken
        self._closed = False

    def start(self) -> None:
        """Begin; the running loop owns nothing, this object owns its tasks."""
        self._metadata.on_change(self._on_metadata)
        for coroutine in (
            self._metadata.keep_fresh(),
            self._identity_loop(),
            self._housekeeping_loop(),
        ):
            self._tasks.start(coroutine)

    async def close(self) -> None:
        """Stop; what is unresolved fails as closed."""
        self._closed = True
        await self._tasks.close()
        for stream in self._streams.values():
            await stream.close()
        for handle, _ in self._blocked.values():
            handle.cancel()
        self._fail_all(closed("producer"))

    def on_defect(self, error: BaseException) -> None:
        """A task died: whoever waits is told, and nothing more is sent."""
        if not self._closed:
            self._closed = True
            broken = defect("producer", error)
            self._on_broken(broken)
            self._fail_all(broken)

    def _fail_all(self, error: ClientError) -> None:
        assert self.accumulator is not None
        for batch in self.accumulator.unresolved():
            indefinite = batch.indefinite or batch.outstanding
            self._resolve(batch, error=_copy(error, indefinite=indefinite))

    # From the accumulator --------------------------------------------------------------------

    def on_sealed(self, queue: PartitionQueue) -> None:
        """A batch waits."""
        if self._offload:
            self._prepare(queue.waiting[-1])
        self.pump(queue)

    def pump(self, queue: PartitionQueue) -> None:
        """Hand the partition to its leader's stream, if it has something that may be sent."""
        assert self.accumulator is not None
        if self.accumulator.seal_overdue(queue):
            return  # which came back here by way of `on_sealed`
        if not queue.may_send or self._closed:
            return
        if self._policy.idempotent and queue.identity is None:
            if self._identity is None:
                self._wanting_identity[queue] = None
                self._identity_wanted.set()
                return
            queue.identity = self._identity
        address = self._metadata.leader_address(queue.topic_id, queue.partition)
        if address is None:
            self._leaderless[queue] = None
            self._metadata.request_refresh()
            return
        stream = self._streams.get(address)
        if stream is None:
            stream = self._streams[address] = LeaderStream(self._connections.to(address), self)
        stream.submit(queue)

    # From the streams ------------------------------------------------------------------------

    def next_batch(
        self, queue: PartitionQueue, stream: LeaderStream, limits: NodeLimits
    ) -> Batch | None:
        """The next batch of the partition for this leader, framed and in flight."""
        if self._metadata.leader_address(queue.topic_id, queue.partition) != stream.address:
            self.pump(queue)
            return None
        view = self._metadata.known_topic(queue.topic)
        limit_bytes = limits.batch_bytes_max
        if view is not None and view.batch_bytes_max:
            limit_bytes = min(limit_bytes, view.batch_bytes_max)
        while queue.may_send:
            if self._policy.idempotent and queue.identity is None:
                self.pump(queue)
                return None
            batch = queue.waiting[0]
            if batch.payload is None:
                self._prepare(batch)
            if batch.preparing or batch.payload is None:
                return None
            size_bytes = PREFIX_BYTES + len(batch.payload)
            if size_bytes > limit_bytes and batch.base_sequence == UNBOUND:
                queue.waiting.popleft()
                message = (
                    f"{queue.topic}/{queue.partition}: a batch of {batch.count} records has "
                    f"{size_bytes} bytes; allowed are {limit_bytes}"
                )
                metadata = {"batch_bytes": str(size_bytes), "max_batch_bytes": str(limit_bytes)}
                self._resolve(batch, error=rejected(Reason.BATCH_TOO_LARGE, message, metadata))
                assert self.accumulator is not None
                self.accumulator.seal_overdue(queue)
                continue
            queue.take_next(self._clock.monotonic_ms())
            self.sent_bytes += size_bytes
            if batch.frame is None:
                batch.frame = self._builder.frame(batch, view.routing_epoch if view else 0)
            return batch
        return None

    def on_result(self, batch: Batch, result: ProduceResult) -> None:
        """A leader answered."""
        queue = batch.queue
        if not result.HasField("error"):
            self._resolve(batch, result.base_offset, result.append_time_ms)
            due = queue.on_stored(batch)
        else:
            error = from_wire(result.error)
            if error.reason == Reason.DUPLICATE_SEQUENCE.name:
                # Older than the window of five: stored long ago, at a place nobody remembers.
                self._resolve(batch, -1)
                due = queue.on_stored(batch)
            else:
                if not self._may_retry(batch, error):
                    error.indefinite = error.indefinite or batch.indefinite
                    self._resolve(batch, error=error)
                due = queue.on_failed(batch, error)
        if due:
            self._recover(queue)
        else:
            self.pump(queue)

    def on_lost(self, batches: Sequence[Batch], error: ClientError) -> None:
        """A stream ended; nobody knows what became of these."""
        due = [batch.queue for batch in batches if batch.queue.on_failed(batch, error)]
        for queue in due:
            self._recover(queue)

    def on_unreachable(self, queues: Sequence[PartitionQueue], error: ClientError) -> None:
        """The leader could not be reached; nothing was sent."""
        for queue in queues:
            if queue.waiting:
                queue.waiting[0].last_error = error
                self._block(queue, error)

    def _may_retry(self, batch: Batch, error: ClientError) -> bool:
        queue = batch.queue
        if error.reason in _SEQUENCE_REASONS:
            return self._policy.idempotent
        if error.reason == Reason.CORRUPT_BATCH.name:
            return batch.attempts < CORRUPT_ATTEMPTS_MAX
        if error.reason in _UNKNOWN_REASONS:
            now_ms = self._clock.monotonic_ms()
            if queue.unknown_since_ms is None:
                queue.unknown_since_ms = now_ms
            return now_ms - queue.unknown_since_ms < UNKNOWN_TOPIC_WAIT_MS
        return error.retriable

    # Retries ---------------------------------------------------------------------------------

    def _recover(self, queue: PartitionQueue) -> None:
        identity = queue.identity
        lost = queue.recover()
        if queue.identity is None and identity is not None and self._identity == identity:
            self._identity = None  # nobody begins under an id that lost a batch
        for batch, error in lost:
            self._resolve(batch, error=error)
        if not queue.waiting:
            self.pump(queue)
            return
        failure = queue.waiting[0].last_error
        if (
            failure is None
            or failure.reason in _SEQUENCE_REASONS
            or self._is_redirected(queue, failure)
        ):
            self.pump(queue)
        else:
            self._block(queue, failure)

    def _is_redirected(self, queue: PartitionQueue, error: ClientError) -> bool:
        """The error named another leader than the one that was known."""
        return error.reason == Reason.NOT_LEADER.name and self._metadata.note_not_leader(
            queue.topic_id, queue.partition, error
        )

    def _block(self, queue: PartitionQueue, error: ClientError) -> None:
        """Send nothing of the partition for a while, or until another leader is known."""
        if queue.blocked or self._closed:
            return
        queue.blocked = True
        delay_ms = max(queue.backoff.next_ms(), error.retry_after_ms)
        handle = asyncio.get_running_loop().call_later(delay_ms / 1000, self._unblock, queue)
        if error.reason in _BUSY_REASONS:
            self._blocked[queue] = (handle, None)
        else:
            failed = self._metadata.leader_address(queue.topic_id, queue.partition)
            self._blocked[queue] = (handle, failed or "")
            self._metadata.request_refresh()

    def _unblock(self, queue: PartitionQueue) -> None:
        handle, _ = self._blocked.pop(queue)
        handle.cancel()
        queue.blocked = False
        self.pump(queue)

    def _on_metadata(self) -> None:
        """New metadata: move partitions whose leader is another now."""
        waiting_for_leader = False
        for queue, (_, failed) in list(self._blocked.items()):
            if failed is None:
                continue
            address = self._metadata.leader_address(queue.topic_id, queue.partition)
            if address not in (None, failed):
                self._unblock(queue)
            else:
                waiting_for_leader = True
        for stream in list(self._streams.values()):
            for queue in stream.take_unsent():
                self.pump(queue)  # perhaps to another leader than the one that does not answer
        leaderless, self._leaderless = list(self._leaderless), {}
        for queue in leaderless:
            error = self._metadata.topic_error(queue.topic)
            if error is not None and not error.retriable:
                self._check_unknown(queue, error)
            self.pump(queue)  # comes back to the leaderless if there still is none
        if waiting_for_leader:
            self._metadata.request_refresh()

    def _check_unknown(self, queue: PartitionQueue, error: ClientError) -> None:
        now_ms = self._clock.monotonic_ms()
        if queue.unknown_since_ms is None:
            queue.unknown_since_ms = now_ms
        elif now_ms - queue.unknown_since_ms >= UNKNOWN_TOPIC_WAIT_MS:
            self._fail_waiting(queue, error)

    def abandon(self, queue: PartitionQueue) -> None:
        """The topic was deleted, and another has its name: fail what is for the old one."""
        assert self.accumulator is not None
        self.accumulator.seal(queue)
        message = f"topic {queue.topic} was deleted, and created anew"
        error = TopicUnknown(message, reason=Reason.UNKNOWN_TOPIC.name, code=NOT_FOUND)
        self._fail_waiting(queue, error)

    def _fail_waiting(self, queue: PartitionQueue, error: ClientError) -> None:
        waiting = list(queue.waiting)
        queue.waiting.clear()
        for batch in waiting:
            self._resolve(batch, error=_copy(error, indefinite=batch.indefinite))

    # Payloads --------------------------------------------------------------------------------

    def _prepare(self, batch: Batch) -> None:
        awaitable = self._builder.prepare(batch)
        if awaitable is not None:
            self._tasks.start(self._finish(batch, awaitable))

    async def _finish(self, batch: Batch, compressed: Awaitable[bytes]) -> None:
        content = batch.payload
        assert content is not None
        self._builder.finish(batch, content, await compressed)
        self.pump(batch.queue)

    # Tasks -----------------------------------------------------------------------------------

    async def _identity_loop(self) -> None:
        """Fetch producer ids when partitions want one."""
        while True:
            await self._identity_wanted.wait()
            self._identity_wanted.clear()
            failure: ClientError | None = None
            if self._identity is None:
                try:
                    answer = await self._metadata.call_any(
                        LOG_SERVICE + "InitProducer",
                        InitProducerRequest(),
                        InitProducerResponse,
                        idempotent=True,
                    )
                    self._identity = ProducerIdentity(answer.producer_id, answer.producer_epoch)
                except ClientError as error:
                    failure = error
            queues, self._wanting_identity = list(self._wanting_identity), {}
            for queue in queues:
                if failure is not None and not failure.retriable:
                    self._fail_waiting(queue, failure)
                elif failure is not None and queue.waiting:
                    queue.waiting[0].last_error = failure
                self.pump(queue)

    async def _housekeeping_loop(self) -> None:
        """Expire batches and break off streams that do not answer."""
        shortest_ms = min(self._policy.delivery_timeout_ms, self._policy.request_timeout_ms)
        period_ms = max(5.0, min(HOUSEKEEPING_MS_MAX, shortest_ms / 10))
        assert self.accumulator is not None
        while True:
            await asyncio.sleep(period_ms / 1000)
            now_ms = self._clock.monotonic_ms()
            for batch in self.accumulator.unresolved():
                if now_ms - batch.created_ms < self._policy.delivery_timeout_ms:
                    break
                self._expire(batch)
            for stream in self._streams.values():
                sent_ms = stream.oldest_sent_ms()
                if sent_ms is not None and now_ms - sent_ms >= self._policy.request_timeout_ms:
                    message = (
                        f"{stream.address} did not answer within "
                        f"{self._policy.request_timeout_ms:.0f} ms"
                    )
                    stream.break_off(ConnectionLost(message, code=UNAVAILABLE, retriable=True))

    def _expire(self, batch: Batch) -> None:
        queue = batch.queue
        if queue.open_batch is batch:
            assert self.accumulator is not None
            self.accumulator.seal(queue)
        if batch in queue.waiting:
            queue.waiting.remove(batch)
        message = (
            f"{queue.topic}/{queue.partition}: a batch of {batch.count} records was not "
            f"acknowledged within {self._policy.delivery_timeout_ms:.0f} ms"
        )
        if batch.last_error is not None:
            message += f"; the last error: {batch.last_error}"
        error = DeliveryTimedOut(
            message,
            reason=Reason.REQUEST_TIMED_OUT.name,
            code=DEADLINE_EXCEEDED,
            retriable=True,
            indefinite=batch.indefinite or batch.outstanding,
        )
        self._resolve(batch, error=error)
        self.pump(queue)

    # Ends ------------------------------------------------------------------------------------

    def _resolve(
        self,
        batch: Batch,
        base_offset: int = -1,
        append_time_ms: int = -1,
        *,
        error: ClientError | None = None,
    ) -> None:
        """Tell everybody who waits for the batch; a second call does nothing."""
        if batch.resolved:
            return
        batch.resolved = True
        assert self.accumulator is not None
        self.accumulator.release(batch)
        deliveries = batch.deliveries or []
        if error is not None and not batch.all_told and len(deliveries) < batch.count:
            self.losses.records += batch.count - len(deliveries)
            self.losses.first_error = self.losses.first_error or error
        queue = batch.queue
        for index, timestamp_ms, deliver in deliveries:
            try:
                if error is not None:
                    deliver(None, error)
                else:
                    offset = base_offset + index if base_offset >= 0 else -1
                    stamp_ms = append_time_ms if append_time_ms > 0 else timestamp_ms
                    deliver(RecordMetadata(queue.topic, queue.partition, offset, stamp_ms), None)
            except Exception as failure:
                context = {"message": "a delivery callback raised", "exception": failure}
                asyncio.get_running_loop().call_exception_handler(context)
        for waiter in batch.waiters or ():
            waiter()
        batch.waiters = batch.deliveries = None
        batch.records = []


def _copy(error: ClientError, *, indefinite: bool) -> ClientError:
    return type(error)(
        error.message,
        reason=error.reason,
        code=error.code,
        metadata=error.metadata,
        retriable=error.retriable,
        indefinite=indefinite,
        retry_after_ms=error.retry_after_ms,
    )
