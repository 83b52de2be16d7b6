"""What operators see of consumer groups at the nodes that coordinate them, in virtual time."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jepsen_like.sim.clients.client_adapter import client_environment
from jepsen_like.sim.ports.clock import SimClock
from streamlog.client import Producer
from streamlog.groups import survey as survey_module
from streamlog.groups.survey import take_group_survey
from streamlog.server.node import Node
from streamlog.server.operations import Operations
from streamlog.v1 import admin_service_pb2 as admin
from streamlog.v1 import group_service_pb2 as pb
from tests.fakes.group_world import GROUP, GroupWorld, new_group_world

Series = dict[tuple[str, ...], float]
LABELS = ("phase", "cause", "group", "topic", "partition")


@pytest.fixture
def world() -> Iterator[GroupWorld]:
    with new_group_world(
        groups_survey_ms=1_000, groups_alarm_no_progress_ms=4_000, groups_alarm_unowned_ms=3_000
    ) as made:
        yield made


@pytest.fixture
def quiet_world() -> Iterator[GroupWorld]:
    with new_group_world(groups_survey_ms=0) as made:
        yield made


def produce(world: GroupWorld, partition: int, records: int) -> None:
    """With the time of the world."""
    environment = client_environment(world.network, SimClock(world.loop), random.Random(1))

    async def complete() -> None:
        addresses = [world.node(number).address for number in (1, 2, 3)]
        async with Producer(addresses, environment=environment) as producer:
            for _ in range(records):
                await producer.send("orders", b"value", partition=partition)

    world.complete(complete())


def scrape(world: GroupWorld, number: int) -> dict[str, Series]:
    """Series of the groups' metrics at one node, by the values of their labels."""
    life = world.node(number).life
    assert life is not None
    assert isinstance(life.node, Node)
    node = life.node
    loop = life.loop
    answer = world.scheduler.complete(
        loop.create_task(Operations(node, SimClock(loop)).answer("/metrics")), 60
    )
    assert answer is not None
    found: dict[str, Series] = {}
    for family in text_string_to_metric_families(answer.body().decode()):
        for sample in family.samples:
            if sample.name.startswith("streamlog_group"):
                labels = tuple(sample.labels[key] for key in LABELS if key in sample.labels)
                found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_the_coordinator_tells_of_its_groups(world: GroupWorld) -> None:
    """Phases, members, commits, rebalances by cause, and the lag of each partition wherever its
    leader is; other nodes tell of none."""
    for partition in range(4):
        produce(world, partition, 3)
    member = world.join("m1")
    coordinator = world.coordinator_of()
    member.commit(dict.fromkeys(range(4), 0))
    world.run(20)
    told = scrape(world, coordinator)
    assert told["streamlog_groups"] == {("empty",): 0, ("stable",): 1, ("reconciling",): 0}
    assert told["streamlog_groups_members"] == {(): 1}
    assert told["streamlog_group_members"] == {(GROUP,): 1}
    assert told["streamlog_groups_commits_total"] == {(): 1}
    assert told["streamlog_groups_committed_positions_total"] == {(): 4}
    causes = told["streamlog_groups_rebalances_total"]
    assert causes["member_joined",] == 1
    assert sum(causes.values()) == 1
    lags = told["streamlog_group_lag_records"]
    assert set(lags) == {(GROUP, "orders", str(number)) for number in range(4)}
    assert all(lag >= 3 for lag in lags.values())
    assert told["streamlog_group_total_lag_records"] == {(GROUP,): sum(lags.values())}
    ages = told["streamlog_group_lag_seconds"]
    assert all(18 <= age < 100 for age in ages.values()), ages
    assert told["streamlog_group_longest_lag_seconds"] == {(GROUP,): max(ages.values())}
    assert told["streamlog_groups_positions_unmeasured"] == {(): 0}
    assert 0 <= told["streamlog_groups_survey_age_seconds"][()] < 3

    for other in {1, 2, 3} - {coordinator}:
        elsewhere = scrape(world, other)
        assert sum(elsewhere["streamlog_groups"].values()) == 0
        assert "streamlog_group_lag_records" not in elsewhere

    reached = {number: int(lags[GROUP, "orders", str(number)]) for number in range(4)}
    member.commit({number: 1_000_000 if number else 1 for number in reached})
    world.run(5)
    told = scrape(world, coordinator)
    lags = told["streamlog_group_lag_records"]
    assert [lags[GROUP, "orders", str(number)] for number in (1, 2, 3)] == [0, 0, 0]
    assert lags[GROUP, "orders", "0"] > 0
    assert told["streamlog_groups_commits_total"] == {(): 2}


def wait_for_unmeasured(world: GroupWorld, number: int, *, some: bool) -> None:
    """Until positions are without a lag, or none is."""
    for _ in range(120):
        world.run(0.5)
        unmeasured = scrape(world, number).get("streamlog_groups_positions_unmeasured")
        if unmeasured is not None and bool(unmeasured[()]) is some:
            return
    raise AssertionError("it never came to hold")


