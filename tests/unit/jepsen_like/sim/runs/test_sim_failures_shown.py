"""What a run of many seeds shows: failures shrunk, with options and trace; faults that never were."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from jepsen_like.sim.options import (
    COUNTED,
    EIO,
    FAULTS,
    OPERATORS,
    WITNESSED,
    SimOptions,
    draw_options,
)
from jepsen_like.sim.runs.runner import (
    COVERAGE_SEEDS,
    SHRUNK_MAX,
    Summary,
    Totals,
    failure_of,
    run_for,
    run_many,
)
from jepsen_like.sim.runs.shrink import Tried
from jepsen_like.sim.runs.struck import add_struck, never_struck, struck_shown
from jepsen_like.sim.trace import LINES_SHOWN_MAX

STRUCK = dict.fromkeys(COUNTED, 1)


def _sound(seed: int) -> Summary:
    return Summary(seed, [], 10, 1.0, 0.1, STRUCK)


def _failed(seed: int) -> Summary:
    trace = [f"line {number} of seed {seed}" for number in range(100)]
    return Summary(seed, ["Broken: it"], 10, 1.0, 0.1, STRUCK, trace=trace)


def _tried(options: SimOptions) -> Tried:
    """Fails with two producers, whatever else."""
    fails = options.producers >= 2
    return Tried(["Broken: it"] if fails else [], {}, 0, 0.0, [f"narrow trace of {options.seed}"])


def test_a_failure_is_shown_as_its_smallest_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the options that are left, commands for it and for all of it, and its own trace."""
    monkeypatch.setattr("jepsen_like.sim.runs.runner.try_narrowed", _tried)
    seed = next(s for s in range(100) if draw_options(s).consumers == 2)
    shown = failure_of(_failed(seed), 10.0)
    assert f"  replay: make sim SEED={seed}    " in shown
    assert "the smallest case of" in shown
    assert "CONSUMERS=0" in shown
    assert f"{'consumers':<24} 0\n" in shown
    assert shown.endswith(f"narrow trace of {seed}")


def test_without_shrinking_it_is_shown_as_it_is() -> None:
    """With its own options, and the end of its trace."""
    shown = failure_of(_failed(5), 0.0)
    assert str(draw_options(5)) in shown
    lines = [line for line in shown.splitlines() if "of seed 5" in line]
    assert lines == [f"line {number} of seed 5" for number in range(100 - LINES_SHOWN_MAX, 100)]


def test_a_seed_that_passes_again_is_not_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said, with what was seen."""
    monkeypatch.setattr(
        "jepsen_like.sim.runs.runner.try_narrowed", lambda options: Tried([], {}, 0, 0.0)
    )
    shown = failure_of(_failed(5), 10.0)
    assert "Broken: it" in shown
    assert "NOT DETERMINISTIC" in shown


def test_the_first_failures_are_shrunk_before_they_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each comes once, those after the first few as they are; the run is not green."""
    failing = range(2, 2 + SHRUNK_MAX + 2)
    monkeypatch.setattr("jepsen_like.sim.runs.runner.try_narrowed", _tried)
    monkeypatch.setattr(
        "jepsen_like.sim.runs.runner.summarize",
        lambda seed: _failed(seed) if seed in failing else _sound(seed),
    )
    assert not run_many(0, 10, 1, shrink_s=10.0)
    shown = capsys.readouterr().out
    assert shown.count("FAILED seed") == len(failing)
    assert shown.count("the smallest case of") == SHRUNK_MAX
    assert [seed for seed in failing if f"narrow trace of {seed}" in shown] == [2, 3, 4]
    assert [seed for seed in failing if f"line 99 of seed {seed}" in shown] == [5, 6]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_tells_what_it_did(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    """It begins no more seeds. Of a run for some time the line is kept; one of so many seeds was
    not green. Afterwards signals mean what they meant."""

    def summarize(seed: int) -> Summary:
        if seed % 10 == 3:
            os.kill(os.getpid(), number)
        return _sound(seed)

    monkeypatch.setattr("jepsen_like.sim.runs.runner.summarize", summarize)
    monkeypatch.setattr("jepsen_like.sim.runs.runner.RESULTS", tmp_path / "seeds.txt")
    before = signal.getsignal(number)
    assert not run_many(0, 10, 1, shrink_s=0.0)
    assert "4 seeds from 0: 0 failed" in capsys.readouterr().out
    assert run_for(20, 1.0, 1, shrink_s=0.0)
    assert "4 seeds from 20: 0 failed" in (tmp_path / "seeds.txt").read_text()
    assert signal.getsignal(number) == before


def test_a_fault_that_never_took_effect_fails_a_long_run() -> None:
    """Errors of the disk, and what operators ask for, as well as what strikes at once."""
    assert set(COUNTED) == {*FAULTS, *EIO, "index rot", *WITNESSED}
    assert not never_struck(STRUCK)
    for missing in ("kill one", "EIO on fsync", OPERATORS[0]):
        totals = Totals()
        for seed in range(COVERAGE_SEEDS):
            assert totals.green
            totals.add(Summary(seed, [], 1, 1.0, 0.1, {**STRUCK, missing: 0}))
        assert totals.never_struck == [missing]
        assert not totals.green
        assert f"NEVER TRIED: {missing}" in str(totals)
        totals.add(_sound(COVERAGE_SEEDS))
        assert totals.green


def test_counts_of_many_processes_are_added(tmp_path: Path) -> None:
    """Who comes last has the sum; a part that is run again counts once."""
    parts = range(0, 30, 10)
    assert add_struck(tmp_path, 0, {"kill one": 1}, parts) is None
    assert add_struck(tmp_path, 20, {"kill one": 2}, parts) is None
    assert add_struck(tmp_path, 20, {"kill one": 3}, parts) is None
    total = add_struck(tmp_path, 10, {"EIO on open": 5}, parts)
    assert total == {"kill one": 4, "EIO on open": 5}
    met = ("kill one", "EIO on open")
    assert never_struck(total) == [name for name in COUNTED if name not in met]
    assert struck_shown(total).startswith("kill one 4, power cut one 0, ")
