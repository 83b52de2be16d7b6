"""Errors of the layers below, as clients see them: the one place where they are translated.

Inside streams an error is a `streamlog.v1.Error`; a call that fails as a whole ends with the
canonical status code and google.rpc.Status details (ErrorInfo, RetryInfo).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from consumer_groups.errors import GroupError
from consumer_groups.errors import Reason as GroupReason
from replication import errors as replication_errors
from replication.ports import CallFailed, StatusCode
from streamlog.model import status_details
from streamlog.model.errors import Reason, StreamlogError
from streamlog.v1 import error_pb2

logger = logging.getLogger(__name__)

GROUP_REASONS: Final[Mapping[GroupReason, Reason]] = {
    GroupReason.INVALID_GROUP_NAME: Reason.INVALID_GROUP_NAME,
    GroupReason.INVALID_REQUEST: Reason.INVALID_REQUEST,
    GroupReason.INVALID_PATTERN: Reason.INVALID_PATTERN,
    GroupReason.UNKNOWN_ASSIGNOR: Reason.UNKNOWN_ASSIGNOR,
    GroupReason.UNKNOWN_GROUP: Reason.UNKNOWN_GROUP,
    GroupReason.UNKNOWN_MEMBER: Reason.UNKNOWN_MEMBER,
    GroupReason.UNKNOWN_TOPIC: Reason.UNKNOWN_TOPIC,
    GroupReason.UNKNOWN_PARTITION: Reason.UNKNOWN_PARTITION,
    GroupReason.STALE_MEMBER_EPOCH: Reason.STALE_MEMBER_EPOCH,
    GroupReason.STALE_CATALOG: Reason.STALE_CATALOG,
    GroupReason.INSTANCE_ID_IN_USE: Reason.INSTANCE_ID_IN_USE,
    GroupReason.GROUP_FULL: Reason.GROUP_FULL,
    GroupReason.GROUP_NOT_EMPTY: Reason.GROUP_NOT_EMPTY,
    GroupReason.GROUP_SUBSCRIBED: Reason.GROUP_SUBSCRIBED,
    GroupReason.METADATA_TOO_LARGE: Reason.METADATA_TOO_LARGE,
    GroupReason.OFFSET_OUT_OF_RANGE: Reason.OFFSET_OUT_OF_RANGE,
    GroupReason.TOO_MANY_PARTITIONS: Reason.TOO_MANY_PARTITIONS,
    GroupReason.TOO_MANY_TOPICS: Reason.TOO_MANY_TOPICS,
    GroupReason.TOO_MANY_PATTERNS: Reason.TOO_MANY_PATTERNS,
    GroupReason.TOO_MANY_GROUPS: Reason.TOO_MANY_GROUPS,
    GroupReason.TOO_MANY_COMMITS: Reason.TOO_MANY_COMMITS,
}
"""Refusals of consumer groups, as clients are told them: by the same names."""

PARTITIONS_NAMED_MAX: Final = 100
"""In the metadata of an error: it must fit into a trailer."""

MessageT = TypeVar("MessageT", bound=Message)


def to_streamlog_error(error: BaseException) -> StreamlogError:
    """Any error as one with a stable reason; a defect becomes INTERNAL_ERROR and is logged."""
    match error:
        case StreamlogError():
            return error
        case GroupError():
            message = error.args[0] if error.args else str(error)
            return StreamlogError(GROUP_REASONS[error.reason], str(message), _values(error))
        case replication_errors.NotLeader():
            # The caller knows the address of the leader and says so; this is the bare fact.
            reason = Reason.NOT_LEADER if error.leader else Reason.LEADER_NOT_AVAILABLE
            return StreamlogError(reason, str(error))
        case replication_errors.LeadershipLost():
            return StreamlogError(Reason.LEADERSHIP_LOST, str(error))
        case replication_errors.OffsetOutOfRange():
            return StreamlogError(
                Reason.OFFSET_OUT_OF_RANGE,
                str(error),
                {"log_start_offset": str(error.start), "high_watermark": str(error.end)},
            )
        case replication_errors.Overloaded():
            return StreamlogError(Reason.OVERLOADED, str(error), retry_after_ms=100)
        case replication_errors.DiskFull():
            return StreamlogError(Reason.DISK_FULL, str(error), retry_after_ms=1_000)
        case replication_errors.StorageFailed():
            return StreamlogError(Reason.STORAGE_FAILED, str(error))
        case replication_errors.LogCorrupt():
            return StreamlogError(Reason.CORRUPT_LOG, str(error))
        case replication_errors.StateMachineFailed():
            return StreamlogError(Reason.CORRUPT_LOG, str(error))
        case replication_errors.CommitTimedOut():
            return StreamlogError(Reason.REQUEST_TIMED_OUT, str(error))
        case replication_errors.UnknownGroup():
            return StreamlogError(Reason.LEADER_NOT_AVAILABLE, str(error))
        case TimeoutError():
            return StreamlogError(Reason.REQUEST_TIMED_OUT, "no majority answered in time")
        case _:
            logger.error("defect", exc_info=error)
            return StreamlogError(Reason.INTERNAL_ERROR, f"{type(error).__name__}; see the log")


def _values(error: GroupError) -> dict[str, str]:
    """The offending value and the allowed range, and which partitions it is about, the first few:
    "topic_id/partition" with commas between."""
    values = dict(error.values)
    if error.partitions:
        named = error.partitions[:PARTITIONS_NAMED_MAX]
        values["partitions"] = ",".join(f"{topic_id}/{number}" for topic_id, number in named)
    return values


def to_proto(error: StreamlogError) -> error_pb2.Error:
    """For an answer inside a stream."""
    info = error.reason.info
    return error_pb2.Error(
        code=info.code,
        reason=error.reason.name,
        message=error.message,
        metadata=dict(error.metadata),
        retriable=info.retriable,
        retry_after_ms=error.retry_after_ms,
        indefinite=info.indefinite,
    )


def to_call_failed(error: StreamlogError) -> CallFailed:
    """For a call that fails as a whole."""
    info = error.reason.info
    return CallFailed(
        StatusCode(info.code),
        error.message,
        status_details.encode(error.reason, error.message, error.metadata, error.retry_after_ms),
    )


def parse(kind: type[MessageT], data: bytes) -> MessageT:
    """The message in `data`. Raises StreamlogError(MALFORMED_MESSAGE)."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise StreamlogError(
            Reason.MALFORMED_MESSAGE,
            f"{len(data)} bytes are not a {kind.DESCRIPTOR.full_name}: {error}",
        ) from error
