"""The broker of one node: binds the public services to the parts that do the work.

Until the node has joined its cluster (`start`), calls end with METADATA_UNAVAILABLE, which
clients retry: the listener must be up before, because nodes find each other through it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from replication.group import GroupHost
from replication.ports import (
    Clock,
    Disk,
    Network,
    ServerStream,
    Service,
    StreamHandler,
    UnaryHandler,
)
from replication.transport.tasks import TaskOwner
from streamlog.broker.admin import AdminService
from streamlog.broker.budget import ByteBudget
from streamlog.broker.compression import BatchRecoder
from streamlog.broker.counters import BrokerCounters
from streamlog.broker.error_mapping import parse, to_call_failed, to_streamlog_error
from streamlog.broker.fetch import FetchService
from streamlog.broker.groups.group_lag import GroupLagReader
from streamlog.broker.groups.group_service import GroupService
from streamlog.broker.groups.group_watch import GroupWatch
from streamlog.broker.metadata import MetadataService
from streamlog.broker.offsets import list_offsets
from streamlog.broker.operations import OperationsService
from streamlog.broker.partitions import Partitions
from streamlog.broker.produce import ProduceService
from streamlog.broker.recovery import RecoveryService
from streamlog.broker.replicas import ReplicaService
from streamlog.broker.retention import Retention
from streamlog.broker.trim import trim_partitions
from streamlog.cluster.cluster import Cluster
from streamlog.cluster.intervals import run_rounds
from streamlog.groups.groups import Groups
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.live import LiveSettings
from streamlog.model.settings.node import NodeConfig
from streamlog.storage.damage import DamageReports
from streamlog.storage.validation import BatchValidator
from streamlog.v1 import admin_service_pb2, group_service_pb2, log_service_pb2

_LOG = logging.getLogger(__name__)

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Broker:
    """The public services of one node."""

    def __init__(
        self,
        metadata: MetadataService,
        admin: AdminService,
        produce: ProduceService,
        fetch: FetchService,
        partitions: Partitions,
        cluster: Cluster,
        retention: Retention,
        replicas: ReplicaService,
        recovery: RecoveryService,
        operations: OperationsService,
        groups: GroupService,
        group_watch: GroupWatch,
        settings: LiveSettings,
    ) -> None:
        self._retention = retention
        self._replicas = replicas
        self._recovery = recovery
        self._operations = operations
        self._groups = groups
        self.group_watch = group_watch
        """To be looked at."""
        self._settings = settings
        self._tasks = TaskOwner(self._task_failed)
        self._metadata = metadata
        self._admin = admin
        self._produce = produce
        self._fetch = fetch
        self.produce_budget, self.fetch_budget = produce.node_budget, fetch.disk_budget
        """Of the node, to be looked at."""
        self._partitions = partitions
        self._cluster = cluster
        self._open = False

    async def start(self) -> None:
        """Take calls from now on."""
        self._cluster.on_replicas_changed(self._partitions.drop_removed)
        self._tasks.start(
            run_rounds(self._retention.round, lambda: self._settings.now.retention_check_ms),
            "retention",
        )
        self._tasks.start(
            run_rounds(self.group_watch.round, lambda: self._settings.now.groups_survey_ms),
            "lag and alarms of groups",
        )
        self._open = True

    async def stop(self) -> None:
        """Take no more calls; streams end with the listener."""
        self._open = False
        await self._tasks.stop()
        await self.group_watch.close()

    def _task_failed(self, error: BaseException) -> None:
        _LOG.error("broker_task_failed", exc_info=error)

    def services(self) -> list[Service]:
        """For the listener."""
        log = log_service_pb2
        admin = admin_service_pb2
        return [
            Service(
                name="streamlog.v1.LogService",
                unary={
                    "Handshake": self._sync(log.HandshakeRequest, self._metadata.handshake),
                    "GetMetadata": self._sync(log.GetMetadataRequest, self._metadata.get_metadata),
                    "InitProducer": self._unary(log.InitProducerRequest, self._init_producer),
                    "ListOffsets": self._unary(log.ListOffsetsRequest, self._list_offsets),
                    "TrimPartitions": self._unary(log.TrimPartitionsRequest, self._trim),
                },
                streams={
                    "Produce": self._stream(self._produce.serve),
                    "Fetch": self._stream(self._fetch.serve),
                },
            ),
            Service(
                name="streamlog.v1.AdminService",
                unary={
                    "CreateTopic": self._unary(admin.CreateTopicRequest, self._admin.create_topic),
                    "AlterTopic": self._unary(admin.AlterTopicRequest, self._admin.alter_topic),
                    "AddPartitions": self._unary(
                        admin.AddPartitionsRequest, self._admin.add_partitions
                    ),
                    "DeleteTopic": self._unary(admin.DeleteTopicRequest, self._admin.delete_topic),
                    "ListTopics": self._unary(admin.ListTopicsRequest, self._admin.list_topics),
                    "DescribeTopic": self._unary(
                        admin.DescribeTopicRequest, self._admin.describe_topic
                    ),
                    "DescribeCluster": self._unary(
                        admin.DescribeClusterRequest, self._admin.describe_cluster
                    ),
                    "DescribeReplicas": self._unary(
                        admin.DescribeReplicasRequest, self._replicas.describe
                    ),
                    "SetNodeCondition": self._unary(
                        admin.SetNodeConditionRequest, self._operations.set_node_condition
                    ),
                    "RemoveNode": self._unary(
                        admin.RemoveNodeRequest, self._operations.remove_node
                    ),
                    "SetControllers": self._unary(
                        admin.SetControllersRequest, self._operations.set_controllers
                    ),
                    "MovePartitions": self._unary(
                        admin.MovePartitionsRequest, self._operations.move_partitions
                    ),
                    "SetReplicationFactor": self._unary(
                        admin.SetReplicationFactorRequest, self._operations.set_replication_factor
                    ),
                    "ListMoves": self._unary(admin.ListMovesRequest, self._operations.list_moves),
                    "Rebalance": self._unary(admin.RebalanceRequest, self._operations.rebalance),
                    "ForceRecoverPartition": self._unary(
                        admin.ForceRecoverPartitionRequest, self._recovery.partition
                    ),
                    # Without its majority a node that starts does not get as far as to be open.
                    "ForceRecoverMetadata": self._unary(
                        admin.ForceRecoverMetadataRequest, self._recovery.metadata, early=True
                    ),
                },
                streams={},
            ),
            self._group_service(),
        ]

    def _group_service(self) -> Service:
        groups, pb = self._groups, group_service_pb2
        return Service(
            name="streamlog.v1.GroupService",
            unary={
                "FindCoordinator": self._unary(pb.FindCoordinatorRequest, groups.find_coordinator),
                "CommitOffsets": self._unary(pb.CommitOffsetsRequest, groups.commit_offsets),
                "FetchOffsets": self._unary(pb.FetchOffsetsRequest, groups.fetch_offsets),
                "ListGroups": self._unary(pb.ListGroupsRequest, groups.list_groups),
                "DescribeGroup": self._unary(pb.DescribeGroupRequest, groups.describe_group),
                "ResetOffsets": self._unary(pb.ResetOffsetsRequest, groups.reset_offsets),
                "DeleteOffsets": self._unary(pb.DeleteOffsetsRequest, groups.delete_offsets),
                "DeleteGroup": self._unary(pb.DeleteGroupRequest, groups.delete_group),
            },
            streams={"Membership": self._stream(groups.membership)},
        )

    async def _init_producer(
        self, request: log_service_pb2.InitProducerRequest
    ) -> log_service_pb2.InitProducerResponse:
        del request
        producer_id = await self._cluster.allocate_producer_id()
        return log_service_pb2.InitProducerResponse(producer_id=producer_id, producer_epoch=0)

    async def _list_offsets(
        self, request: log_service_pb2.ListOffsetsRequest
    ) -> log_service_pb2.ListOffsetsResponse:
        return await list_offsets(self._partitions, request)

    async def _trim(
        self, request: log_service_pb2.TrimPartitionsRequest
    ) -> log_service_pb2.TrimPartitionsResponse:
        timeout_ms = self._settings.now.request_timeout_ms
        return await trim_partitions(self._partitions, self._cluster.view, request, timeout_ms)

    # Handlers of bytes.

    def _unary(
        self,
        kind: type[RequestT],
        handler: Callable[[RequestT], Awaitable[ResponseT]],
        *,
        early: bool = False,
    ) -> UnaryHandler:
        """`early`: answer also before the node has joined its cluster."""

        async def handle(data: bytes) -> bytes:
            try:
                if not early:
                    self._check_open()
                response = await handler(parse(kind, data))
            except Exception as error:
                raise to_call_failed(to_streamlog_error(error)) from error
            return response.SerializeToString()

        return handle

    def _sync(self, kind: type[RequestT], handler: Callable[[RequestT], ResponseT]) -> UnaryHandler:
        async def call(request: RequestT) -> ResponseT:
            return handler(request)

        return self._unary(kind, call)

    def _stream(self, handler: StreamHandler) -> StreamHandler:
        async def handle(stream: ServerStream) -> None:
            try:
                self._check_open()
            except StreamlogError as error:
                raise to_call_failed(error) from error
            await handler(stream)

        return handle

    def _check_open(self) -> None:
        if not self._open:
            raise StreamlogError(
                Reason.METADATA_UNAVAILABLE,
                "the node has not joined its cluster yet, or is stopping",
                retry_after_ms=200,
            )


def build_broker(
    settings: LiveSettings,
    group_host: GroupHost,
    cluster: Cluster,
    groups: Groups,
    clock: Clock,
    disk: Disk,
    network: Network,
    damage: DamageReports,
    counters: BrokerCounters,
) -> Broker:
    """Compose the broker of a node; it tells `damage`, and counts what it does in `counters`."""
    config = settings.now
    partitions = Partitions(config.node_id, cluster.view, group_host)
    metadata = MetadataService(settings, cluster.view, group_host)
    produce = ProduceService(
        cluster.view,
        partitions,
        BatchValidator(),
        BatchRecoder(),
        clock,
        ByteBudget(config.node_inflight_bytes),
        config.connection_inflight_bytes,
        counters,
    )
    fetch = FetchService(partitions, ByteBudget(config.fetch_buffer_bytes), counters)

    def rebudget(now: NodeConfig) -> None:
        produce.node_budget.set_limit(now.node_inflight_bytes)
        produce.stream_budget_bytes = now.connection_inflight_bytes
        fetch.disk_budget.set_limit(now.fetch_buffer_bytes)

    settings.on_change(rebudget)
    return Broker(
        metadata,
        AdminService(cluster, metadata),
        produce,
        fetch,
        partitions,
        cluster,
        Retention(cluster.view, group_host, clock),
        ReplicaService(config.node_id, metadata, cluster.view, group_host, disk, damage),
        RecoveryService(settings, metadata, cluster.view, group_host),
        OperationsService(config.node_id, cluster, metadata, group_host),
        GroupService(config.node_id, groups, partitions, group_host, cluster.view, counters),
        GroupWatch(
            groups,
            GroupLagReader(config.node_id, partitions, group_host, cluster.view, network),
            cluster.view,
            clock,
        ),
        settings,
    )
