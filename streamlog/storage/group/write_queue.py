"""The order of one group's writes between the call and the disk.

Small writes go to the journal at once. A large append goes straight to its segment file first (the
direct path); until that file is fsynced, the group's later writes wait here, because durability
within a group is a prefix. Other groups do not wait.

A truncation that cuts direct appends which are not yet in the journal turns what is left of them
into ordinary journal appends: their segment bytes may be overwritten soon, so no reference to
them may be written, and the truncation must not wait for a disk write either.

Invariants:
- Frames of a group are enqueued in the order in which `submit` was called.
- `durable_index` is the index of a write below which everything is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import google_crc32c

from replication.errors import StorageFailed, invariant
from replication.types import (
    EntryMeta,
    GroupId,
    HardState,
    LogPosition,
    Offset,
    Term,
    WriteSequence,
)
from streamlog.storage.interfaces import SegmentPlace
from streamlog.storage.journal.frame import (
    APPEND_PREFIX_BYTES,
    AppendHead,
    FrameKind,
    encode_append_head,
)
from streamlog.storage.journal.journal import Journal, PendingFrame
from streamlog.storage.storage_codec import (
    LogStartsAt,
    MembershipsAt,
    encode_log_starts,
    encode_memberships,
    encode_position,
    log_starts_of,
)
from streamlog.storage.v1 import storage_pb2


@dataclass(frozen=True, slots=True)
class GroupState:
    """What a group is after one of its writes; what a checkpoint keeps of it."""

    generation: int
    start: LogPosition
    end: LogPosition
    hard_state: HardState
    memberships: MembershipsAt
    terms: tuple[tuple[Term, Offset], ...] = ()
    log_starts: LogStartsAt = ()
    lost: bool = False
    """What the replica promised may be forgotten."""


@dataclass(frozen=True, slots=True)
class DirectAppend:
    """A large append on its way to its segment file."""

    frames: Sequence[bytes]
    entries: Sequence[EntryMeta]
    begin: LogPosition
    place: SegmentPlace


@dataclass(slots=True, eq=False)
class Write:
    """One write of a group."""

    sequence: WriteSequence | None
    """None: nobody waits for its completion."""
    frames: Sequence[PendingFrame]
    direct: DirectAppend | None = None
    """Set while the bytes are not known to be in the segment file; `frames` is empty then."""
    on_durable: Callable[[], None] | None = None
    index: int = 0
    lsn: int = 0
    """Of its last frame; 0 until it is durable."""
    state: GroupState | None = None
    """The state after it; kept only while a checkpoint of the group is being taken."""


def append_frames(
    group_id: GroupId,
    frames: Sequence[bytes],
    entries: Sequence[EntryMeta],
    begin: LogPosition,
    frame_bytes_max: int,
) -> list[PendingFrame]:
    """Journal frames that hold the entries: one, or several when one would be too large."""
    pending: list[PendingFrame] = []
    first, size, before = 0, APPEND_PREFIX_BYTES, begin

    def close(stop: int) -> None:
        nonlocal first, before
        last = entries[stop - 1]
        head = AppendHead(
            before.end,
            last.end,
            before.term,
            last.term,
            any(
                entry.membership is not None or entry.log_start is not None
                for entry in entries[first:stop]
            ),
        )
        content = [encode_append_head(head), *frames[first:stop]]
        pending.append(PendingFrame(FrameKind.APPEND, group_id, content))
        first, before = stop, LogPosition(last.term, last.end)

    for index, frame in enumerate(frames):
        if index > first and size + len(frame) > frame_bytes_max:
            close(index)
            size = APPEND_PREFIX_BYTES
        size += len(frame)
    close(len(frames))
    return pending


def reference_frame(group_id: GroupId, direct: DirectAppend) -> PendingFrame:
    """The journal frame that stands for a large append whose bytes are fsynced."""
    crc = 0
    for frame in direct.frames:
        crc = google_crc32c.extend(crc, frame)
    last = direct.entries[-1]
    message = storage_pb2.SegmentReference(
        segment_base=direct.place.segment_base,
        position=direct.place.position,
        length=direct.place.length,
        crc32c=crc,
        begin=encode_position(direct.begin),
        end=encode_position(LogPosition(last.term, last.end)),
        memberships=encode_memberships(
            [(e.base, e.membership) for e in direct.entries if e.membership is not None]
        ),
        log_starts=encode_log_starts(log_starts_of(direct.entries)),
    )
    return PendingFrame(FrameKind.REFERENCE, group_id, (message.SerializeToString(),))


class WriteQueue:
    """Orders one group's writes."""

    def __init__(
        self,
        group_id: GroupId,
        journal: Journal,
        frame_bytes_max: int,
        on_completed: Callable[[GroupId, WriteSequence], None],
    ) -> None:
        self._group_id = group_id
        self._journal = journal
        self._frame_bytes_max = frame_bytes_max
        self._on_completed = on_completed
        self._waiting: deque[Write] = deque()
        self._settling: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._failure: StorageFailed | None = None
        self._last_enqueued: Write | None = None
        self._skipped: list[tuple[Write | None, Write]] = []
        self.last_index = 0
        self.durable_index = 0

    def submit(self, write: Write) -> None:
        """Take a write. Raises StorageFailed."""
        if self._failure is not None:
            raise self._failure
        self.last_index += 1
        write.index = self.last_index
        if self._waiting or write.direct is not None:
            self._waiting.append(write)
        else:
            self._enqueue(write)

    def direct_appends(self) -> list[Write]:
        """Those that are not in their segment files yet, in order."""
        return [write for write in self._waiting if write.direct is not None]

    def direct_written(self, covered: Sequence[Write]) -> None:
        """The bytes of these are fsynced: journal their references, and what waited for them.

        Those that a truncation turned into journal appends meanwhile are passed over.
        """
        for write in covered:
            if write.direct is not None:
                write.frames = (reference_frame(self._group_id, write.direct),)
                write.direct = None
        self._release()

    def cut(self, end: Offset) -> None:
        """The log is being truncated to `end`: no direct append waits any longer."""
        clipped = False
        for write in self._waiting:
            direct = write.direct
            if direct is None:
                # Appends after one that lost its tail lie above the cut altogether.
                if clipped and write.frames[0].kind is FrameKind.APPEND:
                    write.frames = ()
                continue
            kept = sum(1 for entry in direct.entries if entry.end <= end)
            clipped = clipped or kept < len(direct.entries)
            write.direct = None
            if kept:
                write.frames = append_frames(
                    self._group_id,
                    direct.frames[:kept],
                    direct.entries[:kept],
                    direct.begin,
                    self._frame_bytes_max,
                )
        self._release()

    async def settled(self, index: int) -> None:
        """Return when that write is durable. Raises StorageFailed."""
        if self._failure is not None:
            raise self._failure
        if self.durable_index >= index:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settling.append((index, done))
        await done

    def fail(self, error: StorageFailed) -> None:
        """Nothing will complete any more."""
        self._failure = error
        while self._settling:
            _, done = self._settling.popleft()
            if not done.done():
                done.set_exception(error)

    def _release(self) -> None:
        while self._waiting and self._waiting[0].direct is None:
            write = self._waiting.popleft()
            if write.frames:
                self._enqueue(write)
            else:
                # A truncation left nothing of the append: it completes with what came before,
                # and its caller hears of it with the truncation.
                self._skipped.append((self._last_enqueued, write))

    def _enqueue(self, write: Write) -> None:
        invariant(write.frames, "a write has frames", index=write.index)
        self._last_enqueued = write
        write.frames[-1].on_durable = lambda frame: self._durable(write, frame.lsn)
        for frame in write.frames:
            self._journal.enqueue(frame)

    def _durable(self, write: Write, lsn: int) -> None:
        write.lsn = lsn
        write.frames = ()  # A log keeps its last write; not its bytes.
        self.durable_index = write.index
        for before, skipped in self._skipped:
            skipped.lsn = before.lsn if before is not None else 0
        self._skipped.clear()
        if write.on_durable is not None:
            write.on_durable()
        if write.sequence is not None:
            self._on_completed(self._group_id, write.sequence)
        pending = self._settling
        for _ in range(len(pending)):
            index, done = pending.popleft()
            if index > write.index:
                pending.append((index, done))
            elif not done.done():
                done.set_result(None)
