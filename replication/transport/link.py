"""This node's streams to one peer: Control and Append always, Bulk while a log is copied.

Each stream begins with a Hello both ways. A broken stream is opened again after a pause that
doubles up to a second; while it is broken the link swallows what is put, like a network that
loses messages, and `appends_lost`/`appends_connected` tell the groups so. A control stream that
gets no answer for the stall timeout takes the whole link down: a connection whose other end
vanished would retransmit for minutes, and a healed partition would not be noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from replication.group import AddressBook
from replication.ports import CallFailed, Channel, ClientStream, Network, Random, StatusCode
from replication.transport import wire
from replication.transport.handshake import hello_of, refusal
from replication.transport.identity import NodeIdentity
from replication.transport.messages import (
    BulkSender,
    InstallBegin,
    InstallChunk,
    InstallProgress,
    PeerHandler,
)
from replication.transport.outbox import AppendOutbox, ControlOutbox, Outbox
from replication.transport.settings import TransportSettings
from replication.transport.tasks import TaskOwner, end, settled
from replication.types import NodeId
from replication.v1 import peer_service_pb2 as pb

SERVICE = "replication.v1.PeerService"
_Response = pb.ControlResponse | pb.AppendResponse | pb.BulkResponse


class PeerLink:
    """Everything this node sends to one peer.

    Invariant: an outbox is empty while its stream is down.
    """

    def __init__(
        self,
        *,
        node_id: NodeId,
        identity: NodeIdentity,
        network: Network,
        addresses: AddressBook,
        random: Random,
        settings: TransportSettings,
        handler: PeerHandler,
        tasks: TaskOwner,
    ) -> None:
        self.node_id = node_id
        self.control = ControlOutbox(settings.control_queue_messages_max)
        self.appends = AppendOutbox(
            settings.append_queue_bytes_max, settings.append_message_bytes_max
        )
        self.control_up = False
        self.appends_up = False
        self._identity = identity
        self._network = network
        self._addresses = addresses
        self._random = random
        self._settings = settings
        self._handler = handler
        self._tasks = tasks
        self._runners: list[asyncio.Task[None]] = []
        self._control_stream: ClientStream | None = None
        self._append_stream: ClientStream | None = None
        self._stopping = False
        self._poked = asyncio.Event()

    def start(self) -> None:
        """Connect, and stay connected."""
        for work, name in ((self._run_control(), "control"), (self._run_appends(), "append")):
            task = self._tasks.start(work, f"{name} stream to node {self.node_id}")
            if task is not None:
                self._runners.append(task)

    async def stop(self) -> None:
        """Close the streams; what waits in them ends as a call that was given up."""
        self._stopping = True
        self.poke()
        for stream in (self._control_stream, self._append_stream):
            if stream is not None:
                stream.cancel()
        for task in self._runners:
            await settled(task)
        self._runners.clear()

    def poke(self) -> None:
        """The peer is there (it called us): connect now instead of after the pause."""
        self._poked.set()
        self._poked.clear()

    async def open_bulk(self) -> BulkSender:
        """A stream for one copy. Raises CallFailed."""
        reached = self._reach()
        if reached is None:
            raise CallFailed(
                StatusCode.UNAVAILABLE, f"the address of node {self.node_id} is not known"
            )
        channel, hello = reached
        stream = channel.stream(f"/{SERVICE}/Bulk")
        try:
            await self._greet(stream, pb.BulkRequest(hello=hello), pb.BulkResponse())
        except BaseException:
            stream.cancel()
            await channel.close()
            raise
        return _BulkClient(stream, channel, self._tasks)

    # -- the life of a stream ----------------------------------------------------------------

    def _reach(self) -> tuple[Channel, pb.Hello] | None:
        """A channel to where the peer is known to be, and what to say first there: that it is a
        member only where it said itself that it is."""
        address = self._addresses.address_of(self.node_id)
        if address is None:
            return None
        known = self._handler.directories_of(self.node_id)
        member = known and self._addresses.registered(self.node_id)
        hello = hello_of(self._identity, self.node_id if member else None)
        return self._network.connect(address), hello

    async def _run_control(self) -> None:
        await self._stay_connected(self._control_session)

    async def _run_appends(self) -> None:
        await self._stay_connected(self._append_session)

    async def _stay_connected(
        self, session: Callable[[Channel, pb.Hello], Awaitable[bool]]
    ) -> None:
        """Run sessions one after the other, pausing between them."""
        pause_ms = self._settings.backoff_min_ms
        while not self._stopping:
            reached = self._reach()
            if reached is not None:
                channel, hello = reached
                try:
                    if await session(channel, hello):
                        pause_ms = self._settings.backoff_min_ms
                except CallFailed:
                    pass  # the channel did not even open a stream
                finally:
                    await channel.close()
            if self._stopping:
                return
            jittered_ms = pause_ms * (0.5 + 0.5 * self._random.random())
            try:
                async with asyncio.timeout(jittered_ms / 1_000):
                    await self._poked.wait()
            except TimeoutError:
                pass
            pause_ms = min(2 * pause_ms, self._settings.backoff_max_ms)

    async def _control_session(self, channel: Channel, hello: pb.Hello) -> bool:
        """One life of the control stream; true when it stood."""
        stream = self._control_stream = channel.stream(f"/{SERVICE}/Control")
        greeted = False
        try:
            request = pb.ControlRequest(hello=hello)
            await self._greet(stream, request, pb.ControlResponse())
            greeted = True
            self.control.clear()
            self.control_up = True
            self._handler.peer_connected(self.node_id)
            await self._converse(stream, self.control, self._control_answers(stream))
        except (CallFailed, TimeoutError, wire.ProtocolError):
            pass  # the pause and the next session are the answer
        finally:
            stream.cancel()
            self._control_stream = None
            self.control_up = False
            self.control.clear()
            if self._append_stream is not None:
                self._append_stream.cancel()
        return greeted

    async def _append_session(self, channel: Channel, hello: pb.Hello) -> bool:
        """One life of the append stream; true when it stood."""
        stream = self._append_stream = channel.stream(f"/{SERVICE}/Append")
        greeted = False
        try:
            request = pb.AppendRequest(hello=hello)
            await self._greet(stream, request, pb.AppendResponse())
            greeted = True
            self.appends.clear()
            self.appends_up = True
            self._handler.appends_connected(self.node_id)
            await self._converse(stream, self.appends, self._append_answers(stream))
        except (CallFailed, TimeoutError, wire.ProtocolError):
            pass
        finally:
            stream.cancel()
            self._append_stream = None
            self.appends_up = False
            self.appends.clear()
            if greeted:
                self._handler.appends_lost(self.node_id)
        return greeted

    async def _greet(
        self,
        stream: ClientStream,
        request: pb.ControlRequest | pb.AppendRequest | pb.BulkRequest,
        response: _Response,
    ) -> None:
        """Exchange Hellos. Raises CallFailed or TimeoutError."""
        async with asyncio.timeout(self._settings.connect_timeout_ms / 1_000):
            try:
                await stream.send(request.SerializeToString())
                data = await stream.receive()
            except CallFailed as failure:
                if failure.code is StatusCode.FAILED_PRECONDITION:
                    self._handler.peer_refused(self.node_id, failure.message)
                raise
        if data is None:
            raise CallFailed(StatusCode.UNAVAILABLE, "the peer ended the stream")
        hello = wire.parse(response, data).hello
        known = self._handler.directories_of(self.node_id)
        reason = refusal(hello, self._identity, self.node_id, known)
        if reason is not None:
            self._handler.peer_refused(self.node_id, reason)
            raise CallFailed(StatusCode.FAILED_PRECONDITION, reason)

    async def _converse(
        self, stream: ClientStream, outbox: Outbox, answers: Awaitable[None]
    ) -> None:
        """Send what the outbox gets and hear the answers, until either fails."""

        async def send_all() -> None:
            try:
                while True:
                    message = outbox.take()
                    if message is None:
                        await outbox.wait()
                    else:
                        await stream.send(message)
            except CallFailed:
                stream.cancel()  # ends the answers too

        sender = self._tasks.start(send_all(), f"sender to node {self.node_id}")
        try:
            await answers
        finally:
            await end(sender)

    async def _control_answers(self, stream: ClientStream) -> None:
        stall_s = self._settings.stall_timeout_ms / 1_000
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(stall_s) as stall:
            while (data := await stream.receive()) is not None:
                stall.reschedule(loop.time() + stall_s)
                response = wire.parse(pb.ControlResponse(), data)
                self._handler.peer_heard(self.node_id)
                if response.HasField("heartbeat"):
                    answer = wire.answer_from_wire(response.heartbeat)
                    self._handler.heartbeat_answered(self.node_id, answer)
                for group_id, message in wire.read_control_reply(response):
                    self._handler.message_received(self.node_id, group_id, message)

    async def _append_answers(self, stream: ClientStream) -> None:
        while (data := await stream.receive()) is not None:
            for answer in wire.parse(pb.AppendResponse(), data).responses:
                group_id, message = wire.read_append_reply(answer)
                self._handler.message_received(self.node_id, group_id, message)


class _BulkClient:
    """One outgoing copy."""

    def __init__(self, stream: ClientStream, channel: Channel, tasks: TaskOwner) -> None:
        self._stream = stream
        self._channel = channel
        self._tasks = tasks

    async def send(self, message: InstallBegin | InstallChunk) -> None:
        await self._stream.send(wire.bulk_request(message))

    async def receive(self) -> InstallProgress | None:
        data = await self._stream.receive()
        return None if data is None else wire.read_bulk_response(data)

    def cancel(self) -> None:
        self._stream.cancel()
        self._tasks.start(self._channel.close(), "close a bulk channel")
