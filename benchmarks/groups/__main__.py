"""Groups alone, without the rest of `make bench`.

Usage: python -m benchmarks.groups [--quick] [--only platform] [--members 10]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.groups.measure import GROUPS_FULL, GROUPS_QUICK, measure_groups


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less work, under a minute")
    parser.add_argument("--only", choices=["platform"], help="leave the peer out")
    parser.add_argument("--members", type=int, help="only the group with so many")
    arguments = parser.parse_args()
    plan = GROUPS_QUICK if arguments.quick else GROUPS_FULL
    if arguments.members is not None:
        plan = plan.of(arguments.members)
    with tempfile.TemporaryDirectory(prefix="streamlog-bench-") as scratch:
        for text in asyncio.run(
            measure_groups(Path(scratch), plan, with_peer=arguments.only is None)
        ):
            print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
