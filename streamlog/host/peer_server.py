"""The listening half of direct streams: one connection, one call, one task for its handler.

| state | what arrives | ends with |
|---|---|---|
| preface | its bytes, within a time | a method: serving, or ending when there is none of the name |
| serving | messages, the half-close | the handler's end: ending; a broken connection: closed |
| ending | is discarded, so that no reset overtakes the status | the client closing, or a time |
| closed | | |

A port scanner, garbage, a silent connection or an absurd length costs one socket for a bounded
time, and a line in the log. Nothing is allocated on the word of a length.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Mapping
from typing import Final

from replication.ports import CallFailed, StatusCode, StreamHandler
from streamlog.host.peer_frames import (
    SERVER_PREFACE,
    FrameType,
    MalformedStream,
    MessageTooLarge,
    end_frame,
    read_client_preface,
)
from streamlog.host.peer_protocol import PeerConnection

STREAMS_MAX: Final = 1_000
"""Connections of one listener, those without a preface included; a further one is turned away."""
PREFACE_TIMEOUT_MS: Final = 2_000
LINGER_MS: Final = 5_000
"""How long an ended call waits for its client to close; goes on while bytes still leave."""
_CLOSE_MS: Final = 200
"""How long the status of the calls that a closing listener ends may take to leave."""
_BACKLOG: Final = 128
_PORT_ATTEMPTS: Final = 16

_LOG = logging.getLogger(__name__)


class ServerConnection(PeerConnection):
    """`replication.ports.ServerStream`, once the method is known."""

    _GONE = "the client is gone"

    def __init__(self, listener: DirectListener) -> None:
        super().__init__(listener.message_bytes_max)
        self._listener = listener
        self._timer: asyncio.TimerHandle | None = None
        self._ending = False
        self.task: asyncio.Task[None] | None = None
        """The handler's."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        refusal = self._listener.admit(self)
        if refusal is not None:
            assert self._transport is not None
            _LOG.warning(
                "peer_connection_refused", extra={"peer": self.peer, "reason": refusal.message}
            )
            self._ending = self._closed_for_sending = self._discarding = True
            self._transport.write(SERVER_PREFACE + end_frame(refusal))
            self._transport.close()
            return
        self._timer = self._loop.call_later(PREFACE_TIMEOUT_MS / 1_000, self._no_preface)

    def cancel(self) -> None:
        """End the call from here: the node stops."""
        if self.task is None:
            self.abort()
        else:
            self.task.cancel()

    def abort(self) -> None:
        """Close at once, whatever has not left yet."""
        if self._transport is not None:
            self._transport.abort()

    def close_soon(self) -> None:
        """Close once what was sent has left, without waiting for the client."""
        if self._transport is not None:
            self._transport.close()

    # -- hooks -------------------------------------------------------------------------------

    def _take_preface(self, data: bytes) -> int | None:
        parsed = read_client_preface(data)
        if parsed is None:
            return None
        assert self._transport is not None
        self._stop_timer()
        self._transport.write(SERVER_PREFACE)
        method, taken = parsed
        handler = self._listener.handlers.get(method)
        if handler is None:
            self._end(CallFailed(StatusCode.UNIMPLEMENTED, f"there is no stream {method}"))
        else:
            self.task = self._loop.create_task(self._serve(method, handler))
        return taken

    def _take_control(self, kind: FrameType, payload: bytes) -> None:
        if kind is not FrameType.HALF_CLOSE or self._no_more:
            raise MalformedStream(f"an unexpected frame of type {kind.name}")
        self._no_more = True
        self._wake_all()

    def _malformed(self, error: MalformedStream) -> None:
        _LOG.warning("peer_stream_malformed", extra={"peer": self.peer, "reason": str(error)})
        if isinstance(error, MessageTooLarge):
            # A peer with other settings, not a stranger: it is told.
            failure = CallFailed(StatusCode.RESOURCE_EXHAUSTED, str(error))
            self._end(failure)
            self._give_up(failure)
        else:
            self.abort()

    def _lost(self, error: Exception | None) -> None:
        self._stop_timer()
        self._ending = True
        self._give_up(CallFailed(StatusCode.CANCELLED, self._GONE))
        self._listener.forget(self)

    # -- the life of a call ------------------------------------------------------------------

    async def _serve(self, method: str, handler: StreamHandler) -> None:
        answer: CallFailed | None = None
        try:
            await handler(self)
        except CallFailed as failure:
            answer = failure
        except asyncio.CancelledError as error:
            # This task ends here either way. Nobody cancelled it: something in it was.
            task = asyncio.current_task()
            cancelled = task is not None and task.cancelling() > 0
            answer = _STOPPING if cancelled else self._defect(method, error)
        except Exception as error:
            answer = self._defect(method, error)
        self._end(answer)

    def _defect(self, method: str, error: BaseException) -> CallFailed:
        _LOG.error(
            "call_failed_unexpectedly", exc_info=error, extra={"method": method, "peer": self.peer}
        )
        return CallFailed(StatusCode.INTERNAL, "a defect of the node; see its log")

    def _give_up(self, failure: CallFailed) -> None:
        """Whoever works for this call stops."""
        self._discard()
        self._fail(failure)
        if self.task is not None and not self.task.done():
            self.task.cancel()

    def _end(self, answer: CallFailed | None) -> None:
        """Tell the status, then wait for the client to close."""
        if self._ending:
            return
        assert self._transport is not None
        self._ending = self._closed_for_sending = True
        self._stop_timer()
        self._discard()
        self._transport.write(end_frame(answer))
        self._wake_all()
        self._resume()
        self._linger()

    def _linger(self) -> None:
        assert self._transport is not None
        unsent = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(LINGER_MS / 1_000, self._lingered, unsent)

    def _lingered(self, unsent_before: int) -> None:
        assert self._transport is not None
        unsent = self._transport.get_write_buffer_size()
        if unsent < unsent_before:
            self._linger()
        elif unsent:
            self._transport.abort()
        else:
            self._transport.close()

    def _no_preface(self) -> None:
        _LOG.warning(
            "peer_stream_malformed",
            extra={"peer": self.peer, "reason": f"no preface within {PREFACE_TIMEOUT_MS} ms"},
        )
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_STOPPING: Final = CallFailed(StatusCode.UNAVAILABLE, "the node is stopping")


