"""Open batches and the memory that unacknowledged records take.

Memory is taken from `buffer_bytes` in steps while a batch grows and given back when it is
resolved, so that a record costs one comparison and the bound still holds.

Invariant: the sum of `reserved_bytes` over all unresolved batches is `reserved_bytes` here, and
never exceeds `buffer_bytes`.
Invariant: records that share a batch fit in it uncompressed, as the topic's limit was when memory
was reserved: one is not refused for its neighbours' size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from streamlog.client.errors import BufferFull
from streamlog.client.produce.partition_queue import Batch, PartitionQueue
from streamlog.client.produce.record_encoder import timestamp_field
from streamlog.client.transport import Clock
from streamlog.model.errors import RESOURCE_EXHAUSTED

RESERVATION_STEP_BYTES: Final = 16 * 1024


class Accumulator:
    """Opens, grows and seals batches."""

    def __init__(
        self,
        *,
        clock: Clock,
        linger_ms: float,
        batch_bytes: int,
        buffer_bytes: int,
        on_sealed: Callable[[PartitionQueue], None],
    ) -> None:
        self.batch_bytes = batch_bytes
        self.buffer_bytes = buffer_bytes
        self.reserved_bytes = 0
        self._clock = clock
        self._linger_ms = linger_ms
        self._on_sealed = on_sealed
        self._open: dict[PartitionQueue, None] = {}
        """Partitions with an open batch that lingers, oldest first."""
        self._overdue: dict[PartitionQueue, None] = {}
        """Those whose batch has lingered, but could not be sent yet: it goes on filling."""
        self._unresolved: dict[Batch, None] = {}
        self._linger: asyncio.Handle | None = None
        self._room: asyncio.Future[None] | None = None
        self._wanted_bytes = RESERVATION_STEP_BYTES
        """What the next reservation needs; more after a large record did not fit."""

    def open(self, queue: PartitionQueue, timestamp_ms: int | None) -> Batch:
        """Begin a batch whose first record has the timestamp (now, when None).

        Raises BufferFull.
        """
        now_ms = self._clock.wall_ms()
        first_ms = now_ms if timestamp_ms is None else timestamp_ms
        batch = Batch(queue, self._clock.monotonic_ms(), first_ms)
        batch.default_timestamp_ms = now_ms
        batch.default_tail = timestamp_field(now_ms - first_ms)
        self._reserve(batch, min(RESERVATION_STEP_BYTES, self._full_bytes(queue)))
        batch.limit_bytes = batch.reserved_bytes
        queue.open_batch = batch
        self._open[queue] = None
        self._unresolved[batch] = None
        if self._linger is None:
            self._schedule(self._linger_ms)
        return batch

    def extend(self, batch: Batch, size_bytes: int) -> bool:
        """Let the batch grow to the size; False when it is full. Raises BufferFull.

        A batch without records takes any record: one that is larger than a full batch goes
        alone, and if it does not fit even compressed, it is refused alone.
        """
        full_bytes = self._full_bytes(batch.queue)
        needed_bytes = step_bytes = size_bytes - batch.reserved_bytes
        if size_bytes <= full_bytes:
            step_bytes = max(RESERVATION_STEP_BYTES, needed_bytes)
            step_bytes = min(step_bytes, full_bytes - batch.reserved_bytes)
        elif batch.records:
            return False
        step_bytes = max(needed_bytes, min(step_bytes, self.buffer_bytes - batch.reserved_bytes))
        self._reserve(batch, step_bytes)
        batch.limit_bytes = batch.reserved_bytes
        return True

    def seal(self, queue: PartitionQueue) -> None:
        """No more records for the open batch; it waits to be sent."""
        batch = queue.open_batch
        queue.open_batch = None
        self._open.pop(queue, None)
        self._overdue.pop(queue, None)
        if batch is None:
            return
        if not batch.records:  # opened, but the record did not get in
            self.release(batch)
            return
        batch.count = len(batch.records)
        queue.waiting.append(batch)
        self._on_sealed(queue)

    def adopt(self, batch: Batch, size_bytes: int) -> None:
        """Account for a batch that was made elsewhere, sealed. Raises BufferFull."""
        self._reserve(batch, size_bytes)
        self._unresolved[batch] = None
        self.seal(batch.queue)  # records sent before it stay before it
        batch.queue.waiting.append(batch)
        self._on_sealed(batch.queue)

    def seal_all(self) -> None:
        """Seal every open batch."""
        for queue in (*self._overdue, *self._open):
            self.seal(queue)

    def seal_overdue(self, queue: PartitionQueue) -> bool:
        """Seal the partition's batch if it has lingered and can be sent now; whether it was."""
        if queue not in self._overdue or queue.is_busy:
            return False
        self.seal(queue)
        return True

    def unresolved(self) -> list[Batch]:
        """Batches that are not acknowledged or given up, oldest first."""
        return list(self._unresolved)

    def release(self, batch: Batch) -> None:
        """The batch is resolved: give its memory back."""
        if self._unresolved.pop(batch, batch) is None:
            self.reserved_bytes -= batch.reserved_bytes
            if self._room is not None and self.has_room():
                self._room.set_result(None)
                self._room = None

    def has_room(self) -> bool:
        """Whether another batch may be opened."""
        return self.reserved_bytes + self._wanted_bytes <= self.buffer_bytes

    async def room(self) -> None:
        """Wait until another batch may be opened."""
        while not self.has_room():
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    def close(self) -> None:
        """Stop the linger timer."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def _full_bytes(self, queue: PartitionQueue) -> int:
        """Content of a batch that takes no more records."""
        return min(self.batch_bytes, queue.content_bytes_max)

    def _reserve(self, batch: Batch, step_bytes: int) -> None:
        if self.reserved_bytes + step_bytes > self.buffer_bytes:
            wanted_bytes = step_bytes
            if not batch.records:  # sealing gives its memory back: the next one takes it again
                wanted_bytes += batch.reserved_bytes
            if wanted_bytes > self.buffer_bytes:
                message = f"a record of {wanted_bytes} bytes; buffer_bytes is {self.buffer_bytes}"
                raise ValueError(message)
            self.seal_all()  # what is full of open batches must be sent
            self._wanted_bytes = max(wanted_bytes, RESERVATION_STEP_BYTES)
            raise BufferFull(
                f"{self.reserved_bytes} bytes of records are not acknowledged yet; "
                f"buffer_bytes is {self.buffer_bytes}",
                code=RESOURCE_EXHAUSTED,
                retriable=True,
            )
        self._wanted_bytes = RESERVATION_STEP_BYTES
        self.reserved_bytes += step_bytes
        batch.reserved_bytes += step_bytes

    def _schedule(self, delay_ms: float) -> None:
        loop = asyncio.get_running_loop()
        if delay_ms <= 0:
            self._linger = loop.call_soon(self._on_linger)
        else:
            self._linger = loop.call_later(delay_ms / 1000, self._on_linger)

    def _on_linger(self) -> None:
        """Seal what lingered long enough, and at once what will have within a millisecond.

        While a partition has as many batches under way as it may, its open batch goes on filling:
        under load batches grow instead of queueing.
        """
        self._linger = None
        due_ms = self._clock.monotonic_ms() - self._linger_ms + 1.0
        for queue in list(self._open):
            batch = queue.open_batch
            if batch is not None and batch.created_ms > due_ms:
                self._schedule(batch.created_ms - due_ms + 1.0)
                return
            if queue.is_busy:
                del self._open[queue]
                self._overdue[queue] = None
            else:
                self.seal(queue)
