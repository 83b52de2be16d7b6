"""What records mean.

Invariant: total. Any record that a decision once produced is taken in any state; one about a group
or member that is not there changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from consumer_groups.coordinator.state import CoordinatorState, Group, Member, Rebalance
from consumer_groups.limits import RECENT_REBALANCES_MAX
from consumer_groups.records import (
    EpochBumped,
    GroupCreated,
    GroupDeleted,
    MemberJoined,
    MemberRemoved,
    MembersReconciled,
    OffsetsCommitted,
    OffsetsForgotten,
    PartitionsFenced,
    Record,
    TargetAssigned,
    TopicsResolved,
)
from consumer_groups.types import (
    Commit,
    Epoch,
    MemberId,
    PartitionNumber,
    TopicId,
    TopicPartition,
)


def replay(state: CoordinatorState, record: Record) -> CoordinatorState:
    """The state after a record."""
    group = state.groups.get(record.group)
    match record:
        case GroupCreated():
            if group is not None:
                return state
            return replace(state, groups=state.groups.put(created(record)))
        case GroupDeleted():
            if group is None:
                return state
            return CoordinatorState(
                state.groups.without(record.group),
                Epoch(max(state.epoch_floor, group.epoch)),
                state.commit_count - group.commit_count,
            )
        case _:
            if group is None:
                return state
            after = changed(group, record)
            return CoordinatorState(
                state.groups.put(after),
                state.epoch_floor,
                state.commit_count + after.commit_count - group.commit_count,
            )


def created(record: GroupCreated) -> Group:
    """The group that a record makes."""
    return Group(record.group, record.epoch, record.epoch, empty_since_ms=record.at_ms)


def changed(group: Group, record: Record) -> Group:
    """The group after a record about it."""
    match record:
        case MemberJoined():
            return _joined(group, record)
        case MemberRemoved():
            return _without(group, record.member_id, record.at_ms)
        case EpochBumped():
            rebalance = Rebalance(
                record.epoch, record.cause, record.at_ms, record.member_id, record.detail
            )
            newest = (*group.rebalances, rebalance)[-RECENT_REBALANCES_MAX:]
            return replace(group, epoch=record.epoch, rebalances=newest)
        case TopicsResolved():
            return replace(
                group,
                catalog_version=max(group.catalog_version, record.catalog_version),
                topics={view.topic_id: view for view in record.topics},
                patterns={found.pattern: found.topic_ids for found in record.patterns},
            )
        case TargetAssigned():
            return _targeted(group, record)
        case MembersReconciled():
            return _reconciled(group, record)
        case PartitionsFenced():
            return _fenced(group, record.partitions)
        case OffsetsCommitted():
            return _committed(group, record)
        case OffsetsForgotten():
            return _forgotten(group, record)
        case GroupCreated() | GroupDeleted():
            return group
        case _:
            assert_never(record)


def _joined(group: Group, record: MemberJoined) -> Group:
    info = record.member
    target: tuple[TopicPartition, ...] = ()
    if record.replaces and record.replaces in group.members:
        target = group.members[record.replaces].target
        group = _without(group, record.replaces, record.joined_at_ms)
    known = group.members.get(info.member_id)
    if known is not None:
        member = replace(known, info=info)
    else:
        member = Member(info, record.joined_epoch, record.joined_at_ms, target=target)
    instances = group.instances
    if info.instance_id:
        instances = {**instances, info.instance_id: info.member_id}
    wanted_by = group.wanted_by
    if target:
        wanted_by = {**wanted_by, **dict.fromkeys(target, info.member_id)}
    return replace(
        group,
        members={**group.members, info.member_id: member},
        instances=instances,
        wanted_by=wanted_by,
        empty_since_ms=0,
    )


def _without(group: Group, member_id: MemberId, at_ms: int) -> Group:
    member = group.members.get(member_id)
    if member is None:
        return group
    members = {key: each for key, each in group.members.items() if key != member_id}
    owners, wanted_by = dict(group.owners), dict(group.wanted_by)
    for partition in (*member.owned, *member.revoking):
        owners.pop(partition, None)
    for partition in member.target:
        if wanted_by.get(partition) == member_id:
            del wanted_by[partition]
    instances = group.instances
    if instances.get(member.info.instance_id) == member_id:
        instances = {key: each for key, each in instances.items() if each != member_id}
    return replace(
        group,
        members=members,
        instances=instances,
        owners=owners,
        wanted_by=wanted_by,
        empty_since_ms=0 if members else at_ms,
    )


def _targeted(group: Group, record: TargetAssigned) -> Group:
    members, wanted_by = dict(group.members), dict(group.wanted_by)
    for change in record.changes:
        for partition in members[change.member_id].target if change.member_id in members else ():
            if wanted_by.get(partition) == change.member_id:
                del wanted_by[partition]
    for change in record.changes:
        member = members.get(change.member_id)
        if member is not None:
            members[change.member_id] = replace(member, target=change.partitions)
            wanted_by.update(dict.fromkeys(change.partitions, change.member_id))
    return replace(
        group,
        target_epoch=record.epoch,
        assignor=record.assignor,
        members=members,
        wanted_by=wanted_by,
    )


def _reconciled(group: Group, record: MembersReconciled) -> Group:
    members, owners = dict(group.members), dict(group.owners)
    for change in record.changes:
        member = members.get(change.member_id)
        if member is None:
            continue
        owned, revoking = dict(member.owned), dict(member.revoking)
        for partition in change.revoking:
            if partition in owned:
                revoking[partition] = owned.pop(partition)
        for partition in change.released:
            if partition in revoking:
                del revoking[partition]
                owners.pop(partition, None)
        for partition in change.granted:
            owned[partition] = change.epoch
            owners[partition] = change.member_id
        members[change.member_id] = replace(
            member, epoch=change.epoch, owned=owned, revoking=revoking
        )
    return replace(group, members=members, owners=owners)


def _fenced(group: Group, partitions: tuple[TopicPartition, ...]) -> Group:
    members, owners = dict(group.members), dict(group.owners)
    lost: dict[MemberId, dict[TopicPartition, None]] = {}
    for partition in partitions:
        owner = owners.pop(partition, None)
        if owner is not None and owner in members:
            lost.setdefault(owner, {})[partition] = None
    for member_id, gone in lost.items():
        member = members[member_id]
        members[member_id] = replace(
            member,
            owned={p: epoch for p, epoch in member.owned.items() if p not in gone},
            revoking={p: epoch for p, epoch in member.revoking.items() if p not in gone},
        )
    return replace(group, members=members, owners=owners)


def _committed(group: Group, record: OffsetsCommitted) -> Group:
    at_ms = record.at_ms
    touched: dict[TopicId, dict[PartitionNumber, Commit]] = {}
    count = group.commit_count
    for (topic_id, number), offset, leader_term, metadata in record.offsets:
        commits = touched.get(topic_id)
        if commits is None:
            commits = touched[topic_id] = dict(group.commits.get(topic_id, {}))
        count += number not in commits
        commits[number] = Commit(offset, leader_term, metadata, at_ms)
    return replace(
        group,
        commits={**group.commits, **touched},
        commit_count=count,
        catalog_version=max(group.catalog_version, record.catalog_version),
    )


def _forgotten(group: Group, record: OffsetsForgotten) -> Group:
    commits = dict(group.commits)
    touched: dict[TopicId, dict[PartitionNumber, Commit]] = {}
    count = group.commit_count
    for topic_id, number in record.partitions:
        if topic_id not in touched:
            touched[topic_id] = dict(commits.get(topic_id, {}))
        count -= touched[topic_id].pop(number, None) is not None
    for topic_id, left in touched.items():
        if left:
            commits[topic_id] = left
        else:
            commits.pop(topic_id, None)
    return replace(group, commits=commits, commit_count=count)
