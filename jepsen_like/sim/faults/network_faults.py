"""Faults of the network: ways that are blocked, connections that break, delays."""

from __future__ import annotations

import random

from jepsen_like.sim.faults.fault import Heal, Strike
from jepsen_like.sim.options import SimOptions
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.trace import Trace


class NetworkFaults:
    """Strikes at the ways between hosts."""

    def __init__(self, fabric: Fabric, hosts: list[str], options: SimOptions, trace: Trace) -> None:
        self._fabric, self._all_hosts = fabric, hosts
        self._options, self._trace = options, trace

    def faults(self) -> dict[str, Strike]:
        """By name."""
        return {
            "isolate one": self._isolate,
            "split majority": self._split,
            "one-way": self._one_way,
            "ring": self._ring,
            "break connections": self._break_connections,
            "slow network": self._slow_network,
        }

    def _hosts(self, rng: random.Random) -> list[str]:
        """All nodes in a random order."""
        return rng.sample(self._all_hosts, len(self._all_hosts))

    def _block(self, ways: list[tuple[str, str]], what: str) -> Heal:
        for source, target in ways:
            self._fabric.block(source, target)
        self._trace.add("nemesis", what)

        def heal() -> None:
            for source, target in ways:
                self._fabric.unblock(source, target)
            self._trace.add("nemesis", f"healed: {what}")

        return heal

    def _apart(self, left: list[str], right: list[str], what: str) -> Heal:
        ways = [way for a in left for b in right for way in ((a, b), (b, a))]
        return self._block(ways, what)

    def _isolate(self, rng: random.Random) -> Heal:
        one, *others = self._hosts(rng)
        return self._apart([one], others, f"{one} is cut off from the other nodes")

    def _split(self, rng: random.Random) -> Heal:
        hosts = self._hosts(rng)
        majority = len(hosts) // 2 + 1
        few = hosts[majority:]
        return self._apart(few, hosts[:majority], f"{few} are cut off from a majority")

    def _one_way(self, rng: random.Random) -> Heal:
        one, two = self._hosts(rng)[:2]
        return self._block([(one, two)], f"nothing gets from {one} to {two}")

    def _ring(self, rng: random.Random) -> Heal:
        """Every node sees its two neighbours only (with three nodes: one link is cut)."""
        hosts = self._hosts(rng)
        count = len(hosts)
        cut = [
            (hosts[i], hosts[j])
            for i in range(count)
            for j in range(count)
            if i != j and (j - i) % count not in {1, count - 1}
        ] or [(hosts[0], hosts[1]), (hosts[1], hosts[0])]
        return self._block(cut, f"a ring of {hosts}")

    def _break_connections(self, rng: random.Random) -> Heal | None:
        connections = list(self._fabric.connections.values())
        if not connections:
            return None
        count = rng.randint(1, len(connections))
        for connection in rng.sample(connections, count):
            connection.break_side(rng.random() < 0.5, "connection reset")
        self._trace.add("nemesis", f"{count} connections break")
        return lambda: None

    def _slow_network(self, rng: random.Random) -> Heal:
        conditions = self._fabric.conditions
        factor = rng.choice([5.0, 20.0, 100.0])

        def times(interval: tuple[float, float]) -> tuple[float, float]:
            return interval[0], min(interval[1] * factor, 500.0)

        original = self._options.network()
        conditions.delay_ms, conditions.spike_ms = (
            times(original.delay_ms),
            times(original.spike_ms),
        )
        self._trace.add("nemesis", f"the network is {factor:.0f} times slower")

        def heal() -> None:
            conditions.delay_ms, conditions.spike_ms = original.delay_ms, original.spike_ms
            self._trace.add("nemesis", "the network is as fast as before")

        return heal
