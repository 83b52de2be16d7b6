"""A node's store in one life on a recorded disk, and what it promises as it goes.

The store is put together as the node does it (`streamlog.server.node`): lock, identity, store.
What is asked of it comes from a workload; what it reports is noted as a promise at that moment.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from jepsen_like.crash_states.promise import (
    Entry,
    GroupHistory,
    GroupPromise,
    Held,
)
from jepsen_like.crash_states.record import Record
from jepsen_like.crash_states.virtual_time import LoopClock
from jepsen_like.sim.ports.disk import SimDisk
from replication.log import LogInstaller
from replication.raft.effects import LeaderNoOp, LogStartMoved
from replication.types import (
    DirectoryId,
    EntryMeta,
    GroupCreation,
    GroupId,
    HardState,
    LogPosition,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    Term,
    WriteSequence,
)
from streamlog.model.batch import HAS_PRODUCER, BatchDraft, draft_of_payload, payload_crc32c
from streamlog.storage.entry_codec import BatchEntryCodec, topic_identity
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.identity import (
    NodeIdentity,
    adopt_cluster,
    format_directory,
    load_identity,
)
from streamlog.storage.journal.journal import JournalSettings
from streamlog.storage.segments.segment_resources import SegmentSettings
from streamlog.storage.store import NodeStore
from streamlog.storage.store_settings import StoreSettings

CLUSTER_ID: Final = 0xC1
NODE_ID: Final = NodeId(1)
TIMESTAMP_MS: Final = 1_700_000_000_000

SMALL_STORE: Final = StoreSettings(
    journal=JournalSettings(file_bytes=32 << 10, files_max=4),
    direct_bytes=3 << 10,
    segment_write_bytes=1 << 10,
    unwritten_bytes_max=16 << 10,
    checkpoint_bytes=1 << 20,
    checkpoint_interval_ms=1e6,
    journal_reserve_bytes=4 << 10,
    disk_reserve_bytes=0,
)
"""Everything happens within a few kilobytes; checkpoints are taken when a workload says so."""
PRODUCERS: Final = (41, 42)
"""Ids of the idempotent producers of all workloads."""
SMALL_SEGMENTS: Final = SegmentSettings(segment_bytes=6 << 10, index_interval_bytes=1 << 10)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Sizes of a workload's store."""

    store: StoreSettings = SMALL_STORE
    segments: SegmentSettings = SMALL_SEGMENTS


def creation_of(
    number: int, replica_id: int = 1, *, freed_by_snapshots: bool = False
) -> GroupCreation:
    """The creation record of a workload's group, or of a later replica of it on this node."""
    voters = tuple(Replica(ReplicaId(n), NodeId(n), DirectoryId(0xD0 + n)) for n in (1, 2, 3))
    return GroupCreation(
        GroupId(number),
        Membership(voters),
        ReplicaId(replica_id),
        "partition",
        topic_id=7,
        partition=number,
        freed_by_snapshots=freed_by_snapshots,
    )


async def open_store(disk: SimDisk, settings: NodeSettings) -> NodeStore:
    """A store as the node composes it; not started."""
    await disk.lock()
    identity = await load_identity(disk)
    if identity is None:
        identity = await format_directory(
            disk, random.Random(1), cluster_id=0, node_id=NODE_ID, wall_ms=TIMESTAMP_MS
        )
    identity = await adopt_cluster(disk, identity, CLUSTER_ID)
    return new_store(disk, identity, settings)


def new_store(disk: SimDisk, identity: NodeIdentity, settings: NodeSettings) -> NodeStore:
    """A store on a formatted directory; not started."""
    return NodeStore(
        disk,
        LoopClock(),
        identity,
        codec=BatchEntryCodec(),
        settings=settings.store,
        segment_settings_of=lambda _: settings.segments,
    )


@dataclass(frozen=True, slots=True)
class Producer:
    """Of an idempotent producer's batch."""

    producer_id: int
    epoch: int
    base_sequence: int


