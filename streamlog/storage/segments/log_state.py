"""What a log's prefix says of terms and producers: a fold over the headers of its batches.

Two tables. The term table holds the first offset of each term; the producer table holds, for each
idempotent producer, its newest epoch and its last five batches, which a retry is recognised by.

    apply(header)    one batch was appended; gives back what undoes it
    undo(...)        it was truncated again, newest first
    freeze()         the state now, to be serialized later
    restore(bytes)   from a snapshot

Invariants: the state is a function of the log's prefix and of nothing else, so every replica has
the same at the same offset; the tables are bounded (PRODUCERS_MAX; terms below the log's start are
forgotten). At the bound the producer that has been silent longest, by offset, is forgotten: its
next batch is refused unless it begins anew with sequence 0.

The offset after the last data record is kept beside them, for conditional appends.

When a truncation goes deeper than what can be undone, all but the terms is unknown until it was
folded anew from a snapshot (`exact`).

Serialized as `streamlog.v1.LogStateSnapshot`, the content of a `.state` file (a sealed file, see
`streamlog/storage/sealed_file`, with magic "SLLOGSTA").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from replication.errors import invariant
from streamlog.model.batch import CONTROL, HAS_PRODUCER, BatchHeader
from streamlog.model.errors import Reason, StreamlogError
from streamlog.storage.sealed_file import DamagedFile, UnknownVersion
from streamlog.v1 import batch_pb2

STATE_VERSION: Final = 1
PRODUCER_BATCHES_MAX: Final = 5
PRODUCERS_MAX: Final = 2_000
"""Idempotent producers that a log remembers."""
SEQUENCE_COUNT: Final = 1 << 31
"""Sequence numbers wrap from 2^31 - 1 to 0."""

STATE_MAGIC: Final = b"SLLOGSTA"


class ProducerBatch(NamedTuple):
    """One of a producer's last batches; all four bounds are inclusive."""

    base_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    max_timestamp_ms: int


class ProducerState(NamedTuple):
    """What the log says of one producer. Invariant: 1 to 5 batches, oldest first."""

    epoch: int
    batches: tuple[ProducerBatch, ...]
    transaction_first_offset: int | None = None


class ProducerUndo(NamedTuple):
    """What a batch changed in the producer table."""

    producer_id: int
    before: ProducerState | None
    evicted: tuple[int, ProducerState] | None


class StateUndo(NamedTuple):
    """What `apply` changed."""

    data_end: int
    producer: ProducerUndo | None


@dataclass(frozen=True, slots=True)
class Fresh:
    """The batch comes next: append it."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The batch is in the log (maybe not yet committed): at these offsets, inclusive both."""

    base_offset: int
    last_offset: int
    max_timestamp_ms: int


@dataclass(frozen=True, slots=True)
class FrozenLogState:
    """A LogState at one moment; cheap to take, serialized when it is saved."""

    end_offset: int
    terms: tuple[tuple[int, int], ...]
    producers: dict[int, ProducerState]
    data_end: int

    def serialize(self) -> bytes:
        """A LogStateSnapshot, deterministic."""
        message = batch_pb2.LogStateSnapshot(
            format_version=STATE_VERSION,
            end_offset=self.end_offset,
            data_end_offset=self.data_end,
        )
        for term, start_offset in self.terms:
            message.terms.add(term=term, start_offset=start_offset)
        for producer_id in sorted(self.producers):
            state = self.producers[producer_id]
            entry = message.producers.add(producer_id=producer_id, producer_epoch=state.epoch)
            if state.transaction_first_offset is not None:
                entry.transaction_first_offset = state.transaction_first_offset
            for batch in state.batches:
                entry.batches.add(
                    base_sequence=batch.base_sequence,
                    last_sequence=batch.last_sequence,
                    base_offset=batch.base_offset,
                    last_offset=batch.last_offset,
                    max_timestamp_ms=batch.max_timestamp_ms,
                )
        return message.SerializeToString(deterministic=True)


