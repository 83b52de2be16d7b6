"""A run in a child of its own: result, defect, sudden death."""

from __future__ import annotations

import os
import signal

import pytest

from jepsen_like.sim.runs.apart import ChildDied, call_apart
from jepsen_like.sim.runs.runner import summarize


def test_results_come_back() -> None:
    """Large ones, too, with what the child's CPU time was; nothing that it did is seen here."""
    seen: list[int] = []

    def child() -> bytes:
        seen.append(os.getpid())
        return bytes(1_000_000)

    result, cpu_s = call_apart(child)
    assert len(result) == 1_000_000
    assert cpu_s > 0.0
    assert seen == []


def test_errors_come_back() -> None:
    """As they were raised."""

    def child() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        call_apart(child)


def test_a_child_that_dies_is_named() -> None:
    """By its signal, or its exit code."""
    with pytest.raises(ChildDied, match="SIGKILL"):
        call_apart(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(ChildDied, match="exit code 3"):
        call_apart(lambda: os._exit(3))


def test_a_seed_whose_process_dies_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not judged."""

    def dies(seed: int) -> None:
        os._exit(9)

    monkeypatch.setattr("jepsen_like.sim.runs.runner._summarize", dies)
    assert summarize(1).violations == ["the process of a run died: exit code 9"]
