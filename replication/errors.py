"""What can go wrong in replication: one tree, noun phrases, each with the values that matter.

`retriable`: the same call may succeed later, here or elsewhere.
`indefinite`: the operation may have taken effect all the same.
"""

from __future__ import annotations

from typing import ClassVar, NoReturn

from replication.types import GroupId, LogPosition, NodeId, Offset, Term


class ReplicationError(Exception):
    """Root of the tree."""

    retriable: ClassVar[bool] = False
    indefinite: ClassVar[bool] = False


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


class NotLeader(ReplicationError):
    """This replica does not lead the group; `leader` does, as far as is known."""

    retriable = True

    def __init__(self, group_id: GroupId, term: Term, leader: NodeId | None) -> None:
        self.group_id, self.term, self.leader = group_id, term, leader
        known = f"node {leader} does" if leader is not None else "no leader is known"
        super().__init__(f"this node does not lead group {group_id} in term {term}; {known}")


class LeadershipLost(ReplicationError):
    """The leader stepped down before the entry was known to be committed: it may yet be."""

    retriable = True
    indefinite = True

    def __init__(self, group_id: GroupId, term: Term) -> None:
        self.group_id, self.term = group_id, term
        super().__init__(
            f"leadership of group {group_id} in term {term} was lost before the entry committed"
        )


class UnknownGroup(ReplicationError):
    """No replica of the group is on this node."""

    retriable = True

    def __init__(self, group_id: GroupId) -> None:
        self.group_id = group_id
        super().__init__(f"no replica of group {group_id} is on this node")


class Overloaded(ReplicationError):
    """A bounded queue is full; nothing was taken."""

    retriable = True

    def __init__(self, what: str, size: int, limit: int) -> None:
        self.what, self.size, self.limit = what, size, limit
        super().__init__(f"{what} is full: {size} of at most {limit}")


class MembershipChangeRefused(ReplicationError):
    """The change is not allowed now; the reason says why."""

    retriable = True

    def __init__(self, group_id: GroupId, reason: str) -> None:
        self.group_id, self.reason = group_id, reason
        super().__init__(f"membership change of group {group_id} refused: {reason}")


class RecoveryRefused(ReplicationError):
    """A group is not forced to go on without its majority; the reason says why.

    `end` is that of the replica's log, where nothing but the other members stands against it; None
    where there is no log here that the group could go on with.
    """

    def __init__(self, group_id: GroupId, reason: str, end: LogPosition | None = None) -> None:
        self.group_id, self.reason, self.end = group_id, reason, end
        super().__init__(f"group {group_id} is not forced to go on here: {reason}")


class OffsetOutOfRange(ReplicationError):
    """The offset lies outside the log."""

    def __init__(self, offset: Offset, start: Offset, end: Offset) -> None:
        self.offset, self.start, self.end = offset, start, end
        super().__init__(f"offset {offset} is out of range: the log holds {start} to {end}")


class LeadershipTransferFailed(ReplicationError):
    """Leadership was not handed over; the reason says why."""

    retriable = True

    def __init__(self, group_id: GroupId, to: NodeId, reason: str) -> None:
        self.group_id, self.to, self.reason = group_id, to, reason
        super().__init__(f"leadership of group {group_id} was not handed to node {to}: {reason}")


class LogCorrupt(ReplicationError):
    """Bytes of a log that was durable fail their check: never served, never cut away."""

    def __init__(self, group_id: GroupId, where: str, detail: str) -> None:
        self.group_id, self.where, self.detail = group_id, where, detail
        super().__init__(f"log of group {group_id} is corrupt at {where}: {detail}")


class StorageFailed(ReplicationError):
    """The disk failed a write or an fsync: the node stops serving, and never retries."""

    def __init__(self, operation: str, cause: str) -> None:
        self.operation, self.cause = operation, cause
        super().__init__(f"{operation} failed: {cause}")


class DiskFull(ReplicationError):
    """No space is left for data; votes and deletions still go through."""

    retriable = True

    def __init__(self, needed_bytes: int, free_bytes: int) -> None:
        self.needed_bytes, self.free_bytes = needed_bytes, free_bytes
        super().__init__(
            f"disk is full: {needed_bytes} bytes needed, {free_bytes} free beside its reserve"
        )


class CommitTimedOut(ReplicationError):
    """The command was appended, but not known to be committed in time: it may yet be."""

    retriable = True
    indefinite = True

    def __init__(self, group_id: GroupId, timeout_ms: float) -> None:
        self.group_id, self.timeout_ms = group_id, timeout_ms
        super().__init__(
            f"a command to group {group_id} was not known to be committed within {timeout_ms:g} ms"
        )


class StateMachineFailed(ReplicationError):
    """The state machine of a group can not go on here: its log or snapshot is unreadable, or a
    committed record does not replay. Other replicas may serve."""

    retriable = True

    def __init__(self, group_id: GroupId, offset: Offset, cause: Exception) -> None:
        self.group_id, self.offset, self.cause = group_id, offset, cause
        super().__init__(
            f"the state machine of group {group_id} stopped at offset {offset}:"
            f" {type(cause).__name__}: {cause}"
        )
