"""`python -m jepsen_like.crash_states`: judge thousands of states, or one again by its name."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

from jepsen_like.crash_states.runs import (
    Failure,
    Outcome,
    Task,
    examine_task,
    replay,
    share_of,
    workload_named,
)
from jepsen_like.crash_states.workloads import WORKLOADS

STATES_DEFAULT: Final = 8_000
_LOST_SHOWN_MAX: Final = 20


def _outcomes(tasks: Sequence[Task], processes: int) -> Iterator[Outcome]:
    if processes == 1 or len(tasks) == 1:
        yield from map(examine_task, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(examine_task, tasks)


def run_many(names: Sequence[str], states: int, seed: int, processes: int) -> bool:
    """Judge states of the workloads, shared out between them; True when all are sound."""
    began = time.perf_counter()
    chosen = [workload_named(name) for name in names]
    alone = len(chosen) == 1
    tasks = [(w.name, states if alone else share_of(w, states), seed) for w in chosen]
    done: dict[str, Outcome] = {}
    for outcome in _outcomes(tasks, processes):
        done[outcome.workload] = outcome
        print(
            f"[{len(done)}/{len(tasks)}] {outcome.workload}: {outcome.states:,} states,"
            f" {outcome.failed} failed, {outcome.cpu_s:.1f} CPU-seconds",
            flush=True,
        )
        for failure in outcome.failures:
            _print_failure(failure)
    _print_table([done[name] for name in names])
    print(f"seed {seed}, {time.perf_counter() - began:.1f} s")
    return not any(outcome.failed for outcome in done.values())


def _print_failure(failure: Failure) -> None:
    print(f"FAILED {failure.workload} {failure.state}\n  {failure.reason}")
    _print_lost(failure.lost)
    print(f"  replay: {failure.command}", flush=True)


def _print_lost(lost: Sequence[str]) -> None:
    print(f"  lost, in whole or in part: {len(lost)} operations")
    for operation in lost[:_LOST_SHOWN_MAX]:
        print(f"    {operation}")
    if len(lost) > _LOST_SHOWN_MAX:
        print(f"    and {len(lost) - _LOST_SHOWN_MAX} more")


def _print_table(outcomes: Sequence[Outcome]) -> None:
    head = (
        "workload",
        "records",
        "operations",
        "tries",
        "states",
        "in recovery",
        "failed",
        "CPU s",
    )
    rows = [
        (o.workload, o.records, o.operations, o.tries, o.states, o.during_recovery, o.failed)
        for o in outcomes
    ]
    counts = [sum(numbers) for numbers in zip(*(row[1:] for row in rows), strict=True)]
    cpu_s = [outcome.cpu_s for outcome in outcomes]
    print("".join(f"{name:>12}" for name in head))
    for (name, *numbers), seconds in zip(
        [*rows, ("all", *counts)], [*cpu_s, sum(cpu_s)], strict=True
    ):
        cells = "".join(f"{number:>12,}" for number in numbers)
        print(f"{name:>12}{cells}{seconds:>12.1f}")


def run_one(name: str, state_name: str) -> bool:
    """Make one state again and judge it; True when it is sound."""
    try:
        state, reason = replay(workload_named(name), state_name)
    except ValueError as error:
        print(error)
        return False
    print(f"{name} {state_name}")
    if state is not None:
        print(f"  digest {state.digest}")
        for group_id, promised in sorted(state.promise.groups.items()):
            states = promised.history.states
            print(
                f"  group {group_id}: reported complete {states[promised.floor]},"
                f" asked for {states[promised.ceiling]}"
            )
        _print_lost(state.lost)
    print(f"  FAILED: {reason}" if reason is not None else "  sound")
    return reason is None


def main() -> int:
    """Parse arguments and dispatch; 0 when all states are sound."""
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m jepsen_like.crash_states", description=__doc__)
    parser.add_argument("--workload", choices=names, help="only this one (default: all)")
    parser.add_argument(
        "--states",
        type=int,
        default=STATES_DEFAULT,
        help=f"distinct states to judge, of all workloads together (default {STATES_DEFAULT:,})",
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--state", help="with --workload: judge this one state again")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="default: one for each core"
    )
    arguments = parser.parse_args()
    if arguments.state is not None:
        if arguments.workload is None:
            parser.error("--state needs --workload")
        return 0 if run_one(arguments.workload, arguments.state) else 1
    chosen = [arguments.workload] if arguments.workload is not None else names
    return 0 if run_many(chosen, arguments.states, arguments.seed, arguments.processes) else 1


if __name__ == "__main__":
    sys.exit(main())
