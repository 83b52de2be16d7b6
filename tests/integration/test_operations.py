"""Real nodes as their operators see them: scraped, probed, stopped under load, and broken."""

from __future__ import annotations

import asyncio
import errno
import json
import random
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from replication.ports import CallFailed, Ports
from streamlog.cli.node.local_cluster import free_ports
from streamlog.client import Consumer, Producer, TopicPartition
from streamlog.host.clock import RealClock
from streamlog.host.disk import RealDisk
from streamlog.host.network import GrpcNetwork
from streamlog.host.syscalls import FileCalls, PortableCalls, platform_calls
from streamlog.model.settings.node import NodeConfig
from streamlog.server.metrics.catalog import METRICS
from streamlog.server.node import build_node
from streamlog.server.operations import Operations
from streamlog.v1 import admin_service_pb2 as admin
from tests.fakes.node_processes import WAIT_SECONDS, NodeProcess, until

TOPIC, PARTITIONS = "orders", 6
ELECTION_MS = 20_000
"""Long, so that a partition that waits for one is told from one that was handed over, also where
the machine is slow."""
PATIENCE = (f"--election-timeout-ms={ELECTION_MS}", "--heartbeat-interval-ms=500")
RECORDS_MIN = 100
STOPS_MAX = 4
"""Of a node: it may have stopped before whoever looks has looked, on a machine with other work."""


class Watched:
    """A node process and where it answers operators."""

    def __init__(self, directory: Path, node_id: int, ports: Sequence[int], *options: str) -> None:
        count = len(ports) // 2
        addresses = [f"127.0.0.1:{port}" for port in ports[:count]]
        self.operations = f"127.0.0.1:{ports[count + node_id - 1]}"
        self.node = NodeProcess(
            directory, node_id, addresses, f"--operations-bind={self.operations}", *options
        )

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.operations}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def readyz(self) -> tuple[int, dict[str, Any]]:
        status, body = self.get("/readyz")
        return status, json.loads(body) if body else {}

    def until_ready(self) -> None:
        def ready() -> bool:
            process = self.node.process
            assert process is not None
            assert process.poll() is None, self.node.log.read_text()
            return self.get("/readyz")[0] == 200

        until(ready, f"node {self.node.node_id} is ready: {self.readyz()}")

    def metrics(self) -> dict[tuple[str, ...], float]:
        """By name and values of labels."""
        status, body = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }


@dataclass
class Written:
    """What was acknowledged."""

    values: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """By partition and offset."""
    longest_wait_s: list[float] = field(default_factory=lambda: [0.0] * PARTITIONS)
    """By partition, between one acknowledgement and the next."""
    enough: bool = False


async def write(producer: Producer, partition: int, written: Written) -> None:
    """One record after the other, until it is enough."""
    number, last = 0, time.monotonic()
    while not written.enough:
        value = b"%d/%d" % (partition, number)
        place = await producer.send(TOPIC, value, partition=partition)
        now = time.monotonic()
        written.longest_wait_s[partition] = max(written.longest_wait_s[partition], now - last)
        assert (partition, place.offset) not in written.values
        written.values[partition, place.offset] = value
        number, last = number + 1, now


async def read_all(addresses: Sequence[str]) -> dict[tuple[int, int], bytes]:
    """Everything that is stored."""
    pairs = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
    found: dict[tuple[int, int], bytes] = {}
    async with Consumer(addresses) as consumer:
        consumer.assign(pairs, start="earliest")
        ends = await consumer.end_offsets(pairs)
        waiting = [pair for pair in pairs if ends[pair] > 0]
        while waiting:
            for where, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    assert record.value is not None
                    found[where.partition, record.offset] = record.value
            waiting = [pair for pair in waiting if await consumer.position(pair) < ends[pair]]
    return found


Seen = list[tuple[int, tuple[str, ...]]]
"""Statuses and reasons of /readyz, each change once."""
STOPPING = (503, ("the node is stopping",))


async def watch_stop(watched: Watched, seen: Seen) -> None:
    """Until nobody answers."""
    while not seen or seen[-1][0] != 0:
        status, body = await asyncio.to_thread(watched.readyz)
        entry = (status, tuple(body.get("reasons", ())))
        if not seen or seen[-1] != entry:
            seen.append(entry)


async def stopped(watched: Watched) -> Seen:
    """What is seen of a node that is stopped while it leads something and is ready."""
    process = watched.node.process
    assert process is not None
    async with asyncio.timeout(2 * WAIT_SECONDS):
        while not (await asyncio.to_thread(watched.metrics))["streamlog_partitions", "led"]:
            await asyncio.sleep(0.2)  # Leaderships come home.
        seen: Seen = []
        watching = asyncio.ensure_future(watch_stop(watched, seen))
        while not seen or seen[-1] != (200, ()):
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, WAIT_SECONDS) == 0
        await watching
    return seen


