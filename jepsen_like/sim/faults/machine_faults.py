"""Faults of machines that say so: disks that are slow or full, clocks that jump."""

from __future__ import annotations

import random
from typing import Final

from jepsen_like.sim.cluster import SimCluster
from jepsen_like.sim.faults.fault import Fired, Heal, Strike
from jepsen_like.sim.ports.disk import UNLIMITED_BYTES
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.trace import Trace

CLOCK_JUMP_MS_MAX: Final = 3_600_000.0
STROBE_PAUSES_S: Final = (0.01, 0.05, 0.2)
"""Between two turns of a clock that goes back and forth."""
FULL_DISK_FREE_BYTES: Final = 64 << 20
"""Below the reserve that a node keeps."""


class MachineFaults:
    """Strikes at disks and clocks."""

    def __init__(
        self, scheduler: Scheduler, cluster: SimCluster, trace: Trace, fired: Fired
    ) -> None:
        self._scheduler, self._cluster = scheduler, cluster
        self._trace, self._fired = trace, fired

    def faults(self) -> dict[str, Strike]:
        """By name."""
        return {
            "slow disk": self._slow_disk,
            "full disk": self._full_disk,
            "clock jump": self._jump,
            "clock strobe": self._strobe,
        }

    def _slow_disk(self, rng: random.Random) -> Heal:
        node = rng.choice(list(self._cluster.nodes.values()))
        faults = node.disk.faults  # survives the node's lives
        faults.extra_ms = rng.choice([10.0, 100.0, 1_000.0])
        self._trace.add(f"node {node.node_id}", f"disk is {faults.extra_ms:.0f} ms slower")

        def heal() -> None:
            faults.extra_ms = 0.0
            self._trace.add(f"node {node.node_id}", "disk is as fast as before")

        return heal

    def _full_disk(self, rng: random.Random) -> Heal | None:
        """So full that what is kept for votes and deletions is all that is left; it counts when the
        node learns that, and refuses records from then on."""
        node = rng.choice(list(self._cluster.nodes.values()))
        faults = node.disk.faults
        faults.capacity_bytes = node.disk.volume.used_bytes() + FULL_DISK_FREE_BYTES
        self._trace.add(f"node {node.node_id}", "disk is full")

        def learned() -> None:
            faults.asked_for_space = None
            self._fired("full disk")
            self._trace.add(f"node {node.node_id}", "knows that its disk is full")

        faults.asked_for_space = learned

        def heal() -> None:
            faults.capacity_bytes, faults.asked_for_space = UNLIMITED_BYTES, None
            self._trace.add(f"node {node.node_id}", "disk has room again")

        return heal

    def _strobe(self, rng: random.Random) -> Heal:
        """The wall clock goes back and forth, many times within the strike."""
        node = rng.choice(list(self._cluster.nodes.values()))
        offset_ms = CLOCK_JUMP_MS_MAX * (2 * rng.random() - 1)
        pause_s = rng.choice(STROBE_PAUSES_S)
        striking = True

        def turn(*, away: bool) -> None:
            if striking:
                self._cluster.jump_clock(node, offset_ms if away else 0.0)
                self._scheduler.call_later(pause_s, lambda: turn(away=not away))

        def heal() -> None:
            nonlocal striking
            striking = False
            self._cluster.jump_clock(node, 0.0)

        turn(away=True)
        return heal

    def _jump(self, rng: random.Random) -> Heal:
        node = rng.choice(list(self._cluster.nodes.values()))
        self._cluster.jump_clock(node, CLOCK_JUMP_MS_MAX * (2 * rng.random() - 1))
        return lambda: self._cluster.jump_clock(node, 0.0)
