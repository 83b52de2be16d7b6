"""What the journal says of one group, worked out before any of its files is touched.

Recovery begins with the group's checkpoint and takes its later frames in order, but only on
paper: which entries survive, where each lies, and how much of the segment files may be believed.
A truncation removes entries here and lowers what may be believed; a reference to a large append
raises it again, because its segment file was fsynced up to there before the reference was
written. What survives above that line lies in the journal, and is written to the files anew.

Behind a part of the journal that can not be read a group is lost: what it promised there, a vote
maybe, nobody knows any more. Its log stays as it was before that part, for an operator who has
nothing better, until a frame shows that nothing of it was lost, or that a copy took its place.

Invariants:
- `trusted <= end`; the pieces are contiguous from `trusted` to `end`.
- Only below `trusted` is a bad checksum in a segment rot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from replication.errors import LogCorrupt
from replication.log import EntryCodec
from replication.membership_codec import decode_creation
from replication.types import (
    GroupCreation,
    GroupId,
    HardState,
    LogPosition,
    Offset,
    ReplicaId,
    Term,
)
from replication.v1 import membership_pb2
from streamlog.storage import storage_codec
from streamlog.storage.interfaces import SegmentCheckpoint
from streamlog.storage.journal.frame import (
    APPEND_PREFIX_BYTES,
    FrameKind,
    decode_append_head,
    decode_hard_state,
    decode_truncate,
)
from streamlog.storage.journal.scan import ScannedFrame
from streamlog.storage.storage_codec import (
    LogStartsAt,
    MembershipsAt,
    decode_memberships,
    decode_position,
    decode_segment_end,
)
from streamlog.storage.v1 import storage_pb2

NOTHING = LogPosition(Term(0), Offset(0))
NO_SEGMENTS = SegmentCheckpoint(NOTHING, Offset(0), 0)
_OF_THE_LOG: Final = frozenset(
    {FrameKind.APPEND, FrameKind.TRUNCATE, FrameKind.REFERENCE, FrameKind.LOG_START}
)
"""They build on what came before them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Entries that lie in the journal."""

    begin: LogPosition
    end: LogPosition
    """As journalled."""
    file_sequence: int
    position: int
    """Of the first entry's bytes in the file."""
    length: int
    lsn: int
    keep_below: Offset | None = None
    """A later truncation left only the entries that end at or below."""

    @property
    def kept_end(self) -> Offset:
        """Exclusive end of what is left."""
        return self.end.end if self.keep_below is None else self.keep_below


@dataclass(frozen=True, slots=True)
class Reference:
    """A large append whose bytes lie in a segment file."""

    message: storage_pb2.SegmentReference

    @property
    def begin(self) -> Offset:
        return Offset(self.message.begin.end_offset)

    @property
    def end(self) -> Offset:
        return Offset(self.message.end.end_offset)


