"""When a replica that does not lead may stand for election, and whether its leader lives.

A replica follows quietly (no deadline, no callback) while its leader's node is heard in
heartbeats that speak for the group. In every other state of a voter there is a deadline in the
node's ElectionSchedule:

| state                                   | deadline, in election timeouts from now              |
|---|---|
| started, no leader known                | 0.3 to 0.6, and 0.3 more for each place in the order  |
| leader known, its heartbeats not agreed | 1.0 to 1.5, moved on by AppendEntries                 |
| voted, or saw a later term              | 0.5 to 1.0                                            |
| candidate, pre-candidate                | 0.4 to 0.8                                            |
| leader's node lapsed                    | 0.05 to 0.15, and 0.3 more for each place in the order|

The order is that of the voters, from the one after the lost leader on: the first has the field
to itself, and leaders spread evenly when placement does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replication.raft.effects import Role
from replication.raft.messages import AppendEntries
from replication.transport.messages import LedGroup
from replication.types import NodeId, ReplicaId, Term

if TYPE_CHECKING:
    from replication.multiraft.group import Group

_PLACE_STEP = 0.3


class Following:
    """Of one replica.

    Invariant: `_node` is the node whose agreed set holds the group in the replica's term, or
    None; while it is set no deadline is.
    """

    __slots__ = ("_group", "_heard_ms", "_node", "_term")

    def __init__(self, group: Group) -> None:
        self._group = group
        self._node: NodeId | None = None
        self._term = Term(0)
        self._heard_ms = float("-inf")

    # -- what is asked -------------------------------------------------------------------------

    def leader_live(self) -> bool:
        """The leader that this replica follows was heard within the election timeout."""
        group = self._group
        if self._node is not None and group.node.liveness.heard(self._node):
            return True
        if group.leader_replica is None or group.role is not Role.FOLLOWER:
            return False
        elapsed_ms = group.node.clock.monotonic_ms() - self._heard_ms
        return elapsed_ms < group.node.settings.election_timeout_ms

    # -- what happens --------------------------------------------------------------------------

    def started(self) -> None:
        """The replica takes part from now on."""
        self._due(0.3, 0.6, self._place(None))

    def became_voter(self) -> None:
        """The replica may vote now."""
        if self._node is None and self._group.group_id not in self._group.node.elections:
            self._due(1.0, 1.5)

    def role_changed(self) -> None:
        """Role, term or leader are others now."""
        group = self._group
        if self._node is not None and not (
            group.role is Role.FOLLOWER and group.term == self._term and group.leader == self._node
        ):
            self._unfollow()
        if group.role is Role.LEADER:
            group.node.elections.cancel(group.group_id)
        elif group.role is not Role.FOLLOWER:
            self._due(0.4, 0.8)
        elif group.leader_replica is None:
            self._due(0.5, 1.0)
        elif self._node is None:
            self._heard_ms = group.node.clock.monotonic_ms()
            self._due(1.0, 1.5)

    def campaigned(self) -> None:
        """An election began; the core tells of no change when it was a candidate already."""
        group = self._group
        if group.role in {Role.PRE_CANDIDATE, Role.CANDIDATE}:
            self._due(0.4, 0.8)

    def agreed(self, node_id: NodeId, led: LedGroup) -> bool:
        """The heartbeats of `node_id` speak for the group from now on, if it is followed."""
        group = self._group
        if (
            group.role is not Role.FOLLOWER
            or group.term != led.term
            or group.leader_replica != led.leader
        ):
            return False
        self._node, self._term = node_id, led.term
        group.node.elections.cancel(group.group_id)
        return True

    def append_heard(self, message: AppendEntries) -> None:
        """The leader sent entries; matters only while no heartbeat speaks for the group."""
        if self._node is not None:
            return
        group = self._group
        if message.sender == group.leader_replica and message.term == group.term:
            self._heard_ms = group.node.clock.monotonic_ms()
            timeout_ms = group.node.settings.election_timeout_ms
            group.node.elections.postpone(group.group_id, self._heard_ms + timeout_ms)

    def lapsed(self) -> None:
        """The leader's node is silent or began anew; its set was forgotten."""
        self._node = None
        self._heard_ms = float("-inf")
        self._due(0.05, 0.15, self._place(self._group.leader_replica))

    def dropped(self) -> None:
        """The leader's node says it does not lead the group any more."""
        self._node = None
        self._due(0.5, 1.0)

    def stop(self) -> None:
        """The replica takes part no more."""
        if self._node is not None:
            self._unfollow()
        self._group.node.elections.cancel(self._group.group_id)

    # -- inside --------------------------------------------------------------------------------

    def _unfollow(self) -> None:
        node_id, self._node = self._node, None
        if node_id is not None:
            self._group.node.liveness.unfollow(self._group.group_id, node_id)

    def _due(self, low: float, high: float, place: int = 0) -> None:
        group = self._group
        node = group.node
        # A configuration that removes this replica may be taken back while it is not committed.
        if not group.membership.is_voter(group.replica_id) and group.core.membership_committed:
            node.elections.cancel(group.group_id)
            return
        timeouts = low + (high - low) * node.random.random() + place * _PLACE_STEP
        due_ms = node.clock.monotonic_ms() + timeouts * node.settings.election_timeout_ms
        node.elections.set(group.group_id, due_ms)

    def _place(self, lost: ReplicaId | None) -> int:
        """0 for the voter that shall try first, 1 for the next, and so on."""
        voters = [v.replica_id for v in self._group.membership.voters]
        own = self._group.replica_id
        if own not in voters:
            return len(voters)
        if lost not in voters:
            return voters.index(own)
        return (voters.index(own) - voters.index(lost) - 1) % len(voters)
