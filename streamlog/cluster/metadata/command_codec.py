"""Commands to the metadata as bytes: what nodes send to its leader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from replication.types import DirectoryId, NodeId, ReplicaId, halves, whole
from streamlog.cluster.metadata.codec import (
    CONDITIONS_TO_PROTO,
    overrides_from_proto,
    overrides_to_proto,
)
from streamlog.cluster.metadata.records import (
    AddPartitions,
    AllocateProducerIds,
    AlterTopic,
    Assignment,
    Command,
    CreateTopic,
    DeleteTopic,
    ReassignPartitions,
    RegisterNode,
    RemoveNode,
    RenewReplica,
    SetControllers,
    SetNodeCondition,
    SetReplicationFactor,
    SettledGroup,
    SettlePartitions,
)
from streamlog.cluster.metadata.state import NodeCondition
from streamlog.cluster.v1 import metadata_pb2 as pb


def command_to_proto(command: Command) -> pb.MetadataCommand:
    """Wire form, for the metadata leader."""
    message = pb.MetadataCommand()
    match command:
        case RegisterNode():
            register = message.register_node
            register.cluster_id_high, register.cluster_id_low = halves(command.cluster_id)
            node = register.node
            node.node_id, node.address, node.rack = command.node_id, command.address, command.rack
            node.directory_id_high, node.directory_id_low = halves(command.directory_id)
            node.boot_id, node.registered_at_ms = command.boot_id, command.registered_at_ms
            register.lost_metadata_replica_id = command.lost_metadata_replica
        case CreateTopic():
            create = message.create_topic
            create.name = command.name
            create.partition_count = command.partition_count
            create.replication_factor = command.replication_factor
            create.overrides.extend(overrides_to_proto(sorted(command.overrides.items())))
            create.request_id = command.request_id
            create.validate_only = command.validate_only
            create.avoided_node_ids.extend(command.avoided_nodes)
        case AlterTopic():
            alter = message.alter_topic
            alter.name = command.name
            alter.set.extend(overrides_to_proto(sorted(command.overrides.items())))
            alter.unset.extend(command.unset)
            alter.validate_only = command.validate_only
            alter.request_id = command.request_id
        case AddPartitions():
            add = message.add_partitions
            add.name, add.partition_count = command.name, command.partition_count
            add.validate_only = command.validate_only
            add.avoided_node_ids.extend(command.avoided_nodes)
            add.request_id = command.request_id
        case DeleteTopic():
            message.delete_topic.name = command.name
            message.delete_topic.request_id = command.request_id
        case AllocateProducerIds():
            message.allocate_producer_ids.node_id = command.node_id
            message.allocate_producer_ids.count = command.count
        case SetNodeCondition():
            condition = message.set_node_condition
            condition.node_id = command.node_id
            condition.condition = CONDITIONS_TO_PROTO[command.condition]
            condition.replacement_node_id = command.replacement
            condition.force, condition.validate_only = command.force, command.validate_only
            condition.dead_node_ids.extend(command.dead_nodes)
            condition.request_id = command.request_id
            condition.voter_node_ids.extend(command.voters)
            condition.old_voter_node_ids.extend(command.old_voters)
        case RemoveNode():
            message.remove_node.node_id = command.node_id
            message.remove_node.validate_only = command.validate_only
            message.remove_node.request_id = command.request_id
            message.remove_node.voter_node_ids.extend(command.voters)
        case SetControllers():
            controllers = message.set_controllers
            controllers.node_ids.extend(command.node_ids)
            controllers.validate_only = command.validate_only
            controllers.dead_node_ids.extend(command.dead_nodes)
            controllers.request_id = command.request_id
        case ReassignPartitions():
            reassign = message.reassign_partitions
            for each in command.assignments:
                reassign.assignments.add(
                    topic=each.topic, partition=each.partition, node_ids=each.node_ids
                )
            reassign.force, reassign.validate_only = command.force, command.validate_only
            reassign.dead_node_ids.extend(command.dead_nodes)
            reassign.request_id, reassign.order_only = command.request_id, command.order_only
        case SetReplicationFactor():
            factor = message.set_replication_factor
            factor.topic = command.topic
            factor.replication_factor = command.replication_factor
            factor.validate_only = command.validate_only
            factor.dead_node_ids.extend(command.dead_nodes)
            factor.request_id = command.request_id
        case RenewReplica():
            renew = message.renew_replica
            renew.topic_id, renew.partition = command.topic_id, command.partition
            renew.replica_id = command.replica_id
        case SettlePartitions():
            message.settle_partitions.SetInParent()
            for group in command.groups:
                message.settle_partitions.groups.add(
                    topic_id=group.topic_id,
                    partition=group.partition,
                    version=group.version,
                    replica_ids=group.replica_ids,
                )
        case _:
            assert_never(command)
    return message


def command_from_proto(message: pb.MetadataCommand) -> Command | None:
    """From the wire form; None when this version does not know the command."""
    match message.WhichOneof("command"):
        case "register_node":
            register = message.register_node
            node = register.node
            return RegisterNode(
                whole(register.cluster_id_high, register.cluster_id_low),
                NodeId(node.node_id),
                node.address,
                node.rack,
                DirectoryId(whole(node.directory_id_high, node.directory_id_low)),
                node.boot_id,
                node.registered_at_ms,
                ReplicaId(register.lost_metadata_replica_id),
            )
        case "create_topic":
            create = message.create_topic
            return CreateTopic(
                create.name,
                create.partition_count,
                create.replication_factor,
                _mapping(create.overrides),
                create.request_id,
                create.validate_only,
                _node_ids(create.avoided_node_ids),
            )
        case "alter_topic":
            alter = message.alter_topic
            return AlterTopic(
                alter.name,
                _mapping(alter.set),
                tuple(alter.unset),
                alter.validate_only,
                alter.request_id,
            )
        case "add_partitions":
            add = message.add_partitions
            return AddPartitions(
                add.name,
                add.partition_count,
                add.validate_only,
                _node_ids(add.avoided_node_ids),
                add.request_id,
            )
        case "delete_topic":
            return DeleteTopic(message.delete_topic.name, message.delete_topic.request_id)
        case "allocate_producer_ids":
            ids = message.allocate_producer_ids
            return AllocateProducerIds(NodeId(ids.node_id), ids.count)
        case "set_node_condition":
            condition = message.set_node_condition
            return SetNodeCondition(
                NodeId(condition.node_id),
                NodeCondition(condition.condition),
                NodeId(condition.replacement_node_id),
                condition.force,
                condition.validate_only,
                _node_ids(condition.dead_node_ids),
                condition.request_id,
                _node_ids(condition.voter_node_ids),
                _node_ids(condition.old_voter_node_ids),
            )
        case "remove_node":
            remove = message.remove_node
            return RemoveNode(
                NodeId(remove.node_id),
                remove.validate_only,
                remove.request_id,
                _node_ids(remove.voter_node_ids),
            )
        case "set_controllers":
            controllers = message.set_controllers
            return SetControllers(
                _node_ids(controllers.node_ids),
                controllers.validate_only,
                _node_ids(controllers.dead_node_ids),
                controllers.request_id,
            )
        case "reassign_partitions":
            reassign = message.reassign_partitions
            return ReassignPartitions(
                tuple(
                    Assignment(each.topic, each.partition, _node_ids(each.node_ids))
                    for each in reassign.assignments
                ),
                reassign.force,
                reassign.validate_only,
                _node_ids(reassign.dead_node_ids),
                reassign.request_id,
                reassign.order_only,
            )
        case "set_replication_factor":
            factor = message.set_replication_factor
            return SetReplicationFactor(
                factor.topic,
                factor.replication_factor,
                factor.validate_only,
                _node_ids(factor.dead_node_ids),
                factor.request_id,
            )
        case "renew_replica":
            renew = message.renew_replica
            return RenewReplica(renew.topic_id, renew.partition, ReplicaId(renew.replica_id))
        case "settle_partitions":
            return SettlePartitions(
                tuple(
                    SettledGroup(
                        group.topic_id,
                        group.partition,
                        group.version,
                        tuple(ReplicaId(replica_id) for replica_id in group.replica_ids),
                    )
                    for group in message.settle_partitions.groups
                )
            )
        case _:
            return None


def _node_ids(values: Iterable[int]) -> tuple[NodeId, ...]:
    return tuple(NodeId(value) for value in values)


def _mapping(messages: Iterable[pb.Override]) -> Mapping[str, str]:
    return dict(overrides_from_proto(messages))
