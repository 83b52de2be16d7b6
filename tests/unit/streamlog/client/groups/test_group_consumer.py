"""Consumers of a group at three whole nodes, in virtual time: sharing, freezing, coming back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from streamlog.client import CommitRefused, ConsumerRecord, TopicPartition
from streamlog.v1 import admin_service_pb2 as admin
from streamlog.v1 import group_service_pb2 as pb
from tests.fakes.group_consumers import ConsumerWorld, Reader, new_consumer_world
from tests.fakes.group_world import GROUP, SESSION_MS

ALL = [0, 1, 2, 3]


@pytest.fixture
def world() -> Iterator[ConsumerWorld]:
    with new_consumer_world() as made:
        yield made


def values(*names: str) -> list[bytes]:
    return [name.encode() for name in names]


def fill_all(world: ConsumerWorld, *names: str) -> None:
    world.fill("orders", {number: values(*names) for number in ALL})


def pair(number: int) -> TopicPartition:
    return TopicPartition("orders", number)


def places(records: list[ConsumerRecord]) -> list[tuple[int, bytes]]:
    return sorted((record.partition, record.value) for record in records)


def test_a_member_reads_commits_and_leaves(world: ConsumerWorld) -> None:
    """Alone it reads everything; what it committed is where the next one goes on."""
    fill_all(world, "a", "b", "c")
    reader = Reader(world, "r1")
    reader.wait_for(*ALL)
    first = reader.get(8)
    reader.complete(reader.consumer.commit())
    assert reader.consumer.membership.phase == "stable"
    reader.close()
    assert reader.diary == [("assigned", ALL), ("revoked", ALL)]
    second = Reader(world, "r2")
    rest = second.get(4)
    assert places(first + rest) == [(n, value) for n in ALL for value in (b"a", b"b", b"c")]
    assert set(second.lag_of().values()) == {0}
    second.close()


def test_two_share_and_one_leaves(world: ConsumerWorld) -> None:
    """The first gives up half, at the positions it has reached; when the second leaves, the first
    goes on where that one stopped. Nobody reads a record twice."""
    fill_all(world, "a", "b")
    first = Reader(world, "r1")
    first.wait_for(*ALL)
    taken = first.get_together(8)
    second = Reader(world, "r2")
    world.run(1)
    assert len(first.owned) == 2  # The others are in hand: it has not asked for more.
    assert first.diary == [("assigned", ALL)]
    first.start_reading()
    world.wait(lambda: len(second.owned) == 2)
    assert sorted(first.owned + second.owned) == ALL
    assert first.diary[1] == ("revoked", second.owned)
    world.wait(lambda: second.diary == [("assigned", second.owned)])
    fill_all(world, "c")
    taken += second.get(2)
    world.wait(lambda: len(first.records) == 2)
    second.close()
    first.wait_for(*ALL)
    fill_all(world, "d")
    world.wait(lambda: len(first.records) == 6)
    assert places(taken + first.records) == [
        (n, value) for n in ALL for value in (b"a", b"b", b"c", b"d")
    ]
    first.close()


def test_a_slow_handler_is_not_evicted_and_holds_up_only_what_it_has(world: ConsumerWorld) -> None:
    """While it works on a record for several session timeouts the member stays one; what it has in
    hand is given to another when it asks for the next record, and that one record is done."""
    world.fill("orders", {0: values("slow", "next")})
    first = Reader(world, "r1", rebalance_timeout_ms=600_000)
    assert places(first.get(1)) == [(0, b"slow")]
    second = Reader(world, "r2")
    world.run(5 * SESSION_MS / 1_000)
    assert first.consumer.membership.phase in {"revoking", "stable"}
    assert 0 not in second.owned
    assert len(second.owned) >= 1
    both = set(first.owned) | set(second.owned)
    assert both | {0} == set(ALL)
    first.start_reading()
    world.wait(lambda: len(first.owned) == len(second.owned) == 2)
    if 0 in second.owned:
        assert places(second.get(1)) == [(0, b"next")]
    else:
        world.wait(lambda: places(first.records) == [(0, b"next")])
    assert not [entry for entry in first.diary if entry[0] == "lost"]
    first.close()
    second.close()


def test_who_never_asks_loses_what_it_has_in_hand(world: ConsumerWorld) -> None:
    """Shortly before the rebalance timeout its partitions are given up without what is in hand: it
    stays a member, and the next owner gets the records again."""
    fill_all(world, "a", "b")
    first = Reader(world, "r1", rebalance_timeout_ms=10_000)
    first.get_together(8)
    member_id = first.consumer.membership.member_id
    second = Reader(world, "r2")
    world.wait(lambda: len(second.owned) == 2, 12)
    given = second.owned
    assert first.diary[1:] == [("revoked", given)]
    again = second.get(4)
    assert places(again) == [(n, value) for n in given for value in (b"a", b"b")]
    with pytest.raises(CommitRefused) as refused:
        first.complete(first.consumer.commit())
    assert sorted(p.partition for p in refused.value.partitions) == given
    with pytest.raises(CommitRefused):
        first.complete(first.consumer.commit({pair(given[0]): 2}))
    assert first.get(1, timeout_ms=100) == []
    first.complete(first.consumer.commit())
    assert first.consumer.membership.member_id == member_id
    first.close()
    second.close()


def test_positions_may_be_committed_while_they_are_given_up(world: ConsumerWorld) -> None:
    """A coroutine as `on_revoked` commits by hand, under the epoch that is about to end; the next
    owner begins there."""
    fill_all(world, "a", "b")
    told: list[Any] = []

    async def on_revoked(partitions: list[TopicPartition]) -> None:
        await asyncio.sleep(1)
        await first.consumer.commit()
        first.consumer.commit_nowait(on_commit=lambda error, offsets: told.append((error, offsets)))

    first = Reader(world, "r1", auto_commit_ms=None, on_revoked=on_revoked)
    ends = {record.partition: record.offset + 1 for record in first.get_together(8)}
    second = Reader(world, "r2")
    world.run(1)
    first.start_reading()
    world.wait(lambda: len(second.owned) == 2)
    assert told == [(None, {})]
    assert second.get(1, timeout_ms=2_000) == []
    first.close()
    second.close()
    assert second.committed_after_close() == ends


@pytest.mark.parametrize("how", ["getone", "iterate"])
def test_a_frozen_member_hands_out_nothing_and_commits_nothing(
    world: ConsumerWorld, how: str
) -> None:
    """A process that stands still for longer than its session, in the middle of a decoded batch:
    when it wakes it does not hand out the next record of that batch, and its commit is refused.
    Then it is told what it lost, joins anew, and reads on from what others committed."""
    fill_all(world, *"abcdef")
    frozen = Reader(world, "r1", auto_commit_ms=None)
    frozen.wait_for(*ALL)
    outcome: dict[str, Any] = {"records": []}
    tasks: list[asyncio.Task[None]] = []

    async def work() -> None:
        records = frozen.iterate() if how == "iterate" else frozen.one_by_one()
        async for record in records:
            outcome["records"].append(record)
            if len(outcome["records"]) > 1:
                break
            world.scheduler.pause(frozen.loop)
            await asyncio.sleep(0)  # It stands still here.
            try:
                await frozen.consumer.commit({(record.topic, record.partition): record.offset + 1})
            except CommitRefused as refused:
                outcome["refused"] = refused

    tasks.append(frozen.loop.create_task(work()))
    world.wait(lambda: len(outcome["records"]) == 1)
    (first,) = outcome["records"]
    other = Reader(world, "r2")
    other.wait_for(*ALL)
    read = other.get(24)
    assert places(read) == [(n, value) for n in ALL for value in values(*"abcdef")]
    other.complete(other.consumer.commit())
    world.scheduler.resume(frozen.loop)
    world.wait(lambda: "refused" in outcome)
    other.start_reading()
    world.run(5)
    assert outcome["records"] == [first]
    assert frozen.diary[:2] == [("assigned", ALL), ("lost", ALL)]
    assert len(frozen.owned) == 2
    assert first.partition in [each.partition for each in outcome["refused"].partitions]
    world.fill("orders", {number: values("g") for number in frozen.owned})
    world.wait(lambda: len(outcome["records"]) == 2)
    assert outcome["records"][1].value == b"g"
    assert not other.records
    frozen.close()
    other.close()


def test_a_short_pause_changes_nothing(world: ConsumerWorld) -> None:
    """Half a session without any step: the member is confirmed again, and loses nothing."""
    fill_all(world, "a", "b")
    reader = Reader(world, "r1")
    reader.get(2)
    world.scheduler.pause(reader.loop)
    world.run(SESSION_MS / 2_000)
    world.scheduler.resume(reader.loop)
    assert len(reader.get(6)) == 6
    assert reader.diary == [("assigned", ALL)]
    reader.close()


def test_positions_that_operators_reset_are_taken(world: ConsumerWorld) -> None:
    """The owner loses the partition and is given it anew, at the new position; what it was about to
    commit of before does not count."""
    fill_all(world, "a", "b", "c")
    reader = Reader(world, "r1", auto_commit_ms=None)
    taken = reader.get_together(12)
    to = next(each.offset for each in taken if (each.partition, each.value) == (1, b"b"))
    reset = pb.GroupOffset(topic_id=world.topic_ids["orders"], partition=1, offset=to)
    request = pb.ResetOffsetsRequest(group=GROUP, offsets=[reset])
    world.call(world.coordinator_of(), "ResetOffsets", request, pb.ResetOffsetsResponse)
    world.wait(lambda: reader.diary[1:] == [("lost", [1]), ("assigned", [1])])
    for offsets in ({pair(1): to + 2}, None):
        with pytest.raises(CommitRefused) as refused:
            reader.complete(reader.consumer.commit(offsets))
        assert refused.value.partitions == [pair(1)]
    assert places(reader.get(2)) == [(1, b"b"), (1, b"c")]
    reader.complete(reader.consumer.commit())
    assert reader.committed() == {each.partition: each.offset + 1 for each in taken}
    reader.close()


def test_a_coordinator_that_moves_is_followed(world: ConsumerWorld) -> None:
    """The node that coordinates crashes: the member stays the same, keeps reading meanwhile, loses
    nothing, and what was committed is there."""
    fill_all(world, "a", "b")
    reader = Reader(world, "r1", auto_commit_ms=None)
    taken = reader.get(4)
    reader.complete(reader.consumer.commit())
    before = reader.consumer.membership
    dead = world.coordinator_of()
    committed = reader.committed()
    world.cluster.kill(world.node(dead), power_cut=True)
    rest = reader.get(4)
    reader.complete(reader.consumer.commit())
    assert reader.consumer.membership.member_id == before.member_id
    assert reader.diary == [("assigned", ALL)]
    ends = {each.partition: each.offset + 1 for each in [*taken, *rest]}
    after = reader.committed()  # Behind the last record there may be a batch of a new leader.
    assert all(after[number] >= end >= committed[number] for number, end in ends.items())
    world.run(2 * SESSION_MS / 1_000)
    assert reader.consumer.membership.phase == "stable"
    reader.close()


def test_who_leaves_while_the_coordinator_moves_is_heard(world: ConsumerWorld) -> None:
    """A close right after the coordinator crashed waits for the next one: what is done is committed,
    and nobody has to wait for a session to end."""
    fill_all(world, "a")
    reader = Reader(world, "r1", session_timeout_ms=600_000)
    taken = reader.get(4)
    world.cluster.kill(world.node(world.coordinator_of()), power_cut=True)
    reader.close()
    described = world.call(
        world.coordinator_of(),
        "DescribeGroup",
        pb.DescribeGroupRequest(group=GROUP),
        pb.DescribeGroupResponse,
    )
    assert described.summary.member_count == 0
    assert described.rebalances[-1].cause == "member_left"
    after = {each.partition: each.offset for each in described.offsets}
    assert all(after[each.partition] >= each.offset + 1 for each in taken)


def test_a_static_member_comes_back_to_what_it_had(world: ConsumerWorld) -> None:
    """Closed without leaving and made again with the same instance id, it has the same partitions,
    and the other member was not asked to move."""
    first = Reader(world, "r1", instance_id="till-1")
    first.wait_for(*ALL)
    first.start_reading()
    other = Reader(world, "r2", instance_id="till-2")
    world.wait(lambda: len(other.owned) == 2 and bool(other.diary))
    had, told = first.owned, list(other.diary)
    first.close(leave=False)
    back = Reader(world, "r3", instance_id="till-1")
    back.wait_for(*had)
    assert other.diary == told
    back.close()
    other.wait_for(*ALL)
    other.close()


def test_a_new_topic_of_a_pattern_is_read_and_a_deleted_one_is_not(world: ConsumerWorld) -> None:
    """A topic that is made after its pattern is given out; one that is deleted is lost, and the
    others are read on; partitions that are added come too."""
    fill_all(world, "a")
    reader = Reader(world, "r1", topics=["orders"], pattern="later-.*")
    reader.get(4)
    reader.start_reading()
    world.make_topic("later-1", 1)
    world.wait(lambda: len(reader.consumer.membership.assigned) == 5)
    world.fill("later-1", {0: values("new")})
    world.wait(lambda: [record.topic for record in reader.records] == ["later-1"])
    world.call(
        1,
        "streamlog.v1.AdminService/DeleteTopic",
        admin.DeleteTopicRequest(name="orders"),
        admin.DeleteTopicResponse,
    )
    world.wait(lambda: len(reader.consumer.membership.assigned) == 1)
    world.wait(lambda: ("lost", ALL) in reader.diary)
    world.call(
        2,
        "streamlog.v1.AdminService/AddPartitions",
        admin.AddPartitionsRequest(name="later-1", partition_count=3),
        admin.AddPartitionsResponse,
    )
    world.wait(lambda: len(reader.consumer.membership.assigned) == 3)
    world.fill("later-1", {2: values("newer")})
    world.wait(lambda: len(reader.records) == 2)
    world.make_topic("orders", 4)
    world.wait(lambda: len(reader.consumer.membership.assigned) == 7)
    fill_all(world, "again")
    world.wait(lambda: len(reader.records) == 6)
    assert reader.failures == []
    reader.close()


def test_callbacks_may_seek_and_their_errors_are_raised(world: ConsumerWorld) -> None:
    """Before the first record of a partition is handed out, `on_assigned` may say where to begin,
    and pause; what it raises, the next call that reads raises, once."""
    fill_all(world, "a", "b", "c")

    third = dict.fromkeys(ALL, 3)  # The leader's own batch comes first.

    async def on_assigned(partitions: list[TopicPartition]) -> None:
        for each in partitions:
            begin = await reader[0].consumer.position(each)
            await reader[0].consumer.seek(each, begin + third[each.partition])
        reader[0].consumer.pause(pair(3))
        raise LookupError("no state")

    reader: list[Reader] = []
    reader.append(Reader(world, "r1", on_assigned=on_assigned))
    only = reader[0]
    only.wait_for(*ALL)
    world.run(0.1)
    with pytest.raises(LookupError, match="no state"):
        only.get(1)
    assert places(only.get(3)) == [(0, b"c"), (1, b"c"), (2, b"c")]
    assert only.get(1, timeout_ms=500) == []
    only.complete(only.resume(pair(3)))
    assert places(only.get(1)) == [(3, b"c")]
    only.close()


def test_what_is_subscribed_to_can_be_changed(world: ConsumerWorld) -> None:
    """Other topics come and the former go, with their positions; a subscription that is refused
    changes nothing."""
    world.make_topic("returns", 1)
    reader = Reader(world, "r1")
    reader.wait_for(*ALL)
    reader.start_reading()
    reader.complete(reader.consumer.subscribe(["returns"]))
    world.wait(lambda: reader.consumer.membership.assigned == (TopicPartition("returns", 0),))
    with pytest.raises(Exception, match="TOO_MANY_TOPICS") as refused:
        reader.complete(reader.consumer.subscribe([f"t{n}" for n in range(1_001)]))
    assert getattr(refused.value, "metadata", {})["maximum"] == "1000"
    world.fill("returns", {0: values("x")})
    world.wait(lambda: len(reader.records) == 1)
    assert reader.diary[1] == ("revoked", ALL)
    reader.close()


def test_a_listener_says_when_it_is_done(world: ConsumerWorld) -> None:
    """Whoever works on records beside the calls that read is asked before the application, and the
    revocation waits for it, not for the next call; what it raises is told, and holds up nothing."""
    fill_all(world, "a", "b")
    listener = Listening()
    first = Reader(world, "r1", auto_commit_ms=None)
    taken = first.get_together(8)
    first.consumer.listen(listener)
    second = Reader(world, "r2")
    world.wait(lambda: bool(listener.asked))
    world.run(3)
    assert second.owned == []
    assert first.diary == [("assigned", ALL)]
    listener.done.set()
    world.wait(lambda: len(second.owned) == 2)
    given = listener.asked[0]
    assert first.diary[1:] == [("revoked", [each.partition for each in given])]
    for work in (first.consumer.commit(), first.consumer.commit({given[0]: 1})):
        with pytest.raises(CommitRefused):
            first.complete(work)
    kept = {
        pair(each.partition): each.offset + 1 for each in taken if pair(each.partition) not in given
    }
    first.complete(first.consumer.commit(kept))
    with pytest.raises(LookupError, match="drained"):
        first.get(1)
    first.consumer.listen(None)
    first.close()
    second.close()


class Listening:
    """Takes its time, and fails in the end."""

    def __init__(self) -> None:
        self.asked: list[list[TopicPartition]] = []
        self.done = asyncio.Event()

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.asked.append(list(partitions))
        await self.done.wait()
        raise LookupError("drained, more or less")

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        raise AssertionError(partitions)
