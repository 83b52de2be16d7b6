"""Which record a worker handles next: those of one key in order, everything else side by side.

Each key has a lane: at most one of its records is being handled, the others wait behind it. A
record without a key waits for nobody. What may begin begins in the order in which it was added,
so that no key starves.

Invariant: a lane exists only while a record of its key is being handled or waits to be; there are
no more lanes than records in here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

WorkT = TypeVar("WorkT")


class KeyLanes(Generic[WorkT]):
    """What waits to be handled, and which keys are busy."""

    def __init__(self) -> None:
        self._ready: deque[tuple[Hashable, WorkT]] = deque()
        self._waiting: dict[Hashable, deque[WorkT]] = {}
        """Of each key that is busy or at its turn: those behind that record."""
        self._queued = 0

    @property
    def queued(self) -> int:
        """Records that wait, for a free handler or behind another one of their key."""
        return self._queued

    @property
    def ready(self) -> int:
        """Of these, how many may begin now."""
        return len(self._ready)

    def add(self, key: Hashable | None, work: WorkT) -> None:
        """It shall be handled, after those of its key that came before; None: any time."""
        self._queued += 1
        if key is None:
            self._ready.append((None, work))
            return
        lane = self._waiting.get(key)
        if lane is None:
            self._waiting[key] = deque()
            self._ready.append((key, work))
        else:
            lane.append(work)

    def next(self) -> tuple[Hashable | None, WorkT] | None:
        """What is to be handled now, with its key: `release` that afterwards. None: nothing may
        begin."""
        if not self._ready:
            return None
        self._queued -= 1
        return self._ready.popleft()

    def release(self, key: Hashable | None) -> None:
        """The record of this key that was being handled no longer is."""
        if key is None:
            return
        lane = self._waiting[key]
        if lane:
            self._ready.append((key, lane.popleft()))
        else:
            del self._waiting[key]

    def drop(self, unwanted: Callable[[WorkT], bool]) -> int:
        """Forget what waits and is unwanted; what is being handled goes on. Returns how many."""
        before = self._queued
        self._queued = 0
        for key, lane in self._waiting.items():
            self._waiting[key] = kept = deque(work for work in lane if not unwanted(work))
            self._queued += len(kept)
        ready, self._ready = self._ready, deque()
        for key, work in ready:
            if unwanted(work):
                self.release(key)  # The next of its key has its place.
            else:
                self._ready.append((key, work))
                self._queued += 1
        return before - self._queued
