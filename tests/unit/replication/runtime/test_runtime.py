"""The runtime of state machines: batching, speculation, leadership loss, replay, snapshots.

The machine is a counter per key: `+a` adds one and answers the new value, `?a` answers the value
without a record, `!a` refuses with the value, `boom` is a record that does not replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from jepsen_like.sim.ports.scheduler import Scheduler
from replication.errors import (
    CommitTimedOut,
    DiskFull,
    LeadershipLost,
    LogCorrupt,
    NotLeader,
    Overloaded,
    ReplicationError,
    StateMachineFailed,
)
from replication.runtime import applied
from replication.runtime.limits import RuntimeLimits
from replication.runtime.machine import Decision
from replication.runtime.runtime import StateMachineRuntime
from replication.types import (
    DirectoryId,
    GroupCreation,
    GroupId,
    LogPosition,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    Term,
)
from tests.fakes.memory_group import MemoryGroup
from tests.fakes.memory_log import MemoryCodec

Counts = Mapping[str, int]
LONG_MS = 60_000.0
OTHER = Replica(ReplicaId(2), NodeId(2), DirectoryId(22))
REPLICA = Replica(ReplicaId(1), NodeId(1), DirectoryId(1))
CREATION = GroupCreation(GroupId(0), Membership((REPLICA,)), ReplicaId(1), "test")


class RefusedByMachine(Exception):
    """The machine's own error."""


class Counter:
    """Implements StateMachine[Counts, str, str]."""

    def initial(self) -> Counts:
        return {}

    def decide(self, state: Counts, command: str) -> Decision[str]:
        kind, key = command[0], command[1:]
        if kind == "!":
            raise RefusedByMachine(state.get(key, 0))
        if kind == "?":
            return Decision((), state.get(key, 0))
        return Decision((key,) if key else (), state.get(key, 0) + 1)

    def replay(self, state: Counts, record: str, offset: Offset) -> Counts:
        if record == "boom":
            raise ValueError("boom")
        return {**state, record: state.get(record, 0) + 1, "last": offset}

    def encode(self, record: str) -> bytes:
        return record.encode()

    def decode(self, data: bytes) -> str:
        return data.decode()

    def snapshot(self, state: Counts) -> bytes:
        return ",".join(f"{key}={state[key]}" for key in sorted(state)).encode()

    def restore(self, data: bytes) -> Counts:
        pairs = (part.split("=") for part in data.decode().split(",") if part)
        return {key: int(value) for key, value in pairs}


class StillClock:
    def monotonic_ms(self) -> float:
        return 0.0

    def wall_ms(self) -> int:
        return 0


class Ends:
    """Implements AppliedListener: up to where the state was applied whenever it changed."""

    def __init__(self) -> None:
        self.seen: list[Offset] = []

    def records_applied(
        self, records: Sequence[tuple[Offset, str]], state: Counts, end: Offset
    ) -> None:
        self.seen.append(end)

    def state_replaced(self, state: Counts, end: Offset) -> None:
        self.seen.append(end)


class Bench:
    """A runtime over a group that the test drives."""

    def __init__(
        self, limits: RuntimeLimits | None = None, group: MemoryGroup | None = None
    ) -> None:
        self.group = group or MemoryGroup(CREATION, NodeId(1))
        self.failures: list[StateMachineFailed] = []
        self.runtime: StateMachineRuntime[Counts, str, str] = StateMachineRuntime(
            self.group,
            Counter(),
            MemoryCodec(),
            StillClock(),
            limits=limits,
            on_failure=self.failures.append,
        )

    def send(self, *commands: str) -> list[asyncio.Task[object]]:
        loop = asyncio.get_running_loop()
        return [loop.create_task(self.runtime.execute(c, LONG_MS)) for c in commands]


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(30):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let things run until the condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to hold")


async def outcomes(tasks: Sequence[asyncio.Task[object]]) -> list[object]:
    """Results; for refusals the type of the error."""
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(each) if isinstance(each, Exception) else each for each in found]


