"""Decides about topics: creation, settings, more partitions, deletion."""

from __future__ import annotations

from dataclasses import replace

from replication.runtime.machine import Decision
from replication.types import GroupId, NodeId, Offset, Replica, ReplicaId
from streamlog.cluster.metadata.checks import (
    TOPICS_MAX,
    changed_overrides,
    check_partition_count,
    check_replication_factor,
    check_topic_name,
)
from streamlog.cluster.metadata.placement import place
from streamlog.cluster.metadata.records import (
    AddPartitions,
    AlterTopic,
    CreateTopic,
    DeleteTopic,
    PartitionsAdded,
    Placed,
    Record,
    TopicConfigured,
    TopicCreated,
    TopicDeleted,
)
from streamlog.cluster.metadata.relocation import candidates, hosts, in_service
from streamlog.cluster.metadata.replay import grown_topic, new_topic, was_done
from streamlog.cluster.metadata.state import MetadataState, Topic
from streamlog.model.errors import Reason, StreamlogError

_NOWHERE = Offset(0)


def find_topic(state: MetadataState, name: str, request_id: int = 0) -> Topic:
    """The topic that a request is about. Raises UNKNOWN_TOPIC, INVALID_TOPIC_NAME, and for a
    repeated request that had its effect on a topic that is gone since, METADATA_OUTCOME_UNKNOWN."""
    topic = state.topics_by_name.get(name)
    if topic is None:
        _check_not_undone(state, name, request_id)
        check_topic_name(name)
        raise StreamlogError(Reason.UNKNOWN_TOPIC, f"there is no topic {name!r}", {"topic": name})
    return topic


def create_topic(state: MetadataState, command: CreateTopic) -> Decision[Record]:
    """Answers with the topic."""
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
    check_replication_factor(command.replication_factor, len(hosts(state)))
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
    topic = new_topic(record, _NOWHERE)
    return Decision(() if command.validate_only else (record,), topic)


def alter_topic(state: MetadataState, command: AlterTopic) -> Decision[Record]:
    """Answers with the topic as altered."""
    topic = find_topic(state, command.name, command.request_id)
    if was_done(state, command.request_id):
        return Decision((), topic)
    overrides, config = changed_overrides(topic.overrides, command.overrides, command.unset)
    altered = replace(topic, overrides=overrides, config=config)
    if command.validate_only or overrides == topic.overrides:
        return Decision((), altered)
    return Decision((TopicConfigured(topic.topic_id, overrides, command.request_id),), altered)


def add_partitions(state: MetadataState, command: AddPartitions) -> Decision[Record]:
    """Answers with the topic as grown."""
    topic = find_topic(state, command.name, command.request_id)
    if was_done(state, command.request_id):
        return Decision((), topic)
    present = len(topic.partitions)
    check_partition_count(command.partition_count, present, state.partition_count)
    replication_factor = len(topic.partitions[0].replicas)
    check_replication_factor(replication_factor, len(hosts(state)))
    placed = _place(
        state, topic, command.partition_count - present, replication_factor, command.avoided_nodes
    )
    grown = grown_topic(topic, placed, _NOWHERE)
    if command.validate_only:
        return Decision((), grown)
    return Decision((PartitionsAdded(topic.topic_id, placed, command.request_id),), grown)


def delete_topic(state: MetadataState, command: DeleteTopic) -> Decision[Record]:
    """Answers with nothing."""
    if was_done(state, command.request_id):
        return Decision((), None)
    topic = find_topic(state, command.name)
    return Decision((TopicDeleted(topic.topic_id, command.request_id),), None)


def _check_not_undone(state: MetadataState, name: str, request_id: int) -> None:
    """A request that was carried out once and comes again after somebody deleted its topic is
    neither refused (it had its effect, and others may have seen it) nor carried out again."""
    if was_done(state, request_id):
        raise StreamlogError(
            Reason.METADATA_OUTCOME_UNKNOWN,
            f"the change of topic {name!r} was made, and the topic deleted since",
        )


def _place(
    state: MetadataState,
    topic: Topic | None,
    count: int,
    replication_factor: int,
    avoided: tuple[NodeId, ...],
) -> tuple[Placed, ...]:
    """Place `count` partitions more, with group ids from the next one on."""
    able = in_service(state, avoided)
    nodes = able if len(able) >= replication_factor else hosts(state)
    # Replicas of one node are equal in all partitions: one object serves them all.
    made: dict[tuple[int, NodeId], Replica] = {}
    placed: list[Placed] = []
    chosen_nodes = place(count, replication_factor, candidates(state, topic, nodes))
    for index, chosen in enumerate(chosen_nodes):
        replicas: list[Replica] = []
        for position, node_id in enumerate(chosen, start=1):
            key = (position, node_id)
            if key not in made:
                directory_id = state.nodes[node_id].directory_id
                made[key] = Replica(ReplicaId(position), node_id, directory_id)
            replicas.append(made[key])
        placed.append(Placed(GroupId(state.next_group_id + index), tuple(replicas)))
    return tuple(placed)
