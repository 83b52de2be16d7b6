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
        shown = [*share.told, *(w.began for w in share.acknowledged if w.began.grant)]
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
    """A commit counted although the partition had been granted anew before it was sent."""
    return [found for share in evidence.shares for found in _stale_commits(share)]


def _stale_commits(share: Share) -> list[Violation]:
    violations = []
    grants = iter(share.grants)
    following = next(grants, None)
    newest: Operation | None = None
    for write in share.acknowledged:
        commit = write.began
        while following is not None and following.index < commit.index:
            if newest is None or following.grant > newest.grant:
                newest = following
            following = next(grants, None)
        if newest is None:
            continue
        fenced = newest.grant > commit.epoch
        if newest.member != commit.member:
            fenced = fenced or commit.grant < newest.grant
        if fenced:
            assert write.ended is not None
            violations.append(
                Violation(
                    "stale_commits",
                    f"{commit.member} committed {commit.offset} of partition {share.partition} of"
                    f" group {share.group} under epoch {commit.epoch} (granted at {commit.grant}),"
                    f" although {newest.member} had been told of a grant at {newest.grant}",
                    lines(newest, commit, write.ended),
                )
            )
    return violations


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
