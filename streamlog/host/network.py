"""The real network: gRPC with raw bytes, no serializer and no copy of a payload in between.

Rejected: hand-written framing over TCP, which measured no faster and would need its own TLS, flow
control and deadlines.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication.ports import Service
from streamlog.host.grpc_client import GrpcChannel
from streamlog.host.grpc_options import MESSAGE_BYTES_MAX
from streamlog.host.grpc_server import GrpcListener, listen


class GrpcNetwork:
    """`replication.ports.Network`."""

    def __init__(self, *, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        """`message_bytes_max`: largest message either way, 1 byte to 1 GiB."""
        self._message_bytes_max = message_bytes_max

    async def listen(self, address: str, services: Sequence[Service]) -> GrpcListener:
        return await listen(address, services, self._message_bytes_max)

    def connect(self, address: str) -> GrpcChannel:
        return GrpcChannel(address, self._message_bytes_max)
