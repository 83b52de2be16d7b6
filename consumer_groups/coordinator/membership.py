"""Joining, giving up, leaving, expiring, and what new topics mean."""

from __future__ import annotations

from consumer_groups.commands import (
    AcknowledgeRevocation,
    ExpireMember,
    ExpiryCause,
    Join,
    Leave,
    TopicsChanged,
)
from consumer_groups.coordinator.checks import check_group_name, check_member
from consumer_groups.coordinator.draft import Draft, assignment_of, check_epoch, known_member
from consumer_groups.coordinator.state import CoordinatorState, Member
from consumer_groups.coordinator.topics import (
    check_topics_exist,
    narrow,
    resolve,
    take_catalog,
)
from consumer_groups.errors import GroupError, Reason
from consumer_groups.limits import MEMBERS_PER_GROUP_MAX
from consumer_groups.records import (
    Cause,
    MemberJoined,
    MemberReconciled,
    MemberRemoved,
    MembersReconciled,
    Record,
)
from consumer_groups.responses import Acknowledged, Changed, Expired, Joined
from consumer_groups.types import NO_EPOCH, NOBODY, Epoch, Subscription

_EXPIRED = {
    ExpiryCause.SESSION: Cause.SESSION_EXPIRED,
    ExpiryCause.REBALANCE: Cause.REBALANCE_TIMED_OUT,
    ExpiryCause.NO_PROGRESS: Cause.NO_PROGRESS,
}


def join(state: CoordinatorState, command: Join) -> tuple[list[Record], Joined]:
    """See Join. Raises INVALID_GROUP_NAME, INVALID_REQUEST, INVALID_PATTERN, UNKNOWN_ASSIGNOR,
    UNKNOWN_MEMBER, UNKNOWN_TOPIC, STALE_MEMBER_EPOCH, STALE_CATALOG, INSTANCE_ID_IN_USE,
    GROUP_FULL, TOO_MANY_*."""
    check_group_name(command.group)
    check_member(command.member)
    group = state.groups.get(command.group)
    member_id = command.member.member_id
    if command.member_epoch != NO_EPOCH:
        known_member(state, command.group, member_id)
    known = group.members.get(member_id) if group is not None else None
    if known is not None:
        check_epoch(command.group, known, command.member_epoch)
        return _resume(state, command, known)
    draft = Draft.of_any(state, command.group, command.now_ms)
    replaced = _replaced(draft, command)
    _enter(draft, command, replaced)
    assignment = assignment_of(draft.group, member_id)
    replaced_id = replaced.info.member_id if replaced is not None else NOBODY
    return draft.records, Joined(assignment, draft.changed(member_id), False, replaced_id)


def _resume(state: CoordinatorState, command: Join, known: Member) -> tuple[list[Record], Joined]:
    """A member that is there already: nothing is new, or what it says of itself."""
    draft = Draft.of_existing(state, command.group)
    info, before = command.member, known.info
    member_id = info.member_id
    if info.instance_id != before.instance_id:
        raise GroupError(
            Reason.INVALID_REQUEST,
            f"member {member_id} joined with instance id {before.instance_id!a}, and can not"
            f" change it to {info.instance_id!a}",
            {"value": ascii(info.instance_id)},
        )
    if info != before:
        check_topics_exist(info.subscription, before.subscription, command.catalog)
        draft.emit(MemberJoined(command.group, info, known.joined_epoch, known.joined_at_ms))
        topics_changed = resolve(draft, command.catalog)
        voted_otherwise = info.assignor != before.assignor
        if topics_changed or voted_otherwise or info.subscription != before.subscription:
            draft.bump(Cause.SUBSCRIPTION_CHANGED, command.now_ms, member_id, info.client_id)
            draft.retarget()
            draft.reconcile()
    assignment = assignment_of(draft.group, member_id)
    return draft.records, Joined(assignment, draft.changed(member_id), True)


def _replaced(draft: Draft, command: Join) -> Member | None:
    """Whom a static member takes over from. Raises INSTANCE_ID_IN_USE, GROUP_FULL."""
    group, instance_id = draft.group, command.member.instance_id
    holder = group.instances.get(instance_id) if instance_id else None
    if holder is not None:
        if command.holder_connected:
            raise GroupError(
                Reason.INSTANCE_ID_IN_USE,
                f"instance id {instance_id} of group {group.name} is held by member {holder},"
                " which is connected: instance ids must differ",
                {"instance_id": instance_id, "member_id": holder},
            )
        return group.members[holder]
    if len(group.members) >= MEMBERS_PER_GROUP_MAX:
        raise GroupError(
            Reason.GROUP_FULL,
            f"group {group.name} has {len(group.members)} members: 1 to {MEMBERS_PER_GROUP_MAX}"
            " are allowed",
            {"value": str(len(group.members)), "maximum": str(MEMBERS_PER_GROUP_MAX)},
        )
    return None


