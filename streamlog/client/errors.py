"""The one tree of errors that the client raises.

Every error carries what a program needs to decide: `reason` (stable name), `code` (canonical
status), `retriable` (the same call may succeed later), `indefinite` (it may have taken effect
all the same), `fatal` (the object that raised it must be closed), `metadata` (values).
Errors of a node come from two places with the same content: `streamlog.v1.Error` inside
streams, and google.rpc.Status in the trailer of a failed unary call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from streamlog.client.records import TopicPartition
from streamlog.client.transport import TransportError
from streamlog.model import status_details
from streamlog.model.errors import (
    ABORTED,
    DEADLINE_EXCEEDED,
    FAILED_PRECONDITION,
    INTERNAL,
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    Reason,
)
from streamlog.v1.error_pb2 import Error

_RETRIABLE_CODES = frozenset({UNAVAILABLE, RESOURCE_EXHAUSTED, ABORTED, DEADLINE_EXCEEDED})
CANCELLED, UNKNOWN = 1, 2


class ClientError(Exception):
    """Anything that went wrong, with its reason and what may be done about it."""

    fatal: bool = False
    """By its class, or because of where it was met."""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        code: int = UNKNOWN,
        metadata: Mapping[str, str] | None = None,
        retriable: bool = False,
        indefinite: bool = False,
        retry_after_ms: int = 0,
    ) -> None:
        self.message = message
        self.reason = reason
        self.code = code
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.retriable = retriable
        self.indefinite = indefinite
        self.retry_after_ms = retry_after_ms
        super().__init__(f"{reason}: {message}" if reason else message)


class ConnectionLost(ClientError):
    """No answer came from a node: it is down, unreachable, or the call was cut."""


class VersionNotSupported(ClientError):
    """The client and the node share no protocol version."""

    fatal = True


class TopicUnknown(ClientError):
    """No topic of this name, or no such partition in it."""


class TopicExists(ClientError):
    """A topic of this name exists already."""


class NotLeader(ClientError):
    """Another node leads the partition; the client follows by itself."""


class RecordRejected(ClientError):
    """What was sent is wrong in itself: too large, malformed, or out of a range."""


class ConditionFailed(ClientError):
    """A conditional append met another end of the partition; metadata: end_offset."""


class SequenceBroken(ClientError):
    """An earlier batch of this producer was lost, so that this one can not be placed after it.

    Not stored, unless `indefinite`. The producer goes on with a new identity.
    """


class DeliveryTimedOut(ClientError):
    """No acknowledgement within `delivery_timeout_ms`; `indefinite` once it had been sent."""


class RecordsLost(ClientError):
    """Records sent without a callback were not stored, or may not have been.

    `records` is their number, `first_error` why the first batch of them failed.
    """

    def __init__(self, records: int, first_error: ClientError) -> None:
        self.records = records
        self.first_error = first_error
        super().__init__(
            f"{records} records were not acknowledged; the first error: {first_error}",
            reason=first_error.reason,
            code=first_error.code,
            metadata=first_error.metadata,
            retriable=first_error.retriable,
            indefinite=True,
        )


class OffsetOutOfRange(ClientError):
    """The position is outside the log; metadata: log_start_offset, high_watermark, and, when a
    consumer met it, topic and partition: seek there to go on."""


class DataCorrupt(ClientError):
    """Bytes that arrived fail their checksum or are no batch, repeatedly."""


class NotReady(ClientError):
    """Nothing was sent: `await producer.room()`, then send the record again."""


class BufferFull(NotReady):
    """`buffer_bytes` of records wait to be acknowledged."""


class TopicNotLoaded(NotReady):
    """The topic's partitions are not known yet."""


class ClientClosed(ClientError):
    """The producer, consumer or admin was closed."""

    fatal = True


class WrongUse(ClientError):
    """Used from another thread, event loop or process than the one it belongs to; or a consumer was
    to wait for ever for records of nothing."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=FAILED_PRECONDITION)


class PositionUnknown(ClientError):
    """A partition was assigned without a place to begin, and the policy for that is "error"."""


class RecordUndecodable(ClientError):
    """A deserializer failed; the position stays at the record: seek past it to go on.

    `topic`, `partition` and `offset` say which record; the deserializer's error is the cause.
    """

    def __init__(self, topic: str, partition: int, offset: int, part: str) -> None:
        self.topic, self.partition, self.offset = topic, partition, offset
        super().__init__(
            f"the {part} of {topic}/{partition} at offset {offset} could not be deserialized;"
            f" seek to {offset + 1} to pass over it",
            code=INVALID_ARGUMENT,
        )


class GroupUnknown(ClientError):
    """There is no consumer group of this name."""


class GroupInUse(ClientError):
    """The consumer group has members, or they read the topic; metadata says how many."""


class MembershipRefused(ClientError):
    """The coordinator does not take the consumer into the group as it is: an illegal name, an
    unknown assignor, a bad pattern, an instance id that another consumer has, a full group."""


class CommitRefused(ClientError):
    """Positions were not committed, none of the request: the partitions belong to somebody else by
    now (reason STALE_MEMBER_EPOCH or UNKNOWN_MEMBER), or the request is wrong in itself.

    `partitions` are those that it was refused for.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        code: int = FAILED_PRECONDITION,
        metadata: Mapping[str, str] | None = None,
        retriable: bool = False,
        indefinite: bool = False,
        retry_after_ms: int = 0,
        partitions: Sequence[TopicPartition] = (),
    ) -> None:
        self.partitions = list(partitions)
        super().__init__(
            message,
            reason=reason,
            code=code,
            metadata=metadata,
            retriable=retriable,
            indefinite=indefinite,
            retry_after_ms=retry_after_ms,
        )


