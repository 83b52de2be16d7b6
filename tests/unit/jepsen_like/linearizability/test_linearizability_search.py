"""The search: what is linearizable is, what is not is convicted, what takes too long is unknown."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jepsen_like.checkers.history import Operation, to_json_lines
from jepsen_like.linearizability.__main__ import main
from jepsen_like.linearizability.operations import Outcome, Timed, appends
from jepsen_like.linearizability.operations import to_json_lines as operation_lines
from jepsen_like.linearizability.search import (
    GoMissing,
    Model,
    SearchFailed,
    Verdict,
    build,
    search,
)

TIMEOUT_S = 30.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need a while to begin and to end a process."""
    monkeypatch.setattr("jepsen_like.linearizability.search.GRACE_SECONDS", 60.0)


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return build()
    except GoMissing as missing:
        pytest.skip(f"the linearizability search: {missing}")


def append(
    call: int,
    returned: int,
    outcome: Outcome = "ok",
    *,
    expected: int = -1,
    offset: int = -1,
    end: int = -1,
) -> Timed:
    return Timed(call, "0", "p", call, returned, "append", outcome, "", expected, 1, offset, end)


def told_end(call: int, returned: int, end: int) -> Timed:
    return Timed(call, "0", "p", call, returned, "end", "ok", end=end)


def topic(call: int, returned: int, what: str, value: str = "", outcome: Outcome = "ok") -> Timed:
    return Timed(call, "t", "p", call, returned, what, outcome, value)


def judge(program: Path, model: Model, operations: list[Timed]) -> Verdict:
    (verdict,) = search(program, model, operation_lines(operations), TIMEOUT_S)
    return verdict


GOOD_APPENDS = {
    "one after the other": [
        append(1, 2, expected=0, offset=1),  # 0 is the leader's own entry
        append(3, 4, expected=2, offset=2),
        told_end(5, 6, 3),
        append(7, 8, "refused", expected=2, end=3),
    ],
    "one of two that overlap wins": [
        append(1, 4, expected=0, offset=0),
        append(2, 3, "refused", expected=0, end=1),
    ],
    "an open one took effect": [
        append(1, 0, "open", expected=0),
        append(3, 4, "refused", expected=0, end=1),
        append(5, 6, expected=1, offset=2),
    ],
    "an open one took no effect": [
        append(1, 0, "open", expected=0),
        append(3, 4, expected=0, offset=0),
        append(5, 6, "refused", expected=0, end=1),
    ],
    "an open one took effect late": [
        append(1, 0, "open"),
        append(2, 3, expected=0, offset=0),
        append(4, 5, "refused", expected=1, end=2),
    ],
    "the end lies behind a new leader's entry": [
        append(1, 2, expected=0, offset=0),
        told_end(3, 4, 2),
        append(5, 6, expected=1, offset=2),
    ],
}

BAD_APPENDS = {
    "two won": [append(1, 4, expected=0, offset=0), append(2, 3, expected=0, offset=1)],
    "refused where the condition held": [
        append(1, 2, expected=0, offset=0),
        append(3, 4, "refused", expected=1, end=1),
    ],
    "the end went back": [append(1, 2, offset=0), told_end(3, 4, 2), told_end(5, 6, 1)],
    "the end hides an acknowledged record": [append(1, 2, offset=4), told_end(3, 4, 4)],
    "stored below what the end was": [told_end(1, 2, 3), append(3, 4, offset=2)],
    "a refusal from the past": [
        append(1, 2, offset=0),
        append(3, 4, offset=1),
        append(5, 6, "refused", expected=0, end=1),
    ],
    "stored before one that was acknowledged earlier": [
        append(1, 2, offset=5),
        append(3, 4, offset=4),
    ],
    "at the same place": [append(1, 3, offset=0), append(2, 4, offset=0)],
    "what took effect late is seen early": [
        append(1, 2, "refused", expected=7, end=1),
        append(3, 0, "open", offset=0),
    ],
}

