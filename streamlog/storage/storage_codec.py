"""The protobuf messages of the store, to and from the words of replication."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from replication.membership_codec import decode_membership, encode_membership
from replication.types import (
    EntryMeta,
    HardState,
    LogPosition,
    Membership,
    Offset,
    ReplicaId,
    Term,
)
from streamlog.storage.interfaces import SegmentCheckpoint
from streamlog.storage.v1 import storage_pb2

MembershipsAt = tuple[tuple[Offset, Membership], ...]
"""Membership in force at a log's start, then each later one; by offset ascending."""

LogStartsAt = tuple[tuple[Offset, Offset], ...]
"""(offset of the entry, start) of the entries that move a log's start; by offset ascending."""


def encode_position(position: LogPosition) -> storage_pb2.Position:
    """To the message."""
    return storage_pb2.Position(end_offset=position.end, term=position.term)


def decode_position(message: storage_pb2.Position) -> LogPosition:
    """From the message."""
    return LogPosition(Term(message.term), Offset(message.end_offset))


def encode_segment_end(checkpoint: SegmentCheckpoint) -> storage_pb2.SegmentEnd:
    """To the message."""
    return storage_pb2.SegmentEnd(
        end=encode_position(checkpoint.end),
        segment_base=checkpoint.segment_base,
        position=checkpoint.position,
    )


def decode_segment_end(message: storage_pb2.SegmentEnd) -> SegmentCheckpoint:
    """From the message."""
    return SegmentCheckpoint(
        end=decode_position(message.end),
        segment_base=Offset(message.segment_base),
        position=message.position,
    )


def encode_hard_state(state: HardState) -> storage_pb2.HardState:
    """To the message."""
    return storage_pb2.HardState(term=state.term, vote=state.vote)


def decode_hard_state(message: storage_pb2.HardState) -> HardState:
    """From the message."""
    vote = ReplicaId(message.vote) if message.HasField("vote") else None
    return HardState(Term(message.term), vote)


def encode_memberships(
    memberships: Sequence[tuple[Offset, Membership]],
) -> list[storage_pb2.MembershipAt]:
    """To the messages."""
    return [
        storage_pb2.MembershipAt(offset=offset, membership=encode_membership(membership))
        for offset, membership in memberships
    ]


def decode_memberships(messages: Iterable[storage_pb2.MembershipAt]) -> MembershipsAt:
    """From the messages."""
    return tuple((Offset(m.offset), decode_membership(m.membership)) for m in messages)


def log_starts_of(entries: Iterable[EntryMeta]) -> LogStartsAt:
    """Those of the entries that move the log's start."""
    return tuple((e.base, e.log_start) for e in entries if e.log_start is not None)


def encode_log_starts(log_starts: LogStartsAt) -> list[storage_pb2.LogStartAt]:
    """To the messages."""
    return [storage_pb2.LogStartAt(offset=offset, start=start) for offset, start in log_starts]


def decode_log_starts(messages: Iterable[storage_pb2.LogStartAt]) -> LogStartsAt:
    """From the messages."""
    return tuple((Offset(m.offset), Offset(m.start)) for m in messages)


def pending_log_starts(log_starts: LogStartsAt, start: Offset) -> LogStartsAt:
    """Those that would move the start beyond `start`."""
    return tuple(entry for entry in log_starts if entry[1] > start)


def encode_terms(terms: Sequence[tuple[Term, Offset]]) -> list[storage_pb2.TermAt]:
    """To the messages."""
    return [storage_pb2.TermAt(term=term, start_offset=start) for term, start in terms]


def decode_terms(messages: Iterable[storage_pb2.TermAt]) -> tuple[tuple[Term, Offset], ...]:
    """From the messages."""
    return tuple((Term(m.term), Offset(m.start_offset)) for m in messages)


def rebase_memberships(memberships: MembershipsAt, start: Offset) -> MembershipsAt:
    """The membership in force at `start`, then the later ones."""
    in_force = memberships[0][1]
    later: list[tuple[Offset, Membership]] = []
    for offset, membership in memberships[1:]:
        if offset < start:
            in_force = membership
        else:
            later.append((offset, membership))
    return ((start, in_force), *later)
