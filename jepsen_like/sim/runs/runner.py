"""Runs many seeds on all cores, or one seed twice with its trace.

A run of many that is interrupted (Ctrl-C, SIGTERM) begins no more seeds, and tells of those it did.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from jepsen_like.checkers.history import to_json_lines
from jepsen_like.sim.options import FAULTS, SimOptions, draw_options
from jepsen_like.sim.runs.apart import ChildDied, call_apart
from jepsen_like.sim.runs.failure import Failure, shrink_failure, violations_shown
from jepsen_like.sim.runs.narrowing import Narrowing
from jepsen_like.sim.runs.shrink import Tried
from jepsen_like.sim.runs.struck import never_struck, struck_shown
from jepsen_like.sim.simulation import NOT_JUDGED, Outcome, simulate
from jepsen_like.sim.trace import LINES_SHOWN_MAX

COVERAGE_SEEDS: Final = 200
"""From so many seeds on, a fault that never took effect fails the run."""
PROGRESS_SEEDS: Final = 100
NOT_DETERMINISTIC: Final = "NOT DETERMINISTIC: the seed passed when it was run again"
SHRUNK_MAX: Final = 3
"""Failing seeds of a run that are shrunk; those after them are shown as they are."""
INTERRUPTIONS: Final = (signal.SIGINT, signal.SIGTERM)
PR_SET_PDEATHSIG: Final = 1
"""Of Linux: a signal to be sent when the parent ends."""
RESULTS: Final = Path(__file__).parents[2] / "results" / "seeds.txt"
"""One line a long run: date, commit, range, failures, seeds/s."""


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
    trace: list[str] = field(default_factory=list)
    """The last lines, of a seed that failed."""


def summarize(seed: int) -> Summary:
    """Run a seed in a process of its own; what else that process cost counts, too."""
    try:
        summary, cpu_s = call_apart(lambda: _summarize(seed))
    except ChildDied as death:
        return Summary(seed, [str(death)], 0, 0.0, 0.0)
    return replace(summary, cpu_s=cpu_s)


def _summarize(seed: int) -> Summary:
    outcome = simulate(seed, process_ends=True)
    return Summary(
        seed=seed,
        violations=outcome.violations,
        events=outcome.events,
        virtual_s=outcome.virtual_s,
        cpu_s=outcome.cpu_s,
        strikes=outcome.strikes,
        counts=outcome.counts,
        trace=outcome.trace[-LINES_SHOWN_MAX:] if outcome.violations else [],
    )


def try_narrowed(options: SimOptions) -> Tried:
    """A run for the shrinker."""
    outcome = simulate(options.seed, options)
    return Tried(
        outcome.violations,
        outcome.strikes,
        outcome.strikes_tried,
        outcome.load_ms,
        outcome.trace[-LINES_SHOWN_MAX:],
    )


def print_shrunk(seed: int, within_s: float) -> None:
    """Shrink a failing seed and print what is left of it, with the command that replays it."""
    shrunk = shrink_failure(seed, try_narrowed, within_s)
    print(shrunk or f"seed {seed}: {NOT_DETERMINISTIC}", flush=True)


def failure_of(summary: Summary, shrink_s: float) -> str:
    """What to show of a seed that failed, shrunk when `shrink_s` is more than 0."""
    as_it_is = Failure(summary.seed, summary.violations, summary.trace)
    if shrink_s <= 0:
        return str(as_it_is)
    shrunk = shrink_failure(summary.seed, try_narrowed, shrink_s)
    return str(shrunk) if shrunk else f"{as_it_is}\n{NOT_DETERMINISTIC}"


@dataclass(slots=True)
class Totals:
    """What came of many seeds."""

    seeds: int = 0
    failed: list[int] = field(default_factory=list)
    strikes: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    events: int = 0
    cpu_s: float = 0.0
    elapsed_s: float = 0.0
    slowest: tuple[float, int] = (0.0, 0)

    def add(self, summary: Summary) -> None:
        """One more seed."""
        self.seeds += 1
        self.strikes.update(summary.strikes)
        self.counts.update(summary.counts)
        self.events += summary.events
        self.cpu_s += summary.cpu_s
        self.slowest = max(self.slowest, (summary.cpu_s, summary.seed))
        if summary.violations:
            self.failed.append(summary.seed)

    @property
    def never_struck(self) -> list[str]:
        """Faults that no seed had, of so many that each should have come."""
        if self.seeds < COVERAGE_SEEDS:
            return []
        return never_struck(self.strikes)

    @property
    def green(self) -> bool:
        """No seed failed, and every fault was tried."""
        return not self.failed and not self.never_struck

    def __str__(self) -> str:
        """For people."""
        lines = [
            f"faults: {struck_shown(self.strikes)}",
            "counts: " + ", ".join(f"{name} {number:,}" for name, number in self.counts.items()),
        ]
        if self.never_struck:
            lines.append(f"NEVER TRIED: {', '.join(self.never_struck)}")
        return "\n".join(lines)


def run_many(start: int, count: int, processes: int, *, shrink_s: float) -> bool:
    """Run seeds, print each failure as it comes, the first ones when they are shrunk, each within
    `shrink_s` seconds, and a summary; True when all are green."""
    totals = _run_all(range(start, start + count), processes, math.inf, shrink_s)
    print(totals)
    print(_result_line(start, totals))
    return totals.green and totals.seeds == count


def run_for(start: int, minutes: float, processes: int, *, shrink_s: float) -> bool:
    """Run seeds from `start` on for so long, and add a line to the results; as `run_many`."""
    totals = _run_all(itertools.count(start), processes, 60 * minutes, shrink_s)
    print(totals)
    line = _result_line(start, totals)
    print(line)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d', time.gmtime())} {_commit()} {line}\n")
    return totals.green


def _run_all(seeds: Iterable[int], processes: int, within_s: float, shrink_s: float) -> Totals:
    totals = Totals()
    began = time.perf_counter()
    with _interruptions() as is_interrupted:
        begun = itertools.takewhile(
            lambda _: time.perf_counter() < began + within_s and not is_interrupted(), seeds
        )
        for summary in _summaries(begun, processes):
            totals.add(summary)
            if summary.violations:
                is_shrunk = len(totals.failed) <= SHRUNK_MAX and not is_interrupted()
                print(failure_of(summary, shrink_s if is_shrunk else 0.0), flush=True)
            elif totals.seeds % PROGRESS_SEEDS == 0:
                told = f"{totals.seeds} seeds, {len(totals.failed)} failed"
                print(told, file=sys.stderr, flush=True)
    totals.elapsed_s = time.perf_counter() - began
    return totals


@contextmanager
def _interruptions() -> Iterator[Callable[[], bool]]:
    """Whether somebody asked for the end. Only in the main thread."""
    interrupted: list[int] = []
    before = {
        number: signal.signal(number, lambda signalled, _: interrupted.append(signalled))
        for number in INTERRUPTIONS
    }
    try:
        yield lambda: bool(interrupted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _result_line(start: int, totals: Totals) -> str:
    return (
        f"{totals.seeds} seeds from {start}: {len(totals.failed)} failed"
        f" {sorted(totals.failed) if totals.failed else ''}"
        f" | {totals.seeds / totals.elapsed_s:.2f} seeds/s,"
        f" {totals.cpu_s / totals.seeds:.2f} CPU-seconds a seed (slowest:"
        f" {totals.slowest[0]:.2f}, seed {totals.slowest[1]}) | {totals.events:,} events,"
        f" {totals.events / totals.cpu_s:,.0f}/s a core"
        f" | {sum(totals.strikes[name] for name in FAULTS):,} faults{_reservations(totals)}"
    )


def _reservations(totals: Totals) -> str:
    """What a run did not show though no seed failed."""
    said = [f"{name} never took effect" for name in totals.never_struck]
    if totals.counts[NOT_JUDGED]:
        said.append(f"{totals.counts[NOT_JUDGED]} histories of appends not judged")
    return "".join(f" | {each}" for each in said)


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def begin_worker() -> None:
    """Load what every run uses, once, so that its own process has it already.

    Whoever interrupts a run may signal all of its processes: the seed under way is ended all the
    same. The worker ends with the process that began it, however that one ends.
    """
    for number in INTERRUPTIONS:
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    simulate(0, replace(draw_options(0), load_ms=0.0))


def _summaries(seeds: Iterator[int], processes: int) -> Iterator[Summary]:
    """As they are done. Seeds are taken one by one, so that a deadline among them counts."""
    if processes == 1:
        yield from map(summarize, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, begin_worker) as pool:
        running = {pool.submit(summarize, seed) for seed in itertools.islice(seeds, processes)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            missing = processes - len(running)
            running |= {pool.submit(summarize, seed) for seed in itertools.islice(seeds, missing)}


def run_twice(seed: int, narrowing: Narrowing, history_file: str) -> bool:
    """Run a seed here and in a process with other string hashes; print its trace."""
    options = narrowing.apply(draw_options(seed))
    print(f"seed {seed}:\n{options}")
    outcome = simulate(seed, options)
    for line in outcome.trace:
        print(line)
    if history_file:
        with open(history_file, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(to_json_lines(outcome.history))
    again = digest_elsewhere(seed, narrowing, hash_seed=seed % 1_000 + 1)
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
        print("\n".join(violations_shown(outcome.seed, outcome.violations)))
    else:
        print("no violation")


def digest_elsewhere(seed: int, narrowing: Narrowing | None = None, *, hash_seed: int) -> str:
    """The digest of a run of the seed in another process."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(  # this module, with a number
        [
            sys.executable,
            "-m",
            "jepsen_like.sim",
            "--digest",
            str(seed),
            *(narrowing or Narrowing()).arguments(),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[-1]
