"""What a group committed is kept, and covers nothing that nobody was through with.

A position is read in two ways: somebody asks for it (`committed`), or a member is told it with a
grant. The first is ordered by the clock, the second by its epoch (see `shares`).
"""

from __future__ import annotations

from jepsen_like.checkers.evidence import Evidence, FinalLog, lines
from jepsen_like.checkers.history import Operation, Violation
from jepsen_like.checkers.shares import NEVER, NO_POSITION, Share, Write


def lost_commits(evidence: Evidence) -> list[Violation]:
    """A position was read that nothing explains: neither the last write that had counted, nor one
    that may have come since."""
    violations = []
    for share in evidence.shares:
        for read in sorted([*share.reads, *share.grants], key=lambda o: o.index):
            # Most reads are explained by the newest writes: look at those first.
            writes = [w for w in reversed(share.writes) if w.invoked.index < read.index]
            before = [w for w in writes if w.acknowledged and _before_read(evidence, w, read)]
            if _explained(writes, before, read):
                continue
            last = max(before, key=lambda w: w.end_index, default=None)
            told = "nothing" if read.offset == NO_POSITION else str(read.offset)
            wrote = "nothing was" if last is None else f"{last.position} was the last to be"
            violations.append(
                Violation(
                    "lost_commits",
                    f"{read.process} was told that {told} is committed for partition"
                    f" {share.partition} of group {share.group}"
                    + (f" (granted at {read.grant})" if read.what == "grant" else "")
                    + f", but {wrote} committed",
                    lines(*([read] if last is None or last.ended is None else [last.ended, read])),
                )
            )
    return violations


def _before_read(evidence: Evidence, write: Write, read: Operation) -> bool:
    """The write took effect before the read did."""
    if read.what == "committed":
        return write.end_index < evidence.began(read)
    if write.by_member:
        return write.invoked.epoch < read.grant
    return 0 < write.reset_epoch <= read.grant


def _after_read(write: Write, read: Operation) -> bool:
    if read.what == "committed":
        return False
    if write.by_member:
        return write.invoked.grant >= read.grant
    return write.reset_epoch > read.grant


def _explained(writes: list[Write], before: list[Write], read: Operation) -> bool:
    if read.offset == NO_POSITION and not before:
        return True
    return any(
        write.position == read.offset
        and not write.refused
        and not _after_read(write, read)
        and not any(other is not write and write.precedes(other) for other in before)
        for write in writes
    )


def unhandled_positions(evidence: Evidence) -> list[Violation]:
    """A position counts as committed although no member is through with all that lies below it.

    Whoever is no member, and who resets, may set any position: below it nothing is asked for.
    """
    return [
        found
        for share in evidence.shares
        for found in _unhandled(share, evidence.log(share.partition))
    ]


def _unhandled(share: Share, log: FinalLog | None) -> list[Violation]:
    events = [
        *((done.index, done, done.offset, done.end) for done in share.done),
        *(
            (write.invoked.index, write.invoked, 0, write.position)
            for write in share.writes
            if not write.by_member
        ),
        *((seen.index, seen, NO_POSITION, seen.offset) for seen in (*share.reads, *share.grants)),
        *(
            (write.ended.index, write.ended, NO_POSITION, write.position)
            for write in share.acknowledged
            if write.ended is not None
        ),
    ]
    events.sort(key=lambda event: event[0])
    violations = []
    covered = _Covered(log)
    for _, operation, start, end in events:
        if start != NO_POSITION:
            covered.add(start, end)
        elif end > covered.end:
            violations.append(
                Violation(
                    "unhandled_positions",
                    f"{end} is committed for partition {share.partition} of group {share.group}"
                    f" ({operation.what} of {operation.process}), but members are through with"
                    f" what lies below {covered.end} only",
                    lines(operation),
                )
            )
    return violations


class _Covered:
    """Ranges, of which only the end of the one that begins at 0 is of interest. Offsets without
    records need nobody: they are covered with what lies before them. So are those below the log's
    start of which nobody was told that there was a record."""

    def __init__(self, log: FinalLog | None) -> None:
        self._log = log
        self.end = self._reach(0)
        self._beyond: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> None:
        if start > self.end:
            self._beyond.append((start, end))
            return
        if end > self.end:
            self.end = self._reach(end)
        if self._beyond:
            waiting, self._beyond = sorted(self._beyond), []
            for each in waiting:
                self.add(*each)

    def _reach(self, end: int) -> int:
        if self._log is None or (end < self._log.start and self._log.drain is None):
            return end
        let_go = self._log.next_let_go(end)
        if let_go is not None:
            return let_go
        end = max(end, self._log.start)
        following = self._log.next_from(end)
        if following is None and self._log.drain is not None:
            return NEVER  # whoever read everything in the end found nothing more
        return max(end, self._log.end if following is None else following)