async def started(limits: RuntimeLimits | None = None) -> Bench:
    bench = Bench(limits)
    await bench.runtime.start()
    bench.group.lead(1)
    await settle()
    return bench


async def test_commands_of_one_iteration_become_one_entry() -> None:
    """Later commands see what earlier ones appended, and all are answered by one commit."""
    bench = await started()
    tasks = bench.send("+a", "+a", "+b", "?a")
    await settle()
    assert [m.end - m.base for m, _ in bench.group.log.entries] == [1, 3]
    assert not any(task.done() for task in tasks)
    assert bench.runtime.state == {}
    bench.group.commit()
    assert await outcomes(tasks) == [1, 2, 1, 2]
    assert bench.runtime.state == {"a": 2, "b": 1, "last": 3}
    assert bench.runtime.applied == 4
    await bench.runtime.stop()


async def test_a_later_entry_sees_the_uncommitted_one_before() -> None:
    """Decisions go on while the commit is awaited; a reply waits for what it saw."""
    bench = await started()
    first = bench.send("+a")
    await settle()
    second = bench.send("+a", "!a")
    await settle()
    bench.group.commit(2)
    assert await outcomes(first) == [1]
    assert not second[0].done()
    assert not second[1].done()
    bench.group.commit()
    assert await outcomes(second) == [2, RefusedByMachine]
    await bench.runtime.stop()


async def test_refusals_wait_for_what_they_were_judged_on() -> None:
    """A refusal that rests on an uncommitted record is not told before that commits."""
    bench = await started()
    first = bench.send("+a")
    await settle()
    refused = bench.send("!a")
    await settle()
    assert not refused[0].done()
    bench.group.commit()
    assert await outcomes([*first, *refused]) == [1, RefusedByMachine]
    await bench.runtime.stop()


async def test_an_answer_without_records_needs_a_majority() -> None:
    """A leader that may be deposed does not answer from its state; deposed, it says so."""
    bench = await started()
    bench.group.confirm_reads = False
    tasks = bench.send("?a")
    await settle()
    assert not tasks[0].done()
    bench.group.confirm()
    assert await outcomes(tasks) == [0]
    tasks = bench.send("?a", "!a")
    await settle()
    bench.group.follow(2)
    assert await outcomes(tasks) == [NotLeader, NotLeader]
    await bench.runtime.stop()


async def test_leadership_lost_in_the_middle() -> None:
    """Appended commands fail indefinitely, others definitely; the speculative state is gone; the
    next leader's log decides."""
    bench = await started()
    committed = bench.send("+a")
    await settle()
    bench.group.commit()
    lost = bench.send("+a", "?a")
    await settle()
    bench.group.follow(2, NodeId(2))
    queued = bench.send("+a")
    assert await outcomes([*committed, *lost, *queued]) == [
        1,
        LeadershipLost,
        NotLeader,
        NotLeader,
    ]
    # The new leader overwrote the lost entry with another.
    bench.group.receive(2, [b"z"], keep=2)
    bench.group.commit()
    await settle()
    assert bench.runtime.state == {"a": 1, "z": 1, "last": 2}
    # Leading again, decisions rest on the committed state, not on the lost speculation.
    bench.group.lead(3)
    await settle()
    again = bench.send("+a", "+z")
    await settle()
    bench.group.commit()
    assert await outcomes(again) == [2, 2]
    await bench.runtime.stop()


async def test_a_lost_entry_that_survives_is_replayed() -> None:
    """The indefinite failure was right: the next leader committed the entry after all."""
    bench = await started()
    lost = bench.send("+a")
    await settle()
    bench.group.follow(2, NodeId(2))
    assert await outcomes(lost) == [LeadershipLost]
    bench.group.commit()
    await settle()
    assert bench.runtime.state["a"] == 1
    await bench.runtime.stop()


