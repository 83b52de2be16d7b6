"""The called side of PeerService: streams that peers opened to this node.

A newer stream of one kind from a peer supersedes the older one, which then ends: its other end is
gone, and answers must not go there. Answers travel on the stream of the request, gathered by an
outbox. The append stream is read no further while the node has no room for entries: the
transport's flow control then holds the sender back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from replication.errors import LogCorrupt
from replication.ports import CallFailed, ServerStream, Service, StatusCode
from replication.transport import wire
from replication.transport.handshake import claim_of, hello_of, refusal
from replication.transport.identity import NodeIdentity
from replication.transport.link import SERVICE
from replication.transport.messages import (
    InstallBegin,
    InstallChunk,
    InstallProgress,
    PeerHandler,
)
from replication.transport.outbox import AppendReplies, ControlReplies, Outbox
from replication.transport.settings import TransportSettings
from replication.transport.tasks import TaskOwner, end
from replication.types import NodeId
from replication.v1 import peer_service_pb2 as pb

_OFFERS_MAX = 200
_OFFER_PAUSE_S = 0.005
"""Entries that the disk has no room for are offered again for a second, then dropped: their
leader asks again."""

_Request = TypeVar("_Request", pb.ControlRequest, pb.AppendRequest, pb.BulkRequest)


class _Session:
    """One stream that a peer opened; ends when `ended` is set."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(self, failure: CallFailed | None = None) -> None:
        """End the stream, with OK or with a failure; the first call counts."""
        if self.ended.done():
            return
        if failure is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(failure)


