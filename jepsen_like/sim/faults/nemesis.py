"""The nemesis: which fault strikes when and for how long, all drawn from the seed.

| faults | module |
|---|---|
| of processes | `process_faults` |
| of the network | `network_faults` |
| of disks and clocks, told by errors and delays | `machine_faults`, `failing_disk` |
| of what is stored, told by nobody | `rot` |
| of operators | `membership_faults` |
| of consumer groups | `group_faults` |

Each fault is a function that strikes and returns what heals it. They overlap freely; at the end
everything is healed and every node runs, so that the cluster must come back.

A fault counts when it takes effect: most when they strike, those of COUNTED_LATER when an
operation of the disk failed, the node learned that its disk is full, or a node did what an operator
asked for.

Each strike draws from a source of its own, named by its number, and comes at a moment that does not
depend on what the others do. So a strike that is left out (`options.without`, `skip`,
`strikes_max`) leaves the others what they were, as far as the cluster lets them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jepsen_like.sim.checks.invariants import Invariants
from jepsen_like.sim.cluster import SimCluster
from jepsen_like.sim.faults.failing_disk import FailingDisks
from jepsen_like.sim.faults.fault import Fired, Heal, Strike
from jepsen_like.sim.faults.machine_faults import MachineFaults
from jepsen_like.sim.faults.membership_faults import MembershipFaults
from jepsen_like.sim.faults.network_faults import NetworkFaults
from jepsen_like.sim.faults.process_faults import ProcessFaults
from jepsen_like.sim.faults.rot import Rot
from jepsen_like.sim.options import COUNTED_LATER, STRUCK, SimOptions
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.trace import Trace


class Nemesis:
    """Strikes until it is told to heal.

    Invariant: every strike that has not been healed is in `_open`, in the order of striking.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        fabric: Fabric,
        cluster: SimCluster,
        invariants: Invariants,
        *,
        trace: Trace,
        options: SimOptions,
        groups: Callable[[Fired], Mapping[str, Strike]] | None = None,
    ) -> None:
        """`groups`: strikes at consumer groups, where there are any."""
        self.strikes: dict[str, int] = dict.fromkeys(STRUCK, 0)
        self.number = 0
        """Strikes so far, those included that did nothing."""
        self._scheduler, self._fabric, self._cluster = scheduler, fabric, cluster
        self._trace, self._options = trace, options
        self._open: dict[int, Heal] = {}
        self._active = False
        self.rot = Rot(scheduler, cluster, options, trace, self._fired)
        self.membership = MembershipFaults(cluster, options, trace, self._fired)
        self.failing = FailingDisks(scheduler, cluster, options, trace, self._fired)
        self._processes = ProcessFaults(scheduler, cluster, invariants, trace, self._fired)
        hosts = [node.host for node in cluster.nodes.values()]
        self._faults: dict[str, Strike] = {
            **self._processes.faults(),
            **NetworkFaults(fabric, hosts, options, trace).faults(),
            **MachineFaults(scheduler, cluster, trace, self._fired).faults(),
            **self.failing.faults(),
            **self.rot.faults(),
            **self.membership.faults(),
            **(groups(self._fired) if groups is not None else {}),
        }

    def start(self) -> None:
        """Begin to strike."""
        if self._options.faults:
            self._active = True
            self._next()

    def heal_all(self) -> None:
        """Strike no more; undo what is open; start every node."""
        self._active = False
        self._processes.stop_rolling()
        self.failing.calm()
        for number in list(self._open):
            self._heal(number)
        self._fabric.unblock_all()
        for node in self._cluster.nodes.values():
            self._cluster.resume(node)
            self._processes.start_when_stopped(node)
        self._trace.add("nemesis", "everything is healed")

    def _next(self) -> None:
        options, number = self._options, self.number
        if options.strikes_max is not None and number >= options.strikes_max:
            return
        low, high = options.fault_pause_ms
        pause_ms = low + (high - low) * self._scheduler.random(f"pause {number}").random()
        self._scheduler.call_later(pause_ms / 1000, self._strike)

    def _strike(self) -> None:
        if not self._active:
            return
        options, number = self._options, self.number
        self.number += 1
        rng = self._scheduler.random(f"strike {number}")
        name = rng.choice(options.faults)
        low, high = options.fault_length_ms
        length_ms = low + (high - low) * rng.random()
        self.rot.remember()
        if name not in options.without and number not in options.skip:
            strike = self._faults.get(name)
            heal = strike(rng) if strike is not None else None
            if heal is not None:
                if name not in COUNTED_LATER:
                    self._fired(name)
                self._open[number] = heal
                self._trace.add("nemesis", f"strike {number}: {name}, for {length_ms:.0f} ms")
                self._scheduler.call_later(length_ms / 1000, lambda: self._heal(number))
        self._next()

    def _fired(self, name: str) -> None:
        self.strikes[name] += 1

    def _heal(self, number: int) -> None:
        heal = self._open.pop(number, None)
        if heal is not None:
            heal()
