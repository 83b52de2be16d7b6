"""A member of a consumer group made of generated messages alone, to try what a library would not.

It follows the protocol (`consumer_groups`, "What a member must do"), reads nothing, and is through
with a record as soon as that is acknowledged to its producer. A rude one does not fence itself:
after a freeze it goes on with what it held, and it commits what it lost under its old epochs. All
of that the coordinator must refuse.

Invariant: `held` and `revoking` are the newest assignment that it took.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from jepsen_like.sim.clients.coordinator_calls import CoordinatorCalls
from jepsen_like.sim.clients.group_member import PATTERN, TOPIC, Temper
from jepsen_like.sim.clients.group_tap import MEMBERSHIP, GroupTap
from streamlog.client.errors import ClientError, from_transport
from streamlog.client.transport import ClientStream, TransportError
from streamlog.model.errors import Reason
from streamlog.v1 import group_service_pb2 as pb

HEARTBEATS_PER_SESSION: Final = 5
FORMER_MAX: Final = 20


@dataclass(slots=True)
class _Holding:
    grant: int
    epoch: int
    """In which it was last told that it owns the partition: what it reached, it reached under that.
    A revocation does not say of which grant it is, so its epoch may be one of a later grant."""
    position: int
    committed: int


@dataclass(frozen=True, slots=True)
class _Former:
    """A commit that it could have sent before it lost the partition."""

    partition: int
    position: int
    epoch: int


class RawMember:
    """`group_member.GroupMember`."""

    def __init__(
        self, temper: Temper, calls: CoordinatorCalls, tap: GroupTap, rng: random.Random
    ) -> None:
        self.temper = temper
        self.hung_until_ms = float("-inf")
        self.going = False
        self.staying = True
        """False once it has left, or found its instance id taken."""
        self.defects: list[str] = []
        self._calls, self._tap, self._rng = calls, tap, rng
        self._lives = 0
        self._member_id = ""
        self._epoch = 0
        self._held: dict[int, _Holding] = {}
        self._revoking: dict[int, _Holding] = {}
        self._former: list[_Former] = []
        self._sequence = 0
        self._ended: ClientError | None = None
        self._new_topics = False
        self._topics, self._pattern = temper.topics, temper.pattern
        self._begin_anew()

    @property
    def member_id(self) -> str:
        """Of its present life."""
        return self._member_id

    def change_subscription(self) -> None:
        """See GroupMember."""
        by_pattern = not self._pattern
        self._pattern = PATTERN if by_pattern else ""
        self._topics = () if by_pattern else (TOPIC,)
        self._new_topics = True

    async def run(self) -> None:
        """Take part until it is told to go."""
        while self.staying:
            if self.going and not self._epoch:
                self.staying = False
                return
            try:
                channel = await self._calls.find(self.temper.group)
                await self._take_part(channel.stream(MEMBERSHIP))
            except ClientError as error:
                self._look_at(error)
            except TransportError as failure:
                self._look_at(from_transport(failure, "the coordinator"))
            await self._calls.pause()

    def _look_at(self, error: ClientError) -> None:
        if error.reason in {Reason.UNKNOWN_MEMBER.name, Reason.STALE_MEMBER_EPOCH.name}:
            self._begin_anew()
        elif error.reason == Reason.INSTANCE_ID_IN_USE.name and self.going:
            self.staying = False
        elif error.reason == Reason.INTERNAL_ERROR.name:
            self.defects.append(f"{self._tap.process} was told: {error}")

    def _begin_anew(self) -> None:
        self._lives += 1
        self._member_id = f"{self._tap.process}.{self._lives}"
        self._lose([*self._held, *self._revoking])
        self._held, self._revoking, self._epoch = {}, {}, 0

    def _lose(self, partitions: list[int]) -> None:
        for number in partitions:
            lost = self._held.get(number) or self._revoking.get(number)
            if lost is not None and lost.position:
                self._former.append(_Former(number, lost.position, lost.epoch))
        del self._former[:-FORMER_MAX]

    # One stream.

    async def _take_part(self, stream: ClientStream) -> None:
        self._ended = None
        reader: asyncio.Task[None] | None = None
        try:
            self._commit_again()
            self._new_topics = False
            await self._send(stream, join=self._join())
            reader = asyncio.get_running_loop().create_task(self._read(stream))
            await self._act(stream, reader)
        finally:
            stream.cancel()
            if reader is not None:
                await reader
        if self._ended is not None:
            raise self._ended

    def _join(self) -> pb.MemberJoin:
        temper = self.temper
        return pb.MemberJoin(
            group=temper.group,
            member_id=self._member_id,
            instance_id=temper.instance_id,
            topics=self._topics,
            pattern=self._pattern,
            assignor=temper.assignor,
            session_timeout_ms=temper.session_ms,
            rebalance_timeout_ms=temper.rebalance_ms,
            client_id="raw",
            member_epoch=self._epoch,
        )

    async def _read(self, stream: ClientStream) -> None:
        try:
            while (message := await stream.receive()) is not None:
                response = pb.MemberResponse.FromString(message)
                if response.HasField("assignment"):
                    self._take(response.assignment)
                elif response.HasField("commit") and response.commit.HasField("error"):
                    self._commit_again()
        except TransportError as failure:
            self._ended = from_transport(failure, "the coordinator")

    def _commit_again(self) -> None:
        """What was sent may not have counted."""
        for holding in self._held.values():
            holding.committed = -1

    def _take(self, assignment: pb.MemberAssignment) -> None:
        known = {**self._held, **self._revoking}
        revoking = {each.partition for each in assignment.revoking}
        kept = {each.partition: each.grant_epoch for each in assignment.assigned}
        self._lose([n for n, h in known.items() if kept.get(n) != h.grant and n not in revoking])
        self._epoch = assignment.member_epoch
        self._held = {}
        for each in assignment.assigned:
            old = known.get(each.partition)
            if old is None or old.grant != each.grant_epoch:
                at = each.committed.offset
                old = _Holding(each.grant_epoch, self._epoch, at, at)
            old.epoch = self._epoch
            self._held[each.partition] = old
        self._revoking = {
            each.partition: known.get(each.partition) or _Holding(0, 0, 0, 0)
            for each in assignment.revoking
        }

    async def _act(self, stream: ClientStream, reader: asyncio.Task[None]) -> None:
        interval_ms = self.temper.session_ms / HEARTBEATS_PER_SESSION
        next_ms = self._now_ms() + interval_ms
        while not reader.done():
            await asyncio.sleep(self.temper.tick_ms * (0.5 + self._rng.random()) / 1000)
            now_ms = self._now_ms()
            if now_ms < self.hung_until_ms:
                continue
            if self._new_topics:
                self._new_topics = False
                await self._send(stream, join=self._join())
            if now_ms >= next_ms:
                next_ms = now_ms + interval_ms
                await self._heartbeat(stream)
            if self.temper.rude or self._confirmed():
                self._handle()
                await self._commit(stream)
            if self.temper.rude and self._former and self._rng.random() < 0.2:
                await self._commit_what_it_lost(stream)
            if self._revoking and self._rng.random() < 0.7:
                await self._give_up(stream)
            if self.going:
                await self._leave(stream, reader)
                return

    def _confirmed(self) -> bool:
        part = self._tap.parts.get(self._member_id)
        return part is not None and part.unconfirmed_ms(self._now_ms()) < self.temper.session_ms

    async def _heartbeat(self, stream: ClientStream) -> None:
        self._sequence += 1
        await self._send(
            stream,
            heartbeat=pb.MemberHeartbeat(
                sequence=self._sequence,
                member_epoch=self._epoch,
                assigned_count=len(self._held),
                handled_count=self._sequence,
            ),
        )

    def _handle(self) -> None:
        """Be through with some more records."""
        recorder = self._tap.recorder
        for number, held in self._held.items():
            there = recorder.ends.get(number, 0)
            if there <= held.position:
                continue
            end = min(there, held.position + self._rng.choice([3, 30, 1_000]))
            recorder.happened(
                self._tap.process,
                "done",
                number,
                offset=held.position,
                end=end,
                group=self.temper.group,
                member=self._member_id,
                grant=held.grant,
            )
            held.position = end

    async def _commit(self, stream: ClientStream) -> None:
        if self._rng.random() < 0.6:
            return
        due = [(n, h) for n, h in self._held.items() if h.position > h.committed]
        offsets = self._offsets([(number, holding.position) for number, holding in due])
        epoch = self._epoch
        for _, holding in due:
            holding.committed = holding.position
        if self._rng.random() < 0.2:  # what was taken is sent later, under the epoch of its taking
            await asyncio.sleep(self.temper.tick_ms * self._rng.random() / 1000)
        await self._send_commit(stream, epoch, offsets)

    async def _commit_what_it_lost(self, stream: ClientStream) -> None:
        former = self._rng.choice(self._former)
        offsets = self._offsets([(former.partition, former.position)])
        await self._send_commit(stream, former.epoch, offsets)

    async def _send_commit(
        self, stream: ClientStream, epoch: int, offsets: list[pb.GroupOffset]
    ) -> None:
        if offsets and epoch:
            self._sequence += 1
            await self._send(
                stream,
                commit=pb.MemberCommit(
                    sequence=self._sequence, member_epoch=epoch, offsets=offsets
                ),
            )

    async def _give_up(self, stream: ClientStream) -> None:
        """What it was asked for; with a last commit."""
        epoch, revoking = self._epoch, self._revoking
        for number, held in revoking.items():
            if held.position > held.committed:
                offsets = self._offsets([(number, held.position)])
                await self._send_commit(stream, held.epoch, offsets)
        if self._epoch != epoch or self._revoking is not revoking:
            return  # an assignment came meanwhile: what it says is for the next time
        topic_id = self._tap.topic_id
        self._revoking = {}
        await self._send(
            stream,
            acknowledge=pb.MemberAcknowledge(
                member_epoch=epoch,
                revoked=[pb.GroupPartition(topic_id=topic_id, partition=n) for n in revoking],
            ),
        )

    async def _leave(self, stream: ClientStream, reader: asyncio.Task[None]) -> None:
        await self._send(stream, leave=pb.MemberLeave())
        await reader
        if self._ended is None or self._ended.reason == Reason.UNKNOWN_MEMBER.name:
            self.staying = False

    def _offsets(self, positions: list[tuple[int, int]]) -> list[pb.GroupOffset]:
        topic_id = self._tap.topic_id
        return [
            pb.GroupOffset(topic_id=topic_id, partition=number, offset=offset)
            for number, offset in positions
        ]

    async def _send(self, stream: ClientStream, **request: Message) -> None:
        message = pb.MemberRequest(**request)  # type: ignore[arg-type]
        await stream.send(message.SerializeToString())

    def _now_ms(self) -> float:
        return self._tap.clock.monotonic_ms()
