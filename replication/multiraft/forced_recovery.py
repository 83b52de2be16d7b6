"""Forcing a group on without its lost majority: may it be, and what is left.

An operator says that the majority is gone for good; a node can only contradict. It does while it
hears of a majority's nodes, and for some time after its own start, when it can not know yet whom
it will hear of. Replicas that are lost do not count, whether their nodes live or not: they vote no more.
What the recovery means for the group is in `replication/raft/eras`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from replication.errors import RecoveryRefused
from replication.group import ForcedRecovery
from replication.multiraft.group import Group
from replication.raft.quorum import has_quorum
from replication.types import NodeId, Offset, ReplicaId


def plan_recovery(
    group: Group,
    survivors: Sequence[ReplicaId],
    lost: Container[ReplicaId],
    live_nodes: Container[NodeId],
    quiet_ms: float,
) -> ForcedRecovery:
    """What forcing the group would do. Raises RecoveryRefused.

    Args:
        group: with a replica here.
        survivors: see GroupHost.force_membership.
        lost: likewise.
        live_nodes: that this node hears of, itself included.
        quiet_ms: how long this node must still listen before it can say who lives; 0 or less:
            long enough.
    """
    reason = _unfit(group, survivors)
    if reason is not None:
        raise RecoveryRefused(group.group_id, reason)
    end = group.core.end
    reason = _contradiction(group, lost, live_nodes, quiet_ms)
    if reason is not None:
        raise RecoveryRefused(group.group_id, reason, end)
    heard_term, heard_end = group.heard_commit or (group.term, Offset(0))
    members = group.membership.replicas()
    return ForcedRecovery(
        group_id=group.group_id,
        term=max(group.term, heard_term),
        start=group.start,
        end=end.end,
        end_term=end.term,
        commit_end=group.commit_end,
        heard_commit_end=heard_end,
        survivors=tuple(r for r in members if r.replica_id in survivors),
        left_behind=tuple(r for r in members if r.replica_id not in survivors),
    )


def _unfit(group: Group, survivors: Sequence[ReplicaId]) -> str | None:
    """Why the group can not go on with the log here; None when it can."""
    if group.failed is not None:
        return f"its replica stopped: {group.failed}"
    if group.installing:
        return "it is receiving a copy of its leader's log"
    return group.core.force_refusal(survivors)


def _contradiction(
    group: Group,
    lost: Container[ReplicaId],
    live_nodes: Container[NodeId],
    quiet_ms: float,
) -> str | None:
    """Why the majority may not be gone, as far as this node knows; None: nothing says so."""
    if quiet_ms > 0:
        return (
            f"the node started too lately to know which nodes live: ask again in {quiet_ms:.0f} ms"
        )
    membership = group.membership
    live = {
        r.replica_id: r.node_id
        for r in membership.replicas()
        if r.node_id in live_nodes and r.replica_id not in lost and r.replica_id != group.replica_id
    }
    if not group.core.lost:
        live[group.replica_id] = group.node.node_id
    if has_quorum(membership, live):
        nodes = ", ".join(str(node_id) for node_id in sorted(live.values()))
        return f"a majority of its members is alive, on nodes {nodes}"
    return None
