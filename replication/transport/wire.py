"""Wire forms of what nodes say: dataclasses to and from proto/replication/v1/peer_service.proto.

Generated types do not leave this package. An AppendRequest is written by hand around its entries
(`append_request`), so that a megabyte of frames is copied once; everything else is small.

A malformed message raises ProtocolError: the stream that carried it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, assert_never

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from replication.errors import ReplicationError
from replication.membership_codec import decode_membership, encode_membership
from replication.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    LeadershipEcho,
    LeadershipProbe,
    Message,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from replication.transport.messages import (
    Announcement,
    Heartbeat,
    HeartbeatAnswer,
    InstallBegin,
    InstallChunk,
    InstallProgress,
    LedGroup,
)
from replication.types import (
    GroupId,
    LogPosition,
    NodeId,
    Offset,
    ReplicaId,
    Term,
)
from replication.v1 import peer_service_pb2 as pb

T = TypeVar("T", bound=ProtoMessage)

_ENTRIES_TAG = b"\x42"  # field 8 of AppendEntries, length-delimited
_APPENDS_TAG = b"\x12"  # field 2 of AppendRequest, length-delimited


class ProtocolError(ReplicationError):
    """A peer sent bytes that are no message of this protocol."""


def parse(message: T, data: bytes) -> T:
    """Fill a fresh `message` from the wire. Raises ProtocolError."""
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ProtocolError(f"malformed {message.DESCRIPTOR.full_name}: {error}") from error
    return message


# -- positions ----------------------------------------------------------------------------------


def _position(position: LogPosition) -> pb.LogPosition:
    return pb.LogPosition(end_offset=position.end, term=position.term)


def _read_position(position: pb.LogPosition) -> LogPosition:
    return LogPosition(Term(position.term), Offset(position.end_offset))


# -- control ------------------------------------------------------------------------------------

ControlMessage = VoteRequest | TimeoutNow | LeadershipProbe
ControlReply = VoteResponse | LeadershipEcho


def add_control(request: pb.ControlRequest, group_id: GroupId, message: ControlMessage) -> None:
    """Put a message into a control request."""
    match message:
        case VoteRequest():
            request.vote_requests.add(
                group_id=group_id,
                from_replica_id=message.sender,
                to_replica_id=message.to,
                term=message.term,
                last=_position(message.last),
                pre_vote=message.pre_vote,
                leadership_transfer=message.leadership_transfer,
            )
        case TimeoutNow():
            request.timeout_nows.add(
                group_id=group_id,
                from_replica_id=message.sender,
                to_replica_id=message.to,
                term=message.term,
            )
        case LeadershipProbe():
            request.probes.add(
                group_id=group_id,
                from_replica_id=message.sender,
                to_replica_id=message.to,
                term=message.term,
                context=message.context,
            )
        case _:
            assert_never(message)


def read_control(request: pb.ControlRequest) -> list[tuple[GroupId, Message]]:
    """Group messages of a control request."""
    messages: list[tuple[GroupId, Message]] = [
        (
            GroupId(vote.group_id),
            VoteRequest(
                ReplicaId(vote.from_replica_id),
                ReplicaId(vote.to_replica_id),
                Term(vote.term),
                _read_position(vote.last),
                vote.pre_vote,
                vote.leadership_transfer,
            ),
        )
        for vote in request.vote_requests
    ]
    messages += [
        (
            GroupId(now.group_id),
            TimeoutNow(
                ReplicaId(now.from_replica_id), ReplicaId(now.to_replica_id), Term(now.term)
            ),
        )
        for now in request.timeout_nows
    ]
    messages += [
        (
            GroupId(probe.group_id),
            LeadershipProbe(
                ReplicaId(probe.from_replica_id),
                ReplicaId(probe.to_replica_id),
                Term(probe.term),
                probe.context,
            ),
        )
        for probe in request.probes
    ]
    return messages


def add_control_reply(reply: pb.ControlResponse, group_id: GroupId, message: ControlReply) -> None:
    """Put an answer into a control response."""
    match message:
        case VoteResponse():
            reply.vote_responses.add(
                group_id=group_id,
                from_replica_id=message.sender,
                to_replica_id=message.to,
                term=message.term,
                granted=message.granted,
                pre_vote=message.pre_vote,
            )
        case LeadershipEcho():
            reply.echoes.add(
                group_id=group_id,
                from_replica_id=message.sender,
                to_replica_id=message.to,
                term=message.term,
                context=message.context,
            )
        case _:
            assert_never(message)


def read_control_reply(reply: pb.ControlResponse) -> list[tuple[GroupId, Message]]:
    """Group messages of a control response."""
    messages: list[tuple[GroupId, Message]] = [
        (
            GroupId(vote.group_id),
            VoteResponse(
                ReplicaId(vote.from_replica_id),
                ReplicaId(vote.to_replica_id),
                Term(vote.term),
                vote.granted,
                vote.pre_vote,
            ),
        )
        for vote in reply.vote_responses
    ]
    messages += [
        (
            GroupId(echo.group_id),
            LeadershipEcho(
                ReplicaId(echo.from_replica_id),
                ReplicaId(echo.to_replica_id),
                Term(echo.term),
                echo.context,
            ),
        )
        for echo in reply.echoes
    ]
    return messages


def heartbeat_to_wire(heartbeat: Heartbeat) -> pb.Heartbeat:
    """The wire form of a heartbeat."""
    groups = heartbeat.groups
    return pb.Heartbeat(
        boot_id=heartbeat.boot_id,
        set_version=heartbeat.set_version,
        set_hash=heartbeat.set_hash,
        full=groups is not None,
        groups=[
            pb.LedGroup(group_id=g.group_id, term=g.term, leader_replica_id=g.leader)
            for g in groups or ()
        ],
    )


def heartbeat_from_wire(wire: pb.Heartbeat) -> Heartbeat:
    """A heartbeat from its wire form."""
    groups = None
    if wire.full:
        groups = tuple(
            LedGroup(GroupId(g.group_id), Term(g.term), ReplicaId(g.leader_replica_id))
            for g in wire.groups
        )
    return Heartbeat(wire.boot_id, wire.set_version, wire.set_hash, groups)


def answer_to_wire(answer: HeartbeatAnswer) -> pb.HeartbeatResponse:
    """The wire form of a heartbeat's answer."""
    return pb.HeartbeatResponse(
        boot_id=answer.boot_id,
        agreed_set_version=answer.agreed_set_version,
        refused=[pb.LedGroup(group_id=g.group_id, term=g.term) for g in answer.refused],
    )


