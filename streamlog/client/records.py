"""What a consumer gets: records of partitions, as plain values."""

from __future__ import annotations

from typing import Any, NamedTuple

Headers = tuple[tuple[str, bytes | None], ...]


class TopicPartition(NamedTuple):
    """A partition by the name of its topic."""

    topic: str
    partition: int


class ConsumerRecord(NamedTuple):
    """One record. `timestamp_ms` is Unix milliseconds.

    Key and value are bytes, or what the consumer's deserializers made of them; null is None.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: Any
    value: Any
    headers: Headers


class ConsumerBatch(NamedTuple):
    """Consecutive records of one partition; never empty. Offsets may have gaps."""

    topic: str
    partition: int
    records: list[ConsumerRecord]
