"""What was found about a file, and what an operator does next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NODE_ADVICE: Final = (
    "put the file back as it was; if it is lost, start a node in its place, on an empty data "
    "directory under a node id that was never used, then 'streamlog node replace'"
)
"""What the node promised may be in there: nobody else knows it."""
COPY_ADVICE: Final = "start the node: it fetches what is missing from the other replicas"
ONLY_COPY_ADVICE: Final = (
    "put the file back as it was: this is the only replica, no other node has what is gone"
)
LOST_ADVICE: Final = (
    "start the node: new replicas take the place of its own, from the others; where those that are "
    "left are no majority: 'streamlog partition force-recover'"
)
INDEX_ADVICE: Final = "move the index files of this segment away: the node makes them anew"
WHOLE_NODE_ADVICE: Final = "verify the node's whole data directory: that tells what to do"
NEWER_ADVICE: Final = "use the version of the software that wrote it"


class Verdict(StrEnum):
    """In the order of the report: the worst comes last, just above the sum."""

    OK = "ok"
    NORMAL = "normal after a crash"
    """Left by a process that did not come to its end; the next start clears it away."""
    FOREIGN = "not the node's"
    """The node leaves it alone."""
    REBUILT = "rebuilt at next start"
    """Damaged or missing, and nothing is lost: the node has all that it takes to make it anew."""
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    file: str
    """Relative to the data directory, until the report is written."""
    what: str
    verdict: Verdict = Verdict.OK
    next_step: str | None = None
    """Invariant: there is one for whatever is damaged."""


def without_path(path: str, error: object) -> str:
    """An error's text without the path that it begins with: that stands beside it."""
    return str(error).removeprefix(f"{path}: ")
