"""Ranges: each topic's partitions are cut into runs, one for each subscriber, in joining order.

Topics with equal partition counts and the same subscribers are cut at the same places, so that
partition n of each goes to the same member: what a join of two streams needs. When a topic has
fewer partitions than subscribers, the last to join get nothing. Runs differ by at most one per
topic; over many topics the first members get more, which is the price.

Members are taken in the order in which they joined (a static member that returns has its
predecessor's place), so a newcomer goes to the end and shifts the runs as little as runs can.

Source: the range assignor of Kafka, whose order is by member id instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from consumer_groups.assignors.assignor import Assignment, Subscriber
from consumer_groups.types import MemberId, PartitionNumber, TopicId, TopicPartition


class RangeAssignor:
    """Implements Assignor."""

    name: ClassVar[str] = "range"

    def assign(
        self,
        subscribers: Sequence[Subscriber],
        partition_counts: Mapping[TopicId, int],
        previous: Mapping[MemberId, Sequence[TopicPartition]],
    ) -> Assignment:
        of_topic: dict[TopicId, list[MemberId]] = {}
        for subscriber in subscribers:
            for topic_id in subscriber.topics:
                of_topic.setdefault(topic_id, []).append(subscriber.member_id)
        given: dict[MemberId, list[TopicPartition]] = {s.member_id: [] for s in subscribers}
        for topic_id in sorted(of_topic):
            members = of_topic[topic_id]
            size, longer = divmod(partition_counts[topic_id], len(members))
            start = 0
            for place, member_id in enumerate(members):
                end = start + size + (place < longer)
                given[member_id] += [
                    TopicPartition(topic_id, PartitionNumber(n)) for n in range(start, end)
                ]
                start = end
        return {member_id: tuple(partitions) for member_id, partitions in given.items()}
