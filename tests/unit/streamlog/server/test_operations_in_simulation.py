"""A whole cluster of real nodes, in virtual time, as its operators see it."""

from __future__ import annotations

import asyncio
import errno
import json
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jepsen_like.sim.clients.client_adapter import client_environment
from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.scheduler import silence
from replication.types import NodeId, Offset
from streamlog.client.consume.consumer import Consumer
from streamlog.client.errors import NotReady
from streamlog.client.produce.producer import Producer
from streamlog.cluster.metadata.state import NodeCondition
from streamlog.cluster.operations import Operations as ClusterOperations
from streamlog.server.metrics import survey
from streamlog.server.metrics.catalog import METRICS
from streamlog.server.node import Node
from streamlog.server.operations import Answer, Operations
from streamlog.storage.damage import DamagedRange
from tests.fakes.node_world import NodeWorld

PATIENCE_S = 60.0
TOPIC, PARTITIONS, RECORDS = "orders", 4, 500
CONDITIONS = "streamlog_cluster_node_conditions"
DAMAGE = (
    "streamlog_storage_damaged_ranges",
    "streamlog_storage_damaged_ranges_found_total",
    "streamlog_storage_damaged_ranges_mended_total",
)


class World(NodeWorld):
    """Three nodes, and somebody who writes and reads."""

    def __init__(self) -> None:
        super().__init__()
        self.environment = client_environment(self.network, SimClock(self.loop), random.Random(1))

    def until_ready(self) -> None:
        for _ in range(600):
            if all(self.ready(number) for number in (1, 2, 3)):
                return
            self.run(0.1)
        raise AssertionError([self.readyz(number) for number in (1, 2, 3)])

    def process(self, number: int) -> Node:
        life = self.node(number).life
        assert life is not None
        assert isinstance(life.node, Node)
        return life.node

    def ask(self, number: int, path: str) -> Answer:
        life = self.node(number).life
        assert life is not None
        operations = Operations(self.process(number), life.clock)
        task = life.loop.create_task(operations.answer(path))
        answer = self.scheduler.complete(task, PATIENCE_S)
        assert answer is not None
        return answer

    def readyz(self, number: int) -> tuple[int, dict[str, Any]]:
        answer = self.ask(number, "/readyz")
        return answer.status, json.loads(answer.body())

    def ready(self, number: int) -> bool:
        return self.readyz(number)[0] == 200

    def metrics(self, number: int) -> dict[tuple[str, ...], float]:
        """By name and values of labels."""
        answer = self.ask(number, "/metrics")
        assert answer.status == 200
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.body().decode())
            for sample in family.samples
        }

    def create_topic(self) -> None:
        life = self.node(1).life
        assert life is not None
        member = self.process(1).member
        assert member is not None
        creating = member.cluster.create_topic(
            TOPIC, partition_count=PARTITIONS, replication_factor=3
        )
        self.scheduler.complete(life.loop.create_task(creating), PATIENCE_S)

    def write(self, count: int, size_bytes: int = 10) -> None:
        value = random.Random(size_bytes).randbytes(size_bytes)

        async def work() -> None:
            async with Producer(self.cluster.addresses, environment=self.environment) as producer:
                await producer.writer(TOPIC)
                for number in range(count):
                    while True:
                        try:
                            producer.send_nowait(TOPIC, value, partition=number % PARTITIONS)
                            break
                        except NotReady:
                            await producer.room()

        self.scheduler.complete(self.loop.create_task(work()), PATIENCE_S)

    def read(self, count: int) -> None:
        async def work() -> None:
            seen = 0
            async with Consumer(self.cluster.addresses, environment=self.environment) as consumer:
                consumer.assign([(TOPIC, number) for number in range(PARTITIONS)])
                while seen < count:
                    polled = await consumer.getmany(timeout_ms=100)
                    seen += sum(map(len, polled.values()))

        self.scheduler.complete(self.loop.create_task(work()), PATIENCE_S)


@pytest.fixture
def world() -> Iterator[World]:
    with silence():
        made = World()
        made.until_ready()
        made.create_topic()
        made.until_ready()
        yield made
        made.dispose()


