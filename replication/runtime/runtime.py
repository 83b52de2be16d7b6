"""Runs one replicated state machine on one Raft group: append, commit, reply, snapshot, trim.

    execute ─▶ queue ─▶ decide on the speculative state ─▶ one entry ─▶ commit ─▶ replay ─▶ reply

On every replica `AppliedState` replays the committed log. On the leader this module decides
commands against the speculative state: the committed one plus its own appended records. All
commands of one loop iteration become one entry.

Invariants:
1. Speculation exists only in a term in which this node leads, an entry of the term is committed,
   and everything below it was replayed; when the node stops leading, it is dropped, and built anew
   from the committed state.
2. A reply is given only when all that the decision saw is committed and replayed here; one that
   rests on no record of its own also waits for a read barrier (Raft thesis section 6.4), so that
   a deposed leader can not answer from the past. Refusals are replies too.
3. A command whose entry was not appended fails with a definite error; one whose entry was appended
   and is not known to be committed, with an indefinite one.

Source of the shape: Kafka's CoordinatorRuntime. Rejected: replying when the entry is committed but
not yet replayed (a caller could not read its own write from `state`).
"""

from __future__ import annotations

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from replication.errors import (
    CommitTimedOut,
    LeadershipLost,
    NotLeader,
    Overloaded,
    ReplicationError,
    StateMachineFailed,
    invariant,
)
from replication.group import Proposal, ReplicatedGroup
from replication.log import EntryCodec
from replication.ports import Clock
from replication.raft.effects import Role
from replication.runtime.applied import AppliedListener, AppliedState
from replication.runtime.limits import ENTRY_RECORDS_MAX, RuntimeLimits
from replication.runtime.machine import StateMachine
from replication.types import Membership, NodeId, Offset, Term

State = TypeVar("State")
Command = TypeVar("Command")
Record = TypeVar("Record")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Pending(Generic[Command]):
    """A command, and the promise of its response."""

    command: Command
    answer: Future[object]
    appended: bool = False


@dataclass(slots=True)
class _Outcome(Generic[Command]):
    """What a command led to, told when it is certain."""

    pending: _Pending[Command]
    response: object
    refusal: Exception | None

    def tell(self) -> None:
        if self.pending.answer.done():
            return
        if self.refusal is not None:
            self.pending.answer.set_exception(self.refusal)
        else:
            self.pending.answer.set_result(self.response)


@dataclass(slots=True)
class _Batch(Generic[Command]):
    """An appended entry and those who wait for it."""

    proposal: Proposal
    outcomes: list[_Outcome[Command]]
    committed: bool = False


@dataclass(slots=True)
class _Speculation(Generic[State]):
    """The state as it will be when all that this leader appended is committed."""

    term: Term
    state: State
    end: Offset
    """All below it was seen by decisions on this state."""


