"""How the client inside a node reaches nodes: others over the network, its own within the process.

Only the shapes differ: the client library speaks of `TransportError`, the node's network of
`CallFailed`. A local stream is two bounded queues and the handler's task; its back-pressure is
that `send` waits for room, as on a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from replication import ports
from replication.ports import CallFailed, Network, Service, StatusCode
from streamlog.client.transport import Channel, ClientStream, TransportError

QUEUED_MESSAGES_MAX: Final = 4
"""On a local stream, each way."""


class NodeConnector:
    """`streamlog.client.transport.Connector`."""

    def __init__(
        self,
        network: Network,
        services: Sequence[Service],
        is_local: Callable[[str], bool],
    ) -> None:
        """`is_local` tells whether an address is this node's."""
        self._network, self._is_local = network, is_local
        self._methods = _Methods(services)

    def connect(self, address: str) -> Channel:
        """A channel to host:port; nothing is sent yet."""
        if self._is_local(address):
            return _LocalChannel(self._methods)
        return RemoteChannel(self._network.connect(address))


def _transport_error(failure: CallFailed) -> TransportError:
    return TransportError(int(failure.code), failure.message, failure.details)


class _RemoteStream:
    def __init__(self, stream: ports.ClientStream) -> None:
        self._stream = stream

    async def send(self, message: bytes) -> None:
        try:
            await self._stream.send(message)
        except CallFailed as failure:
            raise _transport_error(failure) from None

    async def receive(self) -> bytes | None:
        try:
            return await self._stream.receive()
        except CallFailed as failure:
            raise _transport_error(failure) from None

    async def done_sending(self) -> None:
        try:
            await self._stream.done_sending()
        except CallFailed as failure:
            raise _transport_error(failure) from None

    def cancel(self) -> None:
        self._stream.cancel()


class RemoteChannel:
    """`streamlog.client.transport.Channel` over one of the node's network."""

    def __init__(self, channel: ports.Channel) -> None:
        self._channel = channel

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        try:
            return await self._channel.unary(method, request, timeout_ms)
        except CallFailed as failure:
            raise _transport_error(failure) from None

    def stream(self, method: str) -> ClientStream:
        try:
            return _RemoteStream(self._channel.stream(method))
        except CallFailed as failure:
            raise _transport_error(failure) from None

    async def close(self) -> None:
        await self._channel.close()


class _Methods:
    """Handlers by "/package.Service/Method"."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.unary: Mapping[str, ports.UnaryHandler] = {
            f"/{service.name}/{name}": handler
            for service in services
            for name, handler in service.unary.items()
        }
        self.streams: Mapping[str, ports.StreamHandler] = {
            f"/{service.name}/{name}": handler
            for service in services
            for name, handler in service.streams.items()
        }


class _LocalChannel:
    def __init__(self, methods: _Methods) -> None:
        self._methods = methods
        self._streams: dict[_LocalStream, None] = {}

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                return await self._methods.unary[method](request)
        except CallFailed as failure:
            raise _transport_error(failure) from None
        except TimeoutError:
            raise TransportError(StatusCode.DEADLINE_EXCEEDED, f"{method} took too long") from None

    def stream(self, method: str) -> ClientStream:
        stream = _LocalStream(self._methods.streams[method])
        self._streams[stream] = None
        stream.task.add_done_callback(lambda _: self._streams.pop(stream, None))
        return stream

    async def close(self) -> None:
        streams = list(self._streams)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*(stream.task for stream in streams), return_exceptions=True)


class _LocalStream:
    """Both ends of a call within the process: the client's here, the handler's in `_Served`.

    Invariant: after the handler ended, `send` raises why, and `receive` what was sent before.
    """

    def __init__(self, handler: ports.StreamHandler) -> None:
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED_MESSAGES_MAX)
        self._responses: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED_MESSAGES_MAX)
        self._end: TransportError | None = None
        self._ended = False
        self.task = asyncio.get_running_loop().create_task(
            self._run(handler, _Served(self._requests, self._responses))
        )

    async def _run(self, handler: ports.StreamHandler, served: _Served) -> None:
        try:
            await handler(served)
        except CallFailed as failure:
            self._end = _transport_error(failure)
        except asyncio.CancelledError:
            self._end = TransportError(StatusCode.CANCELLED, "the call was given up here")
        except Exception as error:
            self._end = TransportError(StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
            raise
        finally:
            self._ended = True
            while not self._requests.empty():  # whoever waits for room goes on, into the error
                self._requests.get_nowait()
            if not self._responses.full():
                self._responses.put_nowait(None)

    async def send(self, message: bytes) -> None:
        if not self._ended:
            await self._requests.put(message)
        if self._ended:
            raise self._end or TransportError(StatusCode.UNAVAILABLE, "the call has ended")

    async def receive(self) -> bytes | None:
        if self._ended and self._responses.empty():
            message = None
        else:
            message = await self._responses.get()
        if message is None and self._end is not None:
            raise self._end
        return message

    async def done_sending(self) -> None:
        await self._requests.put(None)

    def cancel(self) -> None:
        self.task.cancel()


class _Served:
    """`replication.ports.ServerStream`."""

    peer = "this node"

    def __init__(
        self, requests: asyncio.Queue[bytes | None], responses: asyncio.Queue[bytes | None]
    ) -> None:
        self._requests, self._responses = requests, responses

    async def receive(self) -> bytes | None:
        return await self._requests.get()

    async def send(self, message: bytes) -> None:
        await self._responses.put(message)
