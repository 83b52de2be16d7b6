"""Topics that come, grow, go and come again; patterns; a coordinator whose metadata lags."""

from __future__ import annotations

import pytest

from consumer_groups.commands import TopicsChanged
from consumer_groups.coordinator import queries
from consumer_groups.coordinator.state import CoordinatorState
from consumer_groups.errors import GroupError
from consumer_groups.records import Cause
from consumer_groups.types import (
    Epoch,
    TopicCatalog,
    TopicId,
    TopicView,
)
from tests.unit.consumer_groups.group_bench import (
    NAME,
    ORDERS,
    A,
    B,
    GroupBench,
    catalog,
    clicks,
    orders,
    owned,
    positions,
)


def test_new_partitions_are_given_out() -> None:
    """Evenly, and nothing moves."""
    bench = GroupBench().settled(A, B)
    changed = bench.topics(catalog(2, orders=8))
    assert [len(push.assigned) for push in changed.pushes] == [4, 4]
    assert all(push.revoking == () for push in changed.pushes)
    last = bench.group.rebalances[-1]
    assert (last.cause, last.detail) == (Cause.TOPICS_CHANGED, "orders")


def test_the_cause_names_the_topics_that_changed() -> None:
    """Not the others that the group reads."""
    bench = GroupBench()
    bench.join(A, "orders", "clicks")
    bench.topics(catalog(2, orders=8))
    assert bench.group.rebalances[-1].detail == "orders"
    bench.topics(catalog(3, orders=8, clicks=0))
    assert bench.group.rebalances[-1].detail == "clicks"


def test_a_pattern_picks_up_new_topics() -> None:
    """The topic did not exist when the member joined."""
    bench = GroupBench()
    bench.catalog = catalog(clicks=0)
    bench.join(A, pattern="(orders|clicks).*")
    changed = bench.topics(catalog(2))
    assert owned(changed.pushes[0]) == (*orders(0, 1, 2, 3), *clicks(0, 1))


def test_names_and_patterns_add_up() -> None:
    """A topic that is both named and matched is read once."""
    bench = GroupBench()
    joined = bench.join(A, "orders", pattern="cl.*|ord.*")
    assert len(joined.assignment.assigned) == 6


def test_a_deleted_topic_is_taken_away_at_once() -> None:
    """Its owners are not asked: nobody will own it again. Its positions are gone."""
    bench = GroupBench()
    bench.join(A, "orders", "clicks")
    bench.commit(A, positions((*orders(0), *clicks(0))))
    changed = bench.topics(catalog(2, clicks=0))
    (push,) = changed.pushes
    assert (owned(push), push.revoking) == (orders(0, 1, 2, 3), ())
    assert set(queries.committed(bench.log.state, NAME)) == set(orders(0))
    with pytest.raises(GroupError, match="UNKNOWN_TOPIC"):
        bench.commit(A, positions(clicks(0)))


def test_a_deleted_topic_is_named_in_every_refusal() -> None:
    """To who commits, to who resets, to who joins."""
    bench = GroupBench().settled(A)
    bench.topics(catalog(2, orders=0))
    for refused in (
        lambda: bench.commit(A, positions(orders(0))),
        lambda: bench.reset(positions(orders(0))),
        lambda: bench.join(B),
    ):
        with pytest.raises(GroupError, match=r"UNKNOWN_TOPIC.*deleted"):
            refused()
    assert bench.group.commit_count == 0


def test_a_topic_that_is_made_again_is_another_one() -> None:
    """Same name, other id: no position is taken over."""
    bench = GroupBench()
    bench.join(A)
    bench.commit(A, positions(orders(0)))
    again = TopicView(TopicId(9), "orders", 2)
    changed = bench.topics(TopicCatalog.of(2, [again]))
    (push,) = changed.pushes
    assert [(g.partition.topic_id, g.commit) for g in push.assigned] == [(9, None), (9, None)]
    assert bench.group.commit_count == 0