class LogState:
    """The state of a log's prefix, kept up with its end."""

    __slots__ = ("_data_end", "_order_lost", "_producers", "_term_starts", "_terms", "exact")

    def __init__(
        self,
        terms: Sequence[tuple[int, int]] = (),
        producers: Mapping[int, ProducerState] | None = None,
        data_end: int = 0,
    ) -> None:
        self._terms = [term for term, _ in terms]
        self._term_starts = [start for _, start in terms]
        self._producers = dict(producers or {})
        """Longest silent first, unless `_order_lost`."""
        self._order_lost = bool(producers)
        self._data_end = data_end
        self.exact = True
        """False after a truncation that was too deep to undo, until `adopt`; terms always are."""

    @property
    def last_term(self) -> int:
        """Term of the last batch; 0 when there was none."""
        return self._terms[-1] if self._terms else 0

    @property
    def terms(self) -> list[tuple[int, int]]:
        """(term, first offset), ascending."""
        return list(zip(self._terms, self._term_starts, strict=True))

    @property
    def data_end(self) -> int:
        """Offset after the last data record; 0 without any. Raises StreamlogError(OVERLOADED)
        while the state is rebuilt."""
        if not self.exact:
            raise _not_now()
        return self._data_end

    def producer(self, producer_id: int) -> ProducerState | None:
        """What is known of a producer."""
        return self._producers.get(producer_id)

    def term_of(self, offset: int) -> int:
        """Term of the batch that holds `offset`; 0 when that lies before the table."""
        found = bisect_right(self._term_starts, offset) - 1
        return self._terms[found] if found >= 0 else 0

    def apply(self, header: BatchHeader) -> StateUndo | None:
        """A batch was appended; None when it can not be undone, because the state is not exact."""
        if not self._terms or header.term != self._terms[-1]:
            invariant(header.term > self.last_term, "terms ascend", term=header.term)
            self._terms.append(header.term)
            self._term_starts.append(header.base_offset)
        if not self.exact:
            return None
        data_end, producer = self._data_end, None
        flags = header.format_and_flags
        if not flags & CONTROL:
            self._data_end = header.end_offset
            if flags & HAS_PRODUCER:
                producer = self._apply_producer(header)
        return StateUndo(data_end, producer)

    def _apply_producer(self, header: BatchHeader) -> ProducerUndo:
        producer_id = header.producer_id
        batch = ProducerBatch(
            header.base_sequence,
            (header.base_sequence + header.last_offset_delta) % SEQUENCE_COUNT,
            header.base_offset,
            header.end_offset - 1,
            header.max_timestamp_ms,
        )
        before = self._producers.pop(producer_id, None)
        evicted = None
        if before is None:
            batches: tuple[ProducerBatch, ...] = (batch,)
            if len(self._producers) >= PRODUCERS_MAX:
                evicted = self._evict()
        elif before.epoch != header.producer_epoch:
            batches = (batch,)
        else:
            batches = (*before.batches[1 - PRODUCER_BATCHES_MAX :], batch)
        self._producers[producer_id] = ProducerState(header.producer_epoch, batches)
        return ProducerUndo(producer_id, before, evicted)

    def undo(self, undo: StateUndo | None) -> None:
        """Take back the newest change, or forget everything when that is not possible. Terms are
        taken back by `truncate_terms`."""
        if not self.exact:
            return
        if undo is None:
            # It was applied while the state was being rebuilt: nobody knows what it changed.
            self.forget()
            return
        self._data_end = undo.data_end
        change = undo.producer
        if change is None:
            return
        self._producers.pop(change.producer_id)
        if change.before is not None:
            self._producers[change.producer_id] = change.before
        if change.evicted is not None:
            producer_id, state = change.evicted
            self._producers[producer_id] = state
        self._order_lost = True

    def truncate_terms(self, end: int) -> None:
        """Forget terms that begin at or above `end`."""
        keep = bisect_left(self._term_starts, end)
        del self._terms[keep:], self._term_starts[keep:]

    def forget_terms_below(self, start: int) -> None:
        """Forget terms that end below `start` - 1: the log begins at `start`."""
        first = max(0, bisect_right(self._term_starts, start - 1) - 1)
        del self._terms[:first], self._term_starts[:first]

    def forget(self) -> None:
        """A truncation was too deep to undo."""
        self._producers = {}
        self.exact = False

    def adopt(self, rebuilt: LogState) -> None:
        """Take all but the terms from a state that was folded anew up to the same end."""
        self._producers = rebuilt._producers
        self._order_lost = rebuilt._order_lost
        self._data_end = rebuilt._data_end
        self.exact = True

    def check_sequence(
        self, producer_id: int, epoch: int, base_sequence: int, count: int
    ) -> Fresh | Duplicate:
        """Judge a batch of `count` records before it is appended.

        Raises StreamlogError: PRODUCER_FENCED, OUT_OF_ORDER_SEQUENCE (with expected_sequence),
        DUPLICATE_SEQUENCE, OVERLOADED (the table is being rebuilt).
        """
        if not self.exact:
            raise _not_now()
        known = self._producers.get(producer_id)
        if known is not None and epoch < known.epoch:
            raise StreamlogError(
                Reason.PRODUCER_FENCED,
                f"producer {producer_id} has epoch {known.epoch}, the batch has {epoch}",
                {"producer_epoch": str(known.epoch)},
            )
        if known is None or epoch > known.epoch:
            if base_sequence != 0:
                raise _out_of_order(producer_id, epoch, base_sequence, 0)
            return Fresh()
        last_sequence = (base_sequence + count - 1) % SEQUENCE_COUNT
        for batch in known.batches:
            if (batch.base_sequence, batch.last_sequence) == (base_sequence, last_sequence):
                return Duplicate(batch.base_offset, batch.last_offset, batch.max_timestamp_ms)
        expected = (known.batches[-1].last_sequence + 1) % SEQUENCE_COUNT
        if base_sequence == expected:
            return Fresh()
        behind = (expected - base_sequence) % SEQUENCE_COUNT
        if behind < SEQUENCE_COUNT // 2:
            raise StreamlogError(
                Reason.DUPLICATE_SEQUENCE,
                f"sequence {base_sequence} of producer {producer_id} is older than its last "
                f"{PRODUCER_BATCHES_MAX} batches; {expected} comes next",
                {"expected_sequence": str(expected)},
            )
        raise _out_of_order(producer_id, epoch, base_sequence, expected)

    def freeze(self, end_offset: int) -> FrozenLogState | None:
        """The state now; None while it is rebuilt."""
        if not self.exact:
            return None
        return FrozenLogState(end_offset, tuple(self.terms), dict(self._producers), self._data_end)

    def _evict(self) -> tuple[int, ProducerState]:
        if self._order_lost:
            by_age = sorted(
                self._producers.items(), key=lambda item: item[1].batches[-1].last_offset
            )
            self._producers = dict(by_age)
            self._order_lost = False
        oldest = next(iter(self._producers))
        return oldest, self._producers.pop(oldest)


