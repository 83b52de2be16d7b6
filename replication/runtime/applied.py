"""The committed side of the runtime: the state that follows from the log, and how it follows.

Runs on every replica, learners included. One task reads committed entries in order, replays their
records, and takes snapshots; it yields to the loop after each chunk.

Invariant: `state` is the fold of `replay` over the committed records below `end`, and `end` never
moves back except when the log was replaced by a copy.
Invariant: a failure to read, decode or replay ends it for good, with the reason in `failure`; a
record is never skipped. What is damaged on this disk only is waited for: the log's owner has heard
of it, and mends it from a peer.
"""

from __future__ import annotations

import asyncio
from asyncio import Future, Task
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from replication.errors import DiskFull, LogCorrupt, StateMachineFailed, invariant
from replication.group import ReplicatedGroup
from replication.log import EntryCodec
from replication.runtime.limits import RuntimeLimits
from replication.runtime.machine import StateMachine
from replication.types import LogPosition, Offset, Term

State = TypeVar("State")
StateSeen = TypeVar("StateSeen", contravariant=True)
Record = TypeVar("Record")
RecordSeen = TypeVar("RecordSeen", contravariant=True)


MEND_PAUSE_MS: Final = 100.0
"""Until damaged entries are asked for again."""


class AppliedListener(Protocol[StateSeen, RecordSeen]):
    """Hears what was applied; synchronously, in order; must not block or raise."""

    def records_applied(
        self, records: Sequence[tuple[Offset, RecordSeen]], state: StateSeen, end: Offset
    ) -> None:
        """These committed records led to `state`; everything below `end` is applied. Also called
        without records when only control entries came."""
        ...

    def state_replaced(self, state: StateSeen, end: Offset) -> None:
        """The state was restored from a snapshot: any number of records may lie between."""
        ...


