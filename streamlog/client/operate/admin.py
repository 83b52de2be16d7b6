"""Administration: topics, offsets, the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from streamlog.client.connections.cluster_metadata import CallPolicy, ClusterMetadata
from streamlog.client.connections.connection import (
    ADMIN_SERVICE,
    LOG_SERVICE,
    Connection,
    Connections,
)
from streamlog.client.connections.leader_calls import LeaderCalls
from streamlog.client.connections.offset_lookup import OffsetAtTime, OffsetLookup, Position
from streamlog.client.errors import ClientError, TopicUnknown
from streamlog.client.groups.coordinator_calls import CoordinatorCalls
from streamlog.client.operate.group_admin import GroupOperations
from streamlog.client.operate.operations import (
    ClusterOperations,
    NodeCondition,
    condition_from_wire,
)
from streamlog.client.records import TopicPartition
from streamlog.client.transport import Environment
from streamlog.v1 import admin_service_pb2 as pb
from streamlog.v1 import log_service_pb2

PAGE_SIZE: Final = 1_000
UNKNOWN_TOPIC_PAUSE_MS: Final = 20
_ROLES: Final = {
    int(pb.REPLICA_ROLE_LEADER): "leader",
    int(pb.REPLICA_ROLE_FOLLOWER): "follower",
    int(pb.REPLICA_ROLE_LEARNER): "learner",
}


@dataclass(frozen=True, slots=True)
class PartitionDescription:
    """A partition; leader 0: none is known."""

    partition: int
    leader_node_id: int
    leader_term: int
    replica_node_ids: tuple[int, ...]
    """Nodes that shall hold it, the preferred leader first."""
    group_id: int
    moving: bool = False
    """It is on its way to these nodes."""
    leaving_node_ids: tuple[int, ...] = ()
    """Nodes that hold a replica until that is done."""


@dataclass(frozen=True, slots=True)
class RecoveryMember:
    """A member of a group that is forced to go on."""

    replica_id: int
    node_id: int
    live: bool
    """The answering node heard of its node lately."""


@dataclass(frozen=True, slots=True)
class RecoveryNode:
    """Another node, which may have a replica of the group."""

    node_id: int
    address: str
    """host:port."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a group goes on with, or would go on with, when its majority is gone for good."""

    group_id: int
    term: int
    """Newest that the survivor had seen before."""
    start_offset: int
    end_offset: int
    """Offset after the last entry that is kept; every committed entry from here on is gone, and
    nobody who is left knows whether there was any."""
    committed_end_offset: int
    """As far as the survivor knows; what it keeps above may never have been acknowledged."""
    heard_committed_end_offset: int
    """As the last leader told it; where it is above `end_offset`, entries are gone for certain."""
    survivor: RecoveryMember
    left_behind: tuple[RecoveryMember, ...]
    forced: bool
    """It was done; False after a dry run."""
    cluster_id: str
    end_term: int = 0
    """Term of the last entry that is kept; 0: the node's version does not tell it. The best replica
    is the one with the highest (`end_term`, `end_offset`)."""
    other_nodes: tuple[RecoveryNode, ...] = ()
    """All that the answering node knows: each may have a better replica."""


@dataclass(frozen=True, slots=True)
class ConfigValue:
    """A setting in force."""

    key: str
    value: str
    overridden: bool
    documentation: str


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic; `config` is empty unless it was described."""

    name: str
    topic_id: int
    partitions: tuple[PartitionDescription, ...]
    config: tuple[ConfigValue, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicListing:
    """A topic in a list."""

    name: str
    topic_id: int
    partition_count: int
    replication_factor: int


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """A node."""

    node_id: int
    address: str
    rack: str
    live: bool
    controller: bool
    """It shall vote on the metadata."""
    condition: NodeCondition = NodeCondition.ACTIVE
    replacement_node_id: int = 0
    """While it is drained: the node that takes over all it has; 0: whichever suits best."""


@dataclass(frozen=True, slots=True)
class ReplicaDescription:
    """A partition's replica on one node."""

    node_id: int
    topic: str
    partition: int
    role: str
    """"leader", "follower" or "learner"."""
    start_offset: int
    end_offset: int
    """After the last entry that it stores, committed or not."""
    committed_end_offset: int
    size_bytes: int
    """On the node's disk."""
    segments: int
    end_term: int = 0
    """Term of the last entry that it stores, committed or not; 0: it never stored one, or the node's
    version does not tell it."""


@dataclass(frozen=True, slots=True)
class NodeReplicas:
    """What one node stores."""

    node_id: int
    disk_free_bytes: int
    replicas: tuple[ReplicaDescription, ...]


