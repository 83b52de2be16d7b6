"""Which groups wait for the disk, and since when: a leader whose disk stalls steps down.

Writes become durable in batches for all groups of a node, so the oldest wait tells of the disk
and not of one group (etcd issue 7617: a leader that can not write keeps its followers quiet).
"""

from __future__ import annotations

from replication.types import GroupId


class OutstandingWrites:
    """Groups with writes that are not durable.

    Invariant: `_since` is ordered by time, because every change puts the group last.
    """

    def __init__(self) -> None:
        self._since: dict[GroupId, float] = {}

    def __len__(self) -> int:
        return len(self._since)

    def began(self, group_id: GroupId, now_ms: float) -> None:
        """The group made a write; the first of several counts."""
        if group_id not in self._since:
            self._since[group_id] = now_ms

    def completed(self, group_id: GroupId, now_ms: float, *, all_durable: bool) -> None:
        """Some of its writes, or all, are durable."""
        self._since.pop(group_id, None)
        if not all_durable:
            self._since[group_id] = now_ms

    def forget(self, group_id: GroupId) -> None:
        """The group is gone."""
        self._since.pop(group_id, None)

    def oldest_ms(self) -> float | None:
        """Since when the longest wait lasts; None when nothing waits."""
        return next(iter(self._since.values()), None)

    def shift(self, by_ms: float) -> None:
        """Time in which the process did not run does not count."""
        for group_id in self._since:
            self._since[group_id] += by_ms
