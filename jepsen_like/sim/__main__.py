"""`python -m jepsen_like.sim`: many seeds on all cores, or one seed twice with its trace."""

from __future__ import annotations

import argparse
import os
import sys

from jepsen_like.sim.runner import run_for, run_many, run_twice
from jepsen_like.sim.simulation import simulate


def main() -> int:
    """Parse arguments and dispatch."""
    parser = argparse.ArgumentParser(prog="python -m jepsen_like.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds (default 300)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument(
        "--minutes", type=float, help="as many seeds as fit; adds a line to jepsen_like/results"
    )
    parser.add_argument("--seed", type=int, help="run one seed twice and print its trace")
    parser.add_argument("--history", default="", help="with --seed: write the history there")
    parser.add_argument("--digest", type=int, metavar="SEED", help="print the digest of one run")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="default: one for each core"
    )
    arguments = parser.parse_args()
    if arguments.digest is not None:
        print(simulate(arguments.digest).digest)
        return 0
    if arguments.seed is not None:
        return 0 if run_twice(arguments.seed, arguments.history) else 1
    if arguments.minutes is not None:
        return 0 if run_for(arguments.start, arguments.minutes, arguments.processes) else 1
    return 0 if run_many(arguments.start, arguments.seeds, arguments.processes) else 1


if __name__ == "__main__":
    sys.exit(main())
