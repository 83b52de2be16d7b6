"""Takes the checkpoints of a node, one at a time, in the background.

A checkpoint begins when enough was written since the last one, when a change is old enough, when
the journal runs full, and at a clean stop. Only groups that changed are captured, a few at a time,
so the fsyncs of thousands of segment files are spread out; the flusher of the journal has a thread
of its own and does not wait for them.

Invariants:
- `begin_lsn` is taken before the first group is captured, so whatever a group that is not
  captured did, it did at or below `begin_lsn`.
- A journal file is released only when no kept checkpoint needs it; when the journal runs full,
  only the newest counts, and a damaged newest checkpoint then stops the node at its next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from replication.errors import LogCorrupt, StorageFailed
from replication.ports import Disk
from replication.types import GroupId
from streamlog.storage import checkpoint
from streamlog.storage.checkpoint import CheckpointHead
from streamlog.storage.group.group_capture import CapturedGroup
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.journal.journal import Journal
from streamlog.storage.store_settings import StoreSettings


class Checkpointer:
    """Owns the checkpoint files, and the task that writes them."""

    def __init__(
        self,
        disk: Disk,
        directory_id: int,
        journal: Journal,
        settings: StoreSettings,
        logs: Mapping[GroupId, GroupLog],
        *,
        on_failed: Callable[[StorageFailed], None],
    ) -> None:
        """`logs` is the store's own mapping: groups come and go in it."""
        self._disk = disk
        self._directory_id = directory_id
        self._journal = journal
        self._settings = settings
        self._logs = logs
        self._on_failed = on_failed
        self._generation = 0
        self._first_file_before = 0
        self._records: dict[GroupId, bytes] = {}
        self._changed: dict[GroupId, None] = {}
        self.deleted: dict[GroupId, None] = {}
        """Deletions that are journalled while the directories may still be there."""
        self.taking = asyncio.Lock()
        """Held while a checkpoint is taken: a deletion must not come in between."""
        self.count = 0
        self.bytes_written = 0
        self._bytes_since = 0
        self._wanted = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def recovered(self, generation: int, first_file_sequence: int) -> None:
        """Go on after the checkpoint that recovery began with."""
        self._generation = generation
        self._first_file_before = first_file_sequence

    def begin(self) -> None:
        """Take checkpoints from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="checkpoints")

    async def stop(self) -> None:
        """Take none any more, and wait for the one under way."""
        self._stopping = True
        self._wanted.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            await self._task

    def changed(self, group_id: GroupId) -> None:
        """The group must be captured by the next checkpoint."""
        self._changed[group_id] = None
        if self._timer is None and self._task is not None and not self._stopping:
            self._timer = asyncio.get_running_loop().call_later(
                self._settings.checkpoint_interval_ms / 1000, self._interval_over
            )

    def wrote(self, size_bytes: int) -> None:
        """So many bytes were journalled, or sent straight to a segment."""
        self._bytes_since += size_bytes
        if self._bytes_since >= self._settings.checkpoint_bytes:
            self.request()

    def request(self) -> None:
        """Take a checkpoint soon."""
        self._wanted.set()

    def forget(self, group_id: GroupId) -> None:
        """The group was deleted."""
        self._records.pop(group_id, None)
        self._changed.pop(group_id, None)

    async def take(self, *, clean_stop: bool = False) -> None:
        """Take a checkpoint; durable when it returns. Raises StorageFailed.

        Must not be cancelled: the groups that it was to capture would not be in the next one, which
        tells recovery to pass over what they journalled.
        """
        async with self.taking:
            try:
                await self._take(clean_stop=clean_stop)
            except (OSError, LogCorrupt) as error:
                failure = StorageFailed("checkpoint", str(error))
                self._on_failed(failure)
                raise failure from error

    async def _take(self, *, clean_stop: bool) -> None:
        journal = self._journal
        self._bytes_since = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Recovery takes frames that are missing up to here for lost ones, so they are durable.
        begin_lsn = journal.durable_lsn
        first_file = journal.file_holding(begin_lsn + 1)
        changed, self._changed = self._changed, {}
        captured = await self._capture([g for g in sorted(changed) if g in self._logs])
        for group_id, group in captured.items():
            self._records[group_id] = group.message
        self._generation += 1
        head = CheckpointHead(
            directory_id=self._directory_id,
            generation=self._generation,
            begin_lsn=begin_lsn,
            first_file_sequence=first_file,
            first_file_lsn=journal.first_lsn_of(first_file),
            clean_stop=clean_stop,
            deleted_groups=sorted(self.deleted),
        )
        self.bytes_written += await checkpoint.write(self._disk, head, self._records)
        self.count += 1
        kept_from = min(first_file, self._first_file_before)
        self._first_file_before = first_file
        journal.release_below(kept_from)
        if journal.free_bytes < 2 * self._settings.journal.file_bytes:
            journal.release_below(first_file)
        for group_id, group in captured.items():
            log = self._logs.get(group_id)
            if log is not None:
                log.checkpointed(group)

    async def _capture(self, group_ids: list[GroupId]) -> dict[GroupId, CapturedGroup]:
        """Capture the groups, a few at a time."""
        captured: dict[GroupId, CapturedGroup] = {}
        waiting = iter(group_ids)

        async def work() -> None:
            for group_id in waiting:
                captured[group_id] = await self._logs[group_id].capture()

        workers = (work() for _ in range(self._settings.checkpoint_parallel))
        outcomes = await asyncio.gather(*workers, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        return captured

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._stopping:
                return
            try:
                await self.take()
            except StorageFailed:
                return  # Told already.

    def _interval_over(self) -> None:
        self._timer = None
        self.request()
