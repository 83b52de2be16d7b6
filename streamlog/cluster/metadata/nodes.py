"""Decides about nodes: registrations, what operators want of them, their end, and who votes on the
metadata.

Rules:
1. A node id belongs to one data directory for ever. A node that was removed never comes back.
2. What would leave a partition, or the metadata, without a majority is refused; `force` is for
   those who know better (a maintenance that is short, a partition that is lost anyway). Members
   that are in force count as well as those that are wanted.
3. A node is removed when nothing is on it and it does not vote.
4. What is so already is answered as done, whatever would stand against it now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from replication.runtime.machine import Decision
from replication.types import NodeId, ReplicaId
from streamlog.cluster.metadata.checks import ADDRESS_CHARACTERS_MAX, RACK_CHARACTERS_MAX
from streamlog.cluster.metadata.majorities import goes_on_without, is_majority, keeps_majority
from streamlog.cluster.metadata.records import (
    ControllersSet,
    NodeConditionSet,
    NodeRegistered,
    NodeRemoved,
    Record,
    RegisterNode,
    RemoveNode,
    SetControllers,
    SetNodeCondition,
)
from streamlog.cluster.metadata.replay import registered_node, was_done
from streamlog.cluster.metadata.state import MetadataState, Node, NodeCondition, Partition
from streamlog.model.errors import Reason, StreamlogError

CONTROLLERS_MAX = 7
_NAMED_MAX = 5
"""Partitions that a refusal names."""


def find_node(state: MetadataState, node_id: NodeId) -> Node:
    """The node. Raises UNKNOWN_NODE."""
    node = state.nodes.get(node_id)
    if node is None:
        known = ", ".join(str(each) for each in sorted(state.nodes))
        gone = " (it was removed)" if node_id in state.removed_nodes else ""
        raise StreamlogError(
            Reason.UNKNOWN_NODE,
            f"there is no node {node_id}{gone}; registered are {known or 'none'}",
            {"node_id": str(node_id)},
        )
    return node


def register_node(state: MetadataState, command: RegisterNode) -> Decision[Record]:
    """Let a node take part, anew or again. Answers with the node."""
    founding = state.founding
    if command.cluster_id not in {0, founding.cluster_id}:
        raise StreamlogError(
            Reason.CLUSTER_MISMATCH,
            f"node {command.node_id} belongs to cluster {command.cluster_id:032x}, this is"
            f" cluster {founding.cluster_id:032x}",
            {"cluster_id": f"{founding.cluster_id:032x}"},
        )
    _check_registration(command)
    if command.node_id in state.removed_nodes:
        raise StreamlogError(
            Reason.NODE_ID_TAKEN,
            f"node {command.node_id} was removed from the cluster: start it with an empty data"
            " directory and a node id that was never used",
            {"node_id": str(command.node_id)},
        )
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
    if replica_id == command.lost_metadata_replica:
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
    node = registered_node(state, record)
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


def set_node_condition(state: MetadataState, command: SetNodeCondition) -> Decision[Record]:
    """Take a node out of service, or back into it. Answers with the node."""
    node = find_node(state, command.node_id)
    if was_done(state, command.request_id):
        return Decision((), node)
    if command.replacement and command.condition is not NodeCondition.DRAINING:
        raise StreamlogError(
            Reason.INVALID_REQUEST,
            f"node {command.replacement} is named as the replacement of node {node.node_id}, which"
            " shall not be drained",
        )
    changed = (node.condition, node.replacement) != (command.condition, command.replacement)
    # Who only checks a maintenance asks whether the node may be away now, in maintenance or not.
    if command.condition is NodeCondition.MAINTENANCE and (changed or command.validate_only):
        _check_maintenance(state, node, command)
    elif command.condition is NodeCondition.DRAINING and changed:
        _check_draining(state, node, command)
    record = NodeConditionSet(
        node.node_id, command.condition, command.replacement, command.request_id
    )
    if command.validate_only or not changed:
        return Decision((), node)
    return Decision((record,), node)


def _check_maintenance(state: MetadataState, node: Node, command: SetNodeCondition) -> None:
    if command.force:
        return
    resting = (
        other.node_id
        for other in state.nodes.values()
        if other.condition is NodeCondition.MAINTENANCE
    )
    away = dict.fromkeys((node.node_id, *command.dead_nodes, *resting))
    _check_metadata(state, node, command, away)
    stuck = [
        partition
        for partition in state.node_groups(node.node_id)
        if not goes_on_without(partition, away)
    ]
    moving = [partition for partition in stuck if partition.moving]
    wait = f"; {_named(state, moving)} on the way to other nodes: wait for that" if moving else ""
    what = f"would be without a majority while {node.node_id} rests"
    _refuse_stuck(state, node, stuck, what, away, wait)


def _check_metadata(
    state: MetadataState,
    node: Node,
    command: SetNodeCondition,
    away: Collection[NodeId],
) -> None:
    """Refuse when the node is missing for a majority of those that vote, or shall."""
    for what, members in (
        ("controllers", state.controllers),
        ("nodes that vote on the metadata now", command.voters),
        ("nodes that voted on the metadata before", command.old_voters),
    ):
        if node.node_id not in members or keeps_majority(members, away):
            continue
        left = sum(each not in away for each in members)
        change = ""
        if command.voters and (command.old_voters or command.voters != state.controllers):
            present = sorted(dict.fromkeys((*command.voters, *command.old_voters)))
            change = (
                f"; the controllers change: {_listed(state.controllers)} shall vote,"
                f" {_listed(present)} do: wait until that is done"
            )
        raise StreamlogError(
            Reason.MAJORITY_AT_RISK,
            f"without node {node.node_id} only {left} of {len(members)} {what}"
            f" would serve (away: {_listed(away)}): the metadata would have no majority{change}",
            {"node_id": str(node.node_id)},
        )


def _check_draining(state: MetadataState, node: Node, command: SetNodeCondition) -> None:
    if command.replacement:
        other = find_node(state, command.replacement)
        usable = other.condition is NodeCondition.ACTIVE and other is not node
        if not usable or other.node_id in command.dead_nodes:
            raise StreamlogError(
                Reason.INVALID_REQUEST,
                f"node {other.node_id} can not replace node {node.node_id}: it must be another"
                " one, alive, and neither drained nor in maintenance",
            )
    others = sum(
        other.node_id != node.node_id and other.condition is not NodeCondition.DRAINING
        for other in state.nodes.values()
    )
    for partition in state.node_groups(node.node_id):
        if len(partition.replicas) > others:
            raise StreamlogError(
                Reason.INVALID_REPLICATION_FACTOR,
                f"{_named(state, [partition])} has {len(partition.replicas)} replicas, and only"
                f" {others} other nodes can hold one: add a node, or lower the replication factor",
            )
    if command.force:
        return
    # Nobody stops. After a forced recovery the majority that was is gone for good, and the wish is
    # what the partition comes to: it alone counts.
    dead = command.dead_nodes
    stuck = [
        partition
        for partition in state.node_groups(node.node_id)
        if not keeps_majority(partition.node_ids, dead)
    ]
    _refuse_stuck(state, node, stuck, "has no majority that could copy it", dead)


def _refuse_stuck(
    state: MetadataState,
    node: Node,
    stuck: list[Partition],
    what: str,
    away: Collection[NodeId],
    more: str = "",
) -> None:
    """Refuse when there are any such partitions."""
    if stuck:
        raise StreamlogError(
            Reason.MAJORITY_AT_RISK,
            f"{_named(state, stuck)} {what} (away: {_listed(away)}){more}; bring nodes back, add"
            " replicas, or force it",
            {"node_id": str(node.node_id), "partitions": str(len(stuck))},
        )


def remove_node(state: MetadataState, command: RemoveNode) -> Decision[Record]:
    """Forget a node that nothing is on. A repetition is no error."""
    if command.node_id in state.removed_nodes:
        return Decision((), None)
    node = find_node(state, command.node_id)
    if node.node_id in state.controllers:
        raise StreamlogError(
            Reason.NODE_IN_USE,
            f"node {node.node_id} is a controller: name other controllers first"
            f" (now {_listed(state.controllers)})",
            {"node_id": str(node.node_id)},
        )
    if node.node_id in command.voters:
        raise StreamlogError(
            Reason.NODE_IN_USE,
            f"node {node.node_id} still votes on the metadata ({_listed(command.voters)} do,"
            f" {_listed(state.controllers)} shall): wait until it votes no more",
            {"node_id": str(node.node_id)},
        )
    held = state.node_groups(node.node_id)
    if held:
        raise StreamlogError(
            Reason.NODE_IN_USE,
            f"node {node.node_id} holds {len(held)} replicas ({_named(state, held)}): drain it"
            " first",
            {"node_id": str(node.node_id), "partitions": str(len(held))},
        )
    record = NodeRemoved(node.node_id, command.request_id)
    return Decision(() if command.validate_only else (record,), node)


def set_controllers(state: MetadataState, command: SetControllers) -> Decision[Record]:
    """Let other nodes vote on the metadata."""
    wanted = tuple(sorted(dict.fromkeys(command.node_ids)))
    if not 1 <= len(command.node_ids) <= CONTROLLERS_MAX or len(wanted) != len(command.node_ids):
        raise StreamlogError(
            Reason.INVALID_REQUEST,
            f"controllers {_listed(command.node_ids)}: 1 to {CONTROLLERS_MAX} different nodes are"
            " needed, best 1, 3 or 5",
        )
    if wanted == state.controllers:
        return Decision((), wanted)
    for node_id in wanted:
        node = find_node(state, node_id)
        if node_id not in state.controllers and node.condition is not NodeCondition.ACTIVE:
            raise StreamlogError(
                Reason.INVALID_REQUEST,
                f"node {node_id} is drained or in maintenance: it can not become a controller",
            )
    # Of those that vote now a majority lives, whoever else shall vote: it commits this.
    live = sum(node_id not in command.dead_nodes for node_id in wanted)
    if not is_majority(live, len(wanted)):
        raise StreamlogError(
            Reason.MAJORITY_AT_RISK,
            f"only {live} of the {len(wanted)} new controllers {_listed(wanted)} live",
        )
    if command.validate_only:
        return Decision((), wanted)
    return Decision((ControllersSet(wanted, command.request_id),), wanted)


def _listed(nodes: Iterable[NodeId]) -> str:
    return ", ".join(str(node_id) for node_id in sorted(nodes)) or "none"


def _named(state: MetadataState, partitions: list[Partition]) -> str:
    names = [f"{state.topics[p.topic_id].name}/{p.number}" for p in partitions[:_NAMED_MAX]]
    more = len(partitions) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
