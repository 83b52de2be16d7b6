"""Where the logs of a node's groups lie, and how they are made and opened.

    groups/<group id, 16 hex digits>/<generation, 8 hex digits>/             segments
    groups/<group id, 16 hex digits>/<generation, 8 hex digits>.snapshot     of a state machine
    groups/<group id, 16 hex digits>/<generation, 8 hex digits>.installing/  a copy on its way

Generation 1 is the log that began here; each whole copy that is installed takes the next number.
Which generation counts is said by the journal and the checkpoint, never by what lies there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from replication.errors import LogCorrupt
from replication.ports import Disk
from replication.types import GroupCreation, GroupId, LogPosition, Offset, Term
from streamlog.storage.entry_codec import BatchEntryCodec, topic_identity
from streamlog.storage.interfaces import SegmentCheckpoint
from streamlog.storage.sealed_file import DamagedFile
from streamlog.storage.segments.segment_file import (
    SEGMENT,
    SegmentIdentity,
    file_name,
    parse_file_name,
)
from streamlog.storage.segments.segment_log import EMPTY_LOG, GroupSegmentLog
from streamlog.storage.segments.segment_resources import SegmentResources, SegmentSettings
from streamlog.storage.segments.segment_scan import scan_segment

GROUPS_DIRECTORY: Final = "groups"
_INSTALLING: Final = ".installing"


@dataclass(frozen=True, slots=True)
class SegmentLogs:
    """Makes and opens segment logs."""

    resources: SegmentResources
    cluster_id: int
    codec: BatchEntryCodec
    settings_of: Callable[[GroupCreation], SegmentSettings]
    """Called at every append: a look-up."""

    @property
    def disk(self) -> Disk:
        """The node's disk."""
        return self.resources.disk

    def identity(self, creation: GroupCreation) -> SegmentIdentity:
        """What every segment file of the group says of itself."""
        return SegmentIdentity(
            self.cluster_id, topic_identity(creation), creation.partition, creation.group_id
        )

    async def create(
        self,
        creation: GroupCreation,
        directory: str,
        *,
        start: LogPosition = EMPTY_LOG,
        log_state: bytes | None = None,
    ) -> GroupSegmentLog:
        """An empty log; see GroupSegmentLog.create."""
        return await GroupSegmentLog.create(
            self.resources,
            directory,
            self.identity(creation),
            partial(self.settings_of, creation),
            start=start,
            log_state=log_state,
        )

    async def open(
        self,
        creation: GroupCreation,
        directory: str,
        *,
        start: LogPosition,
        checkpoint: SegmentCheckpoint,
    ) -> GroupSegmentLog:
        """A log as far as it is durable; see GroupSegmentLog.open."""
        return await GroupSegmentLog.open(
            self.resources,
            directory,
            self.identity(creation),
            partial(self.settings_of, creation),
            start=start,
            checkpoint=checkpoint,
        )

    async def checkpoint_below(
        self,
        creation: GroupCreation,
        directory: str,
        durable: SegmentCheckpoint,
        end: Offset,
        starts: Sequence[LogPosition],
    ) -> SegmentCheckpoint:
        """The place of `end`, an entry's boundary below `durable`: reads the segment that holds
        it, unless it is one of `starts`. Raises LogCorrupt, OSError."""
        for start in starts:
            # Nothing above the start: its last segment may be gone with what lies below.
            if end == start.end:
                return SegmentCheckpoint(start, end, 0)
        if end >= durable.end.end:
            return durable
        names = await self.disk.list_directory(directory)
        parsed = [found for found in map(parse_file_name, names) if found is not None]
        bases = [base for base, kind in parsed if kind == SEGMENT and base < end]
        if not bases:
            raise LogCorrupt(creation.group_id, directory, f"no segment holds offset {end - 1}")
        base = max(bases)
        terms = [0]
        file = await self.disk.open(f"{directory}/{file_name(base, SEGMENT)}", writable=False)
        try:
            scanned = await scan_segment(
                file,
                self.identity(creation),
                base,
                interval=self.settings_of(creation).index_interval_bytes,
                stop_offset=end,
                visit=lambda header: terms.append(header.term),
            )
        except DamagedFile as error:
            raise LogCorrupt(creation.group_id, error.path, error.detail) from error
        finally:
            await file.close()
        return SegmentCheckpoint(LogPosition(Term(terms[-1]), end), Offset(base), scanned.position)


def group_directory(group_id: GroupId) -> str:
    """Directory of a group."""
    return f"{GROUPS_DIRECTORY}/{group_id:016x}"


def log_directory(group_id: GroupId, generation: int) -> str:
    """Directory of one copy of a group's log."""
    return f"{group_directory(group_id)}/{generation:08x}"


def staging_directory(group_id: GroupId, generation: int) -> str:
    """Directory of a copy that is on its way."""
    return log_directory(group_id, generation) + _INSTALLING


def snapshot_path(group_id: GroupId, generation: int) -> str:
    """Path of the snapshot that belongs to one copy of a group's log."""
    return log_directory(group_id, generation) + ".snapshot"


def group_of(name: str) -> GroupId | None:
    """From a name below `groups`; None for other names."""
    try:
        return GroupId(int(name, 16)) if len(name) == 16 else None
    except ValueError:
        return None


def copies_beside(names: Sequence[str], generation: int) -> list[str]:
    """Of the names in a group's directory those of other copies than `generation`: replaced ones
    and ones whose install was not finished."""
    found: list[str] = []
    for name in names:
        stem = name.removesuffix(".snapshot").removesuffix(_INSTALLING)
        try:
            other = len(stem) == 8 and int(stem, 16) != generation
        except ValueError:
            continue
        if other or name.endswith(_INSTALLING):
            found.append(name)
    return found
