"""The real transport: gRPC's asyncio stack with messages as bytes, no serializers.

Messages pass as they are, so that a batch's payload is not copied through a protobuf object on
the way. Limits are explicit; a dead peer is noticed by keepalive; reconnecting backs off no
further than one second, because a leader may come back at any moment; gRPC's own retries are
off, because the client retries with knowledge of what it retries.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from streamlog.client.transport import Channel, ClientStream, TransportError

MESSAGE_BYTES_MAX: Final = 80 * 1024 * 1024
"""Largest message taken or sent: a batch of 64 MiB and its headers fit."""

CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
_DETAILS_TRAILER: Final = "grpc-status-details-bin"
_CANCELLED: Final[int] = grpc.StatusCode.CANCELLED.value[0]
_GIVEN_UP: Final = "the call was given up here"


def _transport_error(code: grpc.StatusCode, message: str | None, trailers: Any) -> TransportError:
    details = b""
    for key, value in trailers or ():
        if key == _DETAILS_TRAILER and isinstance(value, bytes):
            details = value
    return TransportError(code.value[0], message or "", details)


def _failure(error: grpc.aio.AioRpcError) -> TransportError:
    return _transport_error(error.code(), error.details(), error.trailing_metadata())


def _raise_given_up() -> NoReturn:
    """GRPC says CancelledError for a call that was ended from here; in asyncio that exception
    belongs to a task that is cancelled, and would end the loop around the call."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise asyncio.CancelledError
    raise TransportError(_CANCELLED, _GIVEN_UP) from None


class _GrpcStream:
    """One bidirectional call."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def send(self, message: bytes) -> None:
        try:
            await self._call.write(message)
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        except asyncio.InvalidStateError:
            await self._raise_end()
        except asyncio.CancelledError:
            _raise_given_up()
        except grpc.aio.UsageError as error:
            raise TransportError(_CANCELLED, str(error)) from None

    async def receive(self) -> bytes | None:
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        except asyncio.CancelledError:
            _raise_given_up()
        if message is grpc.aio.EOF:
            return None
        assert isinstance(message, bytes)
        return message

    async def done_sending(self) -> None:
        await self._call.done_writing()

    def cancel(self) -> None:
        self._call.cancel()

    async def _raise_end(self) -> NoReturn:
        """A message was sent into a call that has ended already: say how it ended."""
        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            raise TransportError(grpc.StatusCode.UNAVAILABLE.value[0], "the server ended the call")
        details, trailers = await self._call.details(), await self._call.trailing_metadata()
        raise _transport_error(code, details, trailers)


class _GrpcChannel:
    """A gRPC channel; connects when first used, and again after a loss."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._unary: dict[str, Any] = {}

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        callable_ = self._unary.get(method)
        if callable_ is None:
            callable_ = self._unary[method] = self._channel.unary_unary(method)
        try:
            response = await callable_(request, timeout=timeout_ms / 1000)
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        except asyncio.CancelledError:
            _raise_given_up()
        except grpc.aio.UsageError as error:
            raise TransportError(_CANCELLED, f"the channel is closed: {error}") from None
        assert isinstance(response, bytes)
        return response

    def stream(self, method: str) -> ClientStream:
        try:
            return _GrpcStream(self._channel.stream_stream(method)())
        except grpc.aio.UsageError as error:
            raise TransportError(_CANCELLED, f"the channel is closed: {error}") from None

    async def close(self) -> None:
        await self._channel.close()


class GrpcConnector:
    """Channels over gRPC without TLS."""

    def connect(self, address: str) -> Channel:
        """A channel to host:port; nothing is sent yet."""
        return _GrpcChannel(address)
