"""Timers of members, told the time by the test; and against a dumb twin without a heap."""

from __future__ import annotations

import random

import pytest

from consumer_groups.commands import ExpireMember, ExpiryCause, Join
from consumer_groups.deadlines import HEAP_SLACK, RETRY_MS, Deadlines
from consumer_groups.types import Epoch, GroupName, MemberInfo, Subscription
from tests.properties.consumer_groups.group_world import World
from tests.unit.consumer_groups.group_bench import (
    NAME,
    A,
    B,
    GroupBench,
    catalog,
    orders,
    positions,
)

SESSION_MS, REBALANCE_MS = 45_000.0, 60_000.0
WALL_MS = 5


def following(bench: GroupBench, now_ms: float = 0.0, **settings: float) -> Deadlines:
    return Deadlines(bench.log.state, now_ms, **settings)


def causes(due: list[ExpireMember]) -> list[tuple[str, ExpiryCause]]:
    return [(command.member_id, command.cause) for command in due]


def test_a_new_leader_grants_everybody_a_full_session() -> None:
    """Counted from its start, whatever was before; then the silent one is named."""
    deadlines = following(GroupBench().settled(A, B), 100.0)
    assert deadlines.next_ms() == 100.0 + SESSION_MS
    deadlines.heard(NAME, A, 50_000.0)
    assert causes(deadlines.due(100.0 + SESSION_MS, WALL_MS)) == [(B, ExpiryCause.SESSION)]
    assert deadlines.next_ms() == 100.0 + SESSION_MS + RETRY_MS
    assert causes(deadlines.due(50_000.0 + SESSION_MS, WALL_MS)) == [
        (B, ExpiryCause.SESSION),
        (A, ExpiryCause.SESSION),
    ]


def test_the_command_expires_the_member() -> None:
    """Its epoch is the member's; the machine takes it, and the timers forget the member."""
    bench = GroupBench().settled(A)
    deadlines = following(bench)
    (command,) = deadlines.due(SESSION_MS, WALL_MS)
    assert command == ExpireMember(NAME, A, Epoch(1), ExpiryCause.SESSION, WALL_MS)
    bench.log.execute(command)
    deadlines.follow(NAME, bench.group, SESSION_MS)
    assert deadlines.due(10 * SESSION_MS, WALL_MS) == []
    assert deadlines.next_ms() is None


def test_who_is_still_there_is_named_again() -> None:
    """The command may have failed; a sign of life ends it."""
    deadlines = following(GroupBench().settled(A))
    assert len(deadlines.due(SESSION_MS, WALL_MS)) == 1
    assert deadlines.due(SESSION_MS + RETRY_MS - 1, WALL_MS) == []
    assert len(deadlines.due(SESSION_MS + RETRY_MS, WALL_MS)) == 1
    deadlines.heard(NAME, A, SESSION_MS + RETRY_MS)
    assert deadlines.due(SESSION_MS + 2 * RETRY_MS, WALL_MS) == []


def test_commits_change_no_member() -> None:
    """Whoever follows is told so: a commit costs it nothing for each member."""
    bench = GroupBench().settled(A, B)
    deadlines = following(bench)
    bench.commit(A, positions(tuple(bench.group.members[A].owned)))
    assert bench.group.commit_count > 0
    assert not deadlines.follow(NAME, bench.group, 0.0)
    bench.leave(B)
    assert deadlines.follow(NAME, bench.group, 0.0)
    assert deadlines.follow(NAME, None, 0.0)


def test_each_revocation_has_its_own_time() -> None:
    """Giving up one partition does not give more time for another."""
    bench = GroupBench().settled(A)
    deadlines = following(bench)
    bench.join(B)
    deadlines.follow(NAME, bench.group, 1_000.0)
    bench.acknowledge(A, *orders(2))
    deadlines.follow(NAME, bench.group, 30_000.0)
    for now_ms in (30_000.0, 60_999.0):
        deadlines.heard(NAME, A, now_ms)
        deadlines.heard(NAME, B, now_ms)
    assert deadlines.due(1_000.0 + REBALANCE_MS - 1, WALL_MS) == []
    assert causes(deadlines.due(1_000.0 + REBALANCE_MS, WALL_MS)) == [(A, ExpiryCause.REBALANCE)]


def test_what_was_given_up_is_forgotten() -> None:
    """A revocation that is acknowledged has no deadline."""
    bench = GroupBench().settled(A)
    deadlines = following(bench)
    bench.join(B)
    deadlines.follow(NAME, bench.group, 0.0)
    bench.settle()
    deadlines.follow(NAME, bench.group, 1.0)
    deadlines.heard(NAME, A, REBALANCE_MS)
    deadlines.heard(NAME, B, REBALANCE_MS)
    assert deadlines.due(REBALANCE_MS, WALL_MS) == []


def test_being_slow_is_no_reason_unless_the_operator_says_so() -> None:
    """Without the setting it is a finding only."""
    bench = GroupBench().settled(A, B)
    patient, strict = following(bench), following(bench, no_progress_ms=10_000.0)
    for deadlines in (patient, strict):
        deadlines.progressed(NAME, B, 9_000.0)
        deadlines.heard(NAME, A, 9_000.0)
    assert patient.due(10_000.0, WALL_MS) == []
    assert patient.stalled(10_000.0, 10_000.0) == [(NAME, A, 10_000.0)]
    assert causes(strict.due(10_000.0, WALL_MS)) == [(A, ExpiryCause.NO_PROGRESS)]


