"""What a group coordinator refuses, and why: one exception, a closed set of reasons.

A reason is a stable name that clients may test for. The message names the offending value and
what is allowed. A refusal changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NoReturn

from consumer_groups.types import TopicPartition


class Reason(Enum):
    """Stable reasons; the value says whether the same request may succeed later."""

    INVALID_GROUP_NAME = ("INVALID_GROUP_NAME", False)
    INVALID_REQUEST = ("INVALID_REQUEST", False)
    INVALID_PATTERN = ("INVALID_PATTERN", False)
    UNKNOWN_ASSIGNOR = ("UNKNOWN_ASSIGNOR", False)
    UNKNOWN_GROUP = ("UNKNOWN_GROUP", False)
    UNKNOWN_MEMBER = ("UNKNOWN_MEMBER", False)
    """It left, was expired or was replaced: drop all partitions, join with a new member id."""
    UNKNOWN_TOPIC = ("UNKNOWN_TOPIC", True)
    """The topic was deleted, or is so new that the coordinator has not heard of it."""
    UNKNOWN_PARTITION = ("UNKNOWN_PARTITION", True)
    STALE_MEMBER_EPOCH = ("STALE_MEMBER_EPOCH", False)
    """Fenced: the member does not own the partition at the epoch it claims."""
    STALE_CATALOG = ("STALE_CATALOG", True)
    """This coordinator's view of the topics is older than the group's."""
    INSTANCE_ID_IN_USE = ("INSTANCE_ID_IN_USE", True)
    """Another member with this instance id is connected."""
    GROUP_FULL = ("GROUP_FULL", True)
    GROUP_NOT_EMPTY = ("GROUP_NOT_EMPTY", True)
    GROUP_SUBSCRIBED = ("GROUP_SUBSCRIBED", True)
    """Members of the group subscribe to the topic."""
    METADATA_TOO_LARGE = ("METADATA_TOO_LARGE", False)
    OFFSET_OUT_OF_RANGE = ("OFFSET_OUT_OF_RANGE", False)
    TOO_MANY_PARTITIONS = ("TOO_MANY_PARTITIONS", False)
    TOO_MANY_TOPICS = ("TOO_MANY_TOPICS", False)
    TOO_MANY_PATTERNS = ("TOO_MANY_PATTERNS", False)
    TOO_MANY_GROUPS = ("TOO_MANY_GROUPS", True)
    TOO_MANY_COMMITS = ("TOO_MANY_COMMITS", True)

    @property
    def retriable(self) -> bool:
        """The same request may succeed later."""
        return self.value[1]


class GroupError(Exception):
    """A refusal.

    `values` are the offending value and the range by name; `partitions` are those that the refusal
    is about, where it is about some only.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        values: Mapping[str, str] | None = None,
        partitions: tuple[TopicPartition, ...] = (),
    ) -> None:
        self.reason = reason
        self.values = dict(values or {})
        self.partitions = partitions
        super().__init__(message)

    @property
    def retriable(self) -> bool:
        """The same request may succeed later."""
        return self.reason.retriable

    def __str__(self) -> str:
        return f"{self.reason.name}: {super().__str__()}"


class InvariantViolation(AssertionError):
    """A programmer's error: something that can not be true is. Survives `python -O`."""


def invariant(condition: object, message: str, **values: object) -> None:
    """Raise InvariantViolation with the values unless the condition holds."""
    if not condition:
        violate(message, **values)


def violate(message: str, **values: object) -> NoReturn:
    """Raise InvariantViolation with the values."""
    detail = ", ".join(f"{name}={value!r}" for name, value in values.items())
    raise InvariantViolation(f"{message} ({detail})" if detail else message)
