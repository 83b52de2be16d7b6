"""Looks for bugs each in a process of its own, as a process can have one bug only."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jepsen_like.planted.bugs import PlantedBug

_ROOT: Final = Path(__file__).parents[2]
"""What tests are named from."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of looking for one bug."""

    caught_by: str | None
    """In words, such as "seed 7, the 2nd of at most 200 from 6"; None: it was not caught."""
    output: str
    """All that the process printed."""


def look_for_apart(bug: PlantedBug, *options: str) -> Verdict:
    """As `python -m jepsen_like.planted NAME` with these options."""
    done = subprocess.run(
        [sys.executable, "-m", "jepsen_like.planted", bug.name, *options],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    found = re.search(rf"^{re.escape(bug.name)}: caught by (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        return Verdict(None, output)
    return Verdict(found[1], output)
