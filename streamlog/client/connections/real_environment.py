"""The real world behind the client's protocols: gRPC, the system's clock and randomness."""

from __future__ import annotations

import asyncio
import random
import time

from streamlog.client.transport import Environment


class SystemClock:
    """The running loop's time and the system's wall clock."""

    def monotonic_ms(self) -> float:
        """Milliseconds of the running event loop."""
        return asyncio.get_running_loop().time() * 1000

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000


def real_environment() -> Environment:
    """A gRPC transport, the system's clock and a generator seeded by the system."""
    # Here, because the simulator needs no gRPC.
    from streamlog.client.connections.grpc_transport import GrpcConnector

    return Environment(GrpcConnector(), SystemClock(), random.Random())
