"""DescribeReplicas: what this node itself stores, and what of it is damaged, for operators. Never
asks another node."""

from __future__ import annotations

from typing import Final, cast

from replication.group import GroupHost, ReplicatedGroup
from replication.ports import Disk
from replication.raft.effects import Role
from replication.types import METADATA_GROUP
from streamlog.broker.metadata import MetadataService
from streamlog.broker.partition import PartitionLog
from streamlog.cluster.local_replicas import KIND
from streamlog.cluster.view import ClusterView
from streamlog.storage.damage import DamageReports
from streamlog.v1 import admin_service_pb2 as pb

DAMAGED_RANGES_MAX: Final = 1_000
"""Named one by one; the rest is counted."""


class ReplicaService:
    """Answers from the logs on this node's disk."""

    def __init__(
        self,
        node_id: int,
        metadata: MetadataService,
        view: ClusterView,
        host: GroupHost,
        disk: Disk,
        damage: DamageReports,
    ) -> None:
        self._node_id = node_id
        self._metadata = metadata
        self._view = view
        self._host = host
        self._disk = disk
        self._damage = damage

    async def describe(self, request: pb.DescribeReplicasRequest) -> pb.DescribeReplicasResponse:
        """Replicas by topic and partition. Raises UNKNOWN_TOPIC, INVALID_TOPIC_NAME."""
        wanted = self._metadata.find_topic(request.topic).topic_id if request.topic else None
        damaged = self._damaged(wanted)
        return pb.DescribeReplicasResponse(
            node_id=self._node_id,
            disk_free_bytes=await self._disk.free_bytes(),
            replicas=[] if request.damage_only else self._replicas(wanted),
            damaged_ranges=damaged[:DAMAGED_RANGES_MAX],
            damaged_range_count=len(damaged),
        )

    def _replicas(self, wanted: int | None) -> list[pb.ReplicaDescription]:
        replicas = []
        for group in self._host.groups.values():
            creation = group.creation
            if creation.kind != KIND or wanted not in {None, creation.topic_id}:
                continue
            topic = self._view.topic_by_id(creation.topic_id)
            if topic is not None:
                replicas.append(self._replica(topic.name, group))
        return sorted(replicas, key=lambda replica: (replica.topic, replica.partition))

    def _damaged(self, wanted: int | None) -> list[pb.DamagedRange]:
        """Of topics that were deleted there is none: it goes with their files."""
        ranges = []
        for damaged in self._damage.open.values():
            group = self._host.groups.get(damaged.group_id)
            if group is None or wanted not in {None, group.creation.topic_id}:
                continue
            is_metadata = damaged.group_id == METADATA_GROUP
            topic = self._view.topic_by_id(group.creation.topic_id)
            if topic is None and not is_metadata:
                continue
            ranges.append(
                pb.DamagedRange(
                    topic="" if is_metadata or topic is None else topic.name,
                    partition=group.creation.partition,
                    start_offset=damaged.start,
                    end_offset=damaged.end,
                    of_snapshot=damaged.of_snapshot,
                )
            )
        return sorted(ranges, key=lambda each: (each.topic, each.partition, each.start_offset))

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
            end_term=log.end.term,
        )

    def _role(self, group: ReplicatedGroup) -> pb.ReplicaRole:
        if group.role is Role.LEADER:
            return pb.REPLICA_ROLE_LEADER
        votes = group.membership.is_voter(group.creation.local_replica_id)
        return pb.REPLICA_ROLE_FOLLOWER if votes else pb.REPLICA_ROLE_LEARNER
