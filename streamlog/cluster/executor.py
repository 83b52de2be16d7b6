"""Executes commands on this node when it leads the metadata; serves the others' calls.

The class is the server's side of proto/streamlog/cluster/v1/cluster_service.proto.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from google.protobuf.message import DecodeError

from replication.group import GroupHost
from replication.ports import Service
from replication.raft.effects import Role
from replication.runtime.runtime import StateMachineRuntime
from replication.types import METADATA_GROUP, NodeId, Offset, Replica, halves, whole
from streamlog.cluster.calls import SERVICE, not_leader, to_call_failed, to_streamlog_error
from streamlog.cluster.committed_members import serve_list_members
from streamlog.cluster.formation import Identity, controllers_text
from streamlog.cluster.local_state import LocalStateFile
from streamlog.cluster.metadata.codec import (
    founding_from_proto,
    founding_to_proto,
    node_from_proto,
    node_to_proto,
    topic_from_proto,
    topic_to_proto,
)
from streamlog.cluster.metadata.command_codec import command_from_proto
from streamlog.cluster.metadata.machine import ProducerIdBlock
from streamlog.cluster.metadata.records import (
    AddPartitions,
    Command,
    CreateTopic,
    ReassignPartitions,
    Record,
    RegisterNode,
    RemoveNode,
    SetControllers,
    SetNodeCondition,
    SetReplicationFactor,
)
from streamlog.cluster.metadata.state import Founding, MetadataState, Node, Topic
from streamlog.cluster.repair import serve_read_log
from streamlog.cluster.v1 import cluster_service_pb2 as pb
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.node import NodeConfig

MetadataRuntime = StateMachineRuntime[MetadataState, Command, Record]

EXECUTE_TIMEOUT_MAX_MS: Final = 60_000
"""Longest that the metadata leader works at a command of another node; the caller's own bound is
usually shorter, and cancels the call."""


@dataclass(frozen=True, slots=True)
class Executed:
    """What a command led to."""

    metadata_offset: Offset
    founding: Founding
    topic: Topic | None = None
    node: Node | None = None
    first_producer_id: int = 0


class Executor:
    """Commands on the local replica of the metadata."""

    def __init__(
        self,
        config: NodeConfig,
        identity: Identity,
        view: ClusterView,
        host: GroupHost,
        local: LocalStateFile,
        boot_id: int,
    ) -> None:
        self._boot_id = boot_id
        self._config, self._identity = config, identity
        self._view, self._host, self._local = view, host, local
        self._runtime: MetadataRuntime | None = None

    def attach(self, runtime: MetadataRuntime) -> None:
        """The local replica is there from now on."""
        self._runtime = runtime

    @property
    def leads(self) -> bool:
        """This node leads the metadata, as far as it knows."""
        return self._runtime is not None and self._runtime.group.role is Role.LEADER

    def service(self) -> Service:
        """For the listener."""
        return Service(
            SERVICE,
            {
                "DescribeNode": self._serve_describe,
                "Execute": self._serve_execute,
                "ReadLog": partial(serve_read_log, self._host),
                "ListMembers": partial(serve_list_members, self._host),
            },
            {},
        )

    async def execute(self, command: Command, timeout_ms: float) -> Executed:
        """Decide and commit as the leader.

        Raises StreamlogError: NOT_LEADER with the leader's address, a refusal, or
        METADATA_OUTCOME_UNKNOWN.
        """
        runtime, founding = self._runtime, self._local.state.founding
        if runtime is None or founding is None or not self.leads:
            raise self._not_leader()
        match command:
            case RegisterNode():
                self._refuse_twin(command)
            case CreateTopic() | AddPartitions():
                command = replace(command, avoided_nodes=self._dead_nodes())
            case SetNodeCondition():
                members = runtime.group.membership
                command = replace(
                    command,
                    dead_nodes=self._dead_nodes(),
                    voters=_nodes(members.voters),
                    old_voters=_nodes(members.old_voters),
                )
            case RemoveNode():
                members = runtime.group.membership
                command = replace(command, voters=_nodes((*members.voters, *members.old_voters)))
            case SetControllers() | ReassignPartitions() | SetReplicationFactor():
                command = replace(command, dead_nodes=self._dead_nodes())
        try:
            response = await runtime.execute(command, timeout_ms)
        except Exception as error:
            raise to_streamlog_error(error, self._view) from error
        executed = Executed(runtime.applied, founding)
        match response:
            case Topic():
                return replace(executed, topic=response)
            case Node():
                return replace(executed, node=response)
            case ProducerIdBlock():
                return replace(executed, first_producer_id=response.first)
            case _:
                return executed

    def _dead_nodes(self) -> tuple[NodeId, ...]:
        """Registered nodes that this node, the metadata leader, does not hear of."""
        state = self._view.state
        return () if state is None else state.dead_nodes(self._host.live_nodes())

    def _not_leader(self) -> StreamlogError:
        known = self._host.leader_of(METADATA_GROUP)
        leader = None if known is None or known.node_id == self._identity.node_id else known.node_id
        address = None if leader is None else self._view.address_of(leader)
        return not_leader(leader, address, f"node {self._identity.node_id} leads no metadata")

    def _refuse_twin(self, command: RegisterNode) -> None:
        """Raises IDENTITY_IN_USE while another process is heard under the node's id."""
        known = self._view.node(command.node_id)
        if known is None or known.directory_id != command.directory_id:
            return  # The state machine judges it.
        heard = self._host.boot_of(command.node_id)
        if heard not in {0, command.boot_id}:
            raise StreamlogError(
                Reason.IDENTITY_IN_USE,
                f"node {command.node_id} is heard from another process: two run on one data"
                " directory, or on a copy of it",
                {"node_id": str(command.node_id)},
            )

    async def _serve_describe(self, request: bytes) -> bytes:
        try:
            asking = NodeId(pb.DescribeNodeRequest.FromString(request).node_id)
        except DecodeError:
            asking = NodeId(0)
        known = self._host.leader_of(METADATA_GROUP)
        high, low = halves(self._identity.directory_id)
        response = pb.DescribeNodeResponse(
            node_id=self._identity.node_id,
            directory_id_high=high,
            directory_id_low=low,
            controllers=controllers_text(self._config),
            boot_id=self._boot_id,
            heard_boot_id=self._host.boot_of(asking),
        )
        if self._local.state.founding is not None:
            response.founding.CopyFrom(founding_to_proto(self._local.state.founding))
        if known is not None:
            response.metadata_leader_node_id = known.node_id
            response.metadata_leader_address = self._view.address_of(known.node_id) or ""
        return response.SerializeToString()

    async def _serve_execute(self, request: bytes) -> bytes:
        try:
            return encode_executed(await self._checked(request))
        except StreamlogError as error:
            raise to_call_failed(error) from error

    async def _checked(self, data: bytes) -> Executed:
        try:
            request = pb.ExecuteRequest.FromString(data)
        except DecodeError as error:
            raise StreamlogError(
                Reason.MALFORMED_MESSAGE, "the request is no ExecuteRequest"
            ) from error
        if not self.leads:
            raise self._not_leader()  # Only the leader judges who belongs to the cluster.
        caller = whole(request.cluster_id_high, request.cluster_id_low)
        if caller not in {0, self._view.cluster_id}:
            raise StreamlogError(
                Reason.CLUSTER_MISMATCH,
                f"the caller belongs to cluster {caller:032x}, this is cluster"
                f" {self._view.cluster_id:032x}",
                {"cluster_id": f"{self._view.cluster_id:032x}"},
            )
        command = command_from_proto(request.command)
        if command is None:
            raise StreamlogError(
                Reason.UNSUPPORTED_VERSION, "the metadata leader does not know this command"
            )
        return await self.execute(command, EXECUTE_TIMEOUT_MAX_MS)


def _nodes(replicas: Iterable[Replica]) -> tuple[NodeId, ...]:
    """Of the replicas, ascending, each once."""
    return tuple(sorted(dict.fromkeys(replica.node_id for replica in replicas)))


def encode_executed(executed: Executed) -> bytes:
    """Wire form of an answer."""
    response = pb.ExecuteResponse(
        metadata_offset=executed.metadata_offset,
        first_producer_id=executed.first_producer_id,
        founding=founding_to_proto(executed.founding),
    )
    if executed.topic is not None:
        response.topic.CopyFrom(topic_to_proto(executed.topic))
    if executed.node is not None:
        response.node.CopyFrom(node_to_proto(executed.node))
    return response.SerializeToString()


def decode_executed(data: bytes) -> Executed:
    """From the wire form. Raises DecodeError."""
    message = pb.ExecuteResponse.FromString(data)
    founding = founding_from_proto(message.founding)
    return Executed(
        Offset(message.metadata_offset),
        founding,
        topic_from_proto(message.topic) if message.HasField("topic") else None,
        node_from_proto(message.node) if message.HasField("node") else None,
        message.first_producer_id,
    )
