"""When the benchmark says that everybody reads again, and how it shows the figures."""

from __future__ import annotations

from benchmarks.groups.changes import Figures, Took
from benchmarks.groups.reading import Reading
from benchmarks.groups.report import report


def settled() -> Reading:
    """Two members with two partitions each, that have read."""
    reading = Reading(4)
    reading.assigned("a", [0, 1])
    reading.assigned("b", [2, 3])
    assert reading.all_read
    return reading


def test_an_arrival_is_over_when_what_moved_has_delivered() -> None:
    """Not before the arrived one has its part, not with a record that is older than the change,
    and not with one that the owner before got."""
    reading = settled()
    change = reading.begin(10.0, joined="c", part=1)
    assert not reading.all_read
    reading.read("a", 0, 10.1, 10.3)
    reading.revoked("a", [1])
    assert not reading.all_read
    assert reading.assigned("c", [1]) == [1]
    assert not reading.all_read
    reading.read("c", 1, 9.9, 10.4)
    reading.read("a", 1, 10.1, 10.4)
    assert not reading.all_read
    reading.read("c", 1, 10.2, 10.5)
    assert reading.all_read
    reading.read("c", 1, 10.3, 10.9)
    assert (change.moved, change.read_again_s) == (1, 10.5)
    assert round(change.stayed_worst_s, 6) == 0.2


def test_lines_of_two_processes_may_cross() -> None:
    """The next owner tells before the one that gave up."""
    reading = settled()
    reading.begin(10.0, joined="c", part=1)
    reading.assigned("c", [1])
    reading.revoked("a", [1])
    assert reading.owner[1] == "c"
    reading.read("c", 1, 10.2, 10.5)
    assert reading.all_read


def test_a_member_that_is_gone() -> None:
    """All of its partitions are read by others; one that is taken and given back counts too."""
    reading = settled()
    change = reading.begin(10.0)
    reading.gone("b")
    assert not reading.all_read
    assert reading.missing().startswith("2 partitions without an owner ([2, 3]")
    reading.revoked("a", [0])
    reading.assigned("a", [0, 2, 3])
    for partition, at_s in ((2, 10.6), (3, 10.8), (0, 10.7)):
        assert not reading.all_read
        reading.read("a", partition, 10.5, at_s)
    assert reading.all_read
    assert (change.moved, change.read_again_s) == (3, 10.8)


def test_the_figures_side_by_side() -> None:
    """Medians, ratios, goals, and who failed."""
    ours, peer = Figures(commits_per_s=3_000), Figures(commits_per_s=1_000)
    for seconds in (0.3, 0.1, 0.11):
        ours.add("arrives", Took(seconds, 9, 0.01))
    ours.add("leaves", Took(0.4, 9, 0.02))
    peer.add("arrives", Took(5.5, 9, 0.3))
    lines = report("group of 3", ours, {"old": peer, "new": "gave up: no"}).splitlines()
    assert lines[0].split() == ["group", "of", "3", "ours", "old", "goal"]
    assert lines[1].split() == [
        "a",
        "member",
        "arrives",
        "[s]",
        "0.11",
        "5.5",
        "(50.0",
        "×)",
        "≤",
        "0.2",
        "ok",
    ]
    assert lines[2].split() == [
        "a",
        "member",
        "leaves",
        "cleanly",
        "[s]",
        "0.4",
        "–",
        "≤",
        "0.2",
        "short",
    ]
    assert "3,000  1,000 (3.0 ×)" in lines[3]
    assert lines[4] == "new: gave up: no"
    assert lines[5].endswith("a record took at most 0.02 s meanwhile")
