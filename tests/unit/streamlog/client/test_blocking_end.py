"""Blocking clients share one event loop, which ends with the last of them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from streamlog.client.sync import Producer
from tests.fakes.fake_nodes import TOPIC, FakeCluster


def threads() -> set[threading.Thread]:
    """Those of the clients' loops; others may come and go at any time."""
    return {each for each in threading.enumerate() if each.name == "streamlog blocking clients"}


def test_clients_share_a_loop_that_ends_with_the_last() -> None:
    """GRPC wakes each loop of a process for what concerns another: there is one, and none when no
    client is open, so that an `asyncio.run` afterwards is alone."""
    cluster = FakeCluster("one:1")
    before = threads()
    first = Producer("one:1", environment=cluster.environment())
    second = Producer("one:1", environment=cluster.environment())
    loop = first._worker._loop
    assert second._worker._loop is loop
    assert len(threads() - before) == 1
    first.send(TOPIC, b"x")
    first.close()
    first.close()
    second.send(TOPIC, b"x")
    second.close()
    assert loop.is_closed()
    assert not threads() - before
    assert len(cluster.stored) == 2
    with Producer("one:1", environment=cluster.environment()) as third:
        assert third._worker._loop is not loop
        third.send(TOPIC, b"x")


def test_what_still_runs_is_waited_for() -> None:
    """A task of the transport outlives its call by a moment; its end comes to this loop, not to the
    next."""
    producer = Producer("one:1", environment=FakeCluster("one:1").environment())
    loop = producer._worker._loop
    kept: list[asyncio.Task[None]] = []
    begun = threading.Event()

    async def outlive() -> None:
        begun.set()
        await asyncio.sleep(0.05)

    loop.call_soon_threadsafe(lambda: kept.append(loop.create_task(outlive())))
    assert begun.wait(60)
    producer.close()
    assert kept[0].done()
    assert not kept[0].cancelled()


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (RuntimeError("Event loop is closed"), False),
        (BlockingIOError("another loop was faster"), False),
        (RuntimeError("something else"), True),
    ],
)
def test_only_what_concerns_other_loops_is_ignored(
    error: Exception, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A script that mixes blocking clients with asyncio sees nothing of gRPC's wrong addressees;
    every other error of a callback is told."""
    producer = Producer("one:1", environment=FakeCluster("one:1").environment())
    loop = producer._worker._loop
    done = threading.Event()

    def fail() -> None:
        raise error

    callbacks: list[Callable[[], object]] = [fail, done.set]
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        for callback in callbacks:
            loop.call_soon_threadsafe(callback)
        assert done.wait(60)
    producer.close()
    assert (str(error) in caplog.text) is is_told
