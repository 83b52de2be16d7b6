"""Says once when something about a group begins to be wrong, and once when it is over.

Invariant: at most EVENTS_MAX begin in one round; the others are told in a later one, if they last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from consumer_groups.types import GroupName, MemberId, TopicPartition
from streamlog.groups.survey import GroupSurvey

EVENTS_MAX: Final = 100

_log = logging.getLogger(__name__)


class GroupAlarms:
    """Remembers what was told."""

    def __init__(self, name_of: Callable[[TopicPartition], str]) -> None:
        """`name_of` names a partition for people."""
        self._name_of = name_of
        self._stalled: dict[tuple[GroupName, MemberId], None] = {}
        self._unowned: dict[GroupName, None] = {}

    def follow(self, survey: GroupSurvey) -> None:
        """Things are like this now."""
        self._over(survey)
        room = EVENTS_MAX
        for (group, member_id), for_ms in survey.stalled.items():
            if room and (group, member_id) not in self._stalled:
                room -= 1
                self._stalled[group, member_id] = None
                _log.warning(
                    "group_member_stalled",
                    extra={"group": group, "member_id": member_id, "idle_ms": int(for_ms)},
                )
        for group, partitions in survey.unowned.items():
            if room and group not in self._unowned:
                room -= 1
                self._unowned[group] = None
                self._tell_unowned(group, partitions)

    def _tell_unowned(self, group: GroupName, partitions: Mapping[TopicPartition, float]) -> None:
        longest = max(partitions, key=lambda each: (partitions[each], each))
        _log.warning(
            "group_partitions_unowned",
            extra={
                "group": group,
                "partitions": len(partitions),
                "longest": self._name_of(longest),
                "unowned_ms": int(partitions[longest]),
            },
        )

    def _over(self, survey: GroupSurvey) -> None:
        for group, member_id in [key for key in self._stalled if key not in survey.stalled]:
            del self._stalled[group, member_id]
            _log.info(
                "group_alarm_over",
                extra={"group": group, "what": "group_member_stalled", "member_id": member_id},
            )
        for group in [name for name in self._unowned if name not in survey.unowned]:
            del self._unowned[group]
            _log.info(
                "group_alarm_over",
                extra={"group": group, "what": "group_partitions_unowned", "member_id": ""},
            )