async def test_nothing_is_decided_before_the_terms_first_commit_is_replayed() -> None:
    """A new leader first replays what earlier leaders left uncommitted in its log."""
    bench = Bench()
    await bench.runtime.start()
    bench.group.receive(1, [b"a", b"a"])
    bench.group.lead(2, establish=False)
    bench.group.log.cold = True
    tasks = bench.send("+a")
    await settle()
    assert not tasks[0].done()
    assert len(bench.group.log.entries) == 2
    bench.group.commit()
    await until(lambda: len(bench.group.log.entries) == 3)
    bench.group.commit()
    assert await outcomes(tasks) == [3]
    await bench.runtime.stop()


async def test_followers_replay_and_refuse_commands() -> None:
    """A follower or learner follows the log in chunks; commands and fresh reads go elsewhere."""
    bench = Bench(RuntimeLimits(chunk_bytes=64))
    await bench.runtime.start()
    bench.group.receive(1, *([b"a"] for _ in range(50)))
    bench.group.commit(49)
    await settle()
    await until(lambda: bench.runtime.applied == 49)
    assert bench.runtime.state["a"] == 49
    with pytest.raises(NotLeader):
        await bench.runtime.execute("+a", LONG_MS)
    with pytest.raises(NotLeader):
        await bench.runtime.read(lambda s: s["a"], LONG_MS)
    assert await bench.runtime.read(lambda s: s["a"], LONG_MS, linearizable=False) == 49
    await bench.runtime.stop()


async def test_refused_append_changes_nothing() -> None:
    """A full disk fails the commands of the entry definitely, and decisions go on without it."""
    bench = await started()
    bench.group.refuse = DiskFull(1, 0)
    assert await outcomes(bench.send("+a", "+a")) == [DiskFull, DiskFull]
    bench.group.refuse = None
    tasks = bench.send("+a")
    await settle()
    bench.group.commit()
    assert await outcomes(tasks) == [1]
    await bench.runtime.stop()


async def test_a_record_that_does_not_replay_is_never_appended() -> None:
    """The leader finds out before the log does."""
    bench = await started()
    tasks = bench.send("+boom", "+a")
    await settle()
    bench.group.commit()
    assert await outcomes(tasks) == [ValueError, 1]
    assert not bench.failures
    await bench.runtime.stop()


async def test_a_committed_record_that_does_not_replay_stops_the_replica() -> None:
    """It is not skipped: the state stays below it, calls fail, the owner hears why."""
    bench = Bench()
    await bench.runtime.start()
    bench.group.receive(1, [b"a"], [b"boom"], [b"a"])
    bench.group.lead(2)
    tasks = bench.send("+a")
    assert await outcomes(tasks) == [StateMachineFailed]
    assert len(bench.failures) == 1
    assert "boom" in str(bench.failures[0])
    assert bench.runtime.applied <= 1
    with pytest.raises(StateMachineFailed):
        await bench.runtime.read(lambda s: s, LONG_MS, linearizable=False)
    await bench.runtime.stop()


def test_timeouts_tell_whether_the_command_may_have_been_done() -> None:
    """Appended: indefinite. Still queued: definite, and it is never appended later. In virtual time:
    what has 1 ms must not be given up before it was looked at."""

    async def work() -> None:
        bench = await started()
        with pytest.raises(CommitTimedOut) as caught:
            await bench.runtime.execute("+a", 1)
        assert caught.value.indefinite
        bench.group.lead(2, establish=False)
        with pytest.raises(NotLeader):
            await bench.runtime.execute("+b", 1)
        bench.group.commit()
        await settle()
        assert "b" not in bench.runtime.state
        assert len(bench.group.log.entries) == 3
        await bench.runtime.stop()

    scheduler = Scheduler(1)
    loop = scheduler.new_loop("node")
    scheduler.complete(loop.create_task(work()), 60)
    scheduler.dispose([loop])


async def test_a_cancelled_caller_disturbs_nobody() -> None:
    """Its command is done; the others of the entry are answered."""
    bench = await started()
    tasks = bench.send("+a", "+a")
    await settle()
    tasks[0].cancel()
    await settle()
    bench.group.commit()
    assert await tasks[1] == 2
    await bench.runtime.stop()


