"""Descriptions of consumer groups that no cluster had."""

from __future__ import annotations

from typing import Any

from streamlog.client import (
    CommittedOffset,
    GroupDescription,
    GroupFinding,
    GroupMember,
    GroupPartitionLag,
    GroupPhase,
    GroupRebalance,
    MemberPhase,
    TopicPartition,
)

COMMITTED_AT_MS = 1_769_817_600_000
"""2026-01-31T00:00:00Z."""


def partition(
    topic: str,
    number: int,
    *,
    offset: int | None = 5,
    end: int | None = 10,
    lag: tuple[int, float] | None = None,
    member: str = "",
) -> GroupPartitionLag:
    """`lag`: records and seconds; None: not known."""
    committed = None if offset is None else CommittedOffset(offset, 3, "note", COMMITTED_AT_MS)
    return GroupPartitionLag(
        topic,
        number,
        member,
        committed,
        None if end is None else 0,
        end,
        None if lag is None else lag[0],
        None if lag is None else lag[1],
    )


def member(name: str, *owned: TopicPartition, **changes: Any) -> GroupMember:
    values: dict[str, Any] = {
        "member_id": name,
        "instance_id": "",
        "client_id": "till",
        "client_host": "10.0.0.7",
        "phase": MemberPhase.STABLE,
        "epoch": 4,
        "joined_at_ms": COMMITTED_AT_MS,
        "connected": True,
        "silent_ms": 850,
        "idle_ms": 61_000,
        "assigned": owned,
        "revoking": (),
        "target": owned,
        "topics": ("orders",),
        "pattern": "",
        "missing_topics": (),
        "session_timeout_ms": 45_000,
        "rebalance_timeout_ms": 60_000,
    }
    return GroupMember(**(values | changes))


def described(
    *partitions: GroupPartitionLag,
    members: tuple[GroupMember, ...] = (),
    findings: tuple[GroupFinding, ...] = (),
    rebalances: tuple[GroupRebalance, ...] = (),
) -> GroupDescription:
    return GroupDescription(
        "billing",
        GroupPhase.STABLE if members else GroupPhase.EMPTY,
        4,
        "sticky" if members else "",
        2,
        7,
        members,
        partitions,
        (),
        rebalances,
        findings,
        0 if members else COMMITTED_AT_MS,
    )
