"""ForceRecover…: a group goes on without a majority that is gone for good, by the will of an operator.

The asked node answers for its own replica and passes nothing on. A dry run tells what the replica
has and whom it would leave behind; the real thing wants the consent in words, so that neither a
wrong argument nor a repeated request does it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from replication.errors import RecoveryRefused, UnknownGroup
from replication.group import ForcedRecovery, GroupHost
from replication.types import METADATA_GROUP, GroupId, NodeId, Replica, ReplicaId
from streamlog.broker.metadata import MetadataService
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.live import LiveSettings
from streamlog.v1 import admin_service_pb2 as pb

_LOG = logging.getLogger(__name__)


class RecoveryService:
    """Of one node."""

    def __init__(
        self,
        settings: LiveSettings,
        metadata: MetadataService,
        view: ClusterView,
        host: GroupHost,
    ) -> None:
        self._settings = settings
        self._node_id = NodeId(settings.now.node_id)
        self._metadata, self._view, self._host = metadata, view, host

    async def partition(self, request: pb.ForceRecoverPartitionRequest) -> pb.ForceRecoverResponse:
        """Of a partition. Raises UNKNOWN_TOPIC, UNKNOWN_PARTITION, INVALID_REQUEST,
        RECOVERY_REFUSED, REQUEST_TIMED_OUT (done, but it does not lead yet)."""
        topic = self._metadata.find_topic(request.topic)
        if request.partition >= len(topic.partitions):
            raise StreamlogError(
                Reason.UNKNOWN_PARTITION,
                f"{topic.name} has partitions 0 to {len(topic.partitions) - 1}, not "
                f"{request.partition}",
            )
        partition = topic.partitions[request.partition]
        return await self._recover(
            partition.group_id,
            request,
            f"{topic.name}/{request.partition}",
            [replica.replica_id for replica in partition.renewed],
        )

    async def metadata(self, request: pb.ForceRecoverMetadataRequest) -> pb.ForceRecoverResponse:
        """Of the cluster's metadata. Raises as `partition`."""
        return await self._recover(METADATA_GROUP, request, f"{self._view.cluster_id:032x}")

    async def _recover(
        self,
        group_id: GroupId,
        request: pb.ForceRecoverPartitionRequest | pb.ForceRecoverMetadataRequest,
        consent: str,
        lost: Sequence[ReplicaId] = (),
    ) -> pb.ForceRecoverResponse:
        if request.node_id != self._node_id and not (request.dry_run and not request.node_id):
            raise StreamlogError(
                Reason.INVALID_REQUEST,
                f"node_id is {request.node_id}, but node {self._node_id} answers: ask the node "
                "whose replica shall go on",
            )
        try:
            own = self._own_replica(group_id)
            if request.dry_run:
                recovery = self._host.forced_recovery(group_id, [own], lost)
                return self._answer(recovery, forced=False)
            if request.accept_data_loss != consent:
                raise StreamlogError(
                    Reason.INVALID_REQUEST,
                    f"accept_data_loss is {request.accept_data_loss!r}; it must be {consent!r}: "
                    "what only the lost replicas had is lost",
                )
            async with asyncio.timeout(self._settings.now.request_timeout_ms / 1_000):
                recovery = await self._host.force_membership(group_id, [own], lost)
        except RecoveryRefused as error:
            raise _refusal(error) from error
        except UnknownGroup as error:
            raise StreamlogError(
                Reason.RECOVERY_REFUSED, f"node {self._node_id} has no replica of it"
            ) from error
        _LOG.warning(
            "recovery_forced",
            extra={
                "group": group_id,
                "end": recovery.end,
                "end_term": recovery.end_term,
                "committed_end": recovery.commit_end,
                "left_behind": [r.node_id for r in recovery.left_behind],
            },
        )
        return self._answer(recovery, forced=True)

    def _own_replica(self, group_id: GroupId) -> ReplicaId:
        group = self._host.groups.get(group_id)
        if group is None:
            raise UnknownGroup(group_id)
        return group.creation.local_replica_id

    def _answer(self, recovery: ForcedRecovery, *, forced: bool) -> pb.ForceRecoverResponse:
        live = self._host.live_nodes()

        def member(replica: Replica) -> pb.RecoveryMember:
            return pb.RecoveryMember(
                replica_id=replica.replica_id,
                node_id=replica.node_id,
                live=replica.node_id in live,
            )

        return pb.ForceRecoverResponse(
            group_id=recovery.group_id,
            term=recovery.term,
            start_offset=recovery.start,
            end_offset=recovery.end,
            committed_end_offset=recovery.commit_end,
            heard_committed_end_offset=recovery.heard_commit_end,
            survivor=member(recovery.survivors[0]),
            left_behind=[member(replica) for replica in recovery.left_behind],
            forced=forced,
            cluster_id=f"{self._view.cluster_id:032x}",
            end_term=recovery.end_term,
            other_nodes=[
                pb.RecoveryNode(node_id=node_id, address=address)
                for node_id in self._view.other_nodes()
                if (address := self._view.address_of(node_id)) is not None
            ],
        )


def _refusal(error: RecoveryRefused) -> StreamlogError:
    """With the end of the log here, if the group could go on with it."""
    if error.end is None:
        return StreamlogError(Reason.RECOVERY_REFUSED, error.reason)
    return StreamlogError(
        Reason.RECOVERY_REFUSED,
        error.reason,
        {"end_term": str(error.end.term), "end_offset": str(error.end.end)},
    )
