"""Mends damaged ranges of this node's logs with copies from their other replicas.

Committed bytes are the same everywhere, so a range is fetched from whichever replica has it sound,
the leader first, and put in the place of the damaged one (`storage/segments/segment_repair`).
Nothing else of the replica changes: neither its log's end nor its vote. A range that nobody has
sound stays damaged, is not served, and is tried again.

What is damaged here may have been let go by all others. A state machine's log is let go on each
replica for itself, where a snapshot covers it: the machine that runs here, if it is past the damage,
saves a snapshot, behind which the damaged segment goes, too. A damaged snapshot it saves anew. Any
other log begins at the same offset everywhere, but that may lie within a segment here, of which the
rest is needed.

Where nothing of this helps the replica asks its leader for a whole copy of the log, which comes with
its snapshot; if it leads, it hands over first.

One range at a time: repair must not compete with the traffic of the healthy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, cast

from google.protobuf.message import DecodeError

from replication.errors import LogCorrupt, OffsetOutOfRange, ReplicationError
from replication.group import GroupHost, ReplicatedGroup
from replication.log import ReplicaLog
from replication.ports import CallFailed
from replication.raft.effects import Role
from replication.types import GroupCreation, GroupId, NodeId, Offset
from streamlog.cluster.calls import PeerChannels, to_call_failed
from streamlog.cluster.v1 import cluster_service_pb2 as pb
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError
from streamlog.storage.damage import DamagedRange, DamageReports
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.segments.segment_repair import Copy, FetchCopy

READ_BYTES: Final = 1 << 20
"""Of one call; one entry always fits."""
READ_TIMEOUT_MS: Final = 10_000.0
RETRY_PAUSE_MS: Final = 500.0
RETRY_PAUSE_MS_MAX: Final = 30_000.0
COPY_PAUSE_MS_MAX: Final = 1_000.0
"""Until a copy is asked for again: while entries are on their way to a replica it takes none."""
LET_GO_WITHIN_MS: Final = 8_000.0
"""What lies wholly below the log's start goes by itself; with a longer pause it has not."""

_LOG = logging.getLogger(__name__)


class RepairableLog(ReplicaLog, Protocol):
    """A log whose segments can be replaced."""

    async def repair(self, start: Offset, fetch: FetchCopy) -> bool:
        """See GroupLog.repair."""
        ...


class NoCopy(Exception):
    """No replica has the range sound and at hand."""

    def __init__(self, failures: Sequence[str], *, let_go: bool) -> None:
        """`let_go`: some replica had it, and let it go since."""
        super().__init__("; ".join(failures) or "no other node holds a replica")
        self.let_go = let_go


