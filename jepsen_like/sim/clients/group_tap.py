"""What a member of a consumer group says and is told, seen on the wire of its process.

It stands between a client and the simulated network and writes the history of ownership and
commits, the same for the client library and for `raw_member`. A message counts as sent when it is
handed to the transport, and as told when the client has taken it. So what a checker knows of a
member is what the member itself must know.

Invariant: `Part.held` and `revoking` are the newest assignment that the member was told, with the
grants under which it got the partitions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from jepsen_like.checkers.history import Operation
from jepsen_like.sim.clients.recorder import Recorder
from streamlog.client.transport import ClientStream, Clock, TransportError
from streamlog.v1 import group_service_pb2 as pb

MEMBERSHIP: Final = "/streamlog.v1.GroupService/Membership"


@dataclass(slots=True)
class Part:
    """One life of a member in a group; times are of its process's own clock."""

    group: str
    member_id: str
    epoch: int = 0
    held: dict[int, int] = field(default_factory=dict)
    """To read: partition to epoch of the grant."""
    revoking: dict[int, int] = field(default_factory=dict)
    session_timeout_ms: int = 0
    confirmed_ms: float = float("-inf")
    """When it sent the newest message whose answer confirmed its session."""
    starts: dict[int, int] = field(default_factory=dict)
    """Where to begin to read each partition under its newest grant: at what is committed, or at the
    start."""
    seen: dict[int, int] = field(default_factory=dict)
    """Newest grant of each partition that it was ever told."""

    def unconfirmed_ms(self, now_ms: float) -> float:
        """For how long nothing has confirmed its session."""
        return now_ms - self.confirmed_ms


class GroupTap:
    """All Membership streams of one client process."""

    def __init__(self, process: str, recorder: Recorder, clock: Clock, *, reads: bool) -> None:
        """`reads`: the process reads what it is granted, from the committed position or from the
        start."""
        self.process, self.recorder, self.clock = process, recorder, clock
        self.reads = reads
        self.topic_id = 0
        """Of the topic that groups read; 0: not told yet."""
        self.parts: dict[str, Part] = {}
        self.part: Part | None = None
        """The one that joined last."""

    def tapped(self, method: str, stream: ClientStream) -> ClientStream:
        """The stream, watched if it is a member's."""
        return _TappedStream(self, stream) if method == MEMBERSHIP else stream

    def joins(self, request: pb.MemberJoin) -> Part:
        """A member opens a stream or changes what it says of itself."""
        part = self.parts.get(request.member_id)
        if part is None:
            part = self.parts[request.member_id] = Part(request.group, request.member_id)
        if request.member_epoch == 0:
            part.held, part.revoking, part.epoch = {}, {}, 0
        self.part = part
        return part

    def told(self, part: Part, assignment: pb.MemberAssignment) -> None:
        """The member takes an assignment."""
        for each in assignment.assigned:
            self.topic_id = each.topic_id
        known = {**part.held, **part.revoking}
        moved = assignment.member_epoch != part.epoch
        part.epoch = assignment.member_epoch
        part.session_timeout_ms = assignment.session_timeout_ms
        part.held = {each.partition: each.grant_epoch for each in assignment.assigned}
        part.revoking = {p.partition: known.get(p.partition, 0) for p in assignment.revoking}
        for each in assignment.assigned:
            if part.seen.get(each.partition) != each.grant_epoch:
                part.seen[each.partition] = each.grant_epoch
                self._granted(part, each)
            elif moved:
                self.recorder.happened(
                    self.process,
                    "own",
                    each.partition,
                    group=part.group,
                    member=part.member_id,
                    grant=each.grant_epoch,
                    epoch=part.epoch,
                )

    def _granted(self, part: Part, each: pb.AssignedPartition) -> None:
        offset = each.committed.offset if each.HasField("committed") else -1
        part.starts[each.partition] = max(offset, 0)
        self.recorder.happened(
            self.process,
            "grant",
            each.partition,
            group=part.group,
            member=part.member_id,
            grant=each.grant_epoch,
            epoch=part.epoch,
            offset=offset,
        )
        if self.reads:
            self.recorder.happened(self.process, "assign", each.partition, offset=max(offset, 0))


class _TappedStream:
    """`streamlog.client.transport.ClientStream`."""

    def __init__(self, tap: GroupTap, stream: ClientStream) -> None:
        self._tap, self._stream = tap, stream
        self._part: Part | None = None
        self._joined_ms: float | None = None
        """When the first join was sent, until it is answered."""
        self._heartbeats: dict[int, float] = {}
        self._commits: dict[int, list[Operation]] = {}

    async def send(self, message: bytes) -> None:
        self._sent(pb.MemberRequest.FromString(message))
        await self._stream.send(message)

    async def receive(self) -> bytes | None:
        try:
            message = await self._stream.receive()
        except TransportError as error:
            self._over(str(error))
            raise
        if message is None:
            self._over("the stream ended")
        else:
            self._received(pb.MemberResponse.FromString(message))
        return message

    async def done_sending(self) -> None:
        await self._stream.done_sending()

    def cancel(self) -> None:
        self._over("the stream was given up")
        self._stream.cancel()

    def _sent(self, request: pb.MemberRequest) -> None:
        tap, now_ms = self._tap, self._tap.clock.monotonic_ms()
        match request.WhichOneof("request"):
            case "join":
                if self._part is None:
                    self._joined_ms = now_ms
                self._part = tap.joins(request.join)
            case "heartbeat":
                self._heartbeats[request.heartbeat.sequence] = now_ms
            case "acknowledge":
                if self._part is not None:
                    for each in request.acknowledge.revoked:
                        self._part.revoking.pop(each.partition, None)
            case "commit":
                self._commit(request.commit)
            case _:
                pass

    def _commit(self, request: pb.MemberCommit) -> None:
        part, recorder = self._part, self._tap.recorder
        assert part is not None
        grants = {**part.held, **part.revoking}
        self._commits[request.sequence] = [
            recorder.invoke(
                self._tap.process,
                "commit",
                each.partition,
                offset=each.offset,
                group=part.group,
                member=part.member_id,
                grant=grants.get(each.partition, 0),
                epoch=request.member_epoch,
            )
            for each in request.offsets
        ]

    def _received(self, response: pb.MemberResponse) -> None:
        part = self._part
        assert part is not None
        match response.WhichOneof("response"):
            case "assignment":
                if self._joined_ms is not None:
                    part.confirmed_ms, self._joined_ms = self._joined_ms, None
                self._tap.told(part, response.assignment)
            case "heartbeat":
                sent_ms = self._heartbeats.pop(response.heartbeat.sequence, None)
                if sent_ms is not None:
                    part.confirmed_ms = max(part.confirmed_ms, sent_ms)
            case "commit":
                for operation in self._commits.pop(response.commit.sequence, ()):
                    if not response.commit.HasField("error"):
                        self._tap.recorder.ok(operation)
                    elif response.commit.error.indefinite:
                        self._tap.recorder.info(operation, response.commit.error.message)
                    else:
                        self._tap.recorder.fail(operation, response.commit.error.message)
            case _:
                pass

    def _over(self, why: str) -> None:
        for operations in self._commits.values():
            for operation in operations:
                self._tap.recorder.info(operation, why)
        self._commits.clear()