@dataclass(frozen=True, slots=True)
class DamagedRange:
    """Part of a log on one node that could not be read back, and is not served until it is mended."""

    node_id: int
    topic: str
    """Empty: the metadata."""
    partition: int
    start_offset: int
    end_offset: int
    """Exclusive."""
    of_snapshot: bool
    """Not part of the log, but the snapshot that stands for these offsets."""


@dataclass(frozen=True, slots=True)
class NodeDamage:
    """What one node met since its start and has not mended yet."""

    node_id: int
    range_count: int
    ranges: tuple[DamagedRange, ...]
    """The first 1,000, by topic, partition and offset."""


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """The cluster as the answering node sees it."""

    cluster_id: str
    nodes: tuple[NodeDescription, ...]
    metadata_leader_node_id: int
    topic_count: int
    partition_count: int
    leaderless_partition_count: int
    metadata_voter_node_ids: tuple[int, ...] = ()
    """Nodes that vote on the metadata at present; after a change of controllers those of before
    too, until it is carried out."""


class Admin(ClusterOperations, GroupOperations):
    """Administers topics, consumer groups and the cluster; an asynchronous context manager.

    Every method raises ClientError; its `reason` says what the node refused.
    """

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        *,
        client_id: str = "",
        policy: CallPolicy | None = None,
        environment: Environment | None = None,
    ) -> None:
        if environment is None:
            from streamlog.client.connections.real_environment import real_environment

            environment = real_environment()
        self._connections = Connections(environment, client_id)
        self._metadata = ClusterMetadata(
            bootstrap, self._connections, environment, policy or CallPolicy()
        )
        self._leaders = LeaderCalls(self._metadata, self._connections, environment)
        self._lookup = OffsetLookup(self._leaders)
        self._coordinators = CoordinatorCalls(self._metadata, self._connections, environment)
        self._environment = environment
        self._clock = environment.clock
        self._created: dict[str, None] = {}
        """Topics made here: another node may answer the next question, and know them a moment
        later."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections."""
        await self._connections.close()

    # Topics.

    async def create_topic(
        self,
        name: str,
        *,
        partitions: int = 0,
        replication_factor: int = 0,
        config: Mapping[str, str] | None = None,
        validate_only: bool = False,
    ) -> TopicDescription:
        """Create a topic; zeros stand for the cluster's defaults."""
        answer = await self._metadata.call_any(
            f"{ADMIN_SERVICE}CreateTopic",
            pb.CreateTopicRequest(
                name=name,
                partition_count=partitions,
                replication_factor=replication_factor,
                config=dict(config or {}),
                validate_only=validate_only,
            ),
            pb.CreateTopicResponse,
            idempotent=False,
        )
        if not validate_only:
            self._created[name] = None
        return _topic(answer.topic)

    async def alter_topic(
        self,
        name: str,
        *,
        config: Mapping[str, str] | None = None,
        unset: Sequence[str] = (),
        validate_only: bool = False,
    ) -> dict[str, str]:
        """Change settings; returns every setting that differs from its default afterwards.

        An indefinite error is raised rather than tried again: others may have changed the settings
        meanwhile, and a change that is made a second time would undo theirs.
        """
        answer = await self._metadata.call_any(
            f"{ADMIN_SERVICE}AlterTopic",
            pb.AlterTopicRequest(
                name=name, set=dict(config or {}), unset=list(unset), validate_only=validate_only
            ),
            pb.AlterTopicResponse,
            idempotent=validate_only,
        )
        return dict(answer.config)

    async def add_partitions(
        self, name: str, partitions: int, *, validate_only: bool = False
    ) -> TopicDescription:
        """Give the topic `partitions` partitions in all."""
        answer = await self._metadata.call_any(
            f"{ADMIN_SERVICE}AddPartitions",
            pb.AddPartitionsRequest(
                name=name, partition_count=partitions, validate_only=validate_only
            ),
            pb.AddPartitionsResponse,
            idempotent=False,
        )
        return _topic(answer.topic)

    async def delete_topic(self, name: str) -> None:
        """Delete the topic and its data."""
        self._created.pop(name, None)
        await self._metadata.call_any(
            f"{ADMIN_SERVICE}DeleteTopic",
            pb.DeleteTopicRequest(name=name),
            pb.DeleteTopicResponse,
            idempotent=False,
        )

    async def list_topics(self) -> list[TopicListing]:
        """Every topic, by name."""
        listed: list[TopicListing] = []
        token = ""
        while True:
            answer = await self._metadata.call_any(
                f"{ADMIN_SERVICE}ListTopics",
                pb.ListTopicsRequest(page_size=PAGE_SIZE, page_token=token),
                pb.ListTopicsResponse,
                idempotent=True,
            )
            listed += [
                TopicListing(t.name, t.topic_id, t.partition_count, t.replication_factor)
                for t in answer.topics
            ]
            token = answer.next_page_token
            if not token:
                return listed

    async def describe_topic(self, name: str) -> TopicDescription:
        """One topic with its leaders and settings."""
        deadline_ms = self._clock.monotonic_ms() + self._metadata.policy.unknown_topic_wait_ms
        while True:
            try:
                answer = await self._metadata.call_any(
                    f"{ADMIN_SERVICE}DescribeTopic",
                    pb.DescribeTopicRequest(name=name),
                    pb.DescribeTopicResponse,
                    idempotent=True,
                )
                break
            except TopicUnknown:
                if name not in self._created or self._clock.monotonic_ms() > deadline_ms:
                    raise
                await asyncio.sleep(UNKNOWN_TOPIC_PAUSE_MS / 1_000)
        config = tuple(
            ConfigValue(entry.key, entry.value, entry.overridden, entry.documentation)
            for entry in answer.config
        )
        return _topic(answer.topic, config)

    # Cluster and offsets.

    async def describe_cluster(self) -> ClusterDescription:
        """Nodes and counts."""
        answer = await self._metadata.call_any(
            f"{ADMIN_SERVICE}DescribeCluster",
            pb.DescribeClusterRequest(),
            pb.DescribeClusterResponse,
            idempotent=True,
        )
        return ClusterDescription(
            answer.cluster_id,
            tuple(
                NodeDescription(
                    n.node_id,
                    n.address,
                    n.rack,
                    n.live,
                    n.controller,
                    condition_from_wire(n.condition),
                    n.replacement_node_id,
                )
                for n in answer.nodes
            ),
            answer.metadata_leader_node_id,
            answer.topic_count,
            answer.partition_count,
            answer.leaderless_partition_count,
            tuple(answer.metadata_voter_node_ids),
        )

    async def list_offsets(
        self, partitions: Sequence[tuple[str, int]], position: Position
    ) -> dict[TopicPartition, OffsetAtTime]:
        """Offsets of (topic, partition) pairs.

        `position`: "earliest", "latest", or Unix milliseconds (the first offset whose timestamp
        is at or after; the end when all are before).
        """
        ids = await self._metadata.partition_ids(TopicPartition(*pair) for pair in partitions)
        found = await self._lookup.find(list(ids.values()), position)
        return dict(zip(ids, found, strict=True))

    async def trim(self, before: Mapping[tuple[str, int], int]) -> dict[TopicPartition, int]:
        """Let go, for ever, of the records below an offset of each partition.

        Returns where each log begins now: at the batch that holds the offset, which is kept
        whole. An offset below the present start changes nothing; one above the end raises
        OffsetOutOfRange, other partitions may have been trimmed then.
        """
        ids = await self._metadata.partition_ids(TopicPartition(*pair) for pair in before)
        trims = {
            ids[pair]: log_service_pb2.PartitionTrim(
                topic_id=ids[pair][0], partition=pair.partition, before_offset=offset
            )
            for pair, offset in zip(ids, before.values(), strict=True)
        }
        results = await self._leaders.each(trims, _trim)
        return {pair: results[identity].start_offset for pair, identity in ids.items()}

    async def describe_node(self, address: str, topic: str = "") -> NodeReplicas:
        """What the node at host:port itself stores, of one topic or of all."""
        answer = await self._connections.to(address).unary(
            f"{ADMIN_SERVICE}DescribeReplicas",
            pb.DescribeReplicasRequest(topic=topic),
            pb.DescribeReplicasResponse,
            self._metadata.policy.request_timeout_ms,
        )
        replicas = tuple(
            ReplicaDescription(
                answer.node_id,
                replica.topic,
                replica.partition,
                _ROLES.get(replica.role, "unknown"),
                replica.start_offset,
                replica.end_offset,
                replica.committed_end_offset,
                replica.size_bytes,
                replica.segment_count,
                replica.end_term,
            )
            for replica in answer.replicas
        )
        return NodeReplicas(answer.node_id, answer.disk_free_bytes, replicas)

    async def describe_damage(self, address: str) -> NodeDamage:
        """What of the logs on the node at host:port is damaged and not mended yet, as far as it was
        met; nothing is read for it. A node of an older version tells of none."""
        answer = await self._connections.to(address).unary(
            f"{ADMIN_SERVICE}DescribeReplicas",
            pb.DescribeReplicasRequest(damage_only=True),
            pb.DescribeReplicasResponse,
            self._metadata.policy.request_timeout_ms,
        )
        ranges = tuple(
            DamagedRange(
                answer.node_id,
                each.topic,
                each.partition,
                each.start_offset,
                each.end_offset,
                each.of_snapshot,
            )
            for each in answer.damaged_ranges
        )
        return NodeDamage(answer.node_id, answer.damaged_range_count, ranges)

    async def describe_replicas(self, topic: str = "") -> list[ReplicaDescription]:
        """The replicas on every live node, of one topic or of all, by topic, partition and node.

        A node that does not answer is left out; nodes that are not live are not asked.
        """
        if topic:
            await self.describe_topic(topic)
        live = [node for node in (await self.describe_cluster()).nodes if node.live]
        answers = await asyncio.gather(
            *(self.describe_node(node.address, topic) for node in live), return_exceptions=True
        )
        found: list[ReplicaDescription] = []
        for answer in answers:
            if isinstance(answer, NodeReplicas):
                found += answer.replicas
            elif not isinstance(answer, ClientError):
                raise answer
        return sorted(
            found, key=lambda replica: (replica.topic, replica.partition, replica.node_id)
        )

    async def force_recover(
        self,
        address: str,
        topic: str,
        partition: int,
        *,
        accept_data_loss: str = "",
        dry_run: bool = False,
    ) -> Recovery:
        """Make the replica on the node at host:port the partition's only one: the majority of the
        others is gone for good.

        `accept_data_loss` must be "TOPIC/PARTITION", unless it is a `dry_run`: what only the lost
        replicas had is lost. Refused while the node hears of a majority. Nobody compares it with other
        replicas that are left: ask `other_nodes` with dry runs first, and take the best.
        """
        connection = self._connections.to(address)
        answer = await connection.unary(
            f"{ADMIN_SERVICE}ForceRecoverPartition",
            pb.ForceRecoverPartitionRequest(
                topic=topic,
                partition=partition,
                node_id=(await connection.ready()).node_id,
                dry_run=dry_run,
                accept_data_loss=accept_data_loss,
            ),
            pb.ForceRecoverResponse,
            self._metadata.policy.request_timeout_ms,
        )
        return _recovery(answer)

    async def force_recover_cluster(
        self, address: str, *, accept_data_loss: str = "", dry_run: bool = False
    ) -> Recovery:
        """As `force_recover`, for the metadata of the cluster, on a controller; also while that
        does not get beyond its start.

        `accept_data_loss` must be the cluster's id, unless it is a `dry_run`.
        """
        connection = self._connections.to(address)

        async def call(request: pb.ForceRecoverMetadataRequest) -> pb.ForceRecoverResponse:
            return await connection.unary(
                f"{ADMIN_SERVICE}ForceRecoverMetadata",
                request,
                pb.ForceRecoverResponse,
                self._metadata.policy.request_timeout_ms,
                handshake=False,
            )

        planned = await call(pb.ForceRecoverMetadataRequest(dry_run=True))
        if dry_run:
            return _recovery(planned)
        return _recovery(
            await call(
                pb.ForceRecoverMetadataRequest(
                    node_id=planned.survivor.node_id, accept_data_loss=accept_data_loss
                )
            )
        )