def answer_from_wire(wire: pb.HeartbeatResponse) -> HeartbeatAnswer:
    """A heartbeat's answer from its wire form."""
    refused = tuple(LedGroup(GroupId(g.group_id), Term(g.term)) for g in wire.refused)
    return HeartbeatAnswer(wire.boot_id, wire.agreed_set_version, refused)


def announcement_to_wire(announcement: Announcement) -> pb.LeaderAnnouncement:
    """The wire form of an announcement."""
    return pb.LeaderAnnouncement(
        group_id=announcement.group_id,
        term=announcement.term,
        leader_node_id=announcement.leader,
    )


def announcement_from_wire(wire: pb.LeaderAnnouncement) -> Announcement:
    """An announcement from its wire form."""
    return Announcement(GroupId(wire.group_id), Term(wire.term), NodeId(wire.leader_node_id))


# -- append -------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def append_request(appends: Sequence[tuple[GroupId, AppendEntries, bytes]]) -> bytes:
    """A serialized AppendRequest; frames are copied once, into the result."""
    parts: list[bytes] = []
    for group_id, message, frames in appends:
        header = pb.AppendEntries(
            group_id=group_id,
            from_replica_id=message.sender,
            to_replica_id=message.to,
            term=message.term,
            previous=_position(message.previous),
            commit_end=message.commit_end,
            log_start=message.log_start,
        ).SerializeToString()
        if not frames:
            parts += (_APPENDS_TAG, _varint(len(header)), header)
            continue
        length = _varint(len(frames))
        size = len(header) + len(_ENTRIES_TAG) + len(length) + len(frames)
        parts += (_APPENDS_TAG, _varint(size), header, _ENTRIES_TAG, length, frames)
    return b"".join(parts)


def read_append(wire: pb.AppendEntries) -> tuple[GroupId, AppendEntries, bytes]:
    """Group, message without entries, and the unchecked frames."""
    message = AppendEntries(
        ReplicaId(wire.from_replica_id),
        ReplicaId(wire.to_replica_id),
        Term(wire.term),
        _read_position(wire.previous),
        Offset(wire.commit_end),
        Offset(wire.log_start),
    )
    return GroupId(wire.group_id), message, wire.entries


