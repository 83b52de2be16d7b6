"""A log of one group in memory, and a codec of its entries.

Frame: base, end, term (8 bytes each), control (1), count (4), then length (4) and bytes of each value.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from replication.errors import LogCorrupt, OffsetOutOfRange
from replication.log import LogInstaller
from replication.raft.effects import ControlBody
from replication.types import (
    EntryMeta,
    GroupCreation,
    HardState,
    LogPosition,
    Membership,
    Offset,
    Term,
    WriteSequence,
)

_HEAD = struct.Struct("<QQQBI")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class MemoryDraft:
    """Implements replication.log.EntryDraft."""

    values: tuple[bytes, ...]
    control: bool = False

    @property
    def span(self) -> int:
        return 1 if self.control else len(self.values)

    @property
    def size_bytes(self) -> int:
        return len(self.frame(Offset(0), Term(0)))

    def frame(self, base: Offset, term: Term) -> bytes:
        head = _HEAD.pack(base, base + self.span, term, self.control, len(self.values))
        return head + b"".join(_LENGTH.pack(len(v)) + v for v in self.values)


class MemoryCodec:
    """Implements replication.log.EntryCodec."""

    def control(self, group: GroupCreation, body: ControlBody, wall_ms: int) -> MemoryDraft:
        return MemoryDraft((), control=True)

    def records(self, group: GroupCreation, values: Sequence[bytes], wall_ms: int) -> MemoryDraft:
        return MemoryDraft(tuple(values))

    def split(
        self, group: GroupCreation, frames: bytes
    ) -> tuple[tuple[EntryMeta, ...], tuple[bytes, ...]]:
        metas, cut = [], []
        at = 0
        while at < len(frames):
            base, end, term, control, count = _HEAD.unpack_from(frames, at)
            begin, at = at, at + _HEAD.size
            for _ in range(count):
                at += _LENGTH.size + _LENGTH.unpack_from(frames, at)[0]
            metas.append(EntryMeta(base, end, term, at - begin, bool(control)))
            cut.append(frames[begin:at])
        if at != len(frames):
            raise LogCorrupt(group.group_id, f"byte {at}", "torn frame")
        return tuple(metas), tuple(cut)

    def values(self, frames: bytes) -> Sequence[tuple[Offset, bytes]]:
        found: list[tuple[Offset, bytes]] = []
        at = 0
        while at < len(frames):
            base, _, _, control, count = _HEAD.unpack_from(frames, at)
            at += _HEAD.size
            for index in range(count):
                (length,) = _LENGTH.unpack_from(frames, at)
                at += _LENGTH.size
                if not control:
                    found.append((Offset(base + index), frames[at : at + length]))
                at += length
        return found


class MemoryLog:
    """Implements replication.log.ReplicaLog as far as a runtime uses it."""

    def __init__(self, creation: GroupCreation) -> None:
        self.creation = creation
        self.hard_state = HardState(Term(0), None)
        self.needs_install = False
        self.lost = False
        self.start = LogPosition(Term(0), Offset(0))
        self.entries: list[tuple[EntryMeta, bytes]] = []
        self.snapshot: tuple[LogPosition, bytes] | None = None
        self.cold = False
        """Reads have to wait."""

    def accept_loss(self) -> asyncio.Future[None]:
        """It goes on with what is left."""
        self.lost = False
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    @property
    def end(self) -> LogPosition:
        if not self.entries:
            return self.start
        last = self.entries[-1][0]
        return LogPosition(last.term, last.end)

    @property
    def terms(self) -> Sequence[tuple[Term, Offset]]:
        first: dict[Term, Offset] = {}
        for meta, _ in self.entries:
            first.setdefault(meta.term, meta.base)
        return tuple(first.items())

    @property
    def memberships(self) -> Sequence[tuple[Offset, Membership]]:
        return ((Offset(0), self.creation.membership),)

    @property
    def log_starts(self) -> Sequence[tuple[Offset, Offset]]:
        return tuple((m.base, m.log_start) for m, _ in self.entries if m.log_start is not None)

    def term_at(self, end: Offset) -> Term | None:
        if end == self.start.end:
            return self.start.term
        return next((m.term for m, _ in self.entries if m.base < end <= m.end), None)

    def check_room(self, size_bytes: int) -> None:
        pass

    def append(
        self, write: WriteSequence, frames: Sequence[bytes], entries: Sequence[EntryMeta]
    ) -> None:
        assert entries[0].base == self.end.end
        self.entries += zip(entries, frames, strict=True)

    def truncate(self, write: WriteSequence, end: Offset) -> None:
        self.entries = [(m, f) for m, f in self.entries if m.end <= end]

    def save_hard_state(self, write: WriteSequence, state: HardState) -> None:
        self.hard_state = state

    def read_nowait(self, start: Offset, end: Offset, max_bytes: int) -> bytes | None:
        return None if self.cold else self._read(start, end, max_bytes)

    async def read(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        await asyncio.sleep(0.001)
        return self._read(start, end, max_bytes)

    def _read(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        if not self.start.end <= start <= self.end.end:
            raise OffsetOutOfRange(start, self.start.end, self.end.end)
        taken = b""
        for meta, frame in self.entries:
            if meta.end <= start:
                continue
            if meta.end > end or (taken and len(taken) + len(frame) > max_bytes):
                break
            taken += frame
        return taken

    def log_start_committed(self, start: Offset) -> None:
        raise NotImplementedError

    async def save_snapshot(self, through: LogPosition, data: bytes) -> None:
        self.snapshot = (through, data)
        self.entries = [(m, f) for m, f in self.entries if m.end > through.end]
        self.start = through

    async def load_snapshot(self) -> tuple[LogPosition, bytes] | None:
        return self.snapshot

    async def begin_install(
        self,
        start: LogPosition,
        membership: Membership,
        log_state: bytes,
        snapshot: bytes | None,
    ) -> LogInstaller:
        raise NotImplementedError

    def log_state(self, end: Offset) -> bytes:
        return b""
