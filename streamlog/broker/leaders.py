"""Who leads a group, as clients may be told: a node that lives and, if it is this one, leads."""

from __future__ import annotations

from replication.group import GroupHost, KnownLeader
from replication.raft.effects import Role
from replication.types import GroupId


def known_leader(host: GroupHost, node_id: int, group_id: int) -> KnownLeader | None:
    """The leader as far as node `node_id`, whose groups `host` holds, knows it.

    A node that stepped down without hearing of another leader has nothing newer than its own
    announcement; told to clients, that would send them to where they are. A leader that was not
    heard of within the failure detection time is no leader to send anybody to.
    """
    known = host.leader_of(GroupId(group_id))
    if known is None or known.node_id not in host.live_nodes():
        return None
    if known.node_id != node_id:
        return known
    group = host.groups.get(GroupId(group_id))
    return known if group is not None and group.role is Role.LEADER else None
