"""Raft entries as batches: the codec that replication is given.

A control entry is a batch of one offset whose payload is a `ControlRecord`; a state machine's
entry is a batch of records with null keys. Frames that arrive from a peer are taken apart here,
each with its checksum, identity and place checked; only control frames are parsed further.

Neighbours: `streamlog/model/batch` (bytes of a frame), `replication.log.EntryCodec` (contract).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from google.protobuf.message import DecodeError

from replication.errors import LogCorrupt
from replication.membership_codec import decode_membership, encode_membership
from replication.raft.effects import ControlBody, LeaderNoOp, LogStartMoved
from replication.types import EntryMeta, GroupCreation, GroupId, Membership, Offset, Term
from replication.v1 import membership_pb2
from streamlog.model.batch import (
    CODEC_NONE,
    CONTROL,
    FORMAT_VERSION,
    VERSION_MASK,
    BatchDraft,
    BatchHeader,
    CorruptFrame,
    check_frame,
    draft_of_payload,
    iterate_frames,
    read_header,
)
from streamlog.model.record_set import (
    MalformedPayload,
    decode_payload,
    draft_of_values,
    new_compressor,
    new_decompressor,
)
from streamlog.v1 import batch_pb2

CONTROL_VERSION: Final = 1
"""Newest version of a known control record's body that this code understands."""


def topic_identity(group: GroupCreation) -> int:
    """What frames carry as topic id: the topic's, or the group's outside topics."""
    return group.topic_id if group.kind == "partition" else int(group.group_id)


class BatchEntryCodec:
    """Implements replication.log.EntryCodec. One per event loop: it owns a zstd context."""

    def __init__(self) -> None:
        self._compressor = new_compressor()
        self._decompressor = new_decompressor()

    def control(self, group: GroupCreation, body: ControlBody, wall_ms: int) -> BatchDraft:
        """A control entry (span 1); `wall_ms` is its timestamp."""
        record = batch_pb2.ControlRecord(version=CONTROL_VERSION)
        match body:
            case LeaderNoOp():
                record.type = batch_pb2.CONTROL_TYPE_LEADER_NO_OP
            case Membership():
                record.type = batch_pb2.CONTROL_TYPE_MEMBERSHIP
                record.body = encode_membership(body).SerializeToString()
            case LogStartMoved():
                record.type = batch_pb2.CONTROL_TYPE_LOG_START
                record.body = batch_pb2.LogStart(start_offset=body.start).SerializeToString()
            case _:
                assert_never(body)
        return draft_of_payload(
            record.SerializeToString(),
            topic_id=topic_identity(group),
            partition=group.partition,
            record_count=1,
            timestamp_ms=wall_ms,
            codec=CODEC_NONE,
            flags=CONTROL,
        )

    def records(self, group: GroupCreation, values: Sequence[bytes], wall_ms: int) -> BatchDraft:
        """One entry with a record (null key) for each value, 1 to 16,384."""
        return draft_of_values(
            values,
            topic_id=topic_identity(group),
            partition=group.partition,
            timestamp_ms=wall_ms,
            compressor=self._compressor,
        )

    def split(
        self, group: GroupCreation, frames: bytes
    ) -> tuple[tuple[EntryMeta, ...], tuple[bytes, ...]]:
        """Check every frame (lengths, CRC, identity, contiguity) and take the run apart.

        Raises LogCorrupt.
        """
        topic_id = topic_identity(group)
        entries: list[EntryMeta] = []
        parts: list[bytes] = []
        position, expected_base, last_term = 0, -1, 0
        try:
            while position < len(frames):
                header = read_header(frames, position)
                end = position + header.frame_bytes
                frame = frames if end - position == len(frames) else frames[position:end]
                check_frame(frame, 0, header)
                if header.topic_id != topic_id or header.partition != group.partition:
                    raise CorruptFrame(
                        position,
                        f"of topic {header.topic_id}, partition {header.partition}; expected "
                        f"topic {topic_id}, partition {group.partition}",
                    )
                if header.base_offset != expected_base and expected_base >= 0:
                    raise CorruptFrame(
                        position, f"begins at {header.base_offset}, not at {expected_base}"
                    )
                if header.term < last_term or header.term == 0:
                    raise CorruptFrame(position, f"term {header.term} after {last_term}")
                entries.append(entry_meta(group.group_id, frame, header))
                parts.append(frame)
                position, expected_base, last_term = end, header.end_offset, header.term
        except CorruptFrame as error:
            where = f"byte {error.position} of a run of {len(frames)}"
            raise LogCorrupt(group.group_id, where, error.detail) from error
        return tuple(entries), tuple(parts)

    def values(self, frames: bytes) -> Sequence[tuple[Offset, bytes]]:
        """Offsets and values of the records of data entries; control entries are skipped.

        The frames were checked before: by `split`, or by the log that they were read from.
        Raises LogCorrupt when a payload does not decode.
        """
        found: list[tuple[Offset, bytes]] = []
        for position, header in iterate_frames(frames):
            if header.control:
                continue
            try:
                record_set = decode_payload(
                    header.payload(frames, position),
                    header.codec,
                    header.uncompressed_bytes,
                    self._decompressor,
                )
            except MalformedPayload as error:
                raise LogCorrupt(
                    GroupId(header.topic_id), f"offset {header.base_offset}", str(error)
                ) from error
            base = header.base_offset
            found.extend(
                (Offset(base + record.offset_delta), record.value) for record in record_set.records
            )
        return found


