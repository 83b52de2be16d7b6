"""The command: `python -m jepsen_like.raftos`."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jepsen_like.checkers.history import to_json_lines
from jepsen_like.checkers.report import judge
from jepsen_like.raftos.cluster import NodeGone
from jepsen_like.raftos.environment import NotInstalled, python_with_raftos
from jepsen_like.raftos.trial import Trial

HOME: Final = Path(__file__).parents[2] / "var" / "raftos"
"""Ignored by git."""
SECONDS_MAX: Final = 110.0
DESCRIPTION: Final = """\
Runs three nodes of raftos 0.2.6 on loopback, kills leaders, and has the checkers judge its history.
"""
EPILOG: Final = """\
The first run makes a virtual environment under var/raftos and needs a package index. The history is
kept beside it; python -m jepsen_like.checkers reads it.

exit code: 0 raftos was convicted, as expected; 1 it was not; 2 it could not be installed or run
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m jepsen_like.raftos",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        metavar="N",
        help="rounds of writes, each with a cluster of its own, 1 to 10 (default %(default)s)",
    )
    parser.add_argument("--no-votes", action="store_true", help="leave out the round of votes")
    parser.add_argument(
        "--directory", type=Path, default=HOME, help="for environment, data and history"
    )
    options = parser.parse_args(arguments)
    if not 1 <= options.rounds <= 10:
        parser.error(f"--rounds is {options.rounds}, it must be 1 to 10")
    try:
        python = python_with_raftos(options.directory / "venv")
        data = options.directory / "data"
        shutil.rmtree(data, ignore_errors=True)
        trial = Trial(python, data)
        asyncio.run(_run(trial, options.rounds, votes=not options.no_votes))
    except (NotInstalled, NodeGone, TimeoutError) as error:
        sys.stderr.write(f"no verdict: {type(error).__name__}: {error}\n")
        return 2
    history = options.directory / "history.jsonl"
    history.write_text(to_json_lines(trial.history), encoding="utf-8")
    verdict = judge(trial.history)
    sys.stdout.write(verdict.as_table(3))
    for told in trial.double_leaders:
        sys.stdout.write(f"two leaders: {told}\n")
    convicted = not verdict.valid or bool(trial.double_leaders)
    sys.stdout.write(
        f"raftos 0.2.6 is {'convicted' if convicted else 'not convicted'}; {history}\n"
    )
    return 0 if convicted else 1


async def _run(trial: Trial, rounds: int, *, votes: bool) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        for number in range(rounds):
            await trial.writes(number)
            if votes and not trial.double_leaders:
                await trial.votes(number)


if __name__ == "__main__":
    sys.exit(main())
