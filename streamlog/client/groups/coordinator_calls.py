"""Calls that the coordinator of a group answers: found first, and again when it moved.

Any node says who coordinates a group; the coordinator itself says who does when it is none any
more. What is known is kept by group, so that most calls are one.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import Message

from streamlog.client.connections.backoff import Patience
from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.connections.connection import Connection, Connections, ResponseT
from streamlog.client.errors import ClientError, ConnectionLost
from streamlog.client.transport import Environment
from streamlog.model.errors import DEADLINE_EXCEEDED, UNAVAILABLE, Reason
from streamlog.v1.group_service_pb2 import FindCoordinatorRequest, FindCoordinatorResponse

GROUP_SERVICE: Final = "/streamlog.v1.GroupService/"
KNOWN_MAX: Final = 1_000
"""Groups whose coordinators are remembered."""


class CoordinatorCalls:
    """Routing and retries for calls about groups."""

    def __init__(
        self, metadata: ClusterMetadata, connections: Connections, environment: Environment
    ) -> None:
        self._metadata = metadata
        self._connections = connections
        self._environment = environment
        self._known: dict[str, str] = {}
        """Addresses of coordinators, by group."""

    async def find(self, group: str) -> Connection:
        """A connection to the group's coordinator as far as known.

        Raises ClientError: INVALID_GROUP_NAME, LEADER_NOT_AVAILABLE, ConnectionLost.
        """
        address = self._known.get(group)
        if address is None:
            found = await self._metadata.call_any(
                GROUP_SERVICE + "FindCoordinator",
                FindCoordinatorRequest(group=group),
                FindCoordinatorResponse,
                idempotent=True,
            )
            address = found.leader_address
            if not address:
                raise ConnectionLost(
                    f"no coordinator of group {group} is known now",
                    reason=Reason.LEADER_NOT_AVAILABLE.name,
                    code=UNAVAILABLE,
                    retriable=True,
                )
            self._remember(group, address)
        return self._connections.to(address)

    def failed(self, group: str, error: ClientError) -> None:
        """What was known of the group's coordinator did not help: take the error's hint, or ask."""
        self._known.pop(group, None)
        if error.reason == Reason.NOT_LEADER.name and error.metadata.get("leader_address"):
            self._remember(group, error.metadata["leader_address"])

    async def call(
        self,
        group: str,
        method: str,
        request: Message,
        response: type[ResponseT],
        *,
        idempotent: bool = True,
    ) -> ResponseT:
        """Call a method of GroupService, e.g. "DescribeGroup", until the total timeout.

        `idempotent` False: not again when the call may have taken effect. Raises ClientError: what
        the coordinator refuses, or the last failure to reach it.
        """
        policy = self._metadata.policy
        patience = Patience(self._environment, policy.total_timeout_ms)
        while True:
            try:
                connection = await self.find(group)
                return await connection.unary(
                    GROUP_SERVICE + method,
                    request,
                    response,
                    min(max(patience.remaining_ms, 1), policy.request_timeout_ms),
                )
            except ClientError as error:
                if not may_help(error) or (error.indefinite and not idempotent):
                    raise
                self.failed(group, error)
                if not await patience.pause(error.retry_after_ms):
                    raise

    def _remember(self, group: str, address: str) -> None:
        if len(self._known) >= KNOWN_MAX:
            del self._known[next(iter(self._known))]
        self._known[group] = address


def may_help(error: ClientError) -> bool:
    """Asking again soon may help by itself. What is retriable once somebody acted (a group that has
    members, say) is for the caller."""
    if not error.retriable:
        return False
    return error.code in {UNAVAILABLE, DEADLINE_EXCEEDED} or (
        isinstance(error, ConnectionLost) or error.reason == Reason.OVERLOADED.name
    )
