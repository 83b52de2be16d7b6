"""The parts of a node that take part in the cluster, wired to each other.

They are made together, of one identity, and go together. A part gets what it needs as arguments
and knows none of its neighbours' insides; this is the only place that knows all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from replication.multiraft.host import MultiRaft
from replication.multiraft.settings import ReplicationSettings
from replication.ports import Ports, Service
from replication.transport.identity import NodeIdentity as TransportIdentity
from replication.types import GroupCreation
from streamlog.broker.broker import Broker, build_broker
from streamlog.broker.counters import BrokerCounters
from streamlog.cluster.claims import Claims
from streamlog.cluster.cluster import KIND as METADATA_KIND
from streamlog.cluster.cluster import Cluster
from streamlog.cluster.view import ClusterView
from streamlog.gateway.gateway import Gateway
from streamlog.groups.groups import Groups
from streamlog.model.settings.live import LiveSettings
from streamlog.model.settings.topic import TopicConfig
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.identity import NodeIdentity
from streamlog.storage.segments.segment_resources import SegmentResources, SegmentSettings
from streamlog.storage.store import NodeStore
from streamlog.storage.store_settings import StoreSettings

DISTINCT_SETTINGS_MAX: Final = 1_000
"""Remembered; an append must not build the settings of its segment anew."""


@dataclass(frozen=True, slots=True)
class Member:
    """The parts, lowest first; each uses those above it in this list only."""

    store: NodeStore
    groups: MultiRaft
    cluster: Cluster
    consumer_groups: Groups
    broker: Broker
    gateway: Gateway

    def services(self) -> Sequence[Service]:
        """What other nodes and clients call, besides the groups' own services."""
        return [
            *self.cluster.services(),
            *self.broker.services(),
            *self.gateway.services(),
        ]

    @classmethod
    def composed(
        cls,
        settings: LiveSettings,
        ports: Ports,
        identity: NodeIdentity,
        *,
        replication_settings: ReplicationSettings,
        store_settings: StoreSettings,
        boot_id: int,
        counters: BrokerCounters,
        on_joined: Callable[[int], None],
        on_failure: Callable[[Exception], None],
    ) -> Member:
        """Make and wire the parts; nothing runs yet.

        Args:
            settings: of the node.
            ports: its world.
            identity: of its data directory.
            replication_settings: what the settings mean for the groups.
            store_settings: what it means for the logs on disk.
            boot_id: 64 random bits, new at each start of the process.
            counters: filled by the broker.
            on_joined: hears which cluster the node belongs to before it holds anything of it.
            on_failure: hears why the node can not go on; of several reasons the first counts.
        """
        config = settings.now
        codec = BatchEntryCodec()
        view = ClusterView(config)

        # A snapshot frees whole segments, so they must not be larger than what it covers.
        of_metadata = SegmentSettings(segment_bytes=config.snapshot_bytes)
        unknown_topic = TopicConfig()

        @lru_cache(maxsize=DISTINCT_SETTINGS_MAX)
        def segment_settings(segment_bytes: int, segment_ms: int) -> SegmentSettings:
            return SegmentSettings(segment_bytes=segment_bytes, segment_age_ms=segment_ms)

        def segment_settings_of(creation: GroupCreation) -> SegmentSettings:
            if creation.kind == METADATA_KIND:
                return of_metadata
            topic = view.topic_by_id(creation.topic_id)
            settings = unknown_topic if topic is None else topic.config
            return segment_settings(settings.segment_bytes, settings.segment_ms)

        resources = SegmentResources.create(
            ports.disk, ports.clock, open_files_max=config.open_files
        )
        store = NodeStore(
            ports.disk,
            ports.clock,
            identity,
            codec=codec,
            settings=store_settings,
            resources=resources,
            segment_settings_of=segment_settings_of,
        )
        settings.on_change(lambda now: store.set_disk_reserve(now.disk_reserve_bytes))
        claims = Claims()
        groups = MultiRaft(
            TransportIdentity(
                node_id=identity.node_id,
                directory_id=identity.directory_id,
                cluster_id=identity.cluster_id,
                boot_id=boot_id,
            ),
            store,
            codec,
            ports.network,
            ports.clock,
            ports.random,
            view.addresses,
            replication_settings,
            copy_bytes_per_second=lambda: settings.now.move_bytes_per_second,
            on_failed=on_failure,
            on_claimed=claims.heard,
        )
        cluster = Cluster(
            settings=settings,
            identity=identity,
            view=view,
            group_host=groups,
            codec=codec,
            disk=ports.disk,
            network=ports.network,
            clock=ports.clock,
            random=ports.random,
            damage=resources.damage,
            claims=claims,
            boot_id=boot_id,
            on_joined=on_joined,
            on_failure=on_failure,
        )
        consumer_groups = Groups(settings, cluster, groups, codec, ports.clock)
        broker = build_broker(
            settings,
            groups,
            cluster,
            consumer_groups,
            ports.clock,
            ports.disk,
            ports.network,
            resources.damage,
            counters,
        )
        gateway = Gateway(settings, ports, broker.services(), view)
        return cls(store, groups, cluster, consumer_groups, broker, gateway)