class StoredNode:
    """One life. Implements replication.log.LogListener."""

    def __init__(
        self,
        disk: SimDisk,
        record: Record,
        histories: dict[GroupId, GroupHistory],
        rng: random.Random,
        settings: NodeSettings,
    ) -> None:
        """`histories` outlive the node: the next life goes on with them."""
        self.disk = disk
        self.rng = rng
        self.failure: Exception | None = None
        self._record = record
        self._histories = histories
        self._settings = settings
        self._codec = BatchEntryCodec()
        self._store: NodeStore | None = None
        self._indexes: dict[GroupId, list[int]] = {}
        """For each group the history's index of each write of this life, by its sequence."""
        self._sequences: dict[tuple[int, int], int] = {}

    @property
    def store(self) -> NodeStore:
        """Once it is composed."""
        assert self._store is not None
        return self._store

    def log(self, number: int) -> GroupLog:
        """A group's log."""
        log = self.store.logs[GroupId(number)]
        assert isinstance(log, GroupLog)
        return log

    def committed_start(self, number: int) -> int:
        """Below lies what can not be truncated: its entries were committed."""
        return self._record.promise.groups[GroupId(number)].start_ceiling

    def now(self, number: int) -> Held:
        """What a group holds, durable or not."""
        return self._histories[GroupId(number)].states[-1]

    # replication.log.LogListener.

    def writes_completed(self, completed: Sequence[tuple[GroupId, WriteSequence]]) -> None:
        """So much is durable, says the store."""
        for group_id, sequence in completed:
            self._promise(group_id, floor=self._indexes[group_id][sequence - 1])

    def storage_failed(self, error: Exception) -> None:
        """It should not."""
        self.failure = error

    # What a workload asks for.

    async def start(self) -> None:
        """Recover, and go on from what is found."""
        await self.recover()
        await self.go_on()

    async def recover(self) -> NodeStore:
        """Compose the store as the node does, and start it."""
        store = self._store = await open_store(self.disk, self._settings)
        identity = await load_identity(self.disk)
        assert identity is not None
        self._record.promised(
            replace(self._record.promise, directory_id=int(identity.directory_id))
        )
        await store.start(self)
        return store

    async def go_on(self) -> None:
        """What was found is what is promised from now on."""
        promise = self._record.promise
        found = {g: promise.groups[g] for g in self.store.logs}
        self._record.promised(replace(promise, groups=found, running=True))
        for group_id, log in self.store.logs.items():
            assert isinstance(log, GroupLog)
            history = self._histories[group_id]
            history.states.append(await held_by(log, history.states[-1]))
            index = len(history.states) - 1
            self._promise(group_id, created=True, floor=index, ceiling=index)
        self.note_starts()

    async def create(
        self, number: int, replica_id: int = 1, *, freed_by_snapshots: bool = False
    ) -> None:
        """Create a group, maybe anew once the replica before is deleted, for good if not yet with
        all of its files. From now on nothing of that one may be found."""
        group_id = GroupId(number)
        creation = creation_of(number, replica_id, freed_by_snapshots=freed_by_snapshots)
        history = GroupHistory(creation, [Held((), HardState(Term(0), None))])
        self._histories[group_id] = history
        self._indexes.pop(group_id, None)
        for key in [key for key in self._sequences if key[0] == number]:
            del self._sequences[key]
        self._set(group_id, GroupPromise(history))
        await self.store.create(history.creation)
        self._promise(group_id, created=True)

    def append(
        self,
        number: int,
        sizes: Sequence[int],
        *,
        producer: Producer | None = None,
        records: int = 1,
        membership: Membership | None = None,
        moves_start_to: int | None = None,
    ) -> None:
        """Append an entry for each of the payload sizes, with one call."""
        before = self.now(number)
        term = max(before.hard_state.term, before.term_before(before.end), 1)
        creation = self._histories[GroupId(number)].creation
        entries: list[Entry] = []
        metas: list[EntryMeta] = []
        base = before.end
        for size in sizes:
            draft = self._draft(creation, size, producer, records, membership, moves_start_to)
            frame = draft.frame(base, term)
            end = base + draft.span
            start = Offset(moves_start_to) if moves_start_to is not None else None
            metas.append(
                EntryMeta(
                    Offset(base),
                    Offset(end),
                    Term(term),
                    len(frame),
                    bool(draft.format_and_flags & (1 << 13)),
                    membership,
                    start,
                )
            )
            entries.append(Entry(base, end, term, frame, membership))
            base = end
        sequence = self._next(number, Held((*before.entries, *entries), before.hard_state))
        self.log(number).append(sequence, [entry.frame for entry in entries], metas)

    def produce(self, number: int, producer_id: int, size: int, records: int = 2) -> None:
        """Append a batch of an idempotent producer."""
        key = (number, producer_id)
        base = self._sequences.get(key)
        if base is None:
            known = self.now(number).folded(self.now(number).end)[1].get(producer_id)
            base = known.batches[-1][1] + 1 if known else 0
        self._sequences[key] = base + records
        self.append(number, [size], producer=Producer(producer_id, 0, base), records=records)

    def hard_state(self, number: int, term: int, vote: int | None = None) -> None:
        """Save term and vote."""
        state = HardState(Term(term), None if vote is None else ReplicaId(vote))
        before = self.now(number)
        self.log(number).save_hard_state(self._next(number, Held(before.entries, state)), state)

    def truncate(self, number: int, entries: int) -> None:
        """Remove the last entries, as a follower that accepts a new leader: then a new term."""
        before = self.now(number)
        kept = before.entries[: len(before.entries) - entries]
        end = kept[-1].end if kept else 0
        sequence = self._next(number, Held(kept, before.hard_state))
        self.log(number).truncate(sequence, Offset(end))
        for key in [key for key in self._sequences if key[0] == number]:
            del self._sequences[key]
        last = before.entries[-1].term if before.entries else 0
        self.hard_state(number, max(before.hard_state.term, last) + 1)

    def move_start(self, number: int, offset: int) -> None:
        """A committed control entry moved the log's start."""
        self._promise(GroupId(number), start_ceiling=offset)
        self.log(number).log_start_committed(Offset(offset))

    async def snapshot(self, number: int, through: int, data: bytes) -> None:
        """Save a state machine's snapshot of what lies below an offset; trims the log."""
        group_id = GroupId(number)
        position = LogPosition(Term(self.now(number).term_before(through)), Offset(through))
        history = self._histories[group_id]
        history.snapshots.append((position, data))
        index = len(history.snapshots) - 1
        start = self._record.promise.groups[group_id].start_ceiling
        self._promise(group_id, snapshot_ceiling=index, start_ceiling=max(start, through))
        await self.log(number).save_snapshot(position, data)
        self._promise(group_id, snapshot_floor=index)
        self.note_starts()

    async def begin_install(
        self, number: int, added: Sequence[int], snapshot: bytes | None = None
    ) -> tuple[LogInstaller, Held, bytes | None]:
        """Begin to replace a log by a longer copy, as its leader would send it."""
        log, before = self.log(number), self.now(number)
        await log.settled()
        start = log.start
        entries = list(before.entries)
        creation = self._histories[GroupId(number)].creation
        term = max(before.hard_state.term, before.term_before(before.end), 1)
        for size in added:
            draft = self._draft(creation, size, None, 1, None, None)
            base = entries[-1].end if entries else 0
            entries.append(Entry(base, base + draft.span, term, draft.frame(base, term)))
        membership = before.memberships_from(creation.membership, start.end)[0][1]
        installer = await log.begin_install(start, membership, log.log_state(start.end), snapshot)
        copy = Held(tuple(entries), before.hard_state)
        for entry in copy.entries_from(start.end):
            await installer.write(entry.frame)
        return installer, copy, snapshot

    async def finish_install(
        self, number: int, install: tuple[LogInstaller, Held, bytes | None]
    ) -> None:
        """The copy takes the log's place."""
        installer, copy, snapshot = install
        group_id = GroupId(number)
        history = self._histories[group_id]
        history.states.append(copy)
        # Without a snapshot of its own the copy has none.
        log = self.log(number)
        kept = None if snapshot is None else (log.start, snapshot)
        history.snapshots.append(kept)
        state, held = len(history.states) - 1, len(history.snapshots) - 1
        self._promise(group_id, ceiling=state, snapshot_ceiling=held)
        await installer.finish()
        self._promise(group_id, floor=state, snapshot_floor=held)

    async def delete(self, number: int) -> None:
        """Delete a group."""
        group_id = GroupId(number)
        history = self._histories[group_id]
        self._promise(group_id, delete_asked=True)
        await self.store.delete(group_id)
        if self._histories[group_id] is history:
            self._promise(group_id, deleted=True)

    async def replace(self, number: int, replica_id: int, *, early: bool) -> None:
        """Delete a group and make it anew; `early`: while the files of the one before go."""
        deletion = asyncio.ensure_future(self.delete(number))
        while GroupId(number) in self.store.logs or not (early or deletion.done()):
            await asyncio.sleep(0.000_01)
        await self.create(number, replica_id)
        await deletion

    async def settled(self, *numbers: int) -> None:
        """Return when all writes of the groups were reported complete."""
        for number in numbers:
            await self.log(number).settled()
            while self._floor(number) < self._record.promise.groups[GroupId(number)].ceiling:
                await asyncio.sleep(0.000_1)

    async def pause(self, ms: float) -> None:
        """Let time pass."""
        await asyncio.sleep(ms / 1000)
        self.note_starts()

    async def checkpoint(self) -> None:
        """Take one."""
        await self.store.checkpoint_now()
        self.note_starts()

    async def stop(self) -> None:
        """Stop cleanly."""
        self._record.promised(replace(self._record.promise, running=False))
        await self.store.stop()
        if self.failure is not None:
            raise self.failure

    def note_starts(self) -> None:
        """What readers see as the log's start stays the start."""
        for group_id, log in self.store.logs.items():
            promise = self._record.promise.groups[group_id]
            if not promise.delete_asked and log.start.end != promise.start_floor:
                self._promise(group_id, start_floor=int(log.start.end))

    # Inside.

    def _draft(
        self,
        creation: GroupCreation,
        size: int,
        producer: Producer | None,
        records: int,
        membership: Membership | None,
        moves_start_to: int | None,
    ) -> BatchDraft:
        if membership is not None:
            return self._codec.control(creation, membership, TIMESTAMP_MS)
        if moves_start_to is not None:
            return self._codec.control(
                creation, LogStartMoved(Offset(moves_start_to)), TIMESTAMP_MS
            )
        if size == 0:
            return self._codec.control(creation, LeaderNoOp(), TIMESTAMP_MS)
        draft = draft_of_payload(
            self.rng.randbytes(size),
            topic_id=topic_identity(creation),
            partition=creation.partition,
            record_count=records,
            timestamp_ms=TIMESTAMP_MS,
            flags=0 if producer is None else HAS_PRODUCER,
        )
        if producer is None:
            return draft
        draft = replace(
            draft,
            producer_id=producer.producer_id,
            producer_epoch=producer.epoch,
            base_sequence=producer.base_sequence,
        )
        return replace(draft, payload_checksum=payload_crc32c(draft, draft.payload))

    def _next(self, number: int, state: Held) -> WriteSequence:
        group_id = GroupId(number)
        history = self._histories[group_id]
        history.states.append(state)
        index = len(history.states) - 1
        self._promise(group_id, ceiling=index)
        indexes = self._indexes.setdefault(group_id, [])
        indexes.append(index)
        return WriteSequence(len(indexes))

    def _floor(self, number: int) -> int:
        return self._record.promise.groups[GroupId(number)].floor

    def _promise(self, group_id: GroupId, **changes: int | bool) -> None:
        before = self._record.promise.groups[group_id]
        self._set(group_id, replace(before, **changes))  # type: ignore[arg-type]

    def _set(self, group_id: GroupId, promise: GroupPromise) -> None:
        groups: Mapping[GroupId, GroupPromise] = {
            **self._record.promise.groups,
            group_id: promise,
        }
        self._record.promised(replace(self._record.promise, groups=groups))


async def entries_of(log: GroupLog) -> tuple[Entry, ...]:
    """All entries of a log, read through its public face."""
    codec = BatchEntryCodec()
    found: list[Entry] = []
    at = log.start.end
    while at < log.end.end:
        data = await log.read(at, log.end.end, 1 << 20)
        metas, frames = codec.split(log.creation, data)
        found.extend(
            Entry(m.base, m.end, m.term, f, m.membership)
            for m, f in zip(metas, frames, strict=True)
        )
        at = metas[-1].end
    return tuple(found)


async def held_by(log: GroupLog, before: Held) -> Held:
    """What a log holds, with what was let go below its start: that was committed, so `before`, the
    newest state of the life before, has it."""
    entries = await entries_of(log)
    below = tuple(entry for entry in before.entries if entry.end <= log.start.end)
    return Held((*below, *entries), log.hard_state)
