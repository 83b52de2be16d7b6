"""The command says what it judged, and how to see a failure again."""

from __future__ import annotations

import sys

import pytest

from jepsen_like.crash_states import __main__ as command
from jepsen_like.crash_states import runs
from jepsen_like.crash_states.judge import Violation


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command here."""
    monkeypatch.setattr(sys, "argv", ["crash_states", "--processes", "1", *arguments])
    return command.main()


def test_a_table_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each workload with its states, and the sum."""
    assert called(monkeypatch, "--workload", "votes", "--states", "12") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("[1/1] votes: ")
    assert [line.split()[0] for line in lines[1:]] == ["workload", "votes", "all", "seed"]


def test_a_failure_is_printed_with_what_was_lost_and_how_to_replay_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status is 1; the command that is printed finds the same state."""

    def refuse(*_: object) -> None:
        raise Violation("as told")

    monkeypatch.setattr(runs, "judge", refuse)
    assert called(monkeypatch, "--workload", "votes", "--states", "12") == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("FAILED votes 1:") for line in lines)
    assert "  as told" in lines
    assert any("lost, in whole or in part" in line for line in lines)
    replay = next(line for line in lines if line.startswith("  replay: "))
    state = replay.split()[-1]
    assert called(monkeypatch, "--workload", "votes", "--state", state) == 1
    assert "  FAILED: as told" in capsys.readouterr().out


def test_a_sound_state_and_no_state(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One is judged again; a name that names nothing says so."""
    assert called(monkeypatch, "--workload", "votes", "--state", "1:62/all") == 0
    assert "  sound" in capsys.readouterr().out
    assert called(monkeypatch, "--workload", "votes", "--state", "1:62/some") == 1
    assert "no state" in capsys.readouterr().out
