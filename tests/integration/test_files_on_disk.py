"""What a node leaves on its disk, and what it needs of the system to do so."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin, Consumer, Producer
from tests.fakes.patience import PATIENT

ROOT = Path(__file__).parents[2]
DESCRIPTORS = 1_024
PARTITIONS = 250
VALUE = bytes(range(256)) * 4
PER_PARTITION = 110
DELIVERY_S = 600
"""All records are given to the producer before most of them are stored."""
STOP_S = 300
"""Every file that is open is written to its end."""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    """One node that may open as many files as a login shell may."""
    cluster = LocalCluster(tmp_path, nodes=1)
    try:
        await cluster.start()
        (pid,) = cluster.pids()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        yield cluster
    finally:
        cluster.kill_all()


def segments(cluster: LocalCluster) -> list[Path]:
    (directory,) = cluster.data_directories
    return [path for path in directory.rglob("*.segment") if f"{0:016x}" not in path.parts]


async def test_far_more_segments_than_descriptors(cluster: LocalCluster) -> None:
    """A node with 1,024 descriptors writes, reads and recovers some 2,000 segment files; each is
    what stock protoc calls a BatchSet."""
    async with Admin(cluster.bootstrap, policy=PATIENT) as admin:
        config = {"segment.bytes": "16384"}
        await admin.create_topic("t", partitions=PARTITIONS, config=config)
    async with Producer(
        cluster.bootstrap,
        compression="none",
        batch_bytes=4_096,
        delivery_timeout_ms=DELIVERY_S * 1_000,
    ) as producer:
        writer = await producer.writer("t")
        for _ in range(PER_PARTITION):
            for partition in range(PARTITIONS):
                await producer.room()
                writer.send_nowait(VALUE, partition=partition)
    await read_all(cluster)
    await stop(cluster)
    files = segments(cluster)
    assert len(files) > 1.5 * DESCRIPTORS
    for path in files[:: len(files) // 5]:
        assert decoded_batches(path) >= 1
    await cluster.restart(1)
    await read_all(cluster)


async def stop(cluster: LocalCluster) -> None:
    """Gently, however long it takes: after a kill the ends of files may be torn."""
    cluster.signal(1, signal.SIGTERM)
    async with asyncio.timeout(STOP_S):
        while cluster.exit_code(1) is None:
            await asyncio.sleep(0.05)
    assert cluster.exit_code(1) == 0, cluster.obituary(1)
    await cluster.stop()  # which only closes what led to it


async def read_all(cluster: LocalCluster) -> None:
    left = PARTITIONS * PER_PARTITION
    async with Consumer(cluster.bootstrap) as consumer:
        consumer.assign([("t", partition) for partition in range(PARTITIONS)])
        while left:
            taken = await consumer.getmany(timeout_ms=60_000)
            assert taken, f"{left} records did not come"
            for records in taken.values():
                assert all(record.value == VALUE for record in records)
                left -= len(records)


def decoded_batches(path: Path) -> int:
    """Batches that stock protoc finds in a segment file."""
    with path.open("rb") as segment:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "grpc_tools.protoc",
                "-Iproto",
                "--decode=streamlog.v1.BatchSet",
                "streamlog/v1/batch.proto",
            ],
            cwd=ROOT,
            stdin=segment,
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.startswith("batches {") or "segment {" in done.stdout
    return done.stdout.count("batches {")
