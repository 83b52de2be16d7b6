"""Sizes and bounds of a node's store, in one place; tests and the simulator shrink them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from streamlog.storage.journal.journal import JournalSettings

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How the store uses memory and disk."""

    journal: JournalSettings = field(default_factory=JournalSettings)
    direct_bytes: int = 256 << 10
    """An append of at least so many bytes goes straight to its segment file (docs/adr/0005)."""
    pending_bytes_max: int = 64 * _MIB
    """Bytes that wait for a flush; beyond, data is refused."""
    segment_write_bytes: int = 256 << 10
    """A log with so many unwritten bytes has them written to its segment file."""
    unwritten_bytes_max: int = 32 * _MIB
    """Of all logs together; beyond, the oldest unwritten logs are written, and at four times as
    much data is refused."""
    checkpoint_bytes: int = 128 * _MIB
    """Bytes journalled, or sent straight to segments, after which a checkpoint begins."""
    checkpoint_interval_ms: float = 60_000
    """A change is in a checkpoint no later than about this long after."""
    checkpoint_parallel: int = 4
    """Logs that are fsynced at the same time during a checkpoint."""
    journal_reserve_bytes: int = 64 * _MIB
    """Kept free in the journal for votes, truncations and control entries."""
    disk_reserve_bytes: int = 256 * _MIB
    """Kept free on the disk for the same, for checkpoints and for deletions."""

    @property
    def direct_bytes_effective(self) -> int:
        """As `direct_bytes`, but never more than comfortably fits into a journal file."""
        return min(self.direct_bytes, self.journal.frame_bytes_max // 4)
