"""What an application says of its part in a group, and what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from streamlog.client.errors import ClientError
from streamlog.client.records import TopicPartition

SESSION_TIMEOUT_MS: Final = 45_000
REBALANCE_TIMEOUT_MS: Final = 60_000
"""What 0 stands for, by the protocol."""
AUTO_COMMIT_MS_MAX: Final = 3_600_000

OnPartitions = Callable[[list[TopicPartition]], Awaitable[None] | None]
"""Told which partitions came or went."""


class OffsetAndMetadata(NamedTuple):
    """A position to commit, or one that is committed: the next record to read, and a note."""

    offset: int
    metadata: str = ""


OnCommit = Callable[[ClientError | None, dict[TopicPartition, OffsetAndMetadata]], None]
"""Told how a commit ended: None, or why not; and what was to be committed."""


@dataclass(frozen=True, slots=True)
class MembershipView:
    """A member as it sees itself."""

    member_id: str
    epoch: int
    """0: it has joined no group yet."""
    assigned: tuple[TopicPartition, ...]
    """To read; without those that it is giving up."""
    phase: Literal["joining", "stable", "revoking", "fenced"]
    """fenced: no heartbeat was confirmed for the session timeout; nothing is handed out."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Topics by name, and by pattern."""

    topics: tuple[str, ...] = ()
    pattern: str = ""

    def __bool__(self) -> bool:
        return bool(self.topics or self.pattern)


def subscription(topics: Sequence[str] | None, pattern: str) -> Subscription:
    """Each topic once. Raises TypeError for one string in place of a list."""
    if isinstance(topics, str):
        raise TypeError(f"topics is the string {topics!r}; give a list of names")
    return Subscription(tuple(sorted(set(topics or ()))), pattern)


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """How a consumer takes part in a group; times in milliseconds. Raises ValueError."""

    group: str
    subscription: Subscription = field(default_factory=Subscription)
    instance_id: str = ""
    assignor: str = ""
    session_timeout_ms: int = 0
    rebalance_timeout_ms: int = 0
    auto_commit_ms: int | None = 5_000
    on_assigned: OnPartitions | None = None
    on_revoked: OnPartitions | None = None
    on_lost: OnPartitions | None = None
    client_id: str = ""

    def __post_init__(self) -> None:
        if not self.group:
            raise ValueError("group is empty; name one, or leave it out to read by assignment")
        _check("session_timeout_ms", self.session_timeout_ms, 1_000, 1_800_000)
        _check("rebalance_timeout_ms", self.rebalance_timeout_ms, 1_000, 3_600_000)
        if self.auto_commit_ms is not None and not 1 <= self.auto_commit_ms <= AUTO_COMMIT_MS_MAX:
            raise ValueError(
                f"auto_commit_ms is {self.auto_commit_ms}; allowed are None and 1 to"
                f" {AUTO_COMMIT_MS_MAX}"
            )


def _check(name: str, value: int, low: int, high: int) -> None:
    if value and not low <= value <= high:
        raise ValueError(f"{name} is {value}; allowed are 0 and {low} to {high}")
