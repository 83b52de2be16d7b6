"""Have the groups come to rest: what their coordinators say, beside what every member was told."""

from __future__ import annotations

from consumer_groups.coordinator.queries import unowned
from consumer_groups.coordinator.state import Group
from consumer_groups.types import GroupName, MemberId
from jepsen_like.sim.clients.group_load import GroupLoad, MemberProcess
from jepsen_like.sim.cluster import SimCluster
from replication.types import NodeId
from streamlog.groups.coordinator import GroupCoordinator
from streamlog.groups.offsets_topic import partition_of


def coordinators(cluster: SimCluster) -> list[tuple[NodeId, GroupCoordinator]]:
    """On nodes that serve."""
    found: list[tuple[NodeId, GroupCoordinator]] = []
    for node in cluster.nodes.values():
        life = node.life
        member = life.node.member if life is not None and node.is_serving else None
        if member is not None:
            found += ((node.node_id, each) for each in member.consumer_groups.coordinators())
    return found


def leader_of(cluster: SimCluster, load: GroupLoad, name: str) -> GroupCoordinator | None:
    """The group's coordinator, of the highest term."""
    number = partition_of(GroupName(name), load.options.group_partitions)
    leading = [
        each
        for _, each in coordinators(cluster)
        if each.leads and each.group.creation.partition == number
    ]
    return max(leading, key=lambda each: each.term, default=None)


def unsettled(cluster: SimCluster, load: GroupLoad) -> str | None:
    """What is missing until every partition has an owner and every member knows what it owns;
    None: nothing. Groups without members have nothing to settle."""
    for name in load.names:
        living = load.living(name)
        if not living:
            continue
        coordinator = leader_of(cluster, load, name)
        if coordinator is None:
            return f"{name} has no coordinator"
        group = coordinator.state.groups.get(GroupName(name))
        if group is None:
            return f"{name} does not exist"
        missing = _members_differ(group, living) or _not_owned(cluster, group)
        if missing:
            return f"{name}: {missing}"
    return None


def _members_differ(group: Group, living: list[MemberProcess]) -> str | None:
    known = {str(member_id) for member_id in group.members}
    there = {each.member_id for each in living}
    if known != there:
        return f"members are {sorted(known)}, living are {sorted(there)}"
    for each in living:
        member = group.members[MemberId(each.member_id)]
        if not member.stable:
            return f"{each.member_id} waits for others, or they for it"
        part = each.process.tap.parts[each.member_id]
        owned = {int(p.partition): int(epoch) for p, epoch in member.owned.items()}
        if (part.epoch, part.held) != (member.epoch, owned) or part.revoking:
            return (
                f"{each.member_id} was told {part.held} at epoch {part.epoch}, and owns {owned} at"
                f" {member.epoch}"
            )
        if part.unconfirmed_ms(each.process.environment.clock.monotonic_ms()) > (
            part.session_timeout_ms
        ):
            return f"the session of {each.member_id} is not confirmed"
    return None


def _not_owned(cluster: SimCluster, group: Group) -> str | None:
    free = unowned(group)
    if free:
        return f"nobody owns {sorted(int(p.partition) for p in free)}"
    counts = {view.name: view.partition_count for view in group.topics.values()}
    for node in cluster.nodes.values():
        life = node.life
        member = life.node.member if life is not None and node.is_serving else None
        for name, count in counts.items():
            topic = member.cluster.view.topic(name) if member is not None else None
            if topic is not None and len(topic.partitions) != count:
                return f"{name} has {len(topic.partitions)} partitions, the group knows {count}"
    return None


def partitions_of(cluster: SimCluster, load: GroupLoad, name: str) -> int:
    """How many partitions the group shares out; 0: not known."""
    coordinator = leader_of(cluster, load, name)
    group = coordinator.state.groups.get(GroupName(name)) if coordinator is not None else None
    return sum(view.partition_count for view in group.topics.values()) if group is not None else 0


def behind(cluster: SimCluster, load: GroupLoad) -> str | None:
    """What members have yet to commit of all that was acknowledged; None: nothing."""
    for name in load.names:
        if not load.living(name):
            continue
        coordinator = leader_of(cluster, load, name)
        group = coordinator.state.groups.get(GroupName(name)) if coordinator is not None else None
        if group is None:
            return f"{name} has no coordinator that knows it"
        committed = {
            int(number): int(commit.offset)
            for commits in group.commits.values()
            for number, commit in commits.items()
        }
        for number, end in sorted(load.recorder.ends.items()):
            if committed.get(number, 0) < end:
                return f"{name} has committed {committed.get(number)} of {end} in {number}"
    return None
