"""Administration: topics, offsets, the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from streamlog.client.cluster_metadata import CallPolicy, ClusterMetadata
from streamlog.client.connection import Connections
from streamlog.client.errors import TopicUnknown
from streamlog.client.offset_lookup import OffsetAtTime, OffsetLookup, Position
from streamlog.client.records import TopicPartition
from streamlog.client.transport import Environment
from streamlog.v1 import admin_service_pb2 as pb
from streamlog.v1 import log_service_pb2

ADMIN_SERVICE: Final = "/streamlog.v1.AdminService/"
PAGE_SIZE: Final = 1_000
UNKNOWN_TOPIC_PAUSE_MS: Final = 20


@dataclass(frozen=True, slots=True)
class PartitionDescription:
    """A partition; leader 0: none is known."""

    partition: int
    leader_node_id: int
    leader_term: int
    replica_node_ids: tuple[int, ...]
    group_id: int


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


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """The cluster as the answering node sees it."""

    cluster_id: str
    nodes: tuple[NodeDescription, ...]
    metadata_leader_node_id: int
    topic_count: int
    partition_count: int
    leaderless_partition_count: int


class Admin:
    """Administers topics and the cluster; an asynchronous context manager.

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
            from streamlog.client.real_environment import real_environment

            environment = real_environment()
        self._connections = Connections(environment, client_id)
        self._metadata = ClusterMetadata(
            bootstrap, self._connections, environment, policy or CallPolicy()
        )
        self._lookup = OffsetLookup(self._metadata, self._connections, environment)
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
        """Change settings; returns every setting that differs from its default afterwards."""
        answer = await self._metadata.call_any(
            f"{ADMIN_SERVICE}AlterTopic",
            pb.AlterTopicRequest(
                name=name, set=dict(config or {}), unset=list(unset), validate_only=validate_only
            ),
            pb.AlterTopicResponse,
            idempotent=True,
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
                NodeDescription(n.node_id, n.address, n.rack, n.live, n.controller)
                for n in answer.nodes
            ),
            answer.metadata_leader_node_id,
            answer.topic_count,
            answer.partition_count,
            answer.leaderless_partition_count,
        )

    async def list_offsets(
        self, partitions: Sequence[tuple[str, int]], position: Position
    ) -> dict[TopicPartition, OffsetAtTime]:
        """Offsets of (topic, partition) pairs.

        `position`: "earliest", "latest", or Unix milliseconds (the first offset whose timestamp
        is at or after; the end when all are before).
        """
        pairs = [TopicPartition(*pair) for pair in partitions]
        ids = [
            ((await self._metadata.topic(pair.topic)).topic_id, pair.partition) for pair in pairs
        ]
        return dict(zip(pairs, await self._lookup.find(ids, position), strict=True))


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
            )
            for p in topic.partitions
        ),
        config,
    )
