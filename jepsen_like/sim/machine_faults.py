"""Faults of machines that say so: disks that are slow, full or fail; clocks that jump."""

from __future__ import annotations

import errno
import random
from typing import Final

from jepsen_like.sim.cluster import SimCluster
from jepsen_like.sim.disk import UNLIMITED_BYTES, DiskOperation
from jepsen_like.sim.fault import Heal, Strike
from jepsen_like.sim.trace import Trace

CLOCK_JUMP_MS_MAX: Final = 3_600_000.0
FULL_DISK_FREE_BYTES: Final = 64 << 20
"""Below the reserve that a node keeps."""
FAILING_KINDS: Final = ("read", "write", "write_durable", "sync", "sync_directory", "open")


class MachineFaults:
    """Strikes at disks and clocks."""

    def __init__(self, cluster: SimCluster, trace: Trace) -> None:
        self._cluster, self._trace = cluster, trace

    def faults(self) -> dict[str, Strike]:
        """By name."""
        return {
            "slow disk": self._slow_disk,
            "full disk": self._full_disk,
            "failing disk": self._failing_disk,
            "clock jump": self._jump,
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
        """So full that what is kept for votes and deletions is all that is left."""
        node = rng.choice(list(self._cluster.nodes.values()))
        faults = node.disk.faults
        faults.capacity_bytes = node.disk.volume.used_bytes() + FULL_DISK_FREE_BYTES
        self._trace.add(f"node {node.node_id}", "disk is full")

        def heal() -> None:
            faults.capacity_bytes = UNLIMITED_BYTES
            self._trace.add(f"node {node.node_id}", "disk has room again")

        return heal

    def _failing_disk(self, rng: random.Random) -> Heal | None:
        """One operation of a kind fails with EIO; the node gives up, and is started again."""
        nodes = [n for n in self._cluster.running() if not n.disk_fails and n.is_serving]
        if not nodes:
            return None
        node = rng.choice(nodes)
        faults, kind = node.disk.faults, rng.choice(FAILING_KINDS)
        node.disk_fails = True

        def hook(operation: DiskOperation) -> OSError | None:
            if operation.kind != kind:
                return None
            faults.hook = None
            self._trace.add(f"node {node.node_id}", f"{kind} of {operation.path} fails")
            return OSError(errno.EIO, "injected", operation.path)

        faults.hook = hook
        self._trace.add(f"node {node.node_id}", f"the next {kind} will fail")

        def heal() -> None:
            faults.hook = None
            if node.life is not None and node.life.node.failure is not None:
                self._cluster.kill(node, power_cut=False)
            node.disk_fails = False
            if node.life is None:
                self._cluster.start(node)

        return heal

    def _jump(self, rng: random.Random) -> Heal:
        node = rng.choice(list(self._cluster.nodes.values()))
        self._cluster.jump_clock(node, CLOCK_JUMP_MS_MAX * (2 * rng.random() - 1))
        return lambda: self._cluster.jump_clock(node, 0.0)
