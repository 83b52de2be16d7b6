"""The blocking worker: handlers in threads, stopped from anywhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from streamlog.client.errors import WrongUse
from streamlog.client.records import ConsumerRecord, TopicPartition
from streamlog.client.sync import Worker, _Worker
from tests.fakes.fake_group_source import FakeGroupSource, record

P0 = TopicPartition("t", 0)
DEADLINE_S = 60


class BlockingConsumer:
    """What a blocking worker uses of its consumer."""

    def __init__(self) -> None:
        self._worker = _Worker("consumer")
        self._twin = self._worker.run(self._make())

    async def _make(self) -> FakeGroupSource:
        return FakeGroupSource()


@pytest.fixture
def consumer() -> Iterator[Any]:
    made = BlockingConsumer()
    yield made
    made._worker.close()


def test_handlers_run_in_threads_side_by_side(consumer: Any) -> None:
    """As many as there are threads, one key in order; `stop` comes from one of them, and what was
    done is committed."""
    together = threading.Barrier(4)
    seen: list[tuple[str, int]] = []
    consumer._twin.put(*(record(0, offset, b"k%d" % (offset % 4)) for offset in range(8)))

    def handle(each: ConsumerRecord) -> None:
        together.wait(DEADLINE_S)
        seen.append((threading.current_thread().name, each.offset))
        if len(seen) == 8:
            worker.stop()

    worker = Worker(consumer, handle, concurrency=4)
    worker.run()
    assert sorted(offset for _, offset in seen) == list(range(8))
    for key in range(4):
        assert [offset for _, offset in seen if offset % 4 == key] == [key, key + 4]
    assert all(name.startswith("streamlog worker") for name, _ in seen)
    assert consumer._twin.committed == {P0: 8}
    with pytest.raises(WrongUse, match="once"):
        worker.run()


def test_errors(consumer: Any) -> None:
    """`on_error` judges in a thread; the handler's error comes out of `run`."""
    consumer._twin.put(record(0, 0), record(0, 1, value=b"bad"))
    judged: list[tuple[int, int]] = []

    def handle(each: ConsumerRecord) -> None:
        if each.offset == 0:
            raise ValueError("skip me")
        raise LookupError("stop here")

    def judge(each: ConsumerRecord, error: Exception) -> Any:
        judged.append((each.offset, threading.get_ident()))
        return "skip" if isinstance(error, ValueError) else "stop"

    with pytest.raises(LookupError, match="stop here"):
        Worker(consumer, handle, concurrency=1, on_error=judge).run()
    assert [offset for offset, _ in judged] == [0, 1]
    assert threading.get_ident() not in [thread for _, thread in judged]
    assert consumer._twin.committed == {P0: 1}


def test_arguments(consumer: Any) -> None:
    """Those of threads are checked here, the others by the twin."""
    with pytest.raises(ValueError, match="concurrency is 0; allowed are 1 to 1000"):
        Worker(consumer, print, concurrency=0)
    with pytest.raises(ValueError, match="commit_ms is 1"):
        Worker(consumer, print, commit_ms=1)
