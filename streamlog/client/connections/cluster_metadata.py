"""What the client knows of the cluster: nodes, topics, partitions and who leads them.

Knowledge comes from GetMetadata, which any node answers, and from hints in the answers of
leaders. It is refreshed when something contradicts it and once in a while.

Invariant: the term of a partition's known leader never goes down; an answer with a lower term
is older news than what is known, and is ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message

from streamlog.client.connections.backoff import RETRY_MS_FIRST, RETRY_MS_MAX, Backoff, Patience
from streamlog.client.connections.connection import (
    LOG_SERVICE,
    Connection,
    Connections,
    ResponseT,
)
from streamlog.client.errors import ClientError, ConnectionLost, from_wire
from streamlog.client.records import TopicPartition
from streamlog.client.transport import Environment
from streamlog.model.errors import UNAVAILABLE, Reason
from streamlog.v1.log_service_pb2 import (
    GetMetadataRequest,
    GetMetadataResponse,
    TopicMetadata,
)

METADATA_AGE_MS_MAX: Final = 60_000
"""A refresh at least this often finds new partitions and moved nodes."""
REFRESH_SPACING_MS_FIRST: Final = 20
REFRESH_SPACING_MS_MAX: Final = 250
"""Between refreshes while leaders are missing; bounds the load of an election."""
PATIENCE_MS_FIRST: Final = 1_000
"""With a node that does not answer what another one can answer, too."""

PartitionId = tuple[int, int]
"""Topic id and partition number."""


@dataclass(slots=True)
class PartitionView:
    """A partition's leader as far as known; node id 0: none."""

    leader_node_id: int = 0
    leader_term: int = 0


