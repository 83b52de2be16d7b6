"""Looks for a bug that was planted in this process, in the way that its patch names.

What is simulated or judged is imported here only when the bug is planted.
"""

from __future__ import annotations

import sys
from typing import assert_never

from jepsen_like.planted.bugs import ByCrashStates, BySeeds, ByTest, PlantedBug


def look_for(bug: PlantedBug, *, shrink_s: float) -> bool:
    """Print what came of it; True when the bug was caught. The seed that shows it is shrunk for
    at most `shrink_s` seconds."""
    match bug.way:
        case BySeeds() as seeds:
            return _by_seeds(bug, seeds, shrink_s)
        case ByCrashStates() as crash_states:
            return _by_crash_states(bug, crash_states)
        case ByTest(test):
            return _by_test(bug, test)
        case _:
            assert_never(bug.way)


def _by_seeds(bug: PlantedBug, way: BySeeds, shrink_s: float) -> bool:
    from jepsen_like.sim.options import draw_options
    from jepsen_like.sim.runs.runner import print_shrunk
    from jepsen_like.sim.simulation import simulate

    for tried, seed in enumerate(way.seeds, 1):
        outcome = simulate(seed, draw_options(seed))
        if outcome.violations:
            print(
                f"{bug.name}: caught by seed {seed},"
                f" the {ordinal(tried)} of at most {way.at_most} from {way.first}"
            )
            print(f"  {outcome.violations[0]}")
            if shrink_s > 0:
                print_shrunk(seed, shrink_s)
            return True
    print(f"{bug.name}: NOT caught within {way.at_most} seeds from {way.first}")
    return False


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th; 11th, 12th, 13th."""
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _by_crash_states(bug: PlantedBug, way: ByCrashStates) -> bool:
    from jepsen_like.crash_states.runs import examine, workload_named

    outcome = examine(workload_named(way.workload), way.states, seed=1)
    judged = f"{outcome.states} crash states of {way.workload}"
    if not outcome.failed:
        print(f"{bug.name}: NOT caught by {judged}")
        return False
    print(f"{bug.name}: caught by {outcome.failed} of {judged}")
    print(f"  {outcome.failures[0].state}: {outcome.failures[0].reason}")
    return True


def _by_test(bug: PlantedBug, test: str) -> bool:
    import pytest

    outcome = pytest.main(["-p", "no:cacheprovider", "--tb=line", test])
    if bug.module not in sys.modules:
        print(f"{bug.name}: NOT planted, {test} does not import {bug.module}")
        return False
    if outcome is not pytest.ExitCode.TESTS_FAILED:
        print(f"{bug.name}: NOT caught by {test}")
        return False
    print(f"{bug.name}: caught by {test}")
    return True
