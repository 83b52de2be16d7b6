"""Wire forms: everything comes back as it was sent, and garbage is refused."""

from __future__ import annotations

import pytest

from replication.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    LeadershipEcho,
    LeadershipProbe,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from replication.transport import wire
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
    DirectoryId,
    GroupId,
    LogPosition,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    Term,
)
from replication.v1 import peer_service_pb2 as pb

A, B = ReplicaId(1), ReplicaId(2)
GROUP = GroupId(2**63 - 1)
POSITION = LogPosition(Term(4), Offset(2**40))


@pytest.mark.parametrize(
    "message",
    [
        VoteRequest(A, B, Term(5), POSITION, True),
        VoteRequest(A, B, Term(5), POSITION, False, True),
        TimeoutNow(A, B, Term(5)),
        LeadershipProbe(A, B, Term(5), 77),
    ],
)
def test_control_requests(message: wire.ControlMessage) -> None:
    """Each kind of request of the control stream survives the wire."""
    request = pb.ControlRequest()
    wire.add_control(request, GROUP, message)
    read = wire.parse(pb.ControlRequest(), request.SerializeToString())
    assert wire.read_control(read) == [(GROUP, message)]


@pytest.mark.parametrize(
    "message",
    [VoteResponse(A, B, Term(5), True, False), LeadershipEcho(A, B, Term(5), 77)],
)
def test_control_replies(message: wire.ControlReply) -> None:
    """Each kind of answer of the control stream survives the wire."""
    reply = pb.ControlResponse()
    wire.add_control_reply(reply, GROUP, message)
    read = wire.parse(pb.ControlResponse(), reply.SerializeToString())
    assert wire.read_control_reply(read) == [(GROUP, message)]


def test_appends_written_by_hand_are_what_protobuf_reads() -> None:
    """Groups with and without entries, small and larger than any one-byte length, in one
    message."""
    appends = [
        (GROUP, AppendEntries(A, B, Term(5), POSITION, Offset(9), Offset(3)), b""),
        (GroupId(0), AppendEntries(A, B, Term(1), POSITION, Offset(0), Offset(0)), b"x"),
        (GroupId(1), AppendEntries(A, B, Term(2), POSITION, Offset(0), Offset(0)), b"y" * 70_000),
    ]
    read = wire.parse(pb.AppendRequest(), wire.append_request(appends))
    assert [wire.read_append(append) for append in read.appends] == appends


def test_append_replies() -> None:
    """Accepted and refused answers survive the wire."""
    accepted = AppendEntriesResponse(B, A, Term(5), True, Offset(12))
    refused = AppendEntriesResponse(
        B,
        A,
        Term(5),
        False,
        hint=POSITION,
        refused_end=Offset(8),
        needs_install=True,
        wants_copy=True,
    )
    reply = pb.AppendResponse()
    for message in (accepted, refused):
        wire.add_append_reply(reply, GROUP, message)
    read = wire.parse(pb.AppendResponse(), reply.SerializeToString())
    assert [wire.read_append_reply(r) for r in read.responses] == [
        (GROUP, accepted),
        (GROUP, refused),
    ]


def test_heartbeats_and_announcements() -> None:
    """An empty whole set is not the same as none."""
    led = LedGroup(GROUP, Term(3), A)
    for groups in (None, (), (led,)):
        heartbeat = Heartbeat(2**64 - 1, 4, 2**63, groups)
        assert wire.heartbeat_from_wire(wire.heartbeat_to_wire(heartbeat)) == heartbeat
    answer = HeartbeatAnswer(1, 2, (LedGroup(GROUP, Term(9)),))
    assert wire.answer_from_wire(wire.answer_to_wire(answer)) == answer
    announcement = Announcement(GROUP, Term(3), NodeId(4))
    assert wire.announcement_from_wire(wire.announcement_to_wire(announcement)) == announcement


@pytest.mark.parametrize("snapshot_bytes", [None, 0, 10])
def test_bulk_messages(snapshot_bytes: int | None) -> None:
    """A copy's messages survive; an empty snapshot is not the same as none."""
    replica = Replica(A, NodeId(1), DirectoryId(2**128 - 1))
    begin = InstallBegin(
        GROUP,
        A,
        B,
        Term(3),
        9,
        POSITION,
        Offset(2**41),
        Membership((replica,)),
        b"state",
        snapshot_bytes,
        unconfirmed=snapshot_bytes is None,
    )
    chunk = InstallChunk(GROUP, B, 9, snapshot=False, data=b"abc", last=True)
    for message in (begin, chunk):
        assert wire.read_bulk_request(wire.bulk_request(message)) == message
    progress = InstallProgress(GROUP, B, 9, Term(3), 3, done=True, end=Offset(5), failure="why")
    assert wire.read_bulk_response(wire.bulk_response(progress)) == progress


def test_garbage_is_refused() -> None:
    """Bytes that are no message raise ProtocolError, as does a bulk message without a body."""
    with pytest.raises(wire.ProtocolError, match="malformed"):
        wire.parse(pb.ControlRequest(), b"\xff\xff\xff")
    with pytest.raises(wire.ProtocolError, match="neither"):
        wire.read_bulk_request(b"")
