"""DescribeReplicas: what this node itself stores, for operators. Never asks another node."""

from __future__ import annotations

from typing import cast

from replication.group import GroupHost, ReplicatedGroup
from replication.ports import Disk
from replication.raft.effects import Role
from streamlog.broker.metadata import MetadataService
from streamlog.broker.partition import PartitionLog
from streamlog.cluster.local_replicas import KIND
from streamlog.cluster.view import ClusterView
from streamlog.v1 import admin_service_pb2 as pb


class ReplicaService:
    """Answers from the logs on this node's disk."""

    def __init__(
        self,
        node_id: int,
        metadata: MetadataService,
        view: ClusterView,
        host: GroupHost,
        disk: Disk,
    ) -> None:
        self._node_id = node_id
        self._metadata = metadata
        self._view = view
        self._host = host
        self._disk = disk

    async def describe(self, request: pb.DescribeReplicasRequest) -> pb.DescribeReplicasResponse:
        """Replicas by topic and partition. Raises UNKNOWN_TOPIC, INVALID_TOPIC_NAME."""
        wanted = self._metadata.find_topic(request.topic).topic_id if request.topic else None
        replicas = []
        for group in self._host.groups.values():
            creation = group.creation
            if creation.kind != KIND or wanted not in {None, creation.topic_id}:
                continue
            topic = self._view.topic_by_id(creation.topic_id)
            if topic is not None:
                replicas.append(self._replica(topic.name, group))
        replicas.sort(key=lambda replica: (replica.topic, replica.partition))
        return pb.DescribeReplicasResponse(
            node_id=self._node_id,
            disk_free_bytes=await self._disk.free_bytes(),
            replicas=replicas,
        )

    def _replica(self, topic: str, group: ReplicatedGroup) -> pb.ReplicaDescription:
        log = cast("PartitionLog", group.log)
        return pb.ReplicaDescription(
            topic=topic,
            partition=group.creation.partition,
            role=self._role(group),
            start_offset=group.start,
            end_offset=log.end.end,
            committed_end_offset=group.commit_end,
            size_bytes=log.size_bytes,
            segment_count=log.segment_count,
        )

    def _role(self, group: ReplicatedGroup) -> pb.ReplicaRole:
        if group.role is Role.LEADER:
            return pb.REPLICA_ROLE_LEADER
        votes = group.membership.is_voter(group.creation.local_replica_id)
        return pb.REPLICA_ROLE_FOLLOWER if votes else pb.REPLICA_ROLE_LEARNER
