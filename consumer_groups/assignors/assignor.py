"""What an assignor is given, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from consumer_groups.types import MemberId, TopicId, TopicPartition


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A member and the topics it wants."""

    member_id: MemberId
    topics: tuple[TopicId, ...]
    """Ascending, each once; all of them are known."""


Assignment = dict[MemberId, tuple[TopicPartition, ...]]
"""Partitions of every member, ascending; members without any are there too."""


class Assignor(Protocol):
    """Deterministic: equal arguments give equal results."""

    name: ClassVar[str]

    def assign(
        self,
        subscribers: Sequence[Subscriber],
        partition_counts: Mapping[TopicId, int],
        previous: Mapping[MemberId, Sequence[TopicPartition]],
    ) -> Assignment:
        """Who shall own what.

        Args:
            subscribers: the members in the order in which they joined, each once.
            partition_counts: of every topic that a subscriber names.
            previous: the assignment before, each partition once; it may name members and partitions
                that are gone.
        """
        ...
