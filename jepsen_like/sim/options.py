"""What one seed simulates: the size of the cluster, its tempers, its faults, its load.

Everything is drawn from the seed, so that thousands of seeds cover the combinations. Each option
is drawn by its name: adding one, or narrowing a run down (`narrowing`), changes no other.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, TypeVar

from jepsen_like.sim.ports.disk import DiskLatency
from jepsen_like.sim.ports.fabric import NetworkConditions

T = TypeVar("T")

ROT: Final = (
    "bit rot",
    "journal rot",
    "checkpoint rot",
    "state rot",
    "snapshot rot",
    "lost write",
    "misdirected write",
    "lost file",
)
"""Damage to what is stored, on one node of a run; see `rot`."""

GROUP_FAULTS: Final = (
    "member leaves",
    "member hangs",
    "member freezes",
    "member crashes",
    "other subscription",
    "reset offsets",
    "delete group",
    "add partitions",
)
"""What happens to consumer groups, in simulations that have some; see `group_faults`."""

OPERATORS: Final = (
    "move partition",
    "change factor",
    "drain one",
    "maintenance",
    "other controllers",
)
"""What operators ask for; it counts when it is taken, not when it is refused or gets lost."""

EIO: Final = (
    "EIO on read",
    "EIO on write",
    "EIO on fsync",
    "EIO on open",
)
"""What a failing disk does, each counted when an operation failed; see `failing_disk`."""

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
    *ROT,
    "clock jump",
    "clock strobe",
    "restart one",
    "rolling restart",
    "hand over",
    *OPERATORS,
    *GROUP_FAULTS,
)
"""Names of what a nemesis does; see `nemesis`."""

STRUCK: Final = (*FAULTS, *EIO, "index rot")
"""Names of what a nemesis counts: a seed draws of the faults, and some of them have several effects."""

WITNESSED: Final = ("message lost", "message overtaken", "batch repeated", "refused, disk full")
"""What faults lead to, as the network and the nodes count it."""

COUNTED: Final = (*STRUCK, *WITNESSED)
"""Names of what a run counts."""

COUNTED_LATER: Final = (
    "failing disk",
    "full disk",
    "hand over",
    "reset offsets",
    "delete group",
    "add partitions",
    *OPERATORS,
)
"""Faults that a strike only prepares or asks for: they count themselves when they take effect."""


@dataclass(frozen=True, slots=True)
class SimOptions:
    """One simulation."""

    seed: int
    nodes: int
    controllers: int
    """Of the nodes, how many found the cluster; the others join it."""
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
    record_pause_ms: float
    """Between two records of a producer, on average."""
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
    retention_bytes: int
    """Of each partition of the clients' topic; 0: everything is kept."""
    snapshot_records: int
    snapshot_bytes: int
    scrub_ms: int
    """Between rounds of scrubbing; 0: none before the end."""
    groups: int
    """Consumer groups with members; 0: there are none, nor anything else of groups."""
    members: int
    """Of each group, when nobody is away."""
    library_share: float
    """Of the members, how many are made with the client library."""
    group_partitions: int
    """Of `__consumer_offsets`."""
    session_ms: int
    rebalance_ms: int
    aimed_disk_errors: bool = False
    """A failing disk is aimed at what seldom happens: see `failing_disk`."""
    appenders: int = 0
    """Clients that contend for the end of a partition of their own; see `contention`."""
    without: tuple[str, ...] = ()
    """Of `faults`, those that are switched off: their strikes do nothing."""
    strikes_max: int | None = None
    """Only so many strikes, the first ones; None: as many as there are."""
    skip: tuple[int, ...] = ()
    """Numbers of strikes, from 0, that do nothing."""

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


