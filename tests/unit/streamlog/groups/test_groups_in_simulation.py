"""Consumer groups end to end: raw members at three whole nodes, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from consumer_groups.limits import METADATA_BYTES_MAX
from streamlog.v1 import admin_service_pb2 as admin
from streamlog.v1 import group_service_pb2 as pb
from streamlog.v1 import log_service_pb2 as log
from tests.fakes.group_world import GROUP, SESSION_MS, GroupWorld, RefusedCall, new_group_world


@pytest.fixture
def world() -> Iterator[GroupWorld]:
    with new_group_world() as made:
        yield made


@pytest.fixture
def small_world() -> Iterator[GroupWorld]:
    with new_group_world(snapshot_bytes=16 << 10, retention_check_ms=200) as made:
        yield made


@pytest.fixture
def strict_world() -> Iterator[GroupWorld]:
    with new_group_world(groups_no_progress_ms=3_000) as made:
        yield made


def test_who_handles_nothing_is_expired_where_that_is_wanted(strict_world: GroupWorld) -> None:
    """A member whose heartbeats come and whose count stands still loses its partitions to one that
    works."""
    world = strict_world
    stuck = world.join("m1")
    world.run(5)
    assert not stuck.closed
    stuck.handles = False
    world.wait(lambda: stuck.closed, 6)
    assert stuck.ended is not None
    assert stuck.ended.reason == "UNKNOWN_MEMBER"


def test_partitions_move_from_one_member_to_another_with_an_acknowledgement(
    world: GroupWorld,
) -> None:
    """Alone a member owns everything; a second one is given its half in the very moment in which
    the first acknowledges, not before; when one leaves the other is told at once."""
    first = world.join("m1")
    assert first.owned == [0, 1, 2, 3]
    assert {each.topic for each in first.assignments[-1].assigned} == {"orders"}
    assert first.assignments[-1].session_timeout_ms == SESSION_MS
    assert first.assignments[-1].heartbeat_interval_ms == SESSION_MS // 6

    second = world.join("m2")
    world.wait(lambda: bool(first.revoking))
    assert second.owned == []
    assert len(first.revoking) == 2
    given_up = first.revoking

    assert not first.commit({given_up[0]: 41}, note="last of m1").HasField("error")
    first.acknowledge()
    world.wait(lambda: bool(second.owned))
    assert second.owned == given_up
    assert sorted(first.owned + second.owned) == [0, 1, 2, 3]
    assert second.assignments[-1].assigned[0].committed.offset == 41
    assert not second.assignments[-1].assigned[1].HasField("committed")

    second.say(leave=pb.MemberLeave())
    world.wait(lambda: first.owned == [0, 1, 2, 3])
    world.wait(lambda: second.closed)
    assert second.ended is None
    world.wait(lambda: bool(first.heartbeats))
    assert first.heartbeats[-1].coordinator_term > 0
    assert first.heartbeats[-1].member_epoch == first.epoch


def test_a_broken_stream_keeps_its_partitions_until_the_session_expires(world: GroupWorld) -> None:
    """Back in time with its id and epoch a member has what it had; gone for longer it is expired
    and refused, and the other member is told."""
    first = world.join("m1")
    first.vanish()
    world.run(SESSION_MS / 2_000)
    back = world.join("m1", member_epoch=first.epoch)
    assert back.epoch == first.epoch
    assert back.assignments[-1].assigned == first.assignments[-1].assigned

    other = world.join("m2")
    world.wait(lambda: bool(back.revoking))
    back.vanish()
    world.run(SESSION_MS / 2_000)
    assert other.owned == []
    world.wait(lambda: other.owned == [0, 1, 2, 3], SESSION_MS / 1_000)
    with pytest.raises(RefusedCall) as refused:
        world.join("m1", member_epoch=back.epoch)
    assert refused.value.reason == "UNKNOWN_MEMBER"


def test_silence_on_an_open_stream_ends_it(world: GroupWorld) -> None:
    """A member whose stream is open and which sends no heartbeats is removed, and told why."""
    silent = world.join("m1")
    silent.beating = False
    world.wait(lambda: silent.closed, 2 * SESSION_MS / 1_000)
    assert silent.ended is not None
    assert silent.ended.reason == "UNKNOWN_MEMBER"


def test_who_does_not_give_up_what_it_must_is_expired(world: GroupWorld) -> None:
    """A revocation without an acknowledgement ends with the rebalance timeout."""
    stubborn = world.join("m1", rebalance_timeout_ms=2_000)
    second = world.join("m2")
    world.wait(lambda: second.owned == [0, 1, 2, 3], 10)
    world.wait(lambda: stubborn.closed)
    assert stubborn.ended is not None
    assert stubborn.ended.reason == "UNKNOWN_MEMBER"


def test_a_second_stream_of_a_member_replaces_the_first(world: GroupWorld) -> None:
    """The older stream is told so; the member stays what it is."""
    first = world.join("m1")
    again = world.join("m1", member_epoch=first.epoch)
    world.wait(lambda: first.closed)
    assert first.ended is not None
    assert first.ended.reason == "STREAM_REPLACED"
    world.run(2 * SESSION_MS / 1_000)
    assert not again.closed
    assert again.owned == [0, 1, 2, 3]


def test_a_commit_under_a_stale_epoch_is_refused(world: GroupWorld) -> None:
    """A partition that was given up can not be committed any more, nor one that others own, nor
    under an epoch that the member never had; the stream lives on."""
    first = world.join("m1")
    second = world.join("m2")
    world.wait(lambda: bool(first.revoking))
    lost = first.revoking[0]
    first.acknowledge()
    world.wait(lambda: lost in second.owned)
    assert first.commit({lost: 7}).error.reason == "STALE_MEMBER_EPOCH"
    assert first.commit({first.owned[0]: 7}, epoch=1_000).error.reason == "STALE_MEMBER_EPOCH"
    assert not first.commit({first.owned[0]: 7}).HasField("error")
    first.say(acknowledge=pb.MemberAcknowledge(member_epoch=1_000))
    world.wait(lambda: bool(first.errors))
    assert first.errors == ["STALE_MEMBER_EPOCH"]


def test_members_keep_their_partitions_when_the_coordinator_dies(world: GroupWorld) -> None:
    """They come back to the new coordinator with the epochs they have: nothing is revoked, the
    positions are there, and who does not come back is expired after a full session."""
    first, second = world.join("m1"), world.join("m2")
    world.wait(lambda: bool(first.revoking))
    first.acknowledge()
    world.wait(lambda: len(second.owned) == 2)
    first.commit({first.owned[0]: 11})
    dead = world.coordinator_of()
    world.cluster.kill(world.node(dead), power_cut=True)
    world.wait(lambda: first.closed and second.closed)

    alive = next(number for number in (1, 2, 3) if number != dead)
    leader = world.coordinator_of()
    world.wait(lambda: world.find(alive).leader_node_id == leader)
    back = world.join("m1", leader, member_epoch=first.epoch)
    assert (back.epoch, back.owned) == (first.epoch, first.owned)
    assert back.assignments[-1].assigned[0].committed.offset == 11
    world.wait(lambda: back.owned == [0, 1, 2, 3], 3 * SESSION_MS / 1_000)


def test_a_coordinator_that_moves_sends_its_members_on(world: GroupWorld) -> None:
    """The stream ends with where to go, or with the advice to ask."""
    member = world.join("m1")
    leader = world.coordinator_of()
    parts = world.parts(leader)
    place = world.find(leader).partition
    topic = parts.consumer_groups.offsets_topic.known
    assert topic is not None
    group = parts.groups.groups[topic.partitions[place].group_id]
    to = next(replica.node_id for replica in group.membership.voters if replica.node_id != leader)
    life = world.node(leader).life
    assert life is not None
    world.scheduler.complete(life.loop.create_task(group.transfer_leadership(to)), 30)
    world.wait(lambda: member.closed)
    assert member.ended is not None
    assert member.ended.reason in {"NOT_LEADER", "LEADER_NOT_AVAILABLE"}
    assert world.coordinator_of() == to
    back = world.join("m1", int(to), member_epoch=member.epoch)
    assert back.owned == member.owned
    with pytest.raises(RefusedCall) as refused:
        world.join("m3", leader)
    assert refused.value.reason == "NOT_LEADER"
    assert refused.value.metadata["leader_address"] == world.node(int(to)).address


def test_new_partitions_and_topics_are_given_out(world: GroupWorld) -> None:
    """A topic that grows, and one that is made after its pattern was, reach the member; a
    deleted one is taken away, and its positions are gone."""
    member = world.join("m1", topics=["orders"], pattern="lat.*")
    world.call(
        2,
        "streamlog.v1.AdminService/AddPartitions",
        admin.AddPartitionsRequest(name="orders", partition_count=6),
        admin.AddPartitionsResponse,
    )
    world.wait(lambda: member.owned == [0, 1, 2, 3, 4, 5])
    world.make_topic("later", 1)
    world.wait(lambda: len(member.owned) == 7)
    member.commit({0: 5})
    world.call(
        1,
        "streamlog.v1.AdminService/DeleteTopic",
        admin.DeleteTopicRequest(name="orders"),
        admin.DeleteTopicResponse,
    )
    world.wait(lambda: member.owned == [0])
    assert member.assignments[-1].assigned[0].topic == "later"
    world.wait(lambda: not fetched(world))
    assert member.commit({0: 6}).error.reason == "UNKNOWN_TOPIC"


def fetched(world: GroupWorld) -> dict[int, int]:
    """Committed offsets of the group by partition."""
    response = world.call(
        world.coordinator_of(),
        "FetchOffsets",
        pb.FetchOffsetsRequest(group=GROUP),
        pb.FetchOffsetsResponse,
    )
    return {each.partition: each.offset for each in response.offsets}


def test_positions_come_in_pages(world: GroupWorld) -> None:
    """A page is as large as asked for, the last one has no token; what is no token, and a page that
    is too large, is refused with the range in the metadata."""
    world.join("m1").commit({0: 10, 1: 11, 2: 12, 3: 13})
    leader = world.coordinator_of()

    def page(**request: Any) -> pb.FetchOffsetsResponse:
        asked = pb.FetchOffsetsRequest(group=GROUP, **request)
        return world.call(leader, "FetchOffsets", asked, pb.FetchOffsetsResponse)

    first = page(page_size=3)
    assert [each.offset for each in first.offsets] == [10, 11, 12]
    second = page(page_size=3, page_token=first.next_page_token)
    assert [each.offset for each in second.offsets] == [13]
    assert second.next_page_token == ""
    some = [
        pb.GroupPartition(topic_id=world.topic_ids["orders"], partition=number) for number in (3, 1)
    ]
    assert [each.offset for each in page(partitions=some).offsets] == [11, 13]
    with pytest.raises(RefusedCall) as refused:
        page(page_size=20_001)
    assert refused.value.reason == "INVALID_REQUEST"
    assert refused.value.metadata == {
        "field": "page_size",
        "value": "20001",
        "minimum": "0",
        "maximum": "20000",
    }
    for token in ("?", "YQ==", "LTEvMA=="):
        with pytest.raises(RefusedCall, match="page_token"):
            page(page_token=token)


def test_any_node_finds_the_coordinator_and_only_it_answers(world: GroupWorld) -> None:
    """Three nodes that are asked at the same time make one topic and name one leader."""
    request = pb.FindCoordinatorRequest(group=GROUP).SerializeToString()
    method = "/streamlog.v1.GroupService/FindCoordinator"

    async def ask_all() -> list[bytes]:
        calls = (world.channel(number).unary(method, request, 10_000) for number in (3, 1, 2))
        return await asyncio.gather(*calls)

    asked = [pb.FindCoordinatorResponse.FromString(each) for each in world.complete(ask_all())]
    assert len({each.partition for each in asked}) == 1
    leader = world.coordinator_of()
    world.wait(lambda: all(world.find(number).leader_node_id == leader for number in (1, 2, 3)))
    assert world.find(1).leader_address == world.node(leader).address
    topic = world.parts(1).consumer_groups.offsets_topic.known
    assert topic is not None
    assert [len(each.replicas) for each in topic.partitions] == [3, 3]
    other = next(number for number in (1, 2, 3) if number != leader)
    with pytest.raises(RefusedCall) as refused:
        world.call(
            other, "DescribeGroup", pb.DescribeGroupRequest(group=GROUP), pb.DescribeGroupResponse
        )
    assert refused.value.reason == "NOT_LEADER"
    assert refused.value.metadata["leader_node_id"] == str(leader)


def test_operators_see_and_change_groups(world: GroupWorld) -> None:
    """List, describe, reset under a member (which is given the partition anew, at the position),
    delete positions and the group."""
    member = world.join("m1", client_id="billing")
    leader = world.coordinator_of()
    member.commit({0: 10, 1: 20}, note="so far")
    assert fetched(world) == {0: 10, 1: 20}
    listed = world.call(leader, "ListGroups", pb.ListGroupsRequest(), pb.ListGroupsResponse)
    assert [(each.group, each.member_count, each.offset_count) for each in listed.groups] == [
        (GROUP, 1, 2)
    ]
    described = world.call(
        leader, "DescribeGroup", pb.DescribeGroupRequest(group=GROUP), pb.DescribeGroupResponse
    )
    (seen,) = described.members
    assert (seen.client_id, seen.connected, len(seen.assigned)) == ("billing", True, 4)
    assert described.summary.phase == pb.GROUP_PHASE_STABLE
    assert described.coordinator_node_id == leader
    assert [each.cause for each in described.rebalances] == ["member_joined"]
    assert {each.metadata for each in described.offsets} == {"so far"}

    before = member.epoch
    reset = pb.GroupOffset(topic_id=world.topic_ids["orders"], partition=1, offset=3)
    answer = world.call(
        leader,
        "ResetOffsets",
        pb.ResetOffsetsRequest(group=GROUP, offsets=[reset]),
        pb.ResetOffsetsResponse,
    )
    world.wait(lambda: member.epoch > before)
    assert answer.group_epoch == member.epoch
    given = member.assignments[-1].assigned[1]
    assert (given.partition, given.grant_epoch, given.committed.offset) == (1, member.epoch, 3)
    stale = member.commit({1: 21}, epoch=before).error
    assert stale.reason == "STALE_MEMBER_EPOCH"
    assert stale.metadata["partitions"] == f"{world.topic_ids['orders']}/1"
    assert stale.metadata["epoch"] == str(before)

    partition = pb.GroupPartition(topic_id=world.topic_ids["orders"], partition=0)
    forget = pb.DeleteOffsetsRequest(group=GROUP, partitions=[partition])
    deletion = pb.DeleteGroupRequest(group=GROUP)
    for method, request, kind, reason in (
        ("DeleteOffsets", forget, pb.DeleteOffsetsResponse, "GROUP_SUBSCRIBED"),
        ("DeleteGroup", deletion, pb.DeleteGroupResponse, "GROUP_NOT_EMPTY"),
    ):
        with pytest.raises(RefusedCall) as refused:
            world.call(leader, method, request, kind)
        assert refused.value.reason == reason
    member.say(leave=pb.MemberLeave())
    world.wait(lambda: member.closed)
    gone = world.call(leader, "DeleteOffsets", forget, pb.DeleteOffsetsResponse)
    assert gone.deleted_count == 1
    world.call(
        leader,
        "CommitOffsets",
        pb.CommitOffsetsRequest(group=GROUP, offsets=[reset]),
        pb.CommitOffsetsResponse,
    )
    assert fetched(world) == {1: 3}
    assert world.call(leader, "DeleteGroup", deletion, pb.DeleteGroupResponse).deleted_count == 1
    assert fetched(world) == {}


def test_what_a_member_may_not_say(world: GroupWorld) -> None:
    """Each bad input has its reason: names, unknown members, instance ids, sizes."""
    member = world.join("m1", instance_id="till-1")
    cases: dict[str, dict[str, Any]] = {
        "INVALID_REQUEST": {"member_id": "no spaces"},
        "UNKNOWN_MEMBER": {"member_epoch": 3},
        "UNKNOWN_ASSIGNOR": {"assignor": "fair"},
        "INVALID_PATTERN": {"pattern": "("},
        "UNKNOWN_TOPIC": {"topics": ["nothing"]},
        "TOO_MANY_TOPICS": {"topics": [f"t{number}" for number in range(1_001)]},
        "INSTANCE_ID_IN_USE": {"instance_id": "till-1"},
    }
    leader = world.coordinator_of()
    for reason, join in cases.items():
        with pytest.raises(RefusedCall) as refused:
            world.join(**{"member_id": "m9", "node": leader, **join})
        assert refused.value.reason == reason
    with pytest.raises(RefusedCall) as refused:
        world.find(group="a/b")
    assert refused.value.reason == "INVALID_GROUP_NAME"
    large = member.commit({0: 1}, note="x" * (METADATA_BYTES_MAX + 1))
    assert large.error.reason == "METADATA_TOO_LARGE"
    assert dict(large.error.metadata) == {
        "value": str(METADATA_BYTES_MAX + 1),
        "maximum": str(METADATA_BYTES_MAX),
    }
    assert member.commit({}).error.reason == "INVALID_REQUEST"
    assert not member.closed


def test_the_first_message_is_a_join_and_names_stay(world: GroupWorld) -> None:
    """A heartbeat first, or a join of somebody else on the same stream, ends the stream."""
    member = world.join("m1")
    leader = world.coordinator_of()
    member.say(join=pb.MemberJoin(group=GROUP, member_id="m2", topics=["orders"]))
    world.wait(lambda: member.closed)
    assert member.ended is not None
    assert member.ended.reason == "INVALID_REQUEST"

    async def heartbeat_first() -> bytes | None:
        stream = world.channel(leader).stream("/streamlog.v1.GroupService/Membership")
        request = pb.MemberRequest(heartbeat=pb.MemberHeartbeat(sequence=1))
        await stream.send(request.SerializeToString())
        return await stream.receive()

    with pytest.raises(Exception, match="first message of a member is not join"):
        world.complete(heartbeat_first())


def test_a_subscription_changes_on_the_stream(world: GroupWorld) -> None:
    """A later join changes what the member reads; one that is refused changes nothing, and the
    stream goes on."""
    world.make_topic("returns", 2)
    member = world.join("m1")
    member.say(
        join=pb.MemberJoin(
            group=GROUP,
            member_id="m1",
            topics=["returns"],
            member_epoch=member.epoch,
            session_timeout_ms=SESSION_MS,
        )
    )
    world.wait(lambda: {each.topic for each in member.assignments[-1].assigned} != {"orders"})
    world.wait(lambda: bool(member.owned) or bool(member.revoking))
    if member.revoking:
        member.acknowledge()
    world.wait(lambda: {e.topic for e in member.assignments[-1].assigned} == {"returns"})
    member.say(
        join=pb.MemberJoin(
            group=GROUP, member_id="m1", topics=["returns"], assignor="x", member_epoch=member.epoch
        )
    )
    world.wait(lambda: bool(member.errors))
    assert member.errors == ["UNKNOWN_ASSIGNOR"]
    assert not member.closed


def test_a_static_member_comes_back_without_a_rebalance(world: GroupWorld) -> None:
    """Under a new member id it takes its predecessor's partitions; while that one is connected it
    is refused."""
    first = world.join("m1", instance_id="till-1")
    other = world.join("m2", instance_id="till-2")
    world.wait(lambda: bool(first.revoking))
    first.acknowledge()
    world.wait(lambda: len(other.owned) == 2)
    had = first.owned
    first.vanish()
    world.run(0.5)
    told = len(other.assignments)
    back = world.join("m1-again", instance_id="till-1")
    assert back.owned == had
    world.run(1)
    assert len(other.assignments) == told


def test_topics_of_the_cluster_are_not_the_users(world: GroupWorld) -> None:
    """Nobody makes, grows, changes or deletes a topic whose name begins with two underscores."""
    world.find()
    for method, request, kind in (
        ("CreateTopic", admin.CreateTopicRequest(name="__mine"), admin.CreateTopicResponse),
        (
            "AddPartitions",
            admin.AddPartitionsRequest(name="__consumer_offsets", partition_count=50),
            admin.AddPartitionsResponse,
        ),
        (
            "AlterTopic",
            admin.AlterTopicRequest(name="__consumer_offsets", set={"retention.ms": "1000"}),
            admin.AlterTopicResponse,
        ),
        (
            "DeleteTopic",
            admin.DeleteTopicRequest(name="__consumer_offsets"),
            admin.DeleteTopicResponse,
        ),
    ):
        with pytest.raises(RefusedCall) as refused:
            world.call(2, f"streamlog.v1.AdminService/{method}", request, kind)
        assert refused.value.reason == "INTERNAL_TOPIC"


def test_records_of_the_cluster_are_not_the_users(world: GroupWorld) -> None:
    """Nobody writes to the coordinators' log, and nobody trims it."""
    world.join("m1")
    leader, place = world.coordinator_of(), world.find().partition
    topic = world.parts(leader).consumer_groups.offsets_topic.known
    assert topic is not None
    trims = [log.PartitionTrim(topic_id=topic.topic_id, partition=place, before_offset=1)]
    trimmed = world.call(
        leader,
        "streamlog.v1.LogService/TrimPartitions",
        log.TrimPartitionsRequest(trims=trims),
        log.TrimPartitionsResponse,
    )
    assert [each.error.reason for each in trimmed.results] == ["INTERNAL_TOPIC"]

    async def produce() -> str:
        stream = world.channel(leader).stream("/streamlog.v1.LogService/Produce")
        entry = log.ProduceEntry(request_id=1, topic_id=topic.topic_id)
        entry.batch.partition = place
        await stream.send(log.ProduceRequest(entries=[entry]).SerializeToString())
        data = await stream.receive()
        assert data is not None
        return log.ProduceResponse.FromString(data).results[0].error.reason

    assert world.complete(produce()) == "INTERNAL_TOPIC"


