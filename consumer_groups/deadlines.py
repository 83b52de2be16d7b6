"""Whose timers run out: the memory of a leading coordinator that is in no log.

The caller makes one when it begins to lead, which gives everybody a full session, and throws it
away when it no longer leads. It tells it the time (any monotonic clock, milliseconds), who was
heard of, and each group as it changed; it is told which members to expire, and what is worth an
alarm. There is no clock here, and nothing runs by itself.

| timer | starts | ends in |
|---|---|---|
| session | when the member was last heard of | ExpireMember, SESSION |
| revocation, one a partition | when the member was asked to give it up | ExpireMember, REBALANCE |
| progress, only where the operator wants it | when the member last handled anything | ExpireMember, NO_PROGRESS |
| partition without an owner | when it was first seen so | an alarm |

A heartbeat costs one dictionary look-up: deadlines lie in a heap, and one that comes up is first
compared with when its member was last heard of.

Invariant: the heap holds at most two entries for each member, and HEAP_SLACK more.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from consumer_groups.commands import ExpireMember, ExpiryCause
from consumer_groups.coordinator.queries import unowned
from consumer_groups.coordinator.state import CoordinatorState, Group, Member
from consumer_groups.types import (
    GroupName,
    MemberId,
    TopicId,
    TopicPartition,
    TopicView,
)

RETRY_MS: Final = 1_000.0
"""A member that should be expired and is still there is named again after so long."""
HEAP_SLACK: Final = 64

Key = tuple[GroupName, MemberId]


@dataclass(slots=True)
class _Watched:
    """A member's timers; all times on the caller's monotonic clock."""

    member: Member
    heard_ms: float
    progressed_ms: float
    asked_ms: dict[TopicPartition, float]
    """Since when it is asked to give these up."""
    named_ms: float = float("-inf")
    """When it was last said to be due."""
    scheduled_ms: float = float("inf")
    """Its valid entry in the heap."""

    def due(self, no_progress_ms: float | None) -> tuple[float, ExpiryCause]:
        """Its first deadline, and which one that is."""
        info = self.member.info
        first = (self.heard_ms + info.session_timeout_ms, ExpiryCause.SESSION)
        if self.asked_ms:
            asked = min(self.asked_ms.values()) + info.rebalance_timeout_ms
            first = min(first, (asked, ExpiryCause.REBALANCE), key=lambda each: each[0])
        if no_progress_ms is not None and self.member.owned:
            stuck = self.progressed_ms + no_progress_ms
            first = min(first, (stuck, ExpiryCause.NO_PROGRESS), key=lambda each: each[0])
        return max(first[0], self.named_ms + RETRY_MS), first[1]


@dataclass(slots=True)
class _WatchedGroup:
    """What of a group the timers depend on, and who in it is watched."""

    members: Mapping[MemberId, Member] = field(default_factory=dict)
    owners: Mapping[TopicPartition, MemberId] = field(default_factory=dict)
    topics: Mapping[TopicId, TopicView] = field(default_factory=dict)
    unowned_ms: dict[TopicPartition, float] = field(default_factory=dict)


class Deadlines:
    """Timers of all members of one coordinator."""

    def __init__(
        self, state: CoordinatorState, now_ms: float, no_progress_ms: float | None = None
    ) -> None:
        """Everybody has a full session from `now_ms`.

        Args:
            state: committed, as of the first commit of the term.
            now_ms: monotonic.
            no_progress_ms: expire members that own partitions and handle nothing for so long;
                None: never.
        """
        self._no_progress_ms = no_progress_ms
        self._members: dict[Key, _Watched] = {}
        self._groups: dict[GroupName, _WatchedGroup] = {}
        self._heap: list[tuple[float, Key]] = []
        for name, group in sorted(state.groups.items()):
            self.follow(name, group, now_ms)

    def heard(self, name: GroupName, member_id: MemberId, now_ms: float) -> None:
        """The member gave a sign of life; of one that is not known, nothing follows."""
        watched = self._members.get((name, member_id))
        if watched is not None:
            watched.heard_ms = now_ms

    def progressed(self, name: GroupName, member_id: MemberId, now_ms: float) -> None:
        """The member handled records, or there were none to handle."""
        watched = self._members.get((name, member_id))
        if watched is not None:
            watched.progressed_ms = now_ms

    def follow(self, name: GroupName, group: Group | None, now_ms: float) -> bool:
        """The group is this now; None: it was deleted. False: its members are what they were."""
        before = self._groups.get(name)
        if group is None:
            for member_id in before.members if before is not None else ():
                self._members.pop((name, member_id), None)
            self._groups.pop(name, None)
            return True
        if before is None:
            before = self._groups[name] = _WatchedGroup()
        members_changed = group.members is not before.members
        if members_changed:
            self._follow_members(name, group, before.members, now_ms)
        if group.owners is not before.owners or group.topics is not before.topics:
            known = before.unowned_ms
            before.unowned_ms = {p: known.get(p, now_ms) for p in unowned(group)}
        before.members, before.owners, before.topics = group.members, group.owners, group.topics
        return members_changed

    def due(self, now_ms: float, wall_ms: int) -> list[ExpireMember]:
        """Members to expire now. One that is still there is named again after RETRY_MS."""
        found = []
        while self._heap and self._heap[0][0] <= now_ms:
            at_ms, key = heapq.heappop(self._heap)
            watched = self._members.get(key)
            if watched is None or watched.scheduled_ms != at_ms:
                continue
            watched.scheduled_ms = float("inf")
            due_ms, cause = watched.due(self._no_progress_ms)
            if due_ms <= now_ms:
                epoch = watched.member.epoch
                found.append(ExpireMember(key[0], key[1], epoch, cause, wall_ms))
                watched.named_ms = now_ms
            self._schedule(key, watched)
        return found

    def next_ms(self) -> float | None:
        """When to ask `due` again; it may come to nothing then. None: nobody is watched."""
        return self._heap[0][0] if self._heap else None

    def stalled(self, now_ms: float, bound_ms: float) -> list[tuple[GroupName, MemberId, float]]:
        """Members that own partitions and have handled nothing for at least `bound_ms`, with how
        long."""
        return [
            (*key, now_ms - watched.progressed_ms)
            for key, watched in self._members.items()
            if watched.member.owned and now_ms - watched.progressed_ms >= bound_ms
        ]

    def vitals(
        self, name: GroupName, member_id: MemberId, now_ms: float
    ) -> tuple[float, float] | None:
        """Milliseconds since the member was last heard of, and since it last handled anything (0
        while it owns nothing to handle). None: it is not known."""
        watched = self._members.get((name, member_id))
        if watched is None:
            return None
        idle_ms = now_ms - watched.progressed_ms if watched.member.owned else 0.0
        return now_ms - watched.heard_ms, idle_ms

    def unowned_of(self, name: GroupName, now_ms: float) -> dict[TopicPartition, float]:
        """Subscribed partitions of the group that nobody owns, with how long, milliseconds."""
        group = self._groups.get(name)
        since = group.unowned_ms if group is not None else {}
        return {partition: now_ms - since_ms for partition, since_ms in since.items()}

    def unowned(
        self, now_ms: float, bound_ms: float
    ) -> list[tuple[GroupName, TopicPartition, float]]:
        """Subscribed partitions that nobody has owned for at least `bound_ms`, with how long."""
        return [
            (name, partition, now_ms - since_ms)
            for name, group in self._groups.items()
            for partition, since_ms in group.unowned_ms.items()
            if now_ms - since_ms >= bound_ms
        ]

    def _follow_members(
        self, name: GroupName, group: Group, before: Mapping[MemberId, Member], now_ms: float
    ) -> None:
        for member_id in before:
            if member_id not in group.members:
                self._members.pop((name, member_id), None)
        for member_id, member in group.members.items():
            if before.get(member_id) is member:
                continue
            key = (name, member_id)
            watched = self._members.get(key)
            if watched is None:
                asked_ms = dict.fromkeys(member.revoking, now_ms)
                watched = self._members[key] = _Watched(member, now_ms, now_ms, asked_ms)
            else:
                if not watched.member.owned:
                    watched.progressed_ms = now_ms
                # At another epoch it has given up all it was asked for before.
                known = watched.asked_ms if watched.member.epoch == member.epoch else {}
                watched.asked_ms = {p: known.get(p, now_ms) for p in member.revoking}
                watched.member = member
            self._schedule(key, watched)

    def _schedule(self, key: Key, watched: _Watched) -> None:
        """Have an entry at the member's deadline, unless an earlier one is there."""
        due_ms, _ = watched.due(self._no_progress_ms)
        if due_ms >= watched.scheduled_ms:
            return
        watched.scheduled_ms = due_ms
        heapq.heappush(self._heap, (due_ms, key))
        if len(self._heap) > 2 * len(self._members) + HEAP_SLACK:
            self._heap = [(each.scheduled_ms, k) for k, each in self._members.items()]
            heapq.heapify(self._heap)