def _recovery(answer: pb.ForceRecoverResponse) -> Recovery:
    return Recovery(
        answer.group_id,
        answer.term,
        answer.start_offset,
        answer.end_offset,
        answer.committed_end_offset,
        answer.heard_committed_end_offset,
        _member(answer.survivor),
        tuple(_member(member) for member in answer.left_behind),
        answer.forced,
        answer.cluster_id,
        answer.end_term,
        tuple(RecoveryNode(node.node_id, node.address) for node in answer.other_nodes),
    )


def _member(member: pb.RecoveryMember) -> RecoveryMember:
    return RecoveryMember(member.replica_id, member.node_id, member.live)


async def _trim(
    leader: Connection, trims: Sequence[log_service_pb2.PartitionTrim], timeout_ms: float
) -> Sequence[log_service_pb2.PartitionTrimmed]:
    response = await leader.unary(
        LOG_SERVICE + "TrimPartitions",
        log_service_pb2.TrimPartitionsRequest(trims=trims),
        log_service_pb2.TrimPartitionsResponse,
        timeout_ms,
    )
    return response.results


def _topic(
    topic: log_service_pb2.TopicMetadata, config: tuple[ConfigValue, ...] = ()
) -> TopicDescription:
    return TopicDescription(
        topic.name,
        topic.topic_id,
        tuple(
            PartitionDescription(
                p.partition,
                p.leader_node_id,
                p.leader_term,
                tuple(p.replica_node_ids),
                p.group_id,
                p.moving,
                tuple(p.leaving_node_ids),
            )
            for p in topic.partitions
        ),
        config,
    )
