"""The read side of the metadata on one node: what it has applied, by name and by id.

Every node has one, controllers and others alike; it exists before the node has joined a cluster
(then it knows the configured controllers and nothing else). Look-ups are dict accesses: produce
does one per batch.

Invariant: one look-up sees one state; what it returns never changes (a later state has new
objects).
"""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import Mapping, Sequence

from replication.types import NodeId, Offset
from streamlog.cluster.metadata.state import MetadataState, Node, Partition, Topic
from streamlog.cluster.remembered_addresses import RememberedAddress
from streamlog.model.settings.node import NodeConfig

TopicView = Topic
"""A topic: topic_id, name, partitions by number, config, routing_epoch."""
PartitionView = Partition
"""A partition: group_id, replicas (preferred leader first)."""
NodeView = Node
"""A node: node_id, address, rack, controller."""


class NodeAddresses:
    """replication.group.AddressBook over the view; before the metadata is known it answers from
    what this node's log of it says, and from the configured controllers."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def address_of(self, node_id: NodeId) -> str | None:
        return self._view.address_of(node_id)

    def registered(self, node_id: NodeId) -> bool:
        return self._view.has_registered(node_id)

    def nodes(self) -> Sequence[NodeId]:
        return self._view.other_nodes()


class ClusterView:
    """The metadata as this node has applied it."""

    def __init__(self, config: NodeConfig) -> None:
        self._node_id = NodeId(config.node_id)
        self._configured = {NodeId(node_id): address for node_id, address in config.controllers}
        self._remembered: dict[NodeId, RememberedAddress] = {}
        self._cluster_id = 0
        self._state: MetadataState | None = None
        self._metadata_offset = Offset(0)
        self._others: tuple[NodeId, ...] = ()
        self._waiting: dict[Future[None], None] = {}
        """For the next change."""
        self.addresses = NodeAddresses(self)
        self._list_others()

    @property
    def cluster_id(self) -> int:
        """Identity of the cluster; 0 until the node belongs to one."""
        return self._cluster_id

    @property
    def metadata_offset(self) -> Offset:
        """Offset of group 0 below which everything was applied here."""
        return self._metadata_offset

    @property
    def state(self) -> MetadataState | None:
        """All of it; None before anything was applied."""
        return self._state

    def nodes(self) -> Sequence[Node]:
        """Registered nodes, by id."""
        if self._state is None:
            return ()
        return [self._state.nodes[node_id] for node_id in sorted(self._state.nodes)]

    def node(self, node_id: NodeId) -> Node | None:
        """A registered node."""
        return None if self._state is None else self._state.nodes.get(node_id)

    def address_of(self, node_id: NodeId) -> str | None:
        """Where a node is reached: as it registered, else as it is configured."""
        if node_id in self._remembered:
            return self._remembered[node_id].address
        if self._state is not None:
            node = self._state.nodes.get(node_id)
            if node is not None:
                return node.address
        return self._configured.get(node_id)

    def has_registered(self, node_id: NodeId) -> bool:
        """`address_of` it is as it registered, not as it is configured."""
        return node_id in self._remembered or self.node(node_id) is not None

    def other_nodes(self) -> Sequence[NodeId]:
        """Ids of registered nodes (or remembered ones, until more is known) and configured
        controllers without this node and without those that were removed, ascending."""
        return self._others

    def topic(self, name: str) -> Topic | None:
        """The topic of that name."""
        return None if self._state is None else self._state.topics_by_name.get(name)

    def topic_by_id(self, topic_id: int) -> Topic | None:
        """The topic of that id."""
        return None if self._state is None else self._state.topics.get(topic_id)

    def topics(self) -> Sequence[Topic]:
        """Every topic, by id."""
        if self._state is None:
            return ()
        return [self._state.topics[topic_id] for topic_id in sorted(self._state.topics)]

    def partition(self, topic_id: int, number: int) -> Partition | None:
        """A partition, or None when topic or number are unknown."""
        topic = self.topic_by_id(topic_id)
        if topic is None or not 0 <= number < len(topic.partitions):
            return None
        return topic.partitions[number]

    async def changed(self) -> None:
        """Returns after the next change; callers check what they wait for in a loop."""
        waiter: Future[None] = get_running_loop().create_future()
        self._waiting[waiter] = None
        try:
            await waiter
        finally:
            self._waiting.pop(waiter, None)

    def joined(self, cluster_id: int) -> None:
        """The node belongs to this cluster; called by the owner."""
        self._cluster_id = cluster_id

    def remember(self, addresses: Mapping[NodeId, RememberedAddress]) -> None:
        """Where nodes are reached, each until the metadata is applied that far."""
        self._remembered = dict(addresses)
        self._forget_remembered()
        self._list_others()

    def update(self, state: MetadataState, offset: Offset) -> None:
        """A newer state was applied; called by the owner."""
        nodes_changed = self._state is None or self._state.nodes is not state.nodes
        self._state, self._metadata_offset = state, offset
        if self._forget_remembered() or nodes_changed:
            self._list_others()
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _forget_remembered(self) -> bool:
        known = [n for n, at in self._remembered.items() if at.known_at <= self._metadata_offset]
        for node_id in known:
            del self._remembered[node_id]
        return bool(known)

    def _list_others(self) -> None:
        registered = () if self._state is None else tuple(self._state.nodes)
        removed = frozenset() if self._state is None else self._state.removed_nodes
        every = {*registered, *self._remembered, *self._configured} - {self._node_id} - removed
        self._others = tuple(sorted(every))
