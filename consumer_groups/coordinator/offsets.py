"""Committed positions: who may move them, and when they go."""

from __future__ import annotations

from collections.abc import Sequence

from consumer_groups.commands import (
    CommitOffsets,
    DeleteGroup,
    DeleteOffsets,
    ExpireOffsets,
    OffsetToCommit,
    ResetOffsets,
    StoreOffsets,
)
from consumer_groups.coordinator.checks import (
    check_group_name,
    check_in_catalog,
    check_partitions,
    checked_offsets,
    list_of,
)
from consumer_groups.coordinator.draft import Draft, check_epoch, known_group, known_member
from consumer_groups.coordinator.state import CoordinatorState, Group, Member
from consumer_groups.coordinator.topics import check_catalog, take_catalog
from consumer_groups.errors import GroupError, Reason
from consumer_groups.limits import COMMITS_MAX
from consumer_groups.records import (
    Cause,
    Forgotten,
    GroupDeleted,
    OffsetsCommitted,
    OffsetsForgotten,
    PartitionsFenced,
    Record,
)
from consumer_groups.responses import Changed, OffsetsRemoved, OffsetsStored
from consumer_groups.types import Epoch, PartitionNumber, TopicPartition


def commit(state: CoordinatorState, command: CommitOffsets) -> tuple[list[Record], OffsetsStored]:
    """See CommitOffsets.

    A commit counts when the member owns the partition (to read, or still to give up) since an
    epoch that is not above the one it claims.

    Raises UNKNOWN_MEMBER, STALE_MEMBER_EPOCH (with the partitions it is about), UNKNOWN_TOPIC,
    OFFSET_OUT_OF_RANGE, METADATA_TOO_LARGE, INVALID_REQUEST, TOO_MANY_*.
    """
    offsets = checked_offsets(command.offsets)
    member = known_member(state, command.group, command.member_id)
    group = state.groups[command.group]
    check_epoch(command.group, member, command.member_epoch)
    fenced = tuple(p for p, *_ in offsets if not _may_commit(member, p, command.member_epoch))
    if fenced:
        raise _fenced(group, command, fenced)
    _check_room(state, group, offsets)
    record = OffsetsCommitted(command.group, command.now_ms, offsets)
    return [record], OffsetsStored(command.group, len(offsets))


def _may_commit(member: Member, partition: TopicPartition, epoch: Epoch) -> bool:
    granted = member.owned.get(partition)
    if granted is None:
        granted = member.revoking.get(partition)
    return granted is not None and granted <= epoch


def _fenced(
    group: Group, command: CommitOffsets, partitions: tuple[TopicPartition, ...]
) -> GroupError:
    unknown = tuple(p for p in partitions if p.topic_id not in group.topics)
    if unknown:
        return GroupError(
            Reason.UNKNOWN_TOPIC,
            f"group {group.name} does not read {list_of(unknown)}: the topic was deleted, or"
            " nobody subscribes to it",
            {"member_id": command.member_id, "epoch": str(command.member_epoch)},
            unknown,
        )
    return GroupError(
        Reason.STALE_MEMBER_EPOCH,
        f"member {command.member_id} of group {group.name} does not own {list_of(partitions)} at"
        f" epoch {command.member_epoch}: nothing was committed",
        {"member_id": command.member_id, "epoch": str(command.member_epoch)},
        partitions,
    )


def store(state: CoordinatorState, command: StoreOffsets) -> tuple[list[Record], OffsetsStored]:
    """See StoreOffsets. Raises GROUP_NOT_EMPTY, UNKNOWN_TOPIC, UNKNOWN_PARTITION, STALE_CATALOG,
    INVALID_GROUP_NAME, and what `commit` raises for bad positions."""
    check_group_name(command.group)
    offsets = checked_offsets(command.offsets)
    draft = Draft.of_any(state, command.group, command.now_ms)
    _check_empty(draft.group)
    check_catalog(draft.group, command.catalog)
    check_in_catalog([p for p, *_ in offsets], command.catalog)
    _check_room(state, draft.group, offsets)
    draft.emit(OffsetsCommitted(command.group, command.now_ms, offsets, command.catalog.version))
    return draft.records, OffsetsStored(command.group, len(offsets))


