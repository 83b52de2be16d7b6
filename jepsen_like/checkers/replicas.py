"""Replicas hold the same log once the cluster has healed and settled."""

from __future__ import annotations

from jepsen_like.checkers.evidence import Evidence, lines
from jepsen_like.checkers.history import Operation, Violation


def divergent_replicas(evidence: Evidence) -> list[Violation]:
    """Two replicas of a partition differ at an offset, or in where their logs end."""
    violations = []
    first: dict[int, Operation] = {}
    for operation in evidence.replicas:
        other = first.setdefault(operation.partition, operation)
        if other is operation:
            continue
        where = f"nodes {other.node} and {operation.node} of partition {operation.partition}"
        shown = lines(other, operation)
        if other.end != operation.end:
            violations.append(
                Violation(
                    "divergent_replicas", f"{where} end at {other.end} and {operation.end}", shown
                )
            )
        mine, theirs = dict(operation.records), dict(other.records)
        start = max(min(mine, default=0), min(theirs, default=0))
        for offset in sorted({*mine, *theirs}):
            if offset >= start and mine.get(offset) != theirs.get(offset):
                violations.append(
                    Violation(
                        "divergent_replicas",
                        f"{where} hold {theirs.get(offset)} and {mine.get(offset)} at offset"
                        f" {offset}",
                        shown,
                    )
                )
                break
    return violations