GOOD_TOPICS = {
    "a life": [
        topic(1, 2, "inspect", outcome="refused"),
        topic(3, 4, "create", "a"),
        topic(5, 6, "create", "b", "refused"),
        topic(7, 8, "inspect", "a"),
        topic(9, 10, "alter", "c"),
        topic(11, 12, "inspect", "c"),
        topic(13, 14, "delete"),
        topic(15, 16, "alter", "d", "refused"),
        topic(17, 18, "delete", outcome="refused"),
        topic(19, 20, "create", "e"),
    ],
    "overlapping changes in either order": [
        topic(1, 2, "create", "a"),
        topic(3, 8, "alter", "b"),
        topic(4, 7, "alter", "c"),
        topic(5, 6, "inspect", "b"),
        topic(9, 10, "inspect", "c"),
    ],
    "an open deletion": [
        topic(1, 2, "create", "a"),
        topic(3, 0, "delete", outcome="open"),
        topic(4, 5, "inspect", "a"),
        topic(6, 7, "inspect", outcome="refused"),
    ],
}

BAD_TOPICS = {
    "created twice": [topic(1, 2, "create", "a"), topic(3, 4, "create", "b")],
    "a stale answer": [
        topic(1, 2, "create", "a"),
        topic(3, 4, "alter", "b"),
        topic(5, 6, "inspect", "a"),
    ],
    "a change that was made twice": [
        topic(1, 2, "create", "a"),
        topic(3, 12, "alter", "b"),
        topic(4, 5, "inspect", "b"),
        topic(6, 7, "alter", "c"),
        topic(8, 9, "inspect", "b"),
    ],
    "back from the dead": [
        topic(1, 6, "create", "a"),
        topic(2, 3, "delete"),
        topic(4, 5, "delete", outcome="refused"),
        topic(7, 8, "inspect", "a"),
    ],
    "refused and yet seen": [
        topic(1, 2, "create", "a"),
        topic(3, 8, "alter", "b", "refused"),
        topic(4, 5, "inspect", "b"),
        topic(6, 7, "delete"),
    ],
}


@pytest.mark.parametrize("name", GOOD_APPENDS)
def test_linearizable_appends(program: Path, name: str) -> None:
    """What a correct partition may answer."""
    verdict = judge(program, "append", GOOD_APPENDS[name])
    assert verdict.result == "linearizable"
    assert verdict.explained == verdict.operations == len(GOOD_APPENDS[name])
    assert verdict.left == ()


@pytest.mark.parametrize("name", BAD_APPENDS)
def test_appends_that_are_not(program: Path, name: str) -> None:
    """What none may, with the operation that can not be explained."""
    verdict = judge(program, "append", BAD_APPENDS[name])
    assert verdict.result == "violated"
    assert verdict.left


@pytest.mark.parametrize("name", GOOD_TOPICS)
def test_linearizable_topics(program: Path, name: str) -> None:
    """What a topic may live through."""
    assert judge(program, "topic", GOOD_TOPICS[name]).result == "linearizable"


@pytest.mark.parametrize("name", BAD_TOPICS)
def test_topics_that_are_not(program: Path, name: str) -> None:
    """What it may not."""
    verdict = judge(program, "topic", BAD_TOPICS[name])
    assert verdict.result == "violated"
    assert verdict.left


def test_keys_are_judged_one_by_one(program: Path) -> None:
    """What is wrong with one says nothing of another."""
    other = [
        Timed(one.line + 100, "1", "p", one.call, one.returned, "append", "ok", offset=one.offset)
        for one in [append(1, 2, offset=0), append(3, 4, offset=1)]
    ]
    lines = operation_lines([*BAD_APPENDS["two won"], *other])
    verdicts = search(program, "append", lines, TIMEOUT_S)
    assert [(v.key, v.result) for v in verdicts] == [("0", "violated"), ("1", "linearizable")]
    assert str(verdicts[0]).startswith(
        "key 0: 2 operations, violated: the longest order explains 1"
    )


def too_many_orders() -> list[Timed]:
    """Forty changes at once, and two answers that no order of them explains."""
    changes = [topic(10 + n, 1_000 + n, "alter", f"v{n}") for n in range(40)]
    seen = [topic(2_000, 2_001, "inspect", "v1"), topic(2_002, 2_003, "inspect", "v2")]
    return [topic(1, 2, "create", "v"), *changes, *seen]


def test_a_search_without_end_is_unknown(program: Path) -> None:
    """There are too many orders to try them all: nothing is known when the time is up."""
    (verdict,) = search(program, "topic", operation_lines(too_many_orders()), 0.2)
    assert verdict.result == "unknown"
    assert "unknown: no answer after 0." in str(verdict)


