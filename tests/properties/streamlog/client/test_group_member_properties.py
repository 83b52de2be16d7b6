"""Members of the client against the real coordinator, with messages that are late, and streams that
break: what a member believes to hold is never what another one may hold at the same epoch."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import pytest

from consumer_groups.commands import (
    AcknowledgeRevocation,
    Command,
    CommitOffsets,
    ExpireMember,
    ExpiryCause,
    Join,
    OffsetToCommit,
    ResetOffsets,
)
from consumer_groups.coordinator import queries
from consumer_groups.coordinator.machine import CoordinatorMachine
from consumer_groups.coordinator.state import Group
from consumer_groups.errors import GroupError
from consumer_groups.types import (
    Epoch,
    GroupName,
    InstanceId,
    MemberId,
    MemberInfo,
    PartitionNumber,
    Position,
    Subscription,
    TopicCatalog,
    TopicId,
    TopicPartition,
    TopicView,
)
from streamlog.broker.groups.group_codec import to_assignment
from streamlog.client.groups.member import Change, Hold, Member
from streamlog.v1 import group_service_pb2 as pb

GROUP: Final = GroupName("g")
SESSION_MS: Final = 6_000
TOPIC: Final = TopicId(7)
CATALOG: Final = TopicCatalog.of(1, [TopicView(TOPIC, "t", 5)])
SEEDS: Final = 60
STEPS: Final = 400


@dataclass(eq=False)
class Process:
    """A member, and its stream if it has one."""

    member: Member
    connected: bool = False
    up: deque[pb.MemberRequest] = field(default_factory=deque)
    down: deque[pb.MemberResponse] = field(default_factory=deque)
    taken: list[tuple[Hold, int]] = field(default_factory=list)
    """Positions that were read, with the epoch under which they are to be committed."""
    on_the_way: deque[tuple[Hold, int]] = field(default_factory=deque)
    """The commits among `up`."""


class MembersAndCoordinator:
    """Three processes, and chance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.machine = CoordinatorMachine()
        self.state = self.machine.initial()
        self.now_ms = 1_000_000
        self.ids = 0
        self.heard_ms: dict[str, int] = {}
        self.processes = [Process(Member(self.new_id, SESSION_MS, 60_000)) for _ in range(3)]

    def new_id(self) -> str:
        self.ids += 1
        return f"m{self.ids}"

    # The coordinator's node.

    def decide(self, command: Command) -> None:
        """Carry it out and tell everybody who is connected what it owns. Raises GroupError."""
        before = self.group
        decision = self.machine.decide(self.state, command)
        for record in decision.records:
            self.state = self.machine.replay(self.state, record, 0)
        for process in self.processes:
            known = before.members.get(MemberId(process.member.member_id)) if before else None
            if process.connected and self.owner(process) is not known:
                self.push(process)

    @property
    def group(self) -> Group | None:
        return self.state.groups.get(GROUP)

    def owner(self, process: Process) -> object:
        return self.group.members.get(MemberId(process.member.member_id)) if self.group else None

    def push(self, process: Process) -> None:
        if self.owner(process) is None:
            process.connected = False  # The stream ends with UNKNOWN_MEMBER.
            return
        told = queries.assignment(self.state, GROUP, MemberId(process.member.member_id))
        message = to_assignment(told, self.info(process), {TOPIC: "t"})
        if process.down and process.down[-1].HasField("assignment"):
            process.down.pop()  # It is made when it is sent: a slow member is told the newest.
        process.down.append(pb.MemberResponse(assignment=message))

    def info(self, process: Process) -> MemberInfo:
        return MemberInfo(
            MemberId(process.member.member_id),
            Subscription.to("t"),
            InstanceId(""),
            "",
            "",
            "",
            SESSION_MS,
            60_000,
        )

    def pick(self, who: int, can: Callable[[Process], object]) -> Process | None:
        """The first one from this on of whom that can be asked."""
        turn = [*self.processes[who:], *self.processes[:who]]
        return next((process for process in turn if can(process)), None)

    # What happens.

    def join(self, who: int) -> None:
        """Somebody without a stream opens one."""
        process = self.pick(who, lambda process: not process.connected)
        if process is not None:
            self.connect(process)

    def connect(self, process: Process) -> None:
        """A new stream: what was on the way in both directions is gone."""
        if not process.connected and self.owner(process) is None:
            self.change(process, process.member.forget())
        for queue in (process.up, process.down, process.on_the_way):
            queue.clear()
        process.member.joining(self.now_ms)
        command = Join(GROUP, self.info(process), CATALOG, self.now_ms, Epoch(process.member.epoch))
        process.connected = True
        self.decide(command)
        self.heard_ms[process.member.member_id] = self.now_ms
        self.push(process)

    def breaks(self, who: int) -> None:
        """The coordinator notices at once, the member when it connects again."""
        self.processes[who].connected = False

    def everything_arrives(self) -> None:
        """All that is on the way, and what it leads to."""
        for _ in range(3):
            for who in range(3):
                self.serve(who, 9)
                self.hear(who, 9)

    def hear(self, who: int, most: int) -> None:
        """The member gets the next messages."""
        process = self.pick(who, lambda process: process.down)
        for _ in range(min(most, len(process.down)) if process is not None else 0):
            assert process is not None
            response = process.down.popleft()
            if response.HasField("heartbeat"):
                process.member.confirmed(response.heartbeat.sequence)
            else:
                self.change(process, process.member.told(response.assignment, self.now_ms))

    def change(self, process: Process, change: Change) -> None:
        process.taken = [(hold, at) for hold, at in process.taken if hold not in change.lost]
        if change.given_up:
            self.acknowledge(process, list(change.given_up))

    def beat(self, who: int) -> None:
        """A heartbeat is sent."""
        process = self.pick(who, lambda process: process.member.joined and process.connected)
        if process is not None:
            sequence, epoch, count = process.member.beat(self.now_ms)
            process.up.append(
                pb.MemberRequest(
                    heartbeat=pb.MemberHeartbeat(
                        sequence=sequence, member_epoch=epoch, assigned_count=count
                    )
                )
            )

    def take(self, who: int, number: int) -> None:
        """The application reads: its position is one to be committed, some time."""
        process = self.pick(who, lambda process: (TOPIC, number) in process.member.holds)
        hold = None if process is None else process.member.holds[TOPIC, number]
        if (
            process is not None
            and hold is not None
            and not hold.revoking
            and not process.member.is_fenced(self.now_ms)
        ):
            process.taken.append((hold, hold.epoch))

    def commit(self, who: int) -> None:
        """What was taken is sent, under the epoch that its hold has by then."""
        process = self.pick(
            who, lambda process: process.taken and process.connected and process.member.joined
        )
        if process is not None:
            hold, _ = process.taken.pop(0)
            process.on_the_way.append((hold, hold.epoch))
            process.up.append(
                pb.MemberRequest(
                    commit=pb.MemberCommit(
                        member_epoch=hold.epoch,
                        offsets=[
                            pb.GroupOffset(topic_id=TOPIC, partition=hold.partition[1], offset=1)
                        ],
                    )
                )
            )

    def give_up(self, who: int) -> None:
        """One of those that are revoking is acknowledged."""
        process = self.pick(who, lambda process: process.connected and _revoking(process))
        if process is not None and process.member.joined:
            revoking = _revoking(process)[:1]
            process.taken = [(hold, at) for hold, at in process.taken if hold not in revoking]
            self.acknowledge(process, process.member.give_up(revoking))

    def acknowledge(self, process: Process, partitions: list[tuple[int, int]]) -> None:
        process.up.append(
            pb.MemberRequest(
                acknowledge=pb.MemberAcknowledge(
                    member_epoch=process.member.epoch,
                    revoked=[
                        pb.GroupPartition(topic_id=topic_id, partition=number)
                        for topic_id, number in partitions
                    ],
                )
            )
        )

    def serve(self, who: int, most: int) -> None:
        """The coordinator takes the member's next messages."""
        for _ in range(most):
            process = self.pick(
                who, lambda process: process.up and process.connected and self.owner(process)
            )
            if process is not None:
                self.serve_one(process)

    def serve_one(self, process: Process) -> None:
        request, member_id = process.up.popleft(), MemberId(process.member.member_id)
        self.heard_ms[member_id] = self.now_ms
        match request.WhichOneof("request"):
            case "heartbeat":
                beat = request.heartbeat
                answer = queries.heartbeat(
                    self.state, GROUP, member_id, Epoch(beat.member_epoch), beat.assigned_count
                )
                if not answer.current:
                    self.push(process)
                process.down.append(
                    pb.MemberResponse(heartbeat=pb.MemberHeartbeatAnswer(sequence=beat.sequence))
                )
            case "acknowledge":
                said = request.acknowledge
                given = tuple(_partition(each.partition) for each in said.revoked)
                self.decide(
                    AcknowledgeRevocation(GROUP, member_id, Epoch(said.member_epoch), given)
                )
                self.push(process)
            case _:
                self.take_commit(process, member_id)

    def take_commit(self, process: Process, member_id: MemberId) -> None:
        hold, epoch = process.on_the_way.popleft()
        partition = _partition(hold.partition[1])
        assert self.group is not None
        member = self.group.members[member_id]
        owned = {**member.revoking, **member.owned}.get(partition)
        offsets = (OffsetToCommit(partition, Position(1)),)
        try:
            self.decide(CommitOffsets(GROUP, member_id, Epoch(epoch), offsets, self.now_ms))
        except GroupError:
            assert owned != hold.grant_epoch, "a commit of the owner was refused"
        else:
            assert owned == hold.grant_epoch, "a commit of before the grant was taken"

    def reset(self, number: int) -> None:
        """An operator fences a partition."""
        if self.group is None:
            return
        offsets = (OffsetToCommit(_partition(number), Position(0)),)
        self.decide(ResetOffsets(GROUP, offsets, CATALOG, self.now_ms))

    def time_goes_by(self, ms: int) -> None:
        """And whoever was not heard of for a session is expired."""
        self.now_ms += ms
        for process in self.processes:
            member_id = MemberId(process.member.member_id)
            if self.owner(process) is None:
                continue
            if self.now_ms - self.heard_ms[member_id] >= SESSION_MS:
                assert process.member.is_fenced(self.now_ms), "expired while it hands out records"
                epoch = Epoch(process.member.epoch or 2**40)
                self.decide(ExpireMember(GROUP, member_id, epoch, ExpiryCause.SESSION, self.now_ms))

    def nobody_holds_what_another_may_hold_at_the_same_epoch(self) -> None:
        """Two that hold a partition in their own eyes hold it in epochs that do not touch; and only
        one of them is not fenced, or is being asked to give it up."""
        for one, other in combinations(self.processes, 2):
            for key in one.member.holds.keys() & other.member.holds.keys():
                a, b = one.member.holds[key], other.member.holds[key]
                assert a.epoch < b.grant_epoch or b.epoch < a.grant_epoch

    def come_to_rest(self) -> None:
        """Left alone, everybody comes to hold what the coordinator says."""
        for who in range(3):
            self.connect(self.processes[who])
        for _ in range(60):
            for who in range(3):
                self.hear(who, 9)
                self.give_up(who)
                self.serve(who, 9)
        assert self.group is not None
        for process in self.processes:
            member = self.group.members[MemberId(process.member.member_id)]
            held = {key: hold.grant_epoch for key, hold in process.member.holds.items()}
            assert held == {tuple(p): grant for p, grant in member.owned.items()}
            assert not member.revoking
            assert process.member.epoch == member.epoch
        held_by_all = [key for process in self.processes for key in process.member.holds]
        assert sorted(held_by_all) == [(TOPIC, number) for number in range(5)]


