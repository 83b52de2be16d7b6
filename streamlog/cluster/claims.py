"""One node id, one cluster: nodes of another cluster may count this node among their members.

A controller whose list names only itself founds a cluster alone. If it lost its disk, the cluster
that it belonged to may have grown since, and nothing here tells: but its members go on calling this
address, which the node had registered, and say that they call a member. Such a claim is heard

| when | what |
|---|---|
| before the founding, for which the node waits CLAIM_WAIT_MS | nothing is founded, NODE_ID_TAKEN |
| later, by the only node of its cluster | it stops, CLUSTER_MISMATCH |
| later, by one that has others beside it | it is logged: a stranger must not end a cluster that works |

What this can not see is a cluster of which no member reaches this node; a claim of an older
version, which says nothing; and a claim that is out of date is believed until its node has heard
that the member was removed.
"""

from __future__ import annotations

import asyncio
from typing import Final

from replication.group import MembershipClaim
from replication.types import NodeId
from streamlog.model.errors import Reason, StreamlogError

CLAIM_WAIT_MS: Final = 500
"""Longer than most pauses between two calls of a member (TransportSettings.backoff_max_ms, 500 to
1,000 ms for each of two streams of each member), short enough for the start of a fresh node."""
CLAIMS_MAX: Final = 100
"""Heard since the start; further ones are not taken."""


class Claims:
    """Hears claims from the first call on, and hands each out once."""

    def __init__(self) -> None:
        self._heard: set[MembershipClaim] = set()
        self._waiting: asyncio.Queue[MembershipClaim] = asyncio.Queue()

    def heard(self, claim: MembershipClaim) -> None:
        """A node of another cluster called this one as a member."""
        if claim not in self._heard and len(self._heard) < CLAIMS_MAX:
            self._heard.add(claim)
            self._waiting.put_nowait(claim)

    async def next(self) -> MembershipClaim:
        """The next one, as soon as there is one."""
        return await self._waiting.get()

    async def first(self, timeout_ms: float) -> MembershipClaim | None:
        """The next one; None when the time is up."""
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                return await self.next()
        except TimeoutError:
            return None


def blank_refusal(claim: MembershipClaim, node_id: NodeId) -> StreamlogError:
    """Why this node founds no cluster on its blank directory."""
    return StreamlogError(
        Reason.NODE_ID_TAKEN,
        f"node {node_id} is a member of cluster {claim.cluster_id:032x}, as node {claim.node_id} of"
        f" it tells, and this data directory is blank. {_advice(claim, node_id)}",
        {"node_id": str(node_id)},
    )


def member_refusal(claim: MembershipClaim, node_id: NodeId, cluster_id: int) -> StreamlogError:
    """Why this node, the only one of its cluster, must stop."""
    return StreamlogError(
        Reason.CLUSTER_MISMATCH,
        f"this data directory of node {node_id} belongs to cluster {cluster_id:032x}, but node"
        f" {node_id} is a member of cluster {claim.cluster_id:032x}, as node {claim.node_id} of it"
        f" tells. {_advice(claim, node_id)}",
        {"cluster_id": f"{claim.cluster_id:032x}"},
    )


def _advice(claim: MembershipClaim, node_id: NodeId) -> str:
    return (
        f"If its disk was lost: stop it, start a node in its place on an empty directory, with the"
        f" controllers of that cluster, without bootstrap and under an id NEW that was never used,"
        f" then streamlog node replace {node_id} --with NEW. If it shall be a cluster of its own:"
        f" give it another address, or remove node {node_id} from cluster {claim.cluster_id:032x}"
        " first"
    )
