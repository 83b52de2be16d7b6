"""What waits to be sent on one stream, gathered into as few messages as the moment allows.

Everything that is put during one iteration of the loop leaves in one message: the sender wakes
an iteration after the first `put`. Each outbox is bounded: control and replies drop above their
bound (their askers ask again) and count it; appends report `full` and let groups wait for room.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from replication.raft.messages import AppendEntries, AppendEntriesResponse
from replication.transport import wire
from replication.transport.messages import Announcement, Heartbeat, HeartbeatAnswer
from replication.types import GroupId
from replication.v1 import peer_service_pb2 as pb

_MESSAGES_PER_SEND = 2_000
"""Votes and the like in one message: keeps one below 100 KB and a few milliseconds."""


class Outbox(ABC):
    """Base of all: an event that the sending task waits for."""

    def __init__(self) -> None:
        self._filled = asyncio.Event()
        self.dropped = 0
        """Messages dropped at the bound since the start."""

    @abstractmethod
    def take(self) -> bytes | None:
        """The next message to send; None when nothing waits."""

    @abstractmethod
    def clear(self) -> None:
        """Forget what waits: the stream it was meant for is gone."""

    def _put(self) -> None:
        self._filled.set()

    async def wait(self) -> None:
        """Until something may wait."""
        self._filled.clear()
        await self._filled.wait()


class ControlOutbox(Outbox):
    """Requests on the control stream. A newer heartbeat replaces one that waits."""

    def __init__(self, messages_max: int) -> None:
        super().__init__()
        self._messages_max = messages_max
        self._heartbeat: Heartbeat | None = None
        self._messages: deque[tuple[GroupId, wire.ControlMessage]] = deque()
        self._announcements: dict[GroupId, Announcement] = {}

    def put_heartbeat(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._put()

    def put(self, group_id: GroupId, message: wire.ControlMessage) -> None:
        if len(self._messages) >= self._messages_max:
            self.dropped += 1
            return
        self._messages.append((group_id, message))
        self._put()

    def announce(self, announcement: Announcement) -> None:
        self._announcements[announcement.group_id] = announcement
        self._put()

    def take(self) -> bytes | None:
        if self._heartbeat is None and not self._messages and not self._announcements:
            return None
        request = pb.ControlRequest()
        if self._heartbeat is not None:
            request.heartbeat.CopyFrom(wire.heartbeat_to_wire(self._heartbeat))
            self._heartbeat = None
        for _ in range(min(len(self._messages), _MESSAGES_PER_SEND)):
            wire.add_control(request, *self._messages.popleft())
        for group_id in list(self._announcements)[:_MESSAGES_PER_SEND]:
            announcement = self._announcements.pop(group_id)
            request.announcements.append(wire.announcement_to_wire(announcement))
        return request.SerializeToString()

    def clear(self) -> None:
        self._heartbeat = None
        self._messages.clear()
        self._announcements.clear()


class ControlReplies(Outbox):
    """Answers on a peer's control stream."""

    def __init__(self, messages_max: int) -> None:
        super().__init__()
        self._messages_max = messages_max
        self._answer: HeartbeatAnswer | None = None
        self._messages: deque[tuple[GroupId, wire.ControlReply]] = deque()

    def put_answer(self, answer: HeartbeatAnswer) -> None:
        self._answer = answer
        self._put()

    def put(self, group_id: GroupId, message: wire.ControlReply) -> None:
        if len(self._messages) >= self._messages_max:
            self.dropped += 1
            return
        self._messages.append((group_id, message))
        self._put()

    def take(self) -> bytes | None:
        if self._answer is None and not self._messages:
            return None
        response = pb.ControlResponse()
        if self._answer is not None:
            response.heartbeat.CopyFrom(wire.answer_to_wire(self._answer))
            self._answer = None
        for _ in range(min(len(self._messages), _MESSAGES_PER_SEND)):
            wire.add_control_reply(response, *self._messages.popleft())
        return response.SerializeToString()

    def clear(self) -> None:
        self._answer = None
        self._messages.clear()


class AppendOutbox(Outbox):
    """Entries for one peer.

    Invariant: `queued_bytes` counts the frames that wait; above the bound `full` is true, and
    whoever registered with `when_room` is called, oldest first, as it sinks below.
    """

    def __init__(self, queue_bytes_max: int, message_bytes_max: int) -> None:
        super().__init__()
        self._queue_bytes_max = queue_bytes_max
        self._message_bytes_max = message_bytes_max
        self._appends: deque[tuple[GroupId, AppendEntries, bytes]] = deque()
        self._waiting: deque[Callable[[], None]] = deque()
        self.queued_bytes = 0

    @property
    def full(self) -> bool:
        """No room for more entries."""
        return self.queued_bytes >= self._queue_bytes_max

    def when_room(self, resume: Callable[[], None]) -> None:
        """Call `resume` once when there is room. At most one a group and peer waits."""
        self._waiting.append(resume)

    def put(self, group_id: GroupId, message: AppendEntries, frames: bytes) -> None:
        self._appends.append((group_id, message, frames))
        self.queued_bytes += len(frames)
        self._put()

    def take(self) -> bytes | None:
        if not self._appends:
            return None
        taken: list[tuple[GroupId, AppendEntries, bytes]] = []
        size = 0
        while self._appends and len(taken) < _MESSAGES_PER_SEND:
            following = len(self._appends[0][2])
            if taken and size + following > self._message_bytes_max:
                break
            taken.append(self._appends.popleft())
            size += following
        self.queued_bytes -= size
        while self._waiting and not self.full:
            self._waiting.popleft()()
        return wire.append_request(taken)

    def clear(self) -> None:
        self._appends.clear()
        self._waiting.clear()
        self.queued_bytes = 0


class AppendReplies(Outbox):
    """Answers on a peer's append stream."""

    def __init__(self, messages_max: int) -> None:
        super().__init__()
        self._messages_max = messages_max
        self._responses: deque[tuple[GroupId, AppendEntriesResponse]] = deque()

    def put(self, group_id: GroupId, message: AppendEntriesResponse) -> None:
        if len(self._responses) >= self._messages_max:
            self.dropped += 1
            return
        self._responses.append((group_id, message))
        self._put()

    def take(self) -> bytes | None:
        if not self._responses:
            return None
        response = pb.AppendResponse()
        for _ in range(min(len(self._responses), _MESSAGES_PER_SEND)):
            wire.add_append_reply(response, *self._responses.popleft())
        return response.SerializeToString()

    def clear(self) -> None:
        self._responses.clear()
