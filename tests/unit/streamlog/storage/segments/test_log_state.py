"""What a log's prefix says of its producers and terms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamlog.model.batch import HAS_PRODUCER, BatchHeader, draft_of_payload, read_header
from streamlog.model.errors import Reason, StreamlogError
from streamlog.storage.segments.log_state import (
    SEQUENCE_COUNT,
    Duplicate,
    Fresh,
    LogState,
    restore_log_state,
    thaw,
)


def batch(
    base: int, count: int = 1, *, producer: tuple[int, int, int] | None = None, term: int = 1
) -> BatchHeader:
    """Header of a stored batch; `producer` is id, epoch, base sequence."""
    draft = draft_of_payload(
        b"", topic_id=1, partition=0, record_count=count, timestamp_ms=1_000 + base
    )
    if producer is not None:
        producer_id, epoch, sequence = producer
        draft = replace(
            draft,
            format_and_flags=draft.format_and_flags | HAS_PRODUCER,
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=sequence,
        )
    return read_header(draft.frame(base, term))


def of_one_producer(batches: int, *, size: int = 2) -> LogState:
    """A producer wrote so many batches, beginning at sequence and offset 0."""
    state = LogState()
    for n in range(batches):
        state.apply(batch(n * size, size, producer=(7, 0, n * size)))
    return state


def reason_of(state: LogState, *question: int) -> Reason:
    with pytest.raises(StreamlogError) as caught:
        state.check_sequence(*question)
    return caught.value.reason


def test_the_next_sequence_is_fresh() -> None:
    """Of a producer that is known, and the first one of one that is not."""
    state = of_one_producer(3)
    assert state.check_sequence(7, 0, 6, 4) == Fresh()
    assert state.check_sequence(8, 0, 0, 4) == Fresh()


def test_the_last_five_batches_are_known_as_duplicates() -> None:
    """With the place where they were stored first."""
    state = of_one_producer(8)
    for n in range(3, 8):
        assert state.check_sequence(7, 0, 2 * n, 2) == Duplicate(2 * n, 2 * n + 1, 1_000 + 2 * n)
    assert reason_of(state, 7, 0, 4, 2) is Reason.DUPLICATE_SEQUENCE
    assert reason_of(state, 7, 0, 14, 1) is Reason.DUPLICATE_SEQUENCE


def test_a_gap_is_refused_with_what_comes_next() -> None:
    """A batch that was lost on the way must be sent before those behind it."""
    state = of_one_producer(2)
    with pytest.raises(StreamlogError, match="expected 4") as caught:
        state.check_sequence(7, 0, 5, 1)
    assert caught.value.reason is Reason.OUT_OF_ORDER_SEQUENCE
    assert reason_of(state, 9, 0, 3, 1) is Reason.OUT_OF_ORDER_SEQUENCE


def test_a_newer_epoch_begins_anew_and_fences_the_older() -> None:
    """What the old one had is not asked for again."""
    state = of_one_producer(2)
    assert state.check_sequence(7, 1, 0, 1) == Fresh()
    assert reason_of(state, 7, 1, 4, 1) is Reason.OUT_OF_ORDER_SEQUENCE
    state.apply(batch(4, producer=(7, 1, 0)))
    assert reason_of(state, 7, 0, 4, 1) is Reason.PRODUCER_FENCED


def test_sequences_wrap() -> None:
    """After 2^31 - 1 comes 0."""
    state = LogState()
    state.apply(batch(0, 2, producer=(7, 0, SEQUENCE_COUNT - 1)))
    assert state.check_sequence(7, 0, 1, 1) == Fresh()
    assert state.check_sequence(7, 0, SEQUENCE_COUNT - 1, 2) == Duplicate(0, 1, 1_000)


def test_undo_is_exact() -> None:
    """Taking batches back leaves what was before them."""
    state = of_one_producer(6)
    before = state.freeze(12)
    undos = [
        state.apply(batch(12, 2, producer=(7, 0, 12), term=2)),
        state.apply(batch(14, 1, producer=(8, 0, 0), term=3)),
        state.apply(batch(15, 1, producer=(7, 1, 0), term=3)),
    ]
    for undo in reversed(undos):
        state.undo(undo)
    state.truncate_terms(12)
    assert state.freeze(12) == before


def test_what_was_applied_while_the_state_was_not_exact_can_not_be_undone() -> None:
    """The state is rebuilt in between; a batch from before that does not know what it changed.
    Undoing it as if it did once left batches in the window that the log did not hold."""
    state = of_one_producer(2)
    state.forget()
    undo = state.apply(batch(4, 2, producer=(7, 0, 4)))
    rebuilt = of_one_producer(3)
    state.adopt(rebuilt)
    assert state.check_sequence(7, 0, 4, 2) == Duplicate(4, 5, 1_004)
    state.undo(undo)
    assert not state.exact
    assert reason_of(state, 7, 0, 4, 2) is Reason.OVERLOADED
    state.adopt(of_one_producer(2))
    assert state.check_sequence(7, 0, 4, 2) == Fresh()


def test_a_snapshot_says_all() -> None:
    """Serialized and restored, or frozen and thawed, the state answers as before."""
    state = of_one_producer(6)
    state.apply(batch(12, 3, producer=(8, 2, 0), term=4))
    frozen = state.freeze(15)
    assert frozen is not None
    restored, end = restore_log_state(frozen.serialize(), "here")
    assert end == 15
    for other in (restored, thaw(frozen)):
        assert other.freeze(15) == frozen
        assert other.data_end == 15
        assert other.terms == [(1, 0), (4, 12)]
        assert other.check_sequence(8, 2, 0, 3) == Duplicate(12, 14, 1_012)


def test_terms_tell_who_wrote_an_offset() -> None:
    """Also after the log lost its beginning, as far as it still holds something."""
    state = LogState()
    for base, term in ((0, 1), (10, 3), (20, 4)):
        state.apply(batch(base, 10, term=term))
    assert [state.term_of(offset) for offset in (0, 9, 10, 19, 20, 29)] == [1, 1, 3, 3, 4, 4]
    state.forget_terms_below(15)
    assert state.terms == [(3, 10), (4, 20)]
    state.truncate_terms(20)
    assert state.last_term == 3
