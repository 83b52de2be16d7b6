"""What one seed simulates: the size of the cluster, its tempers, its faults, its load.

Everything is drawn from the seed, so that thousands of seeds cover the combinations.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from typing import Final

from jepsen_like.sim.disk import DiskLatency
from jepsen_like.sim.fabric import NetworkConditions

FAULTS: Final = (
    "kill one",
    "power cut one",
    "power cut leader",
    "power cut majority",
    "power cut all",
    "isolate one",
    "split majority",
    "one-way",
    "ring",
    "break connections",
    "slow network",
    "pause one",
    "slow disk",
    "full disk",
    "failing disk",
    "bit rot",
    "clock jump",
    "restart one",
    "hand over",
)
"""Names of what a nemesis does; see `nemesis`."""


@dataclass(frozen=True, slots=True)
class SimOptions:
    """One simulation."""

    seed: int
    nodes: int
    partitions: int
    replication_factor: int
    faults: tuple[str, ...]
    """Kinds that may strike; empty: none does."""
    fault_pause_ms: tuple[float, float]
    """Between one fault and the next."""
    fault_length_ms: tuple[float, float]
    load_ms: float
    """How long clients work under faults."""
    producers: int
    consumers: int
    records_per_producer: int
    delay_ms: float
    """Longest ordinary delay of a message."""
    spike_probability: float
    keepalive_ms: float
    sync_ms: float
    """Longest fsync."""
    cold_read_probability: float
    drift: float
    """Clocks run up to so much faster or slower."""
    election_timeout_ms: int
    heartbeat_interval_ms: int
    checkpoint_interval_ms: int
    journal_direct_bytes: int
    segment_bytes: int
    snapshot_records: int

    def network(self) -> NetworkConditions:
        """The network's conditions."""
        return NetworkConditions(
            delay_ms=(0.1, self.delay_ms),
            spike_probability=self.spike_probability,
            keepalive_ms=(self.keepalive_ms, 1.5 * self.keepalive_ms),
        )

    def disk(self) -> DiskLatency:
        """Every disk's latencies."""
        return DiskLatency(
            read_ms=(0.01, 0.2),
            write_ms=(0.0, 0.1),
            sync_ms=(0.1, self.sync_ms),
            directory_ms=(0.0, 0.1),
        )

    def __str__(self) -> str:
        """One line an option."""
        return "\n".join(f"  {f.name:<24} {getattr(self, f.name)}" for f in fields(self))


def draw_options(seed: int) -> SimOptions:
    """The options of a seed."""
    rng = random.Random(f"{seed}/options")
    nodes = rng.choice([1, 3, 3, 3, 3, 5])
    heartbeat_ms = rng.choice([30, 50, 100])
    return SimOptions(
        seed=seed,
        nodes=nodes,
        partitions=rng.choice([1, 2, 3]),
        replication_factor=min(nodes, 3),
        faults=_draw_faults(rng, nodes),
        fault_pause_ms=(0.0, rng.choice([100.0, 400.0, 800.0])),
        fault_length_ms=(20.0, rng.choice([150.0, 600.0, 1_200.0])),
        load_ms=rng.choice([8_000.0, 12_000.0]),
        producers=rng.choice([2, 3]),
        consumers=rng.choice([1, 2]),
        records_per_producer=rng.choice([200, 300, 400]),
        delay_ms=rng.choice([0.5, 1.0, 5.0]),
        spike_probability=rng.choice([0.0, 0.01, 0.05]),
        keepalive_ms=rng.choice([1_500.0, 10_000.0]),
        sync_ms=rng.choice([0.5, 2.0, 8.0]),
        cold_read_probability=rng.choice([0.0, 0.2, 1.0]),
        drift=rng.choice([0.0, 0.01, 0.05]),
        election_timeout_ms=heartbeat_ms * rng.choice([5, 8, 12]),
        heartbeat_interval_ms=heartbeat_ms,
        checkpoint_interval_ms=rng.choice([200, 1_000, 5_000]),
        journal_direct_bytes=rng.choice([4 << 10, 16 << 10, 256 << 10]),
        segment_bytes=rng.choice([0, 1 << 20]),
        snapshot_records=rng.choice([10, 50, 50_000]),
    )


def _draw_faults(rng: random.Random, nodes: int) -> tuple[str, ...]:
    if rng.random() < 0.05:
        return ()
    possible = [f for f in FAULTS if nodes > 1 or f not in _NEEDS_PEERS]
    count = rng.choice([1, 2, 4, len(possible)])
    chosen = rng.sample(possible, min(count, len(possible)))
    return tuple(f for f in FAULTS if f in chosen)


_NEEDS_PEERS: Final = frozenset(
    {
        "power cut leader",
        "power cut majority",
        "isolate one",
        "split majority",
        "one-way",
        "ring",
        "bit rot",
        "hand over",
    }
)
"""Without others there is nobody to cut off, to hand over to, or to mend from."""
