"""The node's store: every group's log, one journal, checkpoints.

`NodeStore` implements replication.log.LogStore. It owns what the groups share: the journal, the
checkpoints, the tasks that work on files, the bounds, and the one thing that must happen once:
when the disk fails, everything stops, and nothing is ever reported complete again.

Neighbours: `group_log` (one group), `write_queue` (its order), `group_files` (its files),
`journal/` (group commit), `checkpointer`, `recovery`, `admission`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

from replication.errors import StorageFailed, invariant
from replication.log import LogListener, ReplicaLog
from replication.ports import Clock, Disk
from replication.types import GroupCreation, GroupId, HardState, Term, WriteSequence
from streamlog.storage.admission import Admission
from streamlog.storage.checkpointer import Checkpointer
from streamlog.storage.damage import DamageReports
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.group.group_log import NOTHING, GroupLog
from streamlog.storage.group.install import remove_file
from streamlog.storage.group.write_queue import GroupState
from streamlog.storage.identity import NodeIdentity, mark_running, mark_stopped
from streamlog.storage.journal.journal import Journal
from streamlog.storage.recovery.recovery import Recovered, Recovery
from streamlog.storage.recovery.recovery_report import report
from streamlog.storage.segments.segment_logs import (
    SegmentLogs,
    copies_beside,
    group_directory,
    log_directory,
)
from streamlog.storage.segments.segment_resources import SegmentResources, SegmentSettings
from streamlog.storage.store_settings import StoreSettings


@dataclass(frozen=True, slots=True)
class StoreCounters:
    """What the store wrote since the process started."""

    appended_bytes: int
    """Taken from callers: what is acknowledged in the end."""
    journal_bytes: int
    """Marks and padding included."""
    segment_bytes: int
    direct_bytes: int
    """Of the segment bytes those that the journal only refers to."""
    checkpoint_bytes: int
    flushes: int
    frames: int
    checkpoints: int
    journal_stalls: int

    @property
    def written_per_appended(self) -> float:
        """Bytes written for each byte taken; 0 before the first."""
        written = self.journal_bytes + self.segment_bytes + self.checkpoint_bytes
        return written / self.appended_bytes if self.appended_bytes else 0.0


def default_segment_settings(_: GroupCreation) -> SegmentSettings:
    """The same for every log."""
    return SegmentSettings()


class NodeStore:
    """All logs of a node."""

    def __init__(
        self,
        disk: Disk,
        clock: Clock,
        identity: NodeIdentity,
        *,
        codec: BatchEntryCodec,
        settings: StoreSettings | None = None,
        resources: SegmentResources | None = None,
        segment_settings_of: Callable[[GroupCreation], SegmentSettings] = default_segment_settings,
    ) -> None:
        """The disk is locked and formatted (`identity`) by the caller."""
        self._disk = disk
        self.settings = settings if settings is not None else StoreSettings()
        self.segment_logs = SegmentLogs(
            resources if resources is not None else SegmentResources.create(disk, clock),
            identity.cluster_id,
            codec,
            segment_settings_of,
        )
        self._journal_id = identity.directory_id
        self.journal = Journal(
            disk,
            self._journal_id,
            self.settings.journal,
            on_flushed=self._flushed,
            on_failed=self.fail,
        )
        self._all: dict[GroupId, GroupLog] = {}
        """Those whose creation is not durable yet included."""
        self._logs: dict[GroupId, ReplicaLog] = {}
        self._deleting: dict[GroupId, asyncio.Future[None]] = {}
        """Done when the group's directory is gone for good; until then no log of its id is made."""
        self._checkpointer = Checkpointer(
            disk, self._journal_id, self.journal, self.settings, self._all, on_failed=self.fail
        )
        self._admission = Admission(disk, clock, self.journal, self.settings, self)
        self._listener: LogListener | None = None
        self._completed: dict[GroupId, WriteSequence] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._unwritten: dict[GroupId, int] = {}
        self._unwritten_bytes = 0
        self._appended_bytes = 0
        self._direct_bytes = 0
        self._journal_bytes_seen = 0
        self._failure: StorageFailed | None = None
        self._stopped = False
        self.recovered: Recovered | None = None
        """What recovery found; set by `start`."""
        self.unclean_start = False
        """The stop before was not clean; set by `start`."""

    # replication.log.LogStore.

    async def start(self, listener: LogListener) -> None:
        """Recover. Raises StorageFailed when the node must not start."""
        self._listener = listener
        try:
            await self._start()
        except OSError as error:
            raise StorageFailed("starting the store", str(error)) from error
        if self._failure is not None:
            raise self._failure

    @property
    def logs(self) -> dict[GroupId, ReplicaLog]:
        return self._logs

    async def create(self, creation: GroupCreation) -> ReplicaLog:
        if self._failure is not None:
            raise self._failure
        group_id = creation.group_id
        # A replica may come back to a node that an older one of its group has left.
        while (deletion := self._deleting.get(group_id)) is not None:
            await asyncio.shield(deletion)
        log = self._all.get(group_id)
        if log is None:
            log = await self._new_log(creation)
        invariant(
            log.creation == creation, "a group is created once", before=log.creation, now=creation
        )
        await log.settled()
        self._logs[group_id] = log
        return log

    async def delete(self, group_id: GroupId) -> None:
        if self._failure is not None:
            raise self._failure
        await self._to_its_end(self._delete(group_id), f"deletion of group {group_id}")

    async def _delete(self, group_id: GroupId) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with self._checkpointer.taking:
            log = self._all.get(group_id)
            if log is None:
                return
            await log.delete()
            self._logs.pop(group_id, None)
            del self._all[group_id]
            self._deleting[group_id] = done
            self._checkpointer.forget(group_id)
            self._checkpointer.deleted[group_id] = None
        try:
            await log.close_alone()
            self.segments_written(group_id, 0)
            self._completed.pop(group_id, None)
            log.fail(StorageFailed("writing", f"group {group_id} was deleted"))
            await self._remove_group(group_id)
        finally:
            self._deletion_ended(group_id, done)

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        await self._checkpointer.stop()
        if self._failure is None:
            with contextlib.suppress(StorageFailed):  # Told already; what follows only closes.
                await self._checkpointer.take(clean_stop=True)
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        try:
            await self.journal.stop()
            for log in self._all.values():
                await log.close()
            if self._failure is None:
                await mark_stopped(self._disk)
        except OSError as error:
            self.fail(StorageFailed("stopping the store", str(error)))

    # More that the node uses.

    @property
    def counters(self) -> StoreCounters:
        """What was written so far."""
        journal = self.journal.counters
        return StoreCounters(
            appended_bytes=self._appended_bytes,
            journal_bytes=journal.bytes_written,
            segment_bytes=self._appended_bytes - self._unwritten_bytes,
            direct_bytes=self._direct_bytes,
            checkpoint_bytes=self._checkpointer.bytes_written,
            flushes=journal.flushes,
            frames=journal.frames,
            checkpoints=self._checkpointer.count,
            journal_stalls=journal.stalls,
        )

    @property
    def unwritten_bytes(self) -> int:
        """Appended bytes that are journalled and not yet in their segment files."""
        return self._unwritten_bytes

    @property
    def disk_free_bytes(self) -> int:
        """Space left on the disk, the reserve included, as of the last question and what was
        appended since."""
        return self._admission.disk_free_bytes

    @property
    def damage(self) -> DamageReports:
        """What could not be read back and is not mended yet."""
        return self.segment_logs.resources.damage

    def set_disk_reserve(self, size_bytes: int) -> None:
        """Keep so much free from now on."""
        self._admission.disk_reserve_bytes = size_bytes

    @property
    def unknown_directories(self) -> Sequence[str]:
        """Directories that nothing accounts for: left alone, for an operator to look at."""
        return self.recovered.unknown if self.recovered is not None else ()

    async def checkpoint_now(self) -> None:
        """Take a checkpoint; durable when it returns. Raises StorageFailed."""
        await self._to_its_end(self._checkpointer.take(), "checkpoint")

    # For the parts of the store (LogHost, AdmissionHost).

    def admit(self, size_bytes: int) -> None:
        """Raises DiskFull, Overloaded, StorageFailed when so much data can not be taken."""
        if self._failure is not None:
            raise self._failure
        self._admission.check(size_bytes, self._unwritten_bytes)

    def appended(self, size_bytes: int) -> None:
        """So many bytes were taken."""
        self._appended_bytes += size_bytes
        self._admission.appended(size_bytes)

    def changed(self, group_id: GroupId) -> None:
        """The next checkpoint must take the group up."""
        self._checkpointer.changed(group_id)

    def completed(self, group_id: GroupId, sequence: WriteSequence) -> None:
        """A write is durable; told to the listener when the flush is done."""
        self._completed[group_id] = sequence

    def request_checkpoint(self) -> None:
        """The journal is running full."""
        self._checkpointer.request()

    def segments_written(self, group_id: GroupId, pending_bytes: int) -> None:
        """So many appended bytes of the group are not in its files yet."""
        self._unwritten_bytes += pending_bytes - self._unwritten.pop(group_id, 0)
        if pending_bytes:
            self._unwritten[group_id] = pending_bytes
        if self._unwritten_bytes > self.settings.unwritten_bytes_max:
            excess = self._unwritten_bytes - self.settings.unwritten_bytes_max // 2
            for oldest, size in list(self._unwritten.items()):
                if excess <= 0:
                    break
                if oldest in self._all:
                    self._all[oldest].write_soon()
                excess -= size

    def direct_written(self, size_bytes: int) -> None:
        """A large append went straight to its segment."""
        self._direct_bytes += size_bytes
        self._checkpointer.wrote(size_bytes)

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run as a task of the store's."""
        self._spawn(work, name)

    def fail(self, error: StorageFailed) -> None:
        """The disk failed: stop everything, once."""
        if self._failure is not None:
            return
        self._failure = error
        self._completed.clear()
        self._checkpointer.request()  # It finds the failure and ends.
        for log in self._all.values():
            log.fail(error)
        if self._listener is not None:
            self._listener.storage_failed(error)

    # Inside.

    async def _start(self) -> None:
        self.unclean_start = await mark_running(self._disk)
        recovered = await Recovery(self._disk, self._journal_id, self.segment_logs).run()
        self.recovered = recovered
        report(recovered, unclean=self.unclean_start)
        self.segment_logs.resources.damage.journal_has_gaps = bool(recovered.gaps)
        await self.journal.open(
            next_lsn=recovered.next_lsn,
            previous_crc32c=recovered.last_crc32c,
            old_sequences=recovered.journal_sequences,
        )
        self._checkpointer.recovered(recovered.checkpoint_generation, recovered.first_file_sequence)
        self._checkpointer.deleted.update(dict.fromkeys(recovered.deleted))
        loop = asyncio.get_running_loop()
        self._deleting.update((group_id, loop.create_future()) for group_id in recovered.deleted)
        for group in recovered.groups:
            creation = group.replay.creation
            log = GroupLog(creation, group.state, group.segments, self, lsn=recovered.next_lsn - 1)
            self._all[creation.group_id] = log
            self._logs[creation.group_id] = log
            self.changed(creation.group_id)
        await self._admission.start()
        await self._checkpointer.take()
        if self.unclean_start:
            for log in self._all.values():
                await self._remove_copies(log)
        self.journal.begin()
        self._checkpointer.begin()
        if recovered.deleted:
            self.spawn(self._remove_deleted(dict(self._deleting)), "remove deleted groups")

    async def _new_log(self, creation: GroupCreation) -> GroupLog:
        group_id = creation.group_id
        try:
            segments = await self.segment_logs.create(creation, log_directory(group_id, 1))
            await self._disk.sync_directory(group_directory(group_id))
            await self._disk.sync_directory("groups")
            await self._disk.sync_directory("")
        except OSError as error:
            failure = StorageFailed(f"creating the log of group {group_id}", str(error))
            self.fail(failure)
            raise failure from error
        existing = self._all.get(group_id)
        if existing is not None:
            return existing  # A call that began at the same time was faster.
        state = GroupState(
            1, NOTHING, NOTHING, HardState(Term(0), None), ((NOTHING.end, creation.membership),)
        )
        log = GroupLog(creation, state, segments, self, lsn=0)
        self._all[group_id] = log
        log.created()
        return log

    async def _remove_group(self, group_id: GroupId) -> None:
        """Remove the directory of a group whose deletion is durable."""
        try:
            await self._disk.remove_tree(group_directory(group_id))
            await self._disk.sync_directory("groups")
            # Who was reading may have opened a file after the log was closed; another replica of
            # the group may come, and make files of the same names.
            files = self.segment_logs.resources.files
            await files.forget_directory(group_directory(group_id))
        except OSError as error:
            self.fail(StorageFailed(f"removing group {group_id}", str(error)))
            return
        self._checkpointer.deleted.pop(group_id, None)

    def _deletion_ended(self, group_id: GroupId, done: asyncio.Future[None]) -> None:
        del self._deleting[group_id]
        done.set_result(None)

    async def _remove_deleted(self, deleted: Mapping[GroupId, asyncio.Future[None]]) -> None:
        """Go on with deletions that a crash interrupted."""
        for group_id, done in deleted.items():
            try:
                await self._remove_group(group_id)
            finally:
                self._deletion_ended(group_id, done)

    async def _remove_copies(self, log: GroupLog) -> None:
        """Remove what an interrupted install left: the journal proves which copy counts."""
        directory = group_directory(log.creation.group_id)
        names = await self._disk.list_directory(directory)
        for name in copies_beside(names, log.generation):
            if name.endswith(".snapshot"):
                await remove_file(self._disk, f"{directory}/{name}")
            else:
                await self._disk.remove_tree(f"{directory}/{name}")

    def _flushed(self) -> None:
        """A flush is durable: tell what it completed, once."""
        written = self.journal.counters.bytes_written
        self._checkpointer.wrote(written - self._journal_bytes_seen)
        self._journal_bytes_seen = written
        completed, self._completed = self._completed, {}
        if completed and self._listener is not None and self._failure is None:
            self._listener.writes_completed(list(completed.items()))

    async def _to_its_end(self, work: Coroutine[None, None, None], name: str) -> None:
        """Do what must not be left half done, though whoever waits for it may be cancelled."""
        await asyncio.shield(self._spawn(work, name))

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            # A defect: what the task left undone can not be told from a disk that failed.
            self.fail(StorageFailed(task.get_name(), repr(error)))
