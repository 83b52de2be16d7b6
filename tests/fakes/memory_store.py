"""The logs of one node in memory, with a disk that takes time and survives a crash."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from replication.errors import DiskFull, LogCorrupt, OffsetOutOfRange, StorageFailed, UnknownGroup
from replication.log import EntryCodec, LogInstaller, LogListener, ReplicaLog
from replication.types import (
    EntryMeta,
    GroupCreation,
    GroupId,
    HardState,
    LogPosition,
    Membership,
    Offset,
    Term,
    WriteSequence,
)

Entry = tuple[EntryMeta, bytes]


@dataclass
class Contents:
    """What a log holds; one copy is in memory, one on the disk."""

    creation: GroupCreation
    hard_state: HardState = HardState(Term(0), None)
    start: LogPosition = LogPosition(Term(0), Offset(0))
    base_membership: Membership = field(default_factory=lambda: Membership(()))
    entries: list[Entry] = field(default_factory=list)
    snapshot: tuple[LogPosition, bytes] | None = None
    needs_install: bool = False
    lost: bool = False

    def copy(self) -> Contents:
        """An independent one."""
        return Contents(
            self.creation,
            self.hard_state,
            self.start,
            self.base_membership,
            list(self.entries),
            self.snapshot,
            self.needs_install,
            self.lost,
        )


@dataclass
class MemoryDisk:
    """What survives a crash."""

    logs: dict[GroupId, Contents] = field(default_factory=dict)


class MemoryReplicaLog:
    """Implements replication.log.ReplicaLog."""

    def __init__(self, store: MemoryStore, contents: Contents) -> None:
        self._store = store
        self.now = contents.copy()
        self.generation = 0
        self.cold = False
        """Reads have to wait for the disk."""

    @property
    def creation(self) -> GroupCreation:
        return self.now.creation

    @property
    def hard_state(self) -> HardState:
        return self.now.hard_state

    @property
    def start(self) -> LogPosition:
        return self.now.start

    @property
    def needs_install(self) -> bool:
        return self.now.needs_install or self.now.lost

    @property
    def lost(self) -> bool:
        return self.now.lost

    def accept_loss(self) -> asyncio.Future[None]:
        """Volatile and durable at once: here the disk is never behind."""
        self.now.lost = False
        contents = self._store.disk.logs.get(self.now.creation.group_id)
        if contents is not None:
            contents.lost = False
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    @property
    def end(self) -> LogPosition:
        if not self.now.entries:
            return self.now.start
        last = self.now.entries[-1][0]
        return LogPosition(last.term, last.end)

    @property
    def terms(self) -> Sequence[tuple[Term, Offset]]:
        first: dict[Term, Offset] = {}
        for meta, _ in self.now.entries:
            first.setdefault(meta.term, meta.base)
        return tuple(first.items())

    @property
    def memberships(self) -> Sequence[tuple[Offset, Membership]]:
        later = [(m.base, m.membership) for m, _ in self.now.entries if m.membership is not None]
        return ((self.start.end, self.now.base_membership), *later)

    @property
    def log_starts(self) -> Sequence[tuple[Offset, Offset]]:
        entries = self.now.entries
        return tuple((m.base, m.log_start) for m, _ in entries if m.log_start is not None)

    def term_at(self, end: Offset) -> Term | None:
        if end == self.start.end:
            return self.start.term
        return next((m.term for m, _ in self.now.entries if m.base < end <= m.end), None)

    def check_room(self, size_bytes: int) -> None:
        if self._store.full:
            raise DiskFull(size_bytes, 0)

    def append(
        self, write: WriteSequence, frames: Sequence[bytes], entries: Sequence[EntryMeta]
    ) -> None:
        assert entries[0].base == self.end.end
        assert [e.size_bytes for e in entries] == [len(f) for f in frames]
        added = list(zip(entries, frames, strict=True))
        self.now.entries += added
        self._store.write(self, write, lambda disk: disk.entries.extend(added))

    def truncate(self, write: WriteSequence, end: Offset) -> None:
        def cut(contents: Contents) -> None:
            contents.entries = [e for e in contents.entries if e[0].end <= end]

        cut(self.now)
        self._store.write(self, write, cut)

    def save_hard_state(self, write: WriteSequence, state: HardState) -> None:
        self.now.hard_state = state

        def save(contents: Contents) -> None:
            contents.hard_state = state

        self._store.write(self, write, save)

    def read_nowait(self, start: Offset, end: Offset, max_bytes: int) -> bytes | None:
        return None if self.cold else self._read(start, end, max_bytes)

    async def read(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        await asyncio.sleep(0.002)
        return self._read(start, end, max_bytes)

    def _read(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        if not self.start.end <= start <= self.end.end:
            raise OffsetOutOfRange(start, self.start.end, self.end.end)
        entries = self.now.entries
        taken: list[bytes] = []
        size = 0
        index = bisect_right(entries, start, key=lambda entry: entry[0].end)
        for meta, frame in entries[index:]:
            if meta.end > end or (taken and size + len(frame) > max_bytes):
                break
            taken.append(frame)
            size += len(frame)
        return b"".join(taken)

    def log_start_committed(self, start: Offset) -> None:
        self._release(start)

    def _release(self, start: Offset) -> None:
        term = self.term_at(start)
        assert term is not None
        memberships = [m for at, m in self.memberships if at < start or at == self.start.end]

        def release(contents: Contents) -> None:
            contents.base_membership = memberships[-1]
            contents.start = LogPosition(term, start)
            contents.entries = [e for e in contents.entries if e[0].end > start]

        release(self.now)
        release(self._store.disk.logs[self.creation.group_id])

    async def save_snapshot(self, through: LogPosition, data: bytes) -> None:
        await asyncio.sleep(0.001)
        self.now.snapshot = self._store.disk.logs[self.creation.group_id].snapshot = (through, data)
        self._release(through.end)

    async def load_snapshot(self) -> tuple[LogPosition, bytes] | None:
        await asyncio.sleep(0.001)
        snapshot = self.now.snapshot
        if snapshot is not None and snapshot[0].end < self.start.end:
            raise LogCorrupt(self.creation.group_id, "the snapshot", "it is an older one")
        return snapshot

    async def begin_install(
        self,
        start: LogPosition,
        membership: Membership,
        log_state: bytes,
        snapshot: bytes | None,
    ) -> LogInstaller:
        await asyncio.sleep(0.001)
        contents = Contents(self.creation, start=start, base_membership=membership)
        contents.snapshot = None if snapshot is None else (start, snapshot)
        return _Installer(self, self._store, contents)

    def log_state(self, end: Offset) -> bytes:
        assert end == self.start.end
        return b"state"


class _Installer:
    """Implements replication.log.LogInstaller."""

    def __init__(self, log: MemoryReplicaLog, store: MemoryStore, contents: Contents) -> None:
        self._log = log
        self._store = store
        self._contents = contents

    @property
    def end(self) -> LogPosition:
        entries = self._contents.entries
        if not entries:
            return self._contents.start
        meta, _ = entries[-1]
        return LogPosition(meta.term, meta.end)

    async def write(self, frames: bytes) -> None:
        metas, cut = self._store.codec.split(self._log.creation, frames)
        self._contents.entries += zip(metas, cut, strict=True)
        await asyncio.sleep(0.0005)

    async def finish(self) -> None:
        await asyncio.sleep(0.005)
        self._contents.hard_state = self._log.now.hard_state
        self._log.now = self._contents.copy()
        self._log.generation += 1
        self._store.disk.logs[self._log.creation.group_id] = self._contents.copy()

    async def abort(self) -> None:
        pass


class MemoryStore:
    """Implements replication.log.LogStore; a flush takes `fsync_ms` and takes all that waits."""

    def __init__(self, disk: MemoryDisk, codec: EntryCodec, fsync_ms: float = 1.0) -> None:
        self.disk = disk
        self.codec = codec
        self.fsync_ms = fsync_ms
        self.full = False
        self.stalled = False
        self.logs: dict[GroupId, ReplicaLog] = {}
        self._waiting: list[
            tuple[MemoryReplicaLog, int, WriteSequence, Callable[[Contents], None]]
        ] = []
        self._flushing = False
        self._failed = False
        self._listener: LogListener | None = None

    async def start(self, listener: LogListener) -> None:
        self._listener = listener
        await asyncio.sleep(0)
        for group_id, contents in self.disk.logs.items():
            self.logs[group_id] = MemoryReplicaLog(self, contents)

    async def create(self, creation: GroupCreation) -> ReplicaLog:
        await asyncio.sleep(self.fsync_ms / 1_000)
        known = self.logs.get(creation.group_id)
        if known is not None:
            return known
        contents = Contents(creation, base_membership=creation.membership)
        self.disk.logs[creation.group_id] = contents
        log = self.logs[creation.group_id] = MemoryReplicaLog(self, contents)
        return log

    async def delete(self, group_id: GroupId) -> None:
        await asyncio.sleep(self.fsync_ms / 1_000)
        self.logs.pop(group_id, None)
        self.disk.logs.pop(group_id, None)

    async def stop(self) -> None:
        pass

    def log(self, group_id: GroupId) -> MemoryReplicaLog:
        """For tests: the log as it is."""
        log = self.logs.get(group_id)
        if not isinstance(log, MemoryReplicaLog):
            raise UnknownGroup(group_id)
        return log

    def write(
        self, log: MemoryReplicaLog, write: WriteSequence, apply: Callable[[Contents], None]
    ) -> None:
        """Queue a write for the next flush."""
        if self._failed:
            raise StorageFailed("write", "the disk failed")
        self._waiting.append((log, log.generation, write, apply))
        self._kick()

    def fail(self) -> None:
        """The next thing the disk says is an error, and then nothing."""
        self._failed = True
        assert self._listener is not None
        self._listener.storage_failed(StorageFailed("fdatasync", "Input/output error"))

    async def resume(self) -> None:
        """The stalled disk works again."""
        await asyncio.sleep(0)
        self.stalled = False
        self._kick()

    def _kick(self) -> None:
        if not self._flushing and self._waiting and not self.stalled:
            self._flushing = True
            batch, self._waiting = self._waiting, []
            delay_s = self.fsync_ms / 1_000
            asyncio.get_running_loop().call_later(delay_s, self._flushed, batch)

    def _flushed(
        self,
        batch: list[tuple[MemoryReplicaLog, int, WriteSequence, Callable[[Contents], None]]],
    ) -> None:
        self._flushing = False
        if self._failed:
            return
        completed: dict[GroupId, WriteSequence] = {}
        for log, generation, write, apply in batch:
            group_id = log.creation.group_id
            on_disk = self.disk.logs.get(group_id)
            if on_disk is not None and self.logs.get(group_id) is log:
                if generation == log.generation:
                    apply(on_disk)
                completed[group_id] = write
        assert self._listener is not None
        self._listener.writes_completed(list(completed.items()))
        self._kick()
