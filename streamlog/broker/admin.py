"""AdminService: changes go to the cluster, answers come from this node's view of it."""

from __future__ import annotations

from streamlog.broker.metadata import MetadataService
from streamlog.broker.page_tokens import decode_token, encode_token
from streamlog.cluster.cluster import Cluster
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.internal_topics import check_not_internal
from streamlog.model.settings.topic import TOPIC_SETTINGS
from streamlog.v1 import admin_service_pb2 as pb

PAGE_SIZE_MAX = 1_000


class AdminService:
    """Administration of topics and of the cluster."""

    def __init__(self, cluster: Cluster, metadata: MetadataService) -> None:
        self._cluster = cluster
        self._metadata = metadata

    async def create_topic(self, request: pb.CreateTopicRequest) -> pb.CreateTopicResponse:
        """Create; committed when it returns."""
        check_not_internal(request.name)
        topic = await self._cluster.create_topic(
            request.name,
            partition_count=request.partition_count,
            replication_factor=request.replication_factor,
            overrides=dict(request.config),
            validate_only=request.validate_only,
        )
        return pb.CreateTopicResponse(topic=self._metadata.topic_metadata(topic))

    async def alter_topic(self, request: pb.AlterTopicRequest) -> pb.AlterTopicResponse:
        """Change settings; committed when it returns."""
        check_not_internal(request.name)
        topic = await self._cluster.alter_topic(
            request.name,
            overrides=dict(request.set),
            unset=list(request.unset),
            validate_only=request.validate_only,
        )
        return pb.AlterTopicResponse(config=topic.config.overrides())

    async def add_partitions(self, request: pb.AddPartitionsRequest) -> pb.AddPartitionsResponse:
        """Add partitions; committed when it returns."""
        check_not_internal(request.name)
        topic = await self._cluster.add_partitions(
            request.name,
            partition_count=request.partition_count,
            validate_only=request.validate_only,
        )
        return pb.AddPartitionsResponse(topic=self._metadata.topic_metadata(topic))

    async def delete_topic(self, request: pb.DeleteTopicRequest) -> pb.DeleteTopicResponse:
        """Delete; committed when it returns, files follow."""
        check_not_internal(request.name)
        await self._cluster.delete_topic(request.name)
        return pb.DeleteTopicResponse()

    async def list_topics(self, request: pb.ListTopicsRequest) -> pb.ListTopicsResponse:
        """A page of topics by name (AIP-158)."""
        if request.page_size > PAGE_SIZE_MAX:
            raise StreamlogError(
                Reason.INVALID_REQUEST,
                f"page_size is {request.page_size}, it must be 0 to {PAGE_SIZE_MAX}",
            )
        size = request.page_size or PAGE_SIZE_MAX
        after = decode_token(request.page_token, "ListTopics")
        names = sorted(self._cluster.view.topics(), key=lambda topic: topic.name)
        rest = [topic for topic in names if after is None or topic.name > after]
        page = rest[:size]
        return pb.ListTopicsResponse(
            topics=[
                pb.TopicSummary(
                    name=topic.name,
                    topic_id=topic.topic_id,
                    partition_count=len(topic.partitions),
                    replication_factor=len(topic.partitions[0].replicas),
                )
                for topic in page
            ],
            next_page_token=encode_token(page[-1].name) if len(rest) > size else "",
        )

    async def describe_topic(self, request: pb.DescribeTopicRequest) -> pb.DescribeTopicResponse:
        """A topic with all its settings."""
        topic = self._metadata.find_topic(request.name)
        overrides = topic.config.overrides()
        return pb.DescribeTopicResponse(
            topic=self._metadata.topic_metadata(topic),
            config=[
                pb.ConfigEntry(
                    key=key,
                    value=topic.config.value_text(key),
                    overridden=key in overrides,
                    documentation=TOPIC_SETTINGS[key].documentation,
                )
                for key in sorted(TOPIC_SETTINGS)
            ],
        )

    async def describe_cluster(
        self, request: pb.DescribeClusterRequest
    ) -> pb.DescribeClusterResponse:
        """Nodes and counts."""
        del request
        return self._metadata.describe_cluster()
