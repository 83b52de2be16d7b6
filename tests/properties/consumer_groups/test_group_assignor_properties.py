"""Assignors: valid, even, sticky, least moves; and the uneven case against a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer_groups.assignors import ASSIGNORS, Assignment, Subscriber
from consumer_groups.types import MemberId, PartitionNumber, TopicId, TopicPartition

STICKY, RANGE = ASSIGNORS["sticky"], ASSIGNORS["range"]
NAMES = sorted(ASSIGNORS)

Counts = dict[TopicId, int]

counts_of_topics = st.dictionaries(
    st.integers(1, 5).map(TopicId), st.integers(1, 12), min_size=1, max_size=5
)


def members(count: int, first: int = 0) -> list[MemberId]:
    return [MemberId(f"m{number:03}") for number in range(first, first + count)]


def everybody(names: Sequence[MemberId], counts: Counts) -> list[Subscriber]:
    """All of them subscribe to all topics."""
    return [Subscriber(name, tuple(sorted(counts))) for name in names]


def loads(assignment: Assignment) -> list[int]:
    return sorted(len(partitions) for partitions in assignment.values())


def moved(before: Assignment, after: Assignment, but: Sequence[MemberId] = ()) -> int:
    """Partitions that members lose who are still there."""
    return sum(
        partition not in after.get(name, ())
        for name, partitions in before.items()
        if name in after and name not in but
        for partition in partitions
    )


@st.composite
def subscribers_of(draw: st.DrawFn) -> tuple[list[Subscriber], Counts]:
    """Members with any subscriptions, and the topics."""
    counts = draw(counts_of_topics)
    topics = st.lists(st.sampled_from(sorted(counts)), unique=True, max_size=5)
    found = [
        Subscriber(name, tuple(sorted(draw(topics)))) for name in members(draw(st.integers(1, 6)))
    ]
    return found, counts


@st.composite
def anything_before(
    draw: st.DrawFn, subscribers: Sequence[Subscriber]
) -> dict[MemberId, list[TopicPartition]]:
    """An assignment before, disjoint, with partitions and members that are gone."""
    owners = [*(subscriber.member_id for subscriber in subscribers), MemberId("gone")]
    previous: dict[MemberId, list[TopicPartition]] = {}
    for topic_id, number in product(range(1, 7), range(14)):
        owner = draw(st.sampled_from([None, *owners]))
        if owner is not None:
            partition = TopicPartition(TopicId(topic_id), PartitionNumber(number))
            previous.setdefault(owner, []).append(partition)
    return previous


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_all_that_is_subscribed_is_given_once_to_a_subscriber(
    name: str, data: st.DataObject
) -> None:
    """Valid whatever the subscriptions and whatever was before; and the same when asked twice."""
    subscribers, counts = data.draw(subscribers_of())
    previous = data.draw(anything_before(subscribers))
    assignor = ASSIGNORS[name]
    result = assignor.assign(subscribers, counts, previous)
    assert list(result) == [subscriber.member_id for subscriber in subscribers]
    wanted = {topic_id for subscriber in subscribers for topic_id in subscriber.topics}
    given_out = sorted(p for partitions in result.values() for p in partitions)
    assert given_out == [(t, n) for t in sorted(wanted) for n in range(counts[t])]
    for subscriber in subscribers:
        mine = result[subscriber.member_id]
        assert {p.topic_id for p in mine} <= set(subscriber.topics)
        assert list(mine) == sorted(mine)
    assert assignor.assign(subscribers, counts, previous) == result


@settings(max_examples=80, deadline=None)
@given(counts=counts_of_topics, size=st.integers(1, 8), change=st.integers(-3, 3))
def test_even_subscriptions_differ_by_one_and_move_least(
    counts: Counts, size: int, change: int
) -> None:
    """Joining and leaving: loads within 1, and no partition moves that need not."""
    before = STICKY.assign(everybody(members(size), counts), counts, {})
    assert max(loads(before)) - min(loads(before)) <= 1
    left = max(1, size + change)
    names = members(left) if change >= 0 else members(left, first=size - left)
    after = STICKY.assign(everybody(names, counts), counts, before)
    assert max(loads(after)) - min(loads(after)) <= 1
    assert moved(before, after) == least_moves(before, names, sum(counts.values()))
    assert STICKY.assign(everybody(names, counts), counts, after) == after


@settings(max_examples=80, deadline=None)
@given(data=st.data(), counts=counts_of_topics, size=st.integers(1, 6))
def test_least_moves_from_any_assignment(data: st.DataObject, counts: Counts, size: int) -> None:
    """Also from a crooked start, what is taken from members is the least that evens loads."""
    names = members(size)
    previous: Assignment = dict.fromkeys(names, ())
    for topic_id in sorted(counts):
        for number in range(counts[topic_id]):
            owner = data.draw(st.sampled_from(names))
            previous[owner] += (TopicPartition(topic_id, PartitionNumber(number)),)
    after = STICKY.assign(everybody(names, counts), counts, previous)
    assert moved(previous, after) == least_moves(previous, names, sum(counts.values()))


def least_moves(
    before: Mapping[MemberId, Sequence[object]], names: Sequence[MemberId], total: int
) -> int:
    """By trying all ways to say who may have one more."""
    quota, larger = divmod(total, len(names))
    held = [len(before.get(name, ())) for name in names]
    return min(
        sum(max(0, have - quota - more) for have, more in zip(held, extra, strict=True))
        for extra in product((0, 1), repeat=len(names))
        if sum(extra) == larger
    )


def test_each_topic_spreads_over_the_members() -> None:
    """Four topics of 10 partitions on 10 members: everybody has one of each."""
    counts = {TopicId(t): 10 for t in range(1, 5)}
    result = STICKY.assign(everybody(members(10), counts), counts, {})
    assert all({p.topic_id for p in mine} == set(counts) for mine in result.values())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_uneven_subscriptions_are_as_even_as_they_can_be(data: st.DataObject) -> None:
    """The loads, from the highest, are the least possible: compared with all assignments."""
    counts = {TopicId(t): data.draw(st.integers(1, 3)) for t in range(1, 4)}
    names = members(3)
    topics = st.lists(st.sampled_from(sorted(counts)), unique=True, min_size=1)
    subscribers = [Subscriber(name, tuple(sorted(data.draw(topics)))) for name in names]
    previous = data.draw(anything_before(subscribers))
    result = STICKY.assign(subscribers, counts, previous)
    assert loads(result)[::-1] == best_loads(subscribers, counts)
    again = STICKY.assign(subscribers, counts, result)
    assert again == result


def best_loads(subscribers: Sequence[Subscriber], counts: Counts) -> list[int]:
    """By trying all numbers of partitions of each topic for each member."""
    found = {(0,) * len(subscribers)}
    for topic_id, count in counts.items():
        readers = [i for i, s in enumerate(subscribers) if topic_id in s.topics]
        for _ in range(count if readers else 0):
            found = {(*load[:i], load[i] + 1, *load[i + 1 :]) for load in found for i in readers}
    return min(sorted(load, reverse=True) for load in found)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 8), partitions=st.integers(1, 20), topics=st.integers(2, 4))
def test_range_lines_equal_topics_up(size: int, partitions: int, topics: int) -> None:
    """Partition n of every topic goes to one member; runs are contiguous and differ by one."""
    counts = {TopicId(t): partitions for t in range(1, topics + 1)}
    result = RANGE.assign(everybody(members(size), counts), counts, {})
    for mine in result.values():
        runs = [[p.partition for p in mine if p.topic_id == t] for t in sorted(counts)]
        assert all(run == runs[0] for run in runs)
        assert runs[0] == list(range(runs[0][0], runs[0][0] + len(runs[0]))) if runs[0] else True
    per_topic = [size // topics for size in loads(result)]
    assert max(per_topic) - min(per_topic) <= 1


def test_range_lets_a_newcomer_in_at_the_end() -> None:
    """The first member keeps the beginning, whatever the newcomer is called."""
    counts = {TopicId(1): 6}
    first, second = MemberId("z"), MemberId("a")
    result = RANGE.assign(everybody([first, second], counts), counts, {})
    assert [p.partition for p in result[first]] == [0, 1, 2]
    assert [p.partition for p in result[second]] == [3, 4, 5]
