"""What a consumer sees as it goes: one log, forwards, without a gap.

Internal: within the records of one poll. External: from one poll of a process to its next one, and
from an assignment to the poll that follows. What must not be skipped is what the final log has; a
consumer that was never assigned may begin anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from jepsen_like.checkers.evidence import Evidence, lines
from jepsen_like.checkers.history import Operation, Violation


@dataclass(frozen=True, slots=True)
class _Step:
    """A poll with records, and where its process stood before it."""

    poll: Operation
    position: int
    """The next offset that the process waited for."""
    told_by: Operation
    """The poll or the assignment that said so."""


def internal_poll_skips(evidence: Evidence) -> list[Violation]:
    """One poll went past a record that the final log has."""
    violations = []
    for poll in evidence.polls:
        for (before, _), (offset, _) in pairwise(poll.records):
            missed = _missed(evidence, poll.partition, before + 1, offset)
            if missed is not None:
                violations.append(
                    Violation(
                        "internal_poll_skips",
                        f"one poll of {poll.process} went from offset {before} of partition"
                        f" {poll.partition} to {offset} and missed {missed} (operation {poll.op})",
                        lines(poll),
                    )
                )
    return violations


def external_poll_skips(evidence: Evidence) -> list[Violation]:
    """A consumer's poll began after a record that the final log has and that it had not got."""
    violations = []
    for step in _steps(evidence):
        poll = step.poll
        offset = poll.records[0][0]
        missed = _missed(evidence, poll.partition, step.position, offset)
        if missed is not None:
            violations.append(
                Violation(
                    "external_poll_skips",
                    f"{poll.process} waited for offset {step.position} of partition"
                    f" {poll.partition}, got {offset} and missed {missed} (operation {poll.op})",
                    lines(step.told_by, poll),
                )
            )
    return violations


def internal_nonmonotonic_polls(evidence: Evidence) -> list[Violation]:
    """One poll, or the drain, brought an offset at or below one that it had brought."""
    violations = []
    for read in evidence.reads:
        for (before, _), (offset, value) in pairwise(read.records):
            if offset <= before:
                violations.append(
                    Violation(
                        "internal_nonmonotonic_polls",
                        f"{read.process} got {value} at offset {offset} of partition"
                        f" {read.partition} after offset {before} (operation {read.op})",
                        lines(read),
                    )
                )
    return violations


def external_nonmonotonic_polls(evidence: Evidence) -> list[Violation]:
    """A consumer's poll began below what it had got before, without having been moved."""
    violations = []
    for step in _steps(evidence):
        poll = step.poll
        offset, value = poll.records[0]
        if offset < step.position:
            violations.append(
                Violation(
                    "external_nonmonotonic_polls",
                    f"{poll.process} got {value} at offset {offset} of partition {poll.partition}"
                    f" (operation {poll.op}) when {step.position} was the least that could come",
                    lines(step.told_by, poll),
                )
            )
    return violations


def _steps(evidence: Evidence) -> Iterator[_Step]:
    """Every poll with records of which is known where its process stood."""
    stands: dict[tuple[str, int], tuple[int, Operation]] = {}
    for operation in sorted([*evidence.assignments, *evidence.polls], key=lambda o: o.index):
        key = (operation.process, operation.partition)
        if operation.what == "assign":
            if operation.offset >= 0:
                stands[key] = (operation.offset, operation)
            else:
                stands.pop(key, None)
        elif operation.records:
            if key in stands:
                yield _Step(operation, *stands[key])
            highest = max(offset for offset, _ in operation.records)
            stands[key] = (highest + 1, operation)


def _missed(evidence: Evidence, partition: int, start: int, end: int) -> int | None:
    """The first offset of [start, end) that the final log has."""
    log = evidence.log(partition)
    known = None if log is None else log.next_from(start)
    return known if known is not None and known < end else None