class DirectListener:
    """The bound sockets and their connections."""

    def __init__(self, handlers: Mapping[str, StreamHandler], message_bytes_max: int) -> None:
        """`handlers`: by "/package.Service/Method"."""
        self.handlers = handlers
        self.message_bytes_max = message_bytes_max
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._connections: dict[ServerConnection, None] = {}
        self._open = True

    async def bind(self, host: str, port: int) -> None:
        """Listen on every address of the host; port 0: one that the system chooses.

        Raises OSError with errno, reason and host:port.
        """
        loop = asyncio.get_running_loop()
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            sockets = await _bound(host, port)
        except socket.gaierror as error:
            raise OSError(errno.EADDRNOTAVAIL, str(error.strerror), address) from error
        except OSError as error:
            raise OSError(error.errno, error.strerror, address) from error
        self.port = sockets[0].getsockname()[1]
        for bound in sockets:
            server = await loop.create_server(
                lambda: ServerConnection(self), sock=bound, backlog=_BACKLOG
            )
            self._servers.append(server)

    def admit(self, connection: ServerConnection) -> CallFailed | None:
        """Count a new connection; the reason when there is no room for it."""
        if not self._open:
            return _STOPPING
        if len(self._connections) >= STREAMS_MAX:
            return CallFailed(StatusCode.RESOURCE_EXHAUSTED, f"{STREAMS_MAX} streams are open")
        self._connections[connection] = None
        return None

    def forget(self, connection: ServerConnection) -> None:
        """The connection is gone; its handler may have to end yet."""
        task = connection.task
        if task is None or task.done():
            self._connections.pop(connection, None)
        else:
            task.add_done_callback(lambda _: self._connections.pop(connection, None))

    async def close(self, grace_ms: float) -> None:
        """Take no new calls; end those that outlast the grace; returns when all is closed."""
        self._open = False
        for server in self._servers:
            server.close()
        await self._handlers_ended(grace_ms)
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await self._handlers_ended(None)
        for connection in connections:
            connection.close_soon()
        if connections:
            closed = [connection.closed for connection in connections]
            await asyncio.wait(closed, timeout=_CLOSE_MS / 1_000)
            for connection in connections:
                connection.abort()
            await asyncio.wait(closed)

    async def _handlers_ended(self, timeout_ms: float | None) -> None:
        tasks = [c.task for c in self._connections if c.task is not None and not c.task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=None if timeout_ms is None else timeout_ms / 1_000)


async def _bound(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of the host, all on one port."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    places = list(dict.fromkeys((family, target) for family, _, _, _, target in found))
    for attempt in range(_PORT_ATTEMPTS):
        sockets: list[socket.socket] = []
        try:
            for family, target in places:
                chosen = sockets[0].getsockname()[1] if sockets else port
                sockets.append(_socket(family, (target[0], chosen, *target[2:])))
            return sockets
        except OSError as error:
            for opened in sockets:
                opened.close()
            # What the system chose for one address may be taken on another.
            if port or error.errno != errno.EADDRINUSE or attempt == _PORT_ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _socket(family: int, target: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # As gRPC does: the wildcard of IPv6 stands for IPv4 too.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(target[0] != "::"))
        bound.setblocking(False)
        bound.bind(target)
        bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound
