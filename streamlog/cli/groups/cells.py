"""Groups as rows: for tables, for JSON and for CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from streamlog.cli.output import counted, table

if TYPE_CHECKING:
    from streamlog.client import GroupDescription, GroupMember, GroupPartitionLag, TopicPartition

CSV_COLUMNS: Final = (
    *("topic", "partition", "offset", "start", "end", "lag_records", "lag_seconds", "member"),
)
PARTITIONS_NAMED_MAX: Final = 8
"""Of one topic, in one cell."""


def time_text(unix_ms: int) -> str:
    """ISO 8601 in UTC, to the second; empty for 0."""
    if not unix_ms:
        return ""
    return datetime.fromtimestamp(unix_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span_text(span_ms: float | None) -> str | None:
    """How long something lasts, for people: 850 ms, 12.3 s, 4 min, 2.5 h, 3.1 d."""
    if span_ms is None:
        return None
    for limit_ms, unit_ms, unit, digits in (
        (1_000, 1, "ms", 0),
        (60_000, 1_000, "s", 1),
        (3_600_000, 60_000, "min", 1),
        (172_800_000, 3_600_000, "h", 1),
    ):
        if span_ms < limit_ms:
            return f"{span_ms / unit_ms:.{digits}f} {unit}"
    return f"{span_ms / 86_400_000:.1f} d"


def lag_text(seconds: float | None) -> str | None:
    """A lag for people; 0 is none."""
    if seconds is None:
        return None
    return "0" if seconds == 0 else span_text(seconds * 1_000)


def partitions_text(pairs: Iterable[TopicPartition]) -> str | None:
    """orders:0,1,2 late:0; None when there are none."""
    by_topic: dict[str, list[int]] = {}
    for pair in pairs:
        by_topic.setdefault(pair.topic, []).append(pair.partition)
    texts = []
    for topic, numbers in by_topic.items():
        shown = ",".join(map(str, numbers[:PARTITIONS_NAMED_MAX]))
        more = len(numbers) - PARTITIONS_NAMED_MAX
        texts.append(f"{topic}:{shown}" + (f"+{more}" if more > 0 else ""))
    return " ".join(texts) or None


def names_of(pairs: Iterable[TopicPartition]) -> list[str]:
    """For programs: "orders/0"."""
    return [f"{pair.topic}/{pair.partition}" for pair in pairs]


def as_json(group: GroupDescription) -> dict[str, Any]:
    """A description for programs; what `group reset --from-file` reads."""
    return {
        "group": group.name,
        "phase": group.phase.value,
        "epoch": group.epoch,
        "assignor": group.assignor,
        "coordinator": group.coordinator_node_id,
        "lag_records": group.lag_records,
        "lag_seconds": group.lag_seconds,
        "empty_since_ms": group.empty_since_ms,
        "members": [_member_json(member) for member in group.members],
        "partitions": [partition_json(each) for each in group.partitions],
        "unowned": names_of(group.unowned),
        "findings": [
            {
                "kind": each.kind,
                "member": each.member_id or None,
                "partition": None if each.partition is None else names_of([each.partition])[0],
                "for_ms": each.for_ms,
                "detail": each.detail,
            }
            for each in group.findings
        ],
        "rebalances": [
            {
                "epoch": each.epoch,
                "cause": each.cause,
                "at_ms": each.at_ms,
                "member": each.member_id or None,
                "detail": each.detail,
            }
            for each in group.rebalances
        ],
    }


def _member_json(member: GroupMember) -> dict[str, Any]:
    return {
        "member": member.member_id,
        "instance": member.instance_id or None,
        "client": member.client_id or None,
        "host": member.client_host or None,
        "phase": member.phase.value,
        "epoch": member.epoch,
        "connected": member.connected,
        "joined_at_ms": member.joined_at_ms,
        "silent_ms": member.silent_ms,
        "idle_ms": member.idle_ms,
        "topics": list(member.topics),
        "pattern": member.pattern or None,
        "missing_topics": list(member.missing_topics),
        "assigned": names_of(member.assigned),
        "revoking": names_of(member.revoking),
        "target": names_of(member.target),
        "session_timeout_ms": member.session_timeout_ms,
        "rebalance_timeout_ms": member.rebalance_timeout_ms,
    }


def partition_json(each: GroupPartitionLag) -> dict[str, Any]:
    """A partition for programs."""
    committed = each.committed
    return {
        "topic": each.topic,
        "partition": each.partition,
        "member": each.member_id or None,
        "offset": None if committed is None else committed.offset,
        "start": each.start_offset,
        "end": each.end_offset,
        "lag_records": each.lag_records,
        "lag_seconds": each.lag_seconds,
        "committed_at_ms": None if committed is None else committed.committed_at_ms,
        "metadata": "" if committed is None else committed.metadata,
    }


def as_csv(group: GroupDescription) -> str:
    """A line for each partition, with a header; what `group reset --from-file` reads."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(partition_json(each) for each in group.partitions)
    return text.getvalue()


