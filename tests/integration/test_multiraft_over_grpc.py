"""Three hosts in one process over real gRPC: what the simulated network can not show."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from replication.errors import ReplicationError
from replication.multiraft import MultiRaft, NodeIdentity, ReplicationSettings
from replication.ports import Listener
from replication.types import (
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    ReplicaId,
)
from streamlog.cli.node.local_cluster import free_ports
from streamlog.host.clock import RealClock
from streamlog.host.network import GrpcNetwork
from streamlog.storage.entry_codec import BatchEntryCodec
from tests.fakes.memory_store import MemoryDisk, MemoryStore
from tests.fakes.multiraft_cluster import directory_of, replica

GROUP = GroupId(7)
NODES = (1, 2, 3)
WAIT_S = 60.0


class Process:
    """One node; its address is known to the others once it listens."""

    def __init__(
        self, node_id: int, boot_id: int, disk: MemoryDisk, places: dict[int, str]
    ) -> None:
        self.node_id = NodeId(node_id)
        self.disk = disk
        self.places = places
        self.codec = BatchEntryCodec()
        self.store = MemoryStore(disk, self.codec)
        self.failures: list[Exception] = []
        self.listener: Listener | None = None
        network = GrpcNetwork()
        self.network = network
        self.host = MultiRaft(
            NodeIdentity(self.node_id, directory_of(node_id), 0xC1, boot_id),
            self.store,
            self.codec,
            network,
            RealClock(),
            random.Random(boot_id),
            self,
            ReplicationSettings(),
            on_failed=self.failures.append,
        )

    def registered(self, node_id: NodeId) -> bool:
        del node_id
        return True

    def address_of(self, node_id: NodeId) -> str | None:
        return self.places.get(node_id)

    def nodes(self) -> Sequence[NodeId]:
        return [NodeId(n) for n in NODES if n != self.node_id]

    async def start(self) -> None:
        wanted = self.places.get(self.node_id, "127.0.0.1:0")
        self.listener = await self.network.listen(wanted, self.host.services())
        self.places[self.node_id] = self.listener.address
        await self.host.start()

    async def stop(self) -> None:
        await self.host.stop()
        assert self.listener is not None
        await self.listener.close(0.0)
        assert not self.failures

    async def write(self, value: bytes) -> None:
        group = self.host.groups[GROUP]
        proposal = group.propose(self.codec.records(group.creation, [value], 0))
        await asyncio.shield(proposal.committed)

    async def read(self) -> None:
        await self.host.groups[GROUP].read_barrier()

    async def trim(self) -> None:
        """All that there is."""
        group = self.host.groups[GROUP]
        await group.move_log_start(group.commit_end)

    def values(self) -> list[bytes]:
        end = self.host.groups[GROUP].commit_end
        entries = self.store.log(GROUP).now.entries
        return [v for _, v in self.codec.values(b"".join(f for m, f in entries if m.end <= end))]


async def _leader(processes: Sequence[Process]) -> Process:
    async with asyncio.timeout(WAIT_S):
        while True:
            for process in processes:
                group = process.host.groups.get(GROUP)
                if group is not None and group.established:
                    return process
            await asyncio.sleep(0.02)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.02)


async def _led(processes: Sequence[Process], work: Callable[[Process], Awaitable[None]]) -> Process:
    """Have the leader do it, again when another was elected meanwhile; the one that did it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            leader = await _leader(processes)
            try:
                await work(leader)
            except ReplicationError:
                await asyncio.sleep(0.02)
                continue
            return leader


async def test_hosts_replicate_fail_over_and_copy_over_grpc() -> None:
    """Entries reach all three; the leader's process stops and another takes over; it comes back
    blank of what was trimmed, gets a copy over the bulk stream, and holds what the others do."""
    # Not any ports: those that are given to whoever asks are not free again after a stop.
    ports = dict(zip(NODES, free_ports(len(NODES)), strict=True))
    places = {node_id: f"127.0.0.1:{port}" for node_id, port in ports.items()}
    processes = [Process(n, n, MemoryDisk(), places) for n in NODES]
    for process in processes:
        await process.start()
    members = Membership(tuple(replica(n, n) for n in NODES))
    for process in processes:
        creation = GroupCreation(GROUP, members, ReplicaId(process.node_id), "partition", 9, 0)
        await process.host.create(creation, campaign=process.node_id == 1)
    values = [b"%d" % i * 20_000 for i in range(30)]
    await asyncio.gather(
        *(_led(processes, lambda leader, value=value: leader.write(value)) for value in values)  # type: ignore[misc]
    )
    # What was written twice, for want of an answer from a leader that was one no more, is there
    # twice, everywhere.
    await _until(
        lambda: (
            processes[0].values() == processes[1].values() == processes[2].values()
            and set(processes[0].values()) == set(values)
        )
    )
    old = await _led(processes, Process.read)

    await old.stop()
    rest = [p for p in processes if p is not old]
    await _led(rest, lambda leader: leader.write(b"after"))
    new = await _led(rest, Process.trim)
    group = new.host.groups[GROUP]
    old.disk.logs[GROUP].needs_install = True
    back = Process(old.node_id, 9, old.disk, places)
    await back.start()
    copy = back.host.groups[GROUP]
    await _until(
        lambda: (
            copy.commit_end == group.commit_end
            and copy.log.start == group.log.start
            and not copy.core.needs_install
        )
    )
    for process in (*rest, back):
        await process.stop()
