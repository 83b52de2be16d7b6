"""Takes copies of logs from leaders: the follower's side.

The copy is built beside the log and takes its place in one step, durable, before the answer. From
begin to end the replica takes no entries: what it acknowledged meanwhile would vanish with the
old log. For the same reason a copy is refused when the log it would replace holds entries of the
sender's own term beyond it, or when it ends below the commit; and when an earlier leader may have
committed more than the copy has (`unconfirmed`), and this replica may have acknowledged that.

A copy that breaks off is not lost: what came of it is committed, and takes the log's place as a
shorter copy, if that loses nothing that the log holds (`_may_keep`). The leader goes on behind it with
entries, so that a large copy need not begin anew when the network fails or leaders change.

A newer copy ends an older one of the same group; a copy that is being put in place is beyond recall,
and runs to its end even when its stream breaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from replication.errors import LogCorrupt, ReplicationError
from replication.log import LogInstaller, ReplicaLog
from replication.multiraft.settings import ReplicationSettings
from replication.ports import CallFailed, StatusCode
from replication.raft.effects import Role
from replication.raft.events import LeaderHeard
from replication.transport.messages import (
    BulkReceiver,
    InstallBegin,
    InstallChunk,
    InstallProgress,
)
from replication.transport.tasks import TaskOwner, end
from replication.types import GroupId, NodeId, Offset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replication.multiraft.group import Group


_LOG = logging.getLogger(__name__)


class _Refused(Exception):
    """This copy can not be taken; the message goes to the sender."""


class _BrokeOff(_Refused):
    """The sender ended the stream before the copy was whole."""


class _Incoming:
    """One copy that arrives."""

    def __init__(self, task: asyncio.Task[None] | None) -> None:
        self.task = task
        self.finishing = False
        """It is being put in place."""
        self.kept = False
        """By a task of its own: the one that received it is over."""


class InstallReceiver:
    """Receives copies.

    Invariant: `_incoming` holds the one copy of a group that is under way, and that group's
    `installing` is true exactly while it does.
    """

    def __init__(
        self,
        groups: Mapping[GroupId, Group],
        settings: ReplicationSettings,
        tasks: TaskOwner,
    ) -> None:
        self._groups = groups
        self._settings = settings
        self._tasks = tasks
        self._incoming: dict[GroupId, _Incoming] = {}

    async def receive(self, node_id: NodeId, bulk: BulkReceiver) -> None:
        """Serve one bulk stream. Raises CallFailed."""
        begin = await bulk.receive()
        if not isinstance(begin, InstallBegin):
            raise CallFailed(StatusCode.INVALID_ARGUMENT, "a copy starts with InstallBegin")
        group = self._groups.get(begin.group_id)
        if group is None or group.failed is not None:
            await bulk.send(_failure(begin, group, "no replica of the group takes part here"))
            return
        older = self._incoming.get(begin.group_id)
        if older is not None:
            if older.finishing:
                await bulk.send(_failure(begin, group, "an earlier copy is being put in place"))
                return
            await end(older.task)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = self._tasks.start(
            self._take(group, node_id, begin, bulk, ended), f"receive group {begin.group_id}"
        )
        try:
            await ended if task is not None else None
        finally:
            # A copy that is being put in place ends by itself.
            current = self._incoming.get(begin.group_id)
            if current is None or current.task is not task or not current.finishing:
                await end(task)

    async def _take(
        self,
        group: Group,
        node_id: NodeId,
        begin: InstallBegin,
        bulk: BulkReceiver,
        ended: asyncio.Future[None],
    ) -> None:
        incoming = _Incoming(asyncio.current_task())
        try:
            if group.group_id in self._incoming:
                raise _Refused("another copy is under way")
            self._incoming[group.group_id] = incoming
            try:
                _admit(group, node_id, begin)
                group.installing = True
                await self._copy(group, begin, bulk, incoming)
            finally:
                if not incoming.kept:
                    self._forget(group)
        except (_Refused, LogCorrupt) as refused:
            await _try_to_send(bulk, _failure(begin, group, str(refused)))
        except (CallFailed, ReplicationError):
            pass  # the stream broke, or the storage did and says so itself
        finally:
            if not ended.done():
                ended.set_result(None)

    async def _copy(
        self, group: Group, begin: InstallBegin, bulk: BulkReceiver, incoming: _Incoming
    ) -> None:
        received = 0
        snapshot = None
        chunk: InstallChunk | None = None
        if begin.snapshot_bytes is not None:
            if begin.snapshot_bytes > self._settings.install_snapshot_bytes_max:
                raise _Refused(
                    f"the snapshot has {begin.snapshot_bytes} bytes: at most "
                    f"{self._settings.install_snapshot_bytes_max} are taken"
                )
            parts: list[bytes] = []
            while received < begin.snapshot_bytes:
                chunk = await _chunk(bulk, begin)
                if not chunk.snapshot:
                    raise _Refused("the snapshot is shorter than it was said to be")
                parts.append(chunk.data)
                received += len(chunk.data)
                await bulk.send(_progress(begin, group, received))
            snapshot = b"".join(parts)
        installer = await group.log.begin_install(
            begin.start, begin.membership, begin.log_state, snapshot
        )
        try:
            while True:
                chunk = await _chunk(bulk, begin)
                if chunk.snapshot:
                    raise _Refused("the snapshot is longer than it was said to be")
                if chunk.data:
                    await installer.write(chunk.data)
                received += len(chunk.data)
                if chunk.last:
                    break
                await bulk.send(_progress(begin, group, received))
            _check_still(group, begin)
        except BaseException as failure:
            if not self._keep(group, begin, installer, incoming, failure):
                await installer.abort()
            raise
        incoming.finishing = True
        await self._put_in_place(group, installer)
        await bulk.send(_progress(begin, group, received, done=True))

    def _keep(
        self,
        group: Group,
        begin: InstallBegin,
        installer: LogInstaller,
        incoming: _Incoming,
        failure: BaseException,
    ) -> bool:
        """Put what came of a copy that broke off in place; False: it is of no use."""
        broke_off = isinstance(failure, (CallFailed, _BrokeOff, asyncio.CancelledError))
        if not broke_off or not _may_keep(group, begin, installer):
            return False

        async def work() -> None:
            try:
                await self._put_in_place(group, installer)
            except ReplicationError:
                pass  # the storage failed, and says so itself
            else:
                _LOG.info("copy_kept", extra={"group": group.group_id, "end": group.log.end.end})
            finally:
                self._forget(group)

        incoming.finishing = incoming.kept = True
        if self._tasks.start(work(), f"keep the copy of group {group.group_id}") is None:
            incoming.finishing = incoming.kept = False  # The node stops.
        return incoming.kept

    def _forget(self, group: Group) -> None:
        group.installing = False
        del self._incoming[group.group_id]

    @staticmethod
    async def _put_in_place(group: Group, installer: LogInstaller) -> None:
        await installer.finish()
        group.log_installed()


def _admit(group: Group, node_id: NodeId, begin: InstallBegin) -> None:
    """Follow the sender's term, and check that the copy may replace the log."""
    if begin.to != group.replica_id:
        raise _Refused(f"replica {begin.to} is not here: replica {group.replica_id} is")
    if begin.term < group.term or not group.accepts_from(begin.sender, node_id):
        raise _Refused(f"term {begin.term} is over")
    group.step(LeaderHeard(begin.sender, begin.term))
    _check_still(group, begin)


