"""Real nodes, killed leaders, contending clients: is what the clients were told linearizable?"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jepsen_like.checkers import check
from jepsen_like.checkers.history import to_json_lines
from jepsen_like.checkers.recording import Recording
from jepsen_like.linearizability.clients import (
    Ending,
    TopicClient,
    TopicRecording,
    append_conditionally,
    watch_end,
)
from jepsen_like.linearizability.operations import appends
from jepsen_like.linearizability.operations import to_json_lines as operation_lines
from jepsen_like.linearizability.search import GoMissing, Verdict, build, search
from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin, Consumer, TopicPartition

TOPIC = "log"
SEARCH_S = 300.0
WORK_S_MAX = 600.0
"""Against a hang, both; each takes about ten, or less, on a machine that is not busy."""
SUCCESSES = 60
"""Of each workload before, between and after the kills."""


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return build()
    except GoMissing as missing:
        pytest.skip(f"linearizability of a real cluster: {missing}")


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    """Three nodes."""
    cluster = LocalCluster(tmp_path / "cluster", nodes=3)
    try:
        await cluster.start()
        yield cluster
    finally:
        cluster.kill_all()


async def drain(cluster: LocalCluster, recording: Recording) -> None:
    """The whole log at the end."""
    pair = TopicPartition(TOPIC, 0)
    drained = recording.invoke("drain", "drain", 0)
    records = []
    async with Consumer(cluster.bootstrap) as consumer:
        consumer.assign([pair], start="earliest")
        end = (await consumer.end_offsets([pair]))[pair]
        while await consumer.position(pair) < end:
            for some in (await consumer.getmany(timeout_ms=500)).values():
                records += [(record.offset, (record.value or b"").decode()) for record in some]
    recording.ok(drained, records=tuple(records), end=end)


async def partition_leader(admin: Admin) -> int:
    """Node id, as soon as one is known."""
    while not (node := (await admin.describe_topic(TOPIC)).partitions[0].leader_node_id):
        await asyncio.sleep(0.05)
    return node


async def metadata_leader(admin: Admin) -> int:
    """The same of the metadata."""
    while not (node := (await admin.describe_cluster()).metadata_leader_node_id):
        await asyncio.sleep(0.05)
    return node


def only_linearizable(verdicts: list[Verdict], kept: Path) -> None:
    """Fails with what the search says and where the operations are."""
    assert [v.result for v in verdicts] == ["linearizable"] * len(verdicts), (
        f"{', '.join(map(str, verdicts))}; see {kept}"
    )


async def test_appends_and_metadata_while_leaders_die(
    program: Path, cluster: LocalCluster, tmp_path: Path
) -> None:
    """Conditional appends and ends of one partition, and the life of one topic, seen by
    contending clients while the partition's leader is killed, comes back, and the metadata's
    leader is killed: both are linearizable, and no record is lost, doubled or aborted."""
    recording = Recording(lambda: time.monotonic() * 1_000)
    topic = TopicRecording("contended")
    appending, changing = Ending(), Ending()
    addresses = list(cluster.addresses.values())
    async with Admin(cluster.bootstrap) as admin:
        await admin.create_topic(TOPIC, partitions=1, replication_factor=3)
        working = []
        for number in range(4):
            rng = random.Random(number)
            arguments = (cluster.bootstrap, TOPIC, recording, appending, rng)
            working.append(append_conditionally(f"appender{number}", *arguments))
            if number < 2:
                working.append(watch_end(f"watcher{number}", *arguments))
            working.append(TopicClient(str(number), topic, changing, rng).work(addresses))
        tasks = [asyncio.ensure_future(work) for work in working]

        async def go_on() -> None:
            await asyncio.gather(appending.until(SUCCESSES), changing.until(SUCCESSES))

        try:
            async with asyncio.timeout(WORK_S_MAX):
                await go_on()
                leader = await partition_leader(admin)
                cluster.kill(leader)
                await go_on()
                await cluster.restart(leader)
                cluster.kill(await metadata_leader(admin))
                await go_on()
        finally:
            appending.ended = changing.ended = True
            await asyncio.gather(*tasks)
    await drain(cluster, recording)

    history = tmp_path / "history.jsonl"
    history.write_text(to_json_lines(recording.history))
    assert check(recording.history) == [], f"see {history}"
    appended = operation_lines(appends(recording.history))
    only_linearizable(
        await asyncio.to_thread(search, program, "append", appended, SEARCH_S), history
    )
    changes = tmp_path / "topic.jsonl"
    changes.write_text(operation_lines(topic.operations))
    verdicts = await asyncio.to_thread(search, program, "topic", changes.read_text(), SEARCH_S)
    only_linearizable(verdicts, changes)
