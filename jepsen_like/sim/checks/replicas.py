"""What the replicas of a settled cluster hold, read from the nodes' own logs."""

from __future__ import annotations

import zlib

from jepsen_like.sim.clients.recorder import Recorder
from jepsen_like.sim.cluster import SimCluster, SimNode
from jepsen_like.sim.ports.scheduler import Scheduler
from replication.errors import LogCorrupt
from replication.group import ReplicatedGroup
from replication.types import GroupId, Offset, Replica
from streamlog.model.batch import iterate_frames

READ_BYTES_MAX = 1 << 22
READ_WITHIN_S = 60.0


def settled(cluster: SimCluster) -> str | None:
    """None when every replica that the metadata names is there, of every group committed up to
    its log's end, and they agree; else what is still missing."""
    ends: dict[GroupId, tuple[int, int]] = {}
    for node in cluster.members():
        life = node.life
        if life is None or not node.is_serving:
            return f"node {node.node_id} is not up"
        for group_id, group in life.node.groups.items():
            end = int(group.log.end.end)
            if group.log.lost:
                return f"group {group_id} on node {node.node_id} is lost, and not replaced"
            if group.commit_end != end:
                return (
                    f"group {group_id} on node {node.node_id} is committed up to"
                    f" {group.commit_end} of {end}"
                )
            other = ends.setdefault(group_id, (end, node.node_id))
            if other[0] != end:
                return (
                    f"group {group_id} ends at {end} on node {node.node_id} and at {other[0]} on"
                    f" node {other[1]}"
                )
    return _absent(cluster)


def _absent(cluster: SimCluster) -> str | None:
    """A replica that the metadata, as any node knows it, places on a node that has it not (yet)."""
    for node in cluster.members():
        member = None if node.life is None else node.life.node.member
        state = None if member is None else member.cluster.view.state
        if state is None:
            return f"node {node.node_id} does not know the metadata"
        for topic in state.topics.values():
            for partition in topic.partitions:
                for replica in partition.replicas:
                    if not _is_there(cluster.nodes[replica.node_id], partition.group_id, replica):
                        return f"{topic.name}/{partition.number} is not on node {replica.node_id}"
    return None


def _is_there(node: SimNode, group_id: GroupId, replica: Replica) -> bool:
    """A node that is down for good has none."""
    if node.retired:
        return True
    group = None if node.life is None else node.life.node.groups.get(group_id)
    return group is not None and group.log.creation.local_replica_id == replica.replica_id


def record_replicas(scheduler: Scheduler, cluster: SimCluster, recorder: Recorder) -> bool:
    """Read the log of every partition of the clients' topic on every node into the history. False:
    nothing was recorded. Some log grew meanwhile (retention moves its start by an entry), and others
    may have been read before; or damage was met, which scrubbing had passed over because its round
    was cut short there."""
    topic_id = min(_topic_ids(cluster))
    found: list[tuple[SimNode, ReplicatedGroup, Offset, tuple[tuple[int, str], ...]]] = []
    for node in cluster.members():
        life = node.life
        assert life is not None
        for group in life.node.groups.values():
            if group.creation.kind != "partition" or group.creation.topic_id != topic_id:
                continue
            end = group.log.end.end
            task = life.loop.create_task(_read_all(group))
            try:
                found.append((node, group, end, scheduler.complete(task, READ_WITHIN_S)))
            except LogCorrupt:
                return False
    if any(group.log.end.end != end for _, group, end, _ in found):
        return False
    for node, group, end, records in found:
        invoked = recorder.invoke(f"node{node.node_id}", "replica", group.creation.partition)
        recorder.ok(invoked, records=records, node=node.node_id, end=int(end))
    return True


def _topic_ids(cluster: SimCluster) -> list[int]:
    """The clients' topic was made first, so it has the least."""
    lives = (node.life for node in cluster.members())
    groups = (group for life in lives if life is not None for group in life.node.groups.values())
    return [g.creation.topic_id for g in groups if g.creation.kind == "partition"]


async def _read_all(group: ReplicatedGroup) -> tuple[tuple[int, str], ...]:
    """(base offset, digest) of every frame."""
    log = group.log
    records: list[tuple[int, str]] = []
    position, end = log.start.end, log.end.end
    while position < end:
        frames = await log.read(position, end, READ_BYTES_MAX)
        for at, header in iterate_frames(frames):
            frame = memoryview(frames)[at : at + header.frame_bytes]
            records.append((header.base_offset, f"{zlib.crc32(frame):08x}"))
            position = type(end)(header.end_offset)
    return tuple(records)
