"""A Fetch stream: what is pushed, when, and what one partition may do to the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from replication.ports import CallFailed
from replication.types import (
    DirectoryId,
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
)
from streamlog.broker import fetch
from streamlog.broker.budget import ByteBudget
from streamlog.broker.counters import BrokerCounters
from streamlog.broker.error_mapping import to_streamlog_error
from streamlog.broker.fetch import FetchService
from streamlog.broker.partition import Partition
from streamlog.broker.partitions import Partitions
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.record_set import draft_of_values
from streamlog.v1.log_service_pb2 import FetchPartition, FetchRequest, FetchResponse
from tests.fakes.memory_group import MemoryGroup

TOPIC = 7
FIRST = 1
"""Offset 0 holds the entry that begins the leader's term."""
BIG = 1 << 30
TIMEOUT_S = 60


class Leader:
    """Partitions of one topic that this node leads; implements what a session asks of Partitions."""

    def __init__(self, count: int) -> None:
        self.groups = [self._group(number) for number in range(count)]
        self.partitions = [Partition(group) for group in self.groups]

    def _group(self, number: int) -> MemoryGroup:
        voters = Membership((Replica(ReplicaId(1), NodeId(1), DirectoryId(1)),))
        creation = GroupCreation(
            GroupId(number + 1), voters, ReplicaId(1), "partition", TOPIC, number
        )
        group = MemoryGroup(creation, NodeId(1))
        group.lead(1)
        return group

    def append(self, number: int, *values: bytes) -> None:
        group = self.groups[number]
        group.propose(
            draft_of_values(
                values, topic_id=TOPIC, partition=number, timestamp_ms=1, compressor=None
            )
        )
        group.commit()

    def find_leader(self, topic_id: int, number: int) -> Partition:
        if topic_id != TOPIC:
            raise StreamlogError(Reason.UNKNOWN_TOPIC, f"no topic has the id {topic_id}")
        return self.partitions[number]

    def explain(self, partition: Partition, error: BaseException) -> StreamlogError:
        return to_streamlog_error(error)

    def not_leading(self, partition: Partition) -> StreamlogError:
        return StreamlogError(Reason.NOT_LEADER, "elsewhere")


class Client:
    """The other end of the stream; implements ServerStream."""

    peer = "test"

    def __init__(self) -> None:
        self.requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.responses: asyncio.Queue[FetchResponse] = asyncio.Queue()
        self.received_bytes = 0

    async def receive(self) -> bytes | None:
        return await self.requests.get()

    async def send(self, message: bytes) -> None:
        self.received_bytes += len(message)
        self.responses.put_nowait(FetchResponse.FromString(message))

    def ask(self, *partitions: FetchPartition, credit: int = BIG, **rest: Any) -> None:
        request = FetchRequest(partitions=partitions, credit_bytes=credit, **rest)
        self.requests.put_nowait(request.SerializeToString())

    async def next(self) -> FetchResponse:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.responses.get()


def wanted(number: int, offset: int = FIRST, **rest: Any) -> FetchPartition:
    return FetchPartition(topic_id=TOPIC, partition=number, offset=offset, session_epoch=1, **rest)


@asynccontextmanager
async def session(leader: Leader, budget: ByteBudget | None = None) -> AsyncIterator[Client]:
    client = Client()
    service = FetchService(cast("Partitions", leader), budget or ByteBudget(BIG), BrokerCounters())
    serving = asyncio.ensure_future(service.serve(client))
    try:
        yield client
    finally:
        client.requests.put_nowait(None)
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(serving, return_exceptions=True)