async def test_a_rolling_restart_under_load_loses_nothing_and_waits_for_no_election(
    tmp_path: Path,
) -> None:
    """Each node in turn is stopped while all partitions are written to: /readyz turns before
    anything else, its leaderships go elsewhere first, and every acknowledged record is there."""
    ports = free_ports(6)
    options = (*PATIENCE, "--shutdown-handover-ms=60000")
    cluster = [Watched(tmp_path, n, ports, *options) for n in (1, 2, 3)]
    addresses = [watched.node.address for watched in cluster]
    written = Written()
    try:
        for watched in cluster:
            watched.node.start()
        for watched in cluster:
            watched.node.until_healthy()
        await asyncio.to_thread(cluster[0].node.create_topic, TOPIC, PARTITIONS, 3)
        for watched in cluster:
            await asyncio.to_thread(watched.until_ready)
        async with Producer(addresses) as producer:
            writing = [
                asyncio.ensure_future(write(producer, number, written))
                for number in range(PARTITIONS)
            ]
            for watched in cluster:
                while min(written.longest_wait_s) == 0.0:
                    await asyncio.sleep(0.05)
                    assert not any(task.done() for task in writing)
                for _ in range(STOPS_MAX):
                    seen = await stopped(watched)
                    watched.node.start()
                    await asyncio.to_thread(watched.until_ready)
                    if STOPPING in seen:
                        break
                assert STOPPING in seen, seen
                assert 200 not in [status for status, _ in seen[seen.index(STOPPING) :]], seen
            while len(written.values) <= RECORDS_MIN:
                await asyncio.sleep(0.05)
                assert not any(task.done() for task in writing)
            written.enough = True
            await asyncio.gather(*writing)
        found = await read_all(addresses)
        assert found == written.values
        assert max(written.longest_wait_s) * 1_000 < ELECTION_MS
        for watched in cluster:
            handed = [
                json.loads(line)
                for line in watched.node.log.read_text().splitlines()
                if '"leadership_handed_over"' in line
            ]
            assert handed
            assert {event["left"] for event in handed} == {0}, handed
    finally:
        for watched in cluster:
            watched.node.kill()


async def test_a_scrape_of_real_nodes(tmp_path: Path) -> None:
    """What one client did is told by the nodes, next to what the operating system says of their
    processes; every metric is there, and stays on through a scrape of each node at once."""
    ports = free_ports(4)
    cluster = [Watched(tmp_path, n, ports, *PATIENCE) for n in (1, 2)]
    addresses = [watched.node.address for watched in cluster]
    try:
        for watched in cluster:
            watched.node.start()
        for watched in cluster:
            await asyncio.to_thread(watched.until_ready)
        await asyncio.to_thread(cluster[0].node.create_topic, TOPIC, PARTITIONS, 2)
        async with Producer(addresses) as producer:
            for number in range(300):
                await producer.send(TOPIC, b"value", partition=number % PARTITIONS)
        assert len(await read_all(addresses)) == 300
        scraped: list[dict[tuple[str, ...], float]] = []

        def total(*key: str) -> float:
            return sum(metrics.get(key, 0.0) for metrics in scraped)

        def settled() -> bool:
            """No partition changes its leader between one scrape and the other, and so on."""
            scraped[:] = [watched.metrics() for watched in cluster]
            return (
                total("streamlog_partitions", "led") == PARTITIONS
                and total("streamlog_partitions", "followed") == PARTITIONS
                and total("streamlog_node_ready") == len(cluster)
                and all(metrics["streamlog_event_loop_lag_seconds_count",] for metrics in scraped)
            )

        await asyncio.to_thread(until, settled, "the nodes are at rest")
        assert total("streamlog_produce_records_total", TOPIC) == 300
        assert total("streamlog_fetch_records_total", TOPIC) >= 300
        assert total("streamlog_node_calls_total", "LogService/Produce") >= 1
        assert total("streamlog_node_calls_total", "AdminService/CreateTopic") == 1
        for metrics in scraped:
            assert metrics["streamlog_fsync_seconds_count", "journal"] > 0
            assert metrics["streamlog_disk_free_bytes",] > 0
            assert metrics["streamlog_journal_limit_bytes",] == 8 << 20
            assert metrics["process_resident_memory_bytes",] > 10 << 20
            assert metrics["process_open_fds",] > 0
            assert metrics["process_cpu_seconds_total",] > 0
        _, body = await asyncio.to_thread(cluster[0].get, "/metrics")
        for name, metric in METRICS.items():
            assert f"# TYPE {name} {metric.kind.value}\n" in body
        statuses = await asyncio.gather(
            *(asyncio.to_thread(cluster[n % 2].get, "/metrics") for n in range(8))
        )
        assert {status for status, _ in statuses} == {200}
        for watched in cluster:
            assert watched.get("/nothing")[0] == 404
            assert watched.get("/healthz")[0] == 200
    finally:
        for watched in cluster:
            watched.node.kill()


