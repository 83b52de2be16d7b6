"""Calls of the ports, timed on their way through and otherwise untouched."""

from __future__ import annotations

import asyncio
import errno
import random

import pytest

from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.disk import SimDisk
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.scheduler import Scheduler
from replication.ports import CallFailed, File, ServerStream, Service, StatusCode
from streamlog.model import status_details
from streamlog.model.errors import Reason
from streamlog.model.histogram import Histogram
from streamlog.server.metrics.loop_lag import INTERVAL_MS, watch_loop
from streamlog.server.metrics.measured_disk import DiskCounters, MeasuredDisk
from streamlog.server.metrics.measured_services import CallCounters, measured


class World:
    """Virtual time."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(1)
        self.loop: SimLoop = self.scheduler.new_loop("node")
        self.clock = SimClock(self.loop)


def test_the_disk_behaves_as_before_and_durable_operations_are_timed() -> None:
    """Everything the port offers goes through; flushes, direct appends, fsyncs of files and of
    directories are told apart; their times are those of the disk."""
    world, counters = World(), DiskCounters()
    disk = MeasuredDisk(SimDisk(random.Random(1)), world.clock, counters)

    async def use() -> list[bytes]:
        await disk.lock()
        await disk.make_directory("a/b")
        journal = await disk.open("a/journal", create=True, journal=True)
        await journal.write_durable(0, [b"frames"])
        await journal.write_durable(6, [b"more"])
        segment = await disk.open("a/segment", create=True)
        await segment.write(0, [b"batch"])
        await segment.sync()
        await segment.write_durable(5, [b"large"])
        await segment.truncate(8)
        await disk.sync_directory("a")
        assert segment.path == "a/segment"
        assert await segment.size() == 8
        await disk.rename("a/segment", "a/b/segment")
        await segment.close()
        reader = await disk.open("a/b/segment", writable=False)
        read = [await reader.read(0, 100), await journal.read(0, 100)]
        assert journal.read_nowait(0, 6) in {b"frames", None}
        assert await disk.list_directory("a") == ["b", "journal"]
        await disk.remove("a/b/segment")
        await disk.remove_tree("a/b")
        assert await disk.list_directory("a") == ["journal"]
        assert await disk.free_bytes() > 0
        return read

    assert world.scheduler.complete(world.loop.create_task(use()), 10) == [
        b"batchlar",
        b"framesmore",
    ]
    counts = {name: histogram.count for name, histogram in counters.durable_ms.items()}
    assert counts == {"journal": 2, "direct": 1, "sync": 1, "directory": 1}
    assert all(histogram.total > 0 for histogram in counters.durable_ms.values())
    assert not any(counters.failures.values())
    world.scheduler.dispose([world.loop])


class BrokenFile:
    """A disk that came off."""

    path = "broken"

    def __getattr__(self, name: str) -> object:
        async def fail(*_: object) -> None:
            raise OSError(errno.EIO, name)

        return fail


class BrokenDisk(SimDisk):
    async def open(  # type: ignore[override]
        self, path: str, *, create: bool = False, writable: bool = True, journal: bool = False
    ) -> File:
        del path, create, writable, journal
        return BrokenFile()  # type: ignore[return-value]

    async def sync_directory(self, path: str) -> None:
        raise OSError(errno.EIO, path)


def test_failures_are_counted_and_passed_on() -> None:
    """The same error reaches the caller; a failed operation is no fast one."""
    world, counters = World(), DiskCounters()
    disk = MeasuredDisk(BrokenDisk(random.Random(1)), world.clock, counters)

    async def use() -> None:
        journal = await disk.open("j", journal=True)
        segment = await disk.open("s")
        for failing in (
            journal.write_durable(0, [b""]),
            segment.write_durable(0, [b""]),
            segment.sync(),
            disk.sync_directory("d"),
        ):
            with pytest.raises(OSError, match="Errno 5"):
                await failing

    world.scheduler.complete(world.loop.create_task(use()), 10)
    assert counters.failures == {"journal": 1, "direct": 1, "sync": 1, "directory": 1}
    assert not any(histogram.count for histogram in counters.durable_ms.values())
    world.scheduler.dispose([world.loop])


class Stream:
    """A call that nobody needs to make."""

    peer = "test"

    async def receive(self) -> bytes | None:
        return None

    async def send(self, message: bytes) -> None:
        del message


def test_calls_are_counted_by_method() -> None:
    """Begun, open and ended; failures by reason where there is one, by status otherwise; what the
    handler gets, gives and raises is not touched."""
    world = World()
    refused: list[tuple[str, str]] = []
    counters = CallCounters(lambda method, reason: refused.append((method, reason)))
    gate = asyncio.Event()
    reason = status_details.encode(Reason.OVERLOADED, "too much")

    async def answer(request: bytes) -> bytes:
        await asyncio.sleep(0.25)
        return request + b"!"

    async def refuse(_: bytes) -> bytes:
        raise CallFailed(StatusCode.RESOURCE_EXHAUSTED, "too much", reason)

    async def serve(_: ServerStream) -> None:
        await gate.wait()
        raise CallFailed(StatusCode.CANCELLED, "the client is gone")

    async def break_(_: ServerStream) -> None:
        raise ZeroDivisionError

    service = measured(
        Service(
            "streamlog.v1.LogService",
            {"Answer": answer, "Refuse": refuse},
            {"Serve": serve, "Break": break_},
        ),
        world.clock,
        counters,
    )

    async def use() -> None:
        assert await service.unary["Answer"](b"hi") == b"hi!"
        with pytest.raises(CallFailed, match="too much") as caught:
            await service.unary["Refuse"](b"")
        assert caught.value.details == reason
        serving = asyncio.ensure_future(service.streams["Serve"](Stream()))
        await asyncio.sleep(0.01)
        assert counters.streams["LogService/Serve"].open == 1
        gate.set()
        with pytest.raises(CallFailed, match="gone"):
            await serving
        with pytest.raises(ZeroDivisionError):
            await service.streams["Break"](Stream())
        abandoned = asyncio.ensure_future(service.unary["Answer"](b""))
        await asyncio.sleep(0.01)
        abandoned.cancel()
        await asyncio.wait([abandoned])

    world.scheduler.complete(world.loop.create_task(use()), 10)
    assert service.name == "streamlog.v1.LogService"
    answered = counters.unary["LogService/Answer"]
    assert (answered.begun, answered.open, answered.ended) == (2, 0, 2)
    assert answered.ended_ms == pytest.approx(260, abs=1)
    assert counters.streams["LogService/Serve"].open == 0
    assert refused == [
        ("LogService/Refuse", "OVERLOADED"),
        ("LogService/Serve", "CANCELLED"),
        ("LogService/Break", "INTERNAL"),
    ]
    world.scheduler.dispose([world.loop])


def test_a_loop_that_is_held_up_shows() -> None:
    """On an idle loop the lag is nothing; a process that was stopped for half a second comes back
    half a second late."""
    world, lag_ms = World(), Histogram()
    world.loop.create_task(watch_loop(world.clock, lag_ms))
    world.scheduler.run(world.scheduler.now + 2.0)
    quiet = lag_ms.count
    assert quiet == pytest.approx(2_000 / INTERVAL_MS, abs=1)
    assert lag_ms.total < 1.0
    world.scheduler.pause(world.loop)
    world.scheduler.run(world.scheduler.now + 0.5)
    world.scheduler.resume(world.loop)
    world.scheduler.run(world.scheduler.now + 1.0)
    assert lag_ms.count > quiet
    assert 300 < lag_ms.total < 501
    world.scheduler.dispose([world.loop])
