"""The listening half of the network: bytes handlers behind a gRPC server.

What a handler raises decides the status: CallFailed is passed on with its details, anything else
is a defect, logged here and told to the client as INTERNAL without a word of the traceback.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

import grpc
import grpc.aio

from replication.ports import CallFailed, Service, StatusCode, StreamHandler, UnaryHandler
from streamlog.host.grpc_options import CALLS_MAX, server_options

DETAILS_KEY = "grpc-status-details-bin"
MESSAGE_CHARACTERS_MAX = 2_000
DETAILS_BYTES_MAX = 6_000
"""Both go into the trailers, which are bounded as a whole; details over the limit are left out."""

_LOG = logging.getLogger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcListener:
    """`replication.ports.Listener`."""

    def __init__(self, server: grpc.aio.Server, address: str) -> None:
        self._server = server
        self._address = address

    @property
    def address(self) -> str:
        return self._address

    async def close(self, grace_ms: float) -> None:
        await self._server.stop(grace_ms / 1000)


class _ServerStream:
    """`replication.ports.ServerStream`."""

    def __init__(self, context: _Context) -> None:
        self._context = context

    @property
    def peer(self) -> str:
        return self._context.peer()

    async def send(self, message: bytes) -> None:
        try:
            await self._context.write(message)
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            raise CallFailed(StatusCode.CANCELLED, "the client is gone") from error

    async def receive(self) -> bytes | None:
        try:
            message = await self._context.read()
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            raise CallFailed(StatusCode.CANCELLED, "the client is gone") from error
        return message if isinstance(message, bytes) else None


async def listen(address: str, services: Sequence[Service], message_bytes_max: int) -> GrpcListener:
    """Bind and serve.

    Raises:
        OSError: with the errno of the bind and the address; EADDRINUSE when the port is taken.
    """
    host, port = split_address(address)
    await _probe(address, host, port)
    server = grpc.aio.server(
        options=server_options(message_bytes_max), maximum_concurrent_rpcs=CALLS_MAX
    )
    server.add_generic_rpc_handlers([_handlers(service) for service in services])
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(errno.EADDRINUSE, "the address can not be bound", address) from error
    await server.start()
    return GrpcListener(server, f"{address.rpartition(':')[0]}:{bound}")


def split_address(address: str) -> tuple[str, int]:
    """Host (without the brackets of IPv6) and port. Raises OSError(EINVAL)."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65_535:
        raise OSError(errno.EINVAL, "not a host:port", address)
    return host.removeprefix("[").removesuffix("]"), int(port)


async def _probe(address: str, host: str, port: int) -> None:
    """Bind and let go, for the reason: gRPC itself says only that it could not."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, target in found:
            with socket.socket(family, kind, protocol) as attempt:
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                attempt.bind(target)
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, str(error.strerror), address) from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, address) from error


def _handlers(service: Service) -> grpc.GenericRpcHandler:
    methods: dict[str, Any] = {}
    for name, unary in service.unary.items():
        method = f"{service.name}/{name}"
        methods[name] = grpc.unary_unary_rpc_method_handler(_unary(method, unary))
    for name, stream in service.streams.items():
        method = f"{service.name}/{name}"
        methods[name] = grpc.stream_stream_rpc_method_handler(_stream(method, stream))
    return grpc.method_handlers_generic_handler(service.name, methods)


def _unary(method: str, handler: UnaryHandler) -> Callable[[bytes, _Context], Awaitable[bytes]]:
    async def call(request: bytes, context: _Context) -> bytes:
        try:
            return await handler(request)
        except CallFailed as failure:
            answer = failure
        except Exception as error:
            answer = _defect(method, context, error)
        return await _end(context, answer)

    return call


def _stream(method: str, handler: StreamHandler) -> Callable[[Any, _Context], Awaitable[None]]:
    async def call(_requests: object, context: _Context) -> None:
        stream = _ServerStream(context)
        try:
            await handler(stream)
            return
        except CallFailed as failure:
            answer = failure
        except Exception as error:
            answer = _defect(method, context, error)
        await _end(context, answer)

    return call


def _defect(method: str, context: _Context, error: Exception) -> CallFailed:
    _LOG.error(
        "call_failed_unexpectedly",
        exc_info=error,
        extra={"method": method, "peer": context.peer()},
    )
    return CallFailed(StatusCode.INTERNAL, "a defect of the node; see its log")


async def _end(context: _Context, answer: CallFailed) -> NoReturn:
    """End the call with a status; raises what gRPC uses to unwind a handler."""
    trailers: tuple[tuple[str, bytes], ...] = ()
    if answer.details and len(answer.details) <= DETAILS_BYTES_MAX:
        trailers = ((DETAILS_KEY, answer.details),)
    await context.abort(
        _CODES[answer.code], answer.message[:MESSAGE_CHARACTERS_MAX], trailing_metadata=trailers
    )
