"""A group while a command is decided: its records so far, and the group as these make it.

Decisions are written as a story: remove the member, bump the epoch, assign a new target, and let
`reconcile` find out what may be granted and what must be revoked. Each step reads the group as the
steps before left it, through the same code that replays records.

Reconciling is incremental. A member is looked at when its target changed, when a partition it
waits for became free, when it lost one, or when it joined; nobody else can have anything to gain.
"""

from __future__ import annotations

from collections.abc import Iterable

from consumer_groups.assignors import ASSIGNORS, DEFAULT_ASSIGNOR, Subscriber, elected_assignor
from consumer_groups.coordinator.replay import changed, created
from consumer_groups.coordinator.state import CoordinatorState, Group, Member
from consumer_groups.errors import GroupError, Reason
from consumer_groups.limits import (
    DETAIL_CHARACTERS_MAX,
    GROUPS_MAX,
    MEMBER_ID_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
)
from consumer_groups.records import (
    Cause,
    EpochBumped,
    GroupCreated,
    MemberJoined,
    MemberReconciled,
    MemberRemoved,
    MembersReconciled,
    MemberTarget,
    PartitionsFenced,
    Record,
    TargetAssigned,
)
from consumer_groups.responses import Changed, Grant, MemberAssignment
from consumer_groups.types import (
    NO_EPOCH,
    NOBODY,
    Epoch,
    GroupName,
    MemberId,
    Subscription,
    TopicId,
    TopicPartition,
)


class Draft:
    """Records of one decision about one group."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.records: list[Record] = []
        self.removed: dict[MemberId, None] = {}
        self._touched: dict[MemberId, None] = {}
        """Their assignment changed."""
        self._candidates: dict[MemberId, None] = {}
        """They may have something to gain or to give up."""
        self._losers: dict[MemberId, None] = {}
        """They lost partitions without being asked."""
        self._freed: list[TopicPartition] = []

    @classmethod
    def of_existing(cls, state: CoordinatorState, name: GroupName) -> Draft:
        """Raises UNKNOWN_GROUP."""
        return cls(known_group(state, name))

    @classmethod
    def of_any(cls, state: CoordinatorState, name: GroupName, now_ms: int) -> Draft:
        """Makes the group when it is not there. Raises TOO_MANY_GROUPS."""
        group = state.groups.get(name)
        if group is not None:
            return cls(group)
        if len(state.groups) >= GROUPS_MAX:
            raise GroupError(
                Reason.TOO_MANY_GROUPS,
                f"group {name} would be one too many: this coordinator has {len(state.groups)} of"
                f" at most {GROUPS_MAX}",
                {"groups": str(len(state.groups)), "maximum": str(GROUPS_MAX)},
            )
        record = GroupCreated(name, state.epoch_floor, now_ms)
        draft = cls(created(record))
        draft.records.append(record)
        return draft

    def emit(self, record: Record) -> None:
        """Add a record, and what follows from it for reconciling."""
        group = self.group
        match record:
            case MemberJoined():
                self._candidates[record.member.member_id] = None
                self._remove(record.replaces)
            case MemberRemoved():
                self._remove(record.member_id)
            case PartitionsFenced():
                for partition in record.partitions:
                    if partition in group.owners:
                        self._losers[group.owners[partition]] = None
                self._freed += record.partitions
            case TargetAssigned():
                self._candidates.update(dict.fromkeys(c.member_id for c in record.changes))
            case MembersReconciled():
                for change in record.changes:
                    self._touched[change.member_id] = None
                    self._freed += change.released
            case _:
                pass
        self.group = changed(group, record)
        self.records.append(record)

    def _remove(self, member_id: MemberId) -> None:
        member = self.group.members.get(member_id)
        if member is not None:
            self.removed[member_id] = None
            self._freed += (*member.owned, *member.revoking)

    def bump(
        self, cause: Cause, at_ms: int, member_id: MemberId = NOBODY, detail: str = ""
    ) -> None:
        """The group's next epoch."""
        epoch = Epoch(self.group.epoch + 1)
        detail = detail[:DETAIL_CHARACTERS_MAX]
        self.emit(EpochBumped(self.group.name, epoch, cause, at_ms, member_id, detail))

    def retarget(self) -> None:
        """Assign anew, at the group's epoch."""
        group = self.group
        members = group.in_order()
        name = elected_assignor(member.info.assignor for member in members)
        target = ASSIGNORS[name].assign(
            subscribers(group, members),
            {topic_id: view.partition_count for topic_id, view in group.topics.items()},
            {member.info.member_id: member.target for member in members},
        )
        self.emit(
            TargetAssigned(
                group.name,
                group.epoch,
                name if members else DEFAULT_ASSIGNOR,
                tuple(
                    MemberTarget(member_id, partitions)
                    for member_id, partitions in target.items()
                    if partitions != group.members[member_id].target
                ),
            )
        )

    def keep_target(self) -> None:
        """The same target, at the group's epoch."""
        group = self.group
        self.emit(TargetAssigned(group.name, group.epoch, group.assignor, ()))

    def consider(self, member_id: MemberId) -> None:
        """Look at this member too when reconciling."""
        self._candidates[member_id] = None

    def reconcile(self) -> None:
        """Ask for what must be given up, grant what is free and may be granted."""
        group = self.group
        for partition in self._freed:
            wanting = group.wanted_by.get(partition)
            if wanting is not None:
                self._candidates[wanting] = None
        self._candidates.update(self._losers)
        changes = [
            change
            for member_id in self._candidates
            if (member := group.members.get(member_id)) is not None
            and (change := self._step(group, member)) is not None
        ]
        if changes:
            self.emit(MembersReconciled(group.name, tuple(changes)))

    def _step(self, group: Group, member: Member) -> MemberReconciled | None:
        """The member's next step towards its target; None: it has to wait, or is there."""
        member_id = member.info.member_id
        surplus = [p for p in member.owned if group.wanted_by.get(p) != member_id]
        if surplus:
            return MemberReconciled(member_id, member.epoch, revoking=tuple(sorted(surplus)))
        if member.revoking:
            return None
        free = tuple(p for p in member.target if p not in group.owners)
        if free or member.epoch == NO_EPOCH or member_id in self._losers:
            return MemberReconciled(member_id, group.target_epoch, granted=free)
        return None

    def changed(self, but: MemberId = NOBODY) -> Changed:
        """What others must be told, without the member that is answered."""
        told = {**self._touched, **self._losers}
        return Changed(
            self.group.name,
            self.group.epoch,
            tuple(
                assignment_of(self.group, member_id)
                for member_id in sorted(told)
                if member_id != but and member_id in self.group.members
            ),
            tuple(sorted(self.removed)),
        )


