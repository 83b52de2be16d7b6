"""How a log's start moves up without recovery ever looking for a file that was removed.

1. A start is wanted (a committed control entry, or a snapshot): it is journalled.
2. That frame is durable, and a durable checkpoint holds everything below the start.
3. The segment log moves its start and removes whole segments below.

Truncations lower what the checkpoint is known to hold. Until step 3 the log begins where it did:
what lies between may still be read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from replication.errors import LogCorrupt, StorageFailed
from replication.types import LogPosition, Offset
from streamlog.storage.group.group_files import Job
from streamlog.storage.segments.segment_log import GroupSegmentLog


class LogStart:
    """The start of one log: where it is wanted, and whether it may move there."""

    def __init__(
        self,
        wanted: LogPosition,
        durable_end: Offset,
        *,
        segments: Callable[[], GroupSegmentLog | None],
        run_alone: Callable[[Job], Awaitable[None]],
        spawn: Callable[[], None],
        moved: Callable[[], None],
    ) -> None:
        """`spawn` runs `apply` in the background, `moved` hears of it when it did something."""
        self.wanted = wanted
        """As journalled; the segment log's own start follows."""
        self._journalled = True
        self._checkpointed_end = durable_end
        self._captured_end = durable_end
        """As `_checkpointed_end`, of the checkpoint that is being taken."""
        self._segments = segments
        self._run_alone = run_alone
        self._spawn = spawn
        self._moved = moved
        self._applying = False

    def want(self, start: LogPosition) -> Callable[[], None]:
        """Move to `start` in time; returns what to call when the journal has it."""
        self.wanted = start
        self._journalled = False

        def durable() -> None:
            self._journalled = self.wanted == start
            self.apply_soon()

        return durable

    def truncated(self, end: Offset) -> None:
        """What checkpoints hold at and above `end` does not count any more."""
        self._checkpointed_end = min(self._checkpointed_end, end)
        self._captured_end = min(self._captured_end, end)

    def captured(self, end: Offset) -> None:
        """The checkpoint that is being taken will hold everything below `end`."""
        self._captured_end = end

    def checkpointed(self, end: Offset) -> None:
        """That checkpoint is durable."""
        self._checkpointed_end = min(end, self._captured_end)
        self.apply_soon()

    def replaced(self, start: LogPosition, end: Offset) -> None:
        """A whole copy took the log's place; the journal says up to where it is fsynced."""
        self.wanted = start
        self._journalled = True
        self._checkpointed_end = self._captured_end = end

    def apply_soon(self) -> None:
        """Move the start in the background, if it may move."""
        if self._may_move():
            self._spawn()

    async def apply(self) -> None:
        """Move the start if it may move."""
        if not self._may_move():
            return

        async def job() -> None:
            segments = self._segments()
            if segments is None or not self._may_move():
                return
            self._applying = True
            try:
                segments.log_start_committed(self.wanted.end)
                await segments.apply_log_start()
            finally:
                self._applying = False
            self._moved()

        try:
            await self._run_alone(job)
        except (StorageFailed, LogCorrupt):
            return  # Told already, by whoever found it; damage is mended, and this tried again.

    def _may_move(self) -> bool:
        segments = self._segments()
        return (
            segments is not None
            and self._journalled
            and not self._applying
            and segments.start.end < self.wanted.end <= self._checkpointed_end
        )
