"""Who votes on the metadata, as this node's own log of it tells before anything is applied.

The setting `controllers` says where a blank node looks for its cluster. It may be out of date on a
node that belongs to one: controllers come and go by command.
"""

from __future__ import annotations

from replication.group import GroupHost
from replication.types import METADATA_GROUP, NodeId


def remembered_controllers(host: GroupHost) -> tuple[NodeId, ...]:
    """Nodes that vote in the newest configuration of the metadata that is on this disk, or did in
    the one before it while the two are joint, ascending; empty: there is no log of it here."""
    group = host.groups.get(METADATA_GROUP)
    if group is None:
        return ()
    members = group.membership
    return tuple(sorted({replica.node_id for replica in (*members.voters, *members.old_voters)}))