def test_a_leader_that_does_not_answer_leaves_its_lag_unknown(world: GroupWorld) -> None:
    """It is counted as such, the others' lag is told, and it is known again when it answers."""
    topic = world.call(
        1,
        "streamlog.v1.AdminService/CreateTopic",
        admin.CreateTopicRequest(name="single", partition_count=6, replication_factor=1),
        admin.CreateTopicResponse,
    ).topic
    world.find()
    coordinator = world.coordinator_of()
    world.call(
        coordinator,
        "CommitOffsets",
        pb.CommitOffsetsRequest(
            group=GROUP,
            offsets=[pb.GroupOffset(topic_id=topic.topic_id, partition=n) for n in range(6)],
        ),
        pb.CommitOffsetsResponse,
    )
    homes = {partition.partition: partition.replica_node_ids[0] for partition in topic.partitions}
    victim = next(node for node in homes.values() if node != coordinator)
    wait_for_unmeasured(world, coordinator, some=False)
    world.cluster.kill(world.node(victim), power_cut=False)
    wait_for_unmeasured(world, coordinator, some=True)
    world.run(10)
    told = scrape(world, coordinator)
    dark = [number for number, node in homes.items() if node == victim]
    assert told["streamlog_groups_positions_unmeasured"] == {(): len(dark)}
    lit = {(GROUP, "single", str(number)) for number in homes if number not in dark}
    assert set(told["streamlog_group_lag_records"]) == lit
    world.cluster.start(world.node(victim))
    wait_for_unmeasured(world, coordinator, some=False)


def test_alarms_are_told_in_the_log_and_the_metrics(
    world: GroupWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """A member that stands still, and a partition that nobody owns; each over in time."""
    caplog.set_level(logging.INFO, "streamlog.broker")
    member = world.join("m1")
    coordinator = world.coordinator_of()
    member.handles = False
    world.run(7)
    assert scrape(world, coordinator)["streamlog_groups_members_stalled"] == {(): 1}
    member.handles = True
    world.run(3)
    assert scrape(world, coordinator)["streamlog_groups_members_stalled"] == {(): 0}

    second = world.join("m2")
    world.wait(lambda: bool(member.revoking))
    world.make_topic("late", 1)
    member.say(
        join=pb.MemberJoin(
            group=GROUP,
            member_id="m1",
            topics=["orders", "late"],
            session_timeout_ms=6_000,
            rebalance_timeout_ms=20_000,
            member_epoch=member.epoch,
        )
    )
    world.run(6)
    told = scrape(world, coordinator)
    assert told["streamlog_groups_partitions_unowned"] == {(): 1}
    assert told["streamlog_groups"]["reconciling",] == 1
    member.acknowledge()
    world.wait(lambda: len(second.owned) == 2)
    world.run(3)
    assert scrape(world, coordinator)["streamlog_groups_partitions_unowned"] == {(): 0}
    told_events = [
        (record.message, record.__dict__.get("what", ""))
        for record in caplog.records
        if record.message.startswith("group_")
    ]
    assert told_events == [
        ("group_member_stalled", ""),
        ("group_alarm_over", "group_member_stalled"),
        ("group_partitions_unowned", ""),
        ("group_alarm_over", "group_partitions_unowned"),
    ]
    (unowned,) = (r for r in caplog.records if r.message == "group_partitions_unowned")
    assert unowned.__dict__["longest"] == "late/0"


def test_positions_beyond_the_bound_are_counted(
    world: GroupWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole groups are left out, and the metric says how many positions."""
    for name, numbers in (("a", (0, 1, 2)), ("b", (0, 1))):
        member = world.join("m1", group=name)
        member.commit(dict.fromkeys(numbers, 0))
    coordinators = [
        coordinator
        for number in (1, 2, 3)
        for coordinator in world.parts(number).consumer_groups.coordinators()
    ]
    assert len(world.complete(take_group_survey(coordinators)).positions) == 5
    monkeypatch.setattr(survey_module, "POSITIONS_MAX", 4)
    monkeypatch.setattr(survey_module, "GROUPS_AT_ONCE", 1)
    survey = world.complete(take_group_survey(coordinators))
    assert len(survey.positions) + survey.positions_left_out == 5
    assert len(survey.positions) in {2, 3}
    assert set(survey.members.values()) == {1}


def test_nobody_looks_when_that_is_wanted(quiet_world: GroupWorld) -> None:
    """groups.survey.ms 0: no rounds, and no stale numbers; what is counted is counted."""
    world = quiet_world
    world.join("m1").commit({0: 0})
    world.run(60)
    told = scrape(world, world.coordinator_of())
    assert "streamlog_groups" not in told
    assert told["streamlog_groups_commits_total"] == {(): 1}
