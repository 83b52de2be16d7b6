"""300 simulated clusters under faults, and that a seed decides everything."""

from __future__ import annotations

import pytest

from jepsen_like.sim.narrowing import Narrowing, replay_command
from jepsen_like.sim.options import draw_options
from jepsen_like.sim.runner import digest_elsewhere, try_narrowed
from jepsen_like.sim.shrink import shrink
from jepsen_like.sim.simulation import simulate

SEEDS = 300
CHUNK = 10
SHRINK_S = 30.0


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    """Nothing acknowledged is lost, doubled or reordered; replicas agree; Raft's invariants hold
    after every turn."""
    failures: list[str] = []
    acknowledged = 0
    for seed in range(first, first + CHUNK):
        outcome = simulate(seed)
        acknowledged += outcome.counts["acknowledged"]
        if outcome.violations:
            shown = "\n    ".join(outcome.violations[:5])
            shrunk = None if failures else shrink(seed, try_narrowed, within_s=SHRINK_S)
            smallest = replay_command(seed, shrunk.narrowing) if shrunk else "see the first one"
            failures.append(
                f"seed {seed}: {replay_command(seed)}\n    {shown}\n    smallest case: {smallest}"
            )
    assert not failures, "\n".join(failures)
    assert acknowledged > CHUNK * 100, "the clusters did hardly anything"


@pytest.mark.parametrize("seed", [1, 17])
def test_a_seed_replays_bit_for_bit(seed: int) -> None:
    """Trace, history, number of events and final time are the same in this process and in
    another one whose strings hash differently."""
    assert simulate(seed).digest == digest_elsewhere(seed, hash_seed=4_711 + seed)


def test_a_narrowed_seed_replays_bit_for_bit() -> None:
    """With less of it too, as the arguments of the command say."""
    narrowing = Narrowing(
        without=("bit rot", "pause one"), skip=(2, 3), strikes=9, operations=60, load_ms=3_000
    )
    outcome = simulate(1, narrowing.apply(draw_options(1)))
    assert outcome.counts["operations"] < 500
    assert outcome.digest == digest_elsewhere(1, narrowing, hash_seed=7)
