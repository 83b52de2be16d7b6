"""The snapshot of one group's state machine: saved, read back, and damage of it told.

Each copy of the log has a file of its own (`snapshot_file`), so every call says of which one; what
a copy means that takes the log's place meanwhile is the caller's to judge.
"""

from __future__ import annotations

from typing import Protocol

from replication.errors import DiskFull, LogCorrupt, StorageFailed
from replication.ports import Disk
from replication.types import GroupCreation, LogPosition, Offset
from streamlog.storage import snapshot_file
from streamlog.storage.damage import DamagedRange
from streamlog.storage.segments.segment_file import SegmentIdentity
from streamlog.storage.segments.segment_logs import SegmentLogs, snapshot_path


class SnapshotHost(Protocol):
    """What the store does for the snapshots of its groups."""

    @property
    def segment_logs(self) -> SegmentLogs: ...

    def fail(self, error: StorageFailed) -> None:
        """The disk failed: stop everything."""
        ...


class GroupSnapshot:
    """Files of snapshots of one group."""

    def __init__(self, creation: GroupCreation, host: SnapshotHost) -> None:
        self._creation = creation
        self._host = host

    async def save(self, generation: int, through: LogPosition, data: bytes) -> None:
        """Replace it; durable when it returns. Raises DiskFull, StorageFailed."""
        disk, path, identity = self._place(generation)
        try:
            if await disk.free_bytes() < len(data):
                raise DiskFull(len(data), await disk.free_bytes())
            await snapshot_file.save(disk, path, identity, through, data)
        except OSError as error:
            raise self._failed("saving a snapshot", error) from error

    async def load(self, generation: int, start: Offset) -> tuple[LogPosition, bytes] | None:
        """As a log needs it that begins at `start`; see `snapshot_file.load_below`. Raises
        LogCorrupt, StorageFailed."""
        disk, path, identity = self._place(generation)
        freed = self._creation.freed_by_snapshots
        try:
            return await snapshot_file.load_below(
                disk, path, identity, start, freed_by_snapshots=freed
            )
        except OSError as error:
            raise self._failed("reading a snapshot", error) from error

    def damaged(self, start: Offset, error: LogCorrupt) -> None:
        """Tell that what lies below `start` is not here."""
        self._host.segment_logs.resources.damage.report(
            DamagedRange(
                self._creation.group_id,
                Offset(0),
                start,
                error.where,
                error.detail,
                of_snapshot=True,
            )
        )

    def replaced(self) -> None:
        """Tell that another one is in its place: saved, or come with a copy of the log."""
        self._host.segment_logs.resources.damage.close(
            self._creation.group_id, Offset(0), mended=True, of_snapshot=True
        )

    def _place(self, generation: int) -> tuple[Disk, str, SegmentIdentity]:
        logs = self._host.segment_logs
        path = snapshot_path(self._creation.group_id, generation)
        return logs.disk, path, logs.identity(self._creation)

    def _failed(self, doing: str, error: OSError) -> StorageFailed:
        failure = StorageFailed(doing, str(error))
        self._host.fail(failure)
        return failure