def subscribers(group: Group, members: Iterable[Member]) -> list[Subscriber]:
    """Members with the ids of their topics, as far as these exist."""
    by_name = {view.name: topic_id for topic_id, view in group.topics.items()}
    found: dict[Subscription, tuple[TopicId, ...]] = {}
    result = []
    for member in members:
        subscription = member.info.subscription
        topics = found.get(subscription)
        if topics is None:
            ids = dict.fromkeys(by_name[name] for name in subscription.topics if name in by_name)
            if subscription.pattern:
                matches = group.patterns.get(subscription.pattern, ())
                ids.update(dict.fromkeys(t for t in matches if t in group.topics))
            topics = found[subscription] = tuple(sorted(ids))
        result.append(Subscriber(member.info.member_id, topics))
    return result


def assignment_of(group: Group, member_id: MemberId) -> MemberAssignment:
    """All that a member of the group owns."""
    member = group.members[member_id]
    return MemberAssignment(
        group.name,
        member_id,
        member.epoch,
        group.epoch,
        tuple(
            Grant(partition, epoch, group.commit_of(partition))
            for partition, epoch in sorted(member.owned.items())
        ),
        tuple(sorted(member.revoking)),
    )


def known_group(state: CoordinatorState, name: GroupName) -> Group:
    """Raises UNKNOWN_GROUP."""
    group = state.groups.get(name)
    if group is None:
        shown = ascii(name[:NAME_CHARACTERS_MAX])
        raise GroupError(
            Reason.UNKNOWN_GROUP,
            f"group {shown} is unknown: it has neither members nor committed positions",
            {"group": shown},
        )
    return group


def known_member(state: CoordinatorState, name: GroupName, member_id: MemberId) -> Member:
    """Raises UNKNOWN_MEMBER, also when the group is unknown."""
    group = state.groups.get(name)
    member = group.members.get(member_id) if group is not None else None
    if member is None:
        who = ascii(member_id[:MEMBER_ID_CHARACTERS_MAX])
        where = ascii(name[:NAME_CHARACTERS_MAX])
        raise GroupError(
            Reason.UNKNOWN_MEMBER,
            f"{who} is no member of group {where}: it left, was expired or was replaced, and must"
            " join anew",
            {"group": where, "member_id": who},
        )
    return member


def check_epoch(name: GroupName, member: Member, epoch: Epoch) -> None:
    """A member can not have seen an epoch that it was never given. Raises STALE_MEMBER_EPOCH."""
    if epoch > member.epoch:
        raise GroupError(
            Reason.STALE_MEMBER_EPOCH,
            f"epoch {epoch} of member {member.info.member_id} of group {name} is out of range:"
            f" its epoch is {member.epoch}",
            {"epoch": str(epoch), "maximum": str(member.epoch)},
        )