def test_what_was_written_and_read_is_told_by_the_nodes_that_did_it(world: World) -> None:
    """Records, partitions and leaders add up over the nodes; every metric of the catalog has a
    value on some node; what nobody did is zero."""
    changed = replace(world.node(1).config, disk_reserve_bytes=12_345)
    world.process(1).settings.apply(changed)
    world.write(RECORDS)
    world.read(RECORDS)
    world.run(2.0)
    nodes = {number: world.metrics(number) for number in (1, 2, 3)}

    def total(*key: str) -> float:
        return sum(metrics.get(key, 0.0) for metrics in nodes.values())

    assert nodes[1]["streamlog_disk_reserve_bytes",] == 12_345
    assert total("streamlog_produce_records_total", TOPIC) == RECORDS
    # Each leader's first entry takes an offset that readers pass over.
    read = total("streamlog_fetch_records_total", TOPIC)
    assert RECORDS <= read <= RECORDS + 3 * PARTITIONS
    batches = total("streamlog_produce_batches_total", TOPIC)
    assert total("streamlog_commit_latency_seconds_count") == batches
    assert 0 < batches < RECORDS / 2
    assert total("streamlog_produce_latency_seconds_count") >= batches
    assert total("streamlog_produce_latency_seconds_sum") > 0
    assert total("streamlog_partitions", "led") == PARTITIONS
    assert total("streamlog_partitions", "followed") == 2 * PARTITIONS
    assert total("streamlog_topic_replicas", TOPIC) == 3 * PARTITIONS
    assert total("streamlog_metadata_leader") == 1
    for metrics in nodes.values():
        assert metrics["streamlog_node_ready",] == metrics["streamlog_node_healthy",] == 1
        assert metrics["streamlog_cluster_nodes",] == 3
        assert metrics["streamlog_cluster_live_nodes",] == 3
        assert metrics["streamlog_cluster_topics",] == 1
        assert metrics["streamlog_partitions_under_replicated",] == 0
        assert metrics["streamlog_partitions", "without_leader"] == 0
        assert metrics["streamlog_fsync_seconds_count", "journal"] > 0
        assert metrics["streamlog_topic_disk_bytes", TOPIC] > 10 * RECORDS / 100
        assert metrics["streamlog_replication_own_lag_records",] == 0
        assert metrics["streamlog_metadata_applied_offset",] == max(
            other["streamlog_metadata_commit_offset",] for other in nodes.values()
        )
    families = {key[0] for metrics in nodes.values() for key in metrics}
    for name in METRICS:
        # Those of groups need some: see test_group_watch_in_simulation.
        if not name.startswith(("streamlog_replication_partition_lag_records", "streamlog_group")):
            assert {name, f"{name}_count"} & families, name


def test_damage_is_told_from_when_it_is_found_until_it_is_mended(world: World) -> None:
    """No replica is at hand while the node is cut off; what it says of it by itself, and what it
    read meanwhile, is in its metrics. The others tell of none."""
    world.write(RECORDS)
    world.run(2.0)
    member = world.process(3).member
    assert member is not None
    group = next(group for group in member.groups.groups.values() if group.creation.topic_id)
    for other in ("node1", "node2"):
        world.fabric.block("node3", other)
        world.fabric.block(other, "node3")
    assert {name: world.metrics(3)[name,] for name in DAMAGE} == dict.fromkeys(DAMAGE, 0)
    member.store.damage.report(
        DamagedRange(group.group_id, Offset(0), group.log.end.end, "a file", "bits flipped")
    )
    for _ in range(2):
        metrics = world.metrics(3)
        assert [metrics[name,] for name in DAMAGE] == [1, 1, 0]
        world.run(30.0)
    assert [world.metrics(1)[name,] for name in DAMAGE] == [0, 0, 0]
    world.fabric.unblock_all()
    world.until_ready()
    world.run(60.0)
    metrics = world.metrics(3)
    assert [metrics[name,] for name in DAMAGE] == [0, 1, 1]


def test_what_scrubbing_read_is_told(world: World) -> None:
    """Nodes of this world scrub all the time; a round in which a log fails is told apart."""
    world.write(RECORDS)
    world.run(2.0)
    member = world.process(3).member
    assert member is not None
    before = world.metrics(3)
    world.run(5.0)
    after = world.metrics(3)
    rounds = "streamlog_scrub_rounds_total"
    assert after["streamlog_scrub_bytes_total",] > before["streamlog_scrub_bytes_total",]
    assert after[rounds, "complete"] > before[rounds, "complete"]
    assert after[rounds, "incomplete"] == 0
    group = next(group for group in member.groups.groups.values() if group.creation.topic_id)
    group.log.read_file = failing  # type: ignore[attr-defined]
    world.run(5.0)
    assert world.metrics(3)[rounds, "incomplete"] > 0
    assert world.metrics(3)[rounds, "complete"] <= after[rounds, "complete"] + 1


async def failing(*_: object) -> bytes:
    raise OSError(errno.EMFILE, "Too many open files")


def test_a_node_that_is_cut_off_is_not_ready_and_the_others_name_it(world: World) -> None:
    """It knows no live leader; those that go on see its replicas lack what is written meanwhile;
    when the network heals everybody is ready again."""
    for other in ("node1", "node2"):
        world.fabric.block("node3", other)
        world.fabric.block(other, "node3")
    while world.ready(3):
        world.run(0.001)
    # It knows before its replicas do, which go on following until their timers run out.
    assert any(group.leader for group in world.process(3).groups.values())
    world.run(5.0)
    world.write(RECORDS)
    status, body = world.readyz(3)
    assert status == 503
    assert body["ready"] is False
    assert f"{PARTITIONS} of {PARTITIONS} replicas have no live leader" in body["reasons"]
    assert "no live leader of the metadata is known" in body["reasons"]
    assert world.ask(3, "/healthz").status == 200
    assert world.ready(1)
    assert world.ready(2)
    lags = [world.metrics(number) for number in (1, 2)]
    assert sum(m["streamlog_replication_lag_records", "3"] for m in lags) >= RECORDS
    assert sum(m["streamlog_partitions_under_replicated",] for m in lags) == PARTITIONS
    named = [key for m in lags for key in m if "partition_lag" in key[0]]
    assert len(named) == PARTITIONS
    assert min(m["streamlog_cluster_live_nodes",] for m in lags) == 2
    assert world.metrics(3)["streamlog_partitions", "without_leader"] == PARTITIONS
    world.fabric.unblock_all()
    world.until_ready()
    assert world.metrics(1)["streamlog_replication_lag_records", "3"] == 0


