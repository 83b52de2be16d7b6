"""What a consumer of a group commits, and what it is refused, at three whole nodes in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from streamlog.client import (
    ClientError,
    CommitRefused,
    MembershipRefused,
    OffsetAndMetadata,
    PositionReset,
    PositionUnknown,
    TopicPartition,
    TopicUnknown,
    WrongUse,
)
from tests.fakes.group_consumers import ConsumerWorld, Reader, new_consumer_world
from tests.fakes.group_world import SESSION_MS

ALL = [0, 1, 2, 3]


@pytest.fixture
def world() -> Iterator[ConsumerWorld]:
    with new_consumer_world() as made:
        yield made


def fill(world: ConsumerWorld, *names: str) -> None:
    """The same into partitions 0 and 1."""
    world.fill("orders", {number: [name.encode() for name in names] for number in (0, 1)})


def pair(number: int) -> TopicPartition:
    return TopicPartition("orders", number)


def test_what_is_in_hand_is_not_committed_by_itself(world: ConsumerWorld) -> None:
    """The automatic commit leaves out the record that the application works on; the next request
    for a record says that it is done."""
    world.fill("orders", {0: [b"a", b"b"]})
    reader = Reader(world, "r1", auto_commit_ms=100)
    (first,) = reader.get(1)
    world.run(3)
    assert reader.committed()[0] == first.offset
    (second,) = reader.get(1)
    world.run(3)
    assert reader.committed()[0] == first.offset + 1
    assert reader.get(1, timeout_ms=10) == []
    world.run(3)
    assert reader.committed()[0] == second.offset + 1
    reader.close()


def test_iterating_commits_up_to_the_record_in_hand(world: ConsumerWorld) -> None:
    """In the middle of a decoded batch, without a call that takes the next one: what came before
    the record in hand is done."""
    world.fill("orders", {0: [b"a", b"b", b"c"]})
    reader = Reader(world, "r1", auto_commit_ms=100)
    reader.wait_for(*ALL)
    world.run(1)
    in_hand: list[int] = []

    async def work() -> None:
        async for record in reader.consumer:
            in_hand.append(record.offset)
            await asyncio.sleep(3)

    task = reader.loop.create_task(work())
    for count in (1, 2, 3):
        world.wait(lambda count=count: len(in_hand) == count)  # type: ignore[misc]
        world.run(2)
        assert reader.committed()[0] == in_hand[-1]
    world.run(2)
    assert reader.committed()[0] == in_hand[-1] + 1
    task.cancel()
    world.wait(task.done)
    reader.close()


@pytest.mark.parametrize("fails", [True, False])
def test_the_end_of_the_block_says_whether_the_last_record_is_done(
    world: ConsumerWorld, fails: bool
) -> None:
    """After an exception it is handed out again, else not; close within a handler of an exception
    is as the end of the block."""
    world.fill("orders", {0: [b"a", b"b"]})
    reader = Reader(world, "r1")
    offsets: list[int] = []

    async def work() -> None:
        try:
            async with reader.consumer:
                async for record in reader.consumer:
                    offsets.append(record.offset)
                    if fails:
                        raise LookupError("the handler failed")
                    break
        except LookupError:
            pass

    reader.complete(work())
    assert reader.committed_after_close()[0] == offsets[0] + (not fails)
    again = Reader(world, "r2")
    again.get(1)

    async def close() -> None:
        try:
            raise LookupError
        except LookupError:
            await again.consumer.close()

    again.complete(close())
    assert again.committed_after_close()[0] == offsets[0] + (not fails)


def test_positions_of_others_tasks_are_not_taken_as_done(world: ConsumerWorld) -> None:
    """A close by a task that does not read, while another one is in its handler: what that one has
    in hand is handed out again."""
    world.fill("orders", {0: [b"a", b"b"]})
    reader = Reader(world, "r1")
    started: list[int] = []

    async def work() -> None:
        async for record in reader.consumer:
            started.append(record.offset)
            await asyncio.sleep(1_000)

    task = reader.loop.create_task(work())
    world.wait(lambda: bool(started))
    reader.close()
    assert reader.committed_after_close()[0] == started[0]
    task.cancel()
    world.wait(task.done)


def test_notes_offsets_and_callbacks(world: ConsumerWorld) -> None:
    """Explicit positions with a note; of commits that nobody waits for the newest counts, and
    everybody is told; what is committed is read back, None where nothing is."""
    fill(world, "a", "b")
    reader = Reader(world, "r1", auto_commit_ms=None, topics=["orders"])
    reader.wait_for(*ALL)
    told: list[tuple[ClientError | None, dict[TopicPartition, OffsetAndMetadata]]] = []

    async def work() -> None:
        await reader.consumer.commit({pair(0): OffsetAndMetadata(1, "so far")})
        for offset in range(3, 50):
            reader.consumer.commit_nowait(
                {pair(1): offset}, on_commit=lambda error, offsets: told.append((error, offsets))
            )

    reader.complete(work())
    world.wait(lambda: len(told) == 47)
    assert told[-1] == (None, {pair(1): OffsetAndMetadata(49)})
    found = reader.complete(reader.consumer.committed([pair(0), pair(1), pair(2)]))
    assert found == {
        pair(0): OffsetAndMetadata(1, "so far"),
        pair(1): OffsetAndMetadata(49),
        pair(2): None,
    }
    with pytest.raises(ValueError, match="offset -1"):
        reader.complete(reader.consumer.commit({pair(0): -1}))
    reader.close()


def test_a_commit_that_is_wrong_in_itself(world: ConsumerWorld) -> None:
    """A note that is too large is refused with the range in the metadata, and the consumer goes on;
    so is a partition that is not its own, and who is told by a callback is not raised at."""
    reader = Reader(world, "r1", auto_commit_ms=None)
    reader.wait_for(*ALL)
    large = {pair(0): OffsetAndMetadata(1, "x" * 4_097)}
    with pytest.raises(CommitRefused) as refused:
        reader.complete(reader.consumer.commit(large))
    assert refused.value.reason == "METADATA_TOO_LARGE"
    assert (refused.value.metadata["value"], refused.value.metadata["maximum"]) == ("4097", "4096")
    told: list[ClientError | None] = []

    async def strange() -> None:
        reader.consumer.commit_nowait(
            {("returns", 7): 1}, on_commit=lambda error, _: told.append(error)
        )
        with pytest.raises(CommitRefused):
            reader.consumer.commit_nowait({("returns", 7): 1})

    reader.complete(strange())
    assert isinstance(told[0], CommitRefused)
    assert told[0].partitions == [("returns", 7)]
    reader.complete(reader.consumer.commit({pair(0): 1}))
    reader.close()


@pytest.mark.parametrize(
    ("options", "kind", "reason", "metadata"),
    [
        ({"group": "a/b"}, MembershipRefused, "INVALID_GROUP_NAME", {"maximum": "249"}),
        ({"instance_id": "a b"}, ClientError, "INVALID_REQUEST", {"value": "'a b'"}),
        ({"pattern": "("}, MembershipRefused, "INVALID_PATTERN", {"pattern": "'('"}),
        ({"assignor": "fair"}, MembershipRefused, "UNKNOWN_ASSIGNOR", {}),
        ({"topics": ["nothing"]}, TopicUnknown, "UNKNOWN_TOPIC", {"topic": "'nothing'"}),
        ({"client_id": "x" * 256}, ClientError, "INVALID_REQUEST", {}),
    ],
)
def test_who_is_refused_is_told_by_every_call_that_reads(
    world: ConsumerWorld,
    options: dict[str, Any],
    kind: type[ClientError],
    reason: str,
    metadata: dict[str, str],
) -> None:
    """Names and the like that the coordinator does not take: the reason, and the values."""
    reader = Reader(world, "r1", **options)
    for _ in range(2):
        with pytest.raises(kind) as refused:
            reader.get(1)
        assert refused.value.reason == reason
        assert (refused.value.fatal, refused.value.retriable) == (True, False)
        assert metadata.items() <= dict(refused.value.metadata).items()
    reader.close()


def test_two_with_one_instance_id(world: ConsumerWorld) -> None:
    """The second one waits for a session, in case the first is dead, and is refused then; the first
    reads on."""
    fill(world, "a")
    first = Reader(world, "r1", instance_id="till-1")
    first.wait_for(*ALL)
    second = Reader(world, "r2", instance_id="till-1")
    world.run(SESSION_MS / 2_000)
    assert second.consumer.membership.phase == "joining"
    with pytest.raises(MembershipRefused) as refused:
        second.get(1)
    assert refused.value.reason == "INSTANCE_ID_IN_USE"
    assert refused.value.metadata["instance_id"] == "till-1"
    assert (refused.value.fatal, refused.value.retriable) == (True, False)
    assert len(first.get(2)) == 2
    second.close()
    first.close()


def test_an_old_answer_about_an_instance_id_is_not_believed(world: ConsumerWorld) -> None:
    """The process stood still: meanwhile the other one died, and its session ended. What was
    answered before is no reason to give up."""
    fill(world, "a")
    first = Reader(world, "r1", instance_id="till-1")
    first.wait_for(*ALL)
    second = Reader(world, "r2", instance_id="till-1")
    world.run(SESSION_MS / 2_000)
    group = second.consumer._group
    assert group is not None
    world.wait(lambda: group._link._call is not None)
    for reader in (first, second):
        world.scheduler.pause(reader.loop)
    world.run(2 * SESSION_MS / 1_000)
    world.scheduler.resume(second.loop)
    assert len(second.get(2)) == 2
    second.close()


def test_committing_without_being_a_member(world: ConsumerWorld) -> None:
    """What is assigned by hand begins where the group committed, and is committed for the group;
    not while it has members, and not by who subscribes."""
    fill(world, "a", "b", "c")
    tool = Reader(world, "tool", topics=[], auto_commit_ms=None)

    async def assign() -> None:
        tool.consumer.assign([pair(0)])

    tool.complete(assign())
    ends = [record.offset + 1 for record in tool.get(2)]
    tool.complete(tool.consumer.commit())
    assert tool.committed() == {0: ends[-1]}
    tool.complete(tool.consumer.commit({pair(0): ends[0]}))
    with pytest.raises(WrongUse, match="no member"):
        _ = tool.consumer.membership
    with pytest.raises(WrongUse, match="assigned"):
        tool.complete(tool.consumer.subscribe(["orders"]))
    tool.close()
    again = Reader(world, "again", topics=[])
    again.complete(_call(lambda: again.consumer.assign([pair(0)])))
    assert [record.value for record in again.get(2)] == [b"b", b"c"]
    member = Reader(world, "r1")
    member.wait_for(*ALL)
    with pytest.raises(CommitRefused) as refused:
        again.complete(again.consumer.commit())
    assert refused.value.reason == "GROUP_NOT_EMPTY"
    with pytest.raises(WrongUse, match="the group assigns"):
        member.complete(_call(lambda: member.consumer.assign([pair(0)])))
    member.close()
    again.close()
    assert again.committed_after_close()[0] == ends[-1] + 1


async def _call(work: Callable[[], object]) -> None:
    work()


def test_without_a_group(world: ConsumerWorld) -> None:
    """What only a group can do says so, and topics without a group are refused."""
    with pytest.raises(ValueError, match="need a group"):
        Reader(world, "r1", group=None)
    reader = Reader(world, "r1", group=None, topics=[])
    for work in (
        reader.consumer.commit(),
        reader.consumer.subscribe(["orders"]),
        reader.consumer.committed([pair(0)]),
        _call(reader.consumer.commit_nowait),
        _call(lambda: reader.consumer.membership),
    ):
        with pytest.raises(WrongUse, match="group="):
            reader.complete(work)
    reader.close()
    for options, name in (
        ({"session_timeout_ms": 999}, "session_timeout_ms"),
        ({"rebalance_timeout_ms": 3_600_001}, "rebalance_timeout_ms"),
        ({"auto_commit_ms": 0}, "auto_commit_ms"),
        ({"group": ""}, "group"),
    ):
        with pytest.raises(ValueError, match=name):
            Reader(world, "r1", **options)
    with pytest.raises(TypeError, match="list"):
        Reader(world, "r1", topics="orders")


def test_a_group_that_begins_at_the_end_stays_there(world: ConsumerWorld) -> None:
    """Where the policy put the position is committed, so that the next owner does not pass over
    what came meanwhile."""
    fill(world, "old")
    first = Reader(world, "r1", no_position="latest")
    first.wait_for(*ALL)
    world.run(1)
    first.close()
    fill(world, "new")
    second = Reader(world, "r2", no_position="latest")
    assert {record.value for record in second.get(2)} == {b"new"}
    second.close()


def begin_out_of_range(
    world: ConsumerWorld, position: int, **policy: Any
) -> tuple[list[PositionReset], dict[int, int]]:
    """A member takes over a position that the log does not have, reads nothing, and leaves: what it
    was told, and what is committed then."""
    first = Reader(world, "r1", auto_commit_ms=None)
    first.wait_for(*ALL)
    first.complete(first.consumer.commit({pair(0): position}))
    first.close()
    resets: list[PositionReset] = []
    second = Reader(world, "r2", on_reset=resets.append, **policy)
    second.wait_for(*ALL)
    world.wait(lambda: bool(resets))
    second.close()
    return resets, second.committed_after_close()


@pytest.mark.parametrize("policy", ["earliest", "latest", timedelta(hours=1)])
def test_a_position_above_the_end_is_left_for_good(world: ConsumerWorld, policy: Any) -> None:
    """Where the policy puts it is committed at once: else the log grows past the old position, and
    the next owner skips what came meanwhile."""
    world.fill("orders", {0: [b"old"]})
    resets, committed = begin_out_of_range(world, 6, above_end=policy)
    assert [(reset.from_offset, reset.why) for reset in resets] == [(6, "above_end")]
    assert committed[0] == resets[0].to_offset < 6
    world.fill("orders", {0: [b"%d" % number for number in range(10)]})
    third = Reader(world, "r3", above_end="error")
    read = [record.value for record in third.get(10 + (policy != "latest"))]
    assert read[-10:] == [b"%d" % number for number in range(10)]
    third.close()


@pytest.mark.parametrize("policy", ["earliest", "latest", timedelta(hours=1)])
def test_a_position_below_the_start_is_left_for_good(world: ConsumerWorld, policy: Any) -> None:
    """Also when it is put to the end: what comes afterwards is read by somebody."""
    world.fill("orders", {0: [b"gone", b"there"]})
    world.trim("orders", 0, 2)
    resets, committed = begin_out_of_range(world, 0, below_start=policy)
    assert [(reset.from_offset, reset.why) for reset in resets] == [(0, "below_start")]
    assert committed[0] == resets[0].to_offset > 0


def test_without_a_position_it_may_be_an_error(world: ConsumerWorld) -> None:
    """With the policy "error" each partition without a committed position is told once, and waits
    for a seek."""
    fill(world, "a", "b")
    reader = Reader(world, "r1", no_position="error")
    reader.wait_for(*ALL)
    world.run(0.5)
    for _ in ALL:
        with pytest.raises(PositionUnknown, match="orders/"):
            reader.get(1)
    reader.complete(reader.consumer.seek(pair(0), 0))
    assert [record.value for record in reader.get(2)] == [b"a", b"b"]
    reader.close()
    assert set(reader.committed_after_close()) == {0}
