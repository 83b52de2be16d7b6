"""What replication requires of a node's storage, and of the codec of entries.

`streamlog/storage` implements the first, `streamlog/model` the second; replication knows neither.

Duties of the storage:
1. Writes of one group become durable in the order of their WriteSequence, and completions are
   reported on the event loop, after the calls that made the writes returned, a batch a flush.
2. A read sees an append from the moment `append` returned, durable or not.
3. After a failed fsync nothing is ever reported complete again; `failed` is called once.
4. After a crash a log holds every write that was reported complete, and of the later ones a
   prefix; a torn or rotten entry is never handed out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from replication.raft.effects import ControlBody
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


class EntryDraft(Protocol):
    """An entry that is complete except for its place in the log."""

    @property
    def span(self) -> int:
        """Offsets it takes, 1 to 16,384."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes of the frame."""
        ...

    def frame(self, base: Offset, term: Term) -> bytes:
        """The stored bytes at that place."""
        ...


class EntryCodec(Protocol):
    """Frames entries and reads them."""

    def control(self, group: GroupCreation, body: ControlBody, wall_ms: int) -> EntryDraft:
        """A control entry (span 1)."""
        ...

    def records(self, group: GroupCreation, values: Sequence[bytes], wall_ms: int) -> EntryDraft:
        """One entry with a record (null key) for each value, 1 to 16,384."""
        ...

    def split(
        self, group: GroupCreation, frames: bytes
    ) -> tuple[tuple[EntryMeta, ...], tuple[bytes, ...]]:
        """Check every frame (lengths, frame CRC, topic id and partition, contiguity) and take a
        run of them apart. Raises LogCorrupt."""
        ...

    def values(self, frames: bytes) -> Sequence[tuple[Offset, bytes]]:
        """Offsets and values of the records of data entries; control entries are skipped."""
        ...


class ReplicaLog(Protocol):
    """The log of one group on this node. Start and end are half-open: [start, end)."""

    @property
    def creation(self) -> GroupCreation:
        """As it was journalled."""
        ...

    @property
    def hard_state(self) -> HardState:
        """Term and vote, as last saved."""
        ...

    @property
    def start(self) -> LogPosition:
        """First offset held, and the term of the entry before it (0 when none)."""
        ...

    @property
    def end(self) -> LogPosition:
        """Exclusive end, appended but maybe not yet durable, and its last entry's term."""
        ...

    @property
    def terms(self) -> Sequence[tuple[Term, Offset]]:
        """Each term's first offset, ascending, from the term of `start` on."""
        ...

    @property
    def memberships(self) -> Sequence[tuple[Offset, Membership]]:
        """The membership in force at `start`, then each later one at the offset of its entry."""
        ...

    @property
    def log_starts(self) -> Sequence[tuple[Offset, Offset]]:
        """(offset of the entry, start) of the entries that move the log's start further, as far as
        `log_start_committed` was not told of them; by offset."""
        ...

    @property
    def needs_install(self) -> bool:
        """The log was damaged or lost: the replica neither votes nor acknowledges until a whole
        copy is installed."""
        ...

    @property
    def lost(self) -> bool:
        """Part of what was durable can not be read back that may have told of this replica's votes:
        it takes part no more (`needs_install`), not even by a copy, and another one, of a new id,
        takes its place. What is left of the log can be read."""
        ...

    def accept_loss(self) -> Awaitable[None]:
        """Go on with what is left, by an operator's will: not `lost` any more at once, and for good
        when what it returns is done. Only for a log that is there. Raises StorageFailed there."""
        ...

    def term_at(self, end: Offset) -> Term | None:
        """Term of the entry that ends at or spans below `end`; `start.term` at `start`; None
        below start or above end."""
        ...

    def check_room(self, size_bytes: int) -> None:
        """Raises DiskFull or Overloaded when an append of so many bytes of data entries would:
        asked before the core gives an entry its place, because afterwards it can not be refused.
        """
        ...

    def append(
        self, write: WriteSequence, frames: Sequence[bytes], entries: Sequence[EntryMeta]
    ) -> None:
        """Append frames that connect to `end`. Raises DiskFull before anything is taken."""
        ...

    def truncate(self, write: WriteSequence, end: Offset) -> None:
        """Remove [end, ...); `end` must be an entry's boundary."""
        ...

    def save_hard_state(self, write: WriteSequence, state: HardState) -> None:
        """Make term and vote durable."""
        ...

    def read_nowait(self, start: Offset, end: Offset, max_bytes: int) -> bytes | None:
        """Whole frames from the one that holds `start`, none at or above `end`, at most
        `max_bytes` but at least one; empty at the end; None when the disk would be asked.

        Raises OffsetOutOfRange below the start or above the end, LogCorrupt on a bad check.
        """
        ...

    async def read(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        """As read_nowait, waiting for the disk."""
        ...

    def log_start_committed(self, start: Offset) -> None:
        """A control entry moved the start: later reads below it fail; whole segments go."""
        ...

    async def save_snapshot(self, through: LogPosition, data: bytes) -> None:
        """Durably keep a state machine's snapshot of everything below `through`, then forget
        the log below it in whole segments (`start` moves)."""
        ...

    async def load_snapshot(self) -> tuple[LogPosition, bytes] | None:
        """The newest snapshot, checked; None when there is none, and the log begins at 0. Raises
        LogCorrupt when what lies below the log is not here."""
        ...

    async def begin_install(
        self,
        start: LogPosition,
        membership: Membership,
        log_state: bytes,
        snapshot: bytes | None,
    ) -> LogInstaller:
        """Prepare, beside the log, to replace it by a copy."""
        ...

    def log_state(self, end: Offset) -> bytes:
        """Serialized state (term table, producers) of the prefix [0, end) for an install; `end`
        is `start.end`."""
        ...


class LogInstaller(Protocol):
    """A copy of a log that is being received."""

    @property
    def end(self) -> LogPosition:
        """Where what came so far ends."""
        ...

    async def write(self, frames: bytes) -> None:
        """Take whole frames that connect to what came before; checked. Raises LogCorrupt."""
        ...

    async def finish(self) -> None:
        """Fsync, rename, fsync the directory, journal `Installed`; when it returns the copy is
        the log, durably, and ReplicaLog's properties show it."""
        ...

    async def abort(self) -> None:
        """Remove what came."""
        ...


class LogListener(Protocol):
    """Hears of completions; called on the event loop."""

    def writes_completed(self, completed: Sequence[tuple[GroupId, WriteSequence]]) -> None:
        """For each group the newest write that is durable."""
        ...

    def storage_failed(self, error: Exception) -> None:
        """The disk failed; nothing will complete any more."""
        ...


class LogStore(Protocol):
    """All logs of a node."""

    async def start(self, listener: LogListener) -> None:
        """Recover: afterwards `logs` holds every group that was created here."""
        ...

    @property
    def logs(self) -> dict[GroupId, ReplicaLog]:
        """By group."""
        ...

    async def create(self, creation: GroupCreation) -> ReplicaLog:
        """Journal the creation; durable when it returns. The same creation twice is no error."""
        ...

    async def delete(self, group_id: GroupId) -> None:
        """Journal the deletion, then remove the files. An unknown group is no error."""
        ...

    async def stop(self) -> None:
        """Flush everything, mark the stop as clean."""
        ...