def entry_meta(group_id: GroupId, frame: bytes, header: BatchHeader) -> EntryMeta:
    """What replication needs of a whole frame; parses the payload of control frames only.

    Raises LogCorrupt for a version of format or control record that this code does not know.
    """
    version = header.format_and_flags & VERSION_MASK
    if version != FORMAT_VERSION:
        raise LogCorrupt(
            group_id,
            f"offset {header.base_offset}",
            f"format version {version}; this node knows {FORMAT_VERSION}",
        )
    membership: Membership | None = None
    log_start: Offset | None = None
    control = header.control
    if control:
        membership, log_start = _read_control(group_id, frame, header)
    return EntryMeta(
        base=Offset(header.base_offset),
        end=Offset(header.end_offset),
        term=Term(header.term),
        size_bytes=header.frame_bytes,
        control=control,
        membership=membership,
        log_start=log_start,
    )


def _read_control(
    group_id: GroupId, frame: bytes, header: BatchHeader
) -> tuple[Membership | None, Offset | None]:
    where = f"offset {header.base_offset}"
    try:
        record = batch_pb2.ControlRecord.FromString(header.payload(frame, 0))
        known = record.type in {
            batch_pb2.CONTROL_TYPE_LEADER_NO_OP,
            batch_pb2.CONTROL_TYPE_MEMBERSHIP,
            batch_pb2.CONTROL_TYPE_LOG_START,
            batch_pb2.CONTROL_TYPE_TRANSACTION_MARKER,
        }
        if known and record.version > CONTROL_VERSION:
            raise LogCorrupt(
                group_id,
                where,
                f"control record of type {record.type}, version {record.version}; this node "
                f"knows up to {CONTROL_VERSION}",
            )
        if record.type == batch_pb2.CONTROL_TYPE_MEMBERSHIP:
            message = membership_pb2.Membership.FromString(record.body)
            return decode_membership(message), None
        if record.type == batch_pb2.CONTROL_TYPE_LOG_START:
            return None, Offset(batch_pb2.LogStart.FromString(record.body).start_offset)
    except DecodeError as error:
        raise LogCorrupt(group_id, where, f"malformed control record: {error}") from error
    return None, None


def read_entry(group_id: GroupId, frame: bytes) -> EntryMeta:
    """`entry_meta` of one frame whose CRC was checked. Raises LogCorrupt."""
    try:
        return entry_meta(group_id, frame, read_header(frame))
    except CorruptFrame as error:
        raise LogCorrupt(group_id, "a frame", error.detail) from error
