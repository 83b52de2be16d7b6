"""Connections and calls with the semantics of gRPC over TCP.

A call has two halves, one for each direction. Each half is first in, first out and has a window:
`send` waits while the receiver has not taken what was sent. A call ends at each side on its own:
by the server's status, by the client's cancellation, or because that side found the connection
broken. What a side sent before that may or may not have arrived: nobody can tell, as in life.

Handlers run as tasks on the server's loop, callers on theirs; everything between them goes
through `fabric.Pipe`, that is through the scheduler.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jepsen_like.sim.ports.fabric import Fabric, Pipe
from replication.errors import invariant
from replication.ports import CallFailed, StatusCode, StreamHandler, UnaryHandler

if TYPE_CHECKING:
    from jepsen_like.sim.ports.network import SimListener, SimNetwork

MESSAGE_OVERHEAD_BYTES: Final = 5
"""gRPC's prefix; also bounds the number of empty messages in a window."""
GIVEN_UP: Final = "the call was given up here"
CLIENT_GONE: Final = "the client is gone"
RESET_BY_PEER: Final = "connection reset by peer"
RESET_MS: Final = (0.2, 2.0)
"""Until a host's answer to a connection it does not know arrives."""


@dataclass(frozen=True, slots=True)
class Open:
    """First item of a call; a unary call's request travels with it."""

    method: str
    request: bytes | None = None


@dataclass(frozen=True, slots=True)
class HalfClose:
    """The client sends no more."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client gives the call up."""


@dataclass(frozen=True, slots=True)
class End:
    """The server's status (None: OK); a unary call's response travels with it."""

    failure: CallFailed | None
    response: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """The other side of the connection is gone."""

    reason: str


class Half:
    """One direction of a call, at both of its ends.

    Invariants: `outstanding` counts the bytes sent and not yet received; after `sender_error` or
    `receiver_error` is set, that end never succeeds again.
    """

    def __init__(self, fabric: Fabric, sender: SimNetwork, receiver: SimNetwork) -> None:
        self.outstanding = 0
        self.sender_error: CallFailed | None = None
        self.receiver_error: CallFailed | None = None
        self._fabric = fabric
        self._sender, self._receiver = sender, receiver
        self._messages: deque[bytes] = deque()
        self._ended = False
        self._wants_message: asyncio.Future[None] | None = None
        self._wants_window: asyncio.Future[None] | None = None
        self._credit_due = False

    async def wait_for_window(self, message: bytes) -> None:
        """Wait until a message may be sent, and count it as sent."""
        conditions = self._fabric.conditions
        if self.sender_error is not None:
            raise self.sender_error
        if self._fabric.rng.random() < conditions.send_yield_probability:
            await asyncio.sleep(0)
        while self.outstanding >= conditions.window_bytes and self.sender_error is None:
            invariant(self._wants_window is None, "two senders on one stream")
            self._wants_window = self._sender.loop.create_future()
            try:
                await self._wants_window
            finally:
                self._wants_window = None
        if self.sender_error is not None:
            raise self.sender_error
        self.outstanding += len(message) + MESSAGE_OVERHEAD_BYTES

    def arrived(self, message: bytes) -> None:
        """A message is at the receiver."""
        if self.receiver_error is None:
            self._messages.append(message)
            _wake(self._wants_message)

    def arrived_end(self, failure: CallFailed | None) -> None:
        """There are no more messages after those that arrived."""
        if self.receiver_error is None and not self._ended:
            self._ended = True
            self.receiver_error = failure
            _wake(self._wants_message)

    async def receive(self) -> bytes | None:
        """The next message in order."""
        while not self._messages:
            if self.receiver_error is not None:
                raise self.receiver_error
            if self._ended:
                return None
            invariant(self._wants_message is None, "two receivers on one stream")
            self._wants_message = self._receiver.loop.create_future()
            try:
                await self._wants_message
            finally:
                self._wants_message = None
        message = self._messages.popleft()
        self.outstanding -= len(message) + MESSAGE_OVERHEAD_BYTES
        if self._wants_window is not None and not self._credit_due:
            self._send_credit()
        return message

    def fail_sender(self, failure: CallFailed) -> None:
        """Sends fail from now on."""
        if self.sender_error is None:
            self.sender_error = failure
            _wake(self._wants_window)

    def fail_receiver(self, failure: CallFailed, *, drop: bool) -> None:
        """Receives fail from now on; what arrived may be read before, or is dropped."""
        if drop:
            self._fabric.counters.messages_lost += len(self._messages)
            self._messages.clear()
        if self.receiver_error is None and not self._ended:
            self.receiver_error = failure
            _wake(self._wants_message)

    def _send_credit(self) -> None:
        self._credit_due = True
        fabric = self._fabric
        source, target = self._receiver.host, self._sender.host

        def arrive() -> None:
            if fabric.blocked(source, target):
                fabric.scheduler.call_later(fabric.draw((50.0, 150.0)), arrive)
                return
            self._credit_due = False
            _wake(self._wants_window)

        fabric.scheduler.call_later(fabric.delay(source, target), arrive)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