class StateMachineRuntime(Generic[State, Command, Record]):
    """One state machine on one group. All calls are made on the node's event loop."""

    def __init__(
        self,
        group: ReplicatedGroup,
        machine: StateMachine[State, Command, Record],
        codec: EntryCodec,
        clock: Clock,
        *,
        limits: RuntimeLimits | None = None,
        on_failure: Callable[[StateMachineFailed], None] | None = None,
    ) -> None:
        """`on_failure` hears, once, that the machine can not go on here."""
        self._group, self._machine, self._codec, self._clock = group, machine, codec, clock
        self._limits = limits or RuntimeLimits()
        self._tell_failure = on_failure
        self._applied = AppliedState(group, machine, codec, self._limits, self._failed)
        self._applied.subscribe(self)
        self._queue: deque[_Pending[Command]] = deque()
        self._parked: deque[_Batch[Command]] = deque()
        self._waiting: list[tuple[Offset, Future[None]]] = []
        self._speculation: _Speculation[State] | None = None
        self._established: tuple[Term, Offset] | None = None
        self._drain_scheduled = False
        self._stopped = False
        self._confirmations: dict[Task[None], None] = {}
        self._replacements = 0

    # What others see.

    @property
    def group(self) -> ReplicatedGroup:
        """The group it runs on."""
        return self._group

    @property
    def state(self) -> State:
        """The committed state as this replica has replayed it."""
        return self._applied.state

    @property
    def applied(self) -> Offset:
        """Everything below this offset is in `state`."""
        return self._applied.end

    @property
    def failure(self) -> StateMachineFailed | None:
        """Why the machine stopped here, if it did."""
        return self._applied.failure

    def subscribe(self, listener: AppliedListener[State, Record]) -> None:
        """It hears of what is applied from now on."""
        self._applied.subscribe(listener)

    async def start(self) -> None:
        """Restore the newest snapshot and follow the log. Raises StateMachineFailed."""
        self._group.add_observer(self)
        self._group.use_snapshots_of(self._applied)
        await self._applied.start()
        self._schedule_drain()

    async def stop(self) -> None:
        """Stop following; what waits fails."""
        self._stopped = True
        self._speculation = None
        await self._applied.stop()
        tasks = list(self._confirmations)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._refuse_queue(self._not_leader())
        while self._parked:
            self._give_up(self._parked.popleft(), self._lost())
        self._wake_waiting()

    async def execute(self, command: Command, timeout_ms: float) -> object:
        """Decide a command as the leader; returns the machine's response when it is certain.

        Raises the machine's refusal, or: NotLeader, Overloaded, DiskFull, StateMachineFailed
        (definite), LeadershipLost, CommitTimedOut, StorageFailed (indefinite).
        """
        self._check_running()
        if self._group.role is not Role.LEADER:
            raise self._not_leader()
        if len(self._queue) >= self._limits.queued_commands:
            raise Overloaded(
                f"queue of commands of group {self._group.creation.group_id}",
                len(self._queue),
                self._limits.queued_commands,
            )
        answer: Future[object] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_retrieve)
        pending = _Pending(command, answer)
        self._queue.append(pending)
        self._schedule_drain()
        await asyncio.wait([answer], timeout=timeout_ms / 1_000)
        if answer.done():
            return answer.result()
        answer.cancel()  # Not decided yet: it will be skipped.
        if pending.appended:
            raise CommitTimedOut(self._group.creation.group_id, timeout_ms)
        raise self._not_leader()

    async def read(
        self, function: Callable[[State], Answer], timeout_ms: float, *, linearizable: bool = True
    ) -> Answer:
        """Evaluate a function on the committed state.

        Linearizable: the state holds all that was committed before the call. Else any replica
        answers from what it has replayed. Raises NotLeader (also when a majority did not confirm
        in time), Overloaded, StateMachineFailed.
        """
        self._check_running()
        if linearizable:
            if len(self._waiting) >= self._limits.queued_commands:
                raise Overloaded("queue of reads", len(self._waiting), self._limits.queued_commands)
            try:
                async with asyncio.timeout(timeout_ms / 1_000):
                    end = await self._group.read_barrier()
                    await self._applied_to(end)
            except TimeoutError:
                raise self._not_leader() from None
            self._check_running()
        return function(self._applied.state)

    # GroupObserver.

    def role_changed(self, role: Role, term: Term, leader: NodeId | None) -> None:
        del leader
        speculation = self._speculation
        if speculation is not None and (role is not Role.LEADER or speculation.term != term):
            self._speculation = None
        self._schedule_drain()

    def leadership_established(self, term: Term) -> None:
        del term
        self._schedule_drain()

    def committed(self, end: Offset) -> None:
        del end
        self._applied.wake()

    def log_replaced(self) -> None:
        self._replacements += 1
        self._speculation = None
        self._applied.log_replaced()

    def membership_changed(self, membership: Membership, committed: bool) -> None:
        pass

    # AppliedListener.

    def records_applied(
        self, records: Sequence[tuple[Offset, Record]], state: State, end: Offset
    ) -> None:
        del records, state, end
        self._tell_parked()
        self._wake_waiting()
        if self._queue:
            self._schedule_drain()

    def state_replaced(self, state: State, end: Offset) -> None:
        del state, end
        self._speculation = None
        self._tell_parked()
        self._wake_waiting()

    # The leader's side.

    def _schedule_drain(self) -> None:
        if not self._drain_scheduled:
            self._drain_scheduled = True
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        """Decide what is queued, as far as bounds allow."""
        self._drain_scheduled = False
        if not self._queue:
            return
        if self._stopped or self._group.role is not Role.LEADER:
            self._refuse_queue(self._not_leader())
            return
        if self._applied.failure is not None:
            self._refuse_queue(self._applied.failure)
            return
        speculation = self._speculate()
        if speculation is None or len(self._parked) >= self._limits.parked_batches:
            return  # Comes back when the leader is established, or something is applied.
        self._decide_batch(speculation)
        if self._queue:
            self._schedule_drain()

    def _speculate(self) -> _Speculation[State] | None:
        """The speculative state of this term; None until invariant 1 allows one."""
        term = self._group.term
        if self._speculation is not None and self._speculation.term == term:
            return self._speculation
        if not self._group.established:
            return None
        if self._established is None or self._established[0] != term:
            self._established = (term, self._group.commit_end)
        # Above that, data entries of this term come from here alone, and there are none yet.
        if self._applied.end < self._established[1]:
            return None
        self._speculation = _Speculation(term, self._applied.state, self._applied.end)
        return self._speculation

    def _decide_batch(self, speculation: _Speculation[State]) -> None:
        """Turn the head of the queue into one entry."""
        base = self._group.log.end.end
        state, values, size_bytes = speculation.state, list[bytes](), 0
        outcomes: list[_Outcome[Command]] = []
        while self._queue and len(outcomes) < self._limits.batch_commands:
            if size_bytes >= self._limits.batch_bytes:
                break
            pending = self._queue.popleft()
            if pending.answer.done():
                continue
            try:
                decision = self._machine.decide(state, pending.command)
                encoded = [self._machine.encode(record) for record in decision.records]
                if values and len(values) + len(encoded) > ENTRY_RECORDS_MAX:
                    self._queue.appendleft(pending)
                    break
                after = state
                for index, record in enumerate(decision.records, start=base + len(values)):
                    after = self._machine.replay(after, record, Offset(index))
            except Exception as refusal:
                outcomes.append(_Outcome(pending, None, refusal))
                continue
            state = after
            values += encoded
            size_bytes += sum(len(value) for value in encoded)
            pending.appended = bool(encoded)
            outcomes.append(_Outcome(pending, decision.response, None))
        if values:
            self._append(speculation, base, state, values, outcomes)
        elif outcomes:
            self._confirm(speculation, outcomes)

    def _append(
        self,
        speculation: _Speculation[State],
        base: Offset,
        state: State,
        values: list[bytes],
        outcomes: list[_Outcome[Command]],
    ) -> None:
        try:
            draft = self._codec.records(self._group.creation, values, self._clock.wall_ms())
            proposal = self._group.propose(draft)
        except Exception as error:
            for outcome in outcomes:
                outcome.pending.appended = False
                _Outcome(outcome.pending, None, error).tell()
            return
        invariant(proposal.base == base, "an entry went elsewhere", base=proposal.base)
        speculation.state, speculation.end = state, proposal.end
        batch = _Batch(proposal, outcomes)
        self._parked.append(batch)
        proposal.committed.add_done_callback(lambda done: self._proposal_ended(batch, done))

    def _proposal_ended(self, batch: _Batch[Command], done: Future[None]) -> None:
        """The entry committed, or never will for all this replica knows."""
        if batch not in self._parked:
            return
        error = LeadershipLost(self._group.creation.group_id, batch.proposal.term)
        failure = error if done.cancelled() else done.exception()
        if failure is None:
            batch.committed = True
            self._applied.wake()
            self._tell_parked()
            return
        self._parked.remove(batch)
        if self._speculation is not None and self._speculation.term == batch.proposal.term:
            self._speculation = None
        self._give_up(batch, failure if isinstance(failure, Exception) else error)
        self._schedule_drain()

    def _give_up(self, batch: _Batch[Command], error: Exception) -> None:
        """What had no record of its own certainly had no effect; the rest may have had."""
        for outcome in batch.outcomes:
            told = error if outcome.pending.appended else self._not_leader()
            _Outcome(outcome.pending, None, told).tell()

    def _tell_parked(self) -> None:
        while self._parked:
            batch = self._parked[0]
            if not batch.committed or self._applied.end < batch.proposal.end:
                return
            self._parked.popleft()
            for outcome in batch.outcomes:
                outcome.tell()
            if self._queue:
                self._schedule_drain()

    def _confirm(self, speculation: _Speculation[State], outcomes: list[_Outcome[Command]]) -> None:
        """Answer commands that appended nothing, once what they saw is certain."""
        task = asyncio.get_running_loop().create_task(
            self._confirmed(speculation.term, speculation.end, outcomes)
        )
        self._confirmations[task] = None
        task.add_done_callback(lambda done: self._confirmation_ended(outcomes, done))

    def _confirmation_ended(self, outcomes: list[_Outcome[Command]], task: Task[None]) -> None:
        del self._confirmations[task]
        if task.cancelled():  # before it told anybody: the runtime stops
            for outcome in outcomes:
                _Outcome(outcome.pending, None, self._not_leader()).tell()

    async def _confirmed(self, term: Term, seen: Offset, outcomes: list[_Outcome[Command]]) -> None:
        failure: Exception | None = None
        replacements = self._replacements
        try:
            async with asyncio.timeout(self._limits.barrier_timeout_ms / 1_000):
                await self._group.read_barrier()
                await self._applied_to(seen)
            self._check_running()
            # Only in the same term is what is below `seen` what the decision saw.
            if self._group.term != term or self._replacements != replacements:
                failure = self._not_leader()
        except TimeoutError:
            failure = self._not_leader()
        except ReplicationError as error:
            failure = error
        for outcome in outcomes:
            if failure is None:
                outcome.tell()
            else:
                _Outcome(outcome.pending, None, failure).tell()

    # Waiting and failing.

    async def _applied_to(self, end: Offset) -> None:
        """Returns when everything below `end` is replayed, or the runtime ended."""
        if self._applied.end >= end or self._ended():
            return
        waiter: Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((end, waiter))
        await waiter

    def _wake_waiting(self) -> None:
        still: list[tuple[Offset, Future[None]]] = []
        for end, waiter in self._waiting:
            if waiter.done():
                continue
            if self._applied.end >= end or self._ended():
                waiter.set_result(None)
            else:
                still.append((end, waiter))
        self._waiting = still

    def _ended(self) -> bool:
        return self._stopped or self._applied.failure is not None

    def _failed(self, failure: StateMachineFailed) -> None:
        """The machine can not go on here."""
        self._speculation = None
        self._refuse_queue(failure)
        while self._parked:
            self._give_up(self._parked.popleft(), self._lost())
        self._wake_waiting()
        if self._tell_failure is not None:
            self._tell_failure(failure)

    def _refuse_queue(self, error: Exception) -> None:
        while self._queue:
            _Outcome(self._queue.popleft(), None, error).tell()

    def _check_running(self) -> None:
        if self._applied.failure is not None:
            raise self._applied.failure
        if self._stopped:
            raise self._not_leader()

    def _not_leader(self) -> NotLeader:
        return NotLeader(self._group.creation.group_id, self._group.term, self._group.leader)

    def _lost(self) -> LeadershipLost:
        return LeadershipLost(self._group.creation.group_id, self._group.term)


def _retrieve(answer: Future[object]) -> None:
    """A caller that was cancelled does not fetch the error; that is no defect."""
    if not answer.cancelled():
        answer.exception()
