"""What all segment logs of a node share: ports, settings and the node-wide bounds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from replication.ports import Clock, Disk
from streamlog.storage.damage import DamageReports
from streamlog.storage.segments.file_cache import OPEN_FILES_MAX, FileCache
from streamlog.storage.segments.log_tail import TAIL_BYTES_MAX, TailMemory
from streamlog.storage.segments.segment import Segment

INDEX_BYTES_MAX: Final = 32 * 1024 * 1024
"""Default memory of a node for the indexes of sealed segments."""

SEGMENT_BYTES_DEFAULT: Final = 512 * 1024 * 1024
SEGMENT_AGE_MS_DEFAULT: Final = 7 * 24 * 3600 * 1000
INDEX_INTERVAL_BYTES_DEFAULT: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """Of one log."""

    segment_bytes: int = SEGMENT_BYTES_DEFAULT
    """Roll before a segment grows beyond, 1 KiB to 1 GiB; one batch always fits."""
    segment_age_ms: int = SEGMENT_AGE_MS_DEFAULT
    """Roll when the segment was created this long ago, by the wall clock."""
    index_interval_bytes: int = INDEX_INTERVAL_BYTES_DEFAULT
    """Longest range of an index that holds more than one frame."""


SettingsSource = Callable[[], SegmentSettings]
"""The settings of one log as they are now."""


class IndexCache:
    """Indexes of sealed segments in memory, least recently used first out."""

    def __init__(self, limit_bytes: int = INDEX_BYTES_MAX) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._sizes: OrderedDict[int, tuple[Segment, int]] = OrderedDict()

    def touch(self, segment: Segment) -> None:
        """A saved segment's index was loaded or used."""
        key = id(segment)
        if segment.index is None or not segment.index_saved:
            return
        if key in self._sizes:
            self._sizes.move_to_end(key)
            return
        size = segment.index.size_bytes
        self._sizes[key] = (segment, size)
        self.used_bytes += size
        while self.used_bytes > self.limit_bytes and len(self._sizes) > 1:
            _, (oldest, freed) = self._sizes.popitem(last=False)
            self.used_bytes -= freed
            oldest.index = None

    def forget(self, segment: Segment) -> None:
        """The segment is gone, or its index is no longer the saved one."""
        _, size = self._sizes.pop(id(segment), (segment, 0))
        self.used_bytes -= size


@dataclass(frozen=True, slots=True)
class SegmentResources:
    """Shared by all segment logs of a node."""

    disk: Disk
    clock: Clock
    files: FileCache
    tail_memory: TailMemory
    indexes: IndexCache
    damage: DamageReports

    @staticmethod
    def create(
        disk: Disk,
        clock: Clock,
        *,
        open_files_max: int = OPEN_FILES_MAX,
        tail_bytes_max: int = TAIL_BYTES_MAX,
        index_bytes_max: int = INDEX_BYTES_MAX,
    ) -> SegmentResources:
        """With the node's limits."""
        return SegmentResources(
            disk,
            clock,
            FileCache(disk, open_files_max),
            TailMemory(tail_bytes_max),
            IndexCache(index_bytes_max),
            DamageReports(),
        )