class Call:
    """One call, at both ends; also the `ServerStream` that its handler gets."""

    def __init__(self, connection: Connection, method: str, *, unary: bool) -> None:
        fabric = connection.fabric
        client, server = connection.client, connection.server
        self.connection = connection
        self.method = method
        self.unary = unary
        self.up = Half(fabric, client, server)
        self.down = Half(fabric, server, client)
        self.task: asyncio.Task[None] | None = None
        """The handler."""
        self.client_done = False
        self.server_done = False
        self._up_pipe = Pipe(fabric, client.host, server.host, self._at_server)
        self._down_pipe = Pipe(fabric, server.host, client.host, self._at_client)

    def _to_server(self, item: object) -> None:
        self._up_pipe.transmit(item)
        if self.connection.server_gone:
            self.connection.talk_to_the_dead(at_client=True)

    def _to_client(self, item: object) -> None:
        self._down_pipe.transmit(item)
        if self.connection.client_gone:
            self.connection.talk_to_the_dead(at_client=False)

    # The client's end.

    def open(self, request: bytes | None) -> None:
        """Begin the call."""
        self._count(request)
        self.connection.fabric.counters.calls += 1
        self._to_server(Open(self.method, request))

    async def client_send(self, message: bytes) -> None:
        """See `ClientStream.send`; a cancelled send gives the call up, as gRPC's does."""
        try:
            await self.up.wait_for_window(message)
        except asyncio.CancelledError:
            self.cancel(CallFailed(StatusCode.CANCELLED, GIVEN_UP))
            raise
        self._count(message)
        self._to_server(message)

    def half_close(self) -> None:
        """See `ClientStream.done_sending`."""
        if not self.client_done:
            self._to_server(HalfClose())

    def cancel(self, failure: CallFailed) -> None:
        """The client gives up, with this as its own outcome."""
        if not self.client_done:
            self._to_server(Cancel())
            self._end_client(failure, drop=True)

    def _end_client(self, failure: CallFailed, *, drop: bool) -> None:
        self.client_done = True
        self.up.fail_sender(failure)
        self.down.fail_receiver(failure, drop=drop)
        self._down_pipe.close()
        self._forget_if_over()

    def _at_client(self, item: object) -> None:
        if isinstance(item, bytes):
            self.down.arrived(item)
        elif isinstance(item, End):
            if item.response is not None:
                self.down.arrived(item.response)
            self.client_done = True
            ended = CallFailed(StatusCode.CANCELLED, "the server has ended the call")
            self.up.fail_sender(item.failure or ended)
            self.down.arrived_end(item.failure)
            self._forget_if_over()

    # The server's end, as its handler sees it.

    @property
    def peer(self) -> str:
        """The client's host."""
        return f"sim:{self.connection.client.host}"

    async def receive(self) -> bytes | None:
        """See `ServerStream.receive`."""
        return await self.up.receive()

    async def send(self, message: bytes) -> None:
        """See `ServerStream.send`."""
        await self.down.wait_for_window(message)
        self._count(message)
        self._to_client(message)

    def _at_server(self, item: object) -> None:
        if isinstance(item, bytes):
            self.up.arrived(item)
        elif isinstance(item, Open):
            self._start(item)
        elif isinstance(item, HalfClose):
            self.up.arrived_end(None)
        elif isinstance(item, Cancel):
            self.end_server(CallFailed(StatusCode.CANCELLED, CLIENT_GONE), drop=True)

    def _start(self, item: Open) -> None:
        listener = self.connection.listener
        if not listener.accepting:
            self._finish(End(CallFailed(StatusCode.UNAVAILABLE, "the server is shutting down")))
            return
        if self.unary:
            unary_handler = listener.unary.get(item.method)
            if unary_handler is not None:
                run = self._run_unary(unary_handler, item.request or b"")
                self.task = self.connection.server.loop.create_task(run)
                return
        else:
            stream_handler = listener.streams.get(item.method)
            if stream_handler is not None:
                self.task = self.connection.server.loop.create_task(
                    self._run_stream(stream_handler)
                )
                return
        self._finish(End(CallFailed(StatusCode.UNIMPLEMENTED, f"no method {item.method}")))

    async def _run_unary(self, handler: UnaryHandler, request: bytes) -> None:
        try:
            response = await handler(request)
        except BaseException as failure:  # all of them end the call
            self._finish(End(self._status_of(failure)))
        else:
            self._count(response)
            self._finish(End(None, response))

    async def _run_stream(self, handler: StreamHandler) -> None:
        try:
            await handler(self)
        except BaseException as failure:  # all of them end the call
            self._finish(End(self._status_of(failure)))
        else:
            self._finish(End(None))

    def _status_of(self, failure: BaseException) -> CallFailed:
        if isinstance(failure, CallFailed):
            return failure
        if isinstance(failure, asyncio.CancelledError):
            return CallFailed(StatusCode.CANCELLED, "the handler was cancelled")
        connection = self.connection
        report = connection.fabric.on_handler_error
        if report is not None and connection.server.alive:
            report(connection.server.host, self.method, failure)
        return CallFailed(StatusCode.INTERNAL, "a defect of the node; see its log")

    def _finish(self, end: End) -> None:
        if not self.server_done:
            self._to_client(end)
            self.end_server(CallFailed(StatusCode.UNAVAILABLE, "the call has ended"), drop=True)

    def end_server(self, failure: CallFailed, *, drop: bool) -> None:
        """The server's end is over; a handler that still runs is cancelled."""
        if self.server_done:
            return
        self.server_done = True
        self.up.fail_receiver(failure, drop=drop)
        self.down.fail_sender(failure)
        self._up_pipe.close()
        if self.task is not None and not self.task.done() and self.connection.server.alive:
            running = asyncio._get_running_loop()  # noqa: SLF001
            if running is None or asyncio.current_task(running) is not self.task:
                self.task.cancel()
        self._forget_if_over()

    # Both.

    def break_side(self, at_client: bool, failure: CallFailed, *, drop: bool) -> None:
        """This side found the connection broken."""
        if at_client:
            if not self.client_done:
                self._end_client(failure, drop=drop)
        else:
            self.end_server(CallFailed(StatusCode.CANCELLED, CLIENT_GONE), drop=drop)

    def _count(self, message: bytes | None) -> None:
        counters = self.connection.fabric.counters
        counters.messages += 1
        counters.bytes += len(message or b"")

    def _forget_if_over(self) -> None:
        if self.client_done and self.server_done:
            self.connection.forget(self)