async def test_the_queue_is_bounded() -> None:
    """Beyond the limit commands are refused, and the others are kept."""
    bench = Bench(RuntimeLimits(queued_commands=2))
    await bench.runtime.start()
    bench.group.lead(1, establish=False)
    tasks = bench.send("+a", "+a", "+a")
    await settle()
    assert await outcomes(tasks[2:]) == [Overloaded]
    bench.group.commit()
    await settle()
    bench.group.commit()
    assert await outcomes(tasks[:2]) == [1, 2]
    await bench.runtime.stop()


async def test_a_batch_is_bounded() -> None:
    """Many commands become several entries of bounded size."""
    bench = Bench(RuntimeLimits(batch_commands=10))
    await bench.runtime.start()
    bench.group.lead(1)
    await settle()
    tasks = bench.send(*(["+a"] * 25))
    await settle()
    assert [m.end - m.base for m, _ in bench.group.log.entries] == [1, 10, 10, 5]
    bench.group.commit()
    assert await outcomes(tasks) == list(range(1, 26))
    await bench.runtime.stop()


async def test_commands_wait_while_enough_entries_do() -> None:
    """While the allowed number of entries is on its way, commands gather for one entry; also when
    the state follows before the proposal is told that it is committed."""
    bench = await started(RuntimeLimits(parked_batches=1))
    first = bench.send("+a")
    await settle()
    gathered = [*bench.send("+a"), *bench.send("+b", "+a")]
    await settle()
    assert [m.end - m.base for m, _ in bench.group.log.entries] == [1, 1]
    told_later, bench.group.proposals = bench.group.proposals, []
    bench.group.commit()
    await settle()
    assert bench.runtime.applied == 2
    assert not first[0].done()
    for proposal in told_later:
        proposal.committed.set_result(None)
    await settle()
    assert [m.end - m.base for m, _ in bench.group.log.entries] == [1, 1, 3]
    bench.group.commit()
    assert await outcomes([*first, *gathered]) == [1, 2, 1, 3]
    await bench.runtime.stop()


async def test_snapshots_trim_the_log_and_restart_from_there() -> None:
    """After enough records the log is replaced by a snapshot; a restart gives the same state."""
    bench = await started(RuntimeLimits(snapshot_records=5))
    for _ in range(7):
        tasks = bench.send("+a")
        await settle()
        bench.group.commit()
        await asyncio.gather(*tasks)
    await settle()
    assert bench.group.log.start.end == 6
    await bench.runtime.stop()
    group = bench.group
    group.observers.clear()
    group.follow(1)
    again = Bench(group=group)
    await again.runtime.start()
    await settle()
    assert again.runtime.state == bench.runtime.state
    assert again.runtime.applied == 8
    await again.runtime.stop()


@pytest.mark.parametrize("more", [0, 1])
async def test_a_damaged_snapshot_is_saved_anew(more: int) -> None:
    """At once, also where nothing was applied since; once for each time that it is asked for."""
    bench = await started(RuntimeLimits(snapshot_records=5))
    assert not bench.group.ask_for_snapshot(Offset(bench.runtime.applied + 1))
    for _ in range(5 + more):
        tasks = bench.send("+a")
        await settle()
        bench.group.commit()
        await asyncio.gather(*tasks)
    await settle()
    before = bench.group.log.snapshot
    assert before is not None
    bench.group.log.snapshot = None
    assert bench.group.ask_for_snapshot(before[0].end)
    await settle()
    after = bench.group.log.snapshot
    assert after is not None
    assert after[0].end == before[0].end + more == bench.runtime.applied
    bench.group.log.snapshot = None
    await settle()
    assert bench.group.log.snapshot is None
    await bench.runtime.stop()
    assert not bench.group.ask_for_snapshot(Offset(0))


async def test_a_full_disk_takes_the_snapshot_when_it_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = await started(RuntimeLimits(snapshot_records=5))

    async def is_full(through: LogPosition, data: bytes) -> None:
        raise DiskFull(len(data), 0)

    with monkeypatch.context() as full:
        full.setattr(bench.group.log, "save_snapshot", is_full)
        assert bench.group.ask_for_snapshot(Offset(0))
        await settle()
    assert bench.group.log.snapshot is None
    assert bench.group.ask_for_snapshot(Offset(0))
    await settle()
    assert bench.group.log.snapshot is not None
    await bench.runtime.stop()


