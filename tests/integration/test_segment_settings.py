"""A topic's settings of its segments are in force after a restart, and when they are changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin, Producer

VALUE = bytes(range(256)) * 4
WAIT_S = 60


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    """One node."""
    cluster = LocalCluster(tmp_path, nodes=1)
    try:
        await cluster.start()
        yield cluster
    finally:
        cluster.kill_all()


def largest_segment(cluster: LocalCluster) -> int:
    """Bytes of the largest segment file that is not of the metadata."""
    (directory,) = cluster.data_directories
    metadata = f"{0:016x}"
    sizes = [0]
    for path in directory.rglob("*.segment"):
        if metadata not in path.parts:
            with suppress(FileNotFoundError):  # It went while it was looked at.
                sizes.append(path.stat().st_size)
    return max(sizes)


async def write(cluster: LocalCluster) -> None:
    async with Producer(cluster.bootstrap, compression="none", batch_bytes=4_096) as producer:
        await producer.send_many("t", (VALUE for _ in range(300)))


async def test_settings_outlive_a_restart_and_follow_changes(cluster: LocalCluster) -> None:
    """A node opens its logs before it knows the topics; it once used defaults from then on."""
    async with Admin(cluster.bootstrap) as admin:
        await admin.create_topic("t", partitions=1, config={"segment.bytes": "65536"})
        cluster.kill(1)
        await cluster.restart(1)
        await write(cluster)
        await cluster.stop()
    assert largest_segment(cluster) <= 65_536
    await cluster.restart(1)
    async with Admin(cluster.bootstrap) as admin:
        await admin.alter_topic("t", config={"segment.bytes": "131072"})
        # Who appends may hear of it a moment after whoever asked for it.
        async with asyncio.timeout(WAIT_S):
            while largest_segment(cluster) <= 65_536:
                await write(cluster)
        await cluster.stop()
    assert 65_536 < largest_segment(cluster) <= 131_072