class GroupReplay:
    """One group, replayed on paper."""

    def __init__(self, creation: GroupCreation, covered_lsn: int, codec: EntryCodec) -> None:
        """A group that was created here and never checkpointed."""
        self.creation = creation
        self._codec = codec
        self.covered_lsn = covered_lsn
        self.generation = 1
        self.hard_state = HardState(Term(0), None)
        self.start = NOTHING
        self.starts = [NOTHING]
        """Every start since the checkpoint."""
        self.memberships: MembershipsAt = ((Offset(0), creation.membership),)
        self.log_starts: LogStartsAt = ()
        """Entries that move the start, as far as it may not have moved there yet."""
        self.durable = NO_SEGMENTS
        """What the files hold for certain, as of the checkpoint or a later reference."""
        self.trusted = Offset(0)
        """Least of that end and every later truncation."""
        self.terms: Sequence[tuple[Term, Offset]] = ()
        """First offset of each term, from the checkpoint's start to `terms_end`."""
        self.terms_end = Offset(0)
        self.pieces: list[Piece] = []
        self.references: list[Reference] = []
        self.deleted = False
        self.damage: str | None = None
        self.lost: str | None = None
        """Why what the replica promised may be forgotten."""
        self._cut = False
        """Frames were lost since the log was last known: it stays as it is."""

    @staticmethod
    def from_checkpoint(
        message: storage_pb2.GroupCheckpoint, begin_lsn: int, codec: EntryCodec
    ) -> GroupReplay:
        """A group as its checkpoint has it."""
        covered_lsn = max(message.lsn, begin_lsn)
        group = GroupReplay(decode_creation(message.creation), covered_lsn, codec)
        group.generation = message.generation
        group.hard_state = storage_codec.decode_hard_state(message.hard_state)
        group.start = decode_position(message.start)
        group.starts = [group.start]
        group.memberships = decode_memberships(message.memberships)
        group.log_starts = storage_codec.decode_log_starts(message.log_starts)
        group.durable = decode_segment_end(message.durable)
        group.trusted = group.terms_end = group.durable.end.end
        group.terms = storage_codec.decode_terms(message.terms)
        if message.needs_install:
            group.damage = "it was damaged before"
        if message.lost:
            group.lost = "part of the journal could not be read at an earlier start"
        return group

    @property
    def group_id(self) -> GroupId:
        return self.creation.group_id

    @property
    def end(self) -> Offset:
        """Exclusive end of the log as replayed so far."""
        return self.pieces[-1].kept_end if self.pieces else self.trusted

    def damaged(self, reason: str) -> None:
        """The group can not be recovered from this node alone."""
        if self.damage is None:
            self.damage = reason

    def lose(self, reason: str) -> None:
        """Frames can not be read that may have been the group's."""
        self._cut = True
        if self.lost is None:
            self.lost = reason

    def take(self, frame: ScannedFrame) -> None:
        """Take the next frame of the group. Frames that the checkpoint covers are passed over."""
        if frame.header.lsn <= self.covered_lsn or self.deleted:
            return
        content = frame.content
        if self._cut and frame.header.kind in _OF_THE_LOG and not self._connects(frame):
            return
        match frame.header.kind:
            case FrameKind.APPEND:
                self._append(frame)
            case FrameKind.TRUNCATE:
                self._truncate(Offset(decode_truncate(content)))
            case FrameKind.HARD_STATE:
                term, vote = decode_hard_state(content)
                self.hard_state = HardState(Term(term), None if vote is None else ReplicaId(vote))
            case FrameKind.REFERENCE:
                self._reference(storage_pb2.SegmentReference.FromString(content))
            case FrameKind.INSTALLED:
                self._installed(storage_pb2.InstalledLog.FromString(content))
            case FrameKind.LOG_START:
                message = storage_pb2.LogStartMoved.FromString(content)
                self.start = decode_position(message.start)
                self.starts.append(self.start)
            case FrameKind.DELETED:
                self.deleted = True
            case FrameKind.CREATED:
                pass  # The creation is idempotent.
            case FrameKind.MARK:
                raise AssertionError("marks belong to no group")

    def _connects(self, frame: ScannedFrame) -> bool:
        """The frame shows that the log was then what is known of it: of two logs that both have an
        entry of one term ending at one place, each has what the other has below."""
        match frame.header.kind:
            case FrameKind.APPEND:
                head = decode_append_head(frame.content)
                before = LogPosition(Term(head.term_before), Offset(head.base))
            case FrameKind.REFERENCE:
                message = storage_pb2.SegmentReference.FromString(frame.content)
                before = decode_position(message.begin)
            case _:
                return False
        self._cut = before != self._end_position()
        return not self._cut

    def _end_position(self) -> LogPosition | None:
        """The end with its term; None when a truncation hides the term."""
        if self.pieces:
            last = self.pieces[-1]
            return last.end if last.keep_below is None else None
        return self.durable.end if self.trusted == self.durable.end.end else None

    def _append(self, frame: ScannedFrame) -> None:
        if self.damage is not None:
            return
        head = decode_append_head(frame.content)
        if head.base != self.end:
            self.damaged(
                f"journal frame {frame.header.lsn} appends at {head.base}, the log ends at "
                f"{self.end}"
            )
            return
        if head.holds_control:
            try:
                entries, _ = self._codec.split(self.creation, frame.content[APPEND_PREFIX_BYTES:])
            except LogCorrupt as error:
                self.damaged(str(error))
                return
            self.memberships = (
                *self.memberships,
                *((e.base, e.membership) for e in entries if e.membership is not None),
            )
            self.log_starts = (*self.log_starts, *storage_codec.log_starts_of(entries))
        self.pieces.append(
            Piece(
                begin=LogPosition(Term(head.term_before), Offset(head.base)),
                end=LogPosition(Term(head.term), Offset(head.end)),
                file_sequence=frame.file_sequence,
                position=frame.content_at + APPEND_PREFIX_BYTES,
                length=frame.header.length - APPEND_PREFIX_BYTES,
                lsn=frame.header.lsn,
            )
        )

    def _truncate(self, end: Offset) -> None:
        while self.pieces and self.pieces[-1].begin.end >= end:
            self.pieces.pop()
        if self.pieces and self.pieces[-1].kept_end > end:
            self.pieces[-1] = replace(self.pieces[-1], keep_below=end)
        self.references = [r for r in self.references if r.end <= end]
        self.trusted = min(self.trusted, end)
        self.terms_end = min(self.terms_end, end)
        self.memberships = (
            self.memberships[0],
            *(entry for entry in self.memberships[1:] if entry[0] < end),
        )
        self.log_starts = tuple(entry for entry in self.log_starts if entry[0] < end)

    def _reference(self, message: storage_pb2.SegmentReference) -> None:
        if self.damage is not None:
            return
        if message.begin.end_offset != self.end:
            self.damaged(
                f"a reference appends at {message.begin.end_offset}, the log ends at {self.end}"
            )
            return
        self.pieces.clear()
        self.references.append(Reference(message))
        self.durable = SegmentCheckpoint(
            decode_position(message.end),
            Offset(message.segment_base),
            message.position + message.length,
        )
        self.trusted = self.durable.end.end
        self.memberships = (*self.memberships, *decode_memberships(message.memberships))
        self.log_starts = (
            *self.log_starts,
            *storage_codec.decode_log_starts(message.log_starts),
        )

    def _installed(self, message: storage_pb2.InstalledLog) -> None:
        self.damage, self._cut = None, False
        self.pieces.clear()
        self.references.clear()
        self.generation = message.generation
        self.start = decode_position(message.start)
        self.starts = [self.start]
        self.durable = decode_segment_end(message.durable)
        self.trusted = self.durable.end.end
        self.terms, self.terms_end = (), Offset(0)
        self.memberships = decode_memberships(message.memberships)
        self.log_starts = storage_codec.decode_log_starts(message.log_starts)


def created_of(frame: ScannedFrame) -> GroupCreation:
    """The creation that a CREATED frame holds."""
    return decode_creation(membership_pb2.GroupCreation.FromString(frame.content))
