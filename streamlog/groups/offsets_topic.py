"""The topic `__consumer_offsets`: made when it is first needed; each group has one partition of it.

Whichever node is asked first makes it; of several that do so at once one succeeds, and the others
take what it made. Its partitions never change in number: that would move groups away from their
state. Its segments are as small as the snapshots that free them, and no age or size lets them go.
"""

from __future__ import annotations

import asyncio
import zlib

from consumer_groups.types import GroupName
from streamlog.cluster.cluster import Cluster
from streamlog.cluster.metadata.state import Topic
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.internal_topics import CONSUMER_OFFSETS
from streamlog.model.settings.live import LiveSettings

UNLIMITED = "-1"


def partition_of(group: GroupName, partition_count: int) -> int:
    """Number of the partition of `__consumer_offsets` that has the group."""
    return zlib.crc32(group.encode()) % partition_count


class OffsetsTopic:
    """Finds or makes the topic."""

    def __init__(self, settings: LiveSettings, cluster: Cluster) -> None:
        self._settings, self._cluster = settings, cluster
        self._making = asyncio.Lock()

    @property
    def known(self) -> Topic | None:
        """The topic, if this node has heard of it."""
        return self._cluster.view.topic(CONSUMER_OFFSETS)

    async def ensured(self) -> Topic:
        """The topic, made if need be.

        Raises StreamlogError: METADATA_UNAVAILABLE (also while too few nodes are there),
        METADATA_OUTCOME_UNKNOWN.
        """
        topic = self.known
        if topic is not None:
            return topic
        async with self._making:
            return self.known or await self._make()

    async def _make(self) -> Topic:
        now = self._settings.now
        nodes = len(self._cluster.view.other_nodes()) + 1
        try:
            await self._cluster.create_topic(
                CONSUMER_OFFSETS,
                partition_count=now.groups_partitions,
                replication_factor=min(now.groups_replication_factor, nodes),
                overrides={
                    "retention.ms": UNLIMITED,
                    "retention.bytes": UNLIMITED,
                    "segment.bytes": str(max(now.snapshot_bytes, 16 << 10)),
                },
            )
        except StreamlogError as error:
            if error.reason is Reason.INVALID_REPLICATION_FACTOR:
                raise StreamlogError(
                    Reason.METADATA_UNAVAILABLE,
                    f"{CONSUMER_OFFSETS} can not be made yet: {error.message}",
                    retry_after_ms=1_000,
                ) from error
            if error.reason is not Reason.TOPIC_EXISTS:
                raise
        return await self._cluster.wait_for_topic(CONSUMER_OFFSETS, now.request_timeout_ms)
