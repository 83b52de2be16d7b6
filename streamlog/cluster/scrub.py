"""Scrubbing: reads what nobody reads, so that rot is found while other replicas are sound.

A read that fails its check reports the segment itself, or the snapshot (`storage/damage`);
scrubbing only makes that somebody reads everything now and then, slowly enough not to be noticed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol, cast

from replication.errors import LogCorrupt, OffsetOutOfRange, ReplicationError
from replication.group import GroupHost, ReplicatedGroup
from replication.log import ReplicaLog
from replication.ports import Clock, Random
from replication.types import Offset
from streamlog.model.batch import iterate_frames
from streamlog.storage.damage import DamageReports

READ_BYTES: Final = 1 << 20
FIRST_WITHIN_MS: Final = 600_000
"""A node scrubs so soon after its start, lest one that is often restarted never does."""

_LOG = logging.getLogger(__name__)


class ScrubbedLog(ReplicaLog, Protocol):
    """A log that can be read past its memory."""

    async def read_file(self, start: Offset, end: Offset, max_bytes: int) -> bytes:
        """See GroupLog.read_file."""
        ...


class Scrubber:
    """Reads all logs of a node, again and again."""

    def __init__(
        self,
        host: GroupHost,
        clock: Clock,
        random: Random,
        damage: DamageReports,
        bytes_per_second: Callable[[], int],
    ) -> None:
        """`bytes_per_second` is asked for again and again; it is at least 1."""
        self._host, self._clock, self._random, self._damage = host, clock, random, damage
        self._bytes_per_second = bytes_per_second
        self.rounds = 0
        """That read every log to its end."""
        self.incomplete_rounds = 0
        """Others, of those that ended."""
        self.scrubbed_bytes = 0
        """All three since the start."""

    async def round(self) -> None:
        """Read every log once, as far as it is committed; in an order by chance, so that rounds
        which are cut short do not leave out the same ones. A damaged range that was reported counts
        as read."""
        complete = True
        for group in sorted(self._host.groups.values(), key=lambda _: self._random.random()):
            try:
                await self._scrub(group)
            except (ReplicationError, OSError) as error:
                group_id = group.creation.group_id
                if self._host.groups.get(group_id) is not group or group.log.needs_install:
                    continue  # Removed, or a whole copy is on its way: nothing is left to read.
                complete = False
                _LOG.info("scrub_interrupted", extra={"group": group_id, "reason": str(error)})
        if complete:
            self.rounds += 1
        else:
            self.incomplete_rounds += 1

    async def _scrub(self, group: ReplicatedGroup) -> None:
        """Read one log to its end. Raises ReplicationError and OSError when that can not be done."""
        log = cast("ScrubbedLog", group.log)
        if log.needs_install:
            return
        if group.creation.freed_by_snapshots:
            await self._scrub_snapshot(log)
        at, end = log.start.end, group.commit_end
        while at < end:
            began_ms = self._clock.monotonic_ms()
            try:
                frames = await log.read_file(at, end, READ_BYTES)
            except (LogCorrupt, OffsetOutOfRange):
                following = self._where_to_go_on(group, at)
                if following is None:
                    raise
                at = following
                continue
            if not frames:
                return
            for _, header in iterate_frames(frames):
                at = Offset(header.end_offset)
            await self._read(len(frames), began_ms)

    async def _scrub_snapshot(self, log: ReplicaLog) -> None:
        began_ms = self._clock.monotonic_ms()
        try:
            loaded = await log.load_snapshot()
        except LogCorrupt:
            return
        if loaded is not None:
            await self._read(len(loaded[1]), began_ms)

    async def _read(self, size_bytes: int, began_ms: float) -> None:
        """So much was: return when no more than the rate allows was read since then."""
        self.scrubbed_bytes += size_bytes
        spent_ms = self._clock.monotonic_ms() - began_ms
        due_ms = 1_000 * size_bytes / self._bytes_per_second()
        await asyncio.sleep(max(0.0, due_ms - spent_ms) / 1_000)

    def _where_to_go_on(self, group: ReplicatedGroup, at: Offset) -> Offset | None:
        """Where the log begins now, if that is further on; else behind the segment that was
        reported; None: nobody knows."""
        if at < group.log.start.end:
            return group.log.start.end
        ends = [
            damaged.end
            for damaged in self._damage.open.values()
            if damaged.group_id == group.creation.group_id and damaged.start <= at < damaged.end
        ]
        return ends[0] if ends else None
