"""Runs many seeds on all cores, or one seed twice with its trace."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from jepsen_like.checkers.history import to_json_lines
from jepsen_like.sim.options import FAULTS, draw_options
from jepsen_like.sim.simulation import Outcome, simulate

VIOLATIONS_SHOWN_MAX = 8


@dataclass(frozen=True, slots=True)
class Summary:
    """What a worker tells of a seed."""

    seed: int
    violations: list[str]
    events: int
    virtual_s: float
    cpu_s: float
    strikes: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def summarize(seed: int) -> Summary:
    """Run a seed; in a worker process."""
    outcome = simulate(seed)
    return Summary(
        seed=seed,
        violations=outcome.violations,
        events=outcome.events,
        virtual_s=outcome.virtual_s,
        cpu_s=outcome.cpu_s,
        strikes=outcome.strikes,
        counts=outcome.counts,
    )


def replay_command(seed: int) -> str:
    """What to type to see it again."""
    return f"make sim SEED={seed}    (or: python -m jepsen_like.sim --seed {seed})"


def run_many(start: int, count: int, processes: int) -> bool:
    """Run seeds, print each failure as it comes and a summary; True when all are green."""
    began = time.perf_counter()
    strikes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    failed: list[int] = []
    events, cpu_s, slowest = 0, 0.0, (0.0, 0)
    for summary in _summaries(range(start, start + count), processes):
        strikes.update(summary.strikes)
        counts.update(summary.counts)
        events += summary.events
        cpu_s += summary.cpu_s
        slowest = max(slowest, (summary.cpu_s, summary.seed))
        if summary.violations:
            failed.append(summary.seed)
            print_violations(summary.seed, summary.violations)
            print(f"  replay: {replay_command(summary.seed)}", flush=True)
    elapsed = time.perf_counter() - began
    print("faults: " + ", ".join(f"{name} {strikes[name]}" for name in FAULTS))
    print("counts: " + ", ".join(f"{name} {number:,}" for name, number in counts.items()))
    print(
        f"{count} seeds from {start}: {len(failed)} failed {sorted(failed) if failed else ''}"
        f" | {count / elapsed:.2f} seeds/s, {cpu_s / count:.2f} CPU-seconds a seed (slowest:"
        f" {slowest[0]:.2f}, seed {slowest[1]}) | {events:,} events, {events / cpu_s:,.0f}/s"
        f" a core | {strikes.total():,} faults"
    )
    return not failed


def _summaries(seeds: range, processes: int) -> Iterator[Summary]:
    if processes == 1 or len(seeds) == 1:
        yield from map(summarize, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(summarize, seeds)


def print_violations(seed: int, violations: list[str]) -> None:
    """The first few, one a line."""
    print(f"FAILED seed {seed}: {len(violations)} violations")
    for violation in violations[:VIOLATIONS_SHOWN_MAX]:
        print(f"  - {violation}")
    if len(violations) > VIOLATIONS_SHOWN_MAX:
        print(f"  - and {len(violations) - VIOLATIONS_SHOWN_MAX} more")


def run_twice(seed: int, history_file: str) -> bool:
    """Run a seed here and in a process with other string hashes; print its trace."""
    print(f"seed {seed}:\n{draw_options(seed)}")
    outcome = simulate(seed)
    for line in outcome.trace:
        print(line)
    if history_file:
        with open(history_file, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(to_json_lines(outcome.history))
    again = digest_elsewhere(seed, hash_seed=seed % 1_000 + 1)
    print_result(outcome)
    if again != outcome.digest:
        print(f"NOT DETERMINISTIC: {outcome.digest} and {again} are the digests of two runs")
        return False
    print(f"both runs have the digest {again}")
    return not outcome.violations


def print_result(outcome: Outcome) -> None:
    """Counts and violations of one seed."""
    faults = {name: number for name, number in outcome.strikes.items() if number}
    print(f"faults: {faults}")
    print(f"counts: {outcome.counts}")
    print(
        f"{outcome.events:,} events, {outcome.virtual_s:.1f} virtual seconds,"
        f" {outcome.cpu_s:.2f} CPU-seconds"
    )
    if outcome.violations:
        print_violations(outcome.seed, outcome.violations)
    else:
        print("no violation")


def digest_elsewhere(seed: int, *, hash_seed: int) -> str:
    """The digest of a run of the seed in another process."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(  # this module, with a number
        [sys.executable, "-m", "jepsen_like.sim", "--digest", str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[-1]