class SlowDisk:
    """Holds the reads of a group's log back until they are let go."""

    def __init__(self, group: MemoryGroup) -> None:
        group.log.cold = True
        self.under_way = 0
        self.most = 0
        self._gate = asyncio.Event()
        self._read = group.log.read
        group.log.read = self.read  # type: ignore[method-assign]

    async def read(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self._gate.wait()
        self.under_way -= 1
        return await self._read(start, end, max_bytes)

    def let_go(self) -> None:
        self._gate.set()


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_committed_batches_are_pushed_as_they_commit() -> None:
    """Once asked, the client asks no more: each commit brings its batch."""
    leader = Leader(1)
    leader.append(0, b"a", b"b")
    async with session(leader) as client:
        client.ask(wanted(0))
        first = await client.next()
        assert (first.next_offset, first.high_watermark) == (FIRST + 2, FIRST + 2)
        leader.append(0, b"c")
        second = await client.next()
        assert [batch.base_offset for batch in second.batches] == [FIRST + 2]


async def test_a_read_from_disk_holds_up_no_other_partition() -> None:
    """History of one partition is read beside the stream."""
    leader = Leader(2)
    leader.append(0, b"old")
    leader.append(1, b"new")
    disk = SlowDisk(leader.groups[0])
    async with session(leader) as client:
        client.ask(wanted(0), wanted(1))
        assert (await client.next()).partition == 1
        leader.append(1, b"newer")
        assert (await client.next()).next_offset == FIRST + 2
        disk.let_go()
        late = await client.next()
        assert (late.partition, late.next_offset) == (0, FIRST + 1)


async def test_few_reads_from_disk_are_under_way_at_a_time() -> None:
    """A stream of many cold partitions reads a bounded number of them, and serves all."""
    count = 3 * fetch.DISK_READS_PER_STREAM_MAX
    leader = Leader(count)
    for number in range(count):
        leader.append(number, b"old")
    disks = [SlowDisk(group) for group in leader.groups]
    async with session(leader) as client:
        client.ask(*(wanted(number) for number in range(count)))
        await settled()
        assert sum(disk.under_way for disk in disks) == fetch.DISK_READS_PER_STREAM_MAX
        for disk in disks:
            disk.let_go()
        served = {(await client.next()).partition for _ in range(count)}
        assert served == set(range(count))


async def test_reads_from_disk_share_the_budget_of_the_node() -> None:
    """Two streams that read history hold no more bytes than the node allows."""
    leader = Leader(2)
    for number in range(2):
        leader.append(number, b"old")
    disks = [SlowDisk(group) for group in leader.groups]
    budget = ByteBudget(100)
    async with session(leader, budget) as one, session(leader, budget) as two:
        one.ask(wanted(0, max_bytes=80))
        two.ask(wanted(1, max_bytes=80))
        await settled()
        assert [disk.under_way for disk in disks] == [1, 0]
        for disk in disks:
            disk.let_go()
        assert (await one.next()).partition == 0
        assert (await two.next()).partition == 1
    assert budget.used == 0


async def test_a_stream_that_ends_gives_its_budget_back() -> None:
    """A client that hangs up in the middle of a read leaves nothing behind."""
    leader = Leader(1)
    leader.append(0, b"old")
    disk = SlowDisk(leader.groups[0])
    budget = ByteBudget(100)
    async with session(leader, budget) as client:
        client.ask(wanted(0, max_bytes=80))
        await settled()
        assert (disk.under_way, budget.used) == (1, 80)
    assert budget.used == 0


@pytest.mark.parametrize("cold", [False, True])
async def test_nothing_is_sent_beyond_the_credit(*, cold: bool) -> None:
    """Credit bounds what waits at the client: one batch may overdraw it, no more."""
    leader = Leader(4)
    for number in range(4):
        leader.groups[number].log.cold = cold
        for _ in range(10):
            leader.append(number, bytes(1000))
    async with session(leader) as client:
        client.ask(*(wanted(number, max_bytes=1000) for number in range(4)), credit=3000)
        while client.received_bytes < 3000:
            await client.next()
        await asyncio.sleep(0.05 if cold else 0)
        await settled()
        assert client.received_bytes <= 3000 + 2 * 1100
        before = client.received_bytes
        client.ask(credit=BIG)
        while client.received_bytes < 40_000:
            await client.next()
        assert client.received_bytes > before


async def test_a_wait_for_min_bytes_ends_with_max_wait() -> None:
    """Little data is held back for more, but not for ever."""
    leader = Leader(1)
    leader.append(0, b"a")
    async with session(leader) as client:
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        client.ask(wanted(0), min_bytes=10_000, max_wait_ms=30)
        assert (await client.next()).next_offset == FIRST + 1
        assert now_s() - began_s >= 0.029


async def test_a_partition_in_error_leaves_the_stream_and_the_others_go_on() -> None:
    """Out of range, unknown, or led elsewhere: one error each, with the range."""
    leader = Leader(3)
    for number in range(3):
        leader.append(number, b"a")
    async with session(leader) as client:
        unknown = FetchPartition(topic_id=TOPIC + 1, partition=0, session_epoch=3)
        client.ask(wanted(0, offset=99), unknown, wanted(1), wanted(2, offset=FIRST + 1))
        answers = [await client.next() for _ in range(3)]
        errors = {answer.error.reason: answer for answer in answers if answer.HasField("error")}
        out_of_range = errors[Reason.OFFSET_OUT_OF_RANGE.name].error
        assert out_of_range.metadata["high_watermark"] == str(FIRST + 1)
        assert out_of_range.metadata["log_start_offset"] == "0"
        assert errors[Reason.UNKNOWN_TOPIC.name].session_epoch == 3
        leader.groups[2].follow(2, NodeId(2))
        moved = await client.next()
        assert (moved.partition, moved.error.reason) == (2, Reason.NOT_LEADER.name)
        leader.append(1, b"b")
        assert (await client.next()).next_offset == FIRST + 2


async def test_nothing_uncommitted_leaves() -> None:
    """What only the leader has is not shown, however long it is there."""
    leader = Leader(1)
    leader.append(0, b"a")
    leader.groups[0].propose(
        draft_of_values([b"b"], topic_id=TOPIC, partition=0, timestamp_ms=1, compressor=None)
    )
    async with session(leader) as client:
        client.ask(wanted(0))
        assert (await client.next()).next_offset == FIRST + 1
        await settled()
        assert client.responses.empty()
        leader.groups[0].commit()
        assert (await client.next()).next_offset == FIRST + 2


async def test_a_request_out_of_its_range_ends_the_call_with_the_range() -> None:
    """The client made a mistake; it is told which values are allowed."""
    leader = Leader(1)
    client = Client()
    service = FetchService(cast("Partitions", leader), ByteBudget(BIG), BrokerCounters())
    client.ask(wanted(0), max_wait_ms=60_001)
    with pytest.raises(CallFailed, match="60001, it must be 0 to 60000"):
        await service.serve(client)


async def test_a_stream_whose_writer_fails_ends_at_once() -> None:
    """It does not wait for the client, who waits for it."""
    leader = Leader(1)
    leader.append(0, b"a")

    class Broken(Client):
        async def send(self, message: bytes) -> None:
            raise RuntimeError("no")

    client = Broken()
    client.ask(wanted(0))
    service = FetchService(cast("Partitions", leader), ByteBudget(BIG), BrokerCounters())
    with pytest.raises(RuntimeError, match="no"):
        async with asyncio.timeout(TIMEOUT_S):
            await service.serve(client)
