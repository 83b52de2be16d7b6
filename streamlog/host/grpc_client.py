"""The calling half of the network: bytes calls on a gRPC channel.

Every failure of a call is a CallFailed, also where gRPC would say CancelledError because the call
or its channel was ended from here: in asyncio that exception means that the *task* is cancelled,
and nothing else may raise it.
"""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import grpc
import grpc.aio

from replication.ports import CallFailed, StatusCode
from streamlog.host.grpc_options import channel_options
from streamlog.host.grpc_server import DETAILS_KEY

_Call = grpc.aio.StreamStreamCall[bytes, bytes]
_GIVEN_UP = "the call was given up here"


class GrpcChannel:
    """`replication.ports.Channel`."""

    def __init__(self, address: str, message_bytes_max: int) -> None:
        self._channel = grpc.aio.insecure_channel(
            address, options=channel_options(message_bytes_max)
        )
        self._unary: dict[str, Any] = {}
        self._streams: dict[str, Any] = {}

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        call = self._unary.get(method)
        if call is None:
            call = self._unary[method] = self._channel.unary_unary(method)
        try:
            answer = await call(request, timeout=timeout_ms / 1000)
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        except asyncio.CancelledError:
            _raise_if_task_is_cancelled()
            raise CallFailed(StatusCode.CANCELLED, _GIVEN_UP) from None
        except grpc.aio.UsageError as error:
            raise CallFailed(StatusCode.CANCELLED, f"the channel is closed: {error}") from None
        assert isinstance(answer, bytes)
        return answer

    def stream(self, method: str) -> GrpcClientStream:
        call = self._streams.get(method)
        if call is None:
            call = self._streams[method] = self._channel.stream_stream(method)
        try:
            return GrpcClientStream(call())
        except grpc.aio.UsageError as error:
            raise CallFailed(StatusCode.CANCELLED, f"the channel is closed: {error}") from None

    async def close(self) -> None:
        await self._channel.close(None)


class GrpcClientStream:
    """`replication.ports.ClientStream`."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    async def send(self, message: bytes) -> None:
        """As the port says. A cancelled send gives the whole call up."""
        try:
            await self._call.write(message)
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        except asyncio.InvalidStateError:
            await self._raise_end()
        except asyncio.CancelledError:
            _raise_if_task_is_cancelled()
            raise CallFailed(StatusCode.CANCELLED, _GIVEN_UP) from None

    async def done_sending(self) -> None:
        try:
            await self._call.done_writing()
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        except asyncio.CancelledError:
            _raise_if_task_is_cancelled()
            raise CallFailed(StatusCode.CANCELLED, _GIVEN_UP) from None

    def cancel(self) -> None:
        self._call.cancel()

    async def receive(self) -> bytes | None:
        """As the port says. A cancelled receive gives the whole call up."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        except asyncio.CancelledError:
            _raise_if_task_is_cancelled()
            raise CallFailed(StatusCode.CANCELLED, _GIVEN_UP) from None
        return message if isinstance(message, bytes) else None

    async def _raise_end(self) -> NoReturn:
        """A message was sent into a call that has ended: say how."""
        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            raise CallFailed(StatusCode.CANCELLED, "the server has ended the call")
        message = await self._call.details()
        trailers = await self._call.trailing_metadata()
        raise CallFailed(StatusCode(code.value[0]), message or "", _details(trailers))


def _raise_if_task_is_cancelled() -> None:
    """Tell a cancelled task, whose CancelledError must go on, from a call ended from here."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise asyncio.CancelledError


def _failure(error: grpc.aio.AioRpcError) -> CallFailed:
    return CallFailed(
        StatusCode(error.code().value[0]),
        error.details() or "",
        _details(error.trailing_metadata()),
    )


def _details(trailers: Any) -> bytes:
    for key, value in trailers or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return value
    return b""
