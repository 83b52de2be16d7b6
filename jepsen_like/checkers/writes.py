"""What became of writes: none lost, doubled, invented or reordered."""

from __future__ import annotations

from collections.abc import Sequence

from jepsen_like.checkers.history import Operation, Send, Violation, drained, sends


def lost_writes(history: Sequence[Operation]) -> list[Violation]:
    """An acknowledged record is missing although the drain got past its offset."""
    return _missing(history, "lost_writes", past_the_end=False)


def unseen_writes(history: Sequence[Operation]) -> list[Violation]:
    """An acknowledged record lies where the final drain did not get to, or in a partition that
    was not drained."""
    return _missing(history, "unseen_writes", past_the_end=True)


def _missing(history: Sequence[Operation], checker: str, *, past_the_end: bool) -> list[Violation]:
    drains = drained(history)
    present = {p: {value for _, value in records} for p, records in drains.items()}
    last = {p: max((offset for offset, _ in records), default=-1) for p, records in drains.items()}
    violations = []
    for send in sends(history):
        if not send.acknowledged:
            continue
        assert send.ended is not None
        partition, value, offset = send.invoked.partition, send.invoked.value, send.ended.offset
        if value in present.get(partition, ()):
            continue
        if (offset > last.get(partition, -1)) == past_the_end:
            violations.append(
                Violation(
                    checker,
                    f"{value} was acknowledged at offset {offset} of partition {partition} by"
                    f" operation {send.invoked.op}, but the drain up to offset"
                    f" {last.get(partition, -1)} does not have it",
                )
            )
    return violations


def duplicates(history: Sequence[Operation]) -> list[Violation]:
    """A record of an idempotent producer is in the log more than once."""
    idempotent = {s.invoked.value for s in sends(history) if s.invoked.idempotent}
    violations = []
    seen: dict[str, tuple[int, int]] = {}
    for partition, records in drained(history).items():
        for offset, value in records:
            if value in seen and value in idempotent:
                violations.append(
                    Violation(
                        "duplicates",
                        f"{value} is at offset {seen[value][1]} of partition {seen[value][0]} and"
                        f" at offset {offset} of partition {partition}",
                    )
                )
            seen.setdefault(value, (partition, offset))
    return violations


def phantom_reads(history: Sequence[Operation]) -> list[Violation]:
    """A record was read that nobody sent there, or whose sender was told that it is not stored."""
    by_value = {s.invoked.value: s for s in sends(history)}
    violations = []
    for operation in history:
        if operation.what not in {"poll", "drain"} or operation.kind != "ok":
            continue
        for offset, value in operation.records:
            place = f"offset {offset} of partition {operation.partition}"
            send = by_value.get(value)
            if send is None or send.invoked.partition != operation.partition:
                violations.append(
                    Violation("phantom_reads", f"{value} at {place} was never sent there")
                )
            elif send.refused:
                assert send.ended is not None
                violations.append(
                    Violation(
                        "phantom_reads",
                        f"{value} at {place} was refused with {send.ended.error!r}",
                    )
                )
    return violations


def reordered_writes(history: Sequence[Operation]) -> list[Violation]:
    """Idempotent producers: records are in the log in the order of the calls. All producers: a
    send that was acknowledged before another one was called lies before it."""
    violations = []
    by_producer: dict[tuple[str, int], list[Send]] = {}
    by_value = {s.invoked.value: s for s in sends(history)}
    for send in by_value.values():
        key = (send.invoked.process, send.invoked.partition)
        by_producer.setdefault(key, []).append(send)
    for partition, records in drained(history).items():
        newest: dict[str, tuple[int, str]] = {}
        for _, value in records:
            found = by_value.get(value)
            if found is None or not found.invoked.idempotent:
                continue
            invoked = found.invoked
            before = newest.get(invoked.process)
            if before is not None and invoked.number < before[0]:
                violations.append(
                    Violation(
                        "reordered_writes",
                        f"{value} (number {invoked.number} of {invoked.process}) comes after"
                        f" {before[1]} (number {before[0]}) in partition {partition}",
                    )
                )
            newest[invoked.process] = max(before or (-1, ""), (invoked.number, value))
    for group in by_producer.values():
        violations.extend(_against_real_time(group))
    return violations


def _against_real_time(group: Sequence[Send]) -> list[Violation]:
    """Of one producer and partition, in the order of the calls."""
    violations = []
    acknowledged = sorted(
        (s for s in group if s.acknowledged), key=lambda s: s.ended.index if s.ended else 0
    )
    position, highest, highest_value = 0, -1, ""
    for send in group:
        while position < len(acknowledged):
            ended = acknowledged[position].ended
            assert ended is not None
            if ended.index > send.invoked.index:
                break
            if ended.offset > highest:
                highest, highest_value = ended.offset, acknowledged[position].invoked.value
            position += 1
        if send.acknowledged:
            assert send.ended is not None
            if 0 <= send.ended.offset <= highest:
                violations.append(
                    Violation(
                        "reordered_writes",
                        f"{send.invoked.value} was sent after {highest_value} was acknowledged at"
                        f" offset {highest}, but was stored at {send.ended.offset}",
                    )
                )
    return violations
