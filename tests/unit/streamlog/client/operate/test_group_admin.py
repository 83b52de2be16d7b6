"""Administration of consumer groups: the client at three whole nodes, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from jepsen_like.sim.clients.client_adapter import client_environment
from jepsen_like.sim.ports.clock import SimClock
from streamlog.broker.groups import group_codec
from streamlog.client import (
    Admin,
    CallPolicy,
    ClientError,
    GroupPhase,
    MemberPhase,
    OffsetOutOfRange,
    Producer,
    TopicPartition,
    TopicUnknown,
)
from streamlog.client.transport import Environment
from streamlog.v1 import group_service_pb2 as pb
from tests.fakes.group_world import GROUP, GroupWorld, new_group_world

T = TypeVar("T")
BOUNDS = {"groups_alarm_no_progress_ms": 4_000, "groups_alarm_unowned_ms": 3_000}


class Desk:
    """An operator of the world, and somebody who writes into its topic."""

    def __init__(self, world: GroupWorld) -> None:
        self.world = world

    @property
    def environment(self) -> Environment:
        return client_environment(
            self.world.network, SimClock(self.world.loop), random.Random(len(self.world.members))
        )

    @property
    def bootstrap(self) -> list[str]:
        return [self.world.node(number).address for number in (1, 2, 3)]

    def ask(self, work: Callable[[Admin], Awaitable[T]], patience_ms: float = 30_000) -> T:
        async def complete() -> T:
            policy = CallPolicy(total_timeout_ms=patience_ms)
            async with Admin(self.bootstrap, environment=self.environment, policy=policy) as admin:
                return await work(admin)

        return self.world.complete(complete())

    def produce(self, partition: int, *timestamps_ms: int) -> None:
        """In one batch."""

        async def complete() -> None:
            async with Producer(
                self.bootstrap, environment=self.environment, linger_ms=50
            ) as producer:
                sent = [
                    asyncio.create_task(
                        producer.send(
                            "orders", b"value", partition=partition, timestamp_ms=stamp_ms
                        )
                    )
                    for stamp_ms in timestamps_ms
                ]
                await asyncio.gather(*sent)

        self.world.complete(complete())

    def now_ms(self) -> int:
        return self.environment.clock.wall_ms()

    def store(self, offsets: dict[int, int], group: str = GROUP) -> None:
        """Positions of nobody's, in the first topic."""
        self.world.find(group=group)
        self.world.call(
            self.world.coordinator_of(group),
            "CommitOffsets",
            pb.CommitOffsetsRequest(
                group=group,
                offsets=[
                    pb.GroupOffset(
                        topic_id=self.world.topic_ids["orders"], partition=number, offset=at
                    )
                    for number, at in offsets.items()
                ],
            ),
            pb.CommitOffsetsResponse,
        )


@pytest.fixture
def desk() -> Iterator[Desk]:
    with new_group_world(**BOUNDS) as world:
        yield Desk(world)


def at(partition: int, topic: str = "orders") -> TopicPartition:
    return TopicPartition(topic, partition)


def reason_of(desk: Desk, work: Callable[[Admin], Awaitable[object]]) -> str:
    with pytest.raises(ClientError) as caught:
        desk.ask(work)
    return caught.value.reason


def test_groups_of_all_coordinators_are_listed(desk: Desk) -> None:
    """By name, whichever node coordinates them, with what they are."""
    assert desk.ask(lambda admin: admin.list_groups()) == []
    names = [f"group-{number}" for number in range(6)]
    for name in names:
        desk.store({0: 0}, name)
    member = desk.world.join("m1", group="group-3")
    desk.world.wait(lambda: len(member.owned) == 4)
    listed = desk.ask(lambda admin: admin.list_groups())
    assert [each.name for each in listed] == names
    coordinators = {name: desk.world.coordinator_of(name) for name in names}
    assert {each.name: each.coordinator_node_id for each in listed} == coordinators
    assert [each.member_count for each in listed] == [0, 0, 0, 1, 0, 0]
    assert [each.offset_count for each in listed] == [1] * 6
    assert (listed[0].phase, listed[3].phase) == (GroupPhase.EMPTY, GroupPhase.STABLE)
    assert listed[3].assignor == "sticky"


