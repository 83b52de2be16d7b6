"""Where a consumer stands when it does not know by itself: three separate questions.

No position yet, a position below the log's start (what stood there was let go), and a position
above its end (the log lost it, or another cluster is meant) have different causes, and seldom the
same answer; each has its own policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Policy = Literal["earliest", "latest", "error"] | timedelta
"""The log's start, its committed end, an error, or so long ago by the records' timestamps."""

Start = Literal["earliest", "latest", "committed"] | timedelta | int
"""Where to begin: as a policy, at an offset, or, for a consumer that commits, where it was."""


@dataclass(frozen=True, slots=True)
class PositionReset:
    """A position that was not in the log was replaced by a policy.

    When `to_offset` is the larger one, [from_offset, to_offset) was skipped.
    """

    topic: str
    partition: int
    from_offset: int
    to_offset: int
    why: Literal["below_start", "above_end"]


@dataclass(frozen=True, slots=True)
class PositionPolicies:
    """What a consumer does when its position is no help.

    Raises ValueError for a policy that does not exist.
    """

    no_position: Policy
    below_start: Policy
    above_end: Policy

    def __post_init__(self) -> None:
        for name in ("no_position", "below_start", "above_end"):
            policy = getattr(self, name)
            if isinstance(policy, timedelta):
                if policy < timedelta(0):
                    raise ValueError(f"{name} is {policy}; a time span must not be negative")
            elif policy not in ("earliest", "latest", "error"):
                raise ValueError(
                    f"{name} is {policy!r}; allowed are 'earliest', 'latest', 'error' and a"
                    " timedelta"
                )

    def for_offset(
        self, offset: int, start: int
    ) -> tuple[Policy, Literal["below_start", "above_end"]]:
        """The policy for an offset that is not in the log that begins at `start`."""
        if offset < start:
            return self.below_start, "below_start"
        return self.above_end, "above_end"


def as_milliseconds(ago: timedelta, now_ms: int) -> int:
    """Unix milliseconds of a time that long ago."""
    return now_ms - int(ago.total_seconds() * 1_000)
