"""Three whole nodes in virtual time, and members of consumer groups that speak the protocol raw."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from google.protobuf.message import Message

from jepsen_like.sim.ports.scheduler import silence
from replication.ports import CallFailed, ClientStream
from streamlog.groups.offsets_topic import partition_of
from streamlog.model import status_details
from streamlog.v1 import admin_service_pb2 as admin
from streamlog.v1 import group_service_pb2 as pb
from tests.fakes.node_world import NodeWorld

CALL_TIMEOUT_MS = 10_000.0
GROUP = "orders-readers"
SESSION_MS = 6_000

T = TypeVar("T")
ResponseT = TypeVar("ResponseT", bound=Message)


class RefusedCall(Exception):
    """A call or stream ended with a reason."""

    def __init__(self, failed: CallFailed) -> None:
        details = status_details.decode(failed.details)
        self.reason = "" if details is None else details.reason
        self.metadata = {} if details is None else dict(details.metadata)
        super().__init__(f"{self.reason}: {failed}")


class RawMember:
    """A member that says what a test tells it to, and keeps what it is told."""

    def __init__(self, world: GroupWorld, member_id: str, stream: ClientStream) -> None:
        self.world, self.member_id, self.stream = world, member_id, stream
        self.assignments: list[pb.MemberAssignment] = []
        self.heartbeats: list[pb.MemberHeartbeatAnswer] = []
        self.commits: list[pb.MemberCommitAnswer] = []
        self.errors: list[str] = []
        self.ended: RefusedCall | None = None
        self.closed = False
        self.beating = self.handles = True
        self._tasks = [world.loop.create_task(self._read()), world.loop.create_task(self._beat())]

    @property
    def epoch(self) -> int:
        return self.assignments[-1].member_epoch

    @property
    def owned(self) -> list[int]:
        """Numbers of the partitions to read."""
        return [each.partition for each in self.assignments[-1].assigned]

    @property
    def revoking(self) -> list[int]:
        return [each.partition for each in self.assignments[-1].revoking]

    def say(self, **request: Any) -> None:
        self.world.complete(self._send(pb.MemberRequest(**request)))

    def acknowledge(self) -> None:
        newest = self.assignments[-1]
        self.say(
            acknowledge=pb.MemberAcknowledge(
                member_epoch=newest.member_epoch, revoked=newest.revoking
            )
        )

    def commit(
        self, offsets: dict[int, int], *, epoch: int | None = None, note: str = ""
    ) -> pb.MemberCommitAnswer:
        """Commit offsets by partition of the first topic; the answer."""
        sequence = len(self.commits) + 1
        topic_id = self.world.topic_ids["orders"]
        self.say(
            commit=pb.MemberCommit(
                sequence=sequence,
                member_epoch=self.epoch if epoch is None else epoch,
                offsets=[
                    pb.GroupOffset(topic_id=topic_id, partition=number, offset=at, metadata=note)
                    for number, at in offsets.items()
                ],
            )
        )
        self.world.wait(lambda: len(self.commits) == sequence)
        return self.commits[-1]

    def vanish(self) -> None:
        """The stream breaks; nobody says leave."""
        self.beating = False
        self.stream.cancel()
        self.world.wait(lambda: self.closed)

    async def _send(self, request: pb.MemberRequest) -> None:
        await self.stream.send(request.SerializeToString())

    async def _read(self) -> None:
        try:
            while (data := await self.stream.receive()) is not None:
                response = pb.MemberResponse.FromString(data)
                match response.WhichOneof("response"):
                    case "assignment":
                        self.assignments.append(response.assignment)
                    case "heartbeat":
                        self.heartbeats.append(response.heartbeat)
                    case "commit":
                        self.commits.append(response.commit)
                    case _:
                        self.errors.append(response.error.reason)
        except CallFailed as failed:
            self.ended = RefusedCall(failed)
        finally:
            self.closed = True

    async def _beat(self) -> None:
        sequence = handled = 0
        while not self.closed:
            await asyncio.sleep(0.5)
            if not self.assignments or not self.beating or self.closed:
                continue
            sequence += 1
            handled += self.handles
            beat = pb.MemberHeartbeat(
                sequence=sequence,
                member_epoch=self.epoch,
                assigned_count=len(self.owned),
                handled_count=handled,
            )
            try:
                await self._send(pb.MemberRequest(heartbeat=beat))
            except CallFailed:
                return


class GroupWorld(NodeWorld):
    """The nodes and their clients."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"groups_partitions": 2, **settings})
        self.members: list[RawMember] = []
        self.topic_ids: dict[str, int] = {}

    def coordinator_of(self, group: str = GROUP) -> int:
        """Node that coordinates the group, once there is one that does."""
        found: list[int] = []

        def settled() -> bool:
            found.clear()
            for number in (1, 2, 3):
                if not self.node(number).is_serving:
                    continue
                groups = self.parts(number).consumer_groups
                topic = groups.offsets_topic.known
                if topic is None:
                    return False
                place = topic.partitions[partition_of(group, len(topic.partitions))]  # type: ignore[arg-type]
                coordinator = groups.coordinator(place.group_id)
                if coordinator is not None and coordinator.leads:
                    found.append(number)
            return len(found) == 1

        self.wait(settled)
        return found[0]

    # Calls.

    def call(self, node: int, method: str, request: Message, kind: type[ResponseT]) -> ResponseT:
        """A call of GroupService, or of AdminService by its whole name."""
        name = method if "/" in method else f"streamlog.v1.GroupService/{method}"

        async def work() -> ResponseT:
            try:
                data = await self.channel(node).unary(
                    f"/{name}", request.SerializeToString(), CALL_TIMEOUT_MS
                )
            except CallFailed as failed:
                raise RefusedCall(failed) from failed
            return kind.FromString(data)

        return self.complete(work())

    def make_topic(self, name: str, partitions: int) -> int:
        response = self.call(
            1,
            "streamlog.v1.AdminService/CreateTopic",
            admin.CreateTopicRequest(name=name, partition_count=partitions),
            admin.CreateTopicResponse,
        )
        self.topic_ids[name] = response.topic.topic_id
        self.wait(
            lambda: all(self.parts(n).cluster.view.topic(name) is not None for n in (1, 2, 3))
        )
        return response.topic.topic_id

    def find(self, node: int = 1, group: str = GROUP) -> pb.FindCoordinatorResponse:
        return self.call(
            node,
            "FindCoordinator",
            pb.FindCoordinatorRequest(group=group),
            pb.FindCoordinatorResponse,
        )

    def open(self, member_id: str, node: int | None = None, **join: Any) -> RawMember:
        """A member's stream with its join on the way."""
        if node is None:
            self.find(group=join.get("group", GROUP))
            node = self.coordinator_of(join.get("group", GROUP))
        stream = self.channel(node).stream("/streamlog.v1.GroupService/Membership")
        member = RawMember(self, member_id, stream)
        self.members.append(member)
        values = {
            "group": GROUP,
            "member_id": member_id,
            "topics": ["orders"],
            "session_timeout_ms": SESSION_MS,
            "rebalance_timeout_ms": 20_000,
            **join,
        }
        member.say(join=pb.MemberJoin(**values))
        return member

    def join(self, member_id: str, node: int | None = None, **join: Any) -> RawMember:
        """A member that has its first assignment."""
        member = self.open(member_id, node, **join)
        self.wait(lambda: bool(member.assignments) or member.closed)
        if member.ended is not None:
            raise member.ended
        return member


WorldT = TypeVar("WorldT", bound=GroupWorld)


@contextmanager
def new_group_world(**settings: Any) -> Iterator[GroupWorld]:
    """A world with a topic `orders` of 4 partitions; nothing inside of a node went wrong."""
    with new_world(GroupWorld, **settings) as world:
        yield world


@contextmanager
def new_world(kind: type[WorldT], **settings: Any) -> Iterator[WorldT]:
    """As `new_group_world`, of this kind."""
    with silence():  # Coroutines of dead processes complain while they are collected.
        world = kind(**settings)
        world.make_topic("orders", 4)
        yield world
        world.dispose()
