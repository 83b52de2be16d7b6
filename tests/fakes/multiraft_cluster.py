"""A cluster of MultiRaft hosts in virtual time: simulated loops and network, logs in memory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.fabric import Fabric, NetworkConditions
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.ports.network import SimNetwork
from jepsen_like.sim.ports.scheduler import Scheduler
from replication.log import EntryDraft
from replication.multiraft import MultiRaft, NodeIdentity, ReplicationSettings
from replication.multiraft.group import Group
from replication.raft.effects import Role
from replication.raft.events import Event
from replication.types import (
    DirectoryId,
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    Term,
)
from streamlog.storage.entry_codec import BatchEntryCodec
from tests.fakes.memory_store import MemoryDisk, MemoryStore

T = TypeVar("T")
CLUSTER_ID = 0xC1
PORT = 7000


class Recorder:
    """A GroupObserver that writes everything down."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def role_changed(self, role: Role, term: Term, leader: NodeId | None) -> None:
        self.heard.append(("role", role, term, leader))

    def leadership_established(self, term: Term) -> None:
        self.heard.append(("established", term))

    def committed(self, end: Offset) -> None:
        self.heard.append(("committed", end))

    def log_replaced(self) -> None:
        self.heard.append(("replaced",))

    def membership_changed(self, membership: Membership, committed: bool) -> None:
        self.heard.append(("membership", membership, committed))


class Node:
    """One process of a node; a restart makes a new one on the same disk."""

    def __init__(self, cluster: Cluster, node_id: int, disk: MemoryDisk, boot: int) -> None:
        self.node_id = NodeId(node_id)
        self.disk = disk
        self.loop: SimLoop = cluster.scheduler.new_loop(f"node{node_id}.{boot}", offset=10.0 * boot)
        self.network = SimNetwork(cluster.fabric, host_of(node_id), self.loop)
        self.codec = BatchEntryCodec()
        self.store = MemoryStore(disk, self.codec, cluster.fsync_ms)
        self.failures: list[Exception] = []
        self.events: list[Event] = []
        self.count_events = False
        self.cluster = cluster
        self.host = MultiRaft(
            NodeIdentity(self.node_id, directory_of(node_id), cluster.cluster_id(node_id), boot),
            self.store,
            self.codec,
            self.network,
            SimClock(self.loop),
            cluster.scheduler.random(f"node{node_id}.{boot}"),
            self,
            cluster.settings,
            on_failed=self.failures.append,
            stepped=self._stepped,
        )

    def _stepped(self, event: Event) -> None:
        if self.count_events:
            self.events.append(event)

    def registered(self, node_id: NodeId) -> bool:
        del node_id
        return True

    def address_of(self, node_id: NodeId) -> str | None:
        return f"{host_of(node_id)}:{PORT}"

    def nodes(self) -> Sequence[NodeId]:
        return [NodeId(n) for n in self.cluster.node_ids if n != self.node_id]

    async def start(self) -> None:
        await self.network.listen(f"{host_of(self.node_id)}:{PORT}", self.host.services())
        await self.host.start()

    def group(self, group_id: int) -> Group:
        return self.host.groups[GroupId(group_id)]


