"""Questions about groups: what a heartbeat asks, what operators ask, what the caller's timers need.

They read a state and write nothing. The caller answers them from the committed state, and only
while it provably leads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from consumer_groups.coordinator.draft import (
    assignment_of,
    check_epoch,
    known_group,
    known_member,
    subscribers,
)
from consumer_groups.coordinator.state import CoordinatorState, Group, Member, Rebalance
from consumer_groups.patterns import compile_pattern
from consumer_groups.responses import MemberAssignment
from consumer_groups.types import (
    Commit,
    Epoch,
    GroupName,
    MemberId,
    MemberInfo,
    TopicCatalog,
    TopicId,
    TopicPartition,
    TopicView,
)


class MemberPhase(Enum):
    """Where a member is on the way to its target. Derived, not stored."""

    STABLE = "stable"
    """It owns its target."""
    REVOKING = "revoking"
    """It has something to give up, and is given nothing meanwhile."""
    WAITING = "waiting"
    """Others have yet to give up what it shall own."""


class GroupPhase(Enum):
    """What a group is doing. Derived, not stored."""

    EMPTY = "empty"
    STABLE = "stable"
    RECONCILING = "reconciling"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Answer to a heartbeat."""

    member_epoch: Epoch
    current: bool
    """False: the member has not seen its newest assignment; push it."""


