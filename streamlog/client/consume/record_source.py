"""From stored batches to what the application gets: decoded, deserialized, cut to size.

Invariant: the position of a partition is the offset after the last record that `take` returned,
also while a part of a decoded batch waits here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from operator import length_hint
from typing import Any, Final, Protocol

from streamlog.client.consume.decoding import decode_records
from streamlog.client.consume.fetch_stream import PartitionFetch
from streamlog.client.consume.fetcher import Fetcher
from streamlog.client.errors import DataCorrupt, RecordUndecodable
from streamlog.client.records import (
    ConsumerBatch,
    ConsumerRecord,
    TopicPartition,
)
from streamlog.model.record_set import new_decompressor
from streamlog.v1.batch_pb2 import RecordBatch

CORRUPT_RETRIES_MAX: Final = 3
"""A batch that fails its end-to-end checksum is fetched again so often before it is an error."""

Deserializer = Callable[[bytes], Any]
"""Makes a value of bytes; null keys and values stay None and are not handed to it."""


class Gate(Protocol):
    """Who decides whether records may be handed out, and is told of which partitions."""

    def is_open(self) -> bool:
        """They may be, now."""
        ...

    def handed_out(self, pair: TopicPartition) -> None:
        """Records of it were handed out, or will be one by one."""
        ...

    def settled(self, pair: TopicPartition, in_hand_from: int) -> None:
        """An iteration ended; the record at this offset was the last one that was taken."""
        ...


class RecordSource:
    """Takes batches from the fetcher, when the application asks."""

    gate: Gate | None = None
    """Of a member of a group; set once, before anything is taken."""

    def __init__(
        self,
        fetcher: Fetcher,
        key_deserializer: Deserializer | None,
        value_deserializer: Deserializer | None,
    ) -> None:
        self._fetcher = fetcher
        self._decompressor = new_decompressor()
        self._of_key, self._of_value = key_deserializer, value_deserializer
        self._deserializes = key_deserializer is not None or value_deserializer is not None
        self._rest: ConsumerBatch | None = None
        """Records of a decoded batch that were not taken yet; not deserialized."""
        self._iterating: tuple[ConsumerBatch, Iterator[ConsumerRecord]] | None = None
        """Records that are handed out one by one: as they were before they were deserialized."""

    def take(self, limit: int | None) -> ConsumerBatch | None:
        """The next batch with records, or its first `limit`; None when none is there.

        Raises what went wrong with a partition, RecordUndecodable, ClientDefect.
        """
        return self._take(limit)[1]

    def iterate(self) -> Iterator[ConsumerRecord] | None:
        """The next batch with records, one by one; ends early when something else is called."""
        raw, batch = self._take(None)
        if raw is None or batch is None:
            return None
        iterator = iter(batch.records)
        self._iterating = raw._replace(records=raw.records[: len(batch.records)]), iterator
        return iterator

    def one(self) -> ConsumerRecord | None:
        """The next record, if one is there."""
        record = self.one_more()
        if record is None:
            records = self.iterate()
            record = None if records is None else next(records)
        elif self.gate is not None:
            self.gate.handed_out(TopicPartition(record.topic, record.partition))
        return record

    def one_more(self) -> ConsumerRecord | None:
        """The next record of an iteration that is going on."""
        return None if self._iterating is None else next(self._iterating[1], None)

    def settle(self) -> None:
        """End an iteration: what it has not handed out is handed out by whoever comes next.

        To be called before a position is read or moved.
        """
        if self._iterating is None:
            return
        (batch, iterator), self._iterating = self._iterating, None
        left = length_hint(iterator)
        if self.gate is not None and left < len(batch.records):
            pair = TopicPartition(batch.topic, batch.partition)
            self.gate.settled(pair, batch.records[-left - 1].offset)
        if left:
            deque(iterator, maxlen=0)
            self._put_back(batch._replace(records=batch.records[-left:]))

    # Where an iteration is.

    def position_of(self, pair: TopicPartition) -> int | None:
        """Offset after the last record that was handed out; None: it is not read, or not yet."""
        state = self._fetcher.state_of(pair)
        if state is None:
            return None
        if self._iterating is not None:
            batch, iterator = self._iterating
            left = length_hint(iterator)
            if left and pair == (batch.topic, batch.partition):
                return batch.records[-left].offset
        return state.position

    def iterated_at(self, pair: TopicPartition) -> int | None:
        """Offset of the record that was taken last in an iteration over this partition that is
        going on."""
        if self._iterating is None:
            return None
        batch, iterator = self._iterating
        left = length_hint(iterator)
        if left == len(batch.records) or pair != (batch.topic, batch.partition):
            return None
        return batch.records[-left - 1].offset

    @property
    def left_to_iterate(self) -> int:
        """Records of an iteration that have yet to be taken."""
        return 0 if self._iterating is None else length_hint(self._iterating[1])

    def forget(self, pair: TopicPartition) -> None:
        """Records of it that are kept are not to be handed out."""
        if self._rest is not None and pair == (self._rest.topic, self._rest.partition):
            self._rest = None

    def _take(self, limit: int | None) -> tuple[ConsumerBatch | None, ConsumerBatch | None]:
        """The batch as it was stored, and deserialized, as far as that went."""
        self.settle()
        gate = self.gate
        if gate is not None and not gate.is_open():
            return None, None
        batch = self._next()
        if batch is None:
            return None, None
        if limit is not None and len(batch.records) > limit:
            batch = self._keep(batch, limit)
        made = self._deserialized(batch) if self._deserializes else batch
        if gate is not None:
            gate.handed_out(TopicPartition(batch.topic, batch.partition))
        return batch, made

    def _next(self) -> ConsumerBatch | None:
        if self._rest is not None:
            batch, self._rest = self._rest, None
            state = self._fetcher.state_of(TopicPartition(batch.topic, batch.partition))
            # It may have been moved, paused or removed since.
            if state is not None and not state.paused and state.position == batch.records[0].offset:
                state.position = batch.records[-1].offset + 1
                return batch
        while (current := self._fetcher.current()) is not None:
            records = self._decode(*current)
            if records:
                state = current[0]
                return ConsumerBatch(state.topic, state.partition, records)
        return None

    def _keep(self, batch: ConsumerBatch, count: int) -> ConsumerBatch:
        """The first `count` records; the others are put back."""
        self._put_back(batch._replace(records=batch.records[count:]))
        return batch._replace(records=batch.records[:count])

    def _put_back(self, batch: ConsumerBatch) -> None:
        """Records that were not handed out after all, before those that are kept already."""
        pair = TopicPartition(batch.topic, batch.partition)
        if self._rest is not None:
            assert pair == (self._rest.topic, self._rest.partition)
            batch = batch._replace(records=batch.records + self._rest.records)
        self._rest = batch
        state = self._fetcher.state_of(pair)
        if state is not None:
            state.position = batch.records[0].offset

    def _decode(self, state: PartitionFetch, batch: RecordBatch) -> list[ConsumerRecord]:
        assert state.position is not None
        try:
            records = decode_records(batch, state.topic, state.position, self._decompressor)
        except DataCorrupt as error:
            state.corrupt_count += 1
            if error.retriable and state.corrupt_count <= CORRUPT_RETRIES_MAX:
                self._fetcher.move(state, state.position)
            else:
                self._fetcher.failed(state, error)
            return []
        state.corrupt_count = 0
        self._fetcher.taken()
        return records

    def _deserialized(self, batch: ConsumerBatch) -> ConsumerBatch:
        """With keys and values of the application's types, up to the first that fails."""
        of_key, of_value = self._of_key, self._of_value
        records: list[ConsumerRecord] = []
        part = "key"
        for record in batch.records:
            key, value = record.key, record.value
            try:
                part = "key"
                if key is not None and of_key is not None:
                    key = of_key(key)
                part = "value"
                if value is not None and of_value is not None:
                    value = of_value(value)
            except Exception as error:
                kept = self._keep(batch, len(records))
                if kept.records:
                    break
                raise RecordUndecodable(
                    record.topic, record.partition, record.offset, part
                ) from error
            records.append(record._replace(key=key, value=value))
        return batch._replace(records=records)
