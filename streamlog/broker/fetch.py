"""The Fetch stream: the server pushes committed batches within the client's credit.

A client names partitions and positions once and grants bytes of credit; from then on data comes
as it commits. What is sent are the stored bytes: a slice of the segment on batch boundaries is a
run of `batches` fields, and the other fields of FetchResponse are appended after it.

Invariants:
- Only committed bytes leave, and none whose checksum failed (the log checks what it reads).
- Without credit nothing is read and nothing is sent; one batch may overdraw it, so that a batch
  larger than what is left can not block a stream for ever.
- What must come from disk is read beside the stream, a few partitions at a time and within a
  budget of the node, so that one partition's history does not hold up what others have in memory.
- A partition whose leader moved, or whose position is out of range, gets one error and leaves the
  stream; the others go on.
- A session holds no timer and runs no code while its partitions are idle, apart from the one that
  ends a wait for `min_bytes`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from replication.errors import OffsetOutOfRange, ReplicationError
from replication.ports import ServerStream
from replication.raft.effects import Role
from replication.types import Offset
from streamlog.broker.budget import ByteBudget
from streamlog.broker.counters import BrokerCounters
from streamlog.broker.duplex import run_duplex
from streamlog.broker.error_mapping import parse, to_proto
from streamlog.broker.partition import Partition
from streamlog.broker.partitions import Partitions
from streamlog.model.batch import read_place
from streamlog.model.errors import Reason, StreamlogError
from streamlog.v1 import log_service_pb2

PARTITIONS_PER_STREAM_MAX = 10_000
RESPONSE_BYTES_DEFAULT = 1024 * 1024
RESPONSE_BYTES_MAX = 16 * 1024 * 1024
MIN_BYTES_MAX = 64 * 1024 * 1024
MAX_WAIT_MS_DEFAULT = 500
MAX_WAIT_MS_MAX = 60_000
CREDIT_BYTES_MAX = 2**62
DISK_READS_PER_STREAM_MAX = 4

PartitionKey = tuple[int, int]


@dataclass(slots=True, eq=False)
class _Cursor:
    """One partition of a stream."""

    key: PartitionKey
    partition: Partition
    offset: int
    epoch: int
    max_bytes: int
    queued: bool = False
    """It is in the session's ready queue."""
    overdue: bool = False
    """Its wait for `min_bytes` is over."""
    reading: bool = False
    """A read from disk is under way for it."""
    from_disk: bytes | None = field(default=None, repr=False)
    """Frames from `offset` on that such a read brought."""
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


class FetchService:
    """Serves Fetch streams."""

    def __init__(
        self, partitions: Partitions, disk_budget: ByteBudget, counters: BrokerCounters
    ) -> None:
        self.partitions = partitions
        self.counters = counters
        self.disk_budget = disk_budget
        """Bytes that reads from disk may bring at a time, over all streams of the node."""

    async def serve(self, stream: ServerStream) -> None:
        """Handle one stream until the client ends it."""
        await _FetchSession(self, stream).run()