async def test_a_copied_log_replaces_the_state() -> None:
    """After an install the state is the snapshot's, and replay goes on behind it."""
    bench = Bench()
    await bench.runtime.start()
    bench.group.receive(1, [b"a"])
    bench.group.commit()
    await settle()
    bench.group.install(LogPosition(Term(4), Offset(100)), b"x=7")
    bench.group.receive(4, [b"x"])
    bench.group.commit()
    await settle()
    assert bench.runtime.state == {"x": 8, "last": 100}
    assert bench.runtime.applied == 101
    await bench.runtime.stop()


async def test_a_copy_is_waited_for_that_is_not_told_of_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A damaged entry is asked for again while a copy takes the log's place: what the log holds is
    the copy's already, and is told of once that is durable."""
    monkeypatch.setattr(applied, "MEND_PAUSE_MS", 1)
    bench = Bench()
    await bench.runtime.start()
    log = bench.group.log
    sound, reads = log._read, 0

    def read(start: Offset, end: Offset, max_bytes: int) -> bytes:
        nonlocal reads
        reads += 1
        if log.start.end == 0:
            raise LogCorrupt(GroupId(0), "a file", "CRC32C")
        return sound(start, end, max_bytes)

    monkeypatch.setattr(log, "_read", read)
    bench.group.receive(1, [b"a"], [b"b"], [b"c"])
    bench.group.commit()
    await until(lambda: reads > 2)
    through = LogPosition(Term(1), Offset(2))
    log.entries[:] = log.entries[2:]
    log.start, log.snapshot = through, (through, b"x=7")
    for _ in range(20):
        await asyncio.sleep(0.001)
        bench.runtime.committed(log.end.end)
    assert (bench.runtime.applied, bench.failures) == (0, [])
    for observer in bench.group.observers:
        observer.log_replaced()
    await until(lambda: bench.runtime.applied == 3)
    assert bench.runtime.state == {"x": 7, "c": 1, "last": 2}
    assert not bench.failures
    await bench.runtime.stop()


@pytest.mark.parametrize("same", [True, False])
async def test_a_copy_that_has_what_was_applied_leaves_the_state(same: bool) -> None:
    """Its snapshot is of the past: nobody sees that again. Of a log that has another entry there
    (a forced recovery may lead to one) the snapshot counts."""
    bench = Bench()
    await bench.runtime.start()
    bench.group.receive(1, [b"a"], [b"b"], [b"c"])
    bench.group.commit()
    await settle()
    before, log = bench.runtime.state, bench.group.log
    assert bench.runtime.applied == 3
    kept = list(log.entries)
    ends = Ends()
    bench.runtime.subscribe(ends)
    log.entries[:] = kept[2:] if same else []
    through = LogPosition(Term(1), Offset(2))
    log.start, log.snapshot = through, (through, b"x=7")
    if not same:
        bench.group.receive(2, [b"x"])
    for observer in bench.group.observers:
        observer.log_replaced()
    bench.group.receive(2, [b"x"])
    bench.group.commit()
    await settle()
    assert bench.runtime.applied == 4
    if same:
        assert ends.seen == [4]
        assert bench.runtime.state == {**before, "x": 1, "last": 3}
    else:
        assert ends.seen[0] == 2
        assert bench.runtime.state == {"x": 9, "last": 3}
    await bench.runtime.stop()


async def test_a_trimmed_log_without_snapshot_is_refused() -> None:
    """Missing metadata stops the replica; it does not begin from nothing."""
    bench = Bench()
    bench.group.log.start = LogPosition(Term(1), Offset(5))
    with pytest.raises(StateMachineFailed, match="no snapshot"):
        await bench.runtime.start()


