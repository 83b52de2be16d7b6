"""What readers got: what was sent, once it was committed, and the same as everybody else.

Precommitted reads: Jepsen means a transaction that reads what it wrote itself. Without
transactions, a record is read too early when its send had not even begun, or when it is gone
later: it was shown before a majority had it.
"""

from __future__ import annotations

from jepsen_like.checkers.evidence import Evidence, lines
from jepsen_like.checkers.history import Operation, Violation


def inconsistent_offsets(evidence: Evidence) -> list[Violation]:
    """Two readers, or a reader and an acknowledgement, disagree on what an offset holds."""
    violations = []
    held: dict[tuple[int, int], tuple[str, str, Operation]] = {}

    def look(offset: int, value: str, who: str, told: Operation) -> None:
        known = held.setdefault((told.partition, offset), (value, who, told))
        if known[0] != value:
            violations.append(
                Violation(
                    "inconsistent_offsets",
                    f"offset {offset} of partition {told.partition} holds {known[0]} for {known[1]}"
                    f" and {value} for {who}",
                    lines(known[2], told),
                )
            )

    for send in evidence.acknowledged:
        if send.offset >= 0 and send.ended is not None:
            who = f"the producer of operation {send.invoked.op}"
            look(send.offset, send.invoked.value, who, send.ended)
    for operation in evidence.reads:
        for offset, value in operation.records:
            look(offset, value, f"operation {operation.op}", operation)
    return violations


def aborted_reads(evidence: Evidence) -> list[Violation]:
    """A record was read whose sender was told that it is not stored and never will be."""
    violations = []
    for operation in evidence.reads:
        for offset, value in operation.records:
            send = evidence.by_value.get(value)
            if send is not None and send.refused and send.ended is not None:
                violations.append(
                    Violation(
                        "aborted_reads",
                        f"{value} at {_place(operation, offset)} was refused with"
                        f" {send.ended.error!r}",
                        (*send.lines, *lines(operation)),
                    )
                )
    return violations


def phantom_reads(evidence: Evidence) -> list[Violation]:
    """A record was read that nobody ever sent to that partition."""
    violations = []
    for operation in evidence.reads:
        for offset, value in operation.records:
            send = evidence.by_value.get(value)
            if send is None or send.invoked.partition != operation.partition:
                violations.append(
                    Violation(
                        "phantom_reads",
                        f"{value} at {_place(operation, offset)} was never sent there",
                        lines(operation),
                    )
                )
    return violations


def precommitted_reads(evidence: Evidence) -> list[Violation]:
    """A record was read before its send was called, or is gone from the final log."""
    violations = []
    for operation in evidence.reads:
        log = evidence.log(operation.partition)
        drain = None if log is None else log.drain
        final = drain is not None and operation.index < evidence.began(drain)
        for offset, value in operation.records:
            send = evidence.by_value.get(value)
            if send is not None and operation.index < send.invoked.index:
                violations.append(
                    Violation(
                        "precommitted_reads",
                        f"{value} was read at {_place(operation, offset)} before it was sent"
                        f" (operation {send.invoked.op})",
                        lines(operation, send.invoked),
                    )
                )
            elif (
                final
                and log is not None
                and drain is not None
                and offset >= log.start
                and log.at(offset) is None
            ):
                violations.append(
                    Violation(
                        "precommitted_reads",
                        f"{value} was read at {_place(operation, offset)}, where the final log"
                        f" (read up to offset {log.end}) has nothing",
                        lines(operation, drain),
                    )
                )
    return violations


def _place(operation: Operation, offset: int) -> str:
    return f"offset {offset} of partition {operation.partition} (operation {operation.op})"