class _FetchSession:
    def __init__(self, service: FetchService, stream: ServerStream) -> None:
        self._partitions = service.partitions
        self._disk_budget = service.disk_budget
        self._counters = service.counters
        self._stream = stream
        self._reads: dict[asyncio.Task[None], None] = {}
        self._waiting_to_read: dict[_Cursor, None] = {}
        self._cursors: dict[PartitionKey, _Cursor] = {}
        self._by_partition: dict[Partition, _Cursor] = {}
        self._ready: deque[_Cursor] = deque()
        self._failures: deque[log_service_pb2.FetchResponse] = deque()
        self._credit = 0
        self._min_bytes = 0
        self._max_wait_ms = MAX_WAIT_MS_DEFAULT
        self._wake = asyncio.Event()
        self._defect: BaseException | None = None

    async def run(self) -> None:
        try:
            await run_duplex(self._receive_loop(), self._send_loop(), drain=False)
        finally:
            for cursor in list(self._cursors.values()):
                self._drop(cursor)
            for task in self._reads:
                task.cancel()
            await asyncio.gather(*self._reads, return_exceptions=True)

    async def _receive_loop(self) -> None:
        while (data := await self._stream.receive()) is not None:
            self._apply(parse(log_service_pb2.FetchRequest, data))

    # What the client asks for.

    def _apply(self, request: log_service_pb2.FetchRequest) -> None:
        if request.HasField("min_bytes"):
            self._min_bytes = _in_range("min_bytes", request.min_bytes, 0, MIN_BYTES_MAX)
        if request.HasField("max_wait_ms"):
            self._max_wait_ms = _in_range("max_wait_ms", request.max_wait_ms, 0, MAX_WAIT_MS_MAX)
        for removal in request.removals:
            cursor = self._cursors.get((removal.topic_id, removal.partition))
            if cursor is not None:
                self._drop(cursor)
        for wanted in request.partitions:
            self._add(wanted)
        self._credit = min(self._credit + request.credit_bytes, CREDIT_BYTES_MAX)
        self._wake.set()

    def _add(self, wanted: log_service_pb2.FetchPartition) -> None:
        key = (wanted.topic_id, wanted.partition)
        old = self._cursors.get(key)
        if old is not None:
            self._drop(old)
        if len(self._cursors) >= PARTITIONS_PER_STREAM_MAX:
            raise StreamlogError(
                Reason.INVALID_REQUEST,
                f"a Fetch stream takes at most {PARTITIONS_PER_STREAM_MAX} partitions",
            )
        try:
            max_bytes = RESPONSE_BYTES_DEFAULT
            if wanted.max_bytes:
                max_bytes = _in_range("max_bytes", wanted.max_bytes, 1, RESPONSE_BYTES_MAX)
            partition = self._partitions.find_leader(*key)
        except StreamlogError as error:
            self._fail(key, wanted.session_epoch, error)
            return
        cursor = _Cursor(key, partition, wanted.offset, wanted.session_epoch, max_bytes)
        self._cursors[key] = cursor
        self._by_partition[partition] = cursor
        partition.watch(self._partition_changed)
        self._queue(cursor)

    def _drop(self, cursor: _Cursor) -> None:
        self._cursors.pop(cursor.key, None)
        self._waiting_to_read.pop(cursor, None)
        if self._by_partition.pop(cursor.partition, None) is not None:
            cursor.partition.unwatch(self._partition_changed)
        if cursor.timer is not None:
            cursor.timer.cancel()
            cursor.timer = None

    # What happens to the partitions.

    def _partition_changed(self, partition: Partition) -> None:
        cursor = self._by_partition.get(partition)
        if cursor is not None:
            self._queue(cursor)

    def _queue(self, cursor: _Cursor) -> None:
        if not cursor.queued:
            cursor.queued = True
            self._ready.append(cursor)
            self._wake.set()

    def _overdue(self, cursor: _Cursor) -> None:
        cursor.timer = None
        cursor.overdue = True
        self._queue(cursor)

    # What is sent.

    async def _send_loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._defect is not None:
                raise self._defect
            while self._failures:
                await self._stream.send(self._failures.popleft().SerializeToString())
            while self._ready and self._credit > 0:
                cursor = self._ready.popleft()
                cursor.queued = False
                if self._cursors.get(cursor.key) is cursor:
                    await self._serve(cursor)
            # Failures that came up meanwhile set the event again.

    async def _serve(self, cursor: _Cursor) -> None:
        """Send the next response of one partition, if there is one to send."""
        if cursor.reading:
            return
        group = cursor.partition.group
        try:
            if cursor.partition.removed or group.role is not Role.LEADER:
                raise self._partitions.not_leading(cursor.partition)
            end = group.commit_end
            if cursor.offset < group.start:
                raise OffsetOutOfRange(Offset(cursor.offset), group.start, end)
            if cursor.offset >= end:
                if group.established and cursor.offset > group.log.end.end:
                    raise OffsetOutOfRange(Offset(cursor.offset), group.start, end)
                return  # A later commit wakes it; a new leader may not know how far it is yet.
            limit = min(cursor.max_bytes, max(self._credit, 1))
            frames, cursor.from_disk = cursor.from_disk, None
            if frames is None:
                frames = cursor.partition.log.read_nowait(Offset(cursor.offset), end, limit)
            if frames is None:
                self._read_from_disk(cursor, end, limit)
                return
        except (StreamlogError, ReplicationError) as error:
            self._refuse(cursor, error)
            return
        if not frames or self._waits_for_more(cursor, len(frames)):
            return
        next_offset = _end_of(frames)
        response = log_service_pb2.FetchResponse(
            topic_id=cursor.key[0],
            partition=cursor.key[1],
            session_epoch=cursor.epoch,
            high_watermark=end,
            log_start_offset=group.start,
            next_offset=next_offset,
            leader_term=group.term,
        )
        message = frames + response.SerializeToString()
        self._credit -= len(message)
        topic = self._counters.topic(cursor.key[0])
        topic.fetch_responses += 1
        topic.fetched_records += next_offset - cursor.offset
        topic.fetched_bytes += len(frames)
        cursor.offset = next_offset
        cursor.overdue = False
        await self._stream.send(message)
        if self._cursors.get(cursor.key) is cursor and next_offset < group.commit_end:
            self._queue(cursor)

    def _read_from_disk(self, cursor: _Cursor, end: Offset, limit: int) -> None:
        """Read beside the stream; the cursor is queued again when the bytes are there."""
        if len(self._reads) >= DISK_READS_PER_STREAM_MAX:
            self._waiting_to_read[cursor] = None
            return
        cursor.reading = True
        self._counters.disk_fetches += 1
        self._credit -= limit  # as if sent: reads side by side must not overdraw it together
        task = asyncio.get_running_loop().create_task(self._read(cursor, end, limit))
        self._reads[task] = None
        task.add_done_callback(self._read_ended)

    async def _read(self, cursor: _Cursor, end: Offset, limit: int) -> None:
        try:
            await self._disk_budget.take(limit)
            try:
                frames = await cursor.partition.log.read(Offset(cursor.offset), end, limit)
            finally:
                self._disk_budget.give(limit)
        except (StreamlogError, ReplicationError) as error:
            if self._cursors.get(cursor.key) is cursor:
                self._refuse(cursor, error)
            return
        finally:
            cursor.reading = False
            self._credit += limit
        if self._cursors.get(cursor.key) is cursor:
            cursor.from_disk = frames
            self._queue(cursor)

    def _read_ended(self, task: asyncio.Task[None]) -> None:
        del self._reads[task]
        if not task.cancelled() and (defect := task.exception()) is not None:
            self._defect = defect
        waiting = next(iter(self._waiting_to_read), None)
        if waiting is not None:
            del self._waiting_to_read[waiting]
            self._queue(waiting)
        self._wake.set()

    def _refuse(self, cursor: _Cursor, error: StreamlogError | ReplicationError) -> None:
        """Drop the cursor and tell why."""
        self._drop(cursor)
        self._fail(cursor.key, cursor.epoch, self._partitions.explain(cursor.partition, error))

    def _waits_for_more(self, cursor: _Cursor, size: int) -> bool:
        """Whether to wait for `min_bytes`; starts the clock that ends the wait."""
        enough = min(self._min_bytes, cursor.max_bytes)
        if size >= enough or cursor.overdue or self._max_wait_ms == 0:
            if cursor.timer is not None:
                cursor.timer.cancel()
                cursor.timer = None
            return False
        if cursor.timer is None:
            loop = asyncio.get_running_loop()
            cursor.timer = loop.call_later(self._max_wait_ms / 1_000, self._overdue, cursor)
        return True

    def _fail(self, key: PartitionKey, epoch: int, error: StreamlogError) -> None:
        self._counters.refuse("LogService/Fetch", error.reason.name)
        self._failures.append(
            log_service_pb2.FetchResponse(
                topic_id=key[0], partition=key[1], session_epoch=epoch, error=to_proto(error)
            )
        )
        self._wake.set()


def _end_of(frames: bytes) -> int:
    """Exclusive end offset of the last of a run of frames."""
    position = end = 0
    while position < len(frames):
        length, _, end = read_place(frames, position)
        position += length
    return end


def _in_range(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise StreamlogError(
            Reason.INVALID_REQUEST, f"{name} is {value}, it must be {low} to {high}"
        )
    return value