async def test_linearizable_reads_wait_for_the_barrier_and_its_replay() -> None:
    """The value holds everything committed before the read."""
    bench = await started()
    tasks = bench.send("+a")
    await settle()
    bench.group.log.cold = True
    bench.group.commit()
    assert await bench.runtime.read(lambda s: s["a"], LONG_MS) == 1
    await asyncio.gather(*tasks)
    bench.group.confirm_reads = False
    with pytest.raises(NotLeader):
        await bench.runtime.read(lambda s: s["a"], 1)
    await bench.runtime.stop()


async def test_stop_fails_what_waits() -> None:
    """Appended commands end indefinitely, later ones are refused."""
    bench = await started()
    tasks = bench.send("+a", "?a")
    await settle()
    await bench.runtime.stop()
    assert await outcomes(tasks) == [LeadershipLost, NotLeader]
    with pytest.raises(ReplicationError):
        await bench.runtime.execute("+a", LONG_MS)


@pytest.mark.parametrize("asked", [False, True])
async def test_stop_fails_what_waits_for_a_majority(*, asked: bool) -> None:
    """Commands that append nothing wait for a majority to confirm what they saw; whether they asked
    for that already or not, nobody waits for a runtime that is gone."""
    bench = await started()
    bench.group.confirm_reads = False
    tasks = bench.send("?a", "!a")
    confirming = bench.runtime._confirmations
    while not confirming:
        await asyncio.sleep(0)
    if asked:
        await settle()
    await bench.runtime.stop()
    assert not confirming
    async with asyncio.timeout(1):
        assert await outcomes(tasks) == [NotLeader, NotLeader]


