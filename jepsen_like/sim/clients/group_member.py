"""What the simulator needs of a member of a group, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

TOPIC = "events"
"""That groups read."""
PATTERN = "ev.*"
"""Matches it."""


@dataclass(frozen=True, slots=True)
class Temper:
    """How a member is."""

    group: str
    topics: tuple[str, ...]
    pattern: str
    instance_id: str
    """Empty: a dynamic member."""
    assignor: str
    session_ms: int
    rebalance_ms: int
    tick_ms: float
    """It does something about so often."""
    rude: bool
    """It does not fence itself; the library always does."""
    library: bool
    """It is made with the client library."""


class GroupMember(Protocol):
    """One process's part in a group, over all of its streams and member ids."""

    going: bool
    """Set to let it leave."""
    hung_until_ms: float
    """Until then, by its own clock, it does nothing; the library goes on with its heartbeats."""
    defects: list[str]
    """What no fault explains."""

    @property
    def member_id(self) -> str:
        """Of its present life; empty: none yet."""
        ...

    def change_subscription(self) -> None:
        """Read by pattern what was read by name, or the other way round."""
        ...

    async def run(self) -> None:
        """Take part until it has left."""
        ...