def _enter(draft: Draft, command: Join, replaced: Member | None) -> None:
    info, group = command.member, draft.group
    check_topics_exist(info.subscription, Subscription(), command.catalog)
    epoch = Epoch(group.epoch + 1)
    if replaced is None:
        draft.emit(MemberJoined(group.name, info, epoch, command.now_ms))
        cause, detail = Cause.MEMBER_JOINED, info.client_id
    else:
        draft.emit(
            MemberJoined(
                group.name, info, replaced.joined_epoch, command.now_ms, replaced.info.member_id
            )
        )
        cause, detail = Cause.MEMBER_RETURNED, f"instance {info.instance_id}"
    topics_changed = resolve(draft, command.catalog)
    draft.bump(cause, command.now_ms, info.member_id, detail)
    if (
        replaced is not None
        and not topics_changed
        and replaced.info.subscription == info.subscription
        and replaced.info.assignor == info.assignor
    ):
        draft.keep_target()
    else:
        draft.retarget()
    draft.reconcile()


def acknowledge(
    state: CoordinatorState, command: AcknowledgeRevocation
) -> tuple[list[Record], Acknowledged]:
    """See AcknowledgeRevocation. Raises UNKNOWN_MEMBER, STALE_MEMBER_EPOCH.

    An acknowledgement with a lower epoch than the member's was sent before the member was given
    something more, so it can not be about what must be given up now: it changes nothing. Within
    one epoch a partition is granted to a member at most once, so an equal epoch is enough.
    """
    member = known_member(state, command.group, command.member_id)
    check_epoch(command.group, member, command.member_epoch)
    draft = Draft.of_existing(state, command.group)
    if command.member_epoch == member.epoch:
        released = tuple(p for p in sorted(set(command.revoked)) if p in member.revoking)
        if released:
            done = len(released) == len(member.revoking)
            epoch = draft.group.target_epoch if done else member.epoch
            change = MemberReconciled(command.member_id, epoch, released=released)
            draft.emit(MembersReconciled(command.group, (change,)))
            draft.consider(command.member_id)
            draft.reconcile()
    assignment = assignment_of(draft.group, command.member_id)
    return draft.records, Acknowledged(assignment, draft.changed(command.member_id))


def leave(state: CoordinatorState, command: Leave) -> tuple[list[Record], Changed]:
    """See Leave. Raises UNKNOWN_MEMBER."""
    member = known_member(state, command.group, command.member_id)
    draft = Draft.of_existing(state, command.group)
    _remove(draft, member, Cause.MEMBER_LEFT, command.now_ms)
    return draft.records, draft.changed()


def expire(state: CoordinatorState, command: ExpireMember) -> tuple[list[Record], Expired]:
    """See ExpireMember. Never refused: a timer may always be late."""
    group = state.groups.get(command.group)
    member = group.members.get(command.member_id) if group is not None else None
    if group is None or member is None:
        return [], Expired(False, Changed(command.group, NO_EPOCH))
    if command.cause is ExpiryCause.REBALANCE:
        due = bool(member.revoking) and command.member_epoch == member.epoch
    else:
        due = command.member_epoch >= member.joined_epoch
    draft = Draft(group)
    if not due:
        return [], Expired(False, draft.changed(), member.epoch)
    _remove(draft, member, _EXPIRED[command.cause], command.now_ms)
    return draft.records, Expired(True, draft.changed())


def topics_changed(state: CoordinatorState, command: TopicsChanged) -> tuple[list[Record], Changed]:
    """See TopicsChanged. Raises UNKNOWN_GROUP, STALE_CATALOG, TOO_MANY_*."""
    draft = Draft.of_existing(state, command.group)
    before = draft.group.topics
    if take_catalog(draft, command.catalog):
        after = draft.group.topics
        names = [
            view.name
            for views, others in ((after, before), (before, after))
            for topic_id, view in views.items()
            if others.get(topic_id) != view
        ]
        detail = ", ".join(dict.fromkeys(sorted(names)))
        draft.bump(Cause.TOPICS_CHANGED, command.now_ms, detail=detail)
        draft.retarget()
        draft.reconcile()
    return draft.records, draft.changed()


def _remove(draft: Draft, member: Member, cause: Cause, now_ms: int) -> None:
    info = member.info
    draft.emit(MemberRemoved(draft.group.name, info.member_id, now_ms))
    draft.bump(cause, now_ms, info.member_id, info.instance_id or info.client_id)
    narrow(draft)
    draft.retarget()
    draft.reconcile()
