"""When groups without a live leader try to elect one: one timer for all of them.

A group is in the schedule only while nobody is known to lead it or its leader is not (yet) kept
alive by an agreed heartbeat; a healthy group is not, and costs nothing.

After a node's death hundreds of groups fall due at once. They begin in slices, so that
heartbeats and votes go between them, at `elections_per_second`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from replication.ports import Clock
from replication.types import GroupId

_SLICE_MS = 10.0


class ElectionSchedule:
    """Deadlines by group.

    Invariant: every group in `_due` has an entry in the heap at or before its deadline, recorded
    in `_queued`; entries that differ from `_queued` are stale.
    """

    def __init__(
        self, clock: Clock, elections_per_second: float, begin: Callable[[GroupId], None]
    ) -> None:
        self._clock = clock
        self._slice_max = max(1, int(elections_per_second * _SLICE_MS / 1_000))
        self._begin = begin
        self._due: dict[GroupId, float] = {}
        self._queued: dict[GroupId, float] = {}
        self._heap: list[tuple[float, GroupId]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._stopped = False

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, group_id: GroupId) -> bool:
        return group_id in self._due

    def set(self, group_id: GroupId, due_ms: float) -> None:
        """Let the group's election begin at `due_ms` (monotonic), not before and not after."""
        if self._stopped:
            return
        self._due[group_id] = due_ms
        queued = self._queued.get(group_id)
        if queued is None or due_ms < queued:
            self._queued[group_id] = due_ms
            heapq.heappush(self._heap, (due_ms, group_id))
            self._arm(due_ms)

    def postpone(self, group_id: GroupId, due_ms: float) -> None:
        """Move a deadline that is set to a later time; costs a dictionary write."""
        if self._due.get(group_id, due_ms) < due_ms:
            self._due[group_id] = due_ms

    def cancel(self, group_id: GroupId) -> None:
        """The group needs no election."""
        self._due.pop(group_id, None)

    def stop(self) -> None:
        """Begin no more."""
        self._stopped = True
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at_ms: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at_ms:
                return
            self._timer.cancel()
        delay_s = max(0.0, at_ms - self._clock.monotonic_ms()) / 1_000
        self._timer_at = at_ms
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now_ms = self._clock.monotonic_ms()
        begun = 0
        while self._heap and begun < self._slice_max:
            at_ms, group_id = self._heap[0]
            if at_ms > now_ms:
                break
            heapq.heappop(self._heap)
            if self._queued.get(group_id) != at_ms:
                continue
            del self._queued[group_id]
            due_ms = self._due.get(group_id)
            if due_ms is None:
                continue
            if due_ms > now_ms:
                self._queued[group_id] = due_ms
                heapq.heappush(self._heap, (due_ms, group_id))
                continue
            del self._due[group_id]
            begun += 1
            self._begin(group_id)
        if self._heap and not self._stopped:
            self._arm(max(self._heap[0][0], now_ms + _SLICE_MS if begun else now_ms))