def _revoking(process: Process) -> list[Hold]:
    return [hold for hold in process.member.holds.values() if hold.revoking]


def _partition(number: int) -> TopicPartition:
    return TopicPartition(TOPIC, PartitionNumber(number))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_walk(seed: int) -> None:
    """Whatever happens in whatever order: see the assertions along the way."""
    world = MembersAndCoordinator(seed)
    draw = world.random
    actions: dict[Callable[[], None], int] = {
        lambda: world.join(draw.randrange(3)): 4,
        lambda: world.breaks(draw.randrange(3)): 2,
        world.everything_arrives: 3,
        lambda: world.hear(draw.randrange(3), draw.choice([1, 9])): 8,
        lambda: world.serve(draw.randrange(3), draw.choice([1, 9])): 8,
        lambda: world.beat(draw.randrange(3)): 4,
        lambda: world.take(draw.randrange(3), draw.randrange(5)): 6,
        lambda: world.commit(draw.randrange(3)): 6,
        lambda: world.give_up(draw.randrange(3)): 2,
        lambda: world.reset(draw.randrange(5)): 4,
        lambda: world.time_goes_by(draw.choice([1, 500, 2_500, 6_000])): 2,
    }
    for action in draw.choices(list(actions), weights=list(actions.values()), k=STEPS):
        action()
        world.nobody_holds_what_another_may_hold_at_the_same_epoch()
    world.come_to_rest()
