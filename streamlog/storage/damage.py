"""Ranges of logs that could not be read back, from when they are found until they are mended.

A read that fails its check, or finds its file gone, reports the whole segment; so does scrubbing,
which reads what nobody else reads. What is reported is not served; `streamlog/cluster/repair`
fetches it from another replica, whose bytes are the same, and puts it in place.

Invariant: a range is in `open` as long as its segment is part of its log and is not mended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from replication.types import GroupId, Offset

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DamagedRange:
    """One segment of one group's log."""

    group_id: GroupId
    start: Offset
    end: Offset
    """Exclusive."""
    where: str
    """The file, and the byte as far as it is known."""
    detail: str


class DamageReports:
    """Of one node."""

    def __init__(self) -> None:
        self.open: dict[tuple[GroupId, Offset], DamagedRange] = {}
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
        key = damaged.group_id, damaged.start
        if key in self.open:
            return
        self.open[key] = damaged
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

    def close(self, group_id: GroupId, start: Offset, *, mended: bool) -> None:
        """It was mended, or is not part of the log any more."""
        if self.open.pop((group_id, start), None) is not None and mended:
            self.mended += 1
            _LOG.warning("log_mended", extra={"group": group_id, "start": start})
