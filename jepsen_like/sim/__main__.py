"""`python -m jepsen_like.sim`: many seeds on all cores, or one seed twice with its trace."""

from __future__ import annotations

import argparse
import os
import sys

from jepsen_like.sim.options import draw_options
from jepsen_like.sim.runs.narrowing import Narrowing, faults_named, strikes_named
from jepsen_like.sim.runs.runner import print_shrunk, run_for, run_many, run_twice
from jepsen_like.sim.runs.shrink import WITHIN_S
from jepsen_like.sim.simulation import simulate


def main() -> int:
    """Parse arguments and dispatch."""
    parser = argparse.ArgumentParser(prog="python -m jepsen_like.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds (default 300)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument(
        "--minutes", type=float, help="as many seeds as fit; adds a line to jepsen_like/results"
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="default: one for each core"
    )
    parser.add_argument(
        "--shrink-seconds",
        type=float,
        default=WITHIN_S,
        help=f"time to shrink a failing seed, 0: not at all (default {WITHIN_S:.0f})",
    )
    one = parser.add_argument_group("one seed, maybe with less of it")
    one.add_argument("--seed", type=int, help="run it twice and print its trace")
    one.add_argument("--shrink", type=int, metavar="SEED", help="shrink a failing seed")
    one.add_argument("--digest", type=int, metavar="SEED", help="print the digest of one run")
    one.add_argument("--history", default="", help="with --seed: write the history there")
    one.add_argument(
        "--without", type=faults_named, default=(), help="kinds of faults: bit-rot,pause-one"
    )
    one.add_argument(
        "--skip", type=strikes_named, default=(), help="numbers of strikes, from 0: 3,7"
    )
    one.add_argument("--strikes", type=int, help="at most so many strikes")
    one.add_argument("--operations", type=int, help="at most so many records a producer")
    one.add_argument("--load-ms", type=int, help="how long clients work under faults")
    one.add_argument("--producers", type=int, help="at most so many")
    one.add_argument("--consumers", type=int, help="at most so many")
    one.add_argument("--groups", type=int, help="at most so many")
    one.add_argument("--members", type=int, help="at most so many of a group")
    arguments = parser.parse_args()
    narrowing = Narrowing(
        without=arguments.without,
        skip=arguments.skip,
        strikes=arguments.strikes,
        operations=arguments.operations,
        load_ms=arguments.load_ms,
        producers=arguments.producers,
        consumers=arguments.consumers,
        groups=arguments.groups,
        members=arguments.members,
    )
    shrink_s = arguments.shrink_seconds
    if arguments.digest is not None:
        seed = arguments.digest
        print(simulate(seed, narrowing.apply(draw_options(seed))).digest)
        return 0
    if arguments.shrink is not None:
        print_shrunk(arguments.shrink, shrink_s)
        return 0
    if arguments.seed is not None:
        return 0 if run_twice(arguments.seed, narrowing, arguments.history) else 1
    if narrowing != Narrowing():
        parser.error("a seed is narrowed: give --seed")
    start, processes = arguments.start, arguments.processes
    if arguments.minutes is not None:
        green = run_for(start, arguments.minutes, processes, shrink_s=shrink_s)
    else:
        green = run_many(start, arguments.seeds, processes, shrink_s=shrink_s)
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main())
