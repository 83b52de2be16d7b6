"""The calling half of direct streams, and the channel that finds them.

A stream of the peer service goes over a direct connection when the peer has a direct listener
that can be reached, and over gRPC otherwise: a peer of another version, or one behind something
that lets only its public port through, is spoken to all the same. Everything else is gRPC.

Where the listener is, is asked once a channel; after a connection failed, again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from google.protobuf.message import DecodeError

from replication.errors import invariant
from replication.ports import CallFailed, ClientStream, StatusCode
from replication.v1 import peer_service_pb2 as pb
from streamlog.host.grpc_client import GrpcChannel
from streamlog.host.grpc_options import CONNECT_TIMEOUT_MS, MESSAGE_SLACK_BYTES
from streamlog.host.grpc_server import split_address
from streamlog.host.peer_frames import (
    VERSION,
    FrameType,
    MalformedStream,
    MessageTooLarge,
    client_preface,
    frame_header,
    read_end,
    read_server_preface,
)
from streamlog.host.peer_protocol import PeerConnection

SERVICE: Final = pb.DESCRIPTOR.services_by_name["PeerService"].full_name
"""Whose streams may be direct."""
ENDPOINT: Final = "PeerEndpoint"
DIRECT_TIMEOUT_MS: Final = CONNECT_TIMEOUT_MS / 2
"""For one direct connection: leaves callers who wait CONNECT_TIMEOUT_MS time for gRPC."""
UNREACHABLE_MS: Final = 30_000
"""How long a direct listener that could not be reached is not tried again."""
_UNREACHABLE_MAX: Final = 1_000
_PORT_MAX: Final = 65_535
_GIVEN_UP: Final = "the call was given up here"

_LOG = logging.getLogger(__name__)


class ClientConnection(PeerConnection):
    """`replication.ports.ClientStream` on a connection of its own."""

    _GONE = "the server has ended the call"

    def __init__(self, address: str, method: str, message_bytes_max: int) -> None:
        super().__init__(message_bytes_max)
        self._address = address
        self._method = method
        self._half_closed = False

    @property
    def intact(self) -> bool:
        """The peer speaks the protocol, and ended the call itself if it is over."""
        return self._preface is None and (self._no_more or not self.closed.done())

    async def send(self, message: bytes) -> None:
        """As the port says. A cancelled send gives the whole call up."""
        invariant(not self._half_closed, "a message after the half-close", method=self._method)
        try:
            await super().send(message)
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def receive(self) -> bytes | None:
        """As the port says. A cancelled receive gives the whole call up."""
        try:
            return await super().receive()
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def done_sending(self) -> None:
        if not self._closed_for_sending and self._failure is None:
            assert self._transport is not None
            self._half_closed = self._closed_for_sending = True
            self._transport.write(frame_header(FrameType.HALF_CLOSE, 0))

    def cancel(self) -> None:
        self._discard()
        self._fail(CallFailed(StatusCode.CANCELLED, _GIVEN_UP))
        if self._transport is not None:
            self._transport.abort()

    # -- hooks -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self._transport is not None
        if self._failure is not None:
            self._transport.abort()
        else:
            self._transport.write(client_preface(self._method))

    def _take_preface(self, data: bytes) -> int | None:
        return read_server_preface(data)

    def _take_control(self, kind: FrameType, payload: bytes) -> None:
        if kind is not FrameType.END:
            raise MalformedStream(f"an unexpected frame of type {kind.name}")
        failure = read_end(payload)
        self._no_more = self._closed_for_sending = True
        if failure is not None:
            self._fail(failure)
        self._wake_all()
        assert self._transport is not None
        self._transport.close()

    def _malformed(self, error: MalformedStream) -> None:
        _LOG.warning(
            "peer_stream_malformed",
            extra={"peer": self._address, "method": self._method, "reason": str(error)},
        )
        too_large = isinstance(error, MessageTooLarge)
        code = StatusCode.RESOURCE_EXHAUSTED if too_large else StatusCode.UNAVAILABLE
        self._discarding = True
        self._fail(CallFailed(code, f"{self._address}: {error}"))
        assert self._transport is not None
        self._transport.abort()

    def _lost(self, error: Exception | None) -> None:
        if not self._no_more:
            reason = str(error) if error is not None else "it was closed"
            self._fail(
                CallFailed(
                    StatusCode.UNAVAILABLE, f"the connection to {self._address} broke: {reason}"
                )
            )


class PeerClientStream:
    """`replication.ports.ClientStream` that is still looking for its way, then goes it."""

    def __init__(self, channel: PeerChannel, method: str) -> None:
        self._channel = channel
        self._method = method
        self._call: ClientStream | None = None
        self._failure: CallFailed | None = None
        self.opening = asyncio.get_running_loop().create_task(self._open())
        """Owned by the channel."""

    async def send(self, message: bytes) -> None:
        call = self._call if self._call is not None else await self._opened()
        await call.send(message)

    async def receive(self) -> bytes | None:
        call = self._call if self._call is not None else await self._opened()
        return await call.receive()

    async def done_sending(self) -> None:
        call = self._call if self._call is not None else await self._opened()
        await call.done_sending()

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
        elif self._failure is None:
            self._failure = CallFailed(StatusCode.CANCELLED, _GIVEN_UP)
            self.opening.cancel()

    async def _open(self) -> None:
        try:
            call = await self._channel.open(self._method)
        except CallFailed as failure:
            self._failure = self._failure or failure
        except Exception as error:
            _LOG.exception("peer_stream_defect", extra={"method": self._method})
            self._failure = CallFailed(StatusCode.INTERNAL, f"a defect of this node: {error!r}")
        else:
            self._call = call

    async def _opened(self) -> ClientStream:
        """The call. Raises CallFailed."""
        if self._call is None and self._failure is None:
            try:
                await asyncio.wait([self.opening])
            except asyncio.CancelledError:
                self.cancel()
                raise
        if self._call is not None:
            return self._call
        failure = self._failure
        invariant(failure is not None, "a stream was neither opened nor refused")
        assert failure is not None
        raise CallFailed(failure.code, failure.message, failure.details)


class Unreachable:
    """Direct listeners that could not be reached of late; one for all channels of a network."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, int], float] = {}
        """By address and direct port: when to try again, seconds of the loop's clock."""

    def add(self, address: str, port: int) -> None:
        """From now on, for a while."""
        if len(self._until) >= _UNREACHABLE_MAX:
            self._until.clear()
        loop = asyncio.get_running_loop()
        self._until[address, port] = loop.time() + UNREACHABLE_MS / 1_000

    def holds(self, address: str, port: int) -> bool:
        """It is not to be tried now."""
        until = self._until.get((address, port))
        if until is None or asyncio.get_running_loop().time() < until:
            return until is not None
        del self._until[address, port]
        return False