class InboundStreams:
    """Serves PeerService; before `open` and after `close` it hears who calls, and refuses.

    Invariant: at most one control and one append session a peer are current.
    """

    def __init__(
        self,
        identity: NodeIdentity,
        settings: TransportSettings,
        handler: PeerHandler,
        tasks: TaskOwner,
        heard_from: Callable[[NodeId], None],
    ) -> None:
        self._identity = identity
        self._settings = settings
        self._handler = handler
        self._tasks = tasks
        self._heard_from = heard_from
        self._control: dict[NodeId, tuple[_Session, ControlReplies]] = {}
        self._appends: dict[NodeId, tuple[_Session, AppendReplies]] = {}
        self._open = False

    def service(self) -> Service:
        """What the node listens to for its peers."""
        return Service(
            SERVICE,
            {},
            {
                "Control": self._serve_control,
                "Append": self._serve_append,
                "Bulk": self._serve_bulk,
            },
        )

    def control_replies(self, node_id: NodeId) -> ControlReplies | None:
        """Where answers on the peer's control stream go; None when it has none."""
        current = self._control.get(node_id)
        return None if current is None else current[1]

    def append_replies(self, node_id: NodeId) -> AppendReplies | None:
        """Where answers on the peer's append stream go; None when it has none."""
        current = self._appends.get(node_id)
        return None if current is None else current[1]

    def open(self) -> None:
        """Admit those who belong here from now on."""
        self._open = True

    def close(self) -> None:
        """Refuse new streams and end those that stand."""
        self._open = False
        closing = CallFailed(StatusCode.UNAVAILABLE, "the node is stopping")
        for session, _ in [*self._control.values(), *self._appends.values()]:
            session.finish(closing)

    # -- handlers ----------------------------------------------------------------------------

    async def _serve_control(self, stream: ServerStream) -> None:
        node_id = self._admit((await self._first(stream, pb.ControlRequest())).hello)
        await stream.send(pb.ControlResponse(hello=hello_of(self._identity)).SerializeToString())
        replies = ControlReplies(self._settings.replies_queue_messages_max)
        session = _Session(replies)
        self._supersede(self._control.get(node_id))
        self._control[node_id] = (session, replies)
        self._heard_from(node_id)

        async def take(data: bytes) -> None:
            self._control_request(node_id, replies, data)

        try:
            await self._serve(stream, session, take)
        finally:
            if self._control.get(node_id) == (session, replies):
                del self._control[node_id]
                self._handler.inbound_lost(node_id)

    async def _serve_append(self, stream: ServerStream) -> None:
        node_id = self._admit((await self._first(stream, pb.AppendRequest())).hello)
        await stream.send(pb.AppendResponse(hello=hello_of(self._identity)).SerializeToString())
        replies = AppendReplies(self._settings.replies_queue_messages_max)
        session = _Session(replies)
        self._supersede(self._appends.get(node_id))
        self._appends[node_id] = (session, replies)

        async def take(data: bytes) -> None:
            for append in wire.parse(pb.AppendRequest(), data).appends:
                group_id, message, frames = wire.read_append(append)
                for _ in range(_OFFERS_MAX):
                    if self._handler.append_received(node_id, group_id, message, frames):
                        break
                    await asyncio.sleep(_OFFER_PAUSE_S)
            await self._handler.append_room()

        try:
            await self._serve(stream, session, take)
        finally:
            if self._appends.get(node_id) == (session, replies):
                del self._appends[node_id]

    async def _serve_bulk(self, stream: ServerStream) -> None:
        node_id = self._admit((await self._first(stream, pb.BulkRequest())).hello)
        await stream.send(pb.BulkResponse(hello=hello_of(self._identity)).SerializeToString())
        try:
            await self._handler.install_received(node_id, _BulkServer(stream))
        except (wire.ProtocolError, LogCorrupt) as error:
            raise _data_loss(error) from error

    def _control_request(self, node_id: NodeId, replies: ControlReplies, data: bytes) -> None:
        request = wire.parse(pb.ControlRequest(), data)
        if request.HasField("heartbeat"):
            heartbeat = wire.heartbeat_from_wire(request.heartbeat)
            replies.put_answer(self._handler.heartbeat_received(node_id, heartbeat))
        for group_id, message in wire.read_control(request):
            self._handler.message_received(node_id, group_id, message)
        for announcement in request.announcements:
            self._handler.announcement_received(wire.announcement_from_wire(announcement))

    # -- the life of a stream ----------------------------------------------------------------

    async def _first(self, stream: ServerStream, request: _Request) -> _Request:
        """The first message, which carries the Hello. Raises CallFailed."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout_ms / 1_000):
                first = await stream.receive()
        except TimeoutError:
            raise CallFailed(StatusCode.DEADLINE_EXCEEDED, "no Hello came") from None
        try:
            parsed = wire.parse(request, first or b"")
        except wire.ProtocolError as error:
            raise CallFailed(StatusCode.INVALID_ARGUMENT, str(error)) from error
        if not parsed.HasField("hello"):
            raise CallFailed(StatusCode.INVALID_ARGUMENT, "the first message must be a Hello")
        return parsed

    def _admit(self, hello: pb.Hello) -> NodeId:
        """The node that calls. Raises CallFailed with the reason of a refusal."""
        claim = claim_of(hello, self._identity)
        if claim is not None:
            self._handler.membership_claimed(claim)
        if not self._open:
            raise CallFailed(StatusCode.UNAVAILABLE, "the node is starting or stopping")
        node_id = NodeId(hello.node_id)
        known = self._handler.directories_of(node_id)
        reason = refusal(hello, self._identity, None, known)
        heard = self._handler.boot_of(node_id)
        if reason is None and heard not in {0, hello.boot_id}:
            reason = (
                f"node {node_id} is heard from another process: two run on one data directory, or "
                "on a copy of it"
            )
        if reason is not None:
            self._handler.peer_refused(node_id, reason)
            raise CallFailed(StatusCode.FAILED_PRECONDITION, reason)
        return node_id

    @staticmethod
    def _supersede(
        current: tuple[_Session, ControlReplies] | tuple[_Session, AppendReplies] | None,
    ) -> None:
        if current is not None:
            current[0].finish(CallFailed(StatusCode.ABORTED, "a newer stream took over"))

    async def _serve(
        self,
        stream: ServerStream,
        session: _Session,
        take: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Read and answer until the peer ends, something breaks, or the session is superseded."""

        async def read() -> None:
            try:
                while (data := await stream.receive()) is not None:
                    if session.ended.done():
                        return
                    await take(data)
                session.finish()
            except CallFailed as failure:
                session.finish(failure)
            except (wire.ProtocolError, LogCorrupt) as error:
                session.finish(_data_loss(error))

        async def write() -> None:
            try:
                while True:
                    message = session.outbox.take()
                    if message is None:
                        await session.outbox.wait()
                    else:
                        await stream.send(message)
            except CallFailed as failure:
                session.finish(failure)

        reader = self._tasks.start(read(), f"reader of {stream.peer}")
        writer = self._tasks.start(write(), f"writer to {stream.peer}")
        if reader is None or writer is None:
            raise CallFailed(StatusCode.UNAVAILABLE, "the node is stopping")
        try:
            await session.ended
        finally:
            await end(reader)
            await end(writer)


def _data_loss(error: Exception) -> CallFailed:
    return CallFailed(StatusCode.DATA_LOSS, str(error))


class _BulkServer:
    """One incoming copy."""

    def __init__(self, stream: ServerStream) -> None:
        self._stream = stream

    async def receive(self) -> InstallBegin | InstallChunk | None:
        data = await self._stream.receive()
        return None if data is None else wire.read_bulk_request(data)

    async def send(self, progress: InstallProgress) -> None:
        await self._stream.send(wire.bulk_response(progress))