@dataclass(slots=True)
class TopicView:
    """A topic as last heard of."""

    name: str
    topic_id: int
    batch_bytes_max: int
    routing_partitions: int
    routing_epoch: int
    partitions: list[PartitionView] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How long the client tries. Milliseconds."""

    request_timeout_ms: float = 10_000
    """One call."""
    total_timeout_ms: float = 30_000
    """One question, over all nodes and retries."""
    unknown_topic_wait_ms: float = 1_000
    """A topic just created may not be known everywhere at once."""
    bootstrap_first: bool = False
    """Ask the bootstrap addresses before others: whoever lives beside a node asks that one, and
    learns at once what it knows."""


class ClusterMetadata:
    """Bootstrap, refresh, and calls that any node can answer."""

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        connections: Connections,
        environment: Environment,
        policy: CallPolicy,
    ) -> None:
        self.policy = policy
        self._bootstrap = parse_bootstrap(bootstrap)
        self._connections = connections
        self._environment = environment
        self._addresses: dict[int, str] = {}
        self._live: dict[int, None] = {}
        self._topics: dict[str, TopicView] = {}
        self._names: dict[int, str] = {}
        self._tracked: dict[str, None] = {}
        self._errors: dict[str, ClientError] = {}
        self._listeners: list[Callable[[], None]] = []
        self._turn = int(environment.random.random() * 1024)
        self._version = 0
        self._refresh_lock = asyncio.Lock()
        self._refresh_wanted = asyncio.Event()

    # What is known -------------------------------------------------------------------------

    def known_topic(self, name: str) -> TopicView | None:
        """The topic if it is known; asks nobody."""
        return self._topics.get(name)

    def topic_error(self, name: str) -> ClientError | None:
        """What the newest answer said instead of describing the topic."""
        return self._errors.get(name)

    def leader_address(self, topic_id: int, partition: int) -> str | None:
        """host:port of the partition's leader, None while none is known."""
        view = self._partition(topic_id, partition)
        return self._addresses.get(view.leader_node_id) if view is not None else None

    def note_leader(
        self, topic_id: int, partition: int, *, node_id: int, term: int, address: str = ""
    ) -> bool:
        """Take a leader told by a node; True when it is news. Lower terms are ignored."""
        view = self._partition(topic_id, partition)
        if view is None or term < view.leader_term or node_id == 0:
            return False
        if address and node_id not in self._addresses:
            self._addresses[node_id] = address
            self._live[node_id] = None
        is_news = (node_id, term) != (view.leader_node_id, view.leader_term)
        if term == view.leader_term and view.leader_node_id != 0:
            return False  # a term has one leader, and it is known
        view.leader_node_id, view.leader_term = node_id, term
        return is_news

    def note_not_leader(self, topic_id: int, partition: int, error: ClientError) -> bool:
        """Take the hint of a NOT_LEADER error; True when it named a new leader."""
        try:
            node_id = int(error.metadata.get("leader_node_id", "0"))
            term = int(error.metadata.get("leader_term", "0"))
        except ValueError:
            return False
        address = error.metadata.get("leader_address", "")
        return self.note_leader(topic_id, partition, node_id=node_id, term=term, address=address)

    def _partition(self, topic_id: int, partition: int) -> PartitionView | None:
        topic = self._topics.get(self._names.get(topic_id, ""))
        if topic is None or partition >= len(topic.partitions):
            return None
        return topic.partitions[partition]

    # Asking --------------------------------------------------------------------------------

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call back after each refresh."""
        self._listeners.append(listener)

    def request_refresh(self) -> None:
        """Something contradicted what is known; `keep_fresh` asks again soon."""
        self._refresh_wanted.set()

    async def topic(self, name: str, *, partitions: int = 0) -> TopicView:
        """The topic, asked for when it is not known, or is known with fewer partitions.

        Some may have been added a moment ago, and not every node knows it yet; after
        `unknown_topic_wait_ms` the topic is returned with those it has.

        Raises:
            TopicUnknown: no node knows it after `unknown_topic_wait_ms`.
            ConnectionLost: no node answered within `total_timeout_ms`.
        """
        now_ms = self._environment.clock.monotonic_ms
        deadline_ms = now_ms() + self.policy.unknown_topic_wait_ms
        backoff = Backoff(RETRY_MS_FIRST, RETRY_MS_MAX, self._environment.random)
        while (view := self._topics.get(name)) is None or len(view.partitions) < partitions:
            self._tracked[name] = None
            await self.refresh()
            error = self._errors.get(name)
            if name not in self._topics and error is not None:
                if error.reason != Reason.UNKNOWN_TOPIC.name or now_ms() >= deadline_ms:
                    self._tracked.pop(name, None)
                    raise error
                await asyncio.sleep(backoff.next_ms() / 1000)
            elif (view := self._topics.get(name)) and len(view.partitions) < partitions:
                if now_ms() >= deadline_ms:
                    return view
                await asyncio.sleep(backoff.next_ms() / 1000)
        return view

    async def partition_ids(
        self, pairs: Iterable[TopicPartition]
    ) -> dict[TopicPartition, PartitionId]:
        """Topic ids and numbers of partitions. Raises ValueError for a number that the topic does
        not have, and what `topic` raises."""
        ids: dict[TopicPartition, PartitionId] = {}
        for pair in pairs:
            topic = await self.topic(pair.topic, partitions=pair.partition + 1)
            if not 0 <= pair.partition < len(topic.partitions):
                raise ValueError(
                    f"topic {pair.topic!r} has partitions 0 to {len(topic.partitions) - 1}, "
                    f"not {pair.partition}"
                )
            ids[pair] = (topic.topic_id, pair.partition)
        return ids

    async def refresh(self) -> None:
        """Ask some node about all tracked topics. Raises ClientError when none answers."""
        version = self._version
        async with self._refresh_lock:
            if self._version != version:
                return  # another caller's answer is fresh enough
            request = GetMetadataRequest(topics=sorted(self._tracked))
            answer = await self.call_any(
                LOG_SERVICE + "GetMetadata", request, GetMetadataResponse, idempotent=True
            )
            self._version += 1
            self._take(answer)
        for listener in self._listeners:
            listener()

    async def keep_fresh(self) -> None:
        """Refresh on request and with age, until cancelled; the owner of the client runs it."""
        backoff = Backoff(
            REFRESH_SPACING_MS_FIRST, REFRESH_SPACING_MS_MAX, self._environment.random
        )
        now_ms = self._environment.clock.monotonic_ms
        while True:
            idle_since_ms = now_ms()
            try:
                async with asyncio.timeout(METADATA_AGE_MS_MAX / 1000):
                    await self._refresh_wanted.wait()
            except TimeoutError:
                pass  # old enough to be asked for again
            if now_ms() - idle_since_ms > REFRESH_SPACING_MS_MAX:
                backoff.reset()
            self._refresh_wanted.clear()
            try:
                await self.refresh()
            except ClientError:
                self._refresh_wanted.set()
            await asyncio.sleep(backoff.next_ms() / 1000)

    async def call_any(
        self,
        method: str,
        request: Message,
        response: type[ResponseT],
        *,
        idempotent: bool,
        timeout_ms: float | None = None,
    ) -> ResponseT:
        """Call a method that any node answers, trying nodes in turn until the total timeout.

        A failure that may have taken effect is retried only when the call is idempotent. Then a
        node that says nothing is also left soon for the next one, and given more time each round.
        Raises the last ClientError.
        """
        total_ms = self.policy.total_timeout_ms if timeout_ms is None else timeout_ms
        patience = Patience(self._environment, total_ms)
        node_timeout_ms = PATIENCE_MS_FIRST if idempotent else self.policy.request_timeout_ms
        while True:
            error: ClientError | None = None
            for connection in self._candidates():
                remaining_ms = patience.remaining_ms
                if remaining_ms <= 0:
                    break
                try:
                    return await connection.unary(
                        method,
                        request,
                        response,
                        min(remaining_ms, node_timeout_ms, self.policy.request_timeout_ms),
                    )
                except ClientError as failure:
                    if not failure.retriable or (failure.indefinite and not idempotent):
                        raise
                    error = failure
            node_timeout_ms *= 2
            if not await patience.pause(error.retry_after_ms if error else 0):
                raise error or ConnectionLost(
                    f"no node answered within {total_ms:.0f} ms", code=UNAVAILABLE, retriable=True
                )

    def _candidates(self) -> list[Connection]:
        """Live nodes first, each time beginning with another, then the bootstrap addresses; or the
        other way round, as the policy says."""
        self._turn += 1
        live = [self._addresses[node_id] for node_id in self._live if node_id in self._addresses]
        order: dict[str, None] = {}
        groups = (live, self._bootstrap)
        for addresses in reversed(groups) if self.policy.bootstrap_first else groups:
            start = self._turn % len(addresses) if addresses else 0
            for address in (*addresses[start:], *addresses[:start]):
                order[address] = None
        return [self._connections.to(address) for address in order]

    # Learning ------------------------------------------------------------------------------

    def _take(self, answer: GetMetadataResponse) -> None:
        self._addresses = {node.node_id: node.address for node in answer.nodes}
        self._live = {node.node_id: None for node in answer.nodes if node.live}
        for topic in answer.topics:
            if topic.HasField("error"):
                self._drop(topic.name)
                self._errors[topic.name] = from_wire(topic.error)
            else:
                self._errors.pop(topic.name, None)
                self._take_topic(topic)

    def _drop(self, name: str) -> None:
        view = self._topics.pop(name, None)
        if view is not None:
            self._names.pop(view.topic_id, None)

    def _take_topic(self, topic: TopicMetadata) -> None:
        known = self._topics.get(topic.name)
        if known is not None and known.topic_id != topic.topic_id:
            self._drop(topic.name)  # deleted, and made anew under the same name
            known = None
        count = len(topic.partitions)
        view = known or TopicView(topic.name, topic.topic_id, 0, 0, 0)
        view.batch_bytes_max = topic.max_batch_bytes
        view.routing_partitions = topic.routing.partition_count or count
        view.routing_epoch = topic.routing.epoch
        while len(view.partitions) < count:
            view.partitions.append(PartitionView())
        self._topics[topic.name] = view
        self._names[topic.topic_id] = topic.name
        for partition in topic.partitions:
            self.note_leader(
                topic.topic_id,
                partition.partition,
                node_id=partition.leader_node_id,
                term=partition.leader_term,
            )


def parse_bootstrap(bootstrap: str | Sequence[str]) -> tuple[str, ...]:
    """Addresses from "host:port,host:port" or a sequence. Raises ValueError."""
    parts = bootstrap.split(",") if isinstance(bootstrap, str) else bootstrap
    addresses = tuple(part.strip() for part in parts if part.strip())
    for address in addresses:
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isdigit() and 1 <= int(port) <= 65_535):
            raise ValueError(f"{address!r} is not host:port with a port of 1 to 65535")
    if not addresses:
        raise ValueError("bootstrap names no node; give it as host:port,host:port")
    return addresses
