"""A node's store on a simulated disk and in virtual time, with a model of what it promises.

`StoreLife` performs random writes on one life of a store and notes the state after each; `check`
compares what the next life finds: it must be the state after one of the writes, none before the
last that was reported complete.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jepsen_like.sim.ports.disk import DiskLatency, SimDisk
from replication.errors import DiskFull, LogCorrupt, Overloaded
from replication.types import (
    DirectoryId,
    EntryMeta,
    GroupCreation,
    GroupId,
    HardState,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    Term,
    WriteSequence,
)
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.identity import NodeIdentity
from streamlog.storage.journal.journal import JournalSettings
from streamlog.storage.segments.segment_resources import SegmentSettings
from streamlog.storage.store import NodeStore
from streamlog.storage.store_settings import StoreSettings

Result = TypeVar("Result")

IDENTITY = NodeIdentity(0xC1, NodeId(1), DirectoryId(0xD1), 0)
SMALL = StoreSettings(
    journal=JournalSettings(file_bytes=64 << 10, files_max=4),
    direct_bytes=4 << 10,
    segment_write_bytes=2 << 10,
    unwritten_bytes_max=32 << 10,
    checkpoint_bytes=48 << 10,
    checkpoint_interval_ms=200,
    journal_reserve_bytes=16 << 10,
    disk_reserve_bytes=0,
)
SMALL_SEGMENTS = SegmentSettings(segment_bytes=16 << 10, index_interval_bytes=1 << 10)
LATENCY = DiskLatency((0.0, 0.5), (0.0, 0.5), (0.2, 3.0), (0.0, 0.5))


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs at once, whatever the delays; the time is what was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = self
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        assert timeout is not None, "every task waits and nothing is scheduled"
        self._now += timeout
        return []

    def _process_events(self, events: object) -> None:
        pass

    def turn(self) -> None:
        """Run what is ready."""
        asyncio.events._set_running_loop(self)
        try:
            self._run_once()  # type: ignore[attr-defined]
        finally:
            asyncio.events._set_running_loop(None)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        abandon(loop)


def abandon(loop: VirtualLoop) -> None:
    """End a loop as a crash ends a process: what was under way does not go on."""
    for _ in range(100):
        # In the order they were made: "Task-99" comes before "Task-100".
        tasks = sorted(
            asyncio.all_tasks(loop), key=lambda task: (len(task.get_name()), task.get_name())
        )
        if not tasks:
            break
        for task in tasks:
            task.cancel()
        loop.call_soon(lambda: None)
        loop.turn()
    loop.close()


class LoopClock:
    """The running loop's time."""

    def monotonic_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1000

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + int(self.monotonic_ms())


def creation_of(group: int, *, freed_by_snapshots: bool = False) -> GroupCreation:
    voters = tuple(Replica(ReplicaId(n), NodeId(n), DirectoryId(0xD0 + n)) for n in (1, 2, 3))
    return GroupCreation(
        GroupId(group),
        Membership(voters),
        ReplicaId(1),
        "partition",
        topic_id=7,
        partition=group,
        freed_by_snapshots=freed_by_snapshots,
    )


class Recorder:
    """A LogListener that remembers."""

    def __init__(self) -> None:
        self.completed: dict[GroupId, WriteSequence] = {}
        self.calls = 0
        self.failure: Exception | None = None

    def writes_completed(self, completed: Sequence[tuple[GroupId, WriteSequence]]) -> None:
        assert self.failure is None, "nothing completes after a failure"
        self.calls += 1
        for group_id, sequence in completed:
            assert sequence > self.completed.get(group_id, 0), "completions ascend"
            self.completed[group_id] = sequence

    def storage_failed(self, error: Exception) -> None:
        assert self.failure is None, "told once"
        self.failure = error


