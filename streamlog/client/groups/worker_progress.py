"""How far a worker has come with one partition: what may be committed.

Handlers finish in any order. A position says "everything below is done", so only the run of
records that are done from the first one on may be committed; one that is late holds back those
after it, however many are done.

Offsets have gaps, where control batches and deleted records were: "from the first one on" means
the records that were handed out, not the numbers between them.

Invariant: `position` never goes back, and no record below it is unfinished.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True)
class Taken:
    """One record that was taken and is not yet below the position."""

    offset: int
    is_done: bool = False


class PartitionProgress:
    """Records of one partition, from when it was given to this member until it is taken away.

    Holds one small object for each record at or above the position; whoever takes records bounds
    their number by `window`.
    """

    def __init__(self) -> None:
        self._window: deque[Taken] = deque()
        self._next = 0
        self._unfinished = 0
        self._position: int | None = None

    @property
    def position(self) -> int | None:
        """Everything taken below it is done; None: nothing is done yet that could be committed."""
        return self._position

    @property
    def resume_at(self) -> int | None:
        """The first record that is not done, or what follows the last one taken; None: none was
        taken."""
        if self._window:
            return self._window[0].offset
        return self._position

    @property
    def window(self) -> int:
        """Records at or above the position, done or not."""
        return len(self._window)

    @property
    def unfinished(self) -> int:
        """Of these, how many are not done."""
        return self._unfinished

    @property
    def next_offset(self) -> int:
        """The lowest offset that may be taken next."""
        return self._next

    def take(self, offset: int) -> Taken:
        """The next record; `offset` is at least `next_offset`."""
        assert offset >= self._next, (offset, self._next)
        taken = Taken(offset)
        self._window.append(taken)
        self._next = offset + 1
        self._unfinished += 1
        return taken

    def finish(self, taken: Taken) -> bool:
        """The record is done, once. Returns whether the position moved."""
        assert not taken.is_done
        taken.is_done = True
        self._unfinished -= 1
        window = self._window
        moved = False
        while window and window[0].is_done:
            self._position = window.popleft().offset + 1
            moved = True
        return moved
