"""One group's log on this node: what replication sees of it.

Bytes and log state are the segment log's business, order and durability the write queue's, file
work that of `group_files`, the moving of the start that of `log_start`, what checkpoints keep that
of `group_capture`, snapshots that of `group_snapshot`; this class holds what is left (hard state,
memberships, start) and ties them together. Every call that writes returns at once: durability is
told to the store's listener.

Invariants:
- `start <= end`; `memberships[0]` is the one in force at `start`, and the offsets ascend.
- A log that is not there refuses every append and read, until a copy is installed.
- A lost log takes no copy, and is lost until an operator gives up what it may have forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from replication.errors import LogCorrupt, StorageFailed, invariant
from replication.log import LogInstaller
from replication.membership_codec import encode_creation
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
from streamlog.storage import storage_codec
from streamlog.storage.damage import DamageReports
from streamlog.storage.group.group_capture import CapturedGroup, GroupCapture
from streamlog.storage.group.group_files import FileHost, GroupFiles
from streamlog.storage.group.group_snapshot import GroupSnapshot, SnapshotHost
from streamlog.storage.group.install import StagedInstall, remove_file
from streamlog.storage.group.log_start import LogStart
from streamlog.storage.group.write_queue import (
    DirectAppend,
    GroupState,
    Write,
    WriteQueue,
    append_frames,
)
from streamlog.storage.journal.frame import FrameKind, encode_hard_state, encode_truncate
from streamlog.storage.journal.journal import Journal, PendingFrame
from streamlog.storage.segments.log_state import Duplicate, Fresh
from streamlog.storage.segments.retention import RetentionPolicy
from streamlog.storage.segments.segment_log import GroupSegmentLog
from streamlog.storage.segments.segment_logs import log_directory, snapshot_path
from streamlog.storage.segments.segment_repair import FetchCopy, SegmentRepair
from streamlog.storage.storage_codec import (
    LogStartsAt,
    MembershipsAt,
    log_starts_of,
    pending_log_starts,
    rebase_memberships,
)
from streamlog.storage.store_settings import StoreSettings
from streamlog.storage.v1 import storage_pb2

NOTHING = LogPosition(Term(0), Offset(0))


class LogHost(FileHost, SnapshotHost, Protocol):
    """What the store does for its logs."""

    @property
    def journal(self) -> Journal: ...

    @property
    def settings(self) -> StoreSettings: ...

    def admit(self, size_bytes: int) -> None:
        """Raises DiskFull or Overloaded when so much data can not be taken."""
        ...

    def appended(self, size_bytes: int) -> None:
        """So many bytes were taken; for the counters."""
        ...

    async def checkpoint_now(self) -> None:
        """Take a checkpoint; durable when it returns. Raises StorageFailed."""
        ...

    def changed(self, group_id: GroupId) -> None:
        """The next checkpoint must take the group up."""
        ...

    def completed(self, group_id: GroupId, sequence: WriteSequence) -> None:
        """A write is durable; told to the listener when the flush is done."""
        ...


class GroupLog:
    """Implements replication.log.ReplicaLog, and what the broker wants beside it."""

    def __init__(
        self,
        creation: GroupCreation,
        state: GroupState,
        segments: GroupSegmentLog | None,
        host: LogHost,
        *,
        lsn: int,
    ) -> None:
        """`state` and `segments` as created, recovered or installed; `lsn` covers them."""
        self._creation = creation
        self._host = host
        self._generation = state.generation
        self._hard_state = state.hard_state
        self._lost = state.lost
        self._memberships: MembershipsAt = state.memberships
        self._log_starts: LogStartsAt = state.log_starts
        self._segments = segments
        self._frame_bytes_max = host.settings.journal.frame_bytes_max
        self._direct_bytes = host.settings.direct_bytes_effective
        self._queue = WriteQueue(
            creation.group_id, host.journal, self._frame_bytes_max, host.completed
        )
        self._snapshot = GroupSnapshot(creation, host)
        self._files = GroupFiles(
            creation.group_id,
            self._queue,
            host,
            write_bytes=host.settings.segment_write_bytes,
        )
        self._files.use(segments)
        self._start = LogStart(
            state.start,
            segments.end.end if segments is not None else Offset(0),
            segments=lambda: self._segments,
            run_alone=self._files.run_alone,
            spawn=self._move_start_soon,
            moved=self._start_moved,
        )
        self._capture = GroupCapture(
            creation,
            lsn,
            files=self._files,
            queue=self._queue,
            segments=lambda: self._segments,
            state=self._state,
            captured_end=self._start.captured,
        )

    # What replication reads.

    @property
    def creation(self) -> GroupCreation:
        return self._creation

    @property
    def hard_state(self) -> HardState:
        return self._hard_state

    @property
    def start(self) -> LogPosition:
        return self._segments.start if self._segments is not None else NOTHING

    @property
    def end(self) -> LogPosition:
        return self._segments.end if self._segments is not None else NOTHING

    @property
    def terms(self) -> Sequence[tuple[Term, Offset]]:
        return self._segments.terms if self._segments is not None else ()

    @property
    def memberships(self) -> Sequence[tuple[Offset, Membership]]:
        return self._memberships

    @property
    def log_starts(self) -> Sequence[tuple[Offset, Offset]]:
        return self._log_starts

    @property
    def needs_install(self) -> bool:
        return self._segments is None or self._lost

    @property
    def lost(self) -> bool:
        return self._lost

    def term_at(self, end: Offset) -> Term | None:
        if self._segments is None:
            return Term(0) if end == 0 else None
        return self._segments.term_at(end)

    def read_nowait(self, start: Offset, end: Offset, max_bytes: int) -> bytes | None:
        return self.segment_log.read_nowait(start, end, max_bytes)

    async def read(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        return await self.segment_log.read(start, end, max_bytes)

    async def read_file(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        """As `read`, but from the files, and as far as they were written: empty at the end of
        that. For scrubbing."""
        return await self.segment_log.read_file(start, end, max_bytes)

    def log_state(self, end: Offset) -> bytes:
        return self.segment_log.log_state(end)

    # What the broker reads.

    @property
    def segment_log(self) -> GroupSegmentLog:
        """The files. Raises LogCorrupt while a whole copy is awaited."""
        if self._segments is None:
            raise LogCorrupt(
                self._creation.group_id, "the log", "damaged; waits for a copy from a peer"
            )
        return self._segments

    @property
    def data_end(self) -> int:
        """Offset after the last data record, control entries not counted."""
        return self.segment_log.state.data_end

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return self._segments.size_bytes if self._segments is not None else 0

    @property
    def segment_count(self) -> int:
        """Segment files."""
        return self._segments.segment_count if self._segments is not None else 0

    def check_sequence(
        self, producer_id: int, epoch: int, base_sequence: int, count: int
    ) -> Fresh | Duplicate:
        """Judge a batch of an idempotent producer. Raises StreamlogError."""
        return self.segment_log.state.check_sequence(producer_id, epoch, base_sequence, count)

    async def offset_for_timestamp(
        self, timestamp_ms: int, start: Offset
    ) -> tuple[Offset, int] | None:
        """First offset from `start` on, where a batch begins, whose timestamp is at or after, with
        it; None when all are before."""
        return await self.segment_log.offset_for_timestamp(timestamp_ms, start)

    async def record_at(self, offset: Offset, end: Offset) -> tuple[Offset, int] | None:
        """First record of [offset, end) and its timestamp; None when there is none."""
        return await self.segment_log.record_at(offset, end)

    # Writes.

    def check_room(self, size_bytes: int) -> None:
        """Raises DiskFull or Overloaded when `append` of so many data bytes would; ask before
        the entry is given its place."""
        self._host.admit(size_bytes)

    def append(
        self, write: WriteSequence, frames: Sequence[bytes], entries: Sequence[EntryMeta]
    ) -> None:
        segments = self.segment_log
        begin = segments.end
        invariant(
            entries and entries[0].base == begin.end,
            "an append connects to the end",
            base=entries[0].base if entries else None,
            end=begin.end,
        )
        size = sum(map(len, frames))
        place = segments.append(frames, entries)
        self._host.appended(size)
        added = tuple((e.base, e.membership) for e in entries if e.membership is not None)
        if added:
            self._memberships = (*self._memberships, *added)
        moves = log_starts_of(entries)
        if moves:
            self._log_starts = (*self._log_starts, *moves)
        group_id = self._creation.group_id
        if size >= self._direct_bytes:
            direct = DirectAppend(frames, entries, begin, place)
            self._submit(Write(write, (), direct=direct))
            self._files.kick()
        else:
            pending = append_frames(group_id, frames, entries, begin, self._frame_bytes_max)
            self._submit(Write(write, pending))
        self._files.appended()

    def truncate(self, write: WriteSequence, end: Offset) -> None:
        invariant(
            self.start.end <= end <= self.end.end,
            "a truncation lies within the log",
            start=self.start.end,
            at=end,
            end=self.end.end,
        )
        self.segment_log.truncate(end)
        self._capture.truncated()
        self._start.truncated(end)
        self._memberships = tuple(
            entry for index, entry in enumerate(self._memberships) if index == 0 or entry[0] < end
        )
        self._log_starts = tuple(entry for entry in self._log_starts if entry[0] < end)
        self._queue.cut(end)
        frame = self._frame(FrameKind.TRUNCATE, encode_truncate(end))
        self._submit(Write(write, (frame,), on_durable=self._files.truncated()))

    def save_hard_state(self, write: WriteSequence, state: HardState) -> None:
        invariant(
            state.term >= self._hard_state.term,
            "terms ascend",
            term=state.term,
            before=self._hard_state.term,
        )
        self._hard_state = state
        content = encode_hard_state(state.term, state.vote)
        self._submit(Write(write, (self._frame(FrameKind.HARD_STATE, content),)))

    def log_start_committed(self, start: Offset) -> None:
        """`start` moves soon: when a checkpoint holds what lies below."""
        if self._segments is not None and start > self._start.wanted.end:
            self._want_start(start)

    async def save_snapshot(self, through: LogPosition, data: bytes) -> None:
        segments = self.segment_log
        await self._snapshot.save(self._generation, through, data)
        if self._segments is not segments:
            return  # A copy took the log's place meanwhile, and came with a newer snapshot.
        self._snapshot.replaced()
        start = max((b for b in segments.segment_bases if b <= through.end), default=Offset(0))
        if start > self._start.wanted.end:
            self._want_start(start)
            await self._host.checkpoint_now()
            await self._start.apply()

    async def load_snapshot(self) -> tuple[LogPosition, bytes] | None:
        """As the log needs it; see `snapshot_file.load_below`."""
        while True:
            segments, start = self._segments, self._start.wanted.end
            try:
                loaded = await self._snapshot.load(self._generation, start)
            except LogCorrupt as error:
                if self._segments is segments:
                    if segments is not None:
                        self._snapshot.damaged(start, error)
                    raise
            else:
                if self._segments is segments:
                    return loaded
            # A copy took the place of both meanwhile: read its own.

    async def begin_install(
        self,
        start: LogPosition,
        membership: Membership,
        log_state: bytes,
        snapshot: bytes | None,
    ) -> LogInstaller:
        self._refuse_copy()
        return await StagedInstall.begin(
            self._host.segment_logs,
            self._creation,
            generation=self._generation + 1,
            start=start,
            membership=membership,
            log_state=log_state,
            snapshot=snapshot,
            take_over=self._take_over,
        )

    def _refuse_copy(self) -> None:
        if self._lost:
            raise LogCorrupt(
                self._creation.group_id,
                "the journal",
                f"what replica {self._creation.local_replica_id} promised may be forgotten: another"
                " one must take its place",
            )

    def accept_loss(self) -> asyncio.Future[None]:
        invariant(self._segments is not None, "a log goes on that is not there")
        self._lost = False
        self._host.changed(self._creation.group_id)
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def keep() -> None:
            try:
                await self._host.checkpoint_now()
            except StorageFailed as error:
                durable.set_exception(error)
                durable.exception()  # The listener was told; nobody may be waiting here.
            else:
                durable.set_result(None)

        self._host.spawn(keep(), f"go on with group {self._creation.group_id}")
        return durable

    async def repair(self, start: Offset, fetch: FetchCopy) -> bool:
        """Replace the segment that begins at `start` by a copy of its committed range; False: it
        is not part of the log any more.

        Raises LogCorrupt when the copy is not of this range, StorageFailed, and what `fetch`
        raises; the file is as it was then.
        """
        segments, damage = self.segment_log, self._damage
        group_id = self._creation.group_id
        begun: list[SegmentRepair | None] = []

        async def begin() -> None:
            begun.append(await segments.begin_repair(start))

        await self._files.run_alone(begin, before_cut=True)
        repair = begun[0]
        if repair is None or self._segments is not segments:
            damage.close(group_id, start, mended=False)
            return False
        await repair.stage(fetch)
        swapped: list[bool] = []

        async def swap() -> None:
            swapped.append(self._segments is segments and await repair.swap())

        await self._files.run_alone(swap, before_cut=True)
        damage.close(group_id, start, mended=swapped[0])
        self._start.apply_soon()  # It may be this that it waited for.
        return swapped[0]

    # For the store.

    @property
    def generation(self) -> int:
        """Number of the directory that holds the segments."""
        return self._generation

    async def retained_from(self, policy: RetentionPolicy, now_ms: int) -> Offset:
        """See GroupSegmentLog.retained_from; the log's start when there is nothing on disk."""
        if self._segments is None:
            return self.start.end
        return await self._segments.retained_from(policy, now_ms)

    async def capture(self) -> CapturedGroup:
        """What a checkpoint may keep of the group now; see `group_capture`."""
        return await self._capture.capture()

    def checkpointed(self, captured: CapturedGroup) -> None:
        """The checkpoint that holds what was captured is durable."""
        self._start.checkpointed(captured.end)

    def created(self) -> None:
        """Journal the creation."""
        content = encode_creation(self._creation).SerializeToString(deterministic=True)
        self._submit(Write(None, (self._frame(FrameKind.CREATED, content),)))

    async def delete(self) -> None:
        """Journal the deletion; durable when it returns. Raises StorageFailed."""
        self._submit(Write(None, (self._frame(FrameKind.DELETED, b""),)))
        await self.settled()

    def write_soon(self) -> None:
        """Write what is pending to the segment files."""
        self._files.write_soon()

    async def settled(self) -> None:
        """Return when every write so far is durable. Raises StorageFailed."""
        await self._queue.settled(self._queue.last_index)

    async def close(self) -> None:
        """Close the files."""
        if self._segments is not None:
            await self._segments.close()

    async def close_alone(self) -> None:
        """Close the files when no work on them is under way: the group is being deleted."""

        async def job() -> None:
            await self.close()
            self._files.use(None)

        await self._files.run_alone(job, before_cut=True)

    def fail(self, error: StorageFailed) -> None:
        """The disk failed: everything afterwards raises."""
        self._queue.fail(error)
        self._files.fail(error)

    # Inside.

    def _frame(self, kind: FrameKind, content: bytes) -> PendingFrame:
        return PendingFrame(kind, self._creation.group_id, (content,))

    def _state(self) -> GroupState:
        return GroupState(
            self._generation,
            self._start.wanted,
            self.end,
            self._hard_state,
            self._memberships,
            tuple(self.terms),
            self._log_starts,
            self._lost,
        )

    def _submit(self, write: Write) -> None:
        self._capture.wrote(write)
        self._queue.submit(write)
        self._host.changed(self._creation.group_id)

    def _want_start(self, start: Offset) -> None:
        """The log shall begin at `start`: journal it."""
        term = self.term_at(start)
        invariant(term is not None, "a start lies within the log", start=start, end=self.end.end)
        assert term is not None
        durable = self._start.want(LogPosition(term, start))
        self._log_starts = pending_log_starts(self._log_starts, start)
        message = storage_pb2.LogStartMoved(start=storage_codec.encode_position(self._start.wanted))
        frame = self._frame(FrameKind.LOG_START, message.SerializeToString())
        self._submit(Write(None, (frame,), on_durable=durable))

    def _move_start_soon(self) -> None:
        self._host.spawn(self._start.apply(), f"move the start of group {self._creation.group_id}")

    @property
    def _damage(self) -> DamageReports:
        return self._host.segment_logs.resources.damage

    def _start_moved(self) -> None:
        self._memberships = rebase_memberships(self._memberships, self.start.end)

    async def _take_over(
        self, message: storage_pb2.InstalledLog, segments: GroupSegmentLog
    ) -> None:
        """Use the copy in the place of the log: in memory, then in the journal."""
        group_id, disk = self._creation.group_id, self._host.segment_logs.disk
        old_generation = self._generation

        async def job() -> None:
            old, self._segments = self._segments, segments
            self._generation = message.generation
            self._start.replaced(segments.start, segments.end.end)
            self._memberships = storage_codec.decode_memberships(message.memberships)
            self._log_starts = storage_codec.decode_log_starts(message.log_starts)
            self._files.use(segments)
            self._snapshot.replaced()
            self._submit(
                Write(None, (self._frame(FrameKind.INSTALLED, message.SerializeToString()),))
            )
            if old is not None:
                await old.close()

        await self._files.run_alone(job, before_cut=True)
        await self._queue.settled(self._queue.last_index)
        try:
            await disk.remove_tree(log_directory(group_id, old_generation))
            await remove_file(disk, snapshot_path(group_id, old_generation))
        except OSError as error:
            raise StorageFailed("removing a log that was replaced", str(error)) from error