def test_who_owns_nothing_can_not_stall() -> None:
    """The time counts from the first partition."""
    bench = GroupBench()
    bench.catalog = catalog(orders=1)
    bench.settled(A, B)
    deadlines = following(bench, no_progress_ms=10_000.0)
    deadlines.progressed(NAME, A, 10_000.0)
    bench.leave(A)
    deadlines.follow(NAME, bench.group, 15_000.0)
    assert deadlines.due(20_000.0, WALL_MS) == []
    assert causes(deadlines.due(25_000.0, WALL_MS)) == [(B, ExpiryCause.NO_PROGRESS)]


def test_a_partition_without_an_owner_is_an_alarm_after_a_while() -> None:
    """It was reset while its owner had others to give up; it ends when it is owned."""
    bench = GroupBench().settled(A)
    deadlines = following(bench)
    bench.join(B)
    bench.reset(positions(orders(0), 1))
    deadlines.follow(NAME, bench.group, 1_000.0)
    assert deadlines.unowned(2_000.0, 1_001.0) == []
    assert deadlines.unowned(2_000.0, 1_000.0) == [(NAME, orders(0)[0], 1_000.0)]
    bench.settle()
    deadlines.follow(NAME, bench.group, 3_000.0)
    assert deadlines.unowned(9_000.0, 0.0) == []


def test_a_deleted_group_has_no_timers() -> None:
    """Nor has one that was never there, or a member that is unknown."""
    deadlines = following(GroupBench().settled(A))
    deadlines.follow(NAME, None, 1.0)
    deadlines.follow(GroupName("never"), None, 1.0)
    deadlines.heard(NAME, A, 2.0)
    deadlines.progressed(NAME, A, 2.0)
    assert deadlines.due(10 * SESSION_MS, WALL_MS) == []
    assert deadlines.stalled(10 * SESSION_MS, 0.0) == []


def test_deadlines_that_came_to_nothing_do_not_pile_up() -> None:
    """Half an hour's sessions, and a revocation every second: each leaves a session's deadline
    behind that is no longer valid."""
    bench = GroupBench()
    info = MemberInfo(
        A, Subscription.to("orders"), session_timeout_ms=1_800_000, rebalance_timeout_ms=1_000
    )
    bench.log.execute(Join(NAME, info, bench.catalog, 1))
    deadlines = following(bench)
    for now_ms in range(0, 300_000, 1_500):
        bench.join(B)
        deadlines.follow(NAME, bench.group, now_ms)
        bench.settle()
        bench.leave(B)
        deadlines.follow(NAME, bench.group, now_ms + 1)
        deadlines.heard(NAME, A, now_ms + 2)
        assert deadlines.due(now_ms + 1_499, WALL_MS) == []
        assert len(deadlines._heap) <= 2 + HEAP_SLACK
    assert causes(deadlines.due(298_502 + 1_800_000, WALL_MS)) == [(A, ExpiryCause.SESSION)]


@pytest.mark.parametrize("seed", range(8))
def test_the_same_members_are_named_as_by_looking_at_all(seed: int) -> None:
    """Random lives of groups, some silent members: nobody is named early, or forgotten; the heap
    stays small."""
    draw, world = random.Random(seed), World()
    deadlines = Deadlines(world.log.state, 0.0)
    heard: dict[tuple[str, str], float] = {}
    asked: dict[tuple[str, str], dict[object, float]] = {}
    epochs: dict[tuple[str, str], int] = {}
    now_ms = 0.0
    for _ in range(300):
        now_ms += draw.choice((0.0, 100.0, 5_000.0))
        act = draw.randrange(6)
        if act < 2:
            world.join(draw.randrange(2), draw.randrange(2), 0, 0)
        elif act < 4:
            world.deliver(draw.randrange(12))
            world.acknowledge(draw.randrange(12), draw.randrange(4))
        elif act == 4:
            world.leave(draw.randrange(12))
        else:
            world.reset(draw.randrange(2), draw.randrange(12), 2, 1)
        present = {}
        for name, group in world.log.state.groups.items():
            deadlines.follow(name, group, now_ms)
            for member_id, member in group.members.items():
                key = (name, member_id)
                present[key] = member
                heard.setdefault(key, now_ms)
                known = asked.get(key, {}) if epochs.get(key) == member.epoch else {}
                asked[key] = {p: known.get(p, now_ms) for p in member.revoking}
                epochs[key] = member.epoch
                if draw.random() < 0.7:
                    deadlines.heard(name, member_id, now_ms)
                    heard[key] = now_ms
        overdue = {
            key
            for key in present
            if now_ms - heard[key] >= SESSION_MS
            or any(now_ms - since >= REBALANCE_MS for since in asked[key].values())
        }
        named = deadlines.due(now_ms, WALL_MS)
        assert {(c.group, c.member_id) for c in named} <= overdue
        now_ms += RETRY_MS
        again = deadlines.due(now_ms, WALL_MS)
        assert overdue <= {(c.group, c.member_id) for c in (*named, *again)}
        assert len(deadlines._heap) <= 2 * len(present) + HEAP_SLACK + 1
