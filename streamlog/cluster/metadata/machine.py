"""The state machine on group 0: what commands do, and what records mean.

| command | record | refused with |
|---|---|---|
| RegisterNode | NodeRegistered | CLUSTER_MISMATCH, NODE_ID_TAKEN, INVALID_REQUEST |
| CreateTopic | TopicCreated | TOPIC_EXISTS, INVALID_* |
| AlterTopic | TopicConfigured | UNKNOWN_TOPIC, INVALID_CONFIG |
| AddPartitions | PartitionsAdded | UNKNOWN_TOPIC, INVALID_PARTITION_COUNT |
| DeleteTopic | TopicDeleted | UNKNOWN_TOPIC |
| AllocateProducerIds | ProducerIdsAllocated | INVALID_REQUEST |

A repeated request (`request_id`) is answered and not done again.
A command that would change nothing (or asks to check only) leads to no record. The response of a
command about a node or topic is that node or topic afterwards.

Invariant: `replay` is total: it takes any record that `decide` once produced, in any state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from replication.runtime.machine import Decision
from replication.types import GroupId, NodeId, Offset, Replica, ReplicaId
from streamlog.cluster.metadata import codec
from streamlog.cluster.metadata.checks import (
    ADDRESS_CHARACTERS_MAX,
    PRODUCER_ID_MAX,
    PRODUCER_IDS_PER_BLOCK_MAX,
    RACK_CHARACTERS_MAX,
    TOPICS_MAX,
    changed_overrides,
    check_partition_count,
    check_replication_factor,
    check_topic_name,
)
from streamlog.cluster.metadata.placement import Candidate, place
from streamlog.cluster.metadata.records import (
    AddPartitions,
    AllocateProducerIds,
    AlterTopic,
    Command,
    CreateTopic,
    DeleteTopic,
    NodeRegistered,
    PartitionsAdded,
    Placed,
    ProducerIdsAllocated,
    Record,
    RegisterNode,
    TopicConfigured,
    TopicCreated,
    TopicDeleted,
)
from streamlog.cluster.metadata.state import (
    RECENT_REQUESTS_MAX,
    Founding,
    Load,
    MetadataState,
    Node,
    Partition,
    Topic,
    changed_loads,
    initial_state,
)
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.topic import TopicConfig

_NOWHERE = Offset(0)


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
        return codec.encode_record(record)

    def decode(self, data: bytes) -> Record:
        return codec.decode_record(data)

    def snapshot(self, state: MetadataState) -> bytes:
        return codec.encode_snapshot(state)

    def restore(self, data: bytes) -> MetadataState:
        state = codec.decode_snapshot(data)
        if state.founding != self._founding:
            raise ValueError(
                f"the snapshot is of cluster {state.founding.cluster_id:032x}, this node belongs"
                f" to {self._founding.cluster_id:032x}"
            )
        return state

    def decide(self, state: MetadataState, command: Command) -> Decision[Record]:
        match command:
            case RegisterNode():
                return _register_node(state, command)
            case CreateTopic():
                return _create_topic(state, command)
            case AlterTopic():
                return _alter_topic(state, command)
            case AddPartitions():
                return _add_partitions(state, command)
            case DeleteTopic():
                return _delete_topic(state, command)
            case AllocateProducerIds():
                return _allocate_producer_ids(state, command)
            case _:
                assert_never(command)

    def replay(self, state: MetadataState, record: Record, offset: Offset) -> MetadataState:
        return replay(state, record, offset)


def _register_node(state: MetadataState, command: RegisterNode) -> Decision[Record]:
    founding = state.founding
    if command.cluster_id not in {0, founding.cluster_id}:
        raise StreamlogError(
            Reason.CLUSTER_MISMATCH,
            f"node {command.node_id} belongs to cluster {command.cluster_id:032x}, this is"
            f" cluster {founding.cluster_id:032x}",
            {"cluster_id": f"{founding.cluster_id:032x}"},
        )
    _check_registration(command)
    known = state.nodes.get(command.node_id)
    voter = next(
        (r for r in founding.membership.voters if r.node_id == command.node_id),
        None,
    )
    directory_id = (
        known.directory_id if known else voter.directory_id if voter else command.directory_id
    )
    if directory_id != command.directory_id:
        raise StreamlogError(
            Reason.NODE_ID_TAKEN,
            f"node id {command.node_id} is registered with data directory {directory_id:032x},"
            f" not {command.directory_id:032x}: a blank or other disk needs a node id that was"
            " never used",
            {"node_id": str(command.node_id), "directory_id": f"{directory_id:032x}"},
        )
    if known is not None:
        replica_id = known.metadata_replica_id
    elif voter is not None:
        replica_id = voter.replica_id
    else:
        replica_id = ReplicaId(state.next_metadata_replica_id)
    record = NodeRegistered(
        command.node_id,
        command.address,
        command.rack,
        command.directory_id,
        command.boot_id,
        command.registered_at_ms,
        replica_id,
    )
    node = _node(state, record)
    if known == node:
        return Decision((), node)
    return Decision((record,), node)


def _check_registration(command: RegisterNode) -> None:
    for what, value, longest in (
        ("address", command.address, ADDRESS_CHARACTERS_MAX),
        ("rack", command.rack, RACK_CHARACTERS_MAX),
    ):
        if len(value) > longest or not value.isprintable() or (what == "address" and not value):
            raise StreamlogError(
                Reason.INVALID_REQUEST,
                f"{what} {value[:longest]!r} of node {command.node_id} is not printable text of"
                f" at most {longest} characters",
            )
    if not 1 <= command.node_id < 2**31 or command.directory_id == 0:
        raise StreamlogError(
            Reason.INVALID_REQUEST,
            f"node id {command.node_id} is out of range 1 to {2**31 - 1}, or it has no directory",
        )


def _node(state: MetadataState, record: NodeRegistered) -> Node:
    voters = state.founding.membership.voters
    return Node(
        record.node_id,
        record.address,
        record.rack,
        record.directory_id,
        record.boot_id,
        record.registered_at_ms,
        record.metadata_replica_id,
        any(replica.node_id == record.node_id for replica in voters),
    )


def _find_topic(state: MetadataState, name: str, request_id: int = 0) -> Topic:
    """The topic that a request is about. Raises UNKNOWN_TOPIC, and for a repeated request that had
    its effect on a topic that is gone since, METADATA_OUTCOME_UNKNOWN."""
    topic = state.topics_by_name.get(name)
    if topic is None:
        _check_not_undone(state, name, request_id)
        check_topic_name(name)
        raise StreamlogError(Reason.UNKNOWN_TOPIC, f"there is no topic {name!r}", {"topic": name})
    return topic


def _create_topic(state: MetadataState, command: CreateTopic) -> Decision[Record]:
    check_topic_name(command.name)
    present = state.topics_by_name.get(command.name)
    if present is not None:
        if command.request_id != 0 and present.request_id == command.request_id:
            return Decision((), present)
        _check_not_undone(state, command.name, command.request_id)
        raise StreamlogError(
            Reason.TOPIC_EXISTS,
            f"topic {command.name!r} exists",
            {"topic": command.name, "topic_id": str(present.topic_id)},
        )
    _check_not_undone(state, command.name, command.request_id)
    if len(state.topics) >= TOPICS_MAX:
        raise StreamlogError(
            Reason.INVALID_REQUEST, f"the cluster has {TOPICS_MAX} topics, the most allowed"
        )
    check_partition_count(command.partition_count, 0, state.partition_count)
    check_replication_factor(command.replication_factor, len(state.nodes))
    overrides, _ = changed_overrides((), command.overrides, ())
    record = TopicCreated(
        state.next_topic_id,
        command.name,
        _place(
            state, None, command.partition_count, command.replication_factor, command.avoided_nodes
        ),
        overrides,
        command.request_id,
    )
    topic = _new_topic(record, _NOWHERE)
    return Decision(() if command.validate_only else (record,), topic)


def _alter_topic(state: MetadataState, command: AlterTopic) -> Decision[Record]:
    topic = _find_topic(state, command.name, command.request_id)
    if _was_done(state, command.request_id):
        return Decision((), topic)
    overrides, config = changed_overrides(topic.overrides, command.overrides, command.unset)
    altered = replace(topic, overrides=overrides, config=config)
    if command.validate_only or overrides == topic.overrides:
        return Decision((), altered)
    return Decision((TopicConfigured(topic.topic_id, overrides, command.request_id),), altered)


def _add_partitions(state: MetadataState, command: AddPartitions) -> Decision[Record]:
    topic = _find_topic(state, command.name, command.request_id)
    if _was_done(state, command.request_id):
        return Decision((), topic)
    present = len(topic.partitions)
    check_partition_count(command.partition_count, present, state.partition_count)
    replication_factor = len(topic.partitions[0].replicas)
    check_replication_factor(replication_factor, len(state.nodes))
    placed = _place(
        state, topic, command.partition_count - present, replication_factor, command.avoided_nodes
    )
    grown = _grown(topic, placed, _NOWHERE)
    if command.validate_only:
        return Decision((), grown)
    return Decision((PartitionsAdded(topic.topic_id, placed, command.request_id),), grown)


def _delete_topic(state: MetadataState, command: DeleteTopic) -> Decision[Record]:
    if _was_done(state, command.request_id):
        return Decision((), None)
    topic = _find_topic(state, command.name)
    return Decision((TopicDeleted(topic.topic_id, command.request_id),), None)


def _was_done(state: MetadataState, request_id: int) -> bool:
    return request_id != 0 and request_id in state.recent_requests


def _check_not_undone(state: MetadataState, name: str, request_id: int) -> None:
    """A request that was carried out once and comes again after somebody deleted its topic is
    neither refused (it had its effect, and others may have seen it) nor carried out again."""
    if _was_done(state, request_id):
        raise StreamlogError(
            Reason.METADATA_OUTCOME_UNKNOWN,
            f"the change of topic {name!r} was made, and the topic deleted since",
        )


def _allocate_producer_ids(state: MetadataState, command: AllocateProducerIds) -> Decision[Record]:
    first, count = state.next_producer_id, command.count
    if not 1 <= count <= PRODUCER_IDS_PER_BLOCK_MAX or first + count > PRODUCER_ID_MAX:
        raise StreamlogError(
            Reason.INVALID_REQUEST,
            f"a block of {count} producer ids is out of range: 1 to {PRODUCER_IDS_PER_BLOCK_MAX}",
        )
    record = ProducerIdsAllocated(command.node_id, first + count)
    return Decision((record,), ProducerIdBlock(first, count))


def _place(
    state: MetadataState,
    topic: Topic | None,
    count: int,
    replication_factor: int,
    avoided: tuple[NodeId, ...],
) -> tuple[Placed, ...]:
    """Place `count` partitions more, with group ids from the next one on."""
    preferred = [node for node in state.nodes.values() if node.node_id not in avoided]
    nodes = preferred if len(preferred) >= replication_factor else list(state.nodes.values())
    none = Load(0, 0)
    of_topic = changed_loads({}, topic.partitions if topic else ())
    candidates = [
        Candidate(
            node.node_id,
            node.rack,
            of_topic.get(node.node_id, none).replicas,
            of_topic.get(node.node_id, none).leaders,
            state.loads.get(node.node_id, none).replicas,
            state.loads.get(node.node_id, none).leaders,
        )
        for node in nodes
    ]
    # Replicas of one node are equal in all partitions: one object serves them all.
    made: dict[tuple[int, NodeId], Replica] = {}
    placed: list[Placed] = []
    for index, chosen in enumerate(place(count, replication_factor, candidates)):
        replicas: list[Replica] = []
        for position, node_id in enumerate(chosen, start=1):
            key = (position, node_id)
            if key not in made:
                directory_id = state.nodes[node_id].directory_id
                made[key] = Replica(ReplicaId(position), node_id, directory_id)
            replicas.append(made[key])
        placed.append(Placed(GroupId(state.next_group_id + index), tuple(replicas)))
    return tuple(placed)


def _partitions(
    topic_id: int, placed: tuple[Placed, ...], first: int, offset: Offset
) -> tuple[Partition, ...]:
    return tuple(
        Partition(topic_id, number, each.group_id, each.replicas, offset)
        for number, each in enumerate(placed, start=first)
    )


def _new_topic(record: TopicCreated, offset: Offset) -> Topic:
    return Topic(
        record.topic_id,
        record.name,
        _partitions(record.topic_id, record.partitions, 0, offset),
        TopicConfig.from_stored(dict(record.overrides)),
        record.overrides,
        1,
        record.request_id,
    )


def _grown(topic: Topic, placed: tuple[Placed, ...], offset: Offset) -> Topic:
    more = _partitions(topic.topic_id, placed, len(topic.partitions), offset)
    return replace(topic, partitions=topic.partitions + more, routing_epoch=topic.routing_epoch + 1)


def replay(state: MetadataState, record: Record, offset: Offset) -> MetadataState:
    """The state after a record; see StateMachine.replay."""
    match record:
        case NodeRegistered():
            return replace(
                state,
                nodes={**state.nodes, record.node_id: _node(state, record)},
                next_metadata_replica_id=max(
                    state.next_metadata_replica_id, record.metadata_replica_id + 1
                ),
            )
        case TopicCreated():
            return _noted(_with_topic(state, _new_topic(record, offset)), record.request_id)
        case TopicConfigured():
            topic = state.topics.get(record.topic_id)
            if topic is None:
                return state
            config = TopicConfig.from_stored(dict(record.overrides))
            altered = replace(topic, overrides=record.overrides, config=config)
            return _noted(_with_topic(state, altered), record.request_id)
        case PartitionsAdded():
            topic = state.topics.get(record.topic_id)
            if topic is None:
                return state
            grown = _grown(topic, record.partitions, offset)
            return _noted(_with_topic(state, grown), record.request_id)
        case TopicDeleted():
            return _noted(_without_topic(state, record.topic_id), record.request_id)
        case ProducerIdsAllocated():
            highest = max(state.next_producer_id, record.next_producer_id)
            return replace(state, next_producer_id=highest)
        case _:
            assert_never(record)


def _noted(state: MetadataState, request_id: int) -> MetadataState:
    if request_id == 0:
        return state
    recent = (*state.recent_requests, request_id)[-RECENT_REQUESTS_MAX:]
    return replace(state, recent_requests=recent)


def _with_topic(state: MetadataState, topic: Topic) -> MetadataState:
    before = state.topics.get(topic.topic_id)
    present = len(before.partitions) if before else 0
    more = topic.partitions[present:]
    new_groups = (partition.group_id for partition in more)
    return replace(
        state,
        topics={**state.topics, topic.topic_id: topic},
        topics_by_name={**state.topics_by_name, topic.name: topic},
        next_topic_id=max(state.next_topic_id, topic.topic_id + 1),
        next_group_id=max(state.next_group_id, max(new_groups, default=0) + 1),
        partition_count=state.partition_count + len(more),
        loads=changed_loads(state.loads, more),
    )


def _without_topic(state: MetadataState, topic_id: int) -> MetadataState:
    topic = state.topics.get(topic_id)
    if topic is None:
        return state
    topics, by_name = dict(state.topics), dict(state.topics_by_name)
    del topics[topic_id]
    del by_name[topic.name]
    return replace(
        state,
        topics=topics,
        topics_by_name=by_name,
        partition_count=state.partition_count - len(topic.partitions),
        loads=changed_loads(state.loads, topic.partitions, -1),
    )
