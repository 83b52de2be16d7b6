"""What records mean: the state after each of them.

Invariant: total: any record that was ever decided is taken, in any state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from replication.types import NodeId, Offset, Replica
from streamlog.cluster.metadata.records import (
    ControllersSet,
    NodeConditionSet,
    NodeRegistered,
    NodeRemoved,
    PartitionsAdded,
    PartitionsReassigned,
    PartitionsSettled,
    Placed,
    ProducerIdsAllocated,
    Reassignment,
    Record,
    TopicConfigured,
    TopicCreated,
    TopicDeleted,
)
from streamlog.cluster.metadata.state import (
    RECENT_REQUESTS_MAX,
    MetadataState,
    Node,
    NodeCondition,
    Partition,
    Topic,
    changed_loads,
)
from streamlog.model.settings.topic import TopicConfig


def was_done(state: MetadataState, request_id: int) -> bool:
    """A request of that identity was carried out lately."""
    return request_id != 0 and request_id in state.recent_requests


def registered_node(state: MetadataState, record: NodeRegistered) -> Node:
    """The node after its registration."""
    known = state.nodes.get(record.node_id)
    return Node(
        record.node_id,
        record.address,
        record.rack,
        record.directory_id,
        record.boot_id,
        record.registered_at_ms,
        record.metadata_replica_id,
        record.node_id in state.controllers,
        known.condition if known else NodeCondition.ACTIVE,
        known.replacement if known else NodeId(0),
    )


def _partitions(
    topic_id: int, placed: tuple[Placed, ...], first: int, offset: Offset
) -> tuple[Partition, ...]:
    return tuple(
        Partition(
            topic_id,
            number,
            each.group_id,
            each.replicas,
            (offset,) * len(each.replicas),
            1 + max(replica.replica_id for replica in each.replicas),
        )
        for number, each in enumerate(placed, start=first)
    )


def new_topic(record: TopicCreated, offset: Offset) -> Topic:
    """The topic that the record at `offset` creates."""
    return Topic(
        record.topic_id,
        record.name,
        _partitions(record.topic_id, record.partitions, 0, offset),
        TopicConfig.from_stored(dict(record.overrides)),
        record.overrides,
        1,
        record.request_id,
    )


def grown_topic(topic: Topic, placed: tuple[Placed, ...], offset: Offset) -> Topic:
    """The topic with these partitions more."""
    more = _partitions(topic.topic_id, placed, len(topic.partitions), offset)
    return replace(topic, partitions=topic.partitions + more, routing_epoch=topic.routing_epoch + 1)


def replay(state: MetadataState, record: Record, offset: Offset) -> MetadataState:
    """The state after a record; see StateMachine.replay."""
    match record:
        case NodeRegistered():
            return _with_registration(state, record)
        case TopicCreated():
            return _noted(_with_topic(state, new_topic(record, offset)), record.request_id)
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
            grown = grown_topic(topic, record.partitions, offset)
            return _noted(_with_topic(state, grown), record.request_id)
        case TopicDeleted():
            return _noted(_without_topic(state, record.topic_id), record.request_id)
        case ProducerIdsAllocated():
            highest = max(state.next_producer_id, record.next_producer_id)
            return replace(state, next_producer_id=highest)
        case NodeConditionSet():
            return _noted(_with_condition(state, record), record.request_id)
        case NodeRemoved():
            return _noted(_without_node(state, record.node_id), record.request_id)
        case ControllersSet():
            return _noted(_with_controllers(state, record.node_ids), record.request_id)
        case PartitionsReassigned():
            for each in record.reassignments:
                state = _reassigned(state, each, offset)
            return _noted(state, record.request_id)
        case PartitionsSettled():
            return _settled(state, record.partitions)
        case _:
            assert_never(record)


def _noted(state: MetadataState, request_id: int) -> MetadataState:
    if request_id == 0:
        return state
    recent = (*state.recent_requests, request_id)[-RECENT_REQUESTS_MAX:]
    return replace(state, recent_requests=recent)


# Nodes.


def _with_registration(state: MetadataState, record: NodeRegistered) -> MetadataState:
    known, node_id = state.nodes.get(record.node_id), record.node_id
    voters = {each.node_id: each.replica_id for each in state.founding.membership.voters}
    before = voters.get(node_id) if known is None else known.metadata_replica_id
    joins = known is None and node_id not in state.controllers
    renewed = before is not None and before != record.metadata_replica_id
    return replace(
        state,
        nodes={**state.nodes, record.node_id: registered_node(state, record)},
        next_metadata_replica_id=max(
            state.next_metadata_replica_id, record.metadata_replica_id + 1
        ),
        members_version=state.members_version + (joins or renewed),
    )


def _with_condition(state: MetadataState, record: NodeConditionSet) -> MetadataState:
    node = state.nodes.get(record.node_id)
    if node is None:
        return state
    changed = replace(node, condition=record.condition, replacement=record.replacement)
    return replace(state, nodes={**state.nodes, node.node_id: changed})


def _without_node(state: MetadataState, node_id: NodeId) -> MetadataState:
    if node_id not in state.nodes:
        return state
    return replace(
        state,
        nodes={key: node for key, node in state.nodes.items() if key != node_id},
        removed_nodes=state.removed_nodes | {node_id},
        members_version=state.members_version + 1,
    )


def _with_controllers(state: MetadataState, node_ids: tuple[NodeId, ...]) -> MetadataState:
    return replace(
        state,
        controllers=node_ids,
        nodes={key: replace(node, controller=key in node_ids) for key, node in state.nodes.items()},
        members_version=state.members_version + 1,
    )


# Where partitions live.


def reassigned_partition(
    partition: Partition, replicas: tuple[Replica, ...], offset: Offset
) -> Partition:
    """The partition on its way to these replicas."""
    every = (*partition.replicas, *partition.leaving)
    before = dict(zip(every, partition.placed_offsets, strict=True))
    placed = tuple(before.get(replica, offset) for replica in replicas)
    if sorted(replicas) == sorted(partition.replicas):  # only the order is another
        placed += partition.placed_offsets[len(replicas) :]
        return replace(partition, replicas=replicas, placed_offsets=placed)
    leaving = dict.fromkeys((*partition.leaving, *partition.replicas))
    for replica in replicas:
        leaving.pop(replica, None)
    return replace(
        partition,
        replicas=replicas,
        placed_offsets=placed + tuple(before[replica] for replica in leaving),
        next_replica_id=max(
            partition.next_replica_id, 1 + max(replica.replica_id for replica in replicas)
        ),
        version=partition.version + 1,
        moving=True,
        leaving=tuple(leaving),
    )


def _reassigned(state: MetadataState, record: Reassignment, offset: Offset) -> MetadataState:
    partition = _find(state, record.topic_id, record.partition)
    if partition is None:
        return state
    return _with_partitions(state, [reassigned_partition(partition, record.replicas, offset)])


def _settled(state: MetadataState, partitions: Iterable[tuple[int, int]]) -> MetadataState:
    found = (_find(state, topic_id, number) for topic_id, number in partitions)
    return _with_partitions(
        state,
        [
            replace(
                partition,
                moving=False,
                leaving=(),
                never_settled=False,
                placed_offsets=partition.placed_offsets[: len(partition.replicas)],
            )
            for partition in found
            if partition
        ],
    )


def _find(state: MetadataState, topic_id: int, number: int) -> Partition | None:
    topic = state.topics.get(topic_id)
    if topic is None or number >= len(topic.partitions):
        return None
    return topic.partitions[number]


def _with_partitions(state: MetadataState, changed: list[Partition]) -> MetadataState:
    """Other versions of partitions that are there, each once."""
    topics, by_name = dict(state.topics), dict(state.topics_by_name)
    loads, moving = state.loads, dict(state.moving)
    by_topic: dict[int, dict[int, Partition]] = {}
    for partition in changed:
        by_topic.setdefault(partition.topic_id, {})[partition.number] = partition
        moving.pop(partition.group_id, None)
        if partition.moving:
            moving[partition.group_id] = partition
    for topic_id, numbers in by_topic.items():
        topic = topics[topic_id]
        loads = changed_loads(loads, [topic.partitions[number] for number in numbers], -1)
        loads = changed_loads(loads, numbers.values())
        partitions = tuple(numbers.get(each.number, each) for each in topic.partitions)
        topics[topic_id] = by_name[topic.name] = replace(topic, partitions=partitions)
    return replace(state, topics=topics, topics_by_name=by_name, loads=loads, moving=moving)


# Topics.


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
        moving={
            group_id: partition
            for group_id, partition in state.moving.items()
            if partition.topic_id != topic_id
        },
    )
