"""Blocking clients share one event loop, which outlives each of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from streamlog.client.sync import Producer
from tests.fakes.fake_nodes import TOPIC, FakeCluster


def test_a_closed_client_leaves_the_loop_to_the_next() -> None:
    """GRPC hands what completes late to any loop of the process: were this one closed, the next
    client's would complain on standard error."""
    cluster = FakeCluster("one:1")
    threads = []
    for _ in range(2):
        with Producer("one:1", environment=cluster.environment()) as producer:
            producer.send(TOPIC, b"x")
            loop = producer._worker._loop
        assert loop.is_running()
        threads.append({thread.name for thread in threading.enumerate()})
    assert threads[0] == threads[1]
    assert len(cluster.stored) == 2


@pytest.mark.parametrize(
    ("message", "is_told"), [("Event loop is closed", False), ("something else", True)]
)
def test_only_late_completions_of_ended_loops_are_ignored(
    message: str, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A script that mixes blocking clients with `asyncio.run` sees nothing of the latter's end;
    every other error of a callback is told."""
    producer = Producer("one:1", environment=FakeCluster("one:1").environment())
    loop = producer._worker._loop
    done = threading.Event()

    def fail() -> None:
        raise RuntimeError(message)

    callbacks: list[Callable[[], object]] = [fail, done.set]
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        for callback in callbacks:
            loop.call_soon_threadsafe(callback)
        assert done.wait(30)
    producer.close()
    assert (message in caplog.text) is is_told