@pytest.mark.parametrize(
    ("model", "line", "reason"),
    [
        ("append", "nonsense", "line 1: invalid character"),
        ("append", '{"outcome":"ok","topic":1}', 'line 1: json: unknown field "topic"'),
        ("append", '{"outcome":"maybe"}', 'line 1: outcome is "maybe"'),
        ("append", '{"outcome":"ok","call":2,"return":1}', "line 1: returns at 1, before"),
        ("append", '{"outcome":"ok","what":"create"}', 'model append knows no operation "create"'),
        ("queue", "", 'model is "queue", not append or topic'),
    ],
)
def test_bad_input_is_refused(program: Path, model: Model, line: str, reason: str) -> None:
    """With the line and the reason."""
    with pytest.raises(SearchFailed) as caught:
        search(program, model, line, TIMEOUT_S)
    assert reason in str(caught.value)


def history(*, second_offset: int) -> list[Operation]:
    """Two sends, the second after the first; one that never ended and one that was refused."""
    first = Operation(0, 0, "a", "invoke", "send", 1, 0, "x", expected=0)
    second = Operation(2, 0, "b", "invoke", "send", 2, 0, "y", idempotent=True)
    third = Operation(4, 0, "a", "invoke", "send", 3, 0, "z", idempotent=True)
    fourth = Operation(5, 0, "b", "invoke", "send", 4, 0, "u", expected=1)
    asked = Operation(7, 0, "c", "invoke", "end", 5, 0)
    return [
        first,
        Operation(1, 0, "a", "ok", "send", 1, 0, offset=1),
        second,
        Operation(3, 0, "b", "ok", "send", 2, 0, offset=second_offset),
        third,
        fourth,
        Operation(6, 0, "b", "fail", "send", 4, 0, end=3, error="condition"),
        asked,
        Operation(8, 0, "c", "ok", "end", 5, 0, end=4),
    ]


def test_histories_become_operations() -> None:
    """Moments are lines. The drain tells the place of what was never answered, or that it is not
    there; what was refused for no reason that tells is left out."""
    undrained = history(second_offset=2)
    timed = appends(undrained)
    assert [(o.line, o.call, o.returned, o.what, o.outcome) for o in timed] == [
        (1, 0, 1, "append", "ok"),
        (3, 2, 3, "append", "ok"),
        (5, 4, 4, "append", "open"),
        (6, 5, 6, "append", "refused"),
        (8, 7, 8, "end", "ok"),
    ]
    records = ((1, "x"), (2, "y"))
    whole = Operation(9, 0, "d", "ok", "drain", 6, 0, records=records)
    assert [o.line for o in appends([*undrained, whole])] == [1, 3, 6, 8]
    whole = Operation(9, 0, "d", "ok", "drain", 6, 0, records=(*records, (5, "z")))
    found = [o for o in appends([*undrained, whole]) if o.line == 5]
    assert [(o.outcome, o.offset) for o in found] == [("open", 5)]
    failed = Operation(9, 0, "e", "invoke", "send", 7, 0, "w")
    why = Operation(10, 0, "e", "fail", "send", 7, 0, error="too large")
    assert len(appends([*undrained, failed, why])) == len(timed)


def test_the_command(program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Histories, operations on topics, exit codes."""
    del program
    path = tmp_path / "history.jsonl"
    path.write_text(to_json_lines(history(second_offset=2)))
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == "key 0: 5 operations, linearizable\n"
    path.write_text(to_json_lines(history(second_offset=0)))
    assert main([str(path), "--json"]) == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert told["result"] == "violated"
    path.write_text(operation_lines(BAD_TOPICS["created twice"]))
    assert main([str(path), "--model", "topic"]) == 1
    assert "not those of lines 3" in capsys.readouterr().out
    assert main([str(path)]) == 2
    assert "line 1: `kind` is missing" in capsys.readouterr().err
    path.write_text(operation_lines(too_many_orders()))
    assert main([str(path), "--model", "topic", "--timeout", "0.2"]) == 3
    path.write_text("")
    assert main([str(path)]) == 2


def test_without_go_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No Go, or none that can build: a sentence, not a traceback."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    path = tmp_path / "history.jsonl"
    path.write_text(to_json_lines(history(second_offset=2)))
    assert main([str(path)]) == 2
    assert "install it from https://go.dev/dl" in capsys.readouterr().err
    broken = tmp_path / "go"
    broken.write_text("#!/bin/sh\necho module lookup disabled >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda *_, **__: os.fspath(broken))
    with pytest.raises(GoMissing, match="module lookup disabled"):
        build(tmp_path / "search")