def test_a_node_without_its_majority_is_alive_and_not_ready(tmp_path: Path) -> None:
    """Its peer is killed: 503 names what is missing; the peer comes back, and both are ready."""
    ports = free_ports(4)
    first, second = (Watched(tmp_path, n, ports) for n in (1, 2))
    try:
        for watched in (first, second):
            watched.node.start()
        for watched in (first, second):
            watched.until_ready()
        first.node.create_topic(TOPIC, 2, 2)
        for watched in (first, second):
            watched.until_ready()
        second.node.kill()
        until(lambda: first.readyz()[0] == 503, "it notices")
        missing = "2 of 2 replicas have no live leader"
        until(lambda: missing in first.readyz()[1].get("reasons", ()), "all")
        until(lambda: first.get("/healthz")[0] == 200, "it is alive")
        until(lambda: first.metrics()["streamlog_partitions", "without_leader"] == 2, "it counts")
        until(
            lambda: first.metrics()["streamlog_replication_peer_connected", "2"] == 0,
            "it knows who is missing",
        )
        second.node.start()
        for watched in (first, second):
            watched.until_ready()
    finally:
        for watched in (first, second):
            watched.node.kill()


class FailingCalls(PortableCalls):
    """The platform's calls until the disk breaks."""

    def __init__(self) -> None:
        self.real: FileCalls = platform_calls()
        self.broken = False

    def write_durable(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
        if self.broken:
            raise OSError(errno.EIO, "the platter came off")
        self.real.write_durable(descriptor, buffers, offset)


async def test_a_failed_disk_shows(tmp_path: Path) -> None:
    """/healthz and /readyz are 503 with the reason, and the scrape counts the failure."""
    calls = FailingCalls()
    disk = RealDisk(tmp_path, calls=calls)
    network = GrpcNetwork()
    config = NodeConfig(
        bind="127.0.0.1:0", advertised="127.0.0.1:1", bootstrap=True, journal_file_bytes=1 << 20
    )
    node = build_node(config, Ports(RealClock(), disk, network, random.Random(1)))
    operations = Operations(node, RealClock())
    await node.start()
    try:
        for path in ("/healthz", "/readyz"):
            async with asyncio.timeout(WAIT_SECONDS):
                while (answer := await operations.answer(path)) is None or answer.status != 200:
                    await asyncio.sleep(0.05)
        calls.broken = True
        channel = network.connect(node.address)
        request = admin.CreateTopicRequest(name=TOPIC, partition_count=1, replication_factor=1)
        creating = asyncio.ensure_future(
            channel.unary(
                "/streamlog.v1.AdminService/CreateTopic", request.SerializeToString(), 60_000
            )
        )
        await asyncio.wait_for(node.failed(), WAIT_SECONDS)
        for path in ("/healthz", "/readyz"):
            answer = await operations.answer(path)
            assert answer is not None
            assert answer.status == 503
        answer = await operations.answer("/healthz")
        assert answer is not None
        assert "the platter came off" in json.loads(answer.body())["reasons"][0]
        answer = await operations.answer("/metrics")
        assert answer is not None
        text = answer.body().decode()
        assert "streamlog_node_healthy 0.0\n" in text
        assert 'streamlog_fsync_failures_total{operation="journal"} 1.0\n' in text
    finally:
        await node.stop()
        await disk.close()
    with pytest.raises(CallFailed):
        await creating
    await channel.close()


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("0.0.0.0:9464", 2, "loopback"),
        ("127.0.0.1:{bind}", 2, "another port than that of bind"),
        ("127.0.0.1:{taken}", 1, "is in use by another process"),
    ],
)
def test_an_address_that_can_not_be_answered_on(
    tmp_path: Path, address: str, code: int, message: str
) -> None:
    """The node does not start: one line with the setting, and nothing is left behind."""
    bind, taken, other = free_ports(3)
    holder = Watched(tmp_path / "holder", 1, [taken, other])
    (tmp_path / "holder").mkdir()
    holder.node.start()
    try:
        holder.node.until_healthy()
        given = address.format(bind=bind, taken=taken)
        refused = NodeProcess(
            tmp_path, 1, [f"127.0.0.1:{bind}"], f"--operations-bind={given}"
        ).run_to_its_end()
        assert refused.returncode == code, refused.stderr
        last = refused.stderr.splitlines()[-1]
        assert message in last
        assert "operations.bind" in last or "operations-bind" in last
        assert "Traceback" not in refused.stderr
    finally:
        holder.node.kill()
