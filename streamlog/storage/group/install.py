"""A whole copy of a log, received beside the log that it replaces.

The order that no crash may break: the copy's bytes are fsynced in a staging directory, it is
renamed to the next generation, the group's directory is fsynced, the frame `Installed` becomes
durable in the journal. Before that frame the old log counts, after it the new one; what the
other directory holds is removed, because the journal proves which one counts.

Invariant: only whole, checked frames that connect are taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from replication.errors import LogCorrupt, StorageFailed, invariant
from replication.ports import Disk
from replication.types import GroupCreation, LogPosition, Membership
from streamlog.storage import snapshot_file
from streamlog.storage.segments.segment_log import GroupSegmentLog
from streamlog.storage.segments.segment_logs import (
    SegmentLogs,
    group_directory,
    log_directory,
    snapshot_path,
    staging_directory,
)
from streamlog.storage.storage_codec import (
    LogStartsAt,
    MembershipsAt,
    encode_log_starts,
    encode_memberships,
    encode_position,
    encode_segment_end,
    log_starts_of,
    pending_log_starts,
)
from streamlog.storage.v1 import storage_pb2

_WRITE_BYTES: Final = 1 << 20

TakeOver = Callable[[storage_pb2.InstalledLog, GroupSegmentLog], Awaitable[None]]
"""Journal the frame and use the copy; returns when that is durable."""


class StagedInstall:
    """Implements replication.log.LogInstaller."""

    def __init__(
        self,
        logs: SegmentLogs,
        creation: GroupCreation,
        segments: GroupSegmentLog,
        *,
        generation: int,
        start: LogPosition,
        membership: Membership,
        take_over: TakeOver,
    ) -> None:
        self._logs = logs
        self._creation = creation
        self._generation = generation
        self._start = start
        self._memberships: MembershipsAt = ((start.end, membership),)
        self._log_starts: LogStartsAt = ()
        self._segments = segments
        self._take_over = take_over
        self._ended = False

    @classmethod
    async def begin(
        cls,
        logs: SegmentLogs,
        creation: GroupCreation,
        *,
        generation: int,
        start: LogPosition,
        membership: Membership,
        log_state: bytes,
        snapshot: bytes | None,
        take_over: TakeOver,
    ) -> StagedInstall:
        """Make the staging directory; an earlier try in it is removed. Raises LogCorrupt,
        StorageFailed."""
        directory = staging_directory(creation.group_id, generation)
        try:
            # An earlier copy that could not be read back left its files open.
            await logs.resources.files.forget_directory(directory)
            await logs.disk.remove_tree(directory)
            segments = await logs.create(creation, directory, start=start, log_state=log_state)
            path = snapshot_path(creation.group_id, generation)
            await remove_file(logs.disk, path)
            if snapshot is not None:
                await snapshot_file.save(logs.disk, path, logs.identity(creation), start, snapshot)
        except OSError as error:
            raise StorageFailed("beginning an install", str(error)) from error
        return cls(
            logs,
            creation,
            segments,
            generation=generation,
            start=start,
            membership=membership,
            take_over=take_over,
        )

    @property
    def end(self) -> LogPosition:
        return self._segments.end

    async def write(self, frames: bytes) -> None:
        entries, parts = self._logs.codec.split(self._creation, frames)
        if not entries:
            return
        end = self._segments.end
        if entries[0].base != end.end or entries[0].term < end.term:
            raise LogCorrupt(
                self._creation.group_id,
                "a copy that is being received",
                f"frames from offset {entries[0].base}, term {entries[0].term} do not connect to "
                f"{end.end}, term {end.term}",
            )
        self._segments.append(parts, entries)
        added = tuple((e.base, e.membership) for e in entries if e.membership is not None)
        self._memberships = (*self._memberships, *added)
        self._log_starts = (*self._log_starts, *log_starts_of(entries))
        if self._segments.pending_bytes >= _WRITE_BYTES:
            try:
                await self._segments.write_pending()
            except OSError as error:
                raise StorageFailed("writing a copy of a log", str(error)) from error

    async def finish(self) -> None:
        invariant(not self._ended, "an install ends once")
        self._ended = True
        group_id, disk = self._creation.group_id, self._logs.disk
        staging = staging_directory(group_id, self._generation)
        final = log_directory(group_id, self._generation)
        try:
            durable = await self._segments.checkpoint()
            await self._segments.close()
            await disk.sync_directory(staging)
            # A crash, or a copy that could not be read back, can have left something there.
            await self._logs.resources.files.forget_directory(final)
            await disk.remove_tree(final)
            await disk.rename(staging, final)
            await disk.sync_directory(group_directory(group_id))
            segments = await self._logs.open(
                self._creation, final, start=self._start, checkpoint=durable
            )
        except OSError as error:
            raise StorageFailed("finishing an install", str(error)) from error
        message = storage_pb2.InstalledLog(
            generation=self._generation,
            start=encode_position(self._start),
            durable=encode_segment_end(durable),
            memberships=encode_memberships(self._memberships),
            log_starts=encode_log_starts(pending_log_starts(self._log_starts, self._start.end)),
        )
        await self._take_over(message, segments)

    async def abort(self) -> None:
        if self._ended:
            return
        self._ended = True
        await self._segments.close()
        staging = staging_directory(self._creation.group_id, self._generation)
        try:
            await self._logs.disk.remove_tree(staging)
            await remove_file(
                self._logs.disk, snapshot_path(self._creation.group_id, self._generation)
            )
        except OSError as error:
            raise StorageFailed("removing a copy of a log", str(error)) from error


async def remove_file(disk: Disk, path: str) -> None:
    """Remove a file; nothing happens when there is none. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        await disk.remove(path)
