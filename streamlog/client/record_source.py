"""From stored batches to what the application gets: decoded, deserialized, cut to size.

Invariant: the position of a partition is the offset after the last record that `take` returned,
also while a part of a decoded batch waits here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from operator import length_hint
from typing import Any, Final

from streamlog.client.errors import DataCorrupt, RecordUndecodable
from streamlog.client.fetch_stream import PartitionFetch
from streamlog.client.fetcher import Fetcher
from streamlog.client.records import (
    ConsumerBatch,
    ConsumerRecord,
    TopicPartition,
    decode_records,
)
from streamlog.model.record_set import new_decompressor
from streamlog.v1.batch_pb2 import RecordBatch

CORRUPT_RETRIES_MAX: Final = 3
"""A batch that fails its end-to-end checksum is fetched again so often before it is an error."""

Deserializer = Callable[[bytes], Any]
"""Makes a value of bytes; null keys and values stay None and are not handed to it."""


class RecordSource:
    """Takes batches from the fetcher, when the application asks."""

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
        record = None if self._iterating is None else next(self._iterating[1], None)
        if record is None:
            records = self.iterate()
            record = None if records is None else next(records)
        return record

    def settle(self) -> None:
        """End an iteration: what it has not handed out is handed out by whoever comes next.

        To be called before a position is read or moved.
        """
        if self._iterating is None:
            return
        (batch, iterator), self._iterating = self._iterating, None
        left = length_hint(iterator)
        if left:
            deque(iterator, maxlen=0)
            self._put_back(batch._replace(records=batch.records[-left:]))

    def _take(self, limit: int | None) -> tuple[ConsumerBatch | None, ConsumerBatch | None]:
        """The batch as it was stored, and deserialized, as far as that went."""
        self.settle()
        batch = self._next()
        if batch is None:
            return None, None
        if limit is not None and len(batch.records) > limit:
            batch = self._keep(batch, limit)
        return batch, self._deserialized(batch) if self._deserializes else batch

    def _next(self) -> ConsumerBatch | None:
        if self._rest is not None:
            batch, self._rest = self._rest, None
            state = self._fetcher.state_of(TopicPartition(batch.topic, batch.partition))
            # It may have been moved or removed since.
            if state is not None and state.position == batch.records[0].offset:
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
