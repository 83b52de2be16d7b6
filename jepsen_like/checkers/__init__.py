"""What must hold of a recorded history, as pure functions.

A history is a list of `history.Operation`, kept as JSON lines. Every checker takes it and returns
the violations it found; `check` runs them all. The names follow Jepsen's Kafka test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jepsen_like.checkers.history import Operation, Violation
from jepsen_like.checkers.reads import inconsistent_offsets, nonmonotonic_polls, skipped_records
from jepsen_like.checkers.replicas import divergent_replicas
from jepsen_like.checkers.writes import (
    duplicates,
    lost_writes,
    phantom_reads,
    reordered_writes,
    unseen_writes,
)

Checker = Callable[[Sequence[Operation]], list[Violation]]

CHECKERS: tuple[Checker, ...] = (
    lost_writes,
    unseen_writes,
    duplicates,
    phantom_reads,
    reordered_writes,
    inconsistent_offsets,
    nonmonotonic_polls,
    skipped_records,
    divergent_replicas,
)


def check(history: Sequence[Operation]) -> list[Violation]:
    """All violations of all checkers."""
    return [violation for checker in CHECKERS for violation in checker(history)]