def thaw(frozen: FrozenLogState) -> LogState:
    """A state to go on from."""
    return LogState(frozen.terms, frozen.producers, frozen.data_end)


def _not_now() -> StreamlogError:
    return StreamlogError(
        Reason.OVERLOADED, "the log's state is being rebuilt; try again", retry_after_ms=50
    )


def _out_of_order(producer_id: int, epoch: int, found: int, expected: int) -> StreamlogError:
    return StreamlogError(
        Reason.OUT_OF_ORDER_SEQUENCE,
        f"sequence {found} of producer {producer_id}, epoch {epoch}; expected {expected}",
        {"expected_sequence": str(expected)},
    )


def restore_log_state(data: bytes, where: str) -> tuple[LogState, int]:
    """State and exclusive end offset from a LogStateSnapshot. Raises DamagedFile,
    UnknownVersion; `where` names the place in them."""
    try:
        message = batch_pb2.LogStateSnapshot.FromString(data)
    except DecodeError as error:
        raise DamagedFile(where, f"not a LogStateSnapshot: {error}") from error
    if message.format_version > STATE_VERSION:
        raise UnknownVersion(where, message.format_version, STATE_VERSION)
    producers: dict[int, ProducerState] = {}
    for entry in message.producers:
        batches = tuple(
            ProducerBatch(
                batch.base_sequence,
                batch.last_sequence,
                batch.base_offset,
                batch.last_offset,
                batch.max_timestamp_ms,
            )
            for batch in entry.batches
        )
        if not 1 <= len(batches) <= PRODUCER_BATCHES_MAX:
            raise DamagedFile(where, f"{len(batches)} batches of producer {entry.producer_id}")
        first = (
            entry.transaction_first_offset if entry.HasField("transaction_first_offset") else None
        )
        producers[entry.producer_id] = ProducerState(entry.producer_epoch, batches, first)
    terms = [(term.term, term.start_offset) for term in message.terms]
    return LogState(terms, producers, message.data_end_offset), message.end_offset
