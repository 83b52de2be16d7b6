"""The client's transport over real gRPC: every end of a call is a TransportError."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from streamlog.client.connections.grpc_transport import GrpcConnector
from streamlog.client.transport import Channel, ClientStream, TransportError

METHOD = "/test.Service/Talk"
ASK = "/test.Service/Ask"
UNAVAILABLE, CANCELLED = 14, 1
PATIENCE_S = 60


class Node(grpc.GenericRpcHandler):
    """A server of two methods whose behaviour each test gives."""

    def __init__(self, talk: Any) -> None:
        self._talk = talk

    def service(self, details: Any) -> Any:
        if details.method == METHOD:
            return grpc.stream_stream_rpc_method_handler(self._talk)
        return grpc.unary_unary_rpc_method_handler(self._ask)

    async def _ask(self, request: bytes, context: Any) -> bytes:
        await asyncio.sleep(3600)
        return request


@asynccontextmanager
async def served(talk: Any) -> AsyncIterator[Channel]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Node(talk),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = GrpcConnector().connect(f"127.0.0.1:{port}")
    try:
        yield channel
    finally:
        await channel.close()
        await server.stop(None)


async def refuse(requests: Any, context: Any) -> AsyncIterator[bytes]:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
    yield b""


async def end(requests: Any, context: Any) -> AsyncIterator[bytes]:
    return
    yield b""


async def listen(requests: Any, context: Any) -> AsyncIterator[bytes]:
    yield b"hello"
    await asyncio.sleep(3600)


async def error_of(stream: ClientStream, *, sending: bool) -> TransportError:
    while True:
        try:
            await (stream.send(b"x") if sending else stream.receive())
        except TransportError as error:
            return error


async def ended(stream: ClientStream) -> None:
    """Wait until gRPC knows that the call is over."""
    async with asyncio.timeout(PATIENCE_S):
        while not stream._call.done():  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)


async def test_sending_into_a_call_that_failed_tells_why() -> None:
    """The library says InvalidStateError, which once ended a producer's send loop."""
    async with served(refuse) as channel:
        stream = channel.stream(METHOD)
        await error_of(stream, sending=False)
        await ended(stream)
        error = await error_of(stream, sending=True)
        assert (error.code, error.message) == (UNAVAILABLE, "gone")


async def test_sending_into_a_call_that_the_server_ended_is_an_error() -> None:
    """An orderly end takes no more messages either."""
    async with served(end) as channel:
        stream = channel.stream(METHOD)
        assert await stream.receive() is None
        await ended(stream)
        assert (await error_of(stream, sending=True)).code == UNAVAILABLE


@pytest.mark.parametrize("sending", [True, False])
async def test_a_call_given_up_is_an_error_and_no_cancellation(*, sending: bool) -> None:
    """CancelledError belongs to cancelled tasks."""
    async with served(listen) as channel:
        stream = channel.stream(METHOD)
        assert await stream.receive() == b"hello"
        waiting = asyncio.ensure_future(error_of(stream, sending=sending))
        await asyncio.sleep(0)
        stream.cancel()
        assert (await waiting).code == CANCELLED


async def test_a_cancelled_task_is_cancelled() -> None:
    """The task that waits may be cancelled, and ends as asyncio says."""
    async with served(listen) as channel:
        stream = channel.stream(METHOD)
        assert await stream.receive() == b"hello"
        waiting = asyncio.ensure_future(stream.receive())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_calls_on_a_closed_channel_are_errors() -> None:
    """Closing ends what waits, and refuses what comes."""
    async with served(listen) as channel:
        waiting = asyncio.ensure_future(channel.unary(ASK, b"", 60_000))
        await asyncio.sleep(0.01)
        await channel.close()
        with pytest.raises(TransportError):
            await waiting
        with pytest.raises(TransportError):
            await channel.unary(ASK, b"", 60_000)
        with pytest.raises(TransportError):
            channel.stream(METHOD)
