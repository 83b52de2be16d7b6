"""One direct connection: messages both ways, with flow control both ways.

The loop calls in here when bytes arrived or left; nothing else runs, no thread and no task. What
arrived and was not received yet is bounded by pausing the transport, so that the sender's kernel
and then its `send` wait; what was sent and has not left is bounded by `send` waiting.

uvloop gathers what is written in one iteration of the loop into one system call at its end, so
messages are not gathered here.

Rejected: `BufferedProtocol`, which reads a large payload straight into place: messages are
`bytes`, so it saves no copy, and small frames would need more calls.

Invariant: after the call has ended, nothing waits in `send` or `receive`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import ClassVar, Final, cast

from replication.errors import invariant
from replication.ports import CallFailed, StatusCode
from streamlog.host.peer_frames import FrameReader, FrameType, MalformedStream, frame_header

UNREAD_BYTES_MAX: Final = 1 << 20
"""Reading pauses above so many bytes of messages that nobody received; one read comes on top."""
UNREAD_MESSAGES_MAX: Final = 1_000
UNSENT_BYTES_HIGH: Final = 512 << 10
"""A `send` waits while more than this has not reached the kernel; one message comes on top."""
UNSENT_BYTES_LOW: Final = 128 << 10
"""Until no more than this is left."""
_JOIN_BELOW_BYTES: Final = 16 << 10
"""A message below this size is copied behind its header; a larger one goes beside it."""
_KEEPALIVE_IDLE_S: Final = 10
_KEEPALIVE_INTERVAL_S: Final = 5
_KEEPALIVE_PROBES: Final = 2
_UNACKNOWLEDGED_MS: Final = 60_000
"""A connection whose other end takes nothing for so long is broken (TCP_USER_TIMEOUT). Linux counts
an end that lives but does not read too, so it is far above what a slow disk may take; and it
decides for keepalive how long probes may stay unanswered."""


class PeerConnection(asyncio.Protocol):
    """What both ends have in common; `replication.ports.ClientStream` and `ServerStream`."""

    _GONE: ClassVar[str]
    """Why a `send` fails after the other end has said its last word."""

    def __init__(self, message_bytes_max: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._message_bytes_max = message_bytes_max
        self._transport: asyncio.Transport | None = None
        self._preface: bytes | None = b""
        """What has come of the other end's preface; None: it is whole."""
        self._frames = FrameReader(message_bytes_max)
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._reading_paused = False
        self._writing_paused = False
        self._no_more = False
        """The other end sends no more messages."""
        self._closed_for_sending = False
        self._discarding = False
        """What still arrives is of no use."""
        self._failure: CallFailed | None = None
        self._receiver: asyncio.Future[None] | None = None
        self._sender: asyncio.Future[None] | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is gone."""

    # -- what users call ---------------------------------------------------------------------

    @property
    def peer(self) -> str:
        """The other end, for logs."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        return f"direct:{name[0]}:{name[1]}" if name else "direct:unknown"

    async def send(self, message: bytes) -> None:
        """As the ports say; RESOURCE_EXHAUSTED for a message over the limit."""
        self._check_sending()
        if len(message) > self._message_bytes_max:
            raise CallFailed(
                StatusCode.RESOURCE_EXHAUSTED,
                f"a message of {len(message)} bytes is larger than max"
                f" ({self._message_bytes_max} bytes)",
            )
        assert self._transport is not None
        header = frame_header(FrameType.MESSAGE, len(message))
        if len(message) < _JOIN_BELOW_BYTES:
            self._transport.write(header + message)
        else:
            self._transport.writelines((header, message))
        while self._writing_paused:
            invariant(self._sender is None, "two senders on one stream")
            self._sender = self._loop.create_future()
            try:
                await self._sender
            finally:
                self._sender = None
            self._check_sending()

    async def receive(self) -> bytes | None:
        """As the ports say."""
        while not self._unread:
            if self._failure is not None:
                raise _again(self._failure)
            if self._no_more:
                return None
            invariant(self._receiver is None, "two receivers on one stream")
            self._receiver = self._loop.create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None
        message = self._unread.popleft()
        self._unread_bytes -= len(message)
        if self._reading_paused and not self._above(
            UNREAD_BYTES_MAX // 2, UNREAD_MESSAGES_MAX // 2
        ):
            self._resume()
        return message

    # -- what the loop calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are such by their methods, not by their class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(UNSENT_BYTES_HIGH, UNSENT_BYTES_LOW)
        _set_options(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        assert self._transport is not None
        try:
            if self._preface is not None:
                self._preface += data
                taken = self._take_preface(self._preface)
                if taken is None:
                    return
                data, self._preface = self._preface[taken:], None
            for kind, payload in self._frames.feed(data):
                if self._discarding:
                    return
                self._take(kind, payload)
        except MalformedStream as error:
            self._malformed(error)
        full = self._above(UNREAD_BYTES_MAX, UNREAD_MESSAGES_MAX)
        if full and not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """The other end sends no more bytes, which only the end of the connection means."""
        assert self._transport is not None
        self._transport.abort()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        _wake(self._sender)

    def connection_lost(self, error: Exception | None) -> None:
        self._writing_paused = False
        self._lost(error)
        self._wake_all()
        if not self.closed.done():
            self.closed.set_result(None)

    # -- what the two ends do differently ----------------------------------------------------

    def _take_preface(self, data: bytes) -> int | None:
        """Bytes it took; None when more must come. Raises MalformedStream."""
        raise NotImplementedError

    def _take_control(self, kind: FrameType, payload: bytes) -> None:
        """A frame that is no message. Raises MalformedStream."""
        raise NotImplementedError

    def _malformed(self, error: MalformedStream) -> None:
        """The other end broke the protocol: end the connection and say so in the log."""
        raise NotImplementedError

    def _lost(self, error: Exception | None) -> None:
        """The connection is gone; `error` is what the system says, if anything."""
        raise NotImplementedError

    # -- parts -------------------------------------------------------------------------------

    def _take(self, kind: FrameType, payload: bytes) -> None:
        if kind is not FrameType.MESSAGE:
            self._take_control(kind, payload)
        elif self._no_more:
            raise MalformedStream("a message after the last one")
        else:
            self._unread.append(payload)
            self._unread_bytes += len(payload)
            _wake(self._receiver)

    def _above(self, bytes_max: int, messages_max: int) -> bool:
        return self._unread_bytes > bytes_max or len(self._unread) > messages_max

    def _resume(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _discard(self) -> None:
        """Forget what arrived and was not received, and what will arrive."""
        self._discarding = True
        self._unread.clear()
        self._unread_bytes = 0

    def _fail(self, failure: CallFailed) -> None:
        """End the call here; the first failure counts."""
        if self._failure is None:
            self._failure = failure
        self._wake_all()

    def _wake_all(self) -> None:
        _wake(self._receiver)
        _wake(self._sender)

    def _check_sending(self) -> None:
        if self._failure is not None:
            raise _again(self._failure)
        if self._closed_for_sending:
            raise CallFailed(StatusCode.CANCELLED, self._GONE)


def _again(failure: CallFailed) -> CallFailed:
    """A failure may be told several times; an exception collects where it passed."""
    return CallFailed(failure.code, failure.message, failure.details)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _set_options(connection: socket.socket) -> None:
    """A message leaves at once, and an end that vanished is noticed though nothing is sent."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", _KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_MS),
    ):
        option = getattr(socket, name, None)  # not every system has every one of them
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
