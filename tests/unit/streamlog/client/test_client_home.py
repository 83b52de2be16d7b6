"""Objects of the client refuse to be used where they would break in silence."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable

import pytest

from streamlog.client import Consumer, Producer, WrongUse
from streamlog.client.home import Home
from tests.fakes.fake_nodes import TOPIC, FakeCluster


def elsewhere(use: Callable[[], object]) -> BaseException | None:
    """What a use in another thread raises."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            use()
        except WrongUse as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return caught[0] if caught else None


async def test_another_thread_is_refused_for_each_record() -> None:
    """Also while a batch is open: records of two threads would be mixed up in it."""
    cluster = FakeCluster("one:1")
    async with Producer("one:1", linger_ms=60_000, environment=cluster.environment()) as producer:
        await producer.writer(TOPIC)
        producer.send_nowait(TOPIC, b"mine")
        error = elsewhere(lambda: producer.send_nowait(TOPIC, b"not mine"))
        assert isinstance(error, WrongUse)
        assert "another thread" in str(error)
        assert "streamlog.client.sync" in str(error)
        await producer.flush()
    assert len(cluster.stored) == 1


async def test_another_thread_may_not_read() -> None:
    """A loop of its own does not help."""
    cluster = FakeCluster("one:1")
    async with Consumer("one:1", environment=cluster.environment()) as consumer:
        consumer.assign([(TOPIC, 0)], start=0)
        error = elsewhere(lambda: asyncio.run(consumer.getmany()))
        assert "another thread" in str(error)
        assert "no event loop" not in str(error)


def test_another_loop_is_refused() -> None:
    """asyncio.run twice: the second loop knows nothing of the first one's connections."""
    home = Home("producer")

    async def use() -> None:
        home.check()

    asyncio.run(use())
    with pytest.raises(WrongUse, match="another event loop"):
        asyncio.run(use())


def test_no_loop_is_refused() -> None:
    """Scripts are told what to use."""
    with pytest.raises(WrongUse, match=r"streamlog\.client\.sync"):
        Home("consumer").check()


def test_a_fork_is_refused() -> None:
    """A child inherits what it can not use; it is told so, and the parent goes on."""
    home = Home("producer")

    async def fork() -> int:
        home.check()
        assert home.thread == threading.get_ident()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            words = b"nothing was raised"
            try:
                if home.thread != threading.get_ident():
                    raise home.elsewhere()
                home.check()
            except WrongUse as error:
                words = str(error).encode()
            os.write(writer, words)
            os._exit(0)
        os.close(writer)
        assert b"fork" in os.read(reader, 1_000)
        os.close(reader)
        home.check()
        return child

    os.waitpid(asyncio.run(fork()), 0)


async def test_after_close() -> None:
    """Closing twice is fine; anything else is refused with the object's name."""
    cluster = FakeCluster("one:1")
    producer = Producer("one:1", environment=cluster.environment())
    await producer.start()
    await producer.writer(TOPIC)
    await producer.close()
    await producer.close()
    with pytest.raises(Exception, match="the producer is closed"):
        producer.send_nowait(TOPIC, b"x")
    with pytest.raises(Exception, match="the producer is closed"):
        await producer.send(TOPIC, b"x")
    consumer = Consumer("one:1", environment=cluster.environment())
    async with consumer:
        pass
    await consumer.close()
    with pytest.raises(Exception, match="the consumer is closed"):
        await consumer.getmany()
    with pytest.raises(Exception, match="the consumer is closed"):
        consumer.assign([(TOPIC, 0)])
