"""A disk that fills up under a real node, on a small file system of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin, ClientError, Consumer, Producer
from tests.fakes.patience import PATIENT

SMALL, LARGER = "size=200m", "size=400m"
VALUE = os.urandom(64 * 1024)
WAIT_S = 60


@pytest.fixture
def file_system(tmp_path: Path) -> Iterator[Path]:
    """200 MB in memory."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", SMALL, "tmpfs", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system of its own can be mounted here: {mounted.stderr.strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.fixture
async def cluster(
    file_system: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LocalCluster]:
    """One node on it."""
    monkeypatch.setenv("STREAMLOG_DISK_RESERVE_BYTES", str(16 << 20))
    monkeypatch.setenv("STREAMLOG_JOURNAL_FILE_BYTES", str(4 << 20))
    cluster = LocalCluster(file_system, nodes=1)
    try:
        await cluster.start()
        yield cluster
    finally:
        cluster.kill_all()


async def fill(cluster: LocalCluster) -> tuple[list[int], ClientError]:
    """Send until the node has no room; the offsets that were acknowledged, and the refusal. A node
    that stands still for a while is none."""
    stored: list[int] = []
    async with Producer(
        cluster.bootstrap, compression="none", linger_ms=0, delivery_timeout_ms=3_000
    ) as producer:
        for number in range(8_000):
            try:
                place = await producer.send("t", b"%08d" % number + VALUE, partition=0)
            except ClientError as error:
                if "DISK_FULL" not in str(error):
                    continue
                return stored, error
            stored.append(place.offset)
    raise AssertionError("the disk never filled up")


async def read(cluster: LocalCluster) -> list[tuple[int, bytes]]:
    """Offsets and values of everything that is committed."""
    found: list[tuple[int, bytes]] = []
    async with Consumer(cluster.bootstrap) as consumer:
        (end,) = (await consumer.end_offsets([("t", 0)])).values()
        consumer.assign([("t", 0)])
        while await consumer.position(("t", 0)) < end:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                found += [(record.offset, record.value or b"") for record in records]
    return found


async def test_a_full_disk_refuses_what_it_can_not_keep(
    cluster: LocalCluster, file_system: Path
) -> None:
    """The producer is told so; all that was acknowledged is there, whole; reads and metadata go on
    being served; and when there is room again, the node takes records again without a restart."""
    async with Admin(cluster.bootstrap, policy=PATIENT) as admin:
        await admin.create_topic("t", partitions=1, config={"segment.bytes": "16777216"})
        stored, refusal = await fill(cluster)
        assert len(stored) > 100
        assert refusal.retriable, refusal
        values = await read(cluster)
        assert {offset for offset, _ in values} >= set(stored)
        assert all(value[8:] == VALUE for _, value in values)
        assert [topic.name for topic in await admin.list_topics()] == ["t"]
        assert cluster.exit_code(1) is None

        await asyncio.to_thread(
            subprocess.run, ["mount", "-o", f"remount,{LARGER}", str(file_system)], check=True
        )
        async with Producer(cluster.bootstrap, compression="none") as producer:
            async with asyncio.timeout(WAIT_S):
                place = await producer.send("t", b"again", partition=0)
        assert place.offset > max(stored)
    cluster.kill(1)
    await cluster.restart(1)
    after = await read(cluster)
    assert {offset for offset, _ in after} >= {*stored, place.offset}