def reset(state: CoordinatorState, command: ResetOffsets) -> tuple[list[Record], Changed]:
    """See ResetOffsets.

    A partition that is owned is fenced: its owner loses it and regains it under a new epoch, at
    the new position, in the same decision (or as soon as it has acknowledged other revocations).
    A commit that is on its way is refused by its epoch.

    Raises UNKNOWN_GROUP, UNKNOWN_TOPIC, UNKNOWN_PARTITION, STALE_CATALOG, and what `commit`
    raises for bad positions.
    """
    offsets = checked_offsets(command.offsets)
    partitions = [p for p, *_ in offsets]
    draft = Draft.of_existing(state, command.group)
    check_catalog(draft.group, command.catalog)
    check_in_catalog(partitions, command.catalog)
    _check_room(state, draft.group, offsets)
    topics_changed = bool(draft.group.members) and take_catalog(draft, command.catalog)
    fenced = tuple(p for p in partitions if p in draft.group.owners)
    if fenced:
        draft.emit(PartitionsFenced(command.group, fenced))
    version = 0 if draft.group.members else command.catalog.version
    draft.emit(OffsetsCommitted(command.group, command.now_ms, offsets, version))
    if fenced or topics_changed:
        detail = f"{len(partitions)} partitions"
        draft.bump(Cause.OFFSETS_RESET, command.now_ms, detail=detail)
        if topics_changed:
            draft.retarget()
        else:
            draft.keep_target()
        draft.reconcile()
    return draft.records, draft.changed()


def delete_offsets(
    state: CoordinatorState, command: DeleteOffsets
) -> tuple[list[Record], OffsetsRemoved]:
    """See DeleteOffsets. Raises UNKNOWN_GROUP, GROUP_SUBSCRIBED, INVALID_REQUEST,
    TOO_MANY_PARTITIONS."""
    partitions = sorted(command.partitions)
    check_partitions(partitions)
    draft = Draft.of_existing(state, command.group)
    group = draft.group
    in_use = tuple(p for p in partitions if p.topic_id in group.topics or p in group.owners)
    if in_use:
        raise GroupError(
            Reason.GROUP_SUBSCRIBED,
            f"members of group {group.name} subscribe to {list_of(in_use)}: reset the positions,"
            " or stop the members",
            {"members": str(len(group.members))},
            in_use,
        )
    there = tuple(p for p in partitions if group.commit_of(p) is not None)
    if there:
        draft.emit(OffsetsForgotten(group.name, there, Forgotten.DELETED))
    return draft.records, OffsetsRemoved(group.name, len(there))


def expire_offsets(
    state: CoordinatorState, command: ExpireOffsets
) -> tuple[list[Record], OffsetsRemoved]:
    """See ExpireOffsets. Raises UNKNOWN_GROUP."""
    draft = Draft.of_existing(state, command.group)
    group = draft.group
    due_ms = command.now_ms - command.retention_ms
    if group.members or group.empty_since_ms > due_ms:
        return [], OffsetsRemoved(group.name, 0)
    expired = tuple(
        TopicPartition(topic_id, PartitionNumber(number))
        for topic_id in sorted(group.commits)
        for number, position in sorted(group.commits[topic_id].items())
        if position.committed_at_ms <= due_ms
    )
    if len(expired) == group.commit_count:
        draft.emit(GroupDeleted(group.name))
        return draft.records, OffsetsRemoved(group.name, len(expired), group_deleted=True)
    if expired:
        draft.emit(OffsetsForgotten(group.name, expired, Forgotten.EXPIRED))
    return draft.records, OffsetsRemoved(group.name, len(expired))


def delete_group(
    state: CoordinatorState, command: DeleteGroup
) -> tuple[list[Record], OffsetsRemoved]:
    """See DeleteGroup. Raises UNKNOWN_GROUP, GROUP_NOT_EMPTY."""
    group = known_group(state, command.group)
    _check_empty(group)
    removed = OffsetsRemoved(group.name, group.commit_count, group_deleted=True)
    return [GroupDeleted(group.name)], removed


def _check_empty(group: Group) -> None:
    if group.members:
        raise GroupError(
            Reason.GROUP_NOT_EMPTY,
            f"group {group.name} has {len(group.members)} members: 0 are allowed",
            {"value": str(len(group.members)), "maximum": "0"},
        )


def _check_room(state: CoordinatorState, group: Group, offsets: Sequence[OffsetToCommit]) -> None:
    if state.commit_count + len(offsets) <= COMMITS_MAX:
        return
    more = sum(group.commit_of(p) is None for p, *_ in offsets)
    if state.commit_count + more > COMMITS_MAX:
        raise GroupError(
            Reason.TOO_MANY_COMMITS,
            f"{more} new positions are too many: this coordinator has {state.commit_count} of at"
            f" most {COMMITS_MAX}",
            {"value": str(more), "maximum": str(COMMITS_MAX - state.commit_count)},
        )
