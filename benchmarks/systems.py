"""The systems under test: how each does the same work. Clients run in processes of their own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cpu import TICKS_PER_S, cpu_ticks
from benchmarks.peers.kafka import KafkaCluster, resident_mb
from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin

CLIENT_TIMEOUT_S = 300
FAILOVER_WITHIN_S = 60.0
CROWDS = (32, 256)
"""Numbers of clients that send one record at a time."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much work."""

    events: int
    blobs: int
    singles: int
    crowd: int
    """Records of each crowd of single-record clients."""
    failover_partitions: int


@dataclass(slots=True)
class Figures:
    """What a system reached; the names are those of the metrics."""

    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Said besides."""


def client(module: str, *arguments: object) -> dict[str, float]:
    """Run a client process; what it printed. Raises RuntimeError with its words."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.clients.{module}", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=CLIENT_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} {arguments} failed: {done.stderr[-2_000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(answer, dict)
    return answer


def _expect(what: str, got: float, wanted: int) -> None:
    if got != wanted:
        raise RuntimeError(f"{what}: {got:.0f} records were read back, {wanted} were written")


async def _create(bootstrap: str, topic: str, partitions: int) -> None:
    async with Admin(bootstrap) as admin:
        await admin.create_topic(topic, partitions=partitions, replication_factor=3)
        await _await_leaders(admin, topic, without=0)


async def _await_leaders(admin: Admin, topic: str, without: int) -> float:
    """Seconds until every partition has a leader other than node `without`."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < FAILOVER_WITHIN_S:
        description = await admin.describe_topic(topic)
        if all(p.leader_node_id not in {0, without} for p in description.partitions):
            return time.perf_counter() - begin
        await asyncio.sleep(0.02)
    raise RuntimeError(f"{topic} had no leaders within {FAILOVER_WITHIN_S:.0f} s")


def _breakdown(clients: int, crowd: dict[str, float], spent: Counter[str]) -> str:
    """Where the CPU of a crowd's records went."""
    records = crowd["records"]
    parts = ", ".join(
        f"{kind} of the nodes {ticks / TICKS_PER_S / records * 1e6:.0f}"
        for kind, ticks in sorted(spent.items())
    )
    return (
        f"{clients} clients: p50 {crowd['p50_ms']:.1f} ms, p99 {crowd['p99_ms']:.1f} ms; CPU a"
        f" record, us: clients {crowd['client_cpu_us']:.0f}, {parts}"
    )


async def measure_platform(directory: Path, amounts: Amounts) -> Figures:
    """Three nodes, replication 3, fsync on a majority before each acknowledgement."""
    figures = Figures()
    found = figures.values
    cluster = LocalCluster(directory, nodes=3)
    try:
        await cluster.start()
        bootstrap = cluster.bootstrap

        async def work(what: str, topic: str, count: int) -> dict[str, float]:
            return await asyncio.to_thread(client, "platform", what, bootstrap, topic, count)

        await _create(bootstrap, "events", 6)
        produced = await work("produce-events", "events", amounts.events)
        consumed = await work("consume", "events", amounts.events + 1)
        _expect("events", consumed["records"], amounts.events + 1)
        found["produce"] = produced["records_per_s"]
        found["consume"] = consumed["records_per_s"]
        await _create(bootstrap, "blobs", 6)
        produced = await work("produce-blobs", "blobs", amounts.blobs)
        consumed = await work("consume", "blobs", amounts.blobs + 1)
        _expect("blobs", consumed["records"], amounts.blobs + 1)
        found["blobs"] = produced["mb_per_s"]
        await _create(bootstrap, "singles", 1)
        single = await work("single", "singles", amounts.singles)
        consumed = await work("consume", "singles", amounts.singles + 50)
        _expect("singles", consumed["records"], amounts.singles + 50)
        found["single_p50"], found["single_p99"] = single["p50_ms"], single["p99_ms"]
        for clients in CROWDS:
            topic = f"crowd-{clients}"
            await _create(bootstrap, topic, 6)
            before = cpu_ticks(cluster.pids())
            crowd = await asyncio.to_thread(
                client, "crowd", bootstrap, topic, amounts.crowd, clients
            )
            spent = cpu_ticks(cluster.pids())
            spent.subtract(before)
            consumed = await work("consume", topic, int(crowd["records"]))
            _expect(topic, consumed["records"], int(crowd["records"]))
            found[topic] = crowd["records_per_s"]
            figures.notes.append(_breakdown(clients, crowd, spent))
        await _create(bootstrap, "costs", 6)
        cost = await work("costs", "costs", 100_000)
        found["send_nowait"], found["async_for"] = cost["send_nowait_us"], cost["async_for_us"]
        found["memory"] = max(resident_mb(pid) for pid in cluster.pids())
        await _create(bootstrap, "many", amounts.failover_partitions)
        async with Admin(bootstrap) as admin:
            await admin.describe_topic("many")
            begin = time.perf_counter()
            cluster.kill(2)
            await _await_leaders(admin, "many", without=2)
            found["failover"] = time.perf_counter() - begin
    finally:
        cluster.kill_all()
    return figures


def measure_kafka(libs: Path, directory: Path, payload: Path, amounts: Amounts) -> Figures:
    """Three brokers, replication 3, acks from all in-sync replicas, no fsync (its default)."""
    figures = Figures()
    found = figures.values
    with KafkaCluster(libs, directory) as kafka:
        bootstrap = kafka.bootstrap
        kafka.create_topic("events", 6)
        found["produce"], _ = kafka.produce_with_java(
            "events", amounts.events, payload=payload, record_bytes=0, codec="zstd"
        )
        consumed = client("kafka", "consume", bootstrap, "events", amounts.events)
        _expect("Kafka events", consumed["records"], amounts.events)
        found["consume"] = consumed["records_per_s"]
        kafka.create_topic("blobs", 6)
        _, mebibytes = kafka.produce_with_java(
            "blobs", amounts.blobs, payload=None, record_bytes=1_024, codec="none"
        )
        found["blobs"] = mebibytes * 1.048576
        consumed = client("kafka", "consume", bootstrap, "blobs", amounts.blobs)
        _expect("Kafka blobs", consumed["records"], amounts.blobs)
        kafka.create_topic("singles", 1)
        single = client("kafka", "single", bootstrap, "singles", amounts.singles)
        consumed = client("kafka", "consume", bootstrap, "singles", amounts.singles + 50)
        _expect("Kafka singles", consumed["records"], amounts.singles + 50)
        found["single_p50"], found["single_p99"] = single["p50_ms"], single["p99_ms"]
        for clients in CROWDS:
            topic = f"crowd-{clients}"
            kafka.create_topic(topic, 6)
            crowd = client("kafka", "crowd", bootstrap, topic, amounts.crowd, clients)
            consumed = client("kafka", "consume", bootstrap, topic, int(crowd["records"]))
            _expect(f"Kafka {topic}", consumed["records"], int(crowd["records"]))
            found[topic] = crowd["records_per_s"]
        found["memory"] = kafka.memory_mb()
        kafka.create_topic("many", amounts.failover_partitions)
        begin = time.perf_counter()
        kafka.kill(2)
        kafka.await_leaders("many", amounts.failover_partitions, without=2)
        found["failover"] = time.perf_counter() - begin
    return figures