def test_a_node_that_is_down_is_not_asked_for_ever(desk: Desk) -> None:
    """Its groups are told by those that lead after it."""
    desk.store({0: 0})
    desk.world.cluster.kill(desk.world.node(desk.world.coordinator_of()), power_cut=False)
    desk.world.run(8)
    listed = desk.ask(lambda admin: admin.list_groups())
    assert [each.name for each in listed] == [GROUP]


def test_a_group_is_described_by_names_with_its_lag(desk: Desk) -> None:
    """Members with what they own; a position in the middle of a batch counts the records after it,
    and their age is that of the oldest one; what was read to its end has no lag at all."""
    now_ms = desk.now_ms()
    for partition, stamps in {
        0: (now_ms - 60_000, now_ms - 50_000, now_ms - 40_000),
        1: (now_ms - 9_000,),
    }.items():
        desk.produce(partition, *stamps)
    ends = desk.ask(lambda admin: admin.list_offsets([("orders", p) for p in range(4)], "latest"))
    first = ends[at(0)].offset - 3
    member = desk.world.join("m1", client_id="till 7")
    member.commit({0: first + 1, 1: ends[at(1)].offset, 2: ends[at(2)].offset}, note="half")
    described = desk.ask(lambda admin: admin.describe_group(GROUP))
    assert (described.name, described.phase) == (GROUP, GroupPhase.STABLE)
    assert described.coordinator_node_id == desk.world.coordinator_of()
    assert described.coordinator_term > 0
    (told,) = described.members
    assert (told.member_id, told.client_id, told.phase) == ("m1", "till 7", MemberPhase.STABLE)
    assert told.connected
    assert told.topics == ("orders",)
    assert told.assigned == told.target == tuple(at(p) for p in range(4))
    assert told.silent_ms < 2_000
    assert [each.cause for each in described.rebalances] == ["member_joined"]
    assert described.findings == ()
    assert described.unowned == ()

    by_partition = {each.partition: each for each in described.partitions}
    assert {each.member_id for each in described.partitions} == {"m1"}
    assert by_partition[0].committed is not None
    assert by_partition[0].committed.metadata == "half"
    assert by_partition[0].committed.offset == first + 1
    assert by_partition[0].lag_records == 2
    assert by_partition[0].end_offset == ends[at(0)].offset
    assert by_partition[0].lag_seconds == pytest.approx(50, abs=5)
    for number in (1, 2):
        assert (by_partition[number].lag_records, by_partition[number].lag_seconds) == (0, 0.0)
    assert by_partition[3].committed is None
    assert by_partition[3].lag_records is None
    assert by_partition[3].end_offset is not None
    assert described.lag_records == 2
    assert described.lag_seconds == by_partition[0].lag_seconds

    offsets = desk.ask(lambda admin: admin.group_offsets(GROUP))
    assert list(offsets) == [at(0), at(1), at(2)]
    assert offsets[at(0)] == by_partition[0].committed
    assert abs(offsets[at(0)].committed_at_ms - desk.now_ms()) < 60_000


