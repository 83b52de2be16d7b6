"""Whether a node serves, asked over the standard health protocol."""

from __future__ import annotations

from grpc_health.v1 import health_pb2

from replication.ports import CallFailed, Network
from streamlog.server.health import SERVICE_NAME


async def serves(network: Network, address: str, timeout_ms: float) -> bool:
    """The node at the address answers, and says that it serves."""
    channel = network.connect(address)
    try:
        answer = await channel.unary(
            f"/{SERVICE_NAME}/Check",
            health_pb2.HealthCheckRequest().SerializeToString(),
            timeout_ms,
        )
    except CallFailed:
        return False
    finally:
        await channel.close()
    status = health_pb2.HealthCheckResponse.FromString(answer).status
    return bool(status == health_pb2.HealthCheckResponse.SERVING)
