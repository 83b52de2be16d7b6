"""The Membership stream: a member's part in its consumer group.

One task takes what the member says, one thing after the other; another sends what the member is to
know. A refusal of what the member asked for is an answer; what ends its part in the group here (it
was removed, another stream took its place, the coordinator moved) ends the stream with a status.

Invariants:
- At most STREAMS_MAX streams are open, those that have yet to join included.
- A member that does not take what it is sent for SEND_TIMEOUT_MS is cut off; then its session timer
  decides, as after every end of a stream without `leave`.
"""

from __future__ import annotations

import asyncio
from typing import Final, assert_never

from consumer_groups.errors import GroupError
from consumer_groups.types import Epoch, GroupName, MemberInfo
from replication.errors import ReplicationError
from replication.ports import ServerStream
from streamlog.broker.counters import BrokerCounters
from streamlog.broker.duplex import run_duplex
from streamlog.broker.error_mapping import parse, to_call_failed, to_proto
from streamlog.broker.groups.group_codec import (
    member_info,
    offsets_of,
    partitions_of,
    to_assignment,
)
from streamlog.broker.groups.group_coordinators import Coordination, GroupCoordinators
from streamlog.groups.sessions import MemberSession
from streamlog.model.errors import Reason, StreamlogError
from streamlog.v1 import group_service_pb2 as pb
from streamlog.v1.error_pb2 import Error

STREAMS_MAX: Final = 10_000
"""Of a node."""
JOIN_TIMEOUT_MS: Final = 30_000
"""A stream that has not sent `join` by then is ended."""
SEND_TIMEOUT_MS: Final = 30_000

CALL: Final = "GroupService/Membership"


class MembershipService:
    """Serves Membership streams."""

    def __init__(self, coordinators: GroupCoordinators, counters: BrokerCounters) -> None:
        self._coordinators, self._counters = coordinators, counters
        self._streams = 0

    async def serve(self, stream: ServerStream) -> None:
        """Handle one stream until either side ends it."""
        if self._streams >= STREAMS_MAX:
            raise to_call_failed(
                StreamlogError(
                    Reason.OVERLOADED,
                    f"this node serves {self._streams} of at most {STREAMS_MAX} members",
                    retry_after_ms=1_000,
                )
            )
        self._streams += 1
        try:
            await self._serve(stream)
        except StreamlogError as error:
            self._counters.refuse(CALL, error.reason.name)
            raise to_call_failed(error) from error
        finally:
            self._streams -= 1

    async def _serve(self, stream: ServerStream) -> None:
        join = await _first_join(stream)
        if join is None:
            return
        found = await self._coordinators.of(join.group)
        info = member_info(join, stream.peer)
        try:
            session = await found.coordinator.join(
                GroupName(join.group), info, Epoch(join.member_epoch)
            )
        except Exception as error:
            raise self._coordinators.explain(found, error) from error
        part = _Part(self._coordinators, found, session, info, stream)
        try:
            await run_duplex(part.read(), part.write(), drain=True)
        finally:
            found.coordinator.disconnected(session)


async def _first_join(stream: ServerStream) -> pb.MemberJoin | None:
    """None: the client ended the stream before it said anything."""
    try:
        async with asyncio.timeout(JOIN_TIMEOUT_MS / 1_000):
            data = await stream.receive()
    except TimeoutError:
        raise StreamlogError(
            Reason.INVALID_REQUEST, f"no join came within {JOIN_TIMEOUT_MS} ms"
        ) from None
    if data is None:
        return None
    request = parse(pb.MemberRequest, data)
    if request.WhichOneof("request") != "join":
        raise StreamlogError(Reason.INVALID_REQUEST, "the first message of a member is not join")
    return request.join