def _check_still(group: Group, begin: InstallBegin) -> None:
    log = group.log
    if group.failed is not None or group.role is not Role.FOLLOWER or group.term != begin.term:
        raise _Refused(f"the replica is in term {group.term}")
    if log.lost:
        raise _Refused(f"replica {group.replica_id} is lost: a new one must take its place")
    damaged = log.needs_install or group.core.needs_install
    if begin.unconfirmed and (damaged or _may_go_on(log, begin)):
        raise _Refused("more may be committed than the copy has, and acknowledged here")
    if damaged:
        return
    if begin.end < group.commit_end:
        raise _Refused(f"the copy ends at {begin.end}, below the commit {group.commit_end}")
    if log.end.term == begin.term and log.end.end > begin.end:
        raise _Refused(f"the log ends at {log.end.end} in that term, beyond {begin.end}")


def _may_keep(group: Group, begin: InstallBegin, installer: LogInstaller) -> bool:
    """What came of the copy may take the place of the log: it is committed, as the whole copy is,
    and reaches beyond all that the log holds. It need not be of the present term for that. A replica
    that forgot what it acknowledged needs all of the copy."""
    log, end = group.log, installer.end.end
    fit = group.failed is None and group.role is Role.FOLLOWER and not log.lost
    damaged = log.needs_install or group.core.needs_install
    behind = max(begin.start.end, log.end.end, group.commit_end)
    return fit and not damaged and end > behind


def _may_go_on(log: ReplicaLog, begin: InstallBegin) -> bool:
    """The log reaches beyond the copy, and what it has there may be the leader's, too. It is not
    where the logs have parted already."""
    if log.end.end <= begin.end:
        return False
    start = begin.start
    return log.start.end > start.end or log.term_at(start.end) == start.term


async def _chunk(bulk: BulkReceiver, begin: InstallBegin) -> InstallChunk:
    chunk = await bulk.receive()
    if not isinstance(chunk, InstallChunk) or chunk.install_id != begin.install_id:
        if chunk is None:
            raise _BrokeOff("the copy broke off")
        raise _Refused("the stream carries another copy")
    return chunk


def _progress(
    begin: InstallBegin, group: Group, received: int, *, done: bool = False
) -> InstallProgress:
    return InstallProgress(
        begin.group_id,
        group.replica_id,
        begin.install_id,
        group.term,
        received,
        done=done,
        end=begin.end if done else Offset(0),
    )


def _failure(begin: InstallBegin, group: Group | None, reason: str) -> InstallProgress:
    return InstallProgress(
        begin.group_id,
        begin.to,
        begin.install_id,
        begin.term if group is None else group.term,
        0,
        failure=reason,
    )


async def _try_to_send(bulk: BulkReceiver, progress: InstallProgress) -> None:
    with contextlib.suppress(CallFailed):
        await bulk.send(progress)