class _Draw:
    """Draws options, each from a source of its own."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def source(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/option {name}")

    def one(self, name: str, values: Sequence[T]) -> T:
        return self.source(name).choice(values)


def draw_options(seed: int) -> SimOptions:
    """The options of a seed."""
    draw = _Draw(seed)
    nodes = draw.one("nodes", [1, 3, 3, 4, 4, 5])
    groups = draw.one("groups", [0, 0, 1, 1, 2])
    heartbeat_ms = draw.one("heartbeat", [30, 50, 100])
    load_ms = draw.one("load", [8_000.0, 12_000.0])
    records = draw.one("records", [200, 300, 400])
    return SimOptions(
        seed=seed,
        nodes=nodes,
        controllers=min(nodes, draw.one("controllers", [3, 5])),
        partitions=draw.one("partitions", [1, 2, 3]),
        replication_factor=min(nodes, 3),
        faults=(*_draw_faults(draw, nodes), *(_draw_group_faults(draw) if groups else ())),
        fault_pause_ms=(0.0, draw.one("fault pause", [100.0, 400.0, 800.0])),
        fault_length_ms=(20.0, draw.one("fault length", [150.0, 600.0, 1_200.0])),
        load_ms=load_ms,
        producers=draw.one("producers", [2, 3]),
        consumers=draw.one("consumers", [1, 2]),
        records_per_producer=records,
        record_pause_ms=load_ms / records,
        delay_ms=draw.one("delay", [0.5, 1.0, 5.0]),
        spike_probability=draw.one("spikes", [0.0, 0.01, 0.05]),
        keepalive_ms=draw.one("keepalive", [1_500.0, 10_000.0]),
        sync_ms=draw.one("sync", [0.5, 2.0, 8.0]),
        cold_read_probability=draw.one("cold reads", [0.0, 0.2, 1.0]),
        drift=draw.one("drift", [0.0, 0.01, 0.05]),
        election_timeout_ms=heartbeat_ms * draw.one("election timeout", [5, 8, 12]),
        heartbeat_interval_ms=heartbeat_ms,
        checkpoint_interval_ms=draw.one("checkpoints", [200, 1_000, 5_000]),
        journal_direct_bytes=draw.one("direct appends", [4 << 10, 16 << 10, 256 << 10]),
        segment_bytes=draw.one("segments", [0, 16 << 10, 64 << 10]),
        # What a group had not read of what went, nobody could tell from what it skipped.
        retention_bytes=0 if groups else draw.one("retention", [0, 32 << 10, 64 << 10]),
        snapshot_records=draw.one("snapshots", [10, 50, 50_000]),
        snapshot_bytes=draw.one("snapshot bytes", [4 << 10, 32 << 10, 8 << 20]),
        scrub_ms=draw.one("scrubbing", [0, 500, 2_000]),
        groups=groups,
        members=draw.one("members", [1, 2, 3, 4]),
        library_share=draw.one("library", [0.0, 0.5, 0.5, 1.0]),
        group_partitions=draw.one("group partitions", [1, 2]),
        session_ms=draw.one("session", [1_000, 1_500, 2_500]),
        rebalance_ms=draw.one("rebalance", [1_000, 2_000]),
        aimed_disk_errors=draw.one("aimed disk errors", [True, *7 * [False]]),
        appenders=draw.one("appenders", [0, 0, 0, 0, 0, 2, 3]),
    )


def _draw_faults(draw: _Draw, nodes: int) -> tuple[str, ...]:
    if draw.source("no faults").random() < 0.05:
        return ()
    others = [fault for fault in FAULTS if fault not in GROUP_FAULTS]
    possible = [fault for fault in others if nodes >= _NODES_NEEDED.get(fault, 1)]
    count = min(draw.one("kinds of faults", [1, 2, 4, 8, len(possible)]), len(possible))
    ranks = {fault: draw.source(f"fault {fault}").random() for fault in possible}
    chosen = sorted(possible, key=lambda fault: ranks[fault])[:count]
    return tuple(fault for fault in FAULTS if fault in chosen)


def _draw_group_faults(draw: _Draw) -> tuple[str, ...]:
    count = draw.one("kinds of group faults", [0, 2, 4, len(GROUP_FAULTS)])
    ranks = {fault: draw.source(f"fault {fault}").random() for fault in GROUP_FAULTS}
    chosen = sorted(GROUP_FAULTS, key=lambda fault: ranks[fault])[:count]
    return tuple(fault for fault in GROUP_FAULTS if fault in chosen)


_NODES_NEEDED: Final = {
    "power cut leader": 3,
    "power cut majority": 3,
    "isolate one": 3,
    "split majority": 3,
    "one-way": 3,
    "ring": 3,
    **dict.fromkeys(ROT, 3),
    "rolling restart": 3,
    "hand over": 3,
    "maintenance": 3,
    "move partition": 4,
    "change factor": 4,
    "drain one": 4,
    "other controllers": 4,
}
"""Without others there is nobody to cut off, to hand over to, to mend from or to move to."""
