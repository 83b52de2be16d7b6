"""Disks whose operations fail with EIO, each kind counted when an operation failed.

| fault | what fails | what a node may do |
|---|---|---|
| EIO on read | a read of a running node, or of one that starts | what was read of a log is mended from a peer; else it ends |
| EIO on write | a write, durable or not | it ends |
| EIO on fsync | of a file or a directory; what was pending of a file is lost | it ends |
| EIO on open | of any file | as for reads, or it ends |

A strike prepares it: the next operation of one kind fails, unless the strike heals before. Few
reads get as far as the disk, since what was written last is in memory, and most of the rest in the
page cache. So with `aimed_disk_errors` four of five strikes are aimed at reads and opens. Of those,
half end the node's process first, and meet the next one somewhere on its way up; the others make
the node's page cache cold, and wait longer than a strike lasts.

A node that ends must say why in an error of a type (`cluster.DISK_ERRORS`), and is started again.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from typing import Final

from jepsen_like.sim.cluster import SimCluster, SimNode
from jepsen_like.sim.faults.fault import Fired, Heal, Strike
from jepsen_like.sim.options import SimOptions
from jepsen_like.sim.ports.disk import DiskOperation
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.trace import Trace

FAILING: Final = {
    "read": "EIO on read",
    "write": "EIO on write",
    "write_durable": "EIO on write",
    "sync": "EIO on fsync",
    "sync_directory": "EIO on fsync",
    "open": "EIO on open",
}
"""Names of the faults by the kind of operation (`disk.DiskOperation`)."""
AIMED: Final = ("read", "open")
AIMED_PROBABILITY: Final = 0.8
AT_START_PROBABILITY: Final = 0.5
START_OPERATIONS: Final = 16
"""At a start one of so many operations of the kind fails."""
WAITS_S: Final = 3.0
"""So long an aimed strike waits for an operation."""
ENDS_MS: Final = (100.0, 600.0)
"""After a failure that was aimed; then a node that gave up is started again."""


class FailingDisks:
    """Strikes at disks.

    Invariant: a node in `_aimed` has a failure before it, and no other strike touches its disk.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        cluster: SimCluster,
        options: SimOptions,
        trace: Trace,
        fired: Fired,
    ) -> None:
        self._scheduler, self._cluster = scheduler, cluster
        self._options, self._trace, self._fired = options, trace, fired
        self._aimed: dict[int, SimNode] = {}
        """By the number of the aimed strike."""
        self._number = 0

    def faults(self) -> dict[str, Strike]:
        """By name."""
        return {"failing disk": self._strike}

    def calm(self) -> None:
        """No aimed failure comes any more."""
        for number in list(self._aimed):
            self._disarm(number)

    def _strike(self, rng: random.Random) -> Heal | None:
        waiting = [node.node_id for node in self._aimed.values()]
        nodes = [
            node
            for node in self._cluster.running()
            if node.is_serving and not node.disk_fails and node.node_id not in waiting
        ]
        if not nodes:
            return None
        node, kind = rng.choice(nodes), rng.choice(tuple(FAILING))
        if self._options.aimed_disk_errors and rng.random() < AIMED_PROBABILITY:
            self._aim(rng, node, rng.choice(AIMED))
            return lambda: None
        self._trace.add(f"node {node.node_id}", f"a {kind} will fail")
        node.disk_fails = True
        self._arm(node, kind, lambda: None)

        def heal() -> None:
            node.disk.faults.hook = None
            self._end(node)

        return heal

    def _aim(self, rng: random.Random, node: SimNode, kind: str) -> None:
        at_start = rng.random() < AT_START_PROBABILITY
        passed_over = rng.randrange(START_OPERATIONS) if at_start else 0
        low, high = ENDS_MS
        ends_s = (low + (high - low) * rng.random()) / 1000
        number = self._number
        self._number += 1
        self._aimed[number] = node
        node.disk.faults.cold_read_probability = 1.0
        where = f"number {passed_over} of the next start" if at_start else "the next one"
        self._trace.add(f"node {node.node_id}", f"a {kind} will fail, {where}")

        def failed() -> None:
            self._disarm(number)
            node.disk_fails = True
            self._scheduler.call_later(ends_s, lambda: self._end(node))

        self._arm(node, kind, failed, passed_over)
        self._scheduler.call_later(WAITS_S, lambda: self._disarm(number))
        if at_start:
            self._cluster.kill(node, power_cut=False)
            self._cluster.start(node)

    def _arm(
        self, node: SimNode, kind: str, failed: Callable[[], None], passed_over: int = 0
    ) -> None:
        """Let the next operation of a kind fail, or one that comes after so many of them."""
        faults, left = node.disk.faults, [passed_over]  # faults survive the node's lives

        def hook(operation: DiskOperation) -> OSError | None:
            if operation.kind != kind:
                return None
            if left[0]:
                left[0] -= 1
                return None
            faults.hook = None
            self._fired(FAILING[kind])
            self._fired("failing disk")
            self._trace.add(f"node {node.node_id}", f"{kind} of {operation.path} fails")
            failed()
            return OSError(errno.EIO, "injected", operation.path)

        faults.hook = hook

    def _disarm(self, number: int) -> None:
        node = self._aimed.pop(number, None)
        if node is not None:
            node.disk.faults.hook = None
            node.disk.faults.cold_read_probability = self._options.cold_read_probability

    def _end(self, node: SimNode) -> None:
        """A node that gave up by now is started again; one that goes on has got over it."""
        if node.life is not None and node.life.node.failure is not None:
            self._cluster.kill(node, power_cut=False)
        node.disk_fails = False
        if node.life is None:
            self._cluster.start(node)
