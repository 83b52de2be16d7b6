"""Copies committed logs to replicas that are blank or too far behind: the leader's side.

What is copied is [start, commit) as of the beginning, with the state machine's snapshot when there
is one; then the log begins where the snapshot ends. At most `installs_max` copies run on the node
and one to each peer; at most `install_window_bytes` are unanswered.

Until an entry of its own term is committed, a leader's commit may lie below what earlier leaders
committed. Its copies say so (`unconfirmed`), and a replica that such a copy could take acknowledged
entries from does not take it. It is sent all the same: one that has nothing to lose may be the one
that is lacking for that first commit.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from replication.errors import InvariantViolation, LogCorrupt, OffsetOutOfRange
from replication.log import EntryCodec
from replication.multiraft.copy_rate import CopyRate
from replication.multiraft.settings import ReplicationSettings
from replication.ports import CallFailed, Random
from replication.raft.events import HigherTermSeen, InstallFailed, InstallSucceeded
from replication.transport.messages import (
    BulkSender,
    InstallBegin,
    InstallChunk,
    InstallProgress,
)
from replication.transport.peers import Peers
from replication.transport.tasks import TaskOwner
from replication.transport.wire import ProtocolError
from replication.types import LogPosition, Membership, NodeId, Offset, ReplicaId, Term

if TYPE_CHECKING:
    from replication.multiraft.replica_driver import ReplicaDriver

_ANSWER_TIMEOUT_S = 30.0
"""A receiver that takes longer for its next answer (an fsync of the whole copy included) is
given up."""


_LOG = logging.getLogger(__name__)


class InstallRefused(Exception):
    """The receiver does not take the copy, or this node leads no more."""


class InstallSender:
    """Sends copies.

    Invariant: `_busy` holds a lock for each peer that a copy was ever sent to.
    """

    def __init__(
        self,
        *,
        settings: ReplicationSettings,
        codec: EntryCodec,
        random: Random,
        peers: Peers,
        tasks: TaskOwner,
        copy_rate: CopyRate,
    ) -> None:
        self._copy_rate = copy_rate
        self._settings = settings
        self._codec = codec
        self._random = random
        self._peers = peers
        self._tasks = tasks
        self._slots = asyncio.Semaphore(settings.installs_max)
        self._busy: dict[NodeId, asyncio.Lock] = {}

    def begin(self, group: ReplicaDriver, to: ReplicaId) -> None:
        """Carry out BeginInstall; InstallSucceeded or InstallFailed follows."""
        self._tasks.start(self._copy(group, to, group.term), f"copy group {group.group_id}")

    async def _copy(self, group: ReplicaDriver, to: ReplicaId, term: Term) -> None:
        node_id = group.node_of(to)
        if node_id is not None:
            lock = self._busy.setdefault(node_id, asyncio.Lock())
            try:
                async with lock, self._slots:
                    end = await self._copy_to(group, to, node_id, term)
            except (
                CallFailed,
                TimeoutError,
                InstallRefused,
                OffsetOutOfRange,
                ProtocolError,
                LogCorrupt,  # which the log's owner has heard of, and mends
            ) as error:
                _LOG.warning(
                    "copy_failed",
                    extra={"group": group.group_id, "to_node": node_id, "reason": str(error)},
                )
            else:
                if group.leads(term):
                    group.step(InstallSucceeded(to, end))
                return
        # The core begins again when the peer answers: not at once, if it keeps failing.
        pause_ms = self._settings.retry_interval_ms * (1 + self._random.random())
        await asyncio.sleep(pause_ms / 1_000)
        if group.leads(term):
            group.step(InstallFailed(to))

    async def _copy_to(
        self, group: ReplicaDriver, to: ReplicaId, node_id: NodeId, term: Term
    ) -> LogPosition:
        """Send one copy; returns the position it ends at."""
        self._check(group, term)
        log = group.log
        snapshot = await log.load_snapshot()
        self._check(group, term)
        start, log_state = log.start, b""
        if snapshot is None or snapshot[0].end == start.end:
            log_state = log.log_state(start.end)
        else:
            start = snapshot[0]
        # What a snapshot covers is committed, though this leader may not have heard so yet.
        end = max(group.commit_end, start.end)
        end_term = log.term_at(end)
        if end_term is None:
            raise InstallRefused(f"[{start.end}, {end}) is not at hand")
        begin = InstallBegin(
            group_id=group.group_id,
            sender=group.replica_id,
            to=to,
            term=term,
            install_id=self._random.getrandbits(63) | 1,
            start=start,
            end=end,
            membership=membership_at(group, start.end),
            log_state=log_state,
            snapshot_bytes=None if snapshot is None else len(snapshot[1]),
            unconfirmed=not group.established,
        )
        bulk = await self._peers.open_bulk(node_id)
        try:
            copy = _Copy(group, bulk, begin, self._settings.install_window_bytes)
            await bulk.send(begin)
            if snapshot is not None:
                await self._send_snapshot(copy, snapshot[1])
            await self._send_log(copy)
            await copy.wait_done()
        finally:
            group.copied.pop(to, None)
            bulk.cancel()
        return LogPosition(end_term, end)

    async def _send_snapshot(self, copy: _Copy, snapshot: bytes) -> None:
        size = self._settings.install_chunk_bytes
        for at in range(0, len(snapshot), size):
            await copy.send(snapshot[at : at + size], snapshot=True, last=False)

    async def _send_log(self, copy: _Copy) -> None:
        group, begin = copy.group, copy.begin
        at = begin.start.end
        while at < begin.end:
            self._check(group, begin.term)
            frames = await group.log.read(at, begin.end, self._settings.install_chunk_bytes)
            entries, _ = self._codec.split(group.creation, frames)
            if not entries or entries[0].base != at:
                raise InvariantViolation(f"group {group.group_id}: nothing to copy at {at}")
            at = entries[-1].end
            if not group.membership.is_voter(begin.to):
                await self._copy_rate.take(len(frames))
            await copy.send(frames, snapshot=False, last=at >= begin.end)
            group.copied[begin.to] = at
        if begin.start.end >= begin.end:
            await copy.send(b"", snapshot=False, last=True)

    @staticmethod
    def _check(group: ReplicaDriver, term: Term) -> None:
        if not group.leads(term):
            raise InstallRefused(f"this node does not lead in term {term} any more")


class _Copy:
    """One copy under way.

    Invariant: `_sent - _received` never exceeds the window by more than one chunk.
    """

    def __init__(
        self, group: ReplicaDriver, bulk: BulkSender, begin: InstallBegin, window_bytes: int
    ) -> None:
        self.group = group
        self.begin = begin
        self._bulk = bulk
        self._window_bytes = window_bytes
        self._sent = 0
        self._received = 0

    async def send(self, data: bytes, *, snapshot: bool, last: bool) -> None:
        """Send a chunk once the window has room."""
        while self._sent and self._sent + len(data) - self._received > self._window_bytes:
            await self._answer()
        begin = self.begin
        self._sent += len(data)
        await self._bulk.send(
            InstallChunk(begin.group_id, begin.to, begin.install_id, snapshot, data, last)
        )

    async def wait_done(self) -> None:
        """Until the receiver has it all, durably."""
        while not (await self._answer()).done:
            pass

    async def _answer(self) -> InstallProgress:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            progress = await self._bulk.receive()
        if progress is None:
            raise InstallRefused("the receiver ended the stream")
        if progress.term > self.begin.term:
            self.group.step(HigherTermSeen(progress.term))
        if progress.failure or progress.install_id != self.begin.install_id:
            raise InstallRefused(progress.failure or "an answer to another copy")
        self._received = max(self._received, progress.received_bytes)
        return progress


def membership_at(group: ReplicaDriver, offset: Offset) -> Membership:
    """The membership in force at `offset`: of the last entry below it."""
    memberships = group.log.memberships
    found = memberships[0][1]
    for at, membership in memberships[1:]:
        if at < offset:
            found = membership
    return found