def test_a_node_that_comes_back_is_ready_only_when_it_has_caught_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves first: alive, healthy, and told apart from ready until it has what was written
    while it was away."""
    monkeypatch.setattr(survey, "LAG_MAX", 0)
    world.cluster.kill(world.node(3), power_cut=True)
    world.run(5.0)
    world.write(RECORDS, 100_000)  # Many messages: it does not get all at once.
    world.cluster.start(world.node(3))
    assert world.readyz(3) == (
        503,
        {
            "ready": False,
            "reasons": ["the node is starting"],
            "node": 3,
            "phase": "starting",
        },
    )
    reasons: dict[str, None] = {}
    lags: list[int] = []
    for _ in range(30_000):
        status, body = world.readyz(3)
        assert world.ask(3, "/healthz").status == 200
        if status == 200:
            break
        reasons.update(dict.fromkeys(body["reasons"]))
        lags.append(body.get("lag", {"records": 0})["records"])
        world.run(0.001)
    assert body["lag"] == {"allowed": 20_000, "records": 0, "partitions": []}
    assert body["partitions"]["followed"] + body["partitions"]["led"] == PARTITIONS
    told = " ".join(reasons)
    assert "the node is starting" in told
    assert "records behind" in told
    assert max(lags) > 0
    assert lags[-1] < max(lags)


def test_a_node_that_stops_says_so_before_it_hands_over(world: World) -> None:
    """/readyz is 503 from the first moment of the stop, while the node still listens and leads."""
    leader = next(
        number for number in (1, 2, 3) if world.metrics(number)["streamlog_partitions", "led"] > 0
    )
    life = world.node(leader).life
    assert life is not None
    seen: list[tuple[int, list[str], bool]] = []
    node = world.process(leader)
    operations = Operations(node, life.clock)

    async def stop() -> None:
        stopping = life.loop.create_task(node.stop())
        while not stopping.done():
            answer = await operations.answer("/readyz")
            assert answer is not None
            reasons = json.loads(answer.body())["reasons"]
            led = any(group.role.value == "leader" for group in node.groups.values())
            seen.append((answer.status, reasons, bool(node.address) and led))
            await asyncio.sleep(0.0005)
        await stopping

    assert world.ready(leader)
    world.scheduler.complete(life.loop.create_task(stop()), PATIENCE_S)
    assert {status for status, _, _ in seen[1:]} == {503}
    assert ["the node is stopping"] in [reasons for _, reasons, _ in seen]
    first = next(entry for entry in seen if entry[0] == 503)
    assert first == (503, ["the node is stopping"], True)


def test_what_operators_wish_and_what_follows_is_told(world: World) -> None:
    """A node in maintenance, partitions that are on their way, and what the leaders copied for
    them; every node tells the same of the wishes."""

    def ask(of: Callable[[ClusterOperations], Coroutine[Any, Any, object]]) -> None:
        life, member = world.node(1).life, world.process(1).member
        assert life is not None
        assert member is not None
        task = life.loop.create_task(of(member.cluster.operations))
        world.scheduler.complete(task, PATIENCE_S)

    ask(lambda operations: operations.set_replication_factor(TOPIC, 1))
    world.run(5.0)
    world.write(RECORDS, size_bytes=1_000)
    # What a leader appended itself since it began is not copied, but sent as it is to all.
    for number in (1, 2, 3):
        world.cluster.kill(world.node(number), power_cut=False)
    world.run(1.0)
    for number in (1, 2, 3):
        world.cluster.start(world.node(number))
    world.until_ready()
    ask(
        lambda operations: operations.set_condition(
            NodeId(3), NodeCondition.MAINTENANCE, force=True
        )
    )
    ask(lambda operations: operations.set_replication_factor(TOPIC, 2))
    assert world.metrics(1)["streamlog_cluster_moving_partitions",] == PARTITIONS
    world.run(5.0)
    copied = 0.0
    for number in (1, 2, 3):
        metrics = world.metrics(number)
        assert metrics["streamlog_cluster_moving_partitions",] == 0
        conditions = {key[1]: value for key, value in metrics.items() if key[0] == CONDITIONS}
        assert conditions == {"active": 2, "maintenance": 1, "draining": 0}
        copied += metrics["streamlog_replication_copied_bytes_total",]
    # One thousand random bytes, again and again, compressed, from one replica to another.
    assert copied > PARTITIONS * 1_000
