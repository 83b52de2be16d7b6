"""How far the application is: what it was handed, and what of that it is done with.

A record is done when the application asks for the next one. So what it has in hand is known without
any work per record: it is what the last call handed out, and, of records that are iterated over,
the one that was taken last.

Invariants:
- What is done is never beyond what was handed out, and what is in hand is not done.
- A partition that was lost and given anew begins afresh: nothing of before is kept, except that
  something was taken before (`was_taken_before`), until something is taken anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from streamlog.client.consume.record_source import RecordSource
from streamlog.client.records import TopicPartition

TAKEN_BEFORE_MAX: Final = 100_000
"""Partitions that were lost, and of which records had been taken."""


class Progress:
    """Positions of the partitions that the application reads."""

    def __init__(self, source: RecordSource, is_open: Callable[[], bool]) -> None:
        """`is_open`: records may be handed out now."""
        self._source = source
        self._is_open = is_open
        self._done: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        """As confirmed."""
        self._sent: dict[TopicPartition, int] = {}
        """Of commits that nobody waits for, so that none is sent twice."""
        self._in_hand: dict[TopicPartition, None] = {}
        self._lost_in_hand: dict[TopicPartition, None] = {}
        self._taken: dict[TopicPartition, None] = {}
        self._taken_before: dict[TopicPartition, None] = {}
        self._asking: asyncio.Task[Any] | None = None
        self._asks = 0
        self._seen: tuple[int, int] = (0, 0)
        self._handled = 0
        self._waiting = 0
        self.on_asked: Callable[[], None] | None = None

    # What RecordSource tells: it is a Gate.

    def is_open(self) -> bool:
        """Records may be handed out now."""
        return self._is_open()

    def handed_out(self, pair: TopicPartition) -> None:
        """Records of this partition were handed out, or are iterated over."""
        self._in_hand[pair] = self._taken[pair] = None
        if self._taken_before:
            self._taken_before.pop(pair, None)

    def settled(self, pair: TopicPartition, in_hand_from: int) -> None:
        """An iteration ended; the record at this offset was taken last."""
        if pair in self._in_hand and pair in self._done:
            self._done[pair] = in_hand_from

    # What the consumer tells.

    def begin(self, pair: TopicPartition, offset: int, committed: int | None) -> None:
        """The partition is read from here; `committed`: its committed position. With records of it
        in hand, that counts when the application asks for more."""
        if pair not in self._in_hand:
            self._done[pair] = offset
        if committed is not None:
            self._committed.setdefault(pair, committed)

    def moved(self, pair: TopicPartition) -> None:
        """The application put the position elsewhere: it counts from the next time it asks."""
        if pair in self._done:
            self._in_hand[pair] = None
        self._taken_before.pop(pair, None)

    def drop(self, pair: TopicPartition) -> None:
        """Read no more."""
        self._done.pop(pair, None)
        self._committed.pop(pair, None)
        self._sent.pop(pair, None)
        if pair in self._in_hand:
            del self._in_hand[pair]
            self._lost_in_hand[pair] = None
        if pair in self._taken:
            del self._taken[pair]
            if len(self._taken_before) >= TAKEN_BEFORE_MAX:
                del self._taken_before[next(iter(self._taken_before))]
            self._taken_before[pair] = None

    def asked(self) -> None:
        """The application asks for more: it is done with what it was handed before."""
        self._asks += 1
        self._asking = asyncio.current_task()
        self._lost_in_hand.clear()
        if self._in_hand:
            self._take_as_done()
            self._in_hand.clear()
            if self.on_asked is not None:
                self.on_asked()

    def finish(self) -> None:
        """The application ends: it is done with what it has in hand, unless that is another task's
        that still works on it."""
        asking = self._asking
        if asking is None or asking.done() or asking is asyncio.current_task():
            self._take_as_done()
            self._in_hand.clear()

    def _take_as_done(self) -> None:
        for pair in self._in_hand:
            position = self._source.position_of(pair)
            if position is not None and pair in self._done:
                self._done[pair] = position

    def waits(self, more: int) -> None:
        """So many more callers wait for records."""
        self._waiting += more

    def handled_count(self) -> int:
        """Grows whenever the application moved on since it was last asked for, or waits."""
        seen = (self._asks, self._source.left_to_iterate)
        if seen != self._seen or self._waiting:
            self._seen = seen
            self._handled += 1
        return self._handled

    # Questions.

    def is_in_hand(self, pair: TopicPartition) -> bool:
        """The application has records of it that it may be working on."""
        return pair in self._in_hand

    @property
    def lost_in_hand(self) -> list[TopicPartition]:
        """Lost since the application last asked, while it had records of them in hand."""
        return list(self._lost_in_hand)

    def was_taken_before(self, pair: TopicPartition) -> bool:
        """Records of it were taken before it was lost, and none since it is back: what anybody
        knows of its position is of before."""
        return pair in self._taken_before

    def done(self, pair: TopicPartition) -> int | None:
        """Offset after the last record that the application is done with."""
        done = self._done.get(pair)
        if done is None or pair not in self._in_hand:
            return done
        in_hand_from = self._source.iterated_at(pair)
        return done if in_hand_from is None else in_hand_from

    def handed(self, pair: TopicPartition) -> int | None:
        """Offset after the last record that was handed out."""
        if pair not in self._done:
            return None
        return self._source.position_of(pair) if pair in self._in_hand else self._done[pair]

    def uncommitted(
        self, pairs: Iterable[TopicPartition], *, handed: bool
    ) -> dict[TopicPartition, int]:
        """Positions that are not confirmed as committed: of all that was handed out, or of what is
        done."""
        found: dict[TopicPartition, int] = {}
        for pair in pairs:
            offset = self.handed(pair) if handed else self.done(pair)
            if offset is not None and offset != self._committed.get(pair):
                found[pair] = offset
        return found

    def unsent(self, pairs: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Done, and neither committed nor on the way."""
        found = self.uncommitted(pairs, handed=False)
        return {pair: at for pair, at in found.items() if at != self._sent.get(pair)}

    # Commits.

    def sent(self, offsets: dict[TopicPartition, int]) -> None:
        """These are on the way."""
        self._sent.update(offsets)

    def committed(self, pair: TopicPartition, offset: int) -> None:
        """Confirmed."""
        if pair in self._done:
            self._committed[pair] = offset
            self._sent.pop(pair, None)

    def not_committed(self, pair: TopicPartition) -> None:
        """Refused, or unknown."""
        self._sent.pop(pair, None)