def new_store(
    disk: SimDisk,
    settings: StoreSettings = SMALL,
    segments: SegmentSettings = SMALL_SEGMENTS,
    identity: NodeIdentity = IDENTITY,
) -> NodeStore:
    return NodeStore(
        disk,
        LoopClock(),
        identity,
        codec=BatchEntryCodec(),
        settings=settings,
        segment_settings_of=lambda _: segments,
    )


WEIGHTS = {
    "append": 55,
    "hard state": 15,
    "truncate": 15,
    "start": 5,
    "wait": 5,
    "install": 2,
    "checkpoint": 1,
    "delete": 0.5,
}
"""What a life does, and how often."""

Entry = tuple[int, int, int, bytes]
"""Base, end, term, frame."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """What a group is after a write."""

    entries: tuple[Entry, ...]
    hard_state: HardState


@dataclass(slots=True)
class ModelGroup:
    """A group and the states it went through in this life; index 0 is what it began with."""

    creation: GroupCreation
    created: bool = False
    deleted: bool = False
    delete_done: bool = False
    history: list[ModelState] = field(default_factory=list)
    completed: int = 0
    """Index in `history` of the newest write that was reported complete."""
    base_index: int = 0
    start: int = 0
    """Largest start that was asked for."""

    @classmethod
    def of(cls, number: int) -> ModelGroup:
        """A group that is not yet created; every other one is a state machine's."""
        return cls(creation_of(number, freed_by_snapshots=number % 2 == 0))

    @property
    def now(self) -> ModelState:
        return self.history[-1]


def entry(
    codec: BatchEntryCodec,
    creation: GroupCreation,
    base: int,
    term: int,
    values: Sequence[bytes],
) -> tuple[EntryMeta, bytes]:
    draft = codec.records(creation, values, 1_700_000_000_000)
    frame = draft.frame(Offset(base), Term(term))
    meta = EntryMeta(Offset(base), Offset(base + draft.span), Term(term), len(frame))
    return meta, frame


def append_values(
    log: GroupLog, write: int, term: int, values: Sequence[Sequence[bytes]]
) -> list[Entry]:
    """Append one entry for each sequence of values."""
    codec = BatchEntryCodec()
    metas, frames = [], []
    base = int(log.end.end)
    for group in values:
        meta, frame = entry(codec, log.creation, base, term, group)
        metas.append(meta)
        frames.append(frame)
        base = meta.end
    log.append(WriteSequence(write), frames, metas)
    return [(m.base, m.end, m.term, f) for m, f in zip(metas, frames, strict=True)]


def log_of(store: NodeStore, group: int = 1) -> GroupLog:
    """The log of a group that the store has."""
    log = store.logs[GroupId(group)]
    assert isinstance(log, GroupLog)
    return log


async def content(log: GroupLog) -> tuple[Entry, ...]:
    """All entries of a log, read through its public face, which gives nothing that is not sound."""
    codec = BatchEntryCodec()
    found: list[Entry] = []
    at = log.start.end
    while at < log.end.end:
        data = await log.read(at, log.end.end, 1 << 20)
        try:
            metas, frames = codec.split(log.creation, data)
        except LogCorrupt as error:
            raise AssertionError(f"a read served what is not sound: {error}") from error
        found.extend((m.base, m.end, m.term, f) for m, f in zip(metas, frames, strict=True))
        at = metas[-1].end
    return tuple(found)


def with_parts(states: Sequence[ModelState]) -> list[ModelState]:
    """The states, and those in between: of an append that did not complete any part may be
    there, up to an entry's boundary."""
    found = [states[0]]
    for before, after in itertools.pairwise(states):
        known = len(before.entries)
        if before.hard_state == after.hard_state and after.entries[:known] == before.entries:
            found.extend(
                ModelState(after.entries[:count], after.hard_state)
                for count in range(known + 1, len(after.entries))
            )
        found.append(after)
    return found


