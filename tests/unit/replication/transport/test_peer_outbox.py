"""What waits for a stream: gathered, bounded, and never blocked by data on the control stream."""

from __future__ import annotations

import asyncio

from replication.raft.messages import AppendEntries, TimeoutNow
from replication.transport import wire
from replication.transport.messages import Announcement, Heartbeat
from replication.transport.outbox import AppendOutbox, ControlOutbox
from replication.types import GroupId, LogPosition, NodeId, Offset, ReplicaId, Term
from replication.v1 import peer_service_pb2 as pb

A, B = ReplicaId(1), ReplicaId(2)
APPEND = AppendEntries(A, B, Term(1), LogPosition(Term(0), Offset(0)), Offset(0), Offset(0))


def _sizes(data: bytes | None) -> list[int]:
    assert data is not None
    return [len(a.entries) for a in wire.parse(pb.AppendRequest(), data).appends]


async def test_appends_of_many_groups_leave_together_up_to_a_size() -> None:
    """Three small ones share a message; the one that would exceed it goes next, alone."""
    outbox = AppendOutbox(queue_bytes_max=1_000, message_bytes_max=100)
    for size in (30, 30, 30, 150, 20):
        outbox.put(GroupId(size), APPEND, b"x" * size)
    assert [_sizes(outbox.take()) for _ in range(3)] == [[30, 30, 30], [150], [20]]
    assert outbox.take() is None
    assert outbox.queued_bytes == 0


async def test_a_full_queue_lets_groups_wait_for_room() -> None:
    """At the bound `full` is true; the oldest waiter resumes first, as long as there is room."""
    outbox = AppendOutbox(queue_bytes_max=100, message_bytes_max=60)
    resumed: list[int] = []
    outbox.put(GroupId(1), APPEND, b"x" * 60)
    assert not outbox.full
    outbox.put(GroupId(2), APPEND, b"x" * 60)
    assert outbox.full

    def refill() -> None:
        resumed.append(1)
        outbox.put(GroupId(3), APPEND, b"x" * 60)

    outbox.when_room(refill)
    outbox.when_room(lambda: resumed.append(2))
    outbox.take()
    assert resumed == [1]
    outbox.take()
    assert resumed == [1, 2]


async def test_control_is_bounded_and_a_newer_heartbeat_replaces() -> None:
    """Above the bound messages are dropped and counted; heartbeats and announcements coalesce."""
    outbox = ControlOutbox(messages_max=2)
    for version in (1, 2):
        outbox.put_heartbeat(Heartbeat(1, version, 0, None))
    for context in range(5):
        outbox.put(GroupId(context), TimeoutNow(A, B, Term(1)))
    for term in (3, 4):
        outbox.announce(Announcement(GroupId(1), Term(term), NodeId(2)))
    assert outbox.dropped == 3
    data = outbox.take()
    assert data is not None
    request = wire.parse(pb.ControlRequest(), data)
    assert request.heartbeat.set_version == 2
    assert len(request.timeout_nows) == 2
    assert [a.term for a in request.announcements] == [4]
    assert outbox.take() is None


async def test_a_waiting_sender_wakes_for_what_is_put() -> None:
    """`wait` returns after a put, also one that came before the wait began was taken."""
    outbox = ControlOutbox(messages_max=10)
    waiting = asyncio.ensure_future(outbox.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.put(GroupId(1), TimeoutNow(A, B, Term(1)))
    await waiting
    outbox.clear()
    assert outbox.take() is None
