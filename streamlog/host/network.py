"""The real network: gRPC for all, and a direct way for the streams between nodes.

Bytes go in and come out, no serializer and no copy of a payload in between. Whoever uses the port
sees no difference between the two ways; `docs/adr/0010-direct-streams-between-nodes.md` has the
measurements that made the second one worth its code.

| call | way |
|---|---|
| unary, any; streams of clients | gRPC on the public address |
| streams of `replication.v1.PeerService` | a TCP connection each, on a second port (peer_frames) |
| the same, towards a node without such a port | gRPC |
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from replication.ports import Listener, Service
from replication.v1 import peer_service_pb2 as pb
from streamlog.host import grpc_server
from streamlog.host.grpc_options import MESSAGE_BYTES_MAX, MESSAGE_SLACK_BYTES
from streamlog.host.grpc_server import GrpcListener, split_address
from streamlog.host.peer_client import ENDPOINT, SERVICE, PeerChannel, Unreachable
from streamlog.host.peer_frames import VERSION
from streamlog.host.peer_server import DirectListener

PORT_SETTING: Final = "peer.port"


class GrpcNetwork:
    """`replication.ports.Network`."""

    def __init__(
        self, *, message_bytes_max: int = MESSAGE_BYTES_MAX, peer_port: int | None = 0
    ) -> None:
        """Nothing is bound or connected yet.

        Args:
            message_bytes_max: Largest message either way, 1 byte to 1 GiB.
            peer_port: TCP port of direct streams, 0: chosen by the system; None: gRPC only.
        """
        self._message_bytes_max = message_bytes_max
        self._peer_port = peer_port
        self._unreachable = Unreachable()

    async def listen(self, address: str, services: Sequence[Service]) -> Listener:
        """As the port says; an OSError about the direct port names that port and its setting."""
        peers = [service for service in services if service.name == SERVICE]
        if self._peer_port is None or not peers:
            return await grpc_server.listen(address, services, self._message_bytes_max)
        (peer,) = peers
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        served = [_with_endpoint(s, port) if s is peer else s for s in services]
        # The public address first: what the system chooses for the other must not be its port.
        public = await grpc_server.listen(address, served, self._message_bytes_max)
        direct = DirectListener(
            {f"/{SERVICE}/{name}": handler for name, handler in peer.streams.items()},
            self._message_bytes_max + MESSAGE_SLACK_BYTES,
        )
        try:
            await direct.bind(split_address(address)[0], self._peer_port)
        except BaseException as error:
            port.set_result(0)
            await asyncio.gather(direct.close(0), public.close(0))
            if isinstance(error, OSError):
                reason = f"{error.strerror} ({PORT_SETTING})"
                raise OSError(error.errno, reason, error.filename) from error
            raise
        port.set_result(direct.port)
        return _BothListeners(public, direct)

    def connect(self, address: str) -> PeerChannel:
        return PeerChannel(address, self._message_bytes_max, self._unreachable)


class _BothListeners:
    """`replication.ports.Listener` of both ways."""

    def __init__(self, public: GrpcListener, direct: DirectListener) -> None:
        self._public, self._direct = public, direct

    @property
    def address(self) -> str:
        return self._public.address

    async def close(self, grace_ms: float) -> None:
        await asyncio.gather(self._direct.close(grace_ms), self._public.close(grace_ms))


def _with_endpoint(service: Service, port: asyncio.Future[int]) -> Service:
    """The service, telling where its direct listener is once it is bound."""

    async def endpoint(_request: bytes) -> bytes:
        answer = pb.PeerEndpointResponse(port=await asyncio.shield(port), version=VERSION)
        return answer.SerializeToString()

    return replace(service, unary={**service.unary, ENDPOINT: endpoint})