class Repairer:
    """Watches the damage of a node."""

    def __init__(
        self,
        node_id: NodeId,
        view: ClusterView,
        host: GroupHost,
        channels: PeerChannels,
        damage: DamageReports,
        hand_over: Callable[[GroupId], Awaitable[bool]],
    ) -> None:
        """`hand_over` lets another replica lead a group, if one can."""
        self._hand_over = hand_over
        self._node_id, self._view, self._host = node_id, view, host
        self._channels, self._damage = channels, damage
        self._codec = BatchEntryCodec()
        self._wake = asyncio.Event()
        damage.on_report(self._wake.set)

    async def run(self) -> None:
        """Mend what is reported, until cancelled."""
        pause_ms = RETRY_PAUSE_MS
        while True:
            if not self._damage.open:
                self._wake.clear()
                await self._wake.wait()
                pause_ms = RETRY_PAUSE_MS
            copies = 0
            for damaged in list(self._damage.open.values()):
                copies += await self._attend(damaged, waited=pause_ms > LET_GO_WITHIN_MS)
            if self._damage.open:
                longest_ms = COPY_PAUSE_MS_MAX if copies else RETRY_PAUSE_MS_MAX
                await asyncio.sleep(min(pause_ms, longest_ms) / 1_000)
                pause_ms = min(2 * pause_ms, RETRY_PAUSE_MS_MAX)

    async def _attend(self, damaged: DamagedRange, *, waited: bool) -> bool:
        """Mend it, if that can be done now; whether a copy of the whole log is asked for, or on its
        way."""
        group = self._host.groups.get(damaged.group_id)
        if group is None or group.log.needs_install:
            # Removed, or a whole copy is on its way.
            self._damage.close(
                damaged.group_id, damaged.start, mended=False, of_snapshot=damaged.of_snapshot
            )
            return False
        if group.installing:
            return True
        if min(damaged.end, group.log.end.end) > group.commit_end:
            return False  # Only what is committed is the same everywhere.
        reason, is_copied = "the snapshot needs a copy of the log", damaged.of_snapshot
        if not damaged.of_snapshot:
            try:
                await self._mend(group, damaged)
            except (ReplicationError, OSError, NoCopy) as error:
                let_go = isinstance(error, NoCopy) and error.let_go
                is_copied = let_go and _needs_copy(group, damaged, waited=waited)
                reason = str(error)
            else:
                return False
        if (damaged.of_snapshot or not waited) and group.ask_for_snapshot(damaged.end):
            return False  # It takes the place of a damaged one, or lets the damaged segment go.
        if len(group.membership.replicas()) == 1:
            is_copied = False  # From whom?
        if is_copied:
            await self._have_copied(group)
        _LOG.warning(
            "repair_postponed",
            extra={
                "group": damaged.group_id,
                "start": damaged.start,
                "end": damaged.end,
                "reason": reason,
            },
        )
        return is_copied

    async def _mend(self, group: ReplicatedGroup, damaged: DamagedRange) -> None:
        log = cast("RepairableLog", group.log)
        failures, let_go = [], False
        for source, fetch in self._sources(group):
            try:
                await log.repair(damaged.start, fetch)
            except (CallFailed, StreamlogError, LogCorrupt, DecodeError) as error:
                failures.append(f"{source}: {error}")
                let_go = let_go or _is_let_go(error)
            else:
                return
        raise NoCopy(failures, let_go=let_go)

    async def _have_copied(self, group: ReplicatedGroup) -> None:
        if group.role is Role.LEADER:
            await self._hand_over(group.creation.group_id)
        group.ask_for_copy()

    def _sources(self, group: ReplicatedGroup) -> Sequence[tuple[str, FetchCopy]]:
        """Nodes with a replica: the leader, then live ones, then others. Without any it is a source
        that has nothing: the log still tells whether it let the range go, and begins another segment
        behind an active one, so that it can."""
        live = self._host.live_nodes()
        nodes = dict.fromkeys(r.node_id for r in group.membership.replicas())
        nodes.pop(self._node_id, None)
        order = sorted(nodes, key=lambda n: (n != group.leader, n not in live, n))
        addresses = ((node_id, self._view.address_of(node_id)) for node_id in order)
        sources: list[tuple[str, FetchCopy]] = [
            (f"node {node_id}", partial(self._fetch, address, group.creation))
            for node_id, address in addresses
            if address is not None
        ]
        return sources or [("nobody", _fetch_from_nobody)]

    async def _fetch(
        self, address: str, creation: GroupCreation, start: Offset, end: Offset
    ) -> Copy:
        request = pb.ReadLogRequest(
            group_id=creation.group_id, start_offset=start, end_offset=end, max_bytes=READ_BYTES
        )
        answer = await self._channels.call(
            address, "ReadLog", request.SerializeToString(), READ_TIMEOUT_MS
        )
        frames = pb.ReadLogResponse.FromString(answer).frames
        entries, _ = self._codec.split(creation, frames)
        return entries, frames


async def _fetch_from_nobody(start: Offset, end: Offset) -> Copy:
    raise NoCopy([], let_go=False)


def _needs_copy(group: ReplicatedGroup, damaged: DamagedRange, *, waited: bool) -> bool:
    if group.creation.freed_by_snapshots:
        return True
    return damaged.start < group.start and (waited or group.start < damaged.end)


def _is_let_go(error: Exception) -> bool:
    return isinstance(error, StreamlogError) and error.reason is Reason.OFFSET_OUT_OF_RANGE


async def serve_read_log(host: GroupHost, data: bytes) -> bytes:
    """The other end: committed frames of a replica on this node. Raises CallFailed."""
    try:
        request = pb.ReadLogRequest.FromString(data)
        return pb.ReadLogResponse(frames=await _read(host, request)).SerializeToString()
    except DecodeError as error:
        refusal = StreamlogError(Reason.MALFORMED_MESSAGE, "the request is no ReadLogRequest")
        raise to_call_failed(refusal) from error
    except StreamlogError as error:
        raise to_call_failed(error) from error


async def _read(host: GroupHost, request: pb.ReadLogRequest) -> bytes:
    group = host.groups.get(GroupId(request.group_id))
    start, end = Offset(request.start_offset), Offset(request.end_offset)
    if group is None or group.log.needs_install:
        raise StreamlogError(
            Reason.OFFSET_NOT_AVAILABLE, f"this node has no log of group {request.group_id}"
        )
    if not start < end <= group.commit_end:
        raise StreamlogError(
            Reason.OFFSET_NOT_AVAILABLE,
            f"[{start}, {end}) is not within what is known to be committed here, up to"
            f" {group.commit_end}",
        )
    try:
        return await group.log.read(start, end, min(request.max_bytes or READ_BYTES, READ_BYTES))
    except OffsetOutOfRange as error:
        raise StreamlogError(Reason.OFFSET_OUT_OF_RANGE, str(error)) from error
    except LogCorrupt as error:
        raise StreamlogError(Reason.CORRUPT_LOG, str(error)) from error
    except ReplicationError as error:
        raise StreamlogError(Reason.STORAGE_FAILED, str(error)) from error