@dataclass(frozen=True, slots=True)
class MemberDescription:
    """A member for an operator."""

    info: MemberInfo
    phase: MemberPhase
    epoch: Epoch
    joined_at_ms: int
    assigned: tuple[TopicPartition, ...]
    revoking: tuple[TopicPartition, ...]
    target: tuple[TopicPartition, ...]
    missing_topics: tuple[str, ...]
    """It subscribes to these names, and there are no such topics."""


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A group for an operator. Lag is for the caller to add: it knows the ends of the logs."""

    name: GroupName
    phase: GroupPhase
    epoch: Epoch
    assignor: str
    members: tuple[MemberDescription, ...]
    """In the order in which they joined."""
    topics: tuple[TopicView, ...]
    commits: tuple[tuple[TopicPartition, Commit], ...]
    unowned: tuple[TopicPartition, ...]
    """Subscribed, and nobody owns them."""
    rebalances: tuple[Rebalance, ...]
    """The newest last."""
    empty_since_ms: int


@dataclass(frozen=True, slots=True)
class GroupListing:
    """A group in a list."""

    name: GroupName
    phase: GroupPhase
    members: int
    epoch: Epoch
    assignor: str
    commits: int


def heartbeat(
    state: CoordinatorState,
    name: GroupName,
    member_id: MemberId,
    member_epoch: Epoch,
    assigned_count: int,
) -> Heartbeat:
    """Is the member still one, and is there news? Raises UNKNOWN_MEMBER, STALE_MEMBER_EPOCH.

    `assigned_count` is how many partitions the member was assigned, as far as it has seen. Within
    one epoch a member with nothing to give up is only ever given more, so epoch and count together
    tell whether it has seen everything.
    """
    member = known_member(state, name, member_id)
    check_epoch(name, member, member_epoch)
    seen = member_epoch == member.epoch and assigned_count == len(member.owned)
    return Heartbeat(member.epoch, seen and not member.revoking)


def assignment(state: CoordinatorState, name: GroupName, member_id: MemberId) -> MemberAssignment:
    """What the member owns now. Raises UNKNOWN_MEMBER."""
    known_member(state, name, member_id)
    return assignment_of(state.groups[name], member_id)


def committed(
    state: CoordinatorState, name: GroupName, partitions: Iterable[TopicPartition] | None = None
) -> dict[TopicPartition, Commit]:
    """Positions of these partitions, or of all; those without one are left out. Raises
    UNKNOWN_GROUP."""
    group = known_group(state, name)
    if partitions is None:
        return dict(_commits(group))
    return {p: found for p in partitions if (found := group.commit_of(p)) is not None}


def phase_of(member: Member) -> MemberPhase:
    """See MemberPhase."""
    if member.revoking:
        return MemberPhase.REVOKING
    return MemberPhase.STABLE if member.stable else MemberPhase.WAITING


def group_phase(group: Group) -> GroupPhase:
    """See GroupPhase."""
    if not group.members:
        return GroupPhase.EMPTY
    stable = all(member.stable for member in group.members.values())
    return GroupPhase.STABLE if stable else GroupPhase.RECONCILING


def unowned(group: Group) -> tuple[TopicPartition, ...]:
    """Partitions that somebody subscribes to and nobody owns. For longer than the rebalance
    timeouts allow, that is an alarm."""
    owned = sum(p.topic_id in group.topics for p in group.owners)
    if owned == sum(view.partition_count for view in group.topics.values()):
        return ()
    return tuple(
        partition
        for topic_id in sorted(group.topics)
        for partition in group.topics[topic_id].partitions()
        if partition not in group.owners
    )


def list_groups(state: CoordinatorState) -> tuple[GroupListing, ...]:
    """All, by name."""
    return tuple(
        GroupListing(
            name,
            group_phase(group),
            len(group.members),
            group.epoch,
            group.assignor,
            group.commit_count,
        )
        for name, group in sorted(state.groups.items())
    )


def describe(state: CoordinatorState, name: GroupName) -> GroupDescription:
    """All about a group. Raises UNKNOWN_GROUP."""
    group = known_group(state, name)
    names = {view.name for view in group.topics.values()}
    return GroupDescription(
        name,
        group_phase(group),
        group.epoch,
        group.assignor,
        tuple(
            MemberDescription(
                member.info,
                phase_of(member),
                member.epoch,
                member.joined_at_ms,
                tuple(sorted(member.owned)),
                tuple(sorted(member.revoking)),
                member.target,
                tuple(t for t in member.info.subscription.topics if t not in names),
            )
            for member in group.in_order()
        ),
        tuple(group.topics[topic_id] for topic_id in sorted(group.topics)),
        tuple(_commits(group)),
        unowned(group),
        group.rebalances,
        group.empty_since_ms,
    )


def readers(group: Group, topic_id: TopicId) -> tuple[MemberId, ...]:
    """Members that subscribe to a topic, in the order in which they joined."""
    found = subscribers(group, group.in_order())
    return tuple(subscriber.member_id for subscriber in found if topic_id in subscriber.topics)


def groups_to_refresh(
    state: CoordinatorState, after: TopicCatalog, before: TopicCatalog | None = None
) -> tuple[GroupName, ...]:
    """Groups that need a TopicsChanged command, by name.

    Only topics that differ between the two catalogs are looked at; without `before` (a new leader
    does not know what its predecessor saw) all of them. May name a group for which nothing
    changes, never leaves one out.
    """
    earlier = before.by_name if before is not None else {}
    changed = {
        name: None
        for name in (*after.by_name, *earlier)
        if after.by_name.get(name) != earlier.get(name)
    }
    patterns = {
        text: None
        for group in state.groups.values()
        for member in group.members.values()
        if (text := member.info.subscription.pattern)
    }
    matching = {text: _matches_any(text, changed) for text in patterns}
    return tuple(
        sorted(
            name
            for name, group in state.groups.items()
            if _concerned(group, after, changed, matching)
        )
    )


def _matches_any(text: str, names: Iterable[str]) -> bool:
    pattern = compile_pattern(text)
    return any(pattern.matches(name) for name in names)


def _concerned(
    group: Group, after: TopicCatalog, changed: dict[str, None], matching: dict[str, bool]
) -> bool:
    if any(topic_id not in after.by_id for topic_id in (*group.commits, *group.topics)):
        return True
    subscriptions = dict.fromkeys(member.info.subscription for member in group.members.values())
    return any(
        (s.pattern and matching[s.pattern]) or any(name in changed for name in s.topics)
        for s in subscriptions
    )


def _commits(group: Group) -> Iterator[tuple[TopicPartition, Commit]]:
    for topic_id in sorted(group.commits):
        for number, commit in sorted(group.commits[topic_id].items()):
            yield TopicPartition(topic_id, number), commit
