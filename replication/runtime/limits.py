"""Bounds of the runtime."""

from __future__ import annotations

from dataclasses import dataclass

ENTRY_RECORDS_MAX = 16_384
"""Records that one entry holds at most (`EntryDraft.span`)."""


@dataclass(frozen=True, slots=True)
class RuntimeLimits:
    """Sizes in bytes, counts in pieces; all at least 1."""

    queued_commands: int = 10_000
    """Commands that wait to be decided; more are refused as Overloaded."""
    parked_batches: int = 1_000
    """Batches whose commit is awaited; while there are so many, commands stay queued."""
    batch_commands: int = 1_000
    """Commands decided at one go."""
    batch_bytes: int = 1 << 20
    """Records of one entry; a single command may lead to more."""
    barrier_timeout_ms: int = 30_000
    """Longest wait for a majority to confirm an answer that rests on no entry of its own."""
    chunk_bytes: int = 256 << 10
    """Committed entries replayed at one go."""
    snapshot_bytes: int = 8 << 20
    """Log after which a snapshot is taken."""
    snapshot_records: int = 50_000
    """Records after which a snapshot is taken."""
