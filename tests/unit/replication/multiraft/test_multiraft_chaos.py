"""Random kills, restarts, cuts, stalls and transfers: nothing acknowledged is lost or altered."""

from __future__ import annotations

import asyncio
import random

import pytest

from replication.errors import ReplicationError
from replication.types import GroupId, NodeId
from tests.fakes.memory_store import MemoryDisk
from tests.fakes.multiraft_cluster import Cluster

GROUPS = (3, 4, 5)


class Life:
    """One random life of a cluster of three.

    Invariant: `acknowledged` holds, by group, the values whose commit was reported.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.cluster = Cluster(3, seed=seed, fsync_ms=0.5)
        self.acknowledged: dict[int, list[bytes]] = {g: [] for g in GROUPS}
        self.down: dict[int, MemoryDisk] = {}
        self.counter = 0
        self.cluster.boot_all()
        for group_id in GROUPS:
            self.cluster.create(group_id, [1, 2, 3])

    async def _propose(self, node_id: int, group_id: int) -> None:
        cluster = self.cluster
        self.counter += 1
        value = b"%d;" % self.counter
        try:
            draft = cluster.draft(node_id, group_id, value * self.random.randint(1, 500))
            proposal = cluster.nodes[node_id].group(group_id).propose(draft)
            async with asyncio.timeout(2.0):
                await asyncio.shield(proposal.committed)
        except (ReplicationError, TimeoutError):
            return
        self.acknowledged[group_id].append(value)

    def work(self) -> None:
        """A few proposals wherever a leader is thought to be."""
        for node_id, node in self.cluster.nodes.items():
            for group_id in GROUPS:
                if GroupId(group_id) in node.host.groups:
                    node.loop.create_task(self._propose(node_id, group_id))

    def disturb(self) -> None:
        """Something bad, or the end of it."""
        cluster, rng = self.cluster, self.random
        what = rng.choice(["kill", "boot", "cut", "one-way", "heal", "stall", "transfer", "rest"])
        if what == "kill" and len(cluster.nodes) > 1:
            node_id = rng.choice(sorted(cluster.nodes))
            self.down[node_id] = cluster.kill(node_id)
        elif what == "boot" and self.down:
            node_id = rng.choice(sorted(self.down))
            cluster.boot(node_id, self.down.pop(node_id))
        elif what in {"cut", "one-way"}:
            a, b = rng.sample([1, 2, 3], 2)
            cluster.fabric.block(f"node{a}", f"node{b}")
            if what == "cut":
                cluster.fabric.block(f"node{b}", f"node{a}")
        elif what == "heal":
            cluster.fabric.unblock_all()
        elif what == "stall":
            node = cluster.nodes[rng.choice(sorted(cluster.nodes))]
            node.store.stalled = not node.store.stalled
            if not node.store.stalled:
                node.loop.create_task(node.store.resume())
        elif what == "transfer":
            for node_id, node in cluster.nodes.items():
                group = node.group(rng.choice(GROUPS))
                if group.established:
                    node.loop.create_task(self._transfer(node_id, int(group.group_id)))

    async def _transfer(self, node_id: int, group_id: int) -> None:
        group = self.cluster.nodes[node_id].group(group_id)
        try:
            await group.transfer_leadership(NodeId(self.random.choice([1, 2, 3])))
        except ReplicationError:
            return

    def settle(self) -> None:
        """Everything is healed; a value goes through every group, and all replicas agree."""
        cluster = self.cluster
        cluster.fabric.unblock_all()
        for node_id in sorted(self.down):
            cluster.boot(node_id, self.down.pop(node_id))
        for node_id, node in cluster.nodes.items():
            node.store.stalled = False
            cluster.run(node_id, node.store.resume())
        for group_id in GROUPS:
            cluster.sleep(2.0)
            leader = cluster.await_leader(group_id, 10.0)
            cluster.write(leader, group_id, b"last")
            logs = [n.store.log(GroupId(group_id)) for n in cluster.nodes.values()]
            ends = [n.group(group_id) for n in cluster.nodes.values()]
            cluster.until(
                lambda ends=ends: len({g.commit_end for g in ends}) == 1,  # type: ignore[misc]
                10.0,
            )
            assert len({b"".join(f for _, f in log.now.entries) for log in logs}) == 1
            held = [v for v in cluster.values(1, group_id) if v != b"last"]
            places = [self._place(held, value) for value in self.acknowledged[group_id]]
            assert None not in places

    @staticmethod
    def _place(held: list[bytes], value: bytes) -> int | None:
        found = [i for i, h in enumerate(held) if h == value * (len(h) // len(value))]
        return found[0] if len(found) == 1 else None


@pytest.mark.parametrize("seed", range(8))
def test_nothing_acknowledged_is_lost(seed: int) -> None:
    """Eight lives of 40 disturbances each; every acknowledged value is in every replica once."""
    life = Life(seed)
    for _ in range(40):
        life.disturb()
        for _ in range(5):
            life.work()
            life.cluster.sleep(life.random.uniform(0.01, 0.2))
    life.settle()
    assert sum(map(len, life.acknowledged.values())) > 50
    life.cluster.close()
