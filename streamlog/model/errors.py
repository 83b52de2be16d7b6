"""The errors that clients see: one table of reasons, one exception that carries them.

A reason is a stable name; its status code, whether a retry can help, and whether the operation
may have taken effect all the same ("indefinite") are properties of the reason, not of the place
that raises it. `docs/errors.md` is generated from this table. Streams carry `streamlog.v1.Error`,
unary calls the same content as google.rpc.Status details; both mappings are in
`streamlog/broker/error_mapping.py`, and the client's counterpart in `streamlog/client/errors.py`.

Codes are google.rpc.Code numbers (AIP-193).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
ALREADY_EXISTS = 6
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
ABORTED = 10
OUT_OF_RANGE = 11
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
DATA_LOSS = 15


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """What holds for every error of a reason."""

    code: int
    retriable: bool
    indefinite: bool
    documentation: str


class Reason(Enum):
    """Stable reasons."""

    # Requests that are wrong in themselves.
    MALFORMED_MESSAGE = ReasonInfo(
        INVALID_ARGUMENT, False, False, "The bytes are not a message of the expected type."
    )
    INVALID_REQUEST = ReasonInfo(
        INVALID_ARGUMENT, False, False, "A field is missing, contradictory or out of its range."
    )
    UNSUPPORTED_VERSION = ReasonInfo(
        FAILED_PRECONDITION, False, False, "Client and node share no protocol version."
    )
    INVALID_TOPIC_NAME = ReasonInfo(
        INVALID_ARGUMENT,
        False,
        False,
        "The name is not 1 to 249 characters of [a-zA-Z0-9._-], or is '.' or '..'.",
    )
    INVALID_CONFIG = ReasonInfo(
        INVALID_ARGUMENT, False, False, "A setting is unknown, or its value out of its range."
    )
    INVALID_PARTITION_COUNT = ReasonInfo(
        INVALID_ARGUMENT, False, False, "The number of partitions is out of its range."
    )
    INVALID_REPLICATION_FACTOR = ReasonInfo(
        INVALID_ARGUMENT, False, False, "Fewer nodes are registered than replicas are wanted."
    )
    # Topics and partitions.
    UNKNOWN_TOPIC = ReasonInfo(NOT_FOUND, False, False, "No topic has this name or id.")
    UNKNOWN_PARTITION = ReasonInfo(
        NOT_FOUND, False, False, "The topic has no partition of this number."
    )
    TOPIC_EXISTS = ReasonInfo(ALREADY_EXISTS, False, False, "A topic of this name exists.")
    # Where to go.
    NOT_LEADER = ReasonInfo(
        UNAVAILABLE,
        True,
        False,
        "Another node leads the partition; metadata: leader_node_id, leader_address, leader_term.",
    )
    LEADER_NOT_AVAILABLE = ReasonInfo(
        UNAVAILABLE, True, False, "No leader is known: an election is under way."
    )
    LEADERSHIP_LOST = ReasonInfo(
        UNAVAILABLE,
        True,
        True,
        "The leader stepped down before the batch was known to be committed.",
    )
    METADATA_UNAVAILABLE = ReasonInfo(
        UNAVAILABLE, True, False, "The metadata leader could not be reached."
    )
    METADATA_OUTCOME_UNKNOWN = ReasonInfo(
        UNAVAILABLE, True, True, "The change was passed on, but its outcome is not known."
    )
    # Batches.
    CORRUPT_BATCH = ReasonInfo(
        INVALID_ARGUMENT, False, False, "The payload's checksum is wrong; send it again."
    )
    INVALID_BATCH = ReasonInfo(
        INVALID_ARGUMENT,
        False,
        False,
        "Header and content contradict each other, or a field is out of its range.",
    )
    BATCH_TOO_LARGE = ReasonInfo(
        INVALID_ARGUMENT, False, False, "The batch is larger than the topic accepts."
    )
    MESSAGE_TOO_LARGE = ReasonInfo(
        INVALID_ARGUMENT, False, False, "The message is larger than the node accepts."
    )
    CONDITION_FAILED = ReasonInfo(
        FAILED_PRECONDITION,
        False,
        False,
        "expected_end_offset is not the partition's end; metadata: end_offset.",
    )
    OUT_OF_ORDER_SEQUENCE = ReasonInfo(
        FAILED_PRECONDITION,
        False,
        False,
        "A batch of this producer is missing in between; metadata: expected_sequence.",
    )
    DUPLICATE_SEQUENCE = ReasonInfo(
        FAILED_PRECONDITION,
        False,
        False,
        "The sequence is older than the producer's last five batches.",
    )
    PRODUCER_FENCED = ReasonInfo(
        FAILED_PRECONDITION, False, False, "A newer epoch of this producer id was seen."
    )
    TOO_MANY_INFLIGHT = ReasonInfo(
        RESOURCE_EXHAUSTED,
        True,
        False,
        "A producer may have five uncommitted batches on a partition.",
    )
    # Reading.
    OFFSET_OUT_OF_RANGE = ReasonInfo(
        OUT_OF_RANGE,
        False,
        False,
        "The offset is outside the log; metadata: log_start_offset, high_watermark.",
    )
    OFFSET_NOT_AVAILABLE = ReasonInfo(
        UNAVAILABLE,
        True,
        False,
        "A new leader does not know yet how far the log is committed.",
    )
    CORRUPT_LOG = ReasonInfo(
        DATA_LOSS, True, False, "Stored bytes fail their checksum here; another replica has them."
    )
    # Limits and failures of the node.
    OVERLOADED = ReasonInfo(RESOURCE_EXHAUSTED, True, False, "A bounded queue of the node is full.")
    DISK_FULL = ReasonInfo(
        RESOURCE_EXHAUSTED, True, False, "The leader's disk has no room for data."
    )
    STORAGE_FAILED = ReasonInfo(
        UNAVAILABLE, True, True, "The leader's disk failed; the node stops serving."
    )
    REQUEST_TIMED_OUT = ReasonInfo(DEADLINE_EXCEEDED, True, True, "No majority answered in time.")
    # Joining a cluster.
    CLUSTER_MISMATCH = ReasonInfo(
        FAILED_PRECONDITION, False, False, "The node belongs to another cluster."
    )
    NODE_ID_TAKEN = ReasonInfo(
        FAILED_PRECONDITION,
        False,
        False,
        "The node id is registered with another data directory; use a new id for a blank disk.",
    )
    INTERNAL_ERROR = ReasonInfo(INTERNAL, False, True, "A defect of the node; see its log.")

    @property
    def info(self) -> ReasonInfo:
        """What holds for every error of this reason."""
        value = self.value
        assert isinstance(value, ReasonInfo)
        return value


class StreamlogError(Exception):
    """An error with a stable reason, a message for people and values for programs."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        retry_after_ms: int = 0,
    ) -> None:
        self.reason = reason
        self.message = message
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.retry_after_ms = retry_after_ms
        super().__init__(f"{reason.name}: {message}")
