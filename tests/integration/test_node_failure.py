"""A node on the real ports whose disk fails: it says so, and serves no more."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from replication.ports import CallFailed, Channel, Ports, StatusCode
from streamlog.cli.node.health import serves
from streamlog.cli.node.local_cluster import free_ports
from streamlog.cli.node.process import NodeEnded, serve
from streamlog.host.clock import RealClock
from streamlog.host.disk import RealDisk
from streamlog.host.network import GrpcNetwork
from streamlog.host.syscalls import FileCalls, PortableCalls, platform_calls
from streamlog.model.settings.node import NodeConfig
from streamlog.server.node import build_node
from streamlog.v1 import admin_service_pb2 as admin

WAIT_MS = 60_000
"""For whatever comes at once on a machine that is not busy."""


class FailingCalls(PortableCalls):
    """The platform's calls until the disk breaks; then everything that must be durable fails."""

    def __init__(self) -> None:
        self.real: FileCalls = platform_calls()
        self.broken = False

    def write_durable(self, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
        self._check()
        self.real.write_durable(descriptor, buffers, offset)

    def sync_data(self, descriptor: int) -> None:
        self._check()
        self.real.sync_data(descriptor)

    def _check(self) -> None:
        if self.broken:
            raise OSError(errno.EIO, "the platter came off")


def config(bind: str = "127.0.0.1:0") -> NodeConfig:
    return NodeConfig(
        bind=bind, advertised="127.0.0.1:1", bootstrap=True, journal_file_bytes=1 << 20
    )


async def create_topic(channel: Channel, name: str) -> None:
    request = admin.CreateTopicRequest(name=name, partition_count=1, replication_factor=1)
    await channel.unary(
        "/streamlog.v1.AdminService/CreateTopic", request.SerializeToString(), WAIT_MS
    )


async def test_a_failed_flush_ends_the_node(tmp_path: Path) -> None:
    """What can not be made durable is not acknowledged; the node is not healthy from then on,
    `failed` gives the reason, and the stop leaves no clean mark behind."""
    calls = FailingCalls()
    disk = RealDisk(tmp_path / "data", calls=calls)
    network = GrpcNetwork()
    node = build_node(config(), Ports(RealClock(), disk, network, random.Random(1)))
    await node.start()
    channel = network.connect(node.address)
    await create_topic(channel, "before")
    assert await serves(network, node.address, WAIT_MS)

    calls.broken = True
    creating = asyncio.ensure_future(create_topic(channel, "after"))
    reason = await asyncio.wait_for(node.failed(), WAIT_MS / 1_000)
    assert "the platter came off" in str(reason)
    assert not await serves(network, node.address, 5_000)
    await node.stop()
    await disk.close()
    with pytest.raises(CallFailed):
        await creating
    await channel.close()
    assert (tmp_path / "data" / "running").exists()

    calls.broken = False
    disk = RealDisk(tmp_path / "data", calls=calls)
    node = build_node(config(), Ports(RealClock(), disk, network, random.Random(2)))
    await node.start()
    channel = network.connect(node.address)
    listed = admin.ListTopicsResponse.FromString(
        await channel.unary("/streamlog.v1.AdminService/ListTopics", b"", WAIT_MS)
    )
    assert "before" in [topic.name for topic in listed.topics]
    await channel.close()
    await node.stop()
    await disk.close()
    assert not (tmp_path / "data" / "running").exists()


async def test_the_process_ends_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`streamlog server` gives up when the disk fails, and says why."""
    calls = FailingCalls()
    monkeypatch.setattr("streamlog.host.disk.platform_calls", lambda: calls)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    serving = asyncio.ensure_future(serve(config(address), tmp_path / "data", asyncio.Event()))
    network = GrpcNetwork()
    async with asyncio.timeout(WAIT_MS / 1_000):
        while not await serves(network, address, 1_000):
            assert not serving.done(), serving.result()
            await asyncio.sleep(0.01)
    calls.broken = True
    channel = network.connect(address)
    creating = asyncio.ensure_future(create_topic(channel, "after"))
    with pytest.raises(NodeEnded, match="the platter came off"):
        await asyncio.wait_for(serving, WAIT_MS / 1_000)
    with pytest.raises(CallFailed):
        await creating
    await channel.close()


async def test_a_start_that_is_given_up_gives_everything_back(tmp_path: Path) -> None:
    """A blank node that waits for the rest of its cluster can be stopped, and started again."""
    waiting = NodeConfig(
        bind="127.0.0.1:0",
        advertised="127.0.0.1:1",
        controllers=((1, "127.0.0.1:1"), (2, "127.0.0.1:2")),
        bootstrap=True,
        journal_file_bytes=1 << 20,
    )
    for _ in range(2):
        disk = RealDisk(tmp_path)
        network = GrpcNetwork()
        node = build_node(waiting, Ports(RealClock(), disk, network, random.Random(3)))
        starting = asyncio.ensure_future(node.start())
        while not node.address:
            assert not starting.done()
            await asyncio.sleep(0.01)
        assert not await serves(network, node.address, 5_000)
        channel = network.connect(node.address)
        with pytest.raises(CallFailed) as caught:
            await create_topic(channel, "early")
        assert caught.value.code is StatusCode.UNAVAILABLE
        await channel.close()
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        await node.stop()
        await disk.close()
        assert not (tmp_path / "running").exists()
