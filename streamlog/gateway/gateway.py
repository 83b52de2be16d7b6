"""The gateway of one node: the client inside it and the services in front of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from google.protobuf.message import Message

from replication.ports import Ports, ServerStream, Service, StreamHandler, UnaryHandler
from streamlog.broker.error_mapping import parse, to_call_failed, to_streamlog_error
from streamlog.client.connections.cluster_metadata import CallPolicy
from streamlog.client.consume.consumer import Consumer
from streamlog.client.produce.producer import Producer
from streamlog.client.tasks import Tasks
from streamlog.client.transport import Environment
from streamlog.cluster.view import ClusterView
from streamlog.gateway.connector import NodeConnector
from streamlog.gateway.publish import PublishService
from streamlog.gateway.subscribe import PREFETCH_BYTES, RESPONSE_BYTES, SubscribeService
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.live import LiveSettings
from streamlog.model.settings.node import NodeConfig
from streamlog.v1.record_service_pb2 import PublishRequest

SERVICE_NAME: Final = "streamlog.v1.RecordService"
BATCHES_IN_FLIGHT: Final = 1
"""Of a partition: while one is made durable, the next one fills with all that comes."""

_LOG = logging.getLogger(__name__)

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Gateway:
    """RecordService of one node."""

    def __init__(
        self,
        settings: LiveSettings,
        ports: Ports,
        local: Sequence[Service],
        view: ClusterView,
    ) -> None:
        """`local` are the services of this node that the client inside may call."""
        config = settings.now
        address = config.advertised
        connector = NodeConnector(ports.network, local, lambda called: called == address)
        policy = CallPolicy(bootstrap_first=True)
        environment = Environment(connector, ports.clock, ports.random)
        self._producer = Producer(
            address,
            linger_ms=0,
            max_in_flight=BATCHES_IN_FLIGHT,
            delivery_timeout_ms=config.request_timeout_ms,
            buffer_bytes=config.publish_buffer_bytes,
            client_id=f"gateway of node {config.node_id}",
            policy=policy,
            environment=environment,
        )
        self._publish = PublishService(self._producer, config.connection_inflight_bytes)
        settings.on_change(self._rebudget)
        self._subscribe = SubscribeService(
            lambda: Consumer(
                address,
                prefetch_bytes=PREFETCH_BYTES,
                response_bytes=RESPONSE_BYTES,
                policy=policy,
                environment=environment,
            ),
            view,
        )
        self._view = view
        self._tasks = Tasks(self._defect)
        self._open = False

    def _rebudget(self, now: NodeConfig) -> None:
        self._publish.stream_budget_bytes = now.connection_inflight_bytes

    async def start(self) -> None:
        """Take calls from now on; the node's other services must do so already.

        The producer starts with the first record: a node that nobody publishes to runs nothing.
        """
        self._open = True
        self._tasks.start(self._follow_topics())

    async def stop(self) -> None:
        """Take no more calls; records without a result fail as possibly stored."""
        self._open = False
        await self._tasks.close()
        await self._producer.close(timeout_ms=0)

    def services(self) -> list[Service]:
        """For the listener."""
        return [
            Service(
                SERVICE_NAME,
                unary={"Publish": self._unary(PublishRequest, self._publish.publish)},
                streams={
                    "PublishStream": self._stream(self._publish.serve),
                    "Subscribe": self._stream(self._subscribe.serve),
                },
            )
        ]

    def _unary(
        self, kind: type[RequestT], handler: Callable[[RequestT], Awaitable[ResponseT]]
    ) -> UnaryHandler:
        async def handle(data: bytes) -> bytes:
            try:
                self._check_open()
                response = await handler(parse(kind, data))
            except Exception as error:
                raise to_call_failed(to_streamlog_error(error)) from error
            return response.SerializeToString()

        return handle

    def _stream(self, handler: StreamHandler) -> StreamHandler:
        async def handle(stream: ServerStream) -> None:
            try:
                self._check_open()
                await handler(stream)
            except StreamlogError as error:
                raise to_call_failed(error) from error

        return handle

    async def _follow_topics(self) -> None:
        """This node knows at once what other clients find out with time."""
        while True:
            await self._view.changed()
            self._producer.refresh_soon()

    def _defect(self, error: BaseException) -> None:
        _LOG.error("gateway_failed", exc_info=error)

    def _check_open(self) -> None:
        if not self._open:
            raise StreamlogError(
                Reason.METADATA_UNAVAILABLE,
                "the node has not joined its cluster yet, or is stopping",
                retry_after_ms=200,
            )
