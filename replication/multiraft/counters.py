"""What the groups of a node went through since its start; plain numbers for whoever watches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ReplicationCounters:
    """Sums over all groups of a node."""

    elections_started: int = 0
    """By a timeout, or at a creation; one that a transfer asked for is not counted."""
    elections_won: int = 0
    """Leaderships that began here, transfers included."""
    leaderships_lost: int = 0
    """Leaderships that ended here, for whatever reason."""
    installs_received: int = 0
    """Logs that were replaced by a copy of the leader's."""
