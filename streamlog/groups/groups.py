"""All group coordinators of a node: one for each replica of `__consumer_offsets` that it holds.

A coordinator starts when its replica appears and stops when it goes. A replica that can not be
replayed has no coordinator that answers; the other nodes' may lead.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Task
from typing import Final

from replication.errors import ReplicationError
from replication.group import GroupHost
from replication.log import EntryCodec
from replication.ports import Clock
from replication.transport.tasks import TaskOwner, end
from replication.types import GroupId
from streamlog.cluster.cluster import Cluster
from streamlog.cluster.intervals import run_rounds
from streamlog.groups.catalogs import Catalogs
from streamlog.groups.coordinator import GroupCoordinator
from streamlog.groups.counters import GroupCounters
from streamlog.groups.offsets_topic import OffsetsTopic
from streamlog.model.settings.live import LiveSettings

EXPIRE_CHECK_MS: Final = 600_000
"""How often to look for groups whose positions were kept long enough."""

_log = logging.getLogger(__name__)


class Groups:
    """The coordinators of a node. All calls are made on the node's event loop."""

    def __init__(
        self,
        settings: LiveSettings,
        cluster: Cluster,
        group_host: GroupHost,
        codec: EntryCodec,
        clock: Clock,
    ) -> None:
        self._settings, self._cluster, self._host = settings, cluster, group_host
        self._codec, self._clock = codec, clock
        self._catalogs = Catalogs(cluster.view)
        self.offsets_topic = OffsetsTopic(settings, cluster)
        self._coordinators: dict[GroupId, GroupCoordinator] = {}
        self._starting: dict[GroupId, Task[None] | None] = {}
        self._tasks = TaskOwner(self._task_failed)
        self._replicas_changed = asyncio.Event()
        self.counters = GroupCounters()

    async def start(self) -> None:
        """Follow the replicas on this node; the node knows its metadata already."""
        self._cluster.on_replicas_changed(self._replicas_changed.set)
        self._replicas_changed.set()
        self._tasks.start(self._follow_replicas(), "coordinators of groups")
        self._tasks.start(self._follow_topics(), "topics for groups")
        self._tasks.start(
            run_rounds(self._expire_offsets, lambda: EXPIRE_CHECK_MS), "positions of groups"
        )

    async def stop(self) -> None:
        """Stop all coordinators; their streams end."""
        await self._tasks.stop()
        for group_id in list(self._coordinators):
            await self._stop(group_id)

    def coordinator(self, group_id: GroupId) -> GroupCoordinator | None:
        """Of a partition with a replica on this node."""
        return self._coordinators.get(group_id)

    def coordinators(self) -> list[GroupCoordinator]:
        """All on this node, by group id."""
        return [self._coordinators[group_id] for group_id in sorted(self._coordinators)]

    async def _follow_replicas(self) -> None:
        while True:
            await self._replicas_changed.wait()
            self._replicas_changed.clear()
            topic = self.offsets_topic.known
            held = {
                partition.group_id: group
                for partition in (topic.partitions if topic is not None else ())
                if (group := self._host.groups.get(partition.group_id)) is not None
            }
            for group_id, coordinator in list(self._coordinators.items()):
                if held.get(group_id) is not coordinator.group:
                    await self._stop(group_id)
            for group_id, group in held.items():
                if group_id not in self._coordinators:
                    made = GroupCoordinator(
                        group,
                        self._codec,
                        self._clock,
                        self._catalogs,
                        self._settings,
                        self.counters,
                    )
                    self._coordinators[group_id] = made
                    # Beside the others: one that waits for a copy of its log takes long.
                    self._starting[group_id] = self._tasks.start(
                        self._start(made), "start of a coordinator"
                    )

    async def _start(self, coordinator: GroupCoordinator) -> None:
        try:
            await coordinator.start()
        except ReplicationError as error:
            _log.error("group_coordinator_failed", extra={"reason": str(error)})

    async def _stop(self, group_id: GroupId) -> None:
        coordinator = self._coordinators.pop(group_id)
        await end(self._starting.pop(group_id))
        await coordinator.stop()

    async def _follow_topics(self) -> None:
        catalog = self._catalogs.current()
        while True:
            catalog = await self._catalogs.changed(catalog)
            for coordinator in self.coordinators():
                coordinator.topics_changed()

    async def _expire_offsets(self) -> None:
        for coordinator in self.coordinators():
            await coordinator.expire_offsets(self._settings.now.groups_offset_retention_ms)

    def _task_failed(self, error: BaseException) -> None:
        _log.error("group_task_failed", exc_info=error)