def test_a_full_group_takes_nobody_more(world: GroupWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The member above the bound is refused, may try again, and has room when another leaves."""
    monkeypatch.setattr("consumer_groups.coordinator.membership.MEMBERS_PER_GROUP_MAX", 2)
    first = world.join("m1")
    world.join("m2")
    with pytest.raises(RefusedCall) as refused:
        world.join("m3")
    assert refused.value.reason == "GROUP_FULL"
    first.say(leave=pb.MemberLeave())
    world.wait(lambda: first.closed)
    world.join("m3")


def test_answers_come_before_the_end(world: GroupWorld) -> None:
    """A commit that is followed by a leave at once is answered before the stream ends."""
    member = world.join("m1")
    commit = pb.MemberCommit(
        sequence=7,
        member_epoch=member.epoch,
        offsets=[pb.GroupOffset(topic_id=world.topic_ids["orders"], partition=0, offset=5)],
    )
    member.say(commit=commit)
    member.say(leave=pb.MemberLeave())
    world.wait(lambda: member.closed)
    assert member.ended is None
    assert [each.sequence for each in member.commits] == [7]
    assert fetched(world) == {0: 5}


def test_of_two_newcomers_with_one_instance_id_one_wins(world: GroupWorld) -> None:
    """Both come while nobody is connected: one takes the place, the other is refused, and no
    member that was told it is in is thrown out."""
    world.find()
    rivals = [world.open(f"m{number}", instance_id="till-1") for number in (1, 2)]
    world.wait(lambda: all(each.closed or each.assignments for each in rivals))
    world.run(1)
    (loser,) = [each for each in rivals if each.closed]
    (winner,) = [each for each in rivals if not each.closed]
    assert loser.ended is not None
    assert loser.ended.reason == "INSTANCE_ID_IN_USE"
    assert not loser.assignments
    assert winner.owned == [0, 1, 2, 3]


def test_positions_of_an_empty_group_expire(world: GroupWorld) -> None:
    """The group goes with its positions when it had no members for as long as the setting says,
    and not before; a group with a member stays."""
    other = "stays"
    gone, stays = world.join("m1"), world.join("m1", group=other)
    gone.commit({0: 5})
    stays.commit({0: 6})
    gone.say(leave=pb.MemberLeave())
    world.wait(lambda: gone.closed)
    for number in (1, 2, 3):
        settings = world.parts(number).consumer_groups._settings
        settings.apply(replace(settings.now, groups_offset_retention_ms=60_000))
    assert fetched(world) == {0: 5}

    def expire() -> None:
        for number in (1, 2, 3):
            life = world.node(number).life
            assert life is not None
            groups = world.parts(number).consumer_groups
            world.scheduler.complete(life.loop.create_task(groups._expire_offsets()), 30)

    expire()
    assert fetched(world) == {0: 5}
    world.run(61)
    expire()
    assert fetched(world) == {}
    assert not stays.closed
    assert stays.owned == [0, 1, 2, 3]


def test_positions_survive_snapshots_and_a_restart_of_all_nodes(
    small_world: GroupWorld,
) -> None:
    """When snapshots have let the beginning of the coordinator's log go, on every node, and all of
    them lose power, the newest positions are known; retention has no part in it."""
    noise = random.Random(1)
    world = small_world
    member = world.join("m1")
    for number in range(1, 121):
        member.commit({0: number}, note=noise.randbytes(500).hex())
    place = world.find().partition

    def starts() -> Iterator[int]:
        for number in (1, 2, 3):
            parts = world.parts(number)
            topic = parts.consumer_groups.offsets_topic.known
            assert topic is not None
            group = parts.groups.groups[topic.partitions[place].group_id]
            assert group.start == 0
            yield group.log.start.end

    world.wait(lambda: all(starts()))
    for node in world.cluster.nodes.values():
        world.cluster.kill(node, power_cut=True)
    for node in world.cluster.nodes.values():
        world.cluster.start(node)
    world.wait(lambda: all(node.is_serving for node in world.cluster.nodes.values()))
    world.channels.clear()
    assert fetched(world) == {0: 120}
