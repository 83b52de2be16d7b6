"""The world of a simulated client: the simulated network behind the client library's protocols."""

from __future__ import annotations

import random

from jepsen_like.sim.clients.group_tap import GroupTap
from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.network import SimNetwork
from replication.ports import CallFailed, Channel, ClientStream
from streamlog.client import transport
from streamlog.client.transport import Environment, TransportError


def _transport_error(failure: CallFailed) -> TransportError:
    return TransportError(int(failure.code), failure.message, failure.details)


class _Stream:
    """`streamlog.client.transport.ClientStream`."""

    def __init__(self, stream: ClientStream) -> None:
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


class _Channel:
    """`streamlog.client.transport.Channel`."""

    def __init__(self, channel: Channel, tap: GroupTap | None) -> None:
        self._channel, self._tap = channel, tap

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        try:
            return await self._channel.unary(method, request, timeout_ms)
        except CallFailed as failure:
            raise _transport_error(failure) from None

    def stream(self, method: str) -> transport.ClientStream:
        try:
            stream = _Stream(self._channel.stream(method))
        except CallFailed as failure:
            raise _transport_error(failure) from None
        return stream if self._tap is None else self._tap.tapped(method, stream)

    async def close(self) -> None:
        await self._channel.close()


class SimConnector:
    """`streamlog.client.transport.Connector`."""

    def __init__(self, network: SimNetwork, tap: GroupTap | None) -> None:
        self._network, self._tap = network, tap

    def connect(self, address: str) -> _Channel:
        """A channel; nothing is sent yet."""
        return _Channel(self._network.connect(address), self._tap)


def client_environment(
    network: SimNetwork, clock: SimClock, rng: random.Random, tap: GroupTap | None = None
) -> Environment:
    """All of the world that a simulated client sees; `tap` watches its part in groups."""
    return Environment(SimConnector(network, tap), clock, rng)
