"""Replication between nodes in memory: what one leader appends reaches the others and commits.

There is no protocol here: the fabric sees all logs, picks leaders, copies entries, and tells every
group, on its node's own loop, what became of it. Nodes may be down, and logs may get lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.scheduler import Scheduler
from replication.errors import RecoveryRefused
from replication.group import ForcedRecovery, KnownLeader
from replication.ports import Service
from replication.raft.effects import Role
from replication.types import GroupCreation, GroupId, NodeId, ReplicaId, Term
from tests.fakes.memory_group import MemoryGroup
from tests.fakes.memory_log import MemoryLog

STEP_S = 0.001


class MemoryFabric:
    """All logs and all hosts of a cluster."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.logs: dict[NodeId, dict[GroupId, MemoryLog]] = {}
        self.hosts: dict[NodeId, MemoryHost] = {}
        """Of the nodes that are up."""
        self.leaders: dict[GroupId, KnownLeader] = {}
        self.wishes: dict[GroupId, NodeId] = {}
        self.stopped: set[GroupId] = set()
        """Groups in which nothing is copied or committed for now."""
        self.boots: dict[NodeId, int] = {}
        """Boot ids that every node hears; of those that are not here none is heard."""
        self._due: set[GroupId] = set()

    def node_down(self, node_id: NodeId) -> None:
        host = self.hosts.pop(node_id)
        host.up = False
        for group_id in host.groups:
            self.stir(group_id)

    def stir(self, group_id: GroupId) -> None:
        """Something changed in the group: look at it soon."""
        if group_id not in self._due:
            self._due.add(group_id)
            self.scheduler.call_later(STEP_S, partial(self._work, group_id))

    def _work(self, group_id: GroupId) -> None:
        self._due.discard(group_id)
        present = {
            node_id: host.groups[group_id]
            for node_id, host in sorted(self.hosts.items())
            if group_id in host.groups
        }
        if not present or group_id in self.stopped:
            return
        leader = next((g for g in present.values() if g.role is Role.LEADER), None)
        if leader is None:
            self._elect(group_id, present)
            return
        members = leader.membership
        for replica in members.replicas():
            group = present.get(replica.node_id)
            if group is not None and group is not leader:
                self._copy(leader, group)
        voters = [present.get(replica.node_id) for replica in members.voters]
        if 2 * sum(voter is not None for voter in voters) <= len(voters):
            return
        end = leader.log.end.end
        for replica in members.replicas():
            group = present.get(replica.node_id)
            if group is not None and (group.commit_end < end or not group.leader):
                self._tell(group, leader, end)

    def _tell(self, group: MemoryGroup, leader: MemoryGroup, end: int) -> None:
        def news() -> None:
            if group is not leader and group.term < leader.term:
                group.follow(leader.term, leader.node_id)
                group.membership = leader.membership
            if group.commit_end < end <= group.log.end.end:
                group.commit(end)

        self.hosts[group.node_id].loop.call_soon(news)

    def _elect(self, group_id: GroupId, present: Mapping[NodeId, MemoryGroup]) -> None:
        voters = [
            group
            for group in present.values()
            if group.membership.is_voter(group.creation.local_replica_id)
        ]
        if not voters or 2 * len(voters) <= len(voters[0].membership.voters):
            return
        wish = self.wishes.get(group_id)
        best = max(voters, key=lambda g: (g.log.end, g.node_id == wish, -g.node_id))
        term = max(group.term for group in present.values()) + 1

        def lead() -> None:
            best.lead(term, establish=False)
            self.leaders[group_id] = KnownLeader(Term(term), best.node_id)
            self.stir(group_id)

        self.hosts[best.node_id].loop.call_soon(lead)

    def _copy(self, leader: MemoryGroup, group: MemoryGroup) -> None:
        if group.log.end.end < leader.log.start.end:
            assert leader.log.snapshot is not None
            through, data = leader.log.snapshot
            self.hosts[group.node_id].loop.call_soon(group.install, through, data)
            self.stir(leader.creation.group_id)
            return
        at = group.log.start.end
        own = [each for each in leader.log.entries if each[0].base >= at]
        group.log.entries[:] = own


class MemoryHost:
    """Implements replication.group.GroupHost for one process."""

    def __init__(self, fabric: MemoryFabric, node_id: NodeId, loop: SimLoop) -> None:
        self.fabric, self.node_id, self.loop = fabric, node_id, loop
        self.up = True
        self.groups: dict[GroupId, MemoryGroup] = {}
        self.created: list[tuple[GroupCreation, bool]] = []
        self.creating = self.most_creating = 0
        self.refuse_creation: Exception | None = None
        fabric.hosts[node_id] = self
        for log in fabric.logs.setdefault(node_id, {}).values():
            self._open(log)

    def _open(self, log: MemoryLog) -> MemoryGroup:
        group_id = log.creation.group_id
        group = MemoryGroup(log.creation, self.node_id)
        group.log = log
        group.commit_end = log.start.end
        group.proposed = partial(self.fabric.stir, group_id)
        self.groups[group_id] = group
        self.fabric.stir(group_id)
        return group

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def services(self) -> Sequence[Service]:
        return ()

    async def create(self, creation: GroupCreation, *, campaign: bool) -> MemoryGroup:
        self.creating += 1
        self.most_creating = max(self.most_creating, self.creating)
        try:
            await asyncio.sleep(STEP_S)
            if self.refuse_creation is not None:
                raise self.refuse_creation
        finally:
            self.creating -= 1
        assert creation.group_id not in self.groups
        self.created.append((creation, campaign))
        if campaign:
            self.fabric.wishes[creation.group_id] = self.node_id
        log = MemoryLog(creation)
        self.fabric.logs[self.node_id][creation.group_id] = log
        return self._open(log)

    async def remove(self, group_id: GroupId) -> None:
        await asyncio.sleep(STEP_S)
        self.groups.pop(group_id, None)
        self.fabric.logs[self.node_id].pop(group_id, None)

    def forced_recovery(
        self,
        group_id: GroupId,
        survivors: Sequence[ReplicaId],
        lost: Sequence[ReplicaId] = (),
    ) -> ForcedRecovery:
        raise RecoveryRefused(group_id, f"no quorum is asked for here, {survivors} {lost} or not")

    async def force_membership(
        self,
        group_id: GroupId,
        survivors: Sequence[ReplicaId],
        lost: Sequence[ReplicaId] = (),
    ) -> ForcedRecovery:
        return self.forced_recovery(group_id, survivors, lost)

    def leader_of(self, group_id: GroupId) -> KnownLeader | None:
        known = self.fabric.leaders.get(group_id)
        return known if known is not None and known.node_id in self.fabric.hosts else None

    def boot_of(self, node_id: NodeId) -> int:
        return self.fabric.boots.get(node_id, 0)

    def live_nodes(self) -> frozenset[NodeId]:
        return frozenset(self.fabric.hosts)

    def replica_of(self, group_id: GroupId) -> ReplicaId:
        return self.groups[group_id].creation.local_replica_id