class Cluster:
    """Nodes 1 to `size`, and what a test does to them."""

    def __init__(
        self,
        size: int,
        *,
        seed: int = 1,
        settings: ReplicationSettings | None = None,
        fsync_ms: float = 1.0,
        conditions: NetworkConditions | None = None,
    ) -> None:
        self.scheduler = Scheduler(seed)
        self.fabric = Fabric(self.scheduler, conditions or NetworkConditions())
        self.settings = settings or ReplicationSettings()
        self.fsync_ms = fsync_ms
        self.node_ids = list(range(1, size + 1))
        self.nodes: dict[int, Node] = {}
        self.handler_errors: list[BaseException] = []
        self.foreign: dict[int, int] = {}
        self.fabric.on_handler_error = lambda _host, _method, error: self.handler_errors.append(
            error
        )
        self._loops: list[SimLoop] = []
        self._boots = 0

    def cluster_id(self, node_id: int) -> int:
        return self.foreign.get(node_id, CLUSTER_ID)

    def boot(self, node_id: int, disk: MemoryDisk | None = None) -> Node:
        """Start a process, on a new disk or on the given one."""
        self._boots += 1
        node = Node(self, node_id, disk if disk is not None else MemoryDisk(), self._boots)
        self.nodes[node_id] = node
        self._loops.append(node.loop)
        self.run(node_id, node.start())
        return node

    def boot_all(self) -> None:
        for node_id in self.node_ids:
            self.boot(node_id)

    def kill(self, node_id: int) -> MemoryDisk:
        """SIGKILL; returns its disk."""
        node = self.nodes.pop(node_id)
        self.fabric.process_gone(node.network, power_cut=False)
        self.scheduler.drop(node.loop)
        return node.disk

    def run(self, node_id: int, work: Coroutine[object, object, T], seconds: float = 30.0) -> T:
        """Run a coroutine on a node's loop to its end."""
        return self.scheduler.complete(self.nodes[node_id].loop.create_task(work), seconds)

    def sleep(self, seconds: float) -> None:
        self.scheduler.run(self.scheduler.now + seconds)

    def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> float:
        """Run until a condition holds; returns how long it took."""
        begin = self.scheduler.now
        assert self.scheduler.run(begin + seconds, condition), "it did not come true in time"
        return self.scheduler.now - begin

    def close(self) -> None:
        """End the run: hosts stop cleanly, and nothing may have failed on the way."""
        for node_id in list(self.nodes):
            self.run(node_id, self.nodes[node_id].host.stop())
        failures = [f for node in self.nodes.values() for f in node.failures]
        unhandled = [f for loop in self._loops for f in loop.failures]
        loops, self._loops = self._loops, []
        self.nodes.clear()
        self.scheduler.dispose(loops)
        assert not failures, failures
        assert not unhandled, unhandled
        assert not self.handler_errors, self.handler_errors

    # -- groups --------------------------------------------------------------------------------

    def create(self, group_id: int, voters: Sequence[int], on: Sequence[int] | None = None) -> None:
        """Create a group's replicas; replica i+1 is on voters[i]."""
        members = Membership(tuple(replica(i + 1, n) for i, n in enumerate(voters)))
        for index, node_id in enumerate(voters):
            if on is None or node_id in on:
                self.create_replica(group_id, node_id, members, index + 1)

    def create_replica(
        self, group_id: int, node_id: int, members: Membership, replica_id: int
    ) -> None:
        self.run(node_id, self._create(group_id, node_id, members, replica_id))

    async def _create(
        self, group_id: int, node_id: int, members: Membership, replica_id: int
    ) -> None:
        creation = GroupCreation(
            GroupId(group_id), members, ReplicaId(replica_id), "partition", group_id + 1, 0
        )
        await self.nodes[node_id].host.create(creation, campaign=False)

    def leader(self, group_id: int) -> int | None:
        """Node whose replica leads with a committed entry of its term, newest term first."""
        led = [
            (node.group(group_id).term, node_id)
            for node_id, node in self.nodes.items()
            if GroupId(group_id) in node.host.groups and node.group(group_id).established
        ]
        return max(led)[1] if led else None

    def await_leader(self, group_id: int, seconds: float = 10.0) -> int:
        self.until(lambda: self.leader(group_id) is not None, seconds)
        found = self.leader(group_id)
        assert found is not None
        return found

    def draft(self, node_id: int, group_id: int, *values: bytes) -> EntryDraft:
        node = self.nodes[node_id]
        return node.codec.records(node.group(group_id).creation, values, 0)

    async def _write(self, node_id: int, group_id: int, values: tuple[bytes, ...]) -> Offset:
        proposal = (
            self.nodes[node_id].group(group_id).propose(self.draft(node_id, group_id, *values))
        )
        await proposal.committed
        return proposal.end

    def write(self, node_id: int, group_id: int, *values: bytes) -> Offset:
        """Propose and wait for the commit."""
        return self.run(node_id, self._write(node_id, group_id, values))

    def values(self, node_id: int, group_id: int) -> list[bytes]:
        """Committed values on a node."""
        node = self.nodes[node_id]
        log = node.store.log(GroupId(group_id))
        entries = [f for m, f in log.now.entries if m.end <= node.group(group_id).commit_end]
        return [value for _, value in node.codec.values(b"".join(entries))]


def host_of(node_id: int) -> str:
    return f"node{node_id}"


def directory_of(node_id: int) -> DirectoryId:
    return DirectoryId(0xD000 + node_id)


def replica(replica_id: int, node_id: int) -> Replica:
    return Replica(ReplicaId(replica_id), NodeId(node_id), directory_of(node_id))
