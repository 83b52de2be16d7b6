"""What any node tells about the cluster: protocol version, nodes, topics, partitions, leaders."""

from __future__ import annotations

from replication.group import GroupHost, KnownLeader
from replication.types import METADATA_GROUP
from streamlog.broker.error_mapping import to_proto
from streamlog.broker.leaders import known_leader
from streamlog.cluster.metadata.checks import check_topic_name
from streamlog.cluster.metadata.state import NodeCondition, Topic
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.live import LiveSettings
from streamlog.model.settings.topic import BATCH_BYTES_MAX
from streamlog.model.version import SOFTWARE
from streamlog.v1 import admin_service_pb2, log_service_pb2

PROTOCOL_VERSION = 1
FEATURES: tuple[str, ...] = ("conditional-append", "idempotence")
TOPICS_PER_REQUEST_MAX = 10_000
CONDITIONS = {
    NodeCondition.ACTIVE: log_service_pb2.NODE_CONDITION_UNSPECIFIED,
    NodeCondition.MAINTENANCE: log_service_pb2.NODE_CONDITION_MAINTENANCE,
    NodeCondition.DRAINING: log_service_pb2.NODE_CONDITION_DRAINING,
}


class MetadataService:
    """Answers from the metadata as this node has applied it."""

    def __init__(self, settings: LiveSettings, view: ClusterView, host: GroupHost) -> None:
        self._settings = settings
        self._node_id = settings.now.node_id
        self._view = view
        self._host = host

    def handshake(
        self, request: log_service_pb2.HandshakeRequest
    ) -> log_service_pb2.HandshakeResponse:
        """Agree on a version. Raises UNSUPPORTED_VERSION, INVALID_REQUEST."""
        low, high = request.min_protocol_version, request.max_protocol_version
        if not 1 <= low <= high:
            raise StreamlogError(
                Reason.INVALID_REQUEST,
                f"protocol versions {low} to {high} are not a range that begins at 1 or above",
            )
        if low > PROTOCOL_VERSION:
            raise StreamlogError(
                Reason.UNSUPPORTED_VERSION,
                f"the client speaks protocol versions {low} to {high}, this node 1 to "
                f"{PROTOCOL_VERSION}",
            )
        wanted = dict.fromkeys(request.features)
        return log_service_pb2.HandshakeResponse(
            protocol_version=min(high, PROTOCOL_VERSION),
            features=[name for name in FEATURES if name in wanted],
            cluster_id=format(self._view.cluster_id, "032x"),
            node_id=self._node_id,
            server_software=SOFTWARE,
            max_batch_bytes=BATCH_BYTES_MAX,
            max_message_bytes=self._settings.now.message_bytes,
            max_produce_inflight_bytes=self._settings.now.connection_inflight_bytes,
        )

    def get_metadata(
        self, request: log_service_pb2.GetMetadataRequest
    ) -> log_service_pb2.GetMetadataResponse:
        """Nodes and topics; an unknown topic gets an entry with an error."""
        if request.all_topics and request.topics:
            raise StreamlogError(
                Reason.INVALID_REQUEST, "all_topics is set, so topics must be empty"
            )
        if len(request.topics) > TOPICS_PER_REQUEST_MAX:
            raise StreamlogError(
                Reason.INVALID_REQUEST,
                f"{len(request.topics)} topics in one call, at most {TOPICS_PER_REQUEST_MAX} "
                "are allowed",
            )
        if request.all_topics:
            topics = [self.topic_metadata(topic) for topic in self._view.topics()]
        else:
            topics = [self._topic_or_error(name) for name in request.topics]
        return log_service_pb2.GetMetadataResponse(
            cluster_id=format(self._view.cluster_id, "032x"),
            nodes=self._nodes(),
            topics=topics,
            metadata_offset=self._view.metadata_offset,
        )

    def find_topic(self, name: str) -> Topic:
        """The topic of that name. Raises UNKNOWN_TOPIC, INVALID_TOPIC_NAME."""
        topic = self._view.topic(name)
        if topic is None:
            check_topic_name(name)
            raise StreamlogError(Reason.UNKNOWN_TOPIC, f"there is no topic {name!r}")
        return topic

    def _topic_or_error(self, name: str) -> log_service_pb2.TopicMetadata:
        try:
            return self.topic_metadata(self.find_topic(name))
        except StreamlogError as error:
            return log_service_pb2.TopicMetadata(name=name, error=to_proto(error))

    def topic_metadata(self, topic: Topic) -> log_service_pb2.TopicMetadata:
        """A topic with the leaders that this node knows of."""
        message = log_service_pb2.TopicMetadata(
            name=topic.name,
            topic_id=topic.topic_id,
            routing=log_service_pb2.Routing(
                function="crc32", partition_count=len(topic.partitions), epoch=topic.routing_epoch
            ),
            max_batch_bytes=topic.config.max_batch_bytes,
        )
        for number, partition in enumerate(topic.partitions):
            leader = self._leader_of(partition.group_id)
            message.partitions.add(
                partition=number,
                leader_node_id=0 if leader is None else leader.node_id,
                leader_term=0 if leader is None else leader.term,
                replica_node_ids=[replica.node_id for replica in partition.replicas],
                group_id=partition.group_id,
                moving=partition.moving,
                leaving_node_ids=[replica.node_id for replica in partition.leaving],
            )
        return message

    def _leader_of(self, group_id: int) -> KnownLeader | None:
        return known_leader(self._host, self._node_id, group_id)

    def _nodes(self) -> list[log_service_pb2.Node]:
        live = self._host.live_nodes()
        return [
            log_service_pb2.Node(
                node_id=node.node_id,
                address=node.address,
                rack=node.rack,
                live=node.node_id in live,
                controller=node.controller,
                condition=CONDITIONS[node.condition],
                replacement_node_id=node.replacement,
            )
            for node in self._view.nodes()
        ]

    def describe_cluster(self) -> admin_service_pb2.DescribeClusterResponse:
        """Nodes and counts, for operators."""
        leader = self._leader_of(METADATA_GROUP)
        topics = self._view.topics()
        partitions = [partition for topic in topics for partition in topic.partitions]
        return admin_service_pb2.DescribeClusterResponse(
            cluster_id=format(self._view.cluster_id, "032x"),
            nodes=self._nodes(),
            metadata_leader_node_id=0 if leader is None else leader.node_id,
            topic_count=len(topics),
            partition_count=len(partitions),
            leaderless_partition_count=sum(
                self._leader_of(partition.group_id) is None for partition in partitions
            ),
            metadata_voter_node_ids=self._metadata_voters(),
        )

    def _metadata_voters(self) -> list[int]:
        group = self._host.groups.get(METADATA_GROUP)
        if group is None:
            return []
        members = group.membership
        return sorted({voter.node_id for voter in (*members.voters, *members.old_voters)})
