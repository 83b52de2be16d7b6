"""Nobody waits for a client that can not go on, or for a node that says nothing."""

from __future__ import annotations

import asyncio

import pytest

from streamlog.client import ClientError, Consumer, Producer
from streamlog.client.connections import connection as connection_module
from streamlog.client.errors import ClientDefect
from tests.fakes.fake_nodes import TOPIC, FakeCluster

ADDRESSES = ("one:1", "two:1")
PATIENCE_S = 60
"""Far more than any of this takes; only what would wait for ever fails by it."""


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(*ADDRESSES)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake that is not answered is waited for longer than the test."""
    monkeypatch.setattr(connection_module, "HANDSHAKE_TIMEOUT_MS", 3_600_000)


def unforeseen() -> None:
    raise RuntimeError("nobody foresaw this")


async def test_a_producer_whose_task_dies_fails_what_waits(cluster: FakeCluster) -> None:
    """The send loop once died in silence, and what was handed to it waited for its timeout."""
    cluster.nodes["one:1"].on_send = unforeseen
    producer = Producer("one:1", linger_ms=0, environment=cluster.environment())
    async with asyncio.timeout(PATIENCE_S):
        await producer.start()
        with pytest.raises(ClientDefect, match="nobody foresaw this") as caught:
            await producer.send(TOPIC, b"x")
        assert caught.value.fatal
        assert caught.value.indefinite
        with pytest.raises(ClientDefect):
            await producer.send(TOPIC, b"y")
        with pytest.raises(ClientDefect):
            producer.send_nowait(TOPIC, b"z")
        with pytest.raises(ClientDefect):
            await producer.flush()
        await producer.close()


async def test_a_consumer_whose_task_dies_says_so(cluster: FakeCluster) -> None:
    """Each further read fails, too."""
    cluster.nodes["one:1"].on_send = unforeseen
    async with (
        asyncio.timeout(PATIENCE_S),
        Consumer("one:1", environment=cluster.environment()) as consumer,
    ):
        consumer.assign([(TOPIC, 0)])
        for _ in range(2):
            with pytest.raises(ClientDefect, match="nobody foresaw this"):
                await consumer.getmany(timeout_ms=PATIENCE_S * 1_000)


@pytest.mark.usefixtures("patient")
async def test_partitions_leave_a_silent_node_for_a_new_leader(cluster: FakeCluster) -> None:
    """While the connection to a leader that vanished is tried, metadata names another one: what
    waited for the connection goes there, and does not wait for it to time out."""
    async with Producer("two:1", linger_ms=0, environment=cluster.environment()) as producer:
        async with asyncio.timeout(PATIENCE_S):
            await producer.writer(TOPIC)
            cluster.nodes["one:1"].silent = True
            sending = asyncio.ensure_future(producer.send(TOPIC, b"x"))
            await asyncio.sleep(0.05)
            assert not sending.done()
            cluster.lead(2)
            producer.refresh_soon()
            assert (await sending).offset == 0
    assert cluster.nodes["one:1"].streams_opened == 0
    assert len(cluster.stored) == 1


async def test_a_loss_is_made_good_at_the_new_leader(cluster: FakeCluster) -> None:
    """A stream that breaks in the middle of a message: sent again, to whoever leads then."""
    from streamlog.client.transport import TransportError

    def broken() -> None:
        cluster.lead(2)
        raise TransportError(14, "Socket closed")

    cluster.nodes["one:1"].on_send = broken
    async with (
        asyncio.timeout(PATIENCE_S),
        Producer("two:1", linger_ms=0, environment=cluster.environment()) as producer,
    ):
        places = await asyncio.gather(*(producer.send(TOPIC, b"%d" % n) for n in range(100)))
        assert len(places) == 100
    assert cluster.nodes["two:1"].streams_opened == 1


async def test_errors_are_one_tree() -> None:
    """Whatever the client raises about the cluster can be caught as one."""
    assert issubclass(ClientDefect, ClientError)
