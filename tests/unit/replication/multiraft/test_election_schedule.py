"""One timer for the elections of all groups: deadlines, postponement, pace."""

from __future__ import annotations

from collections.abc import Callable

from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.scheduler import Scheduler
from replication.multiraft.elections import ElectionSchedule
from replication.multiraft.held_messages import HeldMessages
from replication.multiraft.outstanding_writes import OutstandingWrites
from replication.raft.messages import AppendEntriesResponse, Message, VoteResponse
from replication.types import GroupId, ReplicaId, Term, WriteSequence


def _run(script: Callable[[ElectionSchedule], None], pace: float = 1e6) -> list[tuple[int, int]]:
    """(millisecond, group) of each election that began within ten seconds."""
    scheduler = Scheduler(1)
    loop = scheduler.new_loop("node")
    begun: list[tuple[int, int]] = []
    clock = SimClock(loop)
    schedule = ElectionSchedule(
        clock, pace, lambda group_id: begun.append((round(clock.monotonic_ms()), group_id))
    )

    async def main() -> None:
        script(schedule)

    scheduler.complete(loop.create_task(main()), 1.0)
    scheduler.run(10.0)
    scheduler.dispose([loop])
    return begun


def test_elections_begin_at_their_deadlines_in_order() -> None:
    """Also when a later one was set first, and when one is moved forward or back."""

    def script(schedule: ElectionSchedule) -> None:
        schedule.set(GroupId(1), 300)
        schedule.set(GroupId(2), 100)
        schedule.set(GroupId(3), 500)
        schedule.set(GroupId(3), 200)
        schedule.set(GroupId(4), 50)
        schedule.set(GroupId(4), 400)

    assert _run(script) == [(100, 2), (200, 3), (300, 1), (400, 4)]


def test_postponed_and_cancelled_elections_do_not_begin_early() -> None:
    """A postponement only moves a deadline that is set, and only later."""

    def script(schedule: ElectionSchedule) -> None:
        schedule.set(GroupId(1), 100)
        schedule.postpone(GroupId(1), 700)
        schedule.postpone(GroupId(1), 600)
        schedule.set(GroupId(2), 100)
        schedule.cancel(GroupId(2))
        schedule.postpone(GroupId(3), 100)
        assert len(schedule) == 1

    assert _run(script) == [(700, 1)]


def test_many_elections_are_paced() -> None:
    """200 at once, at 1,000 a second: ten every 10 ms."""

    def script(schedule: ElectionSchedule) -> None:
        for group_id in range(200):
            schedule.set(GroupId(group_id), 100)

    begun = _run(script, pace=1_000)
    assert len(begun) == 200
    assert 280 <= begun[-1][0] <= 300
    assert begun[9][0] == 100
    assert begun[10][0] == 110


def test_nothing_begins_after_the_stop() -> None:
    """And nothing can be set any more."""

    def script(schedule: ElectionSchedule) -> None:
        schedule.set(GroupId(1), 100)
        schedule.stop()
        schedule.set(GroupId(2), 100)

    assert _run(script) == []


def test_held_messages_leave_when_durable_and_only_in_their_term() -> None:
    """An append reply of an earlier term is dropped: its bytes may have been cut meanwhile. A
    vote of an earlier term is a fact and goes out."""
    held = HeldMessages()
    a, b = ReplicaId(1), ReplicaId(2)
    old = AppendEntriesResponse(a, b, Term(4), True)
    vote = VoteResponse(a, b, Term(4), True, False)
    new, later = (AppendEntriesResponse(a, b, Term(5), True) for _ in range(2))
    for write, message in ((1, old), (2, vote), (2, new), (4, later)):
        held.hold(WriteSequence(write), message)
    sent: list[Message] = []
    held.release(WriteSequence(1), Term(4), sent.append)
    assert sent == [old]
    held.hold(WriteSequence(3), old)
    held.release(WriteSequence(3), Term(5), sent.append)
    assert sent == [old, vote, new]
    assert len(held) == 1


def test_the_oldest_wait_for_the_disk_is_known() -> None:
    """Progress counts as a new wait; a pause of the process does not count."""
    writes = OutstandingWrites()
    writes.began(GroupId(1), 10.0)
    writes.began(GroupId(2), 20.0)
    writes.began(GroupId(1), 30.0)
    assert writes.oldest_ms() == 10.0
    writes.completed(GroupId(1), 40.0, all_durable=False)
    assert writes.oldest_ms() == 20.0
    writes.shift(5.0)
    assert writes.oldest_ms() == 25.0
    writes.completed(GroupId(2), 50.0, all_durable=True)
    writes.forget(GroupId(1))
    assert writes.oldest_ms() is None
    assert len(writes) == 0
