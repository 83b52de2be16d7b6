"""What readers saw: one log, in order, without gaps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from jepsen_like.checkers.history import Operation, Violation, drained, sends


def inconsistent_offsets(history: Sequence[Operation]) -> list[Violation]:
    """Two readers, or a reader and an acknowledgement, disagree on what an offset holds."""
    violations = []
    held: dict[tuple[int, int], tuple[str, str]] = {}

    def look(partition: int, offset: int, value: str, who: str) -> None:
        known = held.setdefault((partition, offset), (value, who))
        if known[0] != value:
            violations.append(
                Violation(
                    "inconsistent_offsets",
                    f"offset {offset} of partition {partition} holds {known[0]} for {known[1]} and"
                    f" {value} for {who}",
                )
            )

    for send in sends(history):
        if send.acknowledged and send.ended is not None and send.ended.offset >= 0:
            who = f"the producer of operation {send.invoked.op}"
            look(send.invoked.partition, send.ended.offset, send.invoked.value, who)
    for operation in history:
        if operation.what in {"poll", "drain"} and operation.kind == "ok":
            for offset, value in operation.records:
                look(operation.partition, offset, value, f"operation {operation.op}")
    return violations


def nonmonotonic_polls(history: Sequence[Operation]) -> list[Violation]:
    """A consumer got an offset at or below one that it had, without having been moved."""
    violations = []
    next_offset: dict[tuple[str, int], int] = {}
    for operation in history:
        if operation.kind != "ok":
            continue
        key = (operation.process, operation.partition)
        if operation.what == "assign":
            next_offset[key] = operation.offset
        elif operation.what in {"poll", "drain"}:
            if operation.what == "drain":
                next_offset[key] = 0
            for offset, value in operation.records:
                if offset < next_offset.get(key, 0):
                    violations.append(
                        Violation(
                            "nonmonotonic_polls",
                            f"{operation.process} got {value} at offset {offset} of partition"
                            f" {operation.partition} (operation {operation.op}) when"
                            f" {next_offset[key]} was the least that could come",
                        )
                    )
                next_offset[key] = max(next_offset.get(key, 0), offset + 1)
    return violations


def skipped_records(history: Sequence[Operation]) -> list[Violation]:
    """A consumer went past a record that the final drain shows to have been there."""
    violations = []
    drains = drained(history)
    offsets = {p: [offset for offset, _ in records] for p, records in drains.items()}
    next_offset: dict[tuple[str, int], int] = {}
    for operation in history:
        if operation.kind != "ok" or operation.what not in {"assign", "poll"}:
            continue
        key = (operation.process, operation.partition)
        if operation.what == "assign":
            next_offset[key] = operation.offset
            continue
        known = offsets.get(operation.partition, [])
        for offset, _ in operation.records:
            expected = bisect_left(known, next_offset.get(key, 0))
            if expected < len(known) and known[expected] < offset:
                violations.append(
                    Violation(
                        "skipped_records",
                        f"{operation.process} went from offset {next_offset.get(key, 0)} of"
                        f" partition {operation.partition} to {offset} and missed"
                        f" {known[expected]} (operation {operation.op})",
                    )
                )
            next_offset[key] = offset + 1
    return violations
