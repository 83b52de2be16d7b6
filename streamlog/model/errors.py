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
    documentation: str
    advice: str
    """What whoever gets the error should do next."""
    retriable: bool = False
    indefinite: bool = False
    metadata: tuple[str, ...] = ()
    """Keys that an error of this reason may carry; not every one carries all of them."""


class Reason(Enum):
    """Stable reasons."""

    # Requests that are wrong in themselves.
    MALFORMED_MESSAGE = ReasonInfo(
        INVALID_ARGUMENT,
        "The bytes are not a message of the expected type.",
        "Compare the client's generated code with proto/ of this version.",
    )
    INVALID_REQUEST = ReasonInfo(
        INVALID_ARGUMENT,
        "A field is missing, contradictory or out of its range.",
        "The message names the field, its value and the range: correct the request.",
        metadata=("field", "value", "minimum", "maximum", "partitions"),
    )
    UNSUPPORTED_VERSION = ReasonInfo(
        FAILED_PRECONDITION,
        "Client and node share no protocol version, or a node does not know a newer node's command.",
        "The message names both ranges: upgrade the older side.",
    )
    INVALID_TOPIC_NAME = ReasonInfo(
        INVALID_ARGUMENT,
        "The name is not 1 to 249 characters of [a-zA-Z0-9._-], or is '.' or '..'.",
        "Choose another name.",
        metadata=("name", "length"),
    )
    INVALID_CONFIG = ReasonInfo(
        INVALID_ARGUMENT,
        "A setting is unknown, or its value out of its range.",
        "configuration.md lists keys and ranges; `near` has the keys that look alike.",
        metadata=("key", "value", "allowed", "near"),
    )
    INVALID_PARTITION_COUNT = ReasonInfo(
        INVALID_ARGUMENT,
        "The number of partitions is out of its range; partitions are never taken away.",
        "Ask for `minimum` to `maximum` partitions.",
        metadata=("value", "minimum", "maximum"),
    )
    INVALID_REPLICATION_FACTOR = ReasonInfo(
        INVALID_ARGUMENT,
        "Fewer nodes are registered than replicas are wanted, or more than 7 are.",
        "Ask for `minimum` to `maximum` replicas, or start more nodes first.",
        metadata=("value", "minimum", "maximum", "nodes"),
    )
    # Topics and partitions.
    UNKNOWN_TOPIC = ReasonInfo(
        NOT_FOUND,
        "No topic has this name or id.",
        "Create it, or ask for metadata again: a topic of the same name may have a new id. Right"
        " after a topic was created another node may not know it yet.",
        metadata=("topic", "member_id", "topic_id", "epoch", "partitions"),
    )
    UNKNOWN_PARTITION = ReasonInfo(
        NOT_FOUND,
        "The topic has no partition of this number.",
        "The message names the range; ask for metadata again.",
        metadata=("value", "maximum", "partitions"),
    )
    TOPIC_EXISTS = ReasonInfo(
        ALREADY_EXISTS,
        "A topic of this name exists.",
        "After a CreateTopic whose outcome was unknown this is the success; else use another name.",
        metadata=("topic", "topic_id"),
    )
    INTERNAL_TOPIC = ReasonInfo(
        INVALID_ARGUMENT,
        "Names that begin with '__' are the cluster's own topics.",
        "Choose another name; what such a topic holds is changed by the calls that it serves.",
        metadata=("topic",),
    )
    # Where to go.
    NOT_LEADER = ReasonInfo(
        UNAVAILABLE,
        "Another node leads the partition.",
        "Send the same to `leader_address`, unless a leader of a term above `leader_term` is known"
        " already.",
        retriable=True,
        metadata=("leader_node_id", "leader_address", "leader_term"),
    )
    LEADER_NOT_AVAILABLE = ReasonInfo(
        UNAVAILABLE,
        "No leader is known: an election is under way, or the replica is being made.",
        "Ask for metadata again after a pause, and send the same to the leader.",
        retriable=True,
    )
    LEADERSHIP_LOST = ReasonInfo(
        UNAVAILABLE,
        "The leader stepped down before the batch was known to be committed.",
        "Send the same batch, with the same producer id and sequence, to the new leader: it tells"
        " whether it has it. Without a producer id, a retry may store it twice.",
        retriable=True,
        indefinite=True,
    )
    METADATA_UNAVAILABLE = ReasonInfo(
        UNAVAILABLE,
        "The metadata leader could not be reached.",
        "Ask again after a pause, another node too: a node also answers this while it joins its"
        " cluster and while it stops. A majority of the controllers must run.",
        retriable=True,
    )
    METADATA_OUTCOME_UNKNOWN = ReasonInfo(
        UNAVAILABLE,
        "The change was passed on, but its outcome is not known.",
        "Look whether it was made (DescribeTopic) before repeating it.",
        retriable=True,
        indefinite=True,
    )
    # Batches.
    CORRUPT_BATCH = ReasonInfo(
        INVALID_ARGUMENT,
        "The payload's checksum is wrong.",
        "Make the batch anew from its records. When it happens again, the client's packing of the"
        " checksum is wrong (formats.md) or its memory is.",
    )
    INVALID_BATCH = ReasonInfo(
        INVALID_ARGUMENT,
        "Header and content contradict each other, or a field is out of its range.",
        "The message names the field, its value and the range: correct the client.",
    )
    BATCH_TOO_LARGE = ReasonInfo(
        INVALID_ARGUMENT,
        "The batch is larger than the topic accepts.",
        "Send fewer records in a batch, or raise the topic's max.batch.bytes.",
        metadata=("max_batch_bytes",),
    )
    MESSAGE_TOO_LARGE = ReasonInfo(
        INVALID_ARGUMENT,
        "The message is larger than the node accepts. gRPC itself refuses most of these first,"
        " with RESOURCE_EXHAUSTED, both sizes in its message and no reason.",
        "Stay below `max_message_bytes` of the handshake.",
    )
    CONDITION_FAILED = ReasonInfo(
        FAILED_PRECONDITION,
        "expected_end_offset is not the partition's end.",
        "Read what was written up to `end_offset`, decide again, and expect that.",
        metadata=("end_offset",),
    )
    OUT_OF_ORDER_SEQUENCE = ReasonInfo(
        FAILED_PRECONDITION,
        "A batch of this producer is missing in between.",
        "Send the batches from `expected_sequence` on again, in order; when one of them is given"
        " up, go on with a new producer id.",
        metadata=("expected_sequence",),
    )
    DUPLICATE_SEQUENCE = ReasonInfo(
        FAILED_PRECONDITION,
        "The sequence is older than the producer's last five batches, or cuts across one of them.",
        "It was stored before, but where is not known any more. A client with at most five batches"
        " in flight on a partition never gets this.",
        metadata=("expected_sequence",),
    )
    PRODUCER_FENCED = ReasonInfo(
        FAILED_PRECONDITION,
        "A newer epoch of this producer id was seen.",
        "Somebody else writes with this id: stop, or go on with a new producer id.",
        metadata=("producer_epoch",),
    )
    TOO_MANY_INFLIGHT = ReasonInfo(
        RESOURCE_EXHAUSTED,
        "A producer may have five uncommitted batches on a partition.",
        "Send the same again when an earlier one was answered.",
        retriable=True,
    )
    # Reading.
    OFFSET_OUT_OF_RANGE = ReasonInfo(
        OUT_OF_RANGE,
        "The offset is outside the log.",
        "Go on from `log_start_offset` (records before it were deleted) or from `high_watermark`,"
        " as the application decides.",
        metadata=(
            "log_start_offset",
            "high_watermark",
            "value",
            "minimum",
            "maximum",
            "partitions",
        ),
    )
    OFFSET_NOT_AVAILABLE = ReasonInfo(
        UNAVAILABLE,
        "A new leader does not know yet how far the log is committed.",
        "Ask again after the pause; it takes one round trip to a majority.",
        retriable=True,
    )
    CORRUPT_LOG = ReasonInfo(
        DATA_LOSS,
        "Stored bytes fail their checksum here; another replica has them.",
        "Ask for metadata again and read from the leader after a pause. Operators: the node's log"
        " names the file.",
        retriable=True,
    )
    # Consumer groups.
    INVALID_GROUP_NAME = ReasonInfo(
        INVALID_ARGUMENT,
        "The name is not 1 to 249 characters of [a-zA-Z0-9._-], or is '.' or '..'.",
        "Choose another name.",
        metadata=("name", "maximum", "length"),
    )
    INVALID_PATTERN = ReasonInfo(
        INVALID_ARGUMENT,
        "The pattern of a subscription is none, or too large.",
        "The message says where it goes wrong.",
        metadata=("maximum", "pattern", "length", "at"),
    )
    UNKNOWN_ASSIGNOR = ReasonInfo(
        INVALID_ARGUMENT,
        "No assignor has this name.",
        "The message lists those that are known.",
        metadata=("assignor",),
    )
    UNKNOWN_GROUP = ReasonInfo(
        NOT_FOUND,
        "There is no group of this name.",
        "A group exists from its first member or position on, until it is deleted or its positions"
        " expire.",
        metadata=("group",),
    )
    UNKNOWN_MEMBER = ReasonInfo(
        NOT_FOUND,
        "The member left, was expired or was replaced.",
        "Drop all partitions without a commit, and join with a new member id and epoch 0.",
        metadata=("group", "member_id"),
    )
    STALE_MEMBER_EPOCH = ReasonInfo(
        FAILED_PRECONDITION,
        "The member does not own the partition at the epoch that it names: it is fenced.",
        "Drop what the newest assignment does not name. Nothing of the request counted.",
        metadata=("member_id", "epoch", "maximum", "partitions"),
    )
    STALE_CATALOG = ReasonInfo(
        UNAVAILABLE,
        "The coordinator's metadata is older than what the group was last decided on.",
        "Send the same again after a pause.",
        retriable=True,
        metadata=("value", "minimum"),
    )
    INSTANCE_ID_IN_USE = ReasonInfo(
        ALREADY_EXISTS,
        "Another member with this instance id is connected.",
        "Stop one of the two, or give each an instance id of its own.",
        retriable=True,
        metadata=("member_id", "instance_id"),
    )
    GROUP_FULL = ReasonInfo(
        RESOURCE_EXHAUSTED,
        "The group has as many members as a group may have.",
        "Stop some, or let each read more partitions.",
        retriable=True,
        metadata=("value", "maximum"),
    )
    GROUP_NOT_EMPTY = ReasonInfo(
        FAILED_PRECONDITION,
        "The group has members.",
        "Stop them first, or let a member commit.",
        retriable=True,
        metadata=("value", "maximum"),
    )
    GROUP_SUBSCRIBED = ReasonInfo(
        FAILED_PRECONDITION,
        "Members of the group subscribe to the topic.",
        "Stop them first, or reset the positions instead.",
        retriable=True,
        metadata=("members", "partitions"),
    )
    METADATA_TOO_LARGE = ReasonInfo(
        INVALID_ARGUMENT,
        "The notes beside committed positions are too large.",
        "The message names size and bound.",
        metadata=("value", "maximum"),
    )
    TOO_MANY_PARTITIONS = ReasonInfo(
        INVALID_ARGUMENT,
        "A request names, or a group's subscriptions come to, more partitions than are allowed.",
        "Split the request, or the group.",
        metadata=("value", "maximum"),
    )
    TOO_MANY_TOPICS = ReasonInfo(
        INVALID_ARGUMENT,
        "A subscription names, or a group's subscriptions come to, more topics than are allowed.",
        "Use a pattern, or split the group.",
        metadata=("value", "maximum"),
    )
    TOO_MANY_PATTERNS = ReasonInfo(
        INVALID_ARGUMENT,
        "The members of a group have more different patterns than are allowed.",
        "Let them have the same pattern.",
        metadata=("value", "maximum"),
    )
    TOO_MANY_GROUPS = ReasonInfo(
        RESOURCE_EXHAUSTED,
        "The coordinator has as many groups as it may have.",
        "Operators: delete groups that nobody uses.",
        retriable=True,
        metadata=("maximum", "groups"),
    )
    TOO_MANY_COMMITS = ReasonInfo(
        RESOURCE_EXHAUSTED,
        "The coordinator has as many committed positions as it may have.",
        "Operators: delete groups that nobody uses, or positions of them.",
        retriable=True,
        metadata=("value", "maximum"),
    )
    STREAM_REPLACED = ReasonInfo(
        ABORTED,
        "The member opened another stream, which took this one's place.",
        "Nothing, if it was the same process. Else two have one member id: draw them at random.",
    )
    # Limits and failures of the node.
    OVERLOADED = ReasonInfo(
        RESOURCE_EXHAUSTED,
        "A bounded queue of the node is full.",
        "Send the same again after the pause, with backoff.",
        retriable=True,
    )
    DISK_FULL = ReasonInfo(
        RESOURCE_EXHAUSTED,
        "The leader's disk has no room for data.",
        "Operators: make room; writing resumes by itself. Clients: retry with backoff.",
        retriable=True,
    )
    STORAGE_FAILED = ReasonInfo(
        UNAVAILABLE,
        "The leader's disk failed; the node stops serving.",
        "As LEADERSHIP_LOST: another node takes over.",
        retriable=True,
        indefinite=True,
    )
    REQUEST_TIMED_OUT = ReasonInfo(
        DEADLINE_EXCEEDED,
        "No majority answered in time.",
        "As LEADERSHIP_LOST. Operators: a majority of the partition's nodes must run.",
        retriable=True,
        indefinite=True,
    )
    # Joining a cluster.
    CLUSTER_MISMATCH = ReasonInfo(
        FAILED_PRECONDITION,
        "The node belongs to another cluster.",
        "Operators: name this cluster's controllers and the node's own data directory.",
        metadata=("cluster_id",),
    )
    NODE_ID_TAKEN = ReasonInfo(
        FAILED_PRECONDITION,
        "The node id is registered with another data directory.",
        "Operators: start the node on its old directory; a blank disk needs a node id that was"
        " never used.",
        metadata=("node_id", "directory_id"),
    )
    IDENTITY_IN_USE = ReasonInfo(
        FAILED_PRECONDITION,
        "Another process that lives has this node's data directory, or a copy of it.",
        "Operators: stop one of the two; a copy must never run beside its original, nor after it.",
        retriable=True,
        metadata=("node_id",),
    )
    RECOVERY_REFUSED = ReasonInfo(
        FAILED_PRECONDITION,
        "A group is not forced to go on without its majority.",
        "The message says why: a majority is alive as far as the node knows, or its own replica is"
        " damaged, empty or no member. Where its replica would do, the metadata has the position of its"
        " log. Operators: troubleshooting.md.",
        metadata=("end_term", "end_offset"),
    )
    # Changing a cluster.
    UNKNOWN_NODE = ReasonInfo(
        NOT_FOUND,
        "No node of this id is registered.",
        "The message lists those that are.",
        metadata=("node_id",),
    )
    NODE_IN_USE = ReasonInfo(
        FAILED_PRECONDITION,
        "The node still holds replicas, is a controller, or votes on the metadata until other"
        " controllers do.",
        "Operators: drain it, or name other controllers, and wait until that is done.",
        metadata=("node_id", "partitions"),
    )
    MAJORITY_AT_RISK = ReasonInfo(
        FAILED_PRECONDITION,
        "The change needs a majority that is not there, or would take one away.",
        "Operators: bring nodes back, or add replicas, first. Where a majority is lost for good:"
        " `streamlog partition force-recover`.",
        metadata=("node_id", "topic", "partition", "partitions"),
    )
    INTERNAL_ERROR = ReasonInfo(
        INTERNAL,
        "A defect of the node.",
        "Report it with the node's log, which has the details.",
        indefinite=True,
    )

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
