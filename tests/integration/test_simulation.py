"""300 simulated clusters under faults, and that a seed decides everything."""

from __future__ import annotations

import pytest

from jepsen_like.sim.runner import digest_elsewhere, replay_command
from jepsen_like.sim.simulation import simulate

SEEDS = 300
CHUNK = 10


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
            failures.append(f"seed {seed}: {replay_command(seed)}\n    {shown}")
    assert not failures, "\n".join(failures)
    assert acknowledged > CHUNK * 100, "the clusters did hardly anything"


@pytest.mark.parametrize("seed", [1, 17])
def test_a_seed_replays_bit_for_bit(seed: int) -> None:
    """Trace, history, number of events and final time are the same in this process and in
    another one whose strings hash differently."""
    assert simulate(seed).digest == digest_elsewhere(seed, hash_seed=4_711 + seed)
