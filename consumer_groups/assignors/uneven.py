"""Sticky assignment of members whose subscriptions differ.

Loads end up as even as the subscriptions allow: no member's load can be lowered without raising
another's to at least as much (the loads, sorted from the highest, are the least possible). That is
the optimal semi-matching of a bipartite graph, and holds exactly when there is no chain of moves,
member to topic to member, from a load to one that is lower by 2 or more; such chains are sought,
shortest first, until there is none. Each chain lowers the sum of squared loads, so it ends.

Sticky as far as balance allows: everybody first keeps what it has and may keep; what nobody has
goes to the least loaded subscriber; a chain first moves partitions that the giver was only just
given. The number of moves is not proven least here.

All partitions of a topic have the same subscribers, so chains are sought among members and topics,
not partitions: one search costs at most the number of (member, topic) pairs.

Source: Harvey, Ladner, Lovász, Tamir, "Semi-matchings for bipartite graphs and load balancing".
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence

from consumer_groups.assignors.assignor import Assignment, Subscriber
from consumer_groups.types import MemberId, PartitionNumber, TopicId, TopicPartition


def assign_uneven(
    subscribers: Sequence[Subscriber],
    partition_counts: Mapping[TopicId, int],
    previous: Mapping[MemberId, Sequence[TopicPartition]],
) -> Assignment:
    """See Assignor.assign."""
    work = _Work(subscribers, partition_counts)
    work.keep(previous)
    work.give_the_rest()
    work.balance()
    return work.result()


class _Work:
    """Members are numbers here, in joining order."""

    def __init__(
        self, subscribers: Sequence[Subscriber], partition_counts: Mapping[TopicId, int]
    ) -> None:
        self._members = [subscriber.member_id for subscriber in subscribers]
        self._wants = [dict.fromkeys(subscriber.topics) for subscriber in subscribers]
        self._subscribers: dict[TopicId, list[int]] = {}
        for member, subscriber in enumerate(subscribers):
            for topic_id in subscriber.topics:
                self._subscribers.setdefault(topic_id, []).append(member)
        self._counts = partition_counts
        self._held: list[dict[TopicId, list[int]]] = [{} for _ in subscribers]
        """Partition numbers; those given last are at the end."""
        self._load = [0] * len(subscribers)
        self._taken: dict[TopicPartition, None] = {}

    def keep(self, previous: Mapping[MemberId, Sequence[TopicPartition]]) -> None:
        """Everybody has what it had, as far as it wants it and it exists."""
        for member, member_id in enumerate(self._members):
            for partition in sorted(previous.get(member_id, ())):
                topic_id, number = partition
                if (
                    topic_id in self._wants[member]
                    and number < self._counts[topic_id]
                    and partition not in self._taken
                ):
                    self._taken[partition] = None
                    self._give(member, topic_id, number)

    def give_the_rest(self) -> None:
        """What nobody has goes to the least loaded, topics with fewest subscribers first."""
        for topic_id in sorted(self._subscribers, key=lambda t: (len(self._subscribers[t]), t)):
            least = [(self._load[member], member) for member in self._subscribers[topic_id]]
            heapq.heapify(least)
            for number in range(self._counts[topic_id]):
                if TopicPartition(topic_id, PartitionNumber(number)) in self._taken:
                    continue
                load, member = least[0]
                self._give(member, topic_id, number)
                heapq.heapreplace(least, (load + 1, member))

    def balance(self) -> None:
        """Move partitions along chains until none helps."""
        moved = True
        while moved:
            moved = False
            settled: dict[int, None] = {}
            heaviest_first = sorted(range(len(self._load)), key=lambda m: (-self._load[m], m))
            for member in heaviest_first:
                while member not in settled and self._lighten(member, settled):
                    moved = True

    def result(self) -> Assignment:
        """Partitions by member."""
        return {
            member_id: tuple(
                TopicPartition(topic_id, PartitionNumber(number))
                for topic_id in sorted(self._held[member])
                for number in sorted(self._held[member][topic_id])
            )
            for member, member_id in enumerate(self._members)
        }

    def _give(self, member: int, topic_id: TopicId, number: int) -> None:
        self._held[member].setdefault(topic_id, []).append(number)
        self._load[member] += 1

    def _lighten(self, start: int, settled: dict[int, None]) -> bool:
        """Pass a partition on along the shortest chain to a load lower by 2 or more.

        Without one, `settled` gets all members that the search came by and that are not heavier:
        their own chains would be part of this one's.
        """
        goal = self._load[start] - 2
        came_by: dict[int, tuple[int, TopicId]] = {}
        seen: dict[TopicId, None] = {}
        reached: dict[int, None] = {start: None}
        queue = deque([start])
        while queue:
            member = queue.popleft()
            for topic_id, numbers in self._held[member].items():
                if topic_id in seen or not numbers:
                    continue
                seen[topic_id] = None
                for other in self._subscribers[topic_id]:
                    if other in reached:
                        continue
                    reached[other] = None
                    came_by[other] = (member, topic_id)
                    if self._load[other] <= goal:
                        self._pass_on(start, other, came_by)
                        return True
                    queue.append(other)
        for member in reached:
            if self._load[member] <= self._load[start]:
                settled[member] = None
        return False

    def _pass_on(self, start: int, end: int, came_by: dict[int, tuple[int, TopicId]]) -> None:
        self._load[start] -= 1
        self._load[end] += 1
        receiver = end
        while receiver != start:
            giver, topic_id = came_by[receiver]
            number = self._held[giver][topic_id].pop()
            self._held[receiver].setdefault(topic_id, []).append(number)
            receiver = giver
