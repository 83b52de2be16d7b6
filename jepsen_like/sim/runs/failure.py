"""What is shown of a seed that failed: violations, how to replay it, its options, its trace's end.

A failing seed is shrunk before it is shown, so that what is read is as short as it can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jepsen_like.sim.options import draw_options
from jepsen_like.sim.runs.narrowing import Narrowing, replay_command
from jepsen_like.sim.runs.shrink import Run, shrink
from jepsen_like.sim.trace import LINES_SHOWN_MAX

VIOLATIONS_SHOWN_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed that failed, or the smallest case of it; its text is for people."""

    seed: int
    violations: list[str]
    trace: list[str]
    narrowing: Narrowing = Narrowing()
    """What was left out; nothing: it was not shrunk."""
    shrunk: str = ""
    """How it was shrunk."""

    def __str__(self) -> str:
        options = self.narrowing.apply(draw_options(self.seed))
        shown = self.trace[-LINES_SHOWN_MAX:]
        return "\n".join(
            [
                *violations_shown(self.seed, self.violations),
                f"  replay: {replay_command(self.seed)}",
                *(
                    [f"  {self.shrunk}: {replay_command(self.seed, self.narrowing)}"]
                    if self.shrunk
                    else []
                ),
                f"its options:\n{options}",
                f"the last {len(shown)} lines of its trace:",
                *shown,
            ]
        )


def violations_shown(seed: int, violations: list[str]) -> list[str]:
    """The first few, one a line."""
    more = len(violations) - VIOLATIONS_SHOWN_MAX
    return [
        f"FAILED seed {seed}: {len(violations)} violations",
        *(f"  - {violation}" for violation in violations[:VIOLATIONS_SHOWN_MAX]),
        *([f"  - and {more} more"] if more > 0 else []),
    ]


def shrink_failure(seed: int, run: Run, within_s: float) -> Failure | None:
    """The smallest case of a failing seed that is found in time; None when it does not fail."""
    shrunk = shrink(seed, run, within_s=within_s)
    if shrunk is None:
        return None
    how = f"the smallest case of {shrunk.runs} runs"
    if not shrunk.finished:
        how += ", when the time was over"
    return Failure(seed, shrunk.violations, shrunk.trace, shrunk.narrowing, how)