def headline(group: GroupDescription) -> str:
    """One or two lines that say how it is."""
    first = f"{group.name}: {group.phase.value}, {counted(len(group.members), 'member')}"
    if group.assignor:
        first += f", assignor {group.assignor}"
    first += f", epoch {group.epoch}, coordinated by node {group.coordinator_node_id}"
    if group.empty_since_ms:
        first += f", empty since {time_text(group.empty_since_ms)}"
    return f"{first}\n{lag_line(group)}"


def lag_line(group: GroupDescription) -> str:
    """The lag of the whole group."""
    if group.lag_records is None:
        return "lag: not known" if group.partitions else "lag: it has read nothing"
    unread = counted(group.lag_records, "record")
    unknown = sum(each.lag_records is None for each in group.partitions)
    more = f", {counted(unknown, 'partition')} not known" if unknown else ""
    age = lag_text(group.lag_seconds)
    return (
        f"lag: {unread}, the oldest unread for {age}{more}"
        if group.lag_records
        else (f"lag: none{more}")
    )


def member_rows(members: Sequence[GroupMember]) -> list[dict[str, Any]]:
    """For people."""
    return [
        {
            "member": member.member_id,
            "instance": member.instance_id or None,
            "client": member.client_id or None,
            "host": member.client_host or None,
            "phase": member.phase.value,
            "connected": member.connected,
            "heard": span_text(member.silent_ms),
            "idle": span_text(member.idle_ms) if member.assigned else None,
            "owns": partitions_text(member.assigned),
            "gives_up": partitions_text(member.revoking),
        }
        for member in members
    ]


def partition_rows(partitions: Sequence[GroupPartitionLag]) -> list[dict[str, Any]]:
    """For people."""
    return [
        {
            "topic": each.topic,
            "partition": each.partition,
            "member": each.member_id or None,
            "position": None if each.committed is None else each.committed.offset,
            "start": each.start_offset,
            "end": each.end_offset,
            "lag": each.lag_records,
            "lag_time": lag_text(each.lag_seconds),
            "committed": None
            if each.committed is None
            else time_text(each.committed.committed_at_ms),
        }
        for each in partitions
    ]


def as_text(group: GroupDescription) -> str:
    """All of it for people."""
    parts = [headline(group)]
    if group.findings:
        parts.append("\n".join(finding_lines(group)))
    if group.members:
        parts.append(table(member_rows(group.members)))
    if group.partitions:
        parts.append(table(partition_rows(group.partitions)))
    if group.rebalances:
        parts.append(
            table(
                [
                    {
                        "rebalance": time_text(each.at_ms),
                        "epoch": each.epoch,
                        "cause": each.cause,
                        "member": each.member_id or None,
                        "detail": each.detail or None,
                    }
                    for each in reversed(group.rebalances)
                ]
            )
        )
    return "\n\n".join(parts)


def finding_lines(group: GroupDescription) -> list[str]:
    """What does not look right, a line each."""
    lines = []
    for each in group.findings:
        whom = f"{each.member_id} " if each.member_id else ""
        lasting = f" for {span_text(each.for_ms)}" if each.for_ms else ""
        lines.append(f"! {each.kind}: {whom}{each.detail}{lasting}")
    return lines