def test_positions_of_deleted_topics_leave_empty_groups_too() -> None:
    """Nobody reads, and the topic goes."""
    bench = GroupBench()
    bench.store(positions((*orders(0), *clicks(0))))
    after = catalog(2, clicks=0)
    assert queries.groups_to_refresh(bench.log.state, after, bench.catalog) == (NAME,)
    bench.topics(after)
    assert set(queries.committed(bench.log.state, NAME)) == set(orders(0))


def test_a_member_whose_topic_is_gone_stays() -> None:
    """It may come back after a broken stream; a new process is told the topic does not exist."""
    bench = GroupBench().settled(A)
    bench.topics(catalog(2, orders=0))
    epoch = bench.epoch(A)
    assert bench.join(A, epoch=epoch).assignment.assigned == ()
    description = queries.describe(bench.log.state, NAME)
    assert description.members[0].missing_topics == ("orders",)
    bench.join(A, "clicks", "orders", epoch=epoch)
    description = queries.describe(bench.log.state, NAME)
    assert description.members[0].missing_topics == ("orders",)
    with pytest.raises(GroupError, match="UNKNOWN_TOPIC"):
        bench.join(B)


def test_a_coordinator_whose_metadata_lags_is_refused() -> None:
    """Otherwise it would take a new topic for a deleted one, and forget its positions."""
    bench = GroupBench()
    bench.catalog = catalog(5)
    bench.join(A)
    bench.commit(A, positions(orders(0)))
    with pytest.raises(GroupError, match="STALE_CATALOG") as refusal:
        bench.topics(catalog(4, orders=0))
    assert refusal.value.retriable
    bench.catalog = catalog(4)
    with pytest.raises(GroupError, match="STALE_CATALOG"):
        bench.join(B)
    with pytest.raises(GroupError, match="STALE_CATALOG"):
        bench.reset(positions(orders(0)))
    assert bench.group.commit_count == 1


def test_positions_stored_with_newer_metadata_are_safe_from_older() -> None:
    """The version comes with the commit, or with the reset, though no member has subscribed."""
    bench = GroupBench()
    bench.catalog = catalog(7)
    bench.store(positions(orders(0)))
    with pytest.raises(GroupError, match="STALE_CATALOG"):
        bench.topics(catalog(6, orders=0))
    bench.catalog = catalog(9)
    bench.reset(positions(orders(0)))
    with pytest.raises(GroupError, match="STALE_CATALOG"):
        bench.topics(catalog(8, orders=0))


def test_topics_that_concern_nobody_change_nothing() -> None:
    """No record, no push."""
    bench = GroupBench().settled(A)
    size = len(bench.log.log)
    assert bench.topics(catalog(2, clicks=5)).pushes == ()
    assert len(bench.log.log) == size


def test_who_stops_wanting_a_topic_gives_it_up_in_order() -> None:
    """A topic that exists is revoked, not fenced; its last commit counts."""
    bench = GroupBench()
    bench.join(A, "orders", "clicks")
    joined = bench.join(A, "orders", epoch=Epoch(1))
    assert joined.assignment.revoking == clicks(0, 1)
    bench.commit(A, positions(clicks(0)))
    bench.settle()
    assert set(bench.group.topics) == {ORDERS}


def test_groups_to_refresh_are_those_concerned() -> None:
    """By name, by pattern, by position; none when nothing they know changed."""
    bench = GroupBench()
    before = bench.catalog
    bench.join(A, pattern="click.*")

    def concerned(after: TopicCatalog) -> tuple[str, ...]:
        return queries.groups_to_refresh(bench.log.state, after, before)

    assert concerned(catalog(2)) == ()
    assert concerned(catalog(2, orders=9)) == ()
    assert concerned(catalog(2, clicks=9)) == (NAME,)
    assert queries.groups_to_refresh(bench.log.state, catalog(2)) == (NAME,)
    bench.join(B)
    assert concerned(catalog(2)) == ()
    assert concerned(catalog(2, orders=9)) == (NAME,)
    assert queries.groups_to_refresh(CoordinatorState(), catalog(2)) == ()


def test_a_deleted_group_is_not_told() -> None:
    """It was deleted between the question and the command."""
    with pytest.raises(GroupError, match="UNKNOWN_GROUP"):
        GroupBench().log.execute(TopicsChanged(NAME, catalog(), 1))
