"""The simulated network behaves like gRPC over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from jepsen_like.sim.ports.fabric import Fabric, NetworkConditions
from jepsen_like.sim.ports.network import SimNetwork
from jepsen_like.sim.ports.scheduler import Scheduler
from replication.ports import CallFailed, Network, ServerStream, Service, StatusCode

T = TypeVar("T")
KEEPALIVE_S = 15.0


class World:
    """A server and a client on two hosts."""

    def __init__(self, seed: int = 1) -> None:
        self.scheduler = Scheduler(seed)
        self.fabric = Fabric(self.scheduler, NetworkConditions(window_bytes=1000))
        self.server_loop = self.scheduler.new_loop("server")
        self.client_loop = self.scheduler.new_loop("client")
        self.server = SimNetwork(self.fabric, "server", self.server_loop)
        self.client = SimNetwork(self.fabric, "client", self.client_loop)
        self.log: list[str] = []
        self.received: list[bytes] = []
        self.take = asyncio.Event()
        self.take.set()
        service = Service(
            "t.Service",
            {"Echo": self.echo, "Slow": self.slow, "Fail": self.fail},
            {"Both": self.both, "Sink": self.sink},
        )
        port: Network = self.server
        self.listener = self.at_server(port.listen("server:1", [service]))

    async def echo(self, request: bytes) -> bytes:
        return b"echo " + request

    async def fail(self, request: bytes) -> bytes:
        raise CallFailed(StatusCode.NOT_FOUND, "no", b"details")

    async def slow(self, request: bytes) -> bytes:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        return b""

    async def both(self, stream: ServerStream) -> None:
        while (message := await stream.receive()) is not None:
            await stream.send(b"re " + message)
        raise CallFailed(StatusCode.ABORTED, "at the end")

    async def sink(self, stream: ServerStream) -> None:
        try:
            while True:
                await self.take.wait()
                message = await stream.receive()
                if message is None:
                    return
                self.received.append(message)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise

    def at_client(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        return self.scheduler.complete(self.client_loop.create_task(work), seconds)

    def at_server(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        return self.scheduler.complete(self.server_loop.create_task(work), seconds)


@pytest.fixture
def world() -> Iterator[World]:
    """Made anew for each test, and forgotten silently."""
    made = World()
    yield made
    made.scheduler.dispose([made.server_loop, made.client_loop])


def test_unary(world: World) -> None:
    """Answers, statuses with details, unknown methods and deadlines."""
    channel = world.client.connect("server:1")
    assert world.at_client(channel.unary("/t.Service/Echo", b"x", 1000)) == b"echo x"
    with pytest.raises(CallFailed) as failed:
        world.at_client(channel.unary("/t.Service/Fail", b"x", 1000))
    assert (failed.value.code, failed.value.details) == (StatusCode.NOT_FOUND, b"details")
    with pytest.raises(CallFailed, match="UNIMPLEMENTED"):
        world.at_client(channel.unary("/t.Service/None", b"x", 1000))
    with pytest.raises(CallFailed, match="DEADLINE_EXCEEDED"):
        world.at_client(channel.unary("/t.Service/Slow", b"x", 1000))
    world.scheduler.run(world.scheduler.now + 1)
    assert world.log == ["cancelled"]


def test_stream_keeps_order_and_ends_with_the_status(world: World) -> None:
    """Messages arrive in order although each takes another time; the status comes last."""

    async def run() -> list[bytes]:
        stream = world.client.connect("server:1").stream("/t.Service/Both")
        answers: list[bytes] = []

        async def send() -> None:
            for number in range(200):
                await stream.send(b"%d" % number)
            await stream.done_sending()

        sender = asyncio.ensure_future(send())
        while len(answers) < 200:
            message = await stream.receive()
            assert message is not None
            answers.append(message)
        with pytest.raises(CallFailed, match="at the end"):
            await stream.receive()
        await sender
        return answers

    assert world.at_client(run()) == [b"re %d" % number for number in range(200)]


def test_send_waits_for_the_window(world: World) -> None:
    """A receiver that does not take stops the sender at the window, not the memory."""
    world.take.clear()

    async def run() -> int:
        stream = world.client.connect("server:1").stream("/t.Service/Sink")
        sent = 0
        try:
            async with asyncio.timeout(5):
                while True:
                    await stream.send(b"x" * 95)
                    sent += 1
        except TimeoutError:
            pass
        return sent

    assert world.at_client(run()) == 10
    world.scheduler.run(world.scheduler.now + 1)
    assert world.log == ["cancelled"]  # a cancelled send gives the call up


def test_cancel_reaches_the_handler(world: World) -> None:
    """A stream given up by the client is cancelled at the server."""

    async def run() -> None:
        stream = world.client.connect("server:1").stream("/t.Service/Sink")
        await stream.send(b"1")
        await asyncio.sleep(0.1)
        stream.cancel()
        with pytest.raises(CallFailed, match="CANCELLED"):
            await stream.receive()

    world.at_client(run())
    world.scheduler.run(world.scheduler.now + 1)
    assert world.log == ["cancelled"]
    assert world.received == [b"1"]


def test_refused_and_silent_addresses(world: World) -> None:
    """Nothing listening: refused at once, then fast failure; no host: after the timeout."""

    async def run(address: str) -> tuple[str, float]:
        began = world.client_loop.time()
        with pytest.raises(CallFailed) as failed:
            await world.client.connect(address).unary("/t.Service/Echo", b"", 10_000)
        assert failed.value.code is StatusCode.UNAVAILABLE
        return failed.value.message, world.client_loop.time() - began

    reason, took = world.at_client(run("server:2"))
    assert "refused" in reason
    assert took < 0.1
    reason, took = world.at_client(run("nowhere:1"))
    assert "no answer" in reason
    assert took == pytest.approx(1.0, abs=0.1)


def test_short_partition_delays_and_long_one_breaks(world: World) -> None:
    """What was sent into a short partition arrives after it; a long one ends the stream at both
    sides."""

    async def send(stream: Any, message: bytes) -> None:
        await stream.send(message)

    stream = world.client.connect("server:1").stream("/t.Service/Sink")
    world.at_client(send(stream, b"1"))
    world.scheduler.run(world.scheduler.now + 1)
    world.fabric.block("client", "server")
    world.at_client(send(stream, b"2"))
    world.scheduler.run(world.scheduler.now + 2)
    assert world.received == [b"1"]
    world.fabric.unblock("client", "server")
    world.scheduler.run(world.scheduler.now + 1)
    assert world.received == [b"1", b"2"]
    assert world.log == []
    world.fabric.block("server", "client")  # one way is enough
    world.scheduler.run(world.scheduler.now + KEEPALIVE_S + 1)
    assert world.log == ["cancelled"]
    with pytest.raises(CallFailed, match="keepalive"):
        world.at_client(send(stream, b"3"))
    world.fabric.unblock_all()
    channel = world.client.connect("server:1")
    assert world.at_client(channel.unary("/t.Service/Echo", b"x", 1000)) == b"echo x"


@pytest.mark.parametrize("power_cut", [False, True])
def test_crash_of_the_server(world: World, power_cut: bool) -> None:
    """A killed process resets its connections at once; a power cut is silent until keepalive;
    the next process at the address answers."""
    stream = world.client.connect("server:1").stream("/t.Service/Sink")

    async def wait_for_the_end() -> float:
        with pytest.raises(CallFailed, match="UNAVAILABLE"):
            await stream.receive()
        return world.client_loop.time()

    waiting = world.client_loop.create_task(wait_for_the_end())
    world.scheduler.run(1)
    world.scheduler.drop(world.server_loop)
    world.fabric.process_gone(world.server, power_cut=power_cut)
    ended = world.scheduler.complete(waiting, 60)
    assert (ended > 5) == power_cut
    assert world.log == []
    world.server_loop = world.scheduler.new_loop("server again")
    world.server = SimNetwork(world.fabric, "server", world.server_loop)
    world.at_server(
        world.server.listen("server:1", [Service("t.Service", {"Echo": world.echo}, {})])
    )
    channel = world.client.connect("server:1")
    assert world.at_client(channel.unary("/t.Service/Echo", b"x", 1000)) == b"echo x"


def test_a_host_that_is_back_resets_old_connections_when_they_are_used(world: World) -> None:
    """After a power cut an idle connection is silent until keepalive; one that is used, or has
    something unanswered, ends as soon as the host runs again."""
    channel = world.client.connect("server:1")
    stream = channel.stream("/t.Service/Sink")
    world.scheduler.run(1)
    world.scheduler.drop(world.server_loop)
    world.fabric.process_gone(world.server, power_cut=True)
    task = world.client_loop.create_task(channel.unary("/t.Service/Echo", b"x", 60_000))
    world.scheduler.run(4)
    assert not task.done()
    world.server_loop = world.scheduler.new_loop("server again")
    world.server = SimNetwork(world.fabric, "server", world.server_loop)
    world.scheduler.run(6)
    assert task.done()
    with pytest.raises(CallFailed, match="reset by peer"):
        task.result()
    with pytest.raises(CallFailed, match="reset by peer"):
        world.at_client(stream.receive(), 1)


def test_crash_of_the_client_cancels_the_handler(world: World) -> None:
    """The server is told by a reset."""

    async def send() -> None:
        await world.client.connect("server:1").stream("/t.Service/Sink").send(b"1")

    world.at_client(send())
    world.scheduler.run(1)
    world.scheduler.drop(world.client_loop)
    world.fabric.process_gone(world.client, power_cut=False)
    world.scheduler.run(2)
    assert world.log == ["cancelled"]


def test_pause_is_silence(world: World) -> None:
    """A short pause is only a delay; a long one ends the calls, which the paused process sees
    when it goes on."""
    channel = world.client.connect("server:1")
    stream = channel.stream("/t.Service/Sink")
    world.scheduler.run(1)
    world.scheduler.pause(world.server_loop)
    world.fabric.pause("server")
    task = world.client_loop.create_task(channel.unary("/t.Service/Echo", b"x", 10_000))
    world.scheduler.run(3)
    assert not task.done()
    world.scheduler.resume(world.server_loop)
    world.fabric.resume("server")
    assert world.scheduler.complete(task, 1) == b"echo x"
    world.scheduler.pause(world.server_loop)
    world.fabric.pause("server")
    with pytest.raises(CallFailed, match="UNAVAILABLE"):
        world.at_client(stream.receive())
    assert world.log == []
    world.scheduler.resume(world.server_loop)
    world.fabric.resume("server")
    world.scheduler.run(world.scheduler.now + 1)
    assert world.log == ["cancelled"]


def test_listener(world: World) -> None:
    """A taken port is refused; closing waits for calls within the grace and cancels the rest."""
    with pytest.raises(OSError, match="in use"):
        world.at_server(world.server.listen("server:1", []))
    chosen = world.at_server(world.server.listen("server:0", []))
    assert chosen.address != world.listener.address
    stream = world.client.connect("server:1").stream("/t.Service/Sink")
    world.scheduler.run(world.scheduler.now + 1)
    began = world.scheduler.now
    world.at_server(world.listener.close(2000))
    assert world.scheduler.now - began == pytest.approx(2, abs=0.1)
    assert world.log == ["cancelled"]
    with pytest.raises(CallFailed, match="UNAVAILABLE"):
        world.at_client(stream.receive())


def test_a_defect_of_a_handler_is_reported(world: World) -> None:
    """An exception that is not a status ends the call and reaches the simulation."""
    found: list[str] = []
    world.fabric.on_handler_error = lambda host, method, error: found.append(
        f"{host} {method} {error!r}"
    )

    async def broken(request: bytes) -> bytes:
        raise KeyError("x")

    world.at_server(world.server.listen("server:2", [Service("b", {"B": broken}, {})]))
    channel = world.client.connect("server:2")
    with pytest.raises(CallFailed, match="INTERNAL"):
        world.at_client(channel.unary("/b/B", b"", 1000))
    assert found == ["server /b/B KeyError('x')"]
