"""Each checker of consumer groups is silent on a good history, and convicts what must not happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from jepsen_like.checkers import CHECKERS, check
from jepsen_like.checkers.history import Operation, to_json_lines
from jepsen_like.checkers.history_file import HistoryUnreadable, from_json_lines

GOOD = """\
{"process":"a","kind":"ok","what":"grant","op":1,"partition":0,"group":"g","member":"a.1","grant":1,"epoch":1}
{"process":"a","kind":"ok","what":"done","op":2,"partition":0,"group":"g","member":"a.1","grant":1,"offset":0,"end":5}
{"process":"a","kind":"invoke","what":"commit","op":3,"partition":0,"group":"g","member":"a.1","grant":1,"epoch":1,"offset":5}
{"process":"a","kind":"ok","what":"commit","op":3,"partition":0,"group":"g","member":"a.1","grant":1,"epoch":1,"offset":5}
{"process":"a","kind":"ok","what":"own","op":4,"partition":0,"group":"g","member":"a.1","grant":1,"epoch":3}
{"process":"op","kind":"invoke","what":"committed","op":5,"partition":0,"group":"g"}
{"process":"op","kind":"ok","what":"committed","op":5,"partition":0,"group":"g","offset":5}
{"process":"a","kind":"invoke","what":"commit","op":6,"partition":0,"group":"g","member":"a.1","grant":1,"epoch":3,"offset":5}
{"process":"a","kind":"info","what":"commit","op":6,"partition":0,"group":"g","member":"a.1","grant":1,"epoch":3,"offset":5}
{"process":"b","kind":"ok","what":"grant","op":7,"partition":0,"group":"g","member":"b.1","grant":4,"epoch":4,"offset":5}
{"process":"a","kind":"invoke","what":"commit","op":8,"partition":0,"group":"g","member":"a.1","epoch":3,"offset":5}
{"process":"a","kind":"fail","what":"commit","op":8,"partition":0,"group":"g","member":"a.1","epoch":3,"offset":5}
{"process":"b","kind":"ok","what":"done","op":9,"partition":0,"group":"g","member":"b.1","grant":4,"offset":5,"end":9}
{"process":"b","kind":"invoke","what":"commit","op":10,"partition":0,"group":"g","member":"b.1","grant":4,"epoch":4,"offset":9}
{"process":"b","kind":"ok","what":"commit","op":10,"partition":0,"group":"g","member":"b.1","grant":4,"epoch":4,"offset":9}
{"process":"op","kind":"invoke","what":"reset","op":11,"partition":0,"group":"g","offset":2}
{"process":"op","kind":"ok","what":"reset","op":11,"partition":0,"group":"g","offset":2,"epoch":6}
{"process":"b","kind":"ok","what":"grant","op":12,"partition":0,"group":"g","member":"b.1","grant":6,"epoch":6,"offset":2}
{"process":"op","kind":"invoke","what":"forget","op":13,"partition":0,"group":"g"}
{"process":"op","kind":"ok","what":"forget","op":13,"partition":0,"group":"g"}
{"process":"op","kind":"invoke","what":"committed","op":14,"partition":0,"group":"g"}
{"process":"op","kind":"ok","what":"committed","op":14,"partition":0,"group":"g"}
{"process":"groups","kind":"invoke","what":"settle","op":15,"partition":0,"group":"g","number":500,"time_ms":1000}
{"process":"groups","kind":"ok","what":"settle","op":15,"partition":0,"group":"g","number":500,"time_ms":1400}
"""


def good_history() -> list[Operation]:
    """Two members, a reset and a deletion."""
    return from_json_lines(GOOD)


def edit(op: int, at: str = "ok", /, **changes: object) -> list[Operation]:
    """The good history with one operation changed."""
    return [
        replace(o, **changes)  # type: ignore[arg-type]
        if o.op == op and o.kind == at
        else o
        for o in good_history()
    ]


def both(op: int, **changes: object) -> list[Operation]:
    """With an invocation and its end changed."""
    return [
        replace(o, **changes) if o.op == op else o  # type: ignore[arg-type]
        for o in good_history()
    ]


def test_a_good_history_has_no_violation() -> None:
    """A commit of unknown outcome, a refused one, a reset backwards and a deletion are all right;
    writing and reading the file changes nothing."""
    history = good_history()
    assert check(history) == []
    again = from_json_lines(to_json_lines(history))
    assert again == history


BAD_HISTORIES: list[tuple[str, Callable[[], list[Operation]], str, tuple[int, ...]]] = [
    (
        "overlapping_ownership",
        lambda: edit(7, grant=3, epoch=3),
        "b.1 owned it from epoch 3 to 3, and a.1 from 1 to 3",
        (5, 10),
    ),
    (
        "overlapping_ownership",
        lambda: edit(4, epoch=5),
        "b.1 owned it from epoch 4 to 4, and a.1 from 1 to 5",
        (5, 10),
    ),
    (
        "overlapping_ownership",
        lambda: both(10, epoch=7),
        "b.1 owned it from epoch 6 to 6, and b.1 from 4 to 7",
        (14, 18),
    ),
    (
        "stale_commits",
        lambda: edit(8, "fail", kind="ok"),
        "a.1 committed 5 of partition 0 of group g under epoch 3 (granted at 0), although b.1",
        (10, 11, 12),
    ),
    (
        "stale_commits",
        lambda: both(10, epoch=3, grant=3),
        "under epoch 3 (granted at 3), although b.1 had been told of a grant at 4",
        (10, 14, 15),
    ),
    ("lost_commits", lambda: edit(5, offset=4), "4 is committed for partition 0", (4, 7)),
    ("lost_commits", lambda: edit(5, offset=-1), "nothing is committed", (4, 7)),
    ("lost_commits", lambda: edit(7, offset=-1), "(granted at 4), but 5 was the last", (4, 10)),
    ("lost_commits", lambda: edit(12, offset=9), "9 is committed", (17, 18)),
    ("lost_commits", lambda: edit(1, offset=3), "but nothing was committed", (1,)),
    ("lost_commits", lambda: edit(14, offset=2), "2 is committed", (20, 22)),
    (
        "unhandled_positions",
        lambda: edit(2, end=4),
        "5 is committed for partition 0 of group g (commit of a), but members are through with",
        (4,),
    ),
    ("unhandled_positions", lambda: edit(9, offset=6), "9 is committed", (15,)),
    ("late_ownership", lambda: edit(15, time_ms=1501.0), "only after 501 ms; 500 ms", (23, 24)),
    ("late_ownership", lambda: edit(15, kind="info"), "never", (23, 24)),
]


@pytest.mark.parametrize(("checker", "spoil", "detail", "lines"), BAD_HISTORIES)
def test_planted_violation_is_caught(
    checker: str, spoil: Callable[[], list[Operation]], detail: str, lines: tuple[int, ...]
) -> None:
    """The checker named finds it, says where, and names the lines that show it."""
    found = [v for v in check(spoil()) if v.checker == checker and detail in v.message]
    assert found, check(spoil())
    assert lines in [violation.lines for violation in found]


def test_every_checker_of_groups_has_a_planted_violation() -> None:
    """No checker goes untested."""
    names = [checker.name for checker in CHECKERS if checker.of == "groups"]
    assert set(names) == {name for name, *_ in BAD_HISTORIES}


def test_a_commit_of_unknown_outcome_may_be_read_or_not() -> None:
    """The next owner begins at it, or at the one before."""
    history = both(6, offset=7)
    assert check([replace(o, end=7) if o.op == 2 else o for o in history]) == []
    seen = [replace(o, offset=7) if o.op == 7 else o for o in history]
    handled = [replace(o, end=7) if o.op == 2 else o for o in seen]
    assert check(handled) == []


TRIMMED = """\
{"process":"d","kind":"invoke","what":"drain","op":91,"partition":0}
{"process":"d","kind":"ok","what":"drain","op":91,"partition":0,"offset":20,"end":30,"records":[[20,"late"]]}
"""
READ_BY_ANOTHER = """\
{"process":"c","kind":"ok","what":"poll","op":90,"partition":0,"records":[[4,"early"]]}
"""


def test_what_was_trimmed_may_have_been_no_record() -> None:
    """A member commits past an entry of the cluster's own that it met at offset 4. When retention
    let that go nobody can say what it was, unless a record is known to have been there."""
    passed_over = [replace(o, end=4) if o.op == 2 else o for o in good_history()]

    def unhandled(more: str) -> list[str]:
        history = passed_over + from_json_lines(more)
        return [v.message for v in check(history) if v.checker == "unhandled_positions"]

    assert unhandled(TRIMMED) == []
    assert any("5 is committed" in told for told in unhandled(READ_BY_ANOTHER + TRIMMED))


def test_a_grant_that_is_told_late_is_judged_by_its_epoch() -> None:
    """A member that was frozen hears of its grant when later owners have committed already."""
    history = good_history()
    late = history[1:3] + history[3:15] + history[:1] + history[15:]
    assert [v for v in check(late) if v.checker == "lost_commits"] == []


def test_an_operation_of_a_group_names_it() -> None:
    """Else nobody could tell what it is about."""
    with pytest.raises(HistoryUnreadable, match="a grant without `group`"):
        from_json_lines(GOOD.replace(',"group":"g"', "", 1))
