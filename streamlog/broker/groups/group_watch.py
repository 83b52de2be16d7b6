"""Looks at the groups that this node coordinates, once in a while: what metrics show, what alarms tell.

A scrape takes the newest report and asks nobody. Everything is bounded: positions looked at in a
round (`survey`), queries in a call (`group_lag`), and what a report keeps, so that the number of
series is: GROUPS_SHOWN_MAX groups and PARTITIONS_SHOWN_MAX partitions, those with most lag.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from consumer_groups.coordinator.queries import GroupPhase
from consumer_groups.types import GroupName, TopicPartition
from replication.ports import Clock
from streamlog.broker.groups.group_alarms import GroupAlarms
from streamlog.broker.groups.group_lag import GroupLagReader, Place, Unread
from streamlog.cluster.view import ClusterView
from streamlog.groups.counters import GroupCounters
from streamlog.groups.groups import Groups
from streamlog.groups.survey import GroupSurvey, take_group_survey

GROUPS_SHOWN_MAX: Final = 500
PARTITIONS_SHOWN_MAX: Final = 500
POSITIONS_AT_ONCE: Final = 1_000
"""After so many the loop does other work first."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """Of a group in a partition."""

    group: GroupName
    partition: TopicPartition
    records: int
    lag_ms: int
    """Age of the oldest unread record; 0: there is none."""


@dataclass(frozen=True, slots=True)
class GroupTotals:
    """Of a group."""

    group: GroupName
    members: int
    records: int
    """Of all its partitions whose lag is known."""
    lag_ms: int
    """The longest of them."""


@dataclass(frozen=True, slots=True)
class GroupReport:
    """What one round found."""

    taken_at_ms: float
    """Monotonic."""
    phases: Mapping[GroupPhase, int] = field(default_factory=dict)
    members: int = 0
    members_stalled: int = 0
    partitions_unowned: int = 0
    groups: tuple[GroupTotals, ...] = ()
    """Those with most lag, GROUPS_SHOWN_MAX at most."""
    partitions: tuple[PartitionLag, ...] = ()
    """Those with most lag, PARTITIONS_SHOWN_MAX at most."""
    unmeasured: int = 0
    """Positions whose lag is not known: their leaders did not answer, or they are too many."""


class GroupWatch:
    """The newest report, made anew by `round`."""

    def __init__(
        self, groups: Groups, reader: GroupLagReader, view: ClusterView, clock: Clock
    ) -> None:
        self._groups, self._reader = groups, reader
        self._view, self._clock = view, clock
        self._alarms = GroupAlarms(self._name_of)
        self.latest: GroupReport | None = None
        """None before the first round."""

    @property
    def counters(self) -> GroupCounters:
        """Of the coordinators, from the start of the node."""
        return self._groups.counters

    async def round(self) -> None:
        """Look at everything once."""
        survey = await take_group_survey(self._groups.coordinators())
        self._alarms.follow(survey)
        unread = await self._reader.read(survey.positions)
        self.latest = await report_of(
            survey, unread, self._clock.monotonic_ms(), self._clock.wall_ms()
        )

    async def close(self) -> None:
        """End what is under way."""
        await self._reader.close()

    def _name_of(self, partition: TopicPartition) -> str:
        topic = self._view.topic_by_id(partition.topic_id)
        name = f"({partition.topic_id})" if topic is None else topic.name
        return f"{name}/{partition.partition}"


async def report_of(
    survey: GroupSurvey, unread: Mapping[Place, Unread], now_ms: float, wall_ms: int
) -> GroupReport:
    """What a round found, cut to what is shown; the loop does other work in between."""
    worst: list[PartitionLag] = []
    slice_: list[PartitionLag] = []
    records = dict.fromkeys(survey.members, 0)
    longest_ms = dict.fromkeys(survey.members, 0)
    measured = 0
    for count, (group, partition, offset) in enumerate(survey.positions, start=1):
        if count % POSITIONS_AT_ONCE == 0:
            worst, slice_ = _worst_partitions([*worst, *slice_]), []
            await asyncio.sleep(0)
        found = unread.get((*partition, offset))
        if found is None:
            continue
        measured += 1
        stamp_ms = found.timestamp_ms
        lag_ms = 0 if stamp_ms is None else max(0, wall_ms - stamp_ms)
        slice_.append(PartitionLag(group, partition, found.records, lag_ms))
        records[group] += found.records
        longest_ms[group] = max(longest_ms[group], lag_ms)
    worst = _worst_partitions([*worst, *slice_])
    await asyncio.sleep(0)
    shown = heapq.nsmallest(
        GROUPS_SHOWN_MAX, survey.members, key=lambda group: (-records[group], group)
    )
    return GroupReport(
        now_ms,
        dict(survey.phases),
        sum(survey.members.values()),
        len(survey.stalled),
        sum(len(partitions) for partitions in survey.unowned.values()),
        tuple(
            GroupTotals(group, survey.members[group], records[group], longest_ms[group])
            for group in shown
        ),
        tuple(worst),
        len(survey.positions) - measured + survey.positions_left_out,
    )


def _worst_partitions(lags: list[PartitionLag]) -> list[PartitionLag]:
    return heapq.nsmallest(
        PARTITIONS_SHOWN_MAX, lags, key=lambda lag: (-lag.records, lag.group, lag.partition)
    )
