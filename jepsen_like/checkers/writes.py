"""What became of writes: none lost, none out of reach, none doubled."""

from __future__ import annotations

from collections.abc import Iterator

from jepsen_like.checkers.evidence import Evidence, FinalLog, Send, lines
from jepsen_like.checkers.history import Operation, Violation


def lost_writes(evidence: Evidence) -> list[Violation]:
    """An acknowledged record is missing although readers got past its offset."""
    violations = []
    for send, log in _missing(evidence):
        if log is not None and _was_passed(send, log):
            how_far = f"the log was read up to offset {log.end} without it"
            violations.append(_absence("lost_writes", send, log, how_far))
    return violations


def unseen_writes(evidence: Evidence) -> list[Violation]:
    """An acknowledged record lies where the final drain did not get to, or in a partition that
    nobody read to its end."""
    violations = []
    for send, log in _missing(evidence):
        if log is None:
            violations.append(_absence("unseen_writes", send, log, "nobody read the partition"))
        elif not _was_passed(send, log):
            how_far = f"reading ended at offset {log.end}"
            violations.append(_absence("unseen_writes", send, log, how_far))
    return violations


def _missing(evidence: Evidence) -> Iterator[tuple[Send, FinalLog | None]]:
    """Acknowledged records that the final log has not, without those before its start."""
    for send in evidence.acknowledged:
        log = evidence.log(send.invoked.partition)
        if log is None:
            yield send, None
        elif log.offset_of(send.invoked.value) < 0 and not _may_be_gone(send, log):
            yield send, log


def _may_be_gone(send: Send, log: FinalLog) -> bool:
    """The record was stored before the log's start, or, when its place is unknown, maybe so."""
    if send.offset >= 0:
        return send.offset < log.start
    return log.drain is not None and log.start > 0


def _was_passed(send: Send, log: FinalLog) -> bool:
    """Readers must have met the record; of one whose place is unknown only a drain tells."""
    if send.offset >= 0:
        return send.offset < log.end
    return log.drain is not None


def _absence(checker: str, send: Send, log: FinalLog | None, how_far: str) -> Violation:
    where = f"at offset {send.offset}" if send.offset >= 0 else "at an untold place"
    drain = () if log is None or log.drain is None else lines(log.drain)
    return Violation(
        checker,
        f"{send.invoked.value} was acknowledged {where} of partition {send.invoked.partition}"
        f" (operation {send.invoked.op}), but {how_far}",
        (*send.lines, *drain),
    )


def duplicates(evidence: Evidence) -> list[Violation]:
    """A record of an idempotent producer was acknowledged or read at more than one place."""
    places: dict[str, dict[tuple[int, int], Operation]] = {}
    for send in evidence.sends:
        if send.invoked.idempotent:
            found = places.setdefault(send.invoked.value, {})
            if send.offset >= 0 and send.ended is not None:
                found[send.invoked.partition, send.offset] = send.ended
    for operation in evidence.reads:
        for offset, value in operation.records:
            if value in places:
                places[value].setdefault((operation.partition, offset), operation)
    violations = []
    for value, found in places.items():
        if len(found) > 1:
            where = " and ".join(f"offset {offset} of partition {p}" for p, offset in sorted(found))
            violations.append(
                Violation("duplicates", f"{value} is at {where}", lines(*found.values()))
            )
    return violations