class Connection:
    """One TCP connection; each side may find it broken at another time."""

    def __init__(
        self, fabric: Fabric, client: SimNetwork, server: SimNetwork, listener: SimListener
    ) -> None:
        self.fabric, self.client, self.server, self.listener = fabric, client, server, listener
        self.connection_id = fabric.next_connection_id()
        self.broken_at_client = False
        self.broken_at_server = False
        self.client_gone = False
        """The process at that side died silently; its host knows nothing of the connection."""
        self.server_gone = False
        self.unanswered = False
        """Something was sent to a side that is gone, and is sent again until it is answered."""
        self._calls: dict[int, Call] = {}
        self._to_server = Pipe(fabric, client.host, server.host, self._reset_at_server)
        self._to_client = Pipe(fabric, server.host, client.host, self._reset_at_client)
        fabric.connections[self.connection_id] = self
        fabric.counters.connections += 1

    def new_call(self, method: str, *, unary: bool) -> Call:
        """A call on this connection; `open` begins it."""
        call = Call(self, method, unary=unary)
        self._calls[id(call)] = call
        return call

    def forget(self, call: Call) -> None:
        """Both ends of a call are over."""
        self._calls.pop(id(call), None)

    @property
    def active_calls(self) -> list[Call]:
        """Calls that are not over at the server."""
        return [call for call in self._calls.values() if not call.server_done]

    def break_side(self, at_client: bool, reason: str) -> None:
        """One side concludes that the connection is broken, and tells the other, if it can."""
        if self.broken_at_client if at_client else self.broken_at_server:
            return
        self.fabric.counters.connections_broken += 1
        failure = CallFailed(StatusCode.UNAVAILABLE, reason)
        if at_client:
            self.broken_at_client = True
            self._to_server.transmit(Reset(reason))
        else:
            self.broken_at_server = True
            self._to_client.transmit(Reset(reason))
        drop = self.fabric.rng.random() < 0.5
        for call in list(self._calls.values()):
            call.break_side(at_client, failure, drop=drop)
        self._forget_if_over()

    def side_gone(self, at_client: bool, *, silent: bool) -> None:
        """The process at one side died; the other finds out by a reset, or by silence until its
        keepalive, or when the host is there again and answers what it does not understand."""
        if at_client:
            self.broken_at_client = True
        else:
            self.broken_at_server = True
        if not silent:
            pipe = self._to_server if at_client else self._to_client
            pipe.transmit(Reset(RESET_BY_PEER))
        else:
            self.client_gone = self.client_gone or at_client
            self.server_gone = self.server_gone or not at_client
            delay = self.fabric.draw(self.fabric.conditions.keepalive_ms)
            self.fabric.scheduler.call_later(
                delay, lambda: self.break_side(not at_client, "keepalive timed out")
            )
        self._forget_if_over()

    def talk_to_the_dead(self, *, at_client: bool) -> None:
        """The living side sent something."""
        self.unanswered = True
        gone = self.server if at_client else self.client
        if gone.host in self.fabric.processes:
            self.answer_for_the_dead(at_client=at_client, within_ms=RESET_MS)

    def answer_for_the_dead(self, *, at_client: bool, within_ms: tuple[float, float]) -> None:
        """The host of the side that is gone is up again: it resets the connection."""
        delay = self.fabric.draw(within_ms)
        self.fabric.scheduler.call_later(delay, lambda: self.break_side(at_client, RESET_BY_PEER))

    def _reset_at_server(self, item: object) -> None:
        assert isinstance(item, Reset)
        self.break_side(False, item.reason)

    def _reset_at_client(self, item: object) -> None:
        assert isinstance(item, Reset)
        self.break_side(True, item.reason)

    def _forget_if_over(self) -> None:
        if self.broken_at_client and self.broken_at_server:
            self.fabric.connections.pop(self.connection_id, None)
