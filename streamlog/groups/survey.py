"""How the groups are that this node coordinates, at one moment: for metrics and alarms.

The walk is sliced, since a node may coordinate many thousands of groups and must answer heartbeats
meanwhile; so what it says of two coordinators may be some milliseconds apart. It reads what is
applied and asks nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from consumer_groups.coordinator.queries import GroupPhase, group_phase
from consumer_groups.coordinator.state import Group
from consumer_groups.types import (
    GroupName,
    MemberId,
    PartitionNumber,
    Position,
    TopicPartition,
)
from streamlog.groups.coordinator import GroupCoordinator

GROUPS_AT_ONCE: Final = 100
"""After so many the loop does other work first."""
POSITIONS_MAX: Final = 20_000
"""Positions whose lag is looked at in one round of a node."""


class GroupPosition(NamedTuple):
    """Where a group stands in a partition."""

    group: GroupName
    partition: TopicPartition
    offset: Position


@dataclass(slots=True)
class GroupSurvey:
    """Of all groups whose coordinator is this node."""

    phases: dict[GroupPhase, int] = field(default_factory=lambda: dict.fromkeys(GroupPhase, 0))
    members: dict[GroupName, int] = field(default_factory=dict)
    """How many each group has."""
    stalled: dict[tuple[GroupName, MemberId], float] = field(default_factory=dict)
    """Members that have handled nothing for longer than the bound, and for how long, ms."""
    unowned: dict[GroupName, dict[TopicPartition, float]] = field(default_factory=dict)
    """Partitions that nobody has owned for longer than the bound, and for how long, ms."""
    positions: list[GroupPosition] = field(default_factory=list)
    """At most POSITIONS_MAX."""
    positions_left_out: int = 0
    """Beyond that bound."""


async def take_group_survey(coordinators: Sequence[GroupCoordinator]) -> GroupSurvey:
    """Look at every group once."""
    survey = GroupSurvey()
    seen = 0
    for coordinator in coordinators:
        if not coordinator.leads:
            continue
        stalled, unowned = coordinator.alarms()
        for name, member_id, for_ms in stalled:
            survey.stalled[name, member_id] = for_ms
        for name, partition, for_ms in unowned:
            survey.unowned.setdefault(name, {})[partition] = for_ms
        for name, group in coordinator.state.groups.items():
            seen += 1
            if seen % GROUPS_AT_ONCE == 0:
                await asyncio.sleep(0)
            survey.phases[group_phase(group)] += 1
            survey.members[name] = len(group.members)
            _add_positions(survey, name, group)
    return survey


def _add_positions(survey: GroupSurvey, name: GroupName, group: Group) -> None:
    if len(survey.positions) + group.commit_count > POSITIONS_MAX:
        survey.positions_left_out += group.commit_count
        return  # Whole groups, so that the sums of the others are right.
    for topic_id, commits in group.commits.items():
        for number, commit in commits.items():
            partition = TopicPartition(topic_id, PartitionNumber(number))
            survey.positions.append(GroupPosition(name, partition, commit.offset))