def add_append_reply(
    reply: pb.AppendResponse, group_id: GroupId, message: AppendEntriesResponse
) -> None:
    """Put an answer into an append response."""
    reply.responses.add(
        group_id=group_id,
        from_replica_id=message.sender,
        to_replica_id=message.to,
        term=message.term,
        accepted=message.accepted,
        match_end=message.match_end,
        hint=_position(message.hint),
        refused_end=message.refused_end,
        needs_install=message.needs_install,
        wants_copy=message.wants_copy,
    )


def read_append_reply(
    wire: pb.AppendEntriesResponse,
) -> tuple[GroupId, AppendEntriesResponse]:
    """Group and answer."""
    return GroupId(wire.group_id), AppendEntriesResponse(
        ReplicaId(wire.from_replica_id),
        ReplicaId(wire.to_replica_id),
        Term(wire.term),
        wire.accepted,
        Offset(wire.match_end),
        _read_position(wire.hint),
        Offset(wire.refused_end),
        wire.needs_install,
        wire.wants_copy,
    )


# -- bulk ---------------------------------------------------------------------------------------


def bulk_request(message: InstallBegin | InstallChunk) -> bytes:
    """A serialized BulkRequest."""
    match message:
        case InstallBegin():
            begin = pb.InstallBegin(
                group_id=message.group_id,
                from_replica_id=message.sender,
                to_replica_id=message.to,
                term=message.term,
                install_id=message.install_id,
                log_start=message.start.end,
                log_start_term=message.start.term,
                end_offset=message.end,
                membership=encode_membership(message.membership),
                log_state=message.log_state,
                snapshot_bytes=message.snapshot_bytes,
                unconfirmed=message.unconfirmed,
            )
            return pb.BulkRequest(begin=begin).SerializeToString()
        case InstallChunk():
            chunk = pb.InstallChunk(
                group_id=message.group_id,
                to_replica_id=message.to,
                install_id=message.install_id,
                snapshot=message.snapshot,
                data=message.data,
                last=message.last,
            )
            return pb.BulkRequest(chunk=chunk).SerializeToString()
        case _:
            assert_never(message)


def read_bulk_request(data: bytes) -> InstallBegin | InstallChunk:
    """A begin or a chunk."""
    request = parse(pb.BulkRequest(), data)
    if request.HasField("begin"):
        begin = request.begin
        return InstallBegin(
            GroupId(begin.group_id),
            ReplicaId(begin.from_replica_id),
            ReplicaId(begin.to_replica_id),
            Term(begin.term),
            begin.install_id,
            LogPosition(Term(begin.log_start_term), Offset(begin.log_start)),
            Offset(begin.end_offset),
            decode_membership(begin.membership),
            begin.log_state,
            begin.snapshot_bytes if begin.HasField("snapshot_bytes") else None,
            begin.unconfirmed,
        )
    if request.HasField("chunk"):
        chunk = request.chunk
        return InstallChunk(
            GroupId(chunk.group_id),
            ReplicaId(chunk.to_replica_id),
            chunk.install_id,
            chunk.snapshot,
            chunk.data,
            chunk.last,
        )
    raise ProtocolError("a BulkRequest with neither begin nor chunk")


def bulk_response(progress: InstallProgress) -> bytes:
    """A serialized BulkResponse."""
    wire = pb.InstallProgress(
        group_id=progress.group_id,
        from_replica_id=progress.sender,
        install_id=progress.install_id,
        term=progress.term,
        received_bytes=progress.received_bytes,
        done=progress.done,
        end_offset=progress.end,
        failure=progress.failure,
    )
    return pb.BulkResponse(progress=wire).SerializeToString()


def read_bulk_response(data: bytes) -> InstallProgress:
    """The receiver's answer."""
    wire = parse(pb.BulkResponse(), data).progress
    return InstallProgress(
        GroupId(wire.group_id),
        ReplicaId(wire.from_replica_id),
        wire.install_id,
        Term(wire.term),
        wire.received_bytes,
        wire.done,
        Offset(wire.end_offset),
        wire.failure,
    )
