"""Lets old segments go: by age and by size, as each topic says.

Every replica closes segments that are stale; only the leader decides where the log begins, with a
control entry that every replica carries out, so that all of them begin at the same offset. A
reader that stands in what goes is told OFFSET_OUT_OF_RANGE, with the range.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, cast

from replication.errors import ReplicationError
from replication.group import GroupHost, ReplicatedGroup
from replication.ports import Clock
from replication.raft.effects import Role
from streamlog.broker.partition import PartitionLog
from streamlog.cluster.view import ClusterView
from streamlog.storage.segments.retention import RetentionPolicy

GROUPS_AT_ONCE: Final = 100
"""After so many the loop does other work first."""

_LOG = logging.getLogger(__name__)


class Retention:
    """Looks after the partitions with a replica on this node."""

    def __init__(self, view: ClusterView, host: GroupHost, clock: Clock) -> None:
        self._view, self._host, self._clock = view, host, clock
        self.removed_offsets = 0
        """How far this node has moved log starts, as a leader, since it began."""

    async def round(self) -> None:
        """Look at each replica once, one after the other."""
        for count, group in enumerate(list(self._host.groups.values())):
            if count % GROUPS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if group.creation.freed_by_snapshots:
                continue
            try:
                await self._look_at(group)
            except ReplicationError as error:
                # Not the leader any more, removed, or damaged: that is told elsewhere.
                _LOG.debug(
                    "retention_postponed",
                    extra={"group": group.creation.group_id, "reason": str(error)},
                )

    async def _look_at(self, group: ReplicatedGroup) -> None:
        topic = self._view.topic_by_id(group.creation.topic_id)
        if topic is None:
            return  # Deleted just now.
        policy = RetentionPolicy(topic.config.retention_ms, topic.config.retention_bytes)
        log = cast("PartitionLog", group.log)
        start = await log.retained_from(policy, self._clock.wall_ms())
        start = min(start, group.commit_end)
        before = group.start
        if start <= before or group.role is not Role.LEADER or not group.established:
            return
        await group.move_log_start(start)
        self.removed_offsets += group.start - before
        _LOG.info(
            "log_start_moved",
            extra={
                "topic": topic.name,
                "partition": group.creation.partition,
                "from": before,
                "to": group.start,
            },
        )
