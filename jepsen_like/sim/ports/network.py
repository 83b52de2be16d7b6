"""`replication.ports.Network` for one simulated process: addresses, channels, listeners.

An address is host:port, and each simulated host runs one process at a time. A channel connects
lazily: refused at once when nothing listens, after the connect timeout when nothing answers; after
a failure calls fail at once until a backoff has passed, as gRPC's do.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from typing import Final

from jepsen_like.sim.ports.calls import GIVEN_UP, Call, Connection
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.volume import os_error
from replication.ports import CallFailed, Service, StatusCode, StreamHandler, UnaryHandler

FIRST_EPHEMERAL_PORT: Final = 32_768
CONNECT_RETRY_MS: Final = (200.0, 300.0)
"""Pause between the packets that try to open a connection on a silent way."""
CLOSE_POLL_MS: Final = 5.0


class SimNetwork:
    """The network as one process sees it; dies with the process."""

    def __init__(self, fabric: Fabric, host: str, loop: SimLoop) -> None:
        self.fabric = fabric
        self.host = host
        self.loop = loop
        self.alive = True
        self._next_port = FIRST_EPHEMERAL_PORT
        fabric.process_began(self)

    async def listen(self, address: str, services: Sequence[Service]) -> SimListener:
        """The host part of the address does not matter: a process listens on its own host."""
        self._check()
        port = _port_of(address)
        if port == 0:
            port = self._next_port
            self._next_port += 1
        place = (self.host, port)
        if place in self.fabric.listeners:
            raise os_error(errno.EADDRINUSE, address)
        listener = SimListener(self, port, services)
        self.fabric.listeners[place] = listener
        await asyncio.sleep(0)
        return listener

    def connect(self, address: str) -> SimChannel:
        """A channel; nothing is sent yet."""
        self._check()
        return SimChannel(self, address)

    def die(self) -> None:
        """The process is gone, and its listeners with it."""
        self.alive = False
        for place, listener in list(self.fabric.listeners.items()):
            if listener.network is self:
                del self.fabric.listeners[place]

    def _check(self) -> None:
        if not self.alive:
            raise os_error(errno.ESTALE, self.host)


class SimListener:
    """`replication.ports.Listener`."""

    def __init__(self, network: SimNetwork, port: int, services: Sequence[Service]) -> None:
        self.network = network
        self.accepting = True
        self.unary: dict[str, UnaryHandler] = {}
        self.streams: dict[str, StreamHandler] = {}
        self._port = port
        for service in services:
            for name, unary in service.unary.items():
                self.unary[f"/{service.name}/{name}"] = unary
            for name, stream in service.streams.items():
                self.streams[f"/{service.name}/{name}"] = stream

    @property
    def address(self) -> str:
        """host:port."""
        return f"{self.network.host}:{self._port}"

    async def close(self, grace_ms: float) -> None:
        """Take no new calls; cancel those that outlast the grace; reset the connections."""
        if not self.accepting:
            return
        self.accepting = False
        fabric = self.network.fabric
        fabric.listeners.pop((self.network.host, self._port), None)
        loop = self.network.loop
        deadline = loop.time() + grace_ms / 1000
        connections = [c for c in fabric.connections.values() if c.listener is self]
        while loop.time() < deadline and any(  # virtual time
            c.active_calls for c in connections
        ):
            await asyncio.sleep(CLOSE_POLL_MS / 1000)
        tasks = [call.task for c in connections for call in c.active_calls if call.task is not None]
        for connection in connections:
            connection.break_side(False, "the server was shut down")
        for task in tasks:
            while not task.done():  # virtual time
                await asyncio.sleep(CLOSE_POLL_MS / 1000)


class SimChannel:
    """`replication.ports.Channel`.

    Invariant: callbacks wait in `_waiting` only while an attempt to connect is under way.
    """

    def __init__(self, network: SimNetwork, address: str) -> None:
        self._network = network
        self._fabric = network.fabric
        self._host = address.rpartition(":")[0]
        self._port = _port_of(address)
        self._connection: Connection | None = None
        self._waiting: list[Callable[[Connection | CallFailed], None]] = []
        self._backoff_until = 0.0
        self._backoff_ms = 0.0
        self._last_failure = CallFailed(StatusCode.UNAVAILABLE, "not connected")
        self._calls: dict[int, _ClientCall] = {}
        self._closed = False

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        """One call with its deadline."""
        call = _ClientCall(self, method, unary=True, request=request)
        self._begin(call)
        timer = self._network.loop.call_later(
            timeout_ms / 1000,
            call.fail,
            CallFailed(StatusCode.DEADLINE_EXCEEDED, f"no answer within {timeout_ms:.0f} ms"),
        )
        try:
            response = await call.receive()
        except asyncio.CancelledError:
            call.cancel()
            raise
        finally:
            timer.cancel()
            self._calls.pop(id(call), None)
        if response is None:
            raise CallFailed(StatusCode.INTERNAL, "a unary call ended without a response")
        return response

    def stream(self, method: str) -> _ClientCall:
        """Begins the call at once, as gRPC does."""
        call = _ClientCall(self, method, unary=False, request=None)
        self._begin(call)
        return call

    async def close(self) -> None:
        """End all calls and the connection."""
        self._closed = True
        for call in list(self._calls.values()):
            call.cancel()
        self._calls.clear()
        if self._connection is not None:
            self._connection.break_side(True, "the channel was closed")
        await asyncio.sleep(0)

    # Connecting.

    def _begin(self, call: _ClientCall) -> None:
        if self._closed:
            raise CallFailed(StatusCode.CANCELLED, "the channel is closed")
        self._calls[id(call)] = call
        connection = self._connection
        if connection is not None and not connection.broken_at_client:
            call.connected(connection)
            return
        self._connection = None
        if self._fabric.scheduler.now < self._backoff_until:
            call.connected(self._last_failure)
            return
        self._waiting.append(call.connected)
        if len(self._waiting) == 1:
            self._attempt(self._fabric.conditions.connect_timeout_ms / 1000)

    def forget(self, call: _ClientCall) -> None:
        """The call is over here."""
        self._calls.pop(id(call), None)

    def _attempt(self, patience: float) -> None:
        fabric = self._fabric
        here = self._network.host
        round_trip = fabric.delay(here, self._host) + fabric.delay(self._host, here)

        def answer() -> None:
            if not self._network.alive:
                return
            silent = fabric.unreachable(here, self._host) or self._host not in fabric.processes
            if silent and patience <= round_trip:
                self._failed(f"no answer from {self._host}:{self._port}")
            elif silent:
                pause = min(patience, fabric.draw(CONNECT_RETRY_MS))
                fabric.scheduler.call_later(pause, lambda: self._attempt(patience - pause))
            else:
                self._reached(fabric.listeners.get((self._host, self._port)))

        fabric.scheduler.call_later(min(round_trip, max(patience, 0.0)), answer)

    def _reached(self, listener: SimListener | None) -> None:
        if listener is None or not listener.accepting:
            self._failed(f"connection refused by {self._host}:{self._port}")
            return
        self._backoff_ms = 0.0
        self._connection = Connection(self._fabric, self._network, listener.network, listener)
        waiting, self._waiting = self._waiting, []
        for connected in waiting:
            connected(self._connection)
        if self._closed:
            self._connection.break_side(True, "the channel was closed")

    def _failed(self, reason: str) -> None:
        first, longest = self._fabric.conditions.reconnect_backoff_ms
        self._backoff_ms = min(longest, self._backoff_ms * 1.6) if self._backoff_ms else first
        self._backoff_until = self._fabric.scheduler.now + self._backoff_ms / 1000
        self._fabric.counters.connects_failed += 1
        self._last_failure = CallFailed(StatusCode.UNAVAILABLE, reason)
        waiting, self._waiting = self._waiting, []
        for connected in waiting:
            connected(self._last_failure)


class _ClientCall:
    """`replication.ports.ClientStream`, from before there is a connection."""

    def __init__(
        self, channel: SimChannel, method: str, *, unary: bool, request: bytes | None
    ) -> None:
        self._channel = channel
        self._method = method
        self._unary = unary
        self._request = request
        self._call: Call | None = None
        self._failure: CallFailed | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def connected(self, outcome: Connection | CallFailed) -> None:
        """The attempt to connect ended."""
        if self._failure is not None:
            return
        if isinstance(outcome, CallFailed):
            self.fail(outcome)
            return
        self._call = outcome.new_call(self._method, unary=self._unary)
        self._call.open(self._request)
        self._wake()

    def fail(self, failure: CallFailed) -> None:
        """End the call here."""
        if self._call is not None:
            self._call.cancel(failure)
        elif self._failure is None:
            self._failure = failure
            self._wake()
        self._channel.forget(self)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _started(self) -> Call:
        while self._call is None:
            if self._failure is not None:
                raise self._failure
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        return self._call

    async def send(self, message: bytes) -> None:
        """See the port."""
        try:
            call = await self._started()
        except asyncio.CancelledError:
            self.cancel()
            raise
        await call.client_send(message)

    async def receive(self) -> bytes | None:
        """See the port; a cancelled receive loses nothing."""
        call = await self._started()
        try:
            message = await call.down.receive()
        except CallFailed:
            self._channel.forget(self)
            raise
        if message is None:
            self._channel.forget(self)
        return message

    async def done_sending(self) -> None:
        """See the port."""
        call = await self._started()
        call.half_close()

    def cancel(self) -> None:
        """See the port."""
        self.fail(CallFailed(StatusCode.CANCELLED, GIVEN_UP))


def _port_of(address: str) -> int:
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdecimal():
        raise os_error(errno.EINVAL, address)
    return int(port)