class ClientDefect(ClientError):
    """The client itself failed: a defect; everything that waited fails with it."""

    fatal = True


_BY_REASON: Mapping[str, type[ClientError]] = {
    Reason.UNSUPPORTED_VERSION.name: VersionNotSupported,
    Reason.UNKNOWN_TOPIC.name: TopicUnknown,
    Reason.UNKNOWN_PARTITION.name: TopicUnknown,
    Reason.TOPIC_EXISTS.name: TopicExists,
    Reason.NOT_LEADER.name: NotLeader,
    Reason.INVALID_BATCH.name: RecordRejected,
    Reason.BATCH_TOO_LARGE.name: RecordRejected,
    Reason.MESSAGE_TOO_LARGE.name: RecordRejected,
    Reason.CORRUPT_BATCH.name: RecordRejected,
    Reason.CONDITION_FAILED.name: ConditionFailed,
    Reason.OUT_OF_ORDER_SEQUENCE.name: SequenceBroken,
    Reason.PRODUCER_FENCED.name: SequenceBroken,
    Reason.OFFSET_OUT_OF_RANGE.name: OffsetOutOfRange,
    Reason.UNKNOWN_GROUP.name: GroupUnknown,
    Reason.GROUP_NOT_EMPTY.name: GroupInUse,
    Reason.GROUP_SUBSCRIBED.name: GroupInUse,
    Reason.INVALID_GROUP_NAME.name: MembershipRefused,
    Reason.INVALID_PATTERN.name: MembershipRefused,
    Reason.UNKNOWN_ASSIGNOR.name: MembershipRefused,
    Reason.INSTANCE_ID_IN_USE.name: MembershipRefused,
    Reason.GROUP_FULL.name: MembershipRefused,
    Reason.TOO_MANY_GROUPS.name: MembershipRefused,
    Reason.TOO_MANY_TOPICS.name: MembershipRefused,
    Reason.TOO_MANY_PATTERNS.name: MembershipRefused,
    Reason.STALE_MEMBER_EPOCH.name: CommitRefused,
    Reason.UNKNOWN_MEMBER.name: CommitRefused,
    Reason.METADATA_TOO_LARGE.name: CommitRefused,
    Reason.TOO_MANY_COMMITS.name: CommitRefused,
}


def from_wire(error: Error) -> ClientError:
    """The error of one request of a stream."""
    return _BY_REASON.get(error.reason, ClientError)(
        error.message,
        reason=error.reason,
        code=error.code,
        metadata=dict(error.metadata),
        retriable=error.retriable,
        indefinite=error.indefinite,
        retry_after_ms=error.retry_after_ms,
    )


def from_transport(error: TransportError, address: str) -> ClientError:
    """The error of a failed call: by its details when it has them, else by its code.

    Without details the call may or may not have taken effect; the code alone can not tell.
    """
    details = status_details.decode(error.details)
    if details is None or not details.reason:
        message = f"{address}: {error.message or 'the call failed'}"
        retriable = error.code in _RETRIABLE_CODES or error.code == CANCELLED
        kind = ConnectionLost if retriable else ClientError
        return kind(message, code=error.code, retriable=retriable, indefinite=True)
    known = Reason.__members__.get(details.reason)
    return _BY_REASON.get(details.reason, ClientError)(
        details.message or error.message,
        reason=details.reason,
        code=details.code or error.code,
        metadata=details.metadata,
        retriable=known.info.retriable if known else error.code in _RETRIABLE_CODES,
        indefinite=known.info.indefinite if known else True,
        retry_after_ms=details.retry_after_ms,
    )


def rejected(
    reason: Reason, message: str, metadata: Mapping[str, str] | None = None
) -> ClientError:
    """An error that the client finds by itself, before anything is sent."""
    return _BY_REASON.get(reason.name, ClientError)(
        message,
        reason=reason.name,
        code=reason.info.code,
        metadata=metadata,
        retriable=reason.info.retriable,
    )


def defect(what: str, error: BaseException) -> ClientDefect:
    """The error of everything that waits when a task of the client dies."""
    message = f"the {what} failed: {type(error).__name__}: {error}; close it and make another"
    failure = ClientDefect(message, code=INTERNAL, indefinite=True)
    failure.__cause__ = error
    return failure


def closed(what: str) -> ClientClosed:
    """The error of a call on a closed object."""
    return ClientClosed(f"the {what} is closed", code=FAILED_PRECONDITION)
