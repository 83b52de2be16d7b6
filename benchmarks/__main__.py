"""`make bench`: this platform beside Kafka 4.1 on this machine, in one run.

Usage: python -m benchmarks [--quick] [--only platform]

Each system runs alone: three nodes or brokers on loopback, replication 3. This platform fsyncs on
a majority before it acknowledges; Kafka runs as it comes, without fsync. Everything that was
written is read back and counted before a figure is printed. Machines differ and are noisy: quote
ratios of one run, never a single figure.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.events import write_payload_file
from benchmarks.groups.measure import GROUPS_FULL, GROUPS_QUICK, measure_groups
from benchmarks.hot_paths import measure_hot_paths
from benchmarks.peers.kafka import PeerUnavailable, jars
from benchmarks.summary import Metric, figure, table
from benchmarks.systems import Amounts, Figures, measure_kafka, measure_platform

CACHE = Path("var") / "cache"
QUICK = Amounts(
    events=2_000_000, blobs=200_000, singles=1_500, crowd=8_192, failover_partitions=600
)
FULL = Amounts(
    events=10_000_000, blobs=1_000_000, singles=5_000, crowd=65_536, failover_partitions=600
)


def metrics(ours: Figures, peer: Figures | None) -> list[Metric]:
    """The figures side by side, with the goals."""

    def other(name: str) -> float | None:
        return None if peer is None else peer.values[name]

    mine = ours.values
    return [
        Metric("produce, batched, zstd", "records/s", mine["produce"], other("produce"), 2.0),
        Metric("produce, 1 KiB random", "MB/s", mine["blobs"], other("blobs"), 1.5),
        Metric("consume from the start", "records/s", mine["consume"], other("consume"), 3.0),
        Metric("one at a time, p50", "ms", mine["single_p50"], other("single_p50"), 1.0, False),
        Metric("one at a time, p99", "ms", mine["single_p99"], other("single_p99"), 1.0, False),
        Metric("32 single clients", "records/s", mine["crowd-32"], other("crowd-32"), 1.5),
        Metric("256 single clients", "records/s", mine["crowd-256"], other("crowd-256"), 1.5),
        Metric("send_nowait, CPU a record", "us", mine["send_nowait"], None, 1.5, False),
        Metric("async for, CPU a record", "us", mine["async_for"], None, 1.0, False),
        Metric("node killed, 600 partitions led", "s", mine["failover"], None, 2.0, False),
        Metric("memory of a node", "MB", mine["memory"], None, 250.0, False),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="less work: three minutes, and one for groups"
    )
    parser.add_argument("--only", choices=["platform"], help="leave the peer out")
    arguments = parser.parse_args()
    amounts = QUICK if arguments.quick else FULL
    begin = time.perf_counter()
    CACHE.mkdir(parents=True, exist_ok=True)
    payload = CACHE / "events.txt"
    write_payload_file(payload)
    for line in measure_hot_paths():
        print(line, flush=True)
    with tempfile.TemporaryDirectory(prefix="streamlog-bench-") as scratch:
        print("running this platform …", file=sys.stderr, flush=True)
        ours = asyncio.run(measure_platform(Path(scratch) / "platform", amounts))
        peer: Figures | None = None
        if arguments.only is None:
            try:
                print("running Kafka …", file=sys.stderr, flush=True)
                peer = measure_kafka(jars(CACHE), Path(scratch) / "kafka", payload, amounts)
            except PeerUnavailable as error:
                print(f"no peer figures: {error}")
    print(table(metrics(ours, peer)))
    for note in ours.notes:
        print(note)
    if peer is not None:
        print(
            f"Kafka's own: failover {figure(peer.values['failover'])} s, "
            f"memory {figure(peer.values['memory'])} MB; it does not fsync, this platform does."
        )
    with tempfile.TemporaryDirectory(prefix="streamlog-bench-") as scratch:
        plan = GROUPS_QUICK if arguments.quick else GROUPS_FULL
        for text in asyncio.run(measure_groups(Path(scratch), plan, with_peer=peer is not None)):
            print(text)
    print(f"took {time.perf_counter() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
