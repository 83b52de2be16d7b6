"""How often faults took effect, over many seeds that are run in several processes.

A simulator that never does what it says proves nothing, and says nothing of it: so these counts are
judged like the seeds themselves.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from jepsen_like.sim.options import COUNTED


def never_struck(struck: Mapping[str, int]) -> list[str]:
    """Faults that never took effect."""
    return [name for name in COUNTED if not struck.get(name)]


def struck_shown(struck: Mapping[str, int]) -> str:
    """For people."""
    return ", ".join(f"{name} {struck.get(name, 0)}" for name in COUNTED)


def add_struck(
    folder: Path, part: int, struck: Mapping[str, int], parts: Sequence[int]
) -> Counter[str] | None:
    """Leave the counts of one part in a folder that all share; the sum when all `parts` are there.

    Who comes last gets it, or the last ones when they come together. A part that is run again
    takes the place of its counts.
    """
    unfinished = folder / f"{part}.unfinished"
    unfinished.write_text(json.dumps(struck), encoding="utf-8")
    unfinished.rename(folder / f"{part}.json")
    files = [folder / f"{each}.json" for each in parts]
    if not all(file.exists() for file in files):
        return None
    total: Counter[str] = Counter()
    for file in files:
        total.update(json.loads(file.read_text(encoding="utf-8")))
    return total