def test_long_notes_do_not_fill_a_description(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What committers noted is told as far as there is room; the positions' own call has all."""
    monkeypatch.setattr(group_codec, "DESCRIBED_METADATA_BYTES_MAX", 9)
    member = desk.world.join("m1")
    member.commit({0: 0, 1: 0, 2: 0}, note="half")
    told = desk.ask(lambda admin: admin.describe_group(GROUP)).partitions
    notes = [each.committed.metadata for each in told if each.committed is not None]
    assert notes == ["half", "half", ""]
    offsets = desk.ask(lambda admin: admin.group_offsets(GROUP))
    assert [each.metadata for each in offsets.values()] == ["half"] * 3


def test_a_member_that_stands_still_is_a_finding(desk: Desk) -> None:
    """Its heartbeats come and its count does not move; as soon as it does, nothing is found. It
    stays in the group."""
    member = desk.world.join("m1", topics=["orders"])
    member.handles = False
    desk.world.run(6)
    described = desk.ask(lambda admin: admin.describe_group(GROUP))
    (found,) = described.findings
    assert (found.kind, found.member_id, found.partition) == ("no_progress", "m1", None)
    assert found.for_ms >= 4_000
    assert described.members[0].idle_ms >= 4_000
    assert described.members[0].silent_ms < 2_000
    member.handles = True
    desk.world.run(1)
    assert desk.ask(lambda admin: admin.describe_group(GROUP)).findings == ()
    assert not member.closed


def test_a_partition_that_nobody_owns_is_a_finding(desk: Desk) -> None:
    """While a member does not give up what another shall own, that one waits, and nothing is
    unowned; a topic that only a member with something to give up reads is."""
    first = desk.world.join("m1")
    second = desk.world.join("m2")
    desk.world.wait(lambda: bool(first.revoking))
    desk.world.make_topic("late", 1)
    first.say(
        join=pb.MemberJoin(
            group=GROUP,
            member_id="m1",
            topics=["orders", "late"],
            session_timeout_ms=6_000,
            rebalance_timeout_ms=20_000,
            member_epoch=first.epoch,
        )
    )
    desk.world.run(5)
    assert second.owned == []
    described = desk.ask(lambda admin: admin.describe_group(GROUP))
    assert described.phase is GroupPhase.RECONCILING
    assert described.unowned == (at(0, "late"),)
    (found,) = (each for each in described.findings if each.kind == "partition_unowned")
    assert (found.partition, found.member_id) == (at(0, "late"), "")
    assert found.for_ms >= 3_000
    assert "late/0" in found.detail
    phases = {each.member_id: each.phase for each in described.members}
    assert phases == {"m1": MemberPhase.REVOKING, "m2": MemberPhase.WAITING}
    assert [each.member_id for each in described.partitions if each.topic == "late"] == [""]


def test_positions_are_set_on_a_live_group(desk: Desk) -> None:
    """The owner loses the partition and has it anew at the new position; its commit from before is
    refused."""
    desk.produce(0, *range(1, 6))
    start = desk.ask(lambda admin: admin.list_offsets([at(0)], "earliest"))[at(0)].offset
    member = desk.world.join("m1")
    member.commit({0: start + 4})
    before = member.epoch
    epoch = desk.ask(lambda admin: admin.reset_group_offsets(GROUP, {at(0): start + 1}))
    desk.world.wait(lambda: member.epoch >= epoch > before)
    (given,) = (p for p in member.assignments[-1].assigned if p.partition == 0)
    assert given.committed.offset == start + 1
    assert member.commit({0: start + 5}, epoch=before).error.reason == "STALE_MEMBER_EPOCH"
    described = desk.ask(lambda admin: admin.describe_group(GROUP))
    assert described.rebalances[-1].cause == "offsets_reset"
    assert desk.ask(lambda admin: admin.group_offsets(GROUP))[at(0)].offset == start + 1


def test_what_can_not_be_set_is_refused_with_the_range(desk: Desk) -> None:
    """Beyond the end, before the start, a partition or topic that is not there, nothing at all: each
    by its own error, and nothing is changed."""
    desk.store({0: 0})
    end = desk.ask(lambda admin: admin.list_offsets([at(0)], "latest"))[at(0)].offset
    with pytest.raises(
        OffsetOutOfRange, match=f"{end + 1} of orders/0 is out of range: 0 to {end}"
    ):
        desk.ask(lambda admin: admin.reset_group_offsets(GROUP, {at(0): end + 1}))
    with pytest.raises(OffsetOutOfRange):
        desk.ask(lambda admin: admin.reset_group_offsets(GROUP, {at(1): 0, at(0): -1}))
    with pytest.raises(ValueError, match="partitions 0 to 3, not 4"):
        desk.ask(lambda admin: admin.reset_group_offsets(GROUP, {at(4): 0}))
    with pytest.raises(TopicUnknown):
        desk.ask(lambda admin: admin.reset_group_offsets(GROUP, {at(0, "nothing"): 0}))
    with pytest.raises(ValueError, match="no partition"):
        desk.ask(lambda admin: admin.reset_group_offsets(GROUP, {}))
    offsets = desk.ask(lambda admin: admin.group_offsets(GROUP))
    assert {pair: each.offset for pair, each in offsets.items()} == {at(0): 0}


def test_a_group_is_made_only_when_that_is_wanted(desk: Desk) -> None:
    """Positions for a group that is to come."""
    assert (
        reason_of(desk, lambda admin: admin.reset_group_offsets("new", {at(0): 0}))
        == "UNKNOWN_GROUP"
    )
    assert desk.ask(lambda admin: admin.reset_group_offsets("new", {at(0): 0}, create=True)) == 0
    assert list(desk.ask(lambda admin: admin.group_offsets("new"))) == [at(0)]
    desk.ask(lambda admin: admin.reset_group_offsets("new", {at(1): 0}, create=True))
    assert list(desk.ask(lambda admin: admin.group_offsets("new"))) == [at(0), at(1)]


def test_groups_and_positions_are_deleted_when_nobody_needs_them(desk: Desk) -> None:
    """Refused while members subscribe; afterwards the numbers are told, and the group is gone."""
    member = desk.world.join("m1")
    member.commit({0: 0, 1: 0, 2: 0})
    assert reason_of(desk, lambda admin: admin.delete_group(GROUP)) == "GROUP_NOT_EMPTY"
    assert (
        reason_of(desk, lambda admin: admin.delete_group_offsets(GROUP, [at(0)]))
        == "GROUP_SUBSCRIBED"
    )
    member.say(leave=pb.MemberLeave())
    desk.world.wait(lambda: member.closed)
    assert desk.ask(lambda admin: admin.delete_group_offsets(GROUP, [at(0), at(3)])) == 1
    described = desk.ask(lambda admin: admin.describe_group(GROUP))
    assert described.phase is GroupPhase.EMPTY
    assert described.empty_since_ms > 0
    assert [each.partition for each in described.partitions] == [1, 2]
    assert desk.ask(lambda admin: admin.delete_group(GROUP)) == 2
    assert reason_of(desk, lambda admin: admin.describe_group(GROUP)) == "UNKNOWN_GROUP"


@pytest.mark.parametrize("name", ["", "..", "a b", "x" * 250])
def test_a_name_that_is_none(desk: Desk, name: str) -> None:
    """Is refused as such, by every call."""
    for work in (
        lambda admin: admin.describe_group(name),
        lambda admin: admin.group_offsets(name),
        lambda admin: admin.reset_group_offsets(name, {at(0): 0}),
        lambda admin: admin.delete_group_offsets(name, [at(0)]),
        lambda admin: admin.delete_group(name),
    ):
        assert reason_of(desk, work) == "INVALID_GROUP_NAME"


def test_the_lag_of_a_partition_without_a_leader_is_not_known(desk: Desk) -> None:
    """The rest is told all the same, and soon; a majority is gone, so that the coordinator has to be
    asked before it notices."""
    desk.store({0: 0, 1: 0})
    told = desk.ask(lambda admin: admin.describe_group(GROUP, lag=False))
    assert [each.end_offset for each in told.partitions] == [None, None]
    assert [each.lag_records for each in told.partitions] == [None, None]
    assert told.lag_records is None
    assert told.lag_seconds is None
    assert [each.committed is not None for each in told.partitions] == [True, True]


def test_the_coordinator_is_found_again_when_it_moved(desk: Desk) -> None:
    """A client that knows an old one asks on, by itself."""
    desk.store({0: 0})
    world = desk.world

    async def work(admin: Admin) -> tuple[int, int]:
        before = (await admin.describe_group(GROUP)).coordinator_node_id
        world.cluster.kill(world.node(before), power_cut=False)
        return before, (await admin.describe_group(GROUP)).coordinator_node_id

    before, after = desk.ask(work)
    assert before != after
