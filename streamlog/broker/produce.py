"""The Produce stream: batches in, results out, several requests in flight.

One task reads, judges and proposes; results are put together by the callbacks of the commits; a
second task writes them. Neither waits for a commit, so a stream takes as many batches as its
budget of bytes allows, and many streams share one group commit of the journal.

Invariants:
- Results of one partition come in the order of its requests, refusals included.
- Bytes of unanswered requests are bounded per stream and per node; at the bound the stream is not
  read, and HTTP/2 flow control holds the client back.
- A stream that breaks changes nothing about what it had proposed: entries belong to the group.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from replication.errors import ReplicationError
from replication.ports import Clock, ServerStream
from streamlog.broker.budget import ByteBudget
from streamlog.broker.compression import BatchRecoder
from streamlog.broker.counters import BrokerCounters
from streamlog.broker.duplex import run_duplex
from streamlog.broker.error_mapping import parse, to_proto
from streamlog.broker.partition import Append, Partition
from streamlog.broker.partitions import Partitions
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.internal_topics import check_not_internal
from streamlog.storage.validation import BatchValidator
from streamlog.v1 import log_service_pb2

ENTRIES_PER_REQUEST_MAX = 1_000
ENTRY_OVERHEAD_BYTES = 512
"""What an unanswered request costs besides its payload; bounds floods of tiny batches."""

PartitionKey = tuple[int, int]


@dataclass(slots=True)
class _Pending:
    """One request that is not answered yet."""

    request_id: int
    size_bytes: int
    partition: Partition | None
    append: Append
    records: int
    received_ms: float
    """When it was read, monotonic."""
    proposed_ms: float
    settled: bool = False
    failure: BaseException | None = None


class ProduceService:
    """Serves Produce streams."""

    def __init__(
        self,
        view: ClusterView,
        partitions: Partitions,
        validator: BatchValidator,
        recoder: BatchRecoder,
        clock: Clock,
        node_budget: ByteBudget,
        stream_budget_bytes: int,
        counters: BrokerCounters,
    ) -> None:
        self.view = view
        self.partitions = partitions
        self.validator = validator
        self.recoder = recoder
        self.clock = clock
        self.node_budget = node_budget
        self.stream_budget_bytes = stream_budget_bytes
        self.counters = counters

    async def serve(self, stream: ServerStream) -> None:
        """Handle one stream until the client has no more and all is answered."""
        await _ProduceStream(self, stream).run()


class _ProduceStream:
    def __init__(self, service: ProduceService, stream: ServerStream) -> None:
        self._service = service
        self._stream = stream
        self._budget = ByteBudget(service.stream_budget_bytes)
        self._queues: dict[PartitionKey, deque[_Pending]] = {}
        self._results: list[log_service_pb2.ProduceResult] = []
        self._unanswered = 0
        self._wake = asyncio.Event()
        self._input_ended = False

    async def run(self) -> None:
        try:
            await run_duplex(self._read(), self._write(), drain=True)
        finally:
            self._service.counters.stream_budget_waits += self._budget.waits

    # Reading.

    async def _read(self) -> None:
        while (data := await self._stream.receive()) is not None:
            request = parse(log_service_pb2.ProduceRequest, data)
            if not 1 <= len(request.entries) <= ENTRIES_PER_REQUEST_MAX:
                raise StreamlogError(
                    Reason.INVALID_REQUEST,
                    f"a ProduceRequest holds {len(request.entries)} entries, "
                    f"1 to {ENTRIES_PER_REQUEST_MAX} are allowed",
                )
            received_ms = self._service.clock.monotonic_ms()
            for entry in request.entries:
                size = len(entry.batch.payload) + ENTRY_OVERHEAD_BYTES
                await self._budget.take(size)
                try:
                    await self._service.node_budget.take(size)
                except asyncio.CancelledError:
                    self._budget.give(size)
                    raise
                self._accept(entry, size, received_ms)
        self._input_ended = True
        self._wake.set()

    def _accept(
        self, entry: log_service_pb2.ProduceEntry, size_bytes: int, received_ms: float
    ) -> None:
        key = (entry.topic_id, entry.batch.partition)
        partition: Partition | None = None
        try:
            partition = self._service.partitions.find_leader(*key)
            append = self._append(partition, entry)
        except (StreamlogError, ReplicationError) as error:
            append = Append(None, error=self._explain(partition, error))
        pending = _Pending(
            entry.request_id,
            size_bytes,
            partition,
            append,
            entry.batch.record_count,
            received_ms,
            self._service.clock.monotonic_ms(),
        )
        self._unanswered += 1
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
        queue.append(pending)
        if append.ready is None or append.ready.done():
            self._settle(key, pending)
        else:
            append.ready.add_done_callback(lambda _: self._settle(key, pending))

    def _append(self, partition: Partition, entry: log_service_pb2.ProduceEntry) -> Append:
        topic = self._service.view.topic_by_id(entry.topic_id)
        if topic is None:
            raise StreamlogError(Reason.UNKNOWN_TOPIC, f"no topic has the id {entry.topic_id}")
        check_not_internal(topic.name)
        draft = self._service.validator.validate(
            entry.batch, topic_id=entry.topic_id, max_batch_bytes=topic.config.max_batch_bytes
        )
        draft = self._service.recoder.recode(draft, topic.config)
        expected = entry.expected_end_offset if entry.HasField("expected_end_offset") else None
        stamp = (
            self._service.clock.wall_ms()
            if topic.config.message_timestamp_type == "append"
            else None
        )
        return partition.append(draft, expected_end_offset=expected, append_time_ms=stamp)

    def _explain(self, partition: Partition | None, error: BaseException) -> StreamlogError:
        if partition is None:
            assert isinstance(error, StreamlogError)
            return error
        return self._service.partitions.explain(partition, error)

    # Answering.

    def _settle(self, key: PartitionKey, pending: _Pending) -> None:
        pending.settled = True
        ready = pending.append.ready
        now_ms = self._service.clock.monotonic_ms()
        if ready is not None:
            pending.failure = ready.exception()
            if pending.failure is None:
                self._service.counters.commit_ms.add(now_ms - pending.proposed_ms)
        queue = self._queues[key]
        while queue and queue[0].settled:
            head = queue.popleft()
            self._results.append(self._result(head))
            self._service.counters.produce_ms.add(now_ms - head.received_ms)
            self._budget.give(head.size_bytes)
            self._service.node_budget.give(head.size_bytes)
            self._unanswered -= 1
        if not queue:
            del self._queues[key]
        self._wake.set()

    def _result(self, pending: _Pending) -> log_service_pb2.ProduceResult:
        append, partition = pending.append, pending.partition
        result = log_service_pb2.ProduceResult(request_id=pending.request_id, append_time_ms=-1)
        if partition is not None:
            result.leader_term = partition.group.term
            result.log_start_offset = partition.group.start
        error = append.error
        if pending.failure is not None:
            error = self._explain(partition, pending.failure)
        counters = self._service.counters
        if error is not None:
            counters.refuse("LogService/Produce", error.reason.name)
            result.error.CopyFrom(to_proto(error))
        else:
            assert partition is not None
            topic = counters.topic(partition.topic_id)
            if append.duplicate:
                topic.duplicate_batches += 1
            else:
                topic.produced_batches += 1
                topic.produced_records += pending.records
                topic.produced_bytes += pending.size_bytes - ENTRY_OVERHEAD_BYTES
            result.base_offset = append.base_offset
            result.append_time_ms = append.append_time_ms
            result.duplicate = append.duplicate
        return result

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._results:
                results, self._results = self._results, []
                response = log_service_pb2.ProduceResponse(results=results)
                await self._stream.send(response.SerializeToString())
            if self._input_ended and not self._unanswered:
                return
