"""The term table against a dumb twin: a list that holds the term of every single offset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import InvariantViolation
from replication.raft.term_table import TermTable
from replication.types import LogPosition, Offset, Term

START = LogPosition(Term(0), Offset(0))
Entries = list[tuple[int, int]]
"""(term, span) of each entry, from offset 0."""


def at(term: int, end: int) -> LogPosition:
    return LogPosition(Term(term), Offset(end))


def table_of(entries: Entries) -> TermTable:
    table = TermTable(START, START, ())
    for term, span in entries:
        table.append(Term(term), Offset(table.end.end + span))
    return table


def boundaries(entries: Entries) -> list[LogPosition]:
    """Every position that ends an entry, and the start."""
    positions, end = [START], 0
    for term, span in entries:
        end += span
        positions.append(at(term, end))
    return positions


def terms_by_offset(entries: Entries) -> list[int]:
    return [term for term, span in entries for _ in range(span)]


ENTRIES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), max_size=12).map(
    lambda entries: sorted(entries, key=lambda entry: entry[0])
)


@given(ENTRIES, st.data())
def test_lookups_truncation_and_release_agree_with_the_twin(
    entries: Entries, data: st.DataObject
) -> None:
    """term_at, holds, truncate and released say what a list of terms says."""
    table, plain = table_of(entries), terms_by_offset(entries)
    for end in range(len(plain) + 2):
        expected = 0 if end == 0 else plain[end - 1] if end <= len(plain) else None
        assert table.term_at(Offset(end)) == expected
    cut = data.draw(st.sampled_from(boundaries(entries)))
    table.truncate(cut.end)
    assert table.end == cut
    start = data.draw(st.integers(0, cut.end))
    left = table.released(Offset(start))
    for end in range(len(plain) + 2):
        inside = start <= end <= cut.end
        expected = None if not inside else 0 if end == 0 else plain[end - 1]
        assert left.term_at(Offset(end)) == expected
    assert TermTable(left.start, left.end, table.runs).runs == left.runs


@st.composite
def two_logs(draw: st.DrawFn) -> tuple[Entries, Entries]:
    """Two logs that a group can have: one leader a term, so entries of one term are the same
    entries, and a log holds a prefix of what its last leader had."""
    logs: list[Entries] = [[], []]
    for term in range(1, 7):
        base = draw(st.sampled_from(logs))
        base = base[: draw(st.integers(0, len(base)))]
        written = [
            *base,
            *((term, draw(st.integers(1, 3))) for _ in range(draw(st.integers(1, 3)))),
        ]
        for index in range(2):
            if draw(st.booleans()):
                logs[index] = written[: draw(st.integers(0, len(written)))]
    return logs[0], logs[1]


@given(two_logs())
def test_a_leader_finds_the_greatest_common_point(logs: tuple[Entries, Entries]) -> None:
    """From any logs: what is asked is always an entry's boundary of the leader's log, the answers
    end at the greatest common point, in one round for each run of a term the leader lacks and one
    more."""
    leader, follower = table_of(logs[0]), table_of(logs[1])
    common = [p for p in boundaries(logs[0]) if p in boundaries(logs[1])]
    foreign = {term for term, _ in logs[1]} - {term for term, _ in logs[0]}
    asked, rounds = leader.end, 0
    while not follower.holds(asked):
        rounds += 1
        hint = follower.latest_at_or_below(asked)
        assert hint is not None
        assert hint.end <= asked.end
        assert hint.term <= asked.term
        point = leader.greatest_common(hint)
        assert point is not None
        assert point < asked
        asked = point
        assert asked in boundaries(logs[0])
    assert asked == max(p for p in common if p.end <= asked.end)
    # A match at the first question is at the leader's end; else nothing greater is common.
    assert asked == max(common)
    assert rounds <= 1 + len(foreign)


def test_a_divergence_below_the_start_has_no_common_point() -> None:
    """A leader that trimmed what it shares with a follower must copy its log."""
    leader = table_of([(1, 5), (3, 5)]).released(Offset(5))
    assert leader.greatest_common(at(0, 0)) is None
    assert leader.greatest_common(at(1, 4)) is None
    assert leader.greatest_common(at(1, 5)) == at(1, 5)
    assert leader.greatest_common(at(2, 9)) == at(1, 5)
    assert leader.greatest_common(at(3, 7)) == at(3, 7)


def test_terms_that_fall_are_refused() -> None:
    """A log whose terms fall, or a table that does not describe its log, stops the replica."""
    with pytest.raises(InvariantViolation):
        table_of([(2, 1), (1, 1)])
    with pytest.raises(InvariantViolation):
        TermTable(START, at(2, 4), [(Term(1), Offset(0))])
    with pytest.raises(InvariantViolation):
        TermTable(START, at(1, 4), ())
