"""Decides where partitions shall live: moves, replication factors, lost replicas, and their end.

A decision changes only what is wanted. The group's leader brings the group there by learners and
joint consensus, each step carrying the version of the wish, and tells by SettlePartitions. Until
then every replica that may still be needed is kept (`leaving`).

Invariant: a partition is settled only by a report of the wish's own version: then the committed
members are exactly those wanted, and no leader can go back to an older wish.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from replication.runtime.machine import Decision
from replication.types import NodeId, Offset, Replica, ReplicaId
from streamlog.cluster.metadata.checks import REPLICATION_FACTOR_MAX, check_replication_factor
from streamlog.cluster.metadata.majorities import is_majority
from streamlog.cluster.metadata.nodes import find_node
from streamlog.cluster.metadata.records import (
    Assignment,
    PartitionsReassigned,
    PartitionsSettled,
    Reassignment,
    ReassignPartitions,
    Record,
    RenewReplica,
    SetReplicationFactor,
    SettlePartitions,
)
from streamlog.cluster.metadata.relocation import Relocation, hosts
from streamlog.cluster.metadata.replay import reassigned_partition, was_done
from streamlog.cluster.metadata.state import MetadataState, NodeCondition, Partition, Topic
from streamlog.cluster.metadata.topics import find_topic
from streamlog.model.errors import Reason, StreamlogError

ASSIGNMENTS_MAX = 1_000
"""Of one command: bounds its record."""
LEAVING_MAX = 2 * REPLICATION_FACTOR_MAX
"""Replicas that a partition may have left behind before its move is settled."""
_NOWHERE = Offset(0)


def reassign_partitions(state: MetadataState, command: ReassignPartitions) -> Decision[Record]:
    """All of the assignments, or none; with `order_only`, those that still fit. Answers with the
    partitions as they are wanted then."""
    if len(command.assignments) > ASSIGNMENTS_MAX:
        raise StreamlogError(
            Reason.INVALID_REQUEST,
            f"{len(command.assignments)} partitions at once, at most {ASSIGNMENTS_MAX} are allowed",
        )
    if was_done(state, command.request_id):
        return Decision((), tuple(_find(state, each) for each in command.assignments))
    wanted: dict[tuple[int, int], Partition] = {}
    reassignments: list[Reassignment] = []
    for assignment in command.assignments:
        partition = _find(state, assignment)
        if command.order_only and not _is_other_order(partition, assignment):
            continue  # Another wish came first.
        key = (partition.topic_id, partition.number)
        if key in wanted:
            raise _invalid(assignment, "is named twice")
        _check_nodes(state, assignment, partition, command.dead_nodes, command.force)
        replicas = _replicas(state, partition, assignment.node_ids)
        wanted[key] = reassigned_partition(partition, replicas, _NOWHERE)
        _check_leaving(wanted[key], assignment)
        if replicas != partition.replicas:
            reassignments.append(Reassignment(*key, replicas))
    answer = tuple(wanted.values())
    if command.validate_only or not reassignments:
        return Decision((), answer)
    return Decision((PartitionsReassigned(tuple(reassignments), command.request_id),), answer)


def set_replication_factor(state: MetadataState, command: SetReplicationFactor) -> Decision[Record]:
    """More replicas, or fewer, of all partitions of a topic. Answers with the topic."""
    topic = find_topic(state, command.topic)
    if was_done(state, command.request_id):
        return Decision((), topic)
    check_replication_factor(command.replication_factor, len(hosts(state)))
    relocation = Relocation(state, command.dead_nodes)
    partitions: list[Partition] = []
    reassignments: list[Reassignment] = []
    for partition in topic.partitions:
        move = relocation.resized(partition, command.replication_factor)
        if move is None:
            raise StreamlogError(
                Reason.INVALID_REPLICATION_FACTOR,
                f"{command.replication_factor} replicas of {command.topic}/{partition.number}:"
                " too few nodes are alive and in service",
            )
        assignment = Assignment(topic.name, partition.number, move.node_ids)
        _check_nodes(state, assignment, partition, command.dead_nodes, force=False)
        replicas = _replicas(state, partition, move.node_ids)
        partitions.append(reassigned_partition(partition, replicas, _NOWHERE))
        if replicas != partition.replicas:
            reassignments.append(Reassignment(topic.topic_id, partition.number, replicas))
    resized = replace(topic, partitions=tuple(partitions))
    if command.validate_only or not reassignments:
        return Decision((), resized)
    return Decision((PartitionsReassigned(tuple(reassignments), command.request_id),), resized)


def renew_replica(state: MetadataState, command: RenewReplica) -> Decision[Record]:
    """A new replica, of a new id, in the place of one that its node lost. Nothing is done for the
    only replica that a partition has and had: there is nobody to copy it from."""
    topic = state.topics.get(command.topic_id)
    if topic is None or command.partition >= len(topic.partitions):
        return Decision((), None)
    partition = topic.partitions[command.partition]
    ids = [replica.replica_id for replica in partition.replicas]
    if command.replica_id not in ids or len(ids) + len(partition.leaving) == 1:
        return Decision((), None)
    new_id = ReplicaId(partition.next_replica_id)
    replicas = tuple(
        replace(replica, replica_id=new_id) if replica.replica_id == command.replica_id else replica
        for replica in partition.replicas
    )
    record = PartitionsReassigned((Reassignment(topic.topic_id, partition.number, replicas),))
    return Decision((record,), None)


def settle_partitions(state: MetadataState, command: SettlePartitions) -> Decision[Record]:
    """Groups that have come to exactly what is wanted; other reports are late, and mean nothing."""
    settled: dict[tuple[int, int], None] = {}
    for group in command.groups:
        topic = state.topics.get(group.topic_id)
        if topic is None or group.partition >= len(topic.partitions):
            continue
        partition = topic.partitions[group.partition]
        wanted = tuple(sorted(replica.replica_id for replica in partition.replicas))
        if partition.moving and group.version == partition.version and group.replica_ids == wanted:
            settled[(group.topic_id, group.partition)] = None
    return Decision((PartitionsSettled(tuple(settled)),) if settled else (), None)


# -- checks ---------------------------------------------------------------------------------------


def _find(state: MetadataState, assignment: Assignment) -> Partition:
    topic: Topic = find_topic(state, assignment.topic)
    if not 0 <= assignment.partition < len(topic.partitions):
        raise StreamlogError(
            Reason.UNKNOWN_PARTITION,
            f"topic {assignment.topic!r} has no partition {assignment.partition}: 0 to"
            f" {len(topic.partitions) - 1}",
        )
    return topic.partitions[assignment.partition]


def _is_other_order(partition: Partition, assignment: Assignment) -> bool:
    return not partition.moving and sorted(partition.node_ids) == sorted(assignment.node_ids)


def _check_nodes(
    state: MetadataState,
    assignment: Assignment,
    partition: Partition,
    dead: Collection[NodeId],
    force: bool,
) -> None:
    nodes = assignment.node_ids
    if not 1 <= len(nodes) <= REPLICATION_FACTOR_MAX or len(dict.fromkeys(nodes)) != len(nodes):
        raise _invalid(
            assignment,
            f"shall be on nodes {_listed(nodes)}: 1 to {REPLICATION_FACTOR_MAX} different ones are"
            " needed",
        )
    present = dict.fromkeys(
        replica.node_id for replica in (*partition.replicas, *partition.leaving)
    )
    for node_id in nodes:
        node = find_node(state, node_id)
        if node_id in present:
            continue
        if node_id in dead:
            raise _invalid(assignment, f"can not go to node {node_id}, which seems dead")
        if node.condition is not NodeCondition.ACTIVE:
            raise _invalid(
                assignment, f"can not go to node {node_id}, which is drained or in maintenance"
            )
    if force or sorted(nodes) == sorted(partition.node_ids):
        return
    for what, members in (("present", partition.node_ids), ("new", nodes)):
        live = sum(node_id not in dead for node_id in members)
        if not is_majority(live, len(members)):
            raise _at_risk(assignment, f"only {live} of its {what} nodes {_listed(members)} live")


def _check_leaving(wanted: Partition, assignment: Assignment) -> None:
    if len(wanted.leaving) > LEAVING_MAX:
        raise _invalid(
            assignment,
            f"has left {len(wanted.leaving)} replicas behind, at most {LEAVING_MAX} are allowed:"
            " wait until the move is settled",
        )


def _replicas(
    state: MetadataState, partition: Partition, nodes: Collection[NodeId]
) -> tuple[Replica, ...]:
    """Those that are there, or were and are not deleted yet; else new ones."""
    present: dict[NodeId, Replica] = {}
    for replica in (*partition.replicas, *reversed(partition.leaving)):
        present.setdefault(replica.node_id, replica)
    next_id = partition.next_replica_id
    replicas: list[Replica] = []
    for node_id in nodes:
        known = present.get(node_id)
        if known is None:
            known = Replica(ReplicaId(next_id), node_id, state.nodes[node_id].directory_id)
            next_id += 1
        replicas.append(known)
    return tuple(replicas)


def _listed(nodes: Collection[NodeId]) -> str:
    return ", ".join(str(node_id) for node_id in nodes) or "none"


def _invalid(assignment: Assignment, what: str) -> StreamlogError:
    return StreamlogError(
        Reason.INVALID_REQUEST,
        f"{assignment.topic}/{assignment.partition} {what}",
    )


def _at_risk(assignment: Assignment, what: str) -> StreamlogError:
    return StreamlogError(
        Reason.MAJORITY_AT_RISK,
        f"{assignment.topic}/{assignment.partition}: {what}",
        {"topic": assignment.topic, "partition": str(assignment.partition)},
    )