class PeerChannel:
    """`replication.ports.Channel`: gRPC, and direct connections for streams of peers."""

    def __init__(self, address: str, message_bytes_max: int, unreachable: Unreachable) -> None:
        self._address = address
        self._frame_bytes_max = message_bytes_max + MESSAGE_SLACK_BYTES
        self._grpc = GrpcChannel(address, message_bytes_max)
        self._unreachable = unreachable
        self._port: int | None = None
        """Of the peer's direct listener; 0: it has none; None: not asked yet."""
        self._streams: dict[PeerClientStream, None] = {}
        """Those that are opening."""
        self._connections: dict[ClientConnection, None] = {}
        self._open = True

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        return await self._grpc.unary(method, request, timeout_ms)

    def stream(self, method: str) -> ClientStream:
        if not method.startswith(f"/{SERVICE}/"):
            return self._grpc.stream(method)
        if not self._open:
            raise CallFailed(StatusCode.CANCELLED, "the channel is closed")
        stream = PeerClientStream(self, method)
        self._streams[stream] = None
        stream.opening.add_done_callback(lambda _: self._streams.pop(stream, None))
        return stream

    async def close(self) -> None:
        self._open = False
        opening = list(self._streams)
        for stream in opening:
            stream.cancel()
        if opening:
            await asyncio.wait([stream.opening for stream in opening])
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        if connections:
            await asyncio.wait([connection.closed for connection in connections])
        await self._grpc.close()

    async def open(self, method: str) -> ClientStream:
        """A call by the best way there is. Raises CallFailed when there is none."""
        if self._port:
            try:
                return await self._connect(self._port, method)
            except OSError:
                pass  # what was known may be from before a restart of the peer
        if self._port is None:
            self._port = await self._ask()
        port = self._port
        if port == 0 or self._unreachable.holds(self._address, port):
            return self._grpc.stream(method)
        try:
            return await self._connect(port, method)
        except OSError as error:
            self._unreachable.add(self._address, port)
            _LOG.warning(
                "peer_direct_unreachable",
                extra={"peer": self._address, "port": port, "reason": str(error) or "timeout"},
            )
            return self._grpc.stream(method)

    async def _ask(self) -> int:
        """The direct port of the peer, 0 when it has none that is understood here."""
        method = f"/{SERVICE}/{ENDPOINT}"
        request = pb.PeerEndpointRequest().SerializeToString()
        try:
            answer = await self._grpc.unary(method, request, CONNECT_TIMEOUT_MS)
            endpoint = pb.PeerEndpointResponse.FromString(answer)
        except CallFailed as failure:
            if failure.code is StatusCode.UNIMPLEMENTED:
                return 0
            raise
        except DecodeError as error:
            raise CallFailed(StatusCode.UNAVAILABLE, f"{self._address}: {error}") from error
        usable = endpoint.version == VERSION and endpoint.port <= _PORT_MAX
        return endpoint.port if usable else 0

    async def _connect(self, port: int, method: str) -> ClientConnection:
        """A direct connection. Raises OSError; then the port is forgotten."""
        host, _ = split_address(self._address)
        connection = ClientConnection(self._address, method, self._frame_bytes_max)
        try:
            async with asyncio.timeout(DIRECT_TIMEOUT_MS / 1_000):
                await asyncio.get_running_loop().create_connection(lambda: connection, host, port)
        except BaseException:
            connection.cancel()
            self._port = None
            raise
        self._connections[connection] = None
        connection.closed.add_done_callback(lambda _: self._forget(connection))
        return connection

    def _forget(self, connection: ClientConnection) -> None:
        self._connections.pop(connection, None)
        if not connection.intact:
            self._port = None
