"""Sticky and balanced: even loads first, few moves second, topics spread third.

When all members subscribe to the same topics (nearly always) the result is exact:

- loads differ by at most 1;
- among all assignments with such loads, a least number of partitions leaves its member. Why: with
  P partitions and M members, P mod M members may have ceil(P/M) and the others floor(P/M). A member
  gives up what it has beyond its quota and nothing else, and the larger quotas go to those who
  have most, where they save a move whenever one can be saved;
- nothing moves when nothing changed.

What is to be given is dealt out in turn, sorted by topic, so that each topic spreads over the
members; a member gives up partitions of the topic it has most of.

Members with different subscriptions are the business of `consumer_groups.assignors.uneven`.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import ClassVar

from consumer_groups.assignors.assignor import Assignment, Subscriber
from consumer_groups.assignors.uneven import assign_uneven
from consumer_groups.types import MemberId, PartitionNumber, TopicId, TopicPartition


class StickyAssignor:
    """Implements Assignor."""

    name: ClassVar[str] = "sticky"

    def assign(
        self,
        subscribers: Sequence[Subscriber],
        partition_counts: Mapping[TopicId, int],
        previous: Mapping[MemberId, Sequence[TopicPartition]],
    ) -> Assignment:
        if not subscribers:
            return {}
        topics = subscribers[0].topics
        if any(subscriber.topics != topics for subscriber in subscribers):
            return assign_uneven(subscribers, partition_counts, previous)
        counts = {topic_id: partition_counts[topic_id] for topic_id in topics}
        return _assign_even([s.member_id for s in subscribers], counts, previous)


def _assign_even(
    members: Sequence[MemberId],
    counts: Mapping[TopicId, int],
    previous: Mapping[MemberId, Sequence[TopicPartition]],
) -> Assignment:
    held, taken = _still_held(members, counts, previous)
    quota, larger = divmod(sum(counts.values()), len(members))
    by_size = sorted(members, key=lambda member_id: -len(held[member_id]))
    room: list[tuple[int, MemberId]] = []
    for place, member_id in enumerate(by_size):
        mine = quota + (place < larger)
        surplus = len(held[member_id]) - mine
        if surplus > 0:
            taken.difference_update(_give_up(held[member_id], surplus))
        elif surplus < 0:
            room.append((surplus, member_id))
    changed = dict.fromkeys(member_id for _, member_id in room)
    _deal(held, room, counts, taken)
    result: Assignment = {}
    for member_id in members:
        mine_now = held[member_id]
        if member_id in changed:
            mine_now.sort()
        result[member_id] = tuple(mine_now)
    return result


def _still_held(
    members: Sequence[MemberId],
    counts: Mapping[TopicId, int],
    previous: Mapping[MemberId, Sequence[TopicPartition]],
) -> tuple[dict[MemberId, list[TopicPartition]], set[TopicPartition]]:
    """What of the previous assignment exists still, ascending; each partition once."""
    held: dict[MemberId, list[TopicPartition]] = {}
    taken: set[TopicPartition] = set()
    for member_id in members:
        before = sorted(previous.get(member_id, ()))
        mine = [partition for partition in before if partition[1] < counts.get(partition[0], 0)]
        if not taken.isdisjoint(mine):
            mine = [partition for partition in mine if partition not in taken]
        taken.update(mine)
        held[member_id] = mine
    return held, taken


def _give_up(mine: list[TopicPartition], surplus: int) -> list[TopicPartition]:
    """Take `surplus` partitions away, each from the topic that has most at that time."""
    of_topic: dict[TopicId, list[TopicPartition]] = {}
    for partition in mine:
        of_topic.setdefault(partition.topic_id, []).append(partition)
    largest = [(-len(partitions), topic_id) for topic_id, partitions in of_topic.items()]
    heapq.heapify(largest)
    given_up: list[TopicPartition] = []
    for _ in range(surplus):
        size, topic_id = largest[0]
        given_up.append(of_topic[topic_id].pop())
        heapq.heapreplace(largest, (size + 1, topic_id))
    mine[:] = [partition for topic_id in sorted(of_topic) for partition in of_topic[topic_id]]
    return given_up


def _deal(
    held: dict[MemberId, list[TopicPartition]],
    room: list[tuple[int, MemberId]],
    counts: Mapping[TopicId, int],
    taken: set[TopicPartition],
) -> None:
    """Give what nobody has to those with room, in turn, the emptiest first."""
    room.sort(key=lambda entry: entry[0])
    turns = deque((member_id, -missing) for missing, member_id in room)
    of_topic = Counter(map(itemgetter(0), taken))
    for topic_id in sorted(counts):
        if of_topic[topic_id] == counts[topic_id]:
            continue
        for number in range(counts[topic_id]):
            if (topic_id, number) in taken:
                continue
            member_id, missing = turns.popleft()
            held[member_id].append(TopicPartition(topic_id, PartitionNumber(number)))
            if missing > 1:
                turns.append((member_id, missing - 1))
