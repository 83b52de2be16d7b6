"""A recording is a history that the checkers and the search can read."""

from __future__ import annotations

from itertools import count

from jepsen_like.checkers import check
from jepsen_like.checkers.history import to_json_lines
from jepsen_like.checkers.history_file import from_json_lines
from jepsen_like.checkers.recording import Recording
from jepsen_like.linearizability.operations import appends


def test_a_recording_is_a_history() -> None:
    """Lines are numbered as they come, ends share their invocation's op, nothing is lost in the
    file; a refused condition tells the end that it met."""
    moments = count(1)
    recording = Recording(lambda: float(next(moments)))
    first = recording.invoke("a", "send", 0, value="x", idempotent=True, expected=0)
    second = recording.invoke("b", "send", 0, value="y", idempotent=True, expected=0)
    recording.ok(first, offset=0)
    recording.fail(second, "the condition", end=1)
    third = recording.invoke("b", "send", 0, value="z", idempotent=True)
    recording.info(third, "timeout")
    asked = recording.invoke("c", "end", 0)
    recording.ok(asked, end=1)
    drained = recording.invoke("d", "drain", 0)
    recording.ok(drained, records=((0, "x"),), end=1)

    history = from_json_lines(to_json_lines(recording.history))
    assert history == recording.history
    assert [o.index for o in history] == list(range(10))
    assert [o.time_ms for o in history] == [float(n) for n in range(1, 11)]
    assert [o.op for o in history] == [1, 2, 1, 2, 3, 3, 4, 4, 5, 5]
    assert check(history) == []
    assert [(o.process, o.outcome, o.offset, o.end) for o in appends(history)] == [
        ("a", "ok", 0, -1),
        ("b", "refused", -1, 1),
        ("c", "ok", -1, 1),
    ]
