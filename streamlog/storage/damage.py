"""Ranges of logs that could not be read back, from when they are found until they are mended.

A read that fails its check, or finds its file gone, reports the whole segment; so does scrubbing,
which reads what nobody else reads. What is reported is not served; `streamlog/cluster/repair`
fetches it from another replica, whose bytes are the same, and puts it in place. A snapshot stands
for all that lies below its log: when it can not be read, that is reported, and a whole copy of the
log, or a newer snapshot, mends it.

Invariant: a range is in `open` as long as its segment is part of its log and is not mended, or the
snapshot not replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from replication.types import GroupId, Offset

DamageKey = tuple[GroupId, Offset, bool]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DamagedRange:
    """One segment of one group's log, or its snapshot."""

    group_id: GroupId
    start: Offset
    end: Offset
    """Exclusive."""
    where: str
    """The file, and the byte as far as it is known."""
    detail: str
    of_snapshot: bool = False
    """Not a segment: what a snapshot stands for, from 0 to where the log begins."""

    @property
    def key(self) -> DamageKey:
        """Which one it is, of all that a node has."""
        return self.group_id, self.start, self.of_snapshot


class DamageReports:
    """Of one node."""

    def __init__(self) -> None:
        self.open: dict[DamageKey, DamagedRange] = {}
        self.found = 0
        """Ranges that were reported since the start."""
        self.mended = 0
        self.journal_has_gaps = False
        """Part of the journal could not be read at this start."""
        self._listeners: list[Callable[[], None]] = []

    def on_report(self, listener: Callable[[], None]) -> None:
        """Call back when a range is reported."""
        self._listeners.append(listener)

    def report(self, damaged: DamagedRange) -> None:
        """It can not be read; a second report of the same changes nothing."""
        if damaged.key in self.open:
            return
        self.open[damaged.key] = damaged
        self.found += 1
        _LOG.error(
            "log_damaged",
            extra={
                "group": damaged.group_id,
                "start": damaged.start,
                "end": damaged.end,
                "where": damaged.where,
                "reason": damaged.detail,
            },
        )
        for listener in self._listeners:
            listener()

    def close(
        self, group_id: GroupId, start: Offset, *, mended: bool, of_snapshot: bool = False
    ) -> None:
        """It was mended, or is not part of the log any more."""
        if self.open.pop((group_id, start, of_snapshot), None) is None:
            return
        if mended:
            self.mended += 1
            _LOG.warning("log_mended", extra={"group": group_id, "start": start})
        else:
            _LOG.warning("log_damage_gone", extra={"group": group_id, "start": start})
