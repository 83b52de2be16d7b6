"""What the client needs of the world, as protocols: a transport, a clock, randomness.

The shapes are those of a gRPC client with messages as bytes. `connections/grpc_transport.py` is the
real one and the only module of the client that touches sockets; a simulator adapts its own network.
Nothing else of the client starts a thread, reads a clock or draws a random number except through an
`Environment`, so that it runs unchanged on a simulated event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class TransportError(Exception):
    """A call ended with a status other than OK.

    `code` is a google.rpc.Code number. `details` is a serialized google.rpc.Status (the
    `grpc-status-details-bin` trailer), or empty: then the transport itself failed, or a proxy.
    """

    def __init__(self, code: int, message: str, details: bytes = b"") -> None:
        self.code, self.message, self.details = code, message, details
        super().__init__(f"status {code}: {message}")


class ClientStream(Protocol):
    """The client's side of one streaming call."""

    async def send(self, message: bytes) -> None:
        """Send; returns when the transport has taken it (flow control). One sender at a time."""
        ...

    async def receive(self) -> bytes | None:
        """The next message; None when the server ended with OK. Raises TransportError."""
        ...

    async def done_sending(self) -> None:
        """Half-close: no more messages from here."""
        ...

    def cancel(self) -> None:
        """Give the call up."""
        ...


class Channel(Protocol):
    """A connection to one address; connects lazily, and again after a loss."""

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        """Call "/package.Service/Method". Raises TransportError."""
        ...

    def stream(self, method: str) -> ClientStream:
        """Open a call; a failure to connect shows in the first send or receive."""
        ...

    async def close(self) -> None:
        """End all calls."""
        ...


class Connector(Protocol):
    """Where channels come from."""

    def connect(self, address: str) -> Channel:
        """A channel to host:port; nothing is sent yet."""
        ...


class Clock(Protocol):
    """Time as the client sees it."""

    def monotonic_ms(self) -> float:
        """Milliseconds that never go back; the event loop's own time."""
        ...

    def wall_ms(self) -> int:
        """Unix milliseconds, for timestamps of records only."""
        ...


class Random(Protocol):
    """Randomness for jitter; `random.Random` fits."""

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True)
class Environment:
    """All of the world that a client sees."""

    connector: Connector
    clock: Clock
    random: Random