class AppliedState(Generic[State, Record]):
    """Replays a group's committed log."""

    def __init__(
        self,
        group: ReplicatedGroup,
        machine: StateMachine[State, Any, Record],
        codec: EntryCodec,
        limits: RuntimeLimits,
        on_failure: Callable[[StateMachineFailed], None],
    ) -> None:
        self._group, self._machine, self._codec, self._limits = group, machine, codec, limits
        self._on_failure = on_failure
        self.state: State = machine.initial()
        self.end = Offset(0)
        self._end_term = Term(0)
        self.failure: StateMachineFailed | None = None
        self._listeners: list[AppliedListener[State, Record]] = []
        self._wake: Future[None] | None = None
        self._replaced = False
        self._replacements = 0
        self._needs_copy = False
        """The snapshot is damaged: it goes on with that of a copy of the log."""
        self._snapshot_end = Offset(0)
        self._snapshot_wanted = False
        """The one that is kept, or the log behind it, is damaged; the state is not."""
        self._bytes_since_snapshot = 0
        self._records_since_snapshot = 0
        self._task: Task[None] | None = None

    def subscribe(self, listener: AppliedListener[State, Record]) -> None:
        """It hears of what is applied from now on."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Restore the newest snapshot, then follow. Raises StateMachineFailed."""
        try:
            await self._restore()
        except Exception as error:
            raise self._fail(error) from error
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop following; the state stays as it is."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """The commit moved."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def log_replaced(self) -> None:
        """A copy took the log's place: begin again from its snapshot."""
        self._replaced = True
        self._replacements += 1
        self.wake()

    def save_snapshot_soon(self, through: Offset) -> bool:
        """See SnapshotSource."""
        is_followed = self._task is not None and not self._task.done()
        if not is_followed or self._needs_copy or self.end < through:
            return False
        self._snapshot_wanted = True
        self.wake()
        return True

    async def _run(self) -> None:
        try:
            while True:
                if self._replaced:
                    await self._restore()
                elif self._needs_copy:
                    await self._woken()
                elif self._snapshot_wanted:
                    await self._save_snapshot()
                elif self.end < self._group.commit_end:
                    await self._apply_chunk()
                    await asyncio.sleep(0)
                else:
                    await self._woken()
        except Exception as error:
            self._on_failure(self._fail(error))

    def _fail(self, error: Exception) -> StateMachineFailed:
        self.failure = StateMachineFailed(self._group.creation.group_id, self.end, error)
        return self.failure

    async def _woken(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    def _is_of_the_log(self) -> bool:
        """The log that took the place of the one before has what the state follows from: of two
        logs that have an entry of one term ending at one place each has what the other has below.

        Going back to the copy's snapshot would show whoever looks a state of the past.
        """
        return self._replaced and self._group.log.term_at(self.end) == self._end_term

    async def _restore(self) -> None:
        """Take the newest snapshot, or the initial state when the log is whole."""
        if self._is_of_the_log():
            self._needs_copy = self._replaced = False
            return
        generation = self._replacements
        try:
            loaded = await self._group.log.load_snapshot()
        except LogCorrupt:
            if generation == self._replacements:
                group = self._group
                if not group.log.needs_install and len(group.membership.replicas()) == 1:
                    raise
                # A copy of the log brings another. It is not waited for here: whether one comes may
                # depend on what the node does next (one that has to register is given none before).
                self._needs_copy, self._replaced = True, False
            return
        if generation != self._replacements:
            return  # Replaced again meanwhile: `_replaced` is set, the loop comes back.
        start = self._group.log.start.end
        if loaded is None:
            invariant(start == 0, "a trimmed log has no snapshot", start=start)
            self.state, self.end = self._machine.initial(), Offset(0)
            self._end_term = Term(0)
        else:
            through, data = loaded
            invariant(start <= through.end, "the snapshot ends below the log", start=start)
            self.state, self.end = self._machine.restore(data), through.end
            self._end_term = through.term
        self._needs_copy = self._replaced = False
        self._snapshot_end = self.end
        self._bytes_since_snapshot = self._records_since_snapshot = 0
        for listener in self._listeners:
            listener.state_replaced(self.state, self.end)

    async def _apply_chunk(self) -> None:
        group, generation = self._group, self._replacements
        begin, end = self.end, group.commit_end
        if begin < group.log.start.end:
            await self._woken()  # A copy took the log's place; it is told when that is durable.
            return
        try:
            frames = group.log.read_nowait(begin, end, self._limits.chunk_bytes)
            if frames is None:
                frames = await group.log.read(begin, end, self._limits.chunk_bytes)
        except LogCorrupt:
            await asyncio.sleep(MEND_PAUSE_MS / 1_000)
            return
        if generation != self._replacements:
            return
        entries, _ = self._codec.split(group.creation, frames)
        invariant(entries, "committed entries can not be read", begin=begin, end=end)
        invariant(entries[0].base == begin, "entries do not connect", base=entries[0].base)
        records = [
            (offset, self._machine.decode(value)) for offset, value in self._codec.values(frames)
        ]
        state = self.state
        for offset, record in records:
            state = self._machine.replay(state, record, offset)
        self.state, self.end, self._end_term = state, entries[-1].end, entries[-1].term
        self._bytes_since_snapshot += len(frames)
        self._records_since_snapshot += len(records)
        for listener in self._listeners:
            listener.records_applied(records, self.state, self.end)
        if (
            self._bytes_since_snapshot >= self._limits.snapshot_bytes
            or self._records_since_snapshot >= self._limits.snapshot_records
        ):
            await self._save_snapshot()

    async def _save_snapshot(self) -> None:
        """Keep the state, and let the log below it go. The state does not move meanwhile."""
        self._bytes_since_snapshot = self._records_since_snapshot = 0
        is_wanted, self._snapshot_wanted = self._snapshot_wanted, False
        term = self._group.log.term_at(self.end)
        is_newer = self.end > self._snapshot_end
        if term is None or self._replaced or not (is_newer or is_wanted):
            return
        position = LogPosition(term, self.end)
        try:
            await self._group.log.save_snapshot(position, self._machine.snapshot(self.state))
        except DiskFull:
            return  # The log stays long for now; the next one is due after as much again.
        self._snapshot_end = position.end
