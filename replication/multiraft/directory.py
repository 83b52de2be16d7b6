"""Who leads which group, of all the cluster's, as announced: unpersisted news."""

from __future__ import annotations

from replication.group import KnownLeader
from replication.transport.messages import Announcement
from replication.types import GroupId


class LeaderDirectory:
    """The newest announcement of each group.

    Invariant: a group's term never falls; at most `groups_max` groups are held, and the one that
    changed longest ago goes first.
    """

    def __init__(self, groups_max: int) -> None:
        self._groups_max = groups_max
        self._leaders: dict[GroupId, KnownLeader] = {}

    def take(self, announcement: Announcement) -> None:
        """Remember, unless something newer is known."""
        known = self._leaders.get(announcement.group_id)
        if known is not None:
            if known.term >= announcement.term:
                return
            del self._leaders[announcement.group_id]
        elif len(self._leaders) >= self._groups_max:
            del self._leaders[next(iter(self._leaders))]
        self._leaders[announcement.group_id] = KnownLeader(announcement.term, announcement.leader)

    def find(self, group_id: GroupId) -> KnownLeader | None:
        """What was announced last."""
        return self._leaders.get(group_id)
