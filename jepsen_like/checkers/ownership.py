"""Who owned a partition of a group, and when: by epochs, for nobody can say by the clock.

A member's interval begins at the epoch of its grant and ends at the highest epoch under which it
was told that it still owns the partition, or under which a commit of it counted.
"""

from __future__ import annotations

from jepsen_like.checkers.evidence import Evidence, lines
from jepsen_like.checkers.history import Operation, Violation
from jepsen_like.checkers.shares import Share


def overlapping_ownership(evidence: Evidence) -> list[Violation]:
    """Two members, or one under two grants, owned a partition at the same epoch."""
    violations = []
    for share in evidence.shares:
        intervals: dict[tuple[str, int], tuple[int, Operation]] = {}
        shown = [*share.told, *(w.invoked for w in share.acknowledged if w.invoked.grant)]
        for operation in shown:
            key = operation.member, operation.grant
            highest = max(operation.grant, operation.epoch)
            if key not in intervals or highest > intervals[key][0]:
                intervals[key] = highest, operation
        before: tuple[int, Operation] | None = None
        for (member, grant), (highest, operation) in sorted(
            intervals.items(), key=lambda item: (item[0][1], item[0][0])
        ):
            if before is not None and grant <= before[0]:
                other = before[1]
                violations.append(
                    Violation(
                        "overlapping_ownership",
                        f"partition {share.partition} of group {share.group}: {member} owned it"
                        f" from epoch {grant} to {highest}, and {other.member} from {other.grant}"
                        f" to {before[0]}",
                        lines(other, operation),
                    )
                )
            if before is None or highest > before[0]:
                before = highest, operation
    return violations


def stale_commits(evidence: Evidence) -> list[Violation]:
    """A commit counted although the partition had been granted anew, or its position reset, before
    it was sent."""
    return [found for share in evidence.shares for found in _stale_commits(share)]


def _stale_commits(share: Share) -> list[Violation]:
    violations = []
    grants, resets = _Newest(share.grants), _Newest(_told_resets(share))
    for write in share.acknowledged:
        commit = write.invoked
        grant, reset = grants.before(commit), resets.before(commit)
        why: Operation | None = None
        if grant is not None and (
            grant.grant > commit.epoch
            or (grant.member != commit.member and commit.grant < grant.grant)
        ):
            why, what = grant, f"{grant.member} had been told of a grant at {grant.grant}"
        elif reset is not None and 0 < commit.grant < reset.epoch:
            why, what = reset, f"its position had been reset at {reset.epoch}"
        if why is not None:
            assert write.ended is not None
            violations.append(
                Violation(
                    "stale_commits",
                    f"{commit.member} committed {commit.offset} of partition {share.partition} of"
                    f" group {share.group} under epoch {commit.epoch} (granted at {commit.grant}),"
                    f" although {what}",
                    lines(why, commit, write.ended),
                )
            )
    return violations


def _told_resets(share: Share) -> list[Operation]:
    """Those that counted, in the order in which that was told."""
    told = [w.ended for w in share.writes if w.reset_epoch and w.ended is not None]
    return sorted(told, key=lambda operation: operation.index)


def _epoch_of(operation: Operation) -> int:
    """Of a grant, or of the group after a reset."""
    return operation.grant or operation.epoch


class _Newest:
    """Of operations in the order of the lines, the one of the highest epoch so far."""

    def __init__(self, operations: list[Operation]) -> None:
        self._operations = operations
        self._next = 0
        self._newest: Operation | None = None

    def before(self, other: Operation) -> Operation | None:
        """Each time for a later one. None: there was none."""
        while self._next < len(self._operations):
            operation = self._operations[self._next]
            if operation.index > other.index:
                break
            self._next += 1
            if self._newest is None or _epoch_of(operation) >= _epoch_of(self._newest):
                self._newest = operation
        return self._newest


def late_ownership(evidence: Evidence) -> list[Violation]:
    """After everything was healed, a partition had no owner that knew it for too long."""
    violations = []
    for share in evidence.shares:
        for began, ended in share.settles:
            ok = ended is not None and ended.kind == "ok"
            taken_ms = ended.time_ms - began.time_ms if ended is not None else 0.0
            if ok and taken_ms <= began.number:
                continue
            how = f"only after {taken_ms:,.0f} ms" if ok else "never"
            violations.append(
                Violation(
                    "late_ownership",
                    f"partition {share.partition} of group {share.group} had an owner that knew it"
                    f" {how}; {began.number} ms were allowed",
                    lines(*([began] if ended is None else [began, ended])),
                )
            )
    return violations
