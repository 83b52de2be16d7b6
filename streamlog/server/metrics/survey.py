"""How the replicas of a node are, at one moment: asked by scrapes and by readiness.

The walk is sliced, since a node may hold ten thousand replicas and must answer heartbeats
meanwhile; so what it says of two replicas may be some milliseconds apart.

What a follower knows of its leader's log is the commit that the leader told last, in the term that
the follower is in. A leader appends an entry of its own when it begins, so every follower hears of
it soon; until then it does not know how far behind it is.
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from typing import Final

from replication.multiraft.group import Group
from replication.multiraft.host import MultiRaft
from replication.raft.effects import Role
from replication.types import METADATA_GROUP, NodeId
from streamlog.cluster.cluster import Cluster
from streamlog.cluster.membership_steps import LAG_MAX
from streamlog.storage.group.group_log import GroupLog

GROUPS_AT_ONCE: Final = 200
"""After so many the loop does other work first."""
WORST_SHOWN: Final = 50
"""Partitions that are named one by one."""

PartitionKey = tuple[int, int]
"""Topic id and number."""


@dataclass(slots=True)
class Use:
    """What the replicas of one topic take on this node's disk."""

    replicas: int = 0
    size_bytes: int = 0
    segments: int = 0


@dataclass(slots=True)
class Survey:
    """Counts are of partitions with a replica on this node; the metadata is not among them.

    Invariant: a replica is counted in exactly one of `led`, `followed`, `without_leader` and
    `failed`; `behind`, `unheard` and `installing` are of those that follow.
    """

    led: int = 0
    """Led by this node, which may serve them."""
    followed: int = 0
    """Led by another node that is alive."""
    without_leader: int = 0
    """No live leader is known, or the one here is not established yet."""
    failed: int = 0
    """Stopped: the log is damaged, or a defect was met."""
    installing: int = 0
    """Waiting for a whole copy of the leader's log."""
    behind: int = 0
    """More than LAG_MAX offsets behind the commit that the leader told."""
    unheard: int = 0
    """The leader has not told yet how far it is."""
    under_replicated: int = 0
    """Led by this node, with another replica that is down, blank, or more than LAG_MAX behind."""
    missing: int = 0
    """Placed on this node and not created yet."""
    own_lag: dict[PartitionKey, int] = field(default_factory=dict)
    """Offsets that a replica here lacks; only those that lack some."""
    lag_by_node: dict[NodeId, int] = field(default_factory=dict)
    """Offsets that replicas on other nodes lack of what this node leads, by node."""
    lag_of_led: dict[PartitionKey, int] = field(default_factory=dict)
    """The most that a replica of a partition led here lacks; only where one lacks some."""
    use_by_topic: dict[int, Use] = field(default_factory=dict)
    metadata_use: Use = field(default_factory=Use)

    @property
    def replicas(self) -> int:
        """All that are here."""
        return self.led + self.followed + self.without_leader + self.failed


async def take_survey(groups: MultiRaft, cluster: Cluster, node_id: NodeId) -> Survey:
    """Look at every replica once."""
    survey = Survey()
    lost = {partition.group_id: None for partition in cluster.lost_replicas}
    live = groups.live_nodes()
    for count, (group_id, group) in enumerate(list(groups.groups.items()), start=1):
        if count % GROUPS_AT_ONCE == 0:
            await asyncio.sleep(0)
            live = groups.live_nodes()
        if group_id == METADATA_GROUP:
            _measure(group, survey.metadata_use)
            continue
        _measure(group, survey.use_by_topic.setdefault(group.creation.topic_id, Use()))
        if group_id not in lost:
            _look_at(group, live, survey)
    for count, topic in enumerate(cluster.view.topics(), start=1):
        if count % GROUPS_AT_ONCE == 0:
            await asyncio.sleep(0)
        for partition in topic.partitions:
            if partition.group_id in groups.groups or partition.group_id in lost:
                continue
            if partition.replica_on(node_id) is not None:
                survey.missing += 1
    return survey


def worst(lags: dict[PartitionKey, int]) -> list[tuple[PartitionKey, int]]:
    """The partitions that lack most, most first, WORST_SHOWN at most."""
    return heapq.nlargest(WORST_SHOWN, lags.items(), key=lambda item: (item[1], item[0]))


def _look_at(group: Group, live: frozenset[NodeId], survey: Survey) -> None:
    key = (group.creation.topic_id, group.creation.partition)
    if group.failed is not None:
        survey.failed += 1
    elif group.role is Role.LEADER and group.established:
        survey.led += 1
        _look_at_followers(group, key, live, survey)
    elif group.role is Role.LEADER or group.leader is None or group.leader not in live:
        survey.without_leader += 1
    else:
        survey.followed += 1
        _look_at_own_lag(group, key, survey)


def _look_at_own_lag(group: Group, key: PartitionKey, survey: Survey) -> None:
    if group.installing or group.log.needs_install:
        survey.installing += 1
    lag = lag_of(group)
    if lag is None:
        survey.unheard += 1
    elif lag:
        survey.own_lag[key] = lag
        survey.behind += lag > LAG_MAX


def lag_of(group: Group) -> int | None:
    """Offsets of the leader's commit that a follower lacks; None while it was not told."""
    heard = group.heard_commit
    if heard is None or heard[0] != group.term:
        return None
    return max(0, heard[1] - group.log.end.end)


def _look_at_followers(
    group: Group, key: PartitionKey, live: frozenset[NodeId], survey: Survey
) -> None:
    progress = group.replica_progress()
    commit_end, most, short = group.commit_end, 0, False
    for replica in group.membership.replicas():
        if replica.replica_id == group.replica_id:
            continue
        match = progress.get(replica.replica_id, 0)
        lag = max(0, commit_end - match)
        short = short or replica.node_id not in live or lag > LAG_MAX or (lag > 0 and match == 0)
        if lag:
            most = max(most, lag)
            survey.lag_by_node[replica.node_id] = survey.lag_by_node.get(replica.node_id, 0) + lag
    survey.under_replicated += short
    if most:
        survey.lag_of_led[key] = most


def _measure(group: Group, use: Use) -> None:
    use.replicas += 1
    log = group.log
    if isinstance(log, GroupLog) and not log.needs_install:
        use.size_bytes += log.segment_log.size_bytes
        use.segments += len(log.segment_log.segment_bases)
