"""Thousands of simulations fit into one process."""

from __future__ import annotations

import gc

from jepsen_like.sim.simulation import simulate


def test_a_simulation_leaves_no_garbage() -> None:
    """What a run left would be frozen by the next one, and never be collected."""
    simulate(7)
    gc.collect()
    outcome = simulate(1)
    assert not outcome.violations
    assert gc.collect() < 1_000
