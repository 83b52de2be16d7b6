"""Calls between the cluster layers of two nodes, and how errors travel with them.

A refusal crosses the wire as google.rpc.Status details and arrives as the same StreamlogError.
A call that broke without details arrives as CallFailed: its outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from replication.errors import (
    CommitTimedOut,
    DiskFull,
    LeadershipLost,
    NotLeader,
    Overloaded,
    StateMachineFailed,
    StorageFailed,
)
from replication.ports import CallFailed, Channel, Network, StatusCode
from streamlog.cluster.view import ClusterView
from streamlog.model import status_details
from streamlog.model.errors import Reason, StreamlogError

SERVICE: Final = "streamlog.cluster.v1.ClusterService"
CHANNELS_MAX: Final = 256


class PeerChannels:
    """Channels by address, made when first used.

    Invariant: at most CHANNELS_MAX are open; the one that was made first is closed for another.
    """

    def __init__(self, network: Network, service: str = SERVICE) -> None:
        self._network, self._service = network, service
        self._channels: dict[str, Channel] = {}

    async def call(self, address: str, method: str, request: bytes, timeout_ms: float) -> bytes:
        """Call a method of the service at an address. Raises StreamlogError, CallFailed."""
        channel = self._channels.get(address)
        if channel is None:
            if len(self._channels) >= CHANNELS_MAX:
                await self._channels.pop(next(iter(self._channels))).close()
            channel = self._network.connect(address)
            self._channels[address] = channel
        try:
            return await channel.unary(f"/{self._service}/{method}", request, timeout_ms)
        except CallFailed as failed:
            refusal = refusal_of(failed)
            if refusal is None:
                raise
            raise refusal from failed

    async def close(self) -> None:
        """End all calls."""
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()


def refusal_of(failed: CallFailed) -> StreamlogError | None:
    """The error that the other node meant; None when the call broke on the way."""
    details = status_details.decode(failed.details)
    if details is None or details.reason not in Reason.__members__:
        return None
    return StreamlogError(
        Reason[details.reason],
        details.message,
        details.metadata,
        retry_after_ms=details.retry_after_ms,
    )


def to_call_failed(error: StreamlogError) -> CallFailed:
    """The form in which a handler raises a refusal."""
    return CallFailed(
        StatusCode(error.reason.info.code),
        error.message,
        status_details.encode(error.reason, error.message, error.metadata, error.retry_after_ms),
    )


def not_leader(leader_node_id: int | None, address: str | None, detail: str) -> StreamlogError:
    """The refusal of a node that does not lead the metadata."""
    metadata: Mapping[str, str] = {
        "leader_node_id": str(leader_node_id or 0),
        "leader_address": address or "",
    }
    return StreamlogError(Reason.NOT_LEADER, detail, metadata)


def to_streamlog_error(error: Exception, view: ClusterView) -> StreamlogError:
    """What a client of the metadata is told of an error of replication."""
    match error:
        case StreamlogError():
            return error
        case NotLeader():
            address = None if error.leader is None else view.address_of(error.leader)
            return not_leader(error.leader, address, str(error))
        case LeadershipLost() | CommitTimedOut():
            return StreamlogError(Reason.METADATA_OUTCOME_UNKNOWN, str(error))
        case Overloaded():
            return StreamlogError(Reason.OVERLOADED, str(error))
        case DiskFull():
            return StreamlogError(Reason.DISK_FULL, str(error))
        case StorageFailed():
            return StreamlogError(Reason.STORAGE_FAILED, str(error))
        case StateMachineFailed():
            return StreamlogError(Reason.METADATA_UNAVAILABLE, str(error))
        case _:
            return StreamlogError(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