class StoreLife:
    """One life of a store under random writes."""

    def __init__(
        self,
        disk: SimDisk,
        groups: dict[int, ModelGroup],
        rng: random.Random,
        features: Sequence[str] = tuple(WEIGHTS),
    ) -> None:
        self.features = features
        self.disk = disk
        self.groups = groups
        self.rng = rng
        self.recorder = Recorder()
        self.store = new_store(disk)
        self.started = False
        self._codec = BatchEntryCodec()

    async def run(self, steps: int, *, stop: bool) -> None:
        """Start, check what was found, and write."""
        await self.store.start(self.recorder)
        await self.check()
        self.started = True
        for _ in range(steps):
            await self._step()
            if self.rng.random() < 0.3:
                await asyncio.sleep(self.rng.random() * 0.008)
        if stop:
            await self.store.stop()
            assert self.recorder.failure is None, self.recorder.failure

    def note_completions(self) -> None:
        """The moment of the crash: what was reported complete by now must survive."""
        for group in self.groups.values():
            sequence = self.recorder.completed.get(group.creation.group_id, 0)
            group.completed = max(group.completed, group.base_index + sequence)

    async def check(self) -> None:
        """What this life found is what the last one promised."""
        assert not self.store.unknown_directories, self.store.unknown_directories
        for number, group in self.groups.items():
            log = self.store.logs.get(group.creation.group_id)
            if group.delete_done:
                assert log is None, f"group {number} was deleted"
            if log is None:
                assert group.deleted or not group.created, f"group {number} is gone"
                group.created = False
                group.history = [ModelState((), HardState(Term(0), None))]
                group.completed = group.base_index = group.start = 0
                continue
            assert isinstance(log, GroupLog)
            assert not log.needs_install, f"group {number} lost its log: {self._damage(log)}"
            entries = await content(log)
            start = int(log.start.end)
            assert start <= group.start, f"start {start} was never asked for"
            possible = with_parts(group.history[group.completed :])
            matching = [
                state
                for state in possible
                if state.hard_state == log.hard_state
                and tuple(e for e in state.entries if e[0] >= start) == entries
            ]
            assert matching, (
                f"group {number}: found [{start}, {log.end.end}) {log.hard_state}, expected one "
                f"of {[(len(s.entries), s.hard_state) for s in possible]}"
            )
            assert log.end.end == (entries[-1][1] if entries else start)
            group.created = True
            group.history = [matching[0]]
            group.completed = group.base_index = 0

    def _damage(self, log: GroupLog) -> str | None:
        assert self.store.recovered is not None
        found = self.store.recovered.groups
        return next(g.damage for g in found if g.replay.creation == log.creation)

    async def _step(self) -> None:
        number = self.rng.choice(sorted(self.groups))
        group = self.groups[number]
        log = self.store.logs.get(group.creation.group_id)
        if log is None:
            if not group.deleted:
                await self.store.create(group.creation)
                group.created = True
                if not group.history:
                    group.history = [ModelState((), HardState(Term(0), None))]
            return
        assert isinstance(log, GroupLog)
        names = [name for name in WEIGHTS if name in self.features]
        chosen = self.rng.choices(names, [WEIGHTS[name] for name in names])[0]
        match chosen:
            case "append":
                self._append(group, log)
            case "hard state":
                self._hard_state(group, log)
            case "truncate":
                self._truncate(group, log)
            case "start":
                self._move_start(group, log)
            case "wait":
                await asyncio.sleep(self.rng.random() * 0.02)
            case "install":
                await self._install(group, log)
            case "checkpoint":
                await self.store.checkpoint_now()
            case _:
                group.deleted = True
                await self.store.delete(group.creation.group_id)
                group.delete_done = True

    def _next(self, group: ModelGroup, state: ModelState) -> WriteSequence:
        group.history.append(state)
        return WriteSequence(len(group.history) - 1 - group.base_index)

    def _append(self, group: ModelGroup, log: GroupLog) -> None:
        before = group.now
        term = max(before.hard_state.term, before.entries[-1][2] if before.entries else 0, 1)
        count = self.rng.randint(1, 3)
        large = self.rng.random() < 0.2
        values = []
        for _ in range(count):
            size = self.rng.randint(3000, 9000) if large else self.rng.randint(1, 400)
            values.append([self.rng.randbytes(size) for _ in range(self.rng.randint(1, 3))])
        try:
            log.check_room(sum(len(v) for vs in values for v in vs))
        except (DiskFull, Overloaded):
            return
        metas, frames = [], []
        base = int(log.end.end)
        for group_values in values:
            meta, frame = entry(self._codec, log.creation, base, term, group_values)
            metas.append(meta)
            frames.append(frame)
            base = meta.end
        added = tuple((m.base, m.end, m.term, f) for m, f in zip(metas, frames, strict=True))
        sequence = self._next(group, ModelState(before.entries + added, before.hard_state))
        log.append(sequence, frames, metas)

    def _hard_state(self, group: ModelGroup, log: GroupLog) -> None:
        before = group.now
        vote = ReplicaId(self.rng.randint(1, 3)) if self.rng.random() < 0.8 else None
        state = HardState(Term(before.hard_state.term + self.rng.randint(1, 2)), vote)
        log.save_hard_state(self._next(group, ModelState(before.entries, state)), state)

    def _truncate(self, group: ModelGroup, log: GroupLog) -> None:
        before = group.now
        # A truncation is followed by entries of a later term.
        bounds = [e[0] for e in before.entries if e[0] >= group.start]
        if not bounds:
            return
        end = self.rng.choice(bounds[-6:])
        kept = tuple(e for e in before.entries if e[1] <= end)
        log.truncate(self._next(group, ModelState(kept, before.hard_state)), Offset(end))
        state = HardState(Term(before.hard_state.term + 1), None)
        last = max([state.term, *(e[2] + 1 for e in before.entries[-1:])])
        state = HardState(Term(last), None)
        log.save_hard_state(self._next(group, ModelState(kept, state)), state)

    def _move_start(self, group: ModelGroup, log: GroupLog) -> None:
        if group.creation.freed_by_snapshots:
            return  # of such a log only what a snapshot covers goes
        done = self.recorder.completed.get(group.creation.group_id, 0)
        stable = group.history[group.base_index + done]
        bounds = [e[0] for e in stable.entries if e[0] > group.start]
        # Only what no later write of this life cut away is committed.
        common = [b for b in bounds if any(e[0] == b for e in group.now.entries)]
        if common:
            group.start = self.rng.choice(common[: max(1, len(common) // 2)])
            log.log_start_committed(Offset(group.start))

    async def _install(self, group: ModelGroup, log: GroupLog) -> None:
        """Replace the log by a longer copy of its own beginning, as a leader would send it."""
        await log.settled()
        before = group.now
        start = log.start
        kept = [e for e in before.entries if e[0] >= start.end]
        term = max(before.hard_state.term, before.entries[-1][2] if before.entries else 0, 1)
        base = int(kept[-1][1] if kept else start.end)
        for _ in range(self.rng.randint(1, 3)):
            meta, frame = entry(self._codec, log.creation, base, term, [self.rng.randbytes(900)])
            kept.append((meta.base, meta.end, meta.term, frame))
            base = meta.end
        snapshot = b"snapshot" if group.creation.freed_by_snapshots else None
        installer = await log.begin_install(
            start, log.memberships[0][1], log.log_state(start.end), snapshot
        )
        for part in kept:
            await installer.write(part[3])
        if self.rng.random() < 0.3:
            await installer.abort()
            return
        # The install has no sequence of its own: either state may be found until it returned.
        below = tuple(e for e in before.entries if e[0] < start.end)
        group.history.append(ModelState(below + tuple(kept), before.hard_state))
        index = len(group.history) - 1
        await installer.finish()
        group.base_index += 1
        group.completed = max(group.completed, index)
