"""What somebody should look at in a group: members that stand still, partitions that nobody reads.

A finding is told, never acted on: a member that handles nothing may be at work on one long record,
and whether that is too long only its operator knows (`groups.no.progress.ms` expires it). How long
something lasts is counted from when this coordinator first saw it: a new leader knows of nothing
before itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from consumer_groups.coordinator.state import Group
from consumer_groups.deadlines import Deadlines
from consumer_groups.types import NOBODY, MemberId, TopicPartition

FINDINGS_MAX: Final = 1_000
"""Of one group; the rest is more of the same."""
NO_PROGRESS: Final = "no_progress"
PARTITION_UNOWNED: Final = "partition_unowned"
TOPIC_MISSING: Final = "topic_missing"


@dataclass(frozen=True, slots=True)
class AlarmBounds:
    """From when on something is a finding, milliseconds; 0: never."""

    no_progress_ms: int
    unowned_ms: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a group that does not look right."""

    kind: str
    """One of the names above."""
    for_ms: int = 0
    member_id: MemberId = NOBODY
    partition: TopicPartition | None = None
    detail: str = ""
    """For people."""


def findings_of(
    group: Group, deadlines: Deadlines, now_ms: float, bounds: AlarmBounds
) -> tuple[Finding, ...]:
    """Of one group, at most FINDINGS_MAX; `now_ms` is on the clock of the deadlines."""
    return tuple(islice(_all(group, deadlines, now_ms, bounds), FINDINGS_MAX))


def _all(
    group: Group, deadlines: Deadlines, now_ms: float, bounds: AlarmBounds
) -> Iterator[Finding]:
    known = {view.name: None for view in group.topics.values()}
    for member in group.in_order():
        member_id = member.info.member_id
        vitals = deadlines.vitals(group.name, member_id, now_ms)
        idle_ms = vitals[1] if vitals is not None else 0.0
        if member.owned and bounds.no_progress_ms and idle_ms >= bounds.no_progress_ms:
            yield Finding(
                NO_PROGRESS,
                int(idle_ms),
                member_id,
                detail=f"owns {len(member.owned)} partitions and has handled nothing",
            )
        for topic in member.info.subscription.topics:
            if topic not in known:
                yield Finding(
                    TOPIC_MISSING,
                    member_id=member_id,
                    detail=f"subscribes to {topic}, which does not exist",
                )
    if not bounds.unowned_ms:
        return
    for partition, for_ms in deadlines.unowned_of(group.name, now_ms).items():
        if for_ms >= bounds.unowned_ms:
            view = group.topics.get(partition.topic_id)
            name = view.name if view is not None else f"topic {partition.topic_id}"
            yield Finding(
                PARTITION_UNOWNED,
                int(for_ms),
                partition=partition,
                detail=f"{name}/{partition.partition} is subscribed to, and nobody owns it",
            )
