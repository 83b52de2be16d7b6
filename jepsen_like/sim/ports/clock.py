"""The clock of a simulated process: a monotonic one that drifts, a wall clock that also jumps."""

from __future__ import annotations

from typing import Final

from jepsen_like.sim.ports.loop import SimLoop

EPOCH_MS: Final = 1_700_000_000_000
"""Unix milliseconds at virtual time 0."""


class SimClock:
    """`replication.ports.Clock`. A nemesis moves the wall clock through `wall_offset_ms`."""

    def __init__(self, loop: SimLoop, wall_offset_ms: float = 0.0) -> None:
        self.wall_offset_ms = wall_offset_ms
        """From true time; may change at any moment, in either direction."""
        self._loop = loop

    def monotonic_ms(self) -> float:
        """The loop's own time."""
        return self._loop.time() * 1000

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        elapsed_ms = (self._loop.time() - self._loop.offset) * 1000
        return int(EPOCH_MS + elapsed_ms + self.wall_offset_ms)
