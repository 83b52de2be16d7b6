"""Errors of the client inside the node, as clients outside see them."""

from __future__ import annotations

from streamlog.broker import error_mapping
from streamlog.client.errors import ClientError
from streamlog.model.errors import INTERNAL, Reason, StreamlogError
from streamlog.v1 import error_pb2


def to_proto(error: ClientError) -> error_pb2.Error:
    """For one record's result."""
    return error_pb2.Error(
        code=error.code or INTERNAL,
        reason=error.reason or Reason.METADATA_UNAVAILABLE.name,
        message=error.message,
        metadata=dict(error.metadata),
        retriable=error.retriable,
        retry_after_ms=error.retry_after_ms,
        indefinite=error.indefinite,
    )


def from_value_error(error: ValueError) -> error_pb2.Error:
    """The client library refuses what is out of its range with ValueError."""
    return error_mapping.to_proto(StreamlogError(Reason.INVALID_REQUEST, str(error)))


def to_streamlog_error(error: ClientError) -> StreamlogError:
    """For a call that fails as a whole."""
    reason = Reason.__members__.get(error.reason, Reason.METADATA_UNAVAILABLE)
    return StreamlogError(
        reason, error.message, dict(error.metadata), retry_after_ms=error.retry_after_ms
    )
