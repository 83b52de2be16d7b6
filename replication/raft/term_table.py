"""Terms of a log by offset, and the point at which two logs diverge.

A log is a handful of runs, each of one term. Knowing where each run starts is enough to answer
"which term is at this offset" and to find, from one refused AppendEntries, where a follower's log
leaves the leader's (Raft thesis section 5.3, end, asks for one entry a round trip or one term a
round trip; here a divergence within one foreign run costs one, see `greatest_common`).

Boundaries. Entries take several offsets, so a position in the middle of an entry must never be
sent as `previous`. The table does not know the boundaries of entries, but it knows enough of
them: both ends of every run, the log's end, and any position that another replica reports in the
term this log has there (one leader a term: the entry is the same in both logs).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise

from replication.errors import invariant, violate
from replication.types import LogPosition, Offset, Term


class TermTable:
    """Terms of [start.end, end.end), as runs.

    Invariant: `_terms` and `_firsts` are strictly ascending and of one length; `_firsts[0]` is
    `start.end`; both are empty exactly when the log is; `end.term` is the last run's term, or
    `start.term` for an empty log.
    """

    __slots__ = ("_firsts", "_terms", "end", "start")

    def __init__(
        self, start: LogPosition, end: LogPosition, runs: Iterable[tuple[Term, Offset]]
    ) -> None:
        """Take a log's runs (term, first offset), ascending; those below `start` are clipped."""
        self.start, self.end = start, end
        self._terms: list[Term] = []
        self._firsts: list[Offset] = []
        for term, first in runs:
            if first >= end.end:
                break
            if first <= start.end:
                self._terms, self._firsts = [term], [start.end]
            else:
                self._terms.append(term)
                self._firsts.append(first)
        if start.end == end.end:
            self._terms, self._firsts = [], []
        self._check()

    def _check(self) -> None:
        terms, firsts = self._terms, self._firsts
        start, end = self.start, self.end
        invariant(start.end <= end.end, "a log ends before it starts", start=start, end=end)
        if not terms:
            invariant(start == end, "a log has entries but no terms", start=start, end=end)
            return
        ascending = all(a < b for a, b in pairwise(terms)) and all(
            a < b for a, b in pairwise(firsts)
        )
        invariant(
            ascending
            and firsts[0] == start.end
            and terms[0] >= start.term
            and terms[-1] == end.term,
            "a term table does not describe its log",
            start=start,
            end=end,
            terms=terms,
            firsts=firsts,
        )

    @property
    def runs(self) -> tuple[tuple[Term, Offset], ...]:
        """(term, first offset) of each run, ascending; the first begins at `start.end`."""
        return tuple(zip(self._terms, self._firsts, strict=True))

    def append(self, term: Term, end: Offset) -> None:
        """Extend the log to `end` (exclusive) with entries of `term`."""
        last = self.end
        if term != last.term or not self._terms:
            invariant(term >= last.term, "terms of a log must not fall", term=term, end=last)
            self._terms.append(term)
            self._firsts.append(last.end)
        self.end = LogPosition(term, end)

    def truncate(self, cut: Offset) -> None:
        """Forget [cut, ...)."""
        invariant(
            self.start.end <= cut <= self.end.end,
            "a cut lies outside the log",
            cut=cut,
            start=self.start,
            end=self.end,
        )
        keep = bisect_left(self._firsts, cut)
        del self._terms[keep:], self._firsts[keep:]
        self.end = LogPosition(self._terms[-1], cut) if keep else self.start

    def released(self, start: Offset) -> TermTable:
        """The table of what is left when [..., start) is forgotten."""
        term = self.term_at(start)
        if term is None:
            violate("a start lies outside the log", start=start, log=(self.start, self.end))
        return TermTable(LogPosition(term, start), self.end, self.runs)

    def term_at(self, end: Offset) -> Term | None:
        """Term of the entry that holds offset `end - 1`; `start.term` at the start; None
        outside [start.end, end.end]."""
        last = self.end
        if end == last.end:
            return last.term
        start = self.start
        if end <= start.end:
            return start.term if end == start.end else None
        if end > last.end:
            return None
        return self._terms[bisect_left(self._firsts, end) - 1]

    def holds(self, position: LogPosition) -> bool:
        """The log has an entry of that term that ends there, or starts there."""
        return self.term_at(position.end) == position.term

    def latest_at_or_below(self, position: LogPosition) -> LogPosition | None:
        """What a follower answers when `position` is not in its log: the greatest position at or
        below `position.end` in a term at or below `position.term`; None when it would lie below
        the start."""
        start = self.start
        if position.end < start.end or position.term < start.term:
            return None
        index = min(
            bisect_right(self._terms, position.term), bisect_left(self._firsts, position.end)
        )
        if index == 0:
            return start
        return LogPosition(self._terms[index - 1], min(position.end, self._run_end(index - 1)))

    def greatest_common(self, hint: LogPosition) -> LogPosition | None:
        """What a leader tries after a follower's hint; None when the logs part below the start.

        With a run of the hint's term here, the two logs share it up to the shorter end: that is
        the point. Without one, all the follower has in that term is foreign; the next thing to
        ask is the end of the last run here of a lower term, whose answer names the point.
        Either way the answer is the boundary of an entry.
        """
        start = self.start
        if hint.end < start.end or hint.term < start.term:
            return None
        if hint.end == start.end:
            return start if hint.term == start.term else None
        index = bisect_right(self._terms, hint.term) - 1
        if index < 0:
            return start
        term, run_end = self._terms[index], self._run_end(index)
        if term < hint.term:
            return LogPosition(term, run_end)
        if hint.end <= self._firsts[index]:
            return LogPosition(self._terms[index - 1], self._firsts[index])
        return LogPosition(term, min(hint.end, run_end))

    def _run_end(self, index: int) -> Offset:
        return self._firsts[index + 1] if index + 1 < len(self._firsts) else self.end.end
