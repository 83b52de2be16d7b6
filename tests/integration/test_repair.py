"""Rot and loss of files on one of three real nodes: never served, found, and mended from the others."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin, Consumer, Producer, TopicPartition
from tests.fakes.cli_shell import Shell

WAIT_S = 120
RECORDS = 3_000
PAIR = TopicPartition("t", 0)


@pytest.fixture(autouse=True)
def nodes_scrub_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And write checkpoints soon."""
    monkeypatch.setenv("STREAMLOG_SCRUB_INTERVAL_MS", "200")
    monkeypatch.setenv("STREAMLOG_SCRUB_BYTES_PER_SECOND", str(1 << 30))
    monkeypatch.setenv("STREAMLOG_CHECKPOINT_INTERVAL_MS", "100")


def segments(cluster: LocalCluster, node: int) -> list[Path]:
    """Of the topic's partition on a node, ascending; the metadata's group is 0."""
    directory = cluster.data_directories[node - 1]
    return sorted(
        path
        for path in directory.glob("groups/*/*/*.segment")
        if int(path.parent.parent.name, 16) != 0
    )


async def fill(cluster: LocalCluster) -> None:
    """Records in many small segments, all of them in files."""
    async with (
        Admin(cluster.bootstrap) as admin,
        Producer(cluster.bootstrap, compression="none") as producer,
    ):
        config = {"segment.bytes": "65536"}
        await admin.create_topic("t", partitions=1, replication_factor=3, config=config)
        for number in range(RECORDS):
            value = b"%d " % number + bytes(range(256))
            await producer.send_many("t", [value])
            if number % 100 == 99:
                await producer.flush()
    async with asyncio.timeout(WAIT_S):
        while any(len(segments(cluster, node)) < 4 for node in (1, 2, 3)):
            await asyncio.sleep(0.1)


async def read_all(cluster: LocalCluster) -> list[int]:
    async with Consumer(cluster.bootstrap) as consumer:
        consumer.assign([PAIR], start="earliest")
        numbers: list[int] = []
        async with asyncio.timeout(WAIT_S):
            while len(numbers) < RECORDS:
                polled = await consumer.getmany(timeout_ms=1_000)
                for records in polled.values():
                    numbers += [int(record.value.split(b" ")[0]) for record in records]
        return numbers


def content_of(path: Path) -> bytes:
    """Empty while there is no such file."""
    return path.read_bytes() if path.exists() else b""


async def until_same(path: Path, content: bytes) -> None:
    async with asyncio.timeout(WAIT_S):
        while await asyncio.to_thread(content_of, path) != content:
            await asyncio.sleep(0.1)


async def damage_metrics(cluster: LocalCluster, node: int) -> dict[str, float]:
    """What the node counts of damage and of scrubbing."""

    def scrape() -> str:
        url = f"http://{cluster.operations[node]}/metrics"
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            text: str = answer.read().decode()
            return text

    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(await asyncio.to_thread(scrape))
        for sample in family.samples
        if "damaged_ranges" in sample.name or sample.name == "streamlog_scrub_bytes_total"
    }


async def status(cluster: LocalCluster) -> tuple[int, dict[str, Any]]:
    """Exit code, and what is told."""
    shell = Shell(cluster.bootstrap, cluster.directory)
    done = await asyncio.to_thread(shell.run, "cluster", "status", "-o", "json")
    return done.returncode, json.loads(done.stdout or "{}")


async def test_damage_that_no_replica_can_mend_is_told_until_one_can(
    cluster: LocalCluster,
) -> None:
    """The same segment rots on all nodes: metrics and `cluster status` say so, and that not all is
    well, while the nodes stay ready; a file put back on one mends them all."""
    await fill(cluster)
    paths = [segments(cluster, node)[1] for node in cluster.addresses]
    sound = [path.read_bytes() for path in paths]
    assert len({path.name for path in paths}) == 1
    await cluster.stop()  # What was written lately would be mended from memory.
    for path, content in zip(paths, sound, strict=True):
        with path.open("r+b") as file:
            file.seek(len(content) // 2)
            file.write(b"rot")
    await cluster.start()
    async with asyncio.timeout(WAIT_S):
        while (told := await status(cluster))[1].get("damage", [])[2:] == []:
            await asyncio.sleep(0.1)
    code, described = told
    assert code == 1
    assert [node["damaged_ranges"] for node in described["nodes"]] == [1, 1, 1]
    assert [(each["node"], each["topic"], each["partition"]) for each in described["damage"]] == [
        (node, "t", 0) for node in (1, 2, 3)
    ]
    for node in cluster.addresses:
        metrics = await damage_metrics(cluster, node)
        assert metrics["streamlog_storage_damaged_ranges"] == 1
        assert metrics["streamlog_storage_damaged_ranges_found_total"] == 1
        assert metrics["streamlog_storage_damaged_ranges_mended_total"] == 0
        assert metrics["streamlog_scrub_bytes_total"] > 0
        ready = f"http://{cluster.operations[node]}/readyz"
        assert (await asyncio.to_thread(urllib.request.urlopen, ready)).status == 200
    middle = len(sound[0]) // 2
    with paths[0].open("r+b") as file:
        file.seek(middle)
        file.write(sound[0][middle : middle + 3])
    async with asyncio.timeout(WAIT_S):
        while (told := await status(cluster))[0] != 0:
            await asyncio.sleep(0.1)
    assert told[1]["damage"] == []
    for node, path, content in zip(cluster.addresses, paths, sound, strict=True):
        assert path.read_bytes() == content
        metrics = await damage_metrics(cluster, node)
        assert metrics["streamlog_storage_damaged_ranges"] == 0
        assert metrics["streamlog_storage_damaged_ranges_mended_total"] == 1
    assert await read_all(cluster) == list(range(RECORDS))


async def test_rot_and_loss_on_one_node(cluster: LocalCluster) -> None:
    """On the leader and on a follower; every record is read meanwhile; the files are what they
    were, byte for byte, and the logs tell."""
    await fill(cluster)
    async with Admin(cluster.bootstrap) as admin, asyncio.timeout(WAIT_S):
        while not (leader := (await admin.describe_topic("t")).partitions[0].leader_node_id):
            await asyncio.sleep(0.1)
    follower = leader % 3 + 1
    rotten, lost, other = (*segments(cluster, leader)[:2], segments(cluster, follower)[1])
    before = {path: path.read_bytes() for path in (rotten, lost, other)}
    with rotten.open("r+b") as file:
        file.seek(len(before[rotten]) // 2)
        file.write(b"rot")
    with other.open("r+b") as file:
        file.truncate(len(before[other]) // 2)
    assert await read_all(cluster) == list(range(RECORDS))
    for path, content in before.items():
        await until_same(path, content)
    async with asyncio.timeout(WAIT_S):
        for node in (leader, follower):
            for event in ("log_damaged", "log_mended"):
                while event not in cluster.log_of(node).read_text():
                    await asyncio.sleep(0.1)
    assert await read_all(cluster) == list(range(RECORDS))
    await cluster.stop()
    lost.unlink()
    already = cluster.log_of(leader).read_text().count("log_mended")
    await cluster.start()
    assert await read_all(cluster) == list(range(RECORDS))
    async with asyncio.timeout(WAIT_S):
        while cluster.log_of(leader).read_text().count("log_mended") == already:
            await asyncio.sleep(0.1)
    assert await read_all(cluster) == list(range(RECORDS))
