"""`python -m jepsen_like.planted`: look for one planted bug, or for many and print a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jepsen_like.planted.apart import look_for_apart
from jepsen_like.planted.bugs import BUGS, ByCrashStates, BySeeds, ByTest, PlantedBug
from jepsen_like.planted.planter import plant
from jepsen_like.planted.search import look_for

WAYS = {"seeds": BySeeds, "crash-states": ByCrashStates, "tests": ByTest}


def main() -> int:
    """Parse arguments and dispatch; 0 when each bug that was looked for was caught."""
    parser = argparse.ArgumentParser(prog="python -m jepsen_like.planted", description=__doc__)
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("name", nargs="?", choices=[bug.name for bug in BUGS], metavar="NAME")
    one.add_argument("--all", action="store_true", help="all bugs, one after the other")
    one.add_argument("--by", choices=WAYS, help="all that are looked for in this way")
    parser.add_argument(
        "--shrink", type=float, default=0.0, metavar="SECONDS", help="shrink the seed that shows it"
    )
    arguments = parser.parse_args()
    if arguments.name is None:
        way = WAYS[arguments.by] if arguments.by else object
        return 0 if _print_table([bug for bug in BUGS if isinstance(bug.way, way)]) else 1
    bug = next(bug for bug in BUGS if bug.name == arguments.name)
    plant(bug)
    return 0 if look_for(bug, shrink_s=arguments.shrink) else 1


def _print_table(bugs: Sequence[PlantedBug]) -> bool:
    print("| planted bug | breaks the rule | caught by |\n|---|---|---|")
    all_caught = True
    for bug in bugs:
        caught_by = look_for_apart(bug).caught_by
        all_caught &= caught_by is not None
        print(f"| `{bug.name}` | {bug.breaks} | {caught_by or '**nothing**'} |", flush=True)
    return all_caught


if __name__ == "__main__":
    sys.exit(main())