class _Part:
    """One member and its stream."""

    def __init__(
        self,
        coordinators: GroupCoordinators,
        found: Coordination,
        session: MemberSession,
        info: MemberInfo,
        stream: ServerStream,
    ) -> None:
        self._coordinators, self._found = coordinators, found
        self._coordinator = found.coordinator
        self._session, self._info, self._stream = session, info, stream

    # What the member says.

    async def read(self) -> None:
        """Take what the member says, until it says no more or leaves.

        What goes wrong here is the reason for which the session ends: `write` tells it, after the
        answers that wait.
        """
        try:
            while not self._session.ended and (data := await self._stream.receive()) is not None:
                if not await self._take(parse(pb.MemberRequest, data)):
                    break
        except (GroupError, ReplicationError, StreamlogError) as error:
            self._session.end(error)
        finally:
            self._session.end(None)

    async def _take(self, request: pb.MemberRequest) -> bool:
        """False: the member left."""
        match request.WhichOneof("request"):
            case "join":
                await self._change(request.join)
            case "heartbeat":
                await self._heartbeat(request.heartbeat)
            case "acknowledge":
                await self._acknowledge(request.acknowledge)
            case "commit":
                await self._commit(request.commit)
            case "leave":
                await self._coordinator.leave(self._session)
                return False
            case None:
                raise StreamlogError(
                    Reason.INVALID_REQUEST, "a message of a member says nothing this node knows"
                )
            case other:
                assert_never(other)
        return True

    async def _heartbeat(self, request: pb.MemberHeartbeat) -> None:
        answer = await self._coordinator.heartbeat(
            self._session,
            Epoch(request.member_epoch),
            request.assigned_count,
            request.handled_count,
        )
        self._reply(
            pb.MemberResponse(
                heartbeat=pb.MemberHeartbeatAnswer(
                    sequence=request.sequence,
                    member_epoch=answer.member_epoch,
                    coordinator_term=self._coordinator.term,
                )
            )
        )

    async def _change(self, request: pb.MemberJoin) -> None:
        info = member_info(request, self._stream.peer)
        if (request.group, info.member_id) != (self._session.group, self._session.member_id):
            raise StreamlogError(
                Reason.INVALID_REQUEST,
                f"the stream is that of member {self._session.member_id} of group"
                f" {self._session.group}: another needs a stream of its own",
            )
        try:
            await self._coordinator.change(self._session, info, Epoch(request.member_epoch))
        except GroupError as error:
            self._reply(pb.MemberResponse(error=self._told(error)))

    async def _acknowledge(self, request: pb.MemberAcknowledge) -> None:
        try:
            await self._coordinator.acknowledge(
                self._session, Epoch(request.member_epoch), partitions_of(request.revoked)
            )
        except GroupError as error:
            self._reply(pb.MemberResponse(error=self._told(error)))

    async def _commit(self, request: pb.MemberCommit) -> None:
        answer = pb.MemberCommitAnswer(sequence=request.sequence)
        try:
            await self._coordinator.commit(
                self._session, Epoch(request.member_epoch), offsets_of(request.offsets)
            )
        except (GroupError, ReplicationError) as error:
            # Whether it took effect is in the error; a coordinator that moved ends the stream too.
            answer.error.CopyFrom(self._told(error))
        self._reply(pb.MemberResponse(commit=answer))

    def _told(self, error: GroupError | ReplicationError) -> Error:
        return to_proto(self._coordinators.explain(self._found, error))

    def _reply(self, response: pb.MemberResponse) -> None:
        self._session.reply(response.SerializeToString())

    # What the member is told.

    async def write(self) -> None:
        """Send assignments and answers until the session ends, then raise why."""
        session = self._session
        while True:
            await session.something_to_send()
            if session.take_assignment_due():
                await self._send(self._assignment())
            for message in session.take_replies():
                await self._send(message)
            if session.over:
                if session.reason is not None:
                    raise self._coordinators.explain(self._found, session.reason)
                return

    def _assignment(self) -> bytes:
        try:
            assignment, info = self._coordinator.assignment(self._session)
        except GroupError as error:
            raise self._coordinators.explain(self._found, error) from error
        names = self._coordinator.topic_names(self._session.group)
        return pb.MemberResponse(
            assignment=to_assignment(assignment, info, names)
        ).SerializeToString()

    async def _send(self, message: bytes) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_MS / 1_000):
                await self._stream.send(message)
        except TimeoutError:
            raise StreamlogError(
                Reason.OVERLOADED,
                f"the member has not taken what it was sent for {SEND_TIMEOUT_MS} ms",
            ) from None