@pytest.mark.parametrize("cold", [False, True])
async def test_a_damaged_entry_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, *, cold: bool
) -> None:
    """The log's owner mends it from a peer; the machine does not give up meanwhile, and goes on
    from where it was."""
    monkeypatch.setattr(applied, "MEND_PAUSE_MS", 1)
    bench = await started()
    log = bench.group.log
    log.cold = cold
    sound = log._read
    reads = 0

    def damaged(start: Offset, end: Offset, max_bytes: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads <= 3:
            raise LogCorrupt(GroupId(0), "a file", "CRC32C")
        return sound(start, end, max_bytes)

    monkeypatch.setattr(log, "_read", damaged)
    tasks = bench.send("+a", "+b")
    await settle()
    bench.group.commit()
    assert await outcomes(tasks) == [1, 1]
    assert reads > 3
    assert not bench.failures
    assert bench.runtime.state == {"a": 1, "b": 1, "last": 2}
    await bench.runtime.stop()


def damage_snapshot(monkeypatch: pytest.MonkeyPatch, bench: Bench, *, needs_install: bool) -> None:
    """The snapshot of a log that was trimmed behind it can not be read; the log awaits a copy, or
    does not."""

    async def load() -> None:
        await asyncio.sleep(0)
        raise LogCorrupt(GroupId(0), "the snapshot", "CRC32C")

    log = bench.group.log
    log.needs_install = needs_install
    if not needs_install:
        log.start = LogPosition(Term(1), Offset(5))
    monkeypatch.setattr(log, "load_snapshot", load)


async def test_the_copy_of_a_damaged_snapshot_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may come only when the node has done more. Until then the state is the initial one; then
    it is the copy's, and replay goes on behind it."""
    bench = Bench()
    damage_snapshot(monkeypatch, bench, needs_install=True)
    starting = asyncio.create_task(bench.runtime.start())
    await settle()
    assert starting.done()
    await starting
    assert (bench.runtime.state, bench.runtime.applied) == ({}, 0)
    monkeypatch.undo()
    bench.group.log.needs_install = False
    bench.group.install(LogPosition(Term(4), Offset(100)), b"x=7")
    await settle()
    assert (bench.runtime.state, bench.runtime.applied) == ({"x": 7}, 100)
    bench.group.receive(4, [b"x"])
    bench.group.commit()
    await settle()
    assert (bench.runtime.state, bench.runtime.applied) == ({"x": 8, "last": 100}, 101)
    assert not bench.failures
    await bench.runtime.stop()


async def test_a_copy_that_comes_while_the_damaged_snapshot_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was read of the old log says nothing of the new one, though it does not await a copy any
    more: the copy's snapshot is taken."""
    bench = Bench()
    read = asyncio.get_running_loop().create_future()

    async def load() -> None:
        await read

    bench.group.log.needs_install = True
    monkeypatch.setattr(bench.group.log, "load_snapshot", load)
    starting = asyncio.create_task(bench.runtime.start())
    await settle()
    monkeypatch.undo()
    bench.group.log.needs_install = False
    bench.group.install(LogPosition(Term(4), Offset(100)), b"x=7")
    read.set_exception(LogCorrupt(GroupId(0), "the snapshot", "CRC32C"))
    await starting
    await settle()
    assert (bench.runtime.state, bench.runtime.applied) == ({"x": 7}, 100)
    assert not bench.failures
    await bench.runtime.stop()


async def test_a_copy_whose_snapshot_is_damaged_in_turn_is_replaced_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The log awaits a copy again. The machine does not read the same snapshot on and on meanwhile,
    and keeps the state it had."""
    bench = await started()
    bench.group.receive(1, [b"a"])
    bench.group.commit()
    await settle()
    before = bench.runtime.state, bench.runtime.applied
    assert before == ({"a": 1, "last": 1}, 2)
    loads = 0

    async def load() -> None:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)
        raise LogCorrupt(GroupId(0), "the snapshot", "CRC32C")

    log = bench.group.log
    log.needs_install = True
    with monkeypatch.context() as damaged:
        damaged.setattr(log, "load_snapshot", load)
        bench.group.install(LogPosition(Term(4), Offset(2)), b"?")
        await settle()
    assert (loads, bench.failures) == (1, [])
    assert (bench.runtime.state, bench.runtime.applied) == before
    log.needs_install = False
    bench.group.install(LogPosition(Term(4), Offset(100)), b"x=7")
    await settle()
    assert (bench.runtime.state, bench.runtime.applied) == ({"x": 7}, 100)
    await bench.runtime.stop()


@pytest.mark.parametrize("running", [False, True])
async def test_a_damaged_snapshot_is_waited_for_where_others_have_another(
    monkeypatch: pytest.MonkeyPatch, *, running: bool
) -> None:
    """The log begins above what is gone, and awaits no copy yet: nothing of it is replayed before one
    is there."""
    creation = replace(CREATION, membership=Membership((REPLICA, OTHER)))
    bench = Bench(group=MemoryGroup(creation, NodeId(1)))
    if running:
        await bench.runtime.start()
    with monkeypatch.context() as damaged:
        damage_snapshot(damaged, bench, needs_install=False)
        if running:
            bench.group.install(LogPosition(Term(4), Offset(50)), b"?")
        else:
            await bench.runtime.start()
        bench.group.receive(4, [b"x"])
        bench.group.commit()
        await settle()
        assert (bench.runtime.state, bench.runtime.applied, bench.failures) == ({}, 0, [])
        assert not bench.group.ask_for_snapshot(Offset(0))
    bench.group.install(LogPosition(Term(4), Offset(100)), b"x=7")
    await settle()
    assert (bench.runtime.state, bench.runtime.applied) == ({"x": 7}, 100)
    assert bench.group.ask_for_snapshot(Offset(100))
    await bench.runtime.stop()


async def test_a_damaged_snapshot_ends_the_machine_of_the_only_replica(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing brings another: it can not start, and a copy with such a snapshot ends it. It does
    not begin from nothing."""
    bench = Bench()
    damage_snapshot(monkeypatch, bench, needs_install=False)
    with pytest.raises(StateMachineFailed, match="CRC32C"):
        await bench.runtime.start()
    running = await started()
    damage_snapshot(monkeypatch, running, needs_install=False)
    running.group.install(LogPosition(Term(4), Offset(100)), b"?")
    await settle()
    assert [type(failure.cause) for failure in running.failures] == [LogCorrupt]
    await running.runtime.stop()
