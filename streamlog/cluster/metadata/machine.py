"""The state machine on group 0: what commands do, and what records mean.

| command | record | refused with |
|---|---|---|
| RegisterNode | NodeRegistered | CLUSTER_MISMATCH, NODE_ID_TAKEN, INVALID_REQUEST |
| SetNodeCondition | NodeConditionSet | UNKNOWN_NODE, MAJORITY_AT_RISK, INVALID_* |
| RemoveNode | NodeRemoved | UNKNOWN_NODE, NODE_IN_USE |
| SetControllers | ControllersSet | UNKNOWN_NODE, MAJORITY_AT_RISK, INVALID_REQUEST |
| CreateTopic | TopicCreated | TOPIC_EXISTS, INVALID_* |
| AlterTopic | TopicConfigured | UNKNOWN_TOPIC, INVALID_CONFIG |
| AddPartitions | PartitionsAdded | UNKNOWN_TOPIC, INVALID_PARTITION_COUNT |
| DeleteTopic | TopicDeleted | UNKNOWN_TOPIC |
| ReassignPartitions, SetReplicationFactor, RenewReplica | PartitionsReassigned | UNKNOWN_*, MAJORITY_AT_RISK, INVALID_* |
| SettlePartitions | PartitionsSettled | |
| AllocateProducerIds | ProducerIdsAllocated | INVALID_REQUEST |

`nodes`, `topics` and `moves` decide, `replay` says what a record means.

A repeated request (`request_id`) is answered and not done again.
A command that would change nothing (or asks to check only) leads to no record. The response of a
command about a node or topic is that node or topic afterwards.

Invariant: `replay` is total: it takes any record that `decide` once produced, in any state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from replication.runtime.machine import Decision
from replication.types import Offset
from streamlog.cluster.metadata import (
    moves,
    nodes,
    record_codec,
    snapshot_codec,
    topics,
)
from streamlog.cluster.metadata.checks import PRODUCER_ID_MAX, PRODUCER_IDS_PER_BLOCK_MAX
from streamlog.cluster.metadata.records import (
    AddPartitions,
    AllocateProducerIds,
    AlterTopic,
    Command,
    CreateTopic,
    DeleteTopic,
    ProducerIdsAllocated,
    ReassignPartitions,
    Record,
    RegisterNode,
    RemoveNode,
    RenewReplica,
    SetControllers,
    SetNodeCondition,
    SetReplicationFactor,
    SettlePartitions,
)
from streamlog.cluster.metadata.replay import replay
from streamlog.cluster.metadata.state import Founding, MetadataState, initial_state
from streamlog.model.errors import Reason, StreamlogError


@dataclass(frozen=True, slots=True)
class ProducerIdBlock:
    """The ids [first, first + count) belong to whoever asked."""

    first: int
    count: int


class MetadataMachine:
    """Implements replication.runtime.machine.StateMachine."""

    def __init__(self, founding: Founding) -> None:
        self._founding = founding

    def initial(self) -> MetadataState:
        return initial_state(self._founding)

    def encode(self, record: Record) -> bytes:
        return record_codec.encode_record(record)

    def decode(self, data: bytes) -> Record:
        return record_codec.decode_record(data)

    def snapshot(self, state: MetadataState) -> bytes:
        return snapshot_codec.encode_snapshot(state)

    def restore(self, data: bytes) -> MetadataState:
        state = snapshot_codec.decode_snapshot(data)
        if state.founding != self._founding:
            raise ValueError(
                f"the snapshot is of cluster {state.founding.cluster_id:032x}, this node belongs"
                f" to {self._founding.cluster_id:032x}"
            )
        return state

    def decide(self, state: MetadataState, command: Command) -> Decision[Record]:
        match command:
            case RegisterNode():
                return nodes.register_node(state, command)
            case SetNodeCondition():
                return nodes.set_node_condition(state, command)
            case RemoveNode():
                return nodes.remove_node(state, command)
            case SetControllers():
                return nodes.set_controllers(state, command)
            case CreateTopic():
                return topics.create_topic(state, command)
            case AlterTopic():
                return topics.alter_topic(state, command)
            case AddPartitions():
                return topics.add_partitions(state, command)
            case DeleteTopic():
                return topics.delete_topic(state, command)
            case ReassignPartitions():
                return moves.reassign_partitions(state, command)
            case SetReplicationFactor():
                return moves.set_replication_factor(state, command)
            case RenewReplica():
                return moves.renew_replica(state, command)
            case SettlePartitions():
                return moves.settle_partitions(state, command)
            case AllocateProducerIds():
                return _allocate_producer_ids(state, command)
            case _:
                assert_never(command)

    def replay(self, state: MetadataState, record: Record, offset: Offset) -> MetadataState:
        return replay(state, record, offset)


def _allocate_producer_ids(state: MetadataState, command: AllocateProducerIds) -> Decision[Record]:
    first, count = state.next_producer_id, command.count
    if not 1 <= count <= PRODUCER_IDS_PER_BLOCK_MAX or first + count > PRODUCER_ID_MAX:
        raise StreamlogError(
            Reason.INVALID_REQUEST,
            f"a block of {count} producer ids is out of range: 1 to {PRODUCER_IDS_PER_BLOCK_MAX}",
        )
    record = ProducerIdsAllocated(command.node_id, first + count)
    return Decision((record,), ProducerIdBlock(first, count))
