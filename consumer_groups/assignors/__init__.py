"""Assignors: who shall own what. Pure functions of the members, the topics and what was before.

| name | for whom |
|---|---|
| sticky | the default: loads as even as the subscriptions allow, and few partitions move |
| range | joins: partitions with one number of topics with equal counts go to one member |

A group uses the assignor that most of its members vote for; among equals the one that comes first
here; without any vote, sticky.

Invariant: every partition that somebody subscribes to is given to exactly one member that
subscribes to its topic; nothing else is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from consumer_groups.assignors.assignor import Assignment, Assignor, Subscriber
from consumer_groups.assignors.ranges import RangeAssignor
from consumer_groups.assignors.sticky import StickyAssignor
from consumer_groups.errors import GroupError, Reason

DEFAULT_ASSIGNOR = StickyAssignor.name
ASSIGNORS: Mapping[str, Assignor] = {
    StickyAssignor.name: StickyAssignor(),
    RangeAssignor.name: RangeAssignor(),
}


def check_assignor(name: str) -> None:
    """Raises UNKNOWN_ASSIGNOR; empty is no preference."""
    if name and name not in ASSIGNORS:
        raise GroupError(
            Reason.UNKNOWN_ASSIGNOR,
            f"assignor {name[:64]!a} is none of {', '.join(ASSIGNORS)}",
            {"assignor": ascii(name[:64])},
        )


def elected_assignor(votes: Iterable[str]) -> str:
    """The assignor with most votes. A name that this version does not know has no vote."""
    counts = dict.fromkeys(ASSIGNORS, 0)
    for vote in votes:
        if vote in counts:
            counts[vote] += 1
    return max(counts, key=lambda name: counts[name])


__all__ = [
    "ASSIGNORS",
    "DEFAULT_ASSIGNOR",
    "Assignment",
    "Assignor",
    "RangeAssignor",
    "StickyAssignor",
    "Subscriber",
    "check_assignor",
    "elected_assignor",
]
