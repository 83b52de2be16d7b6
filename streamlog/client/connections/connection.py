"""Connections to nodes: one a node, handshake first.

The first call on a connection agrees on a protocol version and learns the node's limits; no
other call is sent before it succeeded, and it is repeated after a loss, because another version
of the node, or another cluster, may have come back at that address.

Invariant: all connections of one client are to one cluster (`cluster_id` of the first answer).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from streamlog.client.errors import ClientError, ConnectionLost, DataCorrupt, from_transport
from streamlog.client.transport import (
    Channel,
    ClientStream,
    Environment,
    TransportError,
)
from streamlog.model.errors import DEADLINE_EXCEEDED, FAILED_PRECONDITION, Reason
from streamlog.v1.log_service_pb2 import HandshakeRequest, HandshakeResponse

PROTOCOL_VERSION_MIN: Final = 1
PROTOCOL_VERSION_MAX: Final = 1
CLIENT_SOFTWARE: Final = "streamlog-python/0.1.0"
LOG_SERVICE: Final = "/streamlog.v1.LogService/"
ADMIN_SERVICE: Final = "/streamlog.v1.AdminService/"
HANDSHAKE_TIMEOUT_MS: Final = 5_000
BATCH_BYTES_MAX_DEFAULT: Final = 1024 * 1024
MESSAGE_BYTES_MAX_DEFAULT: Final = 4 * 1024 * 1024

ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """What a node told in its handshake; bytes."""

    node_id: int
    cluster_id: str
    batch_bytes_max: int
    message_bytes_max: int
    produce_inflight_bytes_max: int


class Connection:
    """One address: its channel, and whether the handshake was made."""

    def __init__(self, address: str, channel: Channel, pool: Connections) -> None:
        self.address = address
        self._channel = channel
        self._pool = pool
        self._limits: NodeLimits | None = None
        self._handshake_lock = asyncio.Lock()

    async def ready(self) -> NodeLimits:
        """Make the handshake unless it is made. Raises ClientError; never indefinite."""
        if self._limits is None:
            async with self._handshake_lock:
                if self._limits is None:
                    self._limits = await self._handshake()
        return self._limits

    def forget_handshake(self) -> None:
        """The connection broke: whoever answers next must introduce himself."""
        self._limits = None

    async def unary(
        self,
        method: str,
        request: Message,
        response: type[ResponseT],
        timeout_ms: float,
        *,
        handshake: bool = True,
    ) -> ResponseT:
        """Call a method, e.g. LOG_SERVICE + "GetMetadata"; the time is for the handshake, too.

        `handshake` False: for a node that has not joined its cluster, and makes none.
        Raises ClientError.
        """
        if self._limits is None and handshake:
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self.ready()
            except TimeoutError:
                message = f"{self.address} did not answer within {timeout_ms:.0f} ms"
                raise ConnectionLost(message, code=DEADLINE_EXCEEDED, retriable=True) from None
        encoded = request.SerializeToString(deterministic=True)
        return await self._call(method, encoded, response, timeout_ms)

    async def stream(self, method: str) -> ClientStream:
        """Open a stream after the handshake. Raises ClientError."""
        await self.ready()
        return self._channel.stream(method)

    async def close(self) -> None:
        """End all calls."""
        await self._channel.close()

    async def _call(
        self, method: str, request: bytes, response: type[ResponseT], timeout_ms: float
    ) -> ResponseT:
        try:
            answer = await self._channel.unary(method, request, timeout_ms)
        except TransportError as failure:
            error = from_transport(failure, self.address)
            if isinstance(error, ConnectionLost):
                self.forget_handshake()
            raise error from None
        try:
            return response.FromString(answer)
        except DecodeError:
            message = f"{self.address} answered {method} with bytes that are no {response.__name__}"
            raise DataCorrupt(message, reason=Reason.MALFORMED_MESSAGE.name) from None

    async def _handshake(self) -> NodeLimits:
        request = HandshakeRequest(
            min_protocol_version=PROTOCOL_VERSION_MIN,
            max_protocol_version=PROTOCOL_VERSION_MAX,
            client_software=CLIENT_SOFTWARE,
            client_id=self._pool.client_id,
        ).SerializeToString(deterministic=True)
        try:
            answer = await self._call(
                LOG_SERVICE + "Handshake", request, HandshakeResponse, HANDSHAKE_TIMEOUT_MS
            )
        except ClientError as error:
            error.indefinite = False  # nothing was asked of the node yet
            raise
        self._pool.check_cluster(answer.cluster_id, self.address)
        return NodeLimits(
            node_id=answer.node_id,
            cluster_id=answer.cluster_id,
            batch_bytes_max=answer.max_batch_bytes or BATCH_BYTES_MAX_DEFAULT,
            message_bytes_max=answer.max_message_bytes or MESSAGE_BYTES_MAX_DEFAULT,
            produce_inflight_bytes_max=answer.max_produce_inflight_bytes
            or MESSAGE_BYTES_MAX_DEFAULT,
        )


class Connections:
    """One connection an address, made when first asked for."""

    def __init__(self, environment: Environment, client_id: str = "") -> None:
        self.client_id = client_id
        self._environment = environment
        self._by_address: dict[str, Connection] = {}
        self._cluster_id = ""

    def to(self, address: str) -> Connection:
        """The connection to host:port."""
        connection = self._by_address.get(address)
        if connection is None:
            channel = self._environment.connector.connect(address)
            connection = self._by_address[address] = Connection(address, channel, self)
        return connection

    def check_cluster(self, cluster_id: str, address: str) -> None:
        """Refuse a node of another cluster than the first one that answered."""
        if not self._cluster_id:
            self._cluster_id = cluster_id
        elif cluster_id != self._cluster_id:
            message = (
                f"{address} belongs to cluster {cluster_id}, "
                f"the other nodes to cluster {self._cluster_id}"
            )
            raise ClientError(
                message, reason=Reason.CLUSTER_MISMATCH.name, code=FAILED_PRECONDITION
            )

    async def close(self) -> None:
        """Close every connection."""
        connections, self._by_address = list(self._by_address.values()), {}
        for connection in connections:
            await connection.close()
