"""What a failed unary call says beyond its status code: google.rpc.Status as bytes.

gRPC carries it in the `grpc-status-details-bin` trailer. Two details are used, as AIP-193 asks:
`google.rpc.ErrorInfo` (a stable reason, the domain "streamlog", values for programs) and
`google.rpc.RetryInfo` (how long to wait). Any gRPC client in any language can read them.

The three messages are declared here, in a descriptor pool of their own, instead of importing
googleapis-common-protos: they are tiny and frozen, the wire format is the same, and a private
pool can not collide with a program that has the real package loaded.

Source: google/rpc/status.proto, google/rpc/error_details.proto, google/protobuf/any.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from streamlog.model.errors import Reason

DOMAIN: Final = "streamlog"
"""Domain of every reason; reasons of other domains are not ours to interpret."""

ERROR_INFO_URL: Final = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_INFO_URL: Final = "type.googleapis.com/google.rpc.RetryInfo"


@dataclass(frozen=True, slots=True)
class StatusDetails:
    """What the trailer of a failed call said. `reason` is empty when it named none of ours."""

    code: int
    message: str
    reason: str
    metadata: Mapping[str, str]
    retry_after_ms: int


def encode(
    reason: Reason,
    message: str,
    metadata: Mapping[str, str] | None = None,
    retry_after_ms: int = 0,
) -> bytes:
    """Serialize a google.rpc.Status for a reason; the same arguments give the same bytes."""
    status = _STATUS()
    status.code = reason.info.code
    status.message = message
    info = _ERROR_INFO(reason=reason.name, domain=DOMAIN)
    info.metadata.update(dict(metadata or {}))
    status.details.add(type_url=ERROR_INFO_URL, value=info.SerializeToString(deterministic=True))
    if retry_after_ms > 0:
        retry = _RETRY_INFO()
        retry.retry_delay.seconds, rest_ms = divmod(retry_after_ms, 1000)
        retry.retry_delay.nanos = rest_ms * 1_000_000
        status.details.add(
            type_url=RETRY_INFO_URL, value=retry.SerializeToString(deterministic=True)
        )
    encoded: bytes = status.SerializeToString(deterministic=True)
    return encoded


def decode(details: bytes) -> StatusDetails | None:
    """Read a serialized google.rpc.Status; None when the bytes are empty or are not one."""
    if not details:
        return None
    try:
        status = _STATUS.FromString(details)
        reason, metadata, retry_after_ms = "", {}, 0
        for detail in status.details:
            if detail.type_url == ERROR_INFO_URL:
                info = _ERROR_INFO.FromString(detail.value)
                if info.domain == DOMAIN:
                    reason, metadata = info.reason, dict(info.metadata)
            elif detail.type_url == RETRY_INFO_URL:
                delay = _RETRY_INFO.FromString(detail.value).retry_delay
                retry_after_ms = max(0, delay.seconds * 1000 + delay.nanos // 1_000_000)
    except (DecodeError, UnicodeDecodeError):
        return None
    return StatusDetails(status.code, status.message, reason, metadata, retry_after_ms)


def _declare() -> tuple[Any, Any, Any]:
    """Build the message classes: Status, ErrorInfo, RetryInfo."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="streamlog/google_rpc_subset.proto", package="google.rpc", syntax="proto3"
    )

    def add(
        message: descriptor_pb2.DescriptorProto,
        name: str,
        number: int,
        kind: int,
        of: str = "",
        *,
        repeated: bool = False,
    ) -> None:
        message.field.add(
            name=name,
            number=number,
            type=field.Type.ValueType(kind),
            type_name=of or None,
            label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL,
        )

    detail = file.message_type.add(name="Detail")  # google.protobuf.Any on the wire
    add(detail, "type_url", 1, field.TYPE_STRING)
    add(detail, "value", 2, field.TYPE_BYTES)

    status = file.message_type.add(name="Status")
    add(status, "code", 1, field.TYPE_INT32)
    add(status, "message", 2, field.TYPE_STRING)
    add(status, "details", 3, field.TYPE_MESSAGE, ".google.rpc.Detail", repeated=True)

    info = file.message_type.add(name="ErrorInfo")
    add(info, "reason", 1, field.TYPE_STRING)
    add(info, "domain", 2, field.TYPE_STRING)
    entry = info.nested_type.add(name="MetadataEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, field.TYPE_STRING)
    add(entry, "value", 2, field.TYPE_STRING)
    add(
        info,
        "metadata",
        3,
        field.TYPE_MESSAGE,
        ".google.rpc.ErrorInfo.MetadataEntry",
        repeated=True,
    )

    delay = file.message_type.add(name="Delay")  # google.protobuf.Duration on the wire
    add(delay, "seconds", 1, field.TYPE_INT64)
    add(delay, "nanos", 2, field.TYPE_INT32)
    retry = file.message_type.add(name="RetryInfo")
    add(retry, "retry_delay", 1, field.TYPE_MESSAGE, ".google.rpc.Delay")

    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    built = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}"))
        for name in ("Status", "ErrorInfo", "RetryInfo")
    )
    status_class, info_class, retry_class = built
    return status_class, info_class, retry_class


_STATUS, _ERROR_INFO, _RETRY_INFO = _declare()
