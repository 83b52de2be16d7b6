"""Consumer groups in the simulator: members are struck, stale commits are tried, and all is judged."""

from __future__ import annotations

from dataclasses import replace

from jepsen_like.sim.options import GROUP_FAULTS, SimOptions, draw_options
from jepsen_like.sim.runs.narrowing import Narrowing
from jepsen_like.sim.runs.runner import digest_elsewhere
from jepsen_like.sim.simulation import Outcome, simulate

SEEDS_MAX = 10
"""Until all that a test wants to see was seen."""


def three(seed: int, faults: tuple[str, ...]) -> SimOptions:
    """Three nodes, two groups of three."""
    drawn = replace(draw_options(seed), nodes=3, controllers=3, replication_factor=3, faults=faults)
    return replace(
        drawn,
        fault_pause_ms=(0.0, 400.0),
        load_ms=6_000.0,
        records_per_producer=100,
        groups=2,
        members=3,
        session_ms=1_000,
        rebalance_ms=1_000,
        library_share=0.5,
    )


def struck(outcome: Outcome) -> set[str]:
    """Faults of groups that came."""
    return {name for name in GROUP_FAULTS if outcome.strikes[name]}


def test_whatever_happens_to_members_ownership_stays_disjoint() -> None:
    """Every fault of groups strikes, with leaders that die; commits count, stale ones are refused,
    and coordinators follow their logs. As many seeds as it takes to see all of that."""
    faults = (*GROUP_FAULTS, "kill one", "power cut leader")
    seen: set[str] = set()
    commits = refused = 0
    for seed in range(SEEDS_MAX):
        outcome = simulate(seed, replace(three(seed, faults), library_share=0.0))
        assert outcome.violations == []
        assert outcome.counts["grants"]
        assert outcome.counts["coordinator records"] > outcome.counts["grants"]
        commits += outcome.counts["commits"]
        refused += outcome.counts["commits refused"]
        seen |= struck(outcome)
        if seen == set(GROUP_FAULTS) and commits > 50 and refused:
            break
    else:
        raise AssertionError(f"{SEEDS_MAX} seeds: {seen}, {commits} commits, {refused} refused")


def test_members_made_with_the_library_keep_its_promises() -> None:
    """They freeze beyond their session, lose what they own and read on: nothing is handed out by
    one that may own it no more, nothing is skipped, and all is committed in the end."""
    faults = ("member freezes", "member hangs", "reset offsets")
    freezes, members = 0, set[str]()
    for seed in range(SEEDS_MAX):
        options = replace(three(seed, faults), library_share=1.0, groups=1, load_ms=4_000.0)
        outcome = simulate(seed, options)
        assert outcome.violations == []
        freezes += outcome.strikes["member freezes"]
        polls = [o for o in outcome.history if o.what == "poll" and o.group]
        assert all(o.grant for o in polls)
        members |= {o.member for o in polls}
        if freezes > 2 and len(members) > 3:
            break
    else:
        raise AssertionError(f"{SEEDS_MAX} seeds: {freezes} freezes, {members}")


def test_a_seed_without_groups_has_nothing_of_them() -> None:
    """Some seeds draw none, and every seed can do without."""
    drawn = [draw_options(seed) for seed in range(200)]
    assert {options.groups for options in drawn} == {0, 1, 2}
    for options in drawn:
        assert bool(set(options.faults) & set(GROUP_FAULTS)) <= bool(options.groups)
    seed = next(o.seed for o in drawn if o.groups)
    narrowing = Narrowing(groups=0, operations=20, load_ms=500)
    outcome = simulate(seed, narrowing.apply(draw_options(seed)))
    assert outcome.violations == []
    assert not [o for o in outcome.history if o.group]


def test_a_seed_with_groups_replays_bit_for_bit() -> None:
    """Here and in a process whose strings hash differently."""
    seed = next(
        s
        for s in range(200)
        if draw_options(s).groups == 2 and "delete group" in draw_options(s).faults
    )
    narrowing = Narrowing(operations=60, load_ms=4_000, members=2)
    outcome = simulate(seed, narrowing.apply(draw_options(seed)))
    assert outcome.counts["grants"]
    assert outcome.digest == digest_elsewhere(seed, narrowing, hash_seed=7)
