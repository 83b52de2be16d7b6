"""Options are drawn by name, seeds are narrowed, failing ones are shrunk."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from jepsen_like.sim.options import FAULTS, SimOptions, draw_options
from jepsen_like.sim.runs.narrowing import Narrowing, faults_named, hyphened, replay_command
from jepsen_like.sim.runs.shrink import Tried, shrink


def test_a_seed_draws_the_same_options_again() -> None:
    """And another seed others; every fault is drawn by some seed."""
    assert draw_options(3) == draw_options(3)
    drawn = [draw_options(seed) for seed in range(200)]
    assert len(set(map(str, drawn))) == 200
    assert {fault for options in drawn for fault in options.faults} == set(FAULTS)


def test_what_is_left_out_changes_nothing_else() -> None:
    """A narrowing changes the fields it names and no other; more than was drawn changes none."""
    options = next(o for o in map(draw_options, range(100)) if o.producers == 3)
    narrowed = Narrowing(without=("bit rot",), strikes=4, producers=2).apply(options)
    changed = {
        f.name for f in fields(options) if getattr(options, f.name) != getattr(narrowed, f.name)
    }
    assert changed == {"without", "strikes_max", "producers"}
    assert narrowed.faults == options.faults
    assert narrowed.record_pause_ms == options.record_pause_ms
    assert Narrowing(operations=10**6, load_ms=10**6, producers=9).apply(options) == options


def test_a_narrowing_is_written_as_arguments() -> None:
    """Of make, and of the module; names of faults are read back."""
    narrowing = Narrowing(without=("bit rot", "pause one"), skip=(1, 5), operations=40)
    assert replay_command(17, narrowing) == (
        "make sim SEED=17 WITHOUT=bit-rot,pause-one SKIP=1,5 OPERATIONS=40    (or: python -m"
        " jepsen_like.sim --seed 17 --without bit-rot,pause-one --skip 1,5 --operations 40)"
    )
    assert faults_named(",".join(map(hyphened, FAULTS))) == FAULTS
    with pytest.raises(ValueError, match="no such fault: bitrot"):
        faults_named("bitrot")


SEED = next(s for s in range(1_000) if len(draw_options(s).faults) == 8)
ALL = draw_options(SEED)


def _defect(options: SimOptions) -> Tried:
    """A made-up node: it fails when the second kind of fault strikes at number 12 and at least 20
    records were sent by two producers."""
    strikes = min(60, options.strikes_max if options.strikes_max is not None else 60)
    fault = ALL.faults[1]
    fails = (
        strikes > 12
        and 12 not in options.skip
        and fault not in options.without
        and options.records_per_producer >= 20
        and options.producers >= 2
        and options.load_ms >= 3_000
    )
    struck = {kind: 5 for kind in ALL.faults if kind not in options.without}
    return Tried(["Broken: it"] if fails else [], struck, strikes, 3_100.0)


def test_a_failing_seed_is_shrunk_to_what_it_needs() -> None:
    """All that does not matter is left out, and the result still fails."""
    shrunk = shrink(SEED, _defect)
    assert shrunk is not None
    assert shrunk.finished
    narrowing = shrunk.narrowing
    assert narrowing.strikes == 13
    assert narrowing.skip == tuple(range(12))
    assert set(narrowing.without) == set(ALL.faults) - {ALL.faults[1]}
    assert narrowing.consumers == 0
    assert narrowing.load_ms == 3_500
    assert narrowing.operations is not None
    assert 20 <= narrowing.operations < 40
    assert _defect(narrowing.apply(ALL)).violations == shrunk.violations == ["Broken: it"]


def test_another_violation_is_another_case() -> None:
    """A run that fails in another way does not count; nor does a seed that passes."""

    def other(options: SimOptions) -> Tried:
        return replace(_defect(options), violations=["A: 1" if options == ALL else "B: 1"])

    shrunk = shrink(SEED, other)
    assert shrunk is not None
    assert shrunk.narrowing == Narrowing()
    assert shrink(SEED, lambda options: Tried([], {}, 0, 0.0)) is None


def test_time_ends_it() -> None:
    """What was found by then is kept."""
    shrunk = shrink(SEED, _defect, within_s=-1.0)
    assert shrunk is not None
    assert not shrunk.finished
    assert shrunk.runs == 1
