"""The Membership stream of one member: opened, kept alive, opened again elsewhere.

One task opens a stream and receives; a second one for each stream sends what is due: heartbeats,
acknowledgements, commits. A slow application delays neither. A coordinator that says nothing for a
third of the session is given up, so that two thirds are left to find the next one.

Invariants:
- At most one stream is open.
- Nothing but `join` is sent before the first assignment came, and no commit while the member is
  fenced.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from streamlog.client.connections.backoff import Backoff
from streamlog.client.connections.connection import Connection
from streamlog.client.errors import (
    ClientError,
    ConnectionLost,
    closed,
    from_transport,
    from_wire,
)
from streamlog.client.groups.commits import Commits
from streamlog.client.groups.coordinator_calls import GROUP_SERVICE, CoordinatorCalls
from streamlog.client.groups.member import Change, Member, PartitionId
from streamlog.client.groups.options import GroupOptions, Subscription
from streamlog.client.tasks import Tasks
from streamlog.client.transport import ClientStream, Environment, TransportError
from streamlog.model.errors import UNAVAILABLE, Reason
from streamlog.v1 import group_service_pb2 as pb

REJOIN_MS_FIRST: Final = 20.0
REJOIN_MS_MAX: Final = 1_000.0
COMMIT_RETRY_MS: Final = 100.0
NO_MEMBER: Final = frozenset(
    {
        Reason.UNKNOWN_MEMBER.name,
        Reason.STALE_MEMBER_EPOCH.name,
        Reason.STREAM_REPLACED.name,
    }
)
"""The coordinator has no such member, or somebody else is it: begin anew, as somebody new."""

_LOG = logging.getLogger("streamlog.client")


class LinkOwner(Protocol):
    """What a link tells the consumer."""

    def on_change(self, change: Change) -> None:
        """The member was told what it owns."""
        ...

    def on_confirmed(self) -> None:
        """A sign of life was confirmed."""
        ...

    def on_refused(self, error: ClientError) -> None:
        """The coordinator does not take the member as it is; it is not asked again."""
        ...

    def on_trouble(self, error: ClientError) -> None:
        """No coordinator was reached for so long that the application should know; the search
        goes on."""
        ...

    def handled_count(self) -> int:
        """Grows when the application makes progress."""
        ...


class _Call:
    """One stream."""

    def __init__(self, stream: ClientStream, connection: Connection) -> None:
        self.stream, self.connection = stream, connection
        self.address = connection.address
        self.over = False
        self.next_beat_ms = 0.0
        self.subscribing: int | None = None
        """Sequence of the heartbeat behind a changed subscription: its answer means taken."""
        self.said_leave = False


class MembershipLink:
    """A member's way to its coordinator."""

    def __init__(
        self,
        options: GroupOptions,
        member: Member,
        commits: Commits,
        calls: CoordinatorCalls,
        environment: Environment,
        tasks: Tasks,
        owner: LinkOwner,
        *,
        trouble_after_ms: float,
        unknown_topic_wait_ms: float,
    ) -> None:
        self._options, self._member, self._commits = options, member, commits
        self._calls, self._clock, self._tasks = calls, environment.clock, tasks
        self._owner = owner
        self._trouble_after_ms = trouble_after_ms
        self._unknown_topic_wait_ms = unknown_topic_wait_ms
        self._backoff = Backoff(REJOIN_MS_FIRST, REJOIN_MS_MAX, environment.random)
        self._subscription = self._joined_with = options.subscription
        self._wanted: tuple[Subscription, asyncio.Future[None]] | None = None
        """A subscription that the coordinator has yet to take."""
        self._call: _Call | None = None
        self._wake = asyncio.Event()
        self._acknowledge: dict[PartitionId, None] = {}
        self._commit_after_ms = 0.0
        self._leaving = False
        self._joined = asyncio.Event()
        self._ended = asyncio.Event()
        self._alone_since_ms: float | None = None
        self._asked_ms = 0.0
        """When the newest attempt began. What it was answered may have waited here for long, while
        the process stood still."""
        self._refused_since_ms: float | None = None
        self._was_member = False

    def start(self) -> None:
        """Join, and stay."""
        self._tasks.start(self._run())

    def wake(self) -> None:
        """There is something to be sent."""
        self._wake.set()

    def acknowledge(self, partitions: list[PartitionId]) -> None:
        """These are given up."""
        self._acknowledge.update(dict.fromkeys(partitions))
        self._wake.set()

    async def subscribe(self, subscription: Subscription) -> None:
        """Read other topics. One at a time. Raises what the coordinator refuses it for."""
        if self._wanted is not None:
            await asyncio.wait([self._wanted[1]])
        taken = asyncio.get_running_loop().create_future()
        self._wanted = subscription, taken
        if self._call is not None:
            self._call.subscribing = None
        self._wake.set()
        await taken

    async def leave(self, timeout_ms: float) -> bool:
        """Go for good, at the next coordinator if this one is on the move; False: none was there to
        hear it in time."""
        if self._call is None and not self._member.epoch:
            return False
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                while not self._member.joined and not self._ended.is_set():
                    self._joined.clear()
                    await self._joined.wait()
                self._leaving = True
                self._wake.set()
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        """End the stream; the member stays in the group until its session expires."""
        self._leaving = True
        self._not_subscribed(closed("consumer"))
        call = self._call
        if call is not None:
            call.over = True
            call.stream.cancel()

    # Receiving.

    async def _run(self) -> None:
        self._alone_since_ms = self._clock.monotonic_ms()
        while not self._leaving:
            error = await self._live()
            self._commits.stream_lost()
            if self._leaving:
                break
            pause_ms = self._after(error)
            if pause_ms is None:
                break
            await asyncio.sleep(pause_ms / 1_000)
        self._ended.set()
        self._joined.set()

    async def _live(self) -> ClientError:
        """From a stream's beginning to its end, and why it ended."""
        self._asked_ms = self._clock.monotonic_ms()
        try:
            call = await self._open()
        except ClientError as error:
            return error
        self._tasks.start(self._send_loop(call))
        why: ClientError = ConnectionLost(
            f"{call.address} ended the stream", code=UNAVAILABLE, retriable=True
        )
        try:
            await self._receive(call)
        except TransportError as failure:
            why = from_transport(failure, call.address)
        except DecodeError:
            why.message = f"{call.address} sent bytes that are no MemberResponse"
        call.over = True
        self._call = None
        self._wake.set()
        call.stream.cancel()
        if isinstance(why, ConnectionLost):
            call.connection.forget_handshake()
        return why

    async def _open(self) -> _Call:
        """Raises ClientError."""
        connection = await self._calls.find(self._options.group)
        call = _Call(await connection.stream(GROUP_SERVICE + "Membership"), connection)
        self._member.joining(self._clock.monotonic_ms())
        self._acknowledge.clear()
        self._joined_with = self._subscription if self._wanted is None else self._wanted[0]
        try:
            await call.stream.send(self._join(self._joined_with).SerializeToString())
        except TransportError as failure:
            connection.forget_handshake()
            raise from_transport(failure, connection.address) from None
        call.next_beat_ms = self._clock.monotonic_ms() + self._member.heartbeat_interval_ms
        self._call = call
        return call

    def _join(self, subscription: Subscription) -> pb.MemberRequest:
        options, member = self._options, self._member
        return pb.MemberRequest(
            join=pb.MemberJoin(
                group=options.group,
                member_id=member.member_id,
                instance_id=options.instance_id,
                topics=subscription.topics,
                pattern=subscription.pattern,
                assignor=options.assignor,
                session_timeout_ms=options.session_timeout_ms,
                rebalance_timeout_ms=options.rebalance_timeout_ms,
                client_id=options.client_id,
                member_epoch=member.epoch,
            )
        )

    async def _receive(self, call: _Call) -> None:
        """Until the coordinator ends the stream. Raises TransportError, DecodeError."""
        while (data := await call.stream.receive()) is not None and not call.over:
            response = pb.MemberResponse.FromString(data)
            match response.WhichOneof("response"):
                case "assignment":
                    self._told(call, response.assignment)
                case "heartbeat":
                    self._member.confirmed(response.heartbeat.sequence)
                    if response.heartbeat.sequence == call.subscribing:
                        self._subscribed()
                    self._owner.on_confirmed()
                    self._wake.set()
                case "commit":
                    self._committed(response.commit)
                case "error":
                    self._answered_with(call, from_wire(response.error))
                case None:
                    pass  # A newer node's: it says nothing that this client has to know.

    def _told(self, call: _Call, assignment: pb.MemberAssignment) -> None:
        first = not self._member.joined
        change = self._member.told(assignment, self._clock.monotonic_ms())
        if first:
            self._was_member = True
            self._joined.set()
            self._alone_since_ms = self._refused_since_ms = None
            self._backoff.reset()
            call.next_beat_ms = self._clock.monotonic_ms() + self._member.heartbeat_interval_ms
            if self._wanted is not None and self._wanted[0] is self._joined_with:
                self._subscribed()
        if change.given_up:
            self.acknowledge(list(change.given_up))
        self._owner.on_change(change)
        if first:
            self._owner.on_confirmed()
        self._wake.set()

    def _subscribed(self) -> None:
        if self._wanted is not None:
            (self._subscription, taken), self._wanted = self._wanted, None
            if not taken.done():
                taken.set_result(None)

    def _not_subscribed(self, error: ClientError) -> bool:
        """The coordinator refused what was wanted; the member goes on with what it had."""
        if self._wanted is None:
            return False
        (_, taken), self._wanted = self._wanted, None
        if not taken.done():
            taken.set_exception(error)
        return True

    def _committed(self, answer: pb.MemberCommitAnswer) -> None:
        error = from_wire(answer.error) if answer.HasField("error") else None
        if not self._commits.answered(answer.sequence, error):
            pause_ms = max(COMMIT_RETRY_MS, 0 if error is None else error.retry_after_ms)
            self._commit_after_ms = self._clock.monotonic_ms() + pause_ms
        self._wake.set()

    def _answered_with(self, call: _Call, error: ClientError) -> None:
        """A later join was refused; or an acknowledgement, and then an assignment follows."""
        if call.subscribing is not None and self._not_subscribed(error):
            call.subscribing = None

    def _after(self, error: ClientError) -> float | None:
        """How long to wait before the next stream, milliseconds; None: there is none."""
        now_ms = self._clock.monotonic_ms()
        joined, self._member.joined = self._member.joined, False
        if error.reason in NO_MEMBER:
            self._begin_anew(error)
            return self._backoff.next_ms()
        if error.reason == Reason.INSTANCE_ID_IN_USE.name:
            return self._rival(error)
        if not error.retriable:
            return self._refused(error)
        self._calls.failed(self._options.group, error)
        self._refused_since_ms = None
        if joined or self._alone_since_ms is None:
            self._alone_since_ms = now_ms
        if now_ms - self._alone_since_ms >= self._trouble_after_ms:
            self._alone_since_ms = now_ms
            self._owner.on_trouble(error)
        if joined and error.reason == Reason.NOT_LEADER.name:
            return 0.0  # It said who does.
        return max(self._backoff.next_ms(), error.retry_after_ms)

    def _begin_anew(self, error: ClientError) -> None:
        _LOG.warning(
            "group_membership_lost",
            extra={
                "group": self._options.group,
                "member_id": self._member.member_id,
                "reason": error.reason,
            },
        )
        change = self._member.forget()
        self._commits.refuse_all(error)
        self._owner.on_change(change)

    def _rival(self, error: ClientError) -> float | None:
        """Somebody has the instance id: a predecessor that died shortly ago is let go within a
        session; whoever stays longer is alive."""
        first = self._refused_since_ms is None
        refused_ms = self._refused_for_ms()
        if first:
            _LOG.warning(
                "group_instance_in_use",
                extra={"group": self._options.group, "instance_id": self._options.instance_id},
            )
        if refused_ms > self._member.session_timeout_ms:
            self._give_up(error)
            return None
        return max(self._backoff.next_ms(), error.retry_after_ms)

    def _refused(self, error: ClientError) -> float | None:
        if self._wanted is not None and self._wanted[0] is self._joined_with and self._was_member:
            self._not_subscribed(error)
            return 0.0
        if error.reason == Reason.UNKNOWN_TOPIC.name:
            # It may be so new that the coordinator has not heard of it; and one that is deleted
            # while a member is away must not keep it away from the others.
            missing = error.metadata.get("topic", "").strip("'")
            if self._was_member and missing in self._subscription.topics:
                rest = tuple(name for name in self._subscription.topics if name != missing)
                if rest or self._subscription.pattern:
                    self._subscription = Subscription(rest, self._subscription.pattern)
                    return 0.0
            if self._refused_for_ms() < self._unknown_topic_wait_ms:
                return self._backoff.next_ms()
        self._give_up(error)
        return None

    def _refused_for_ms(self) -> float:
        """From the first refusal to the beginning of an attempt that is refused still."""
        if self._refused_since_ms is None:
            self._refused_since_ms = self._clock.monotonic_ms()
        return self._asked_ms - self._refused_since_ms

    def _give_up(self, error: ClientError) -> None:
        error.fatal, error.retriable = True, False
        change = self._member.forget()
        self._commits.refuse_all(error)
        self._not_subscribed(error)
        self._owner.on_change(change)
        self._owner.on_refused(error)

    # Sending.

    async def _send_loop(self, call: _Call) -> None:
        try:
            while not call.over:
                now_ms = self._clock.monotonic_ms()
                if self._member.is_silent(now_ms):
                    call.stream.cancel()
                    return
                self._wake.clear()
                for request in self._due(call, now_ms):
                    await self._send(call, request)
                await self._something(call)
        except TransportError:
            call.stream.cancel()  # `receive` says why.
        except TimeoutError:
            call.stream.cancel()

    async def _send(self, call: _Call, request: pb.MemberRequest) -> None:
        timeout_s = self._member.session_timeout_ms / 1_000
        async with asyncio.timeout(timeout_s):
            await call.stream.send(request.SerializeToString())

    async def _something(self, call: _Call) -> None:
        """Returns when there is something to send, or it is time to look."""
        until_ms = call.next_beat_ms
        now_ms = self._clock.monotonic_ms()
        if self._commit_after_ms > now_ms:
            until_ms = min(until_ms, self._commit_after_ms)
        try:
            # A timer that fires a little early must not make this spin.
            async with asyncio.timeout(max(until_ms - now_ms, 1.0) / 1_000):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _due(self, call: _Call, now_ms: float) -> list[pb.MemberRequest]:
        """What is to be sent now, in this order."""
        member, due = self._member, []
        if not member.joined:
            if now_ms >= call.next_beat_ms:  # The join has yet to be answered.
                call.next_beat_ms = now_ms + member.heartbeat_interval_ms
            return []
        if self._wanted is not None and call.subscribing is None:
            due.append(self._join(self._wanted[0]))
            due.append(self._beat(call, now_ms))
            call.subscribing = due[-1].heartbeat.sequence
        elif now_ms >= call.next_beat_ms:
            due.append(self._beat(call, now_ms))
        if now_ms >= self._commit_after_ms and not member.is_fenced(now_ms):
            commit = self._commits.next()
            if commit is not None:
                due.append(
                    pb.MemberRequest(
                        commit=pb.MemberCommit(
                            sequence=commit.sequence,
                            member_epoch=commit.epoch,
                            offsets=commit.message(),
                        )
                    )
                )
        if self._acknowledge:
            revoked, self._acknowledge = self._acknowledge, {}
            due.append(
                pb.MemberRequest(
                    acknowledge=pb.MemberAcknowledge(
                        member_epoch=member.epoch,
                        revoked=[
                            pb.GroupPartition(topic_id=topic_id, partition=number)
                            for topic_id, number in revoked
                        ],
                    )
                )
            )
        if self._leaving and not call.said_leave:
            call.said_leave = True
            due.append(pb.MemberRequest(leave=pb.MemberLeave()))
        return due

    def _beat(self, call: _Call, now_ms: float) -> pb.MemberRequest:
        call.next_beat_ms = now_ms + self._member.heartbeat_interval_ms
        sequence, epoch, count = self._member.beat(now_ms)
        return pb.MemberRequest(
            heartbeat=pb.MemberHeartbeat(
                sequence=sequence,
                member_epoch=epoch,
                assigned_count=count,
                handled_count=self._owner.handled_count(),
            )
        )
