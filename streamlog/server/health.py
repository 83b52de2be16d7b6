"""Whether the node serves, as `grpc.health.v1.Health`, on the same ports as everything else.

The empty service name stands for the node as a whole; the names of the public services follow it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from replication.ports import CallFailed, ServerStream, Service, StatusCode

SERVICE_NAME = "grpc.health.v1.Health"
_Response = health_pb2.HealthCheckResponse


class Health:
    """The node's health; NOT_SERVING until it is said to serve."""

    def __init__(self, services: Sequence[str]) -> None:
        """`services`: full names of the services that are asked about besides the node."""
        self._known = frozenset(("", *services))
        self._serving = False
        self._changed = asyncio.Event()

    @property
    def serving(self) -> bool:
        """What is answered now."""
        return self._serving

    def set_serving(self, serving: bool) -> None:
        """Change the answer, and tell those who watch."""
        if serving != self._serving:
            self._serving = serving
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def service(self) -> Service:
        """To be listened to."""
        return Service(SERVICE_NAME, {"Check": self._check}, {"Watch": self._watch})

    async def _check(self, request: bytes) -> bytes:
        name = _parse(request)
        if name not in self._known:
            raise CallFailed(StatusCode.NOT_FOUND, f"no service of the name {name[:100]!r}")
        return self._answer(name)

    async def _watch(self, stream: ServerStream) -> None:
        """Per the protocol, an unknown service is answered, not refused: it may yet come."""
        request = await stream.receive()
        if request is None:
            raise CallFailed(StatusCode.INVALID_ARGUMENT, "Watch takes one request")
        name = _parse(request)
        while True:
            changed = self._changed
            await stream.send(self._answer(name))
            await changed.wait()

    def _answer(self, name: str) -> bytes:
        if name not in self._known:
            status = _Response.SERVICE_UNKNOWN
        else:
            status = _Response.SERVING if self._serving else _Response.NOT_SERVING
        return bytes(_Response(status=status).SerializeToString())


def _parse(request: bytes) -> str:
    try:
        return str(health_pb2.HealthCheckRequest.FromString(request).service)
    except DecodeError as error:
        raise CallFailed(
            StatusCode.INVALID_ARGUMENT, "not a grpc.health.v1.HealthCheckRequest"
        ) from error
