"""The end of a blocking client leaves nothing behind on its event loop."""

from __future__ import annotations

import asyncio
import threading

from streamlog.client.sync import Producer
from tests.fakes.fake_nodes import TOPIC, FakeCluster


def test_tasks_that_are_left_end_with_the_loop() -> None:
    """Those of a transport may outlive its calls; a loop that closes over a task that waits
    makes asyncio complain on standard error later."""
    cluster = FakeCluster("one:1")
    producer = Producer("one:1", environment=cluster.environment())
    producer.send(TOPIC, b"x")
    ended = threading.Event()
    begun = threading.Event()

    async def outlive() -> None:
        begun.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.set()

    kept: list[asyncio.Task[None]] = []
    loop = producer._thread._loop
    loop.call_soon_threadsafe(lambda: kept.append(loop.create_task(outlive())))
    assert begun.wait(30)
    producer.close()
    assert ended.is_set()
    assert kept[0].cancelled()
    assert loop.is_closed()
