"""A leader's entries on their way out: SendEntries carried out, and asked again when lost.

Entries are read at once when they are at hand, else by a task that waits for the disk (a bounded
number on the node). A learner that is behind the end of the log gets them at the pace of
`copy_rate`, at hand or not: the network is everybody's. A full queue towards a peer is waited for; a
stream that is down is told to the core as "nothing was there", and the peer is probed when the stream
stands again.

What was sent and not answered is watched by the node's retry round, so that a replica that was
created late, or a message that was dropped, is asked again; a group whose peers answered
everything is in no round.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replication.errors import LogCorrupt, OffsetOutOfRange
from replication.raft.effects import Role, SendEntries
from replication.raft.events import EntriesSent, LogReleased, PeerDisconnected
from replication.raft.messages import AppendEntries, AppendEntriesResponse
from replication.types import EntryMeta, LogPosition, NodeId, Offset, ReplicaId, Term

if TYPE_CHECKING:
    from replication.multiraft.replica_driver import ReplicaDriver

_RECENT_ENTRIES = 32
"""Entries at the end of the log whose sizes are remembered, to tell without parsing that a read
reached the end."""


@dataclass(slots=True)
class _Awaited:
    """What a peer has yet to answer."""

    end: Offset
    since_ms: float
    lost: bool = False
    """It was not even sent: the stream was down."""


class EntrySender:
    """Of one group, while it leads.

    Invariant: `_awaited` holds the peers with something unanswered; `_answering` those whose last
    answer accepted (the core pipelines to them, so silence is given more time).
    """

    __slots__ = ("_answering", "_awaited", "_group", "_parked", "_recent")

    def __init__(self, group: ReplicaDriver) -> None:
        self._group = group
        self._awaited: dict[ReplicaId, _Awaited] = {}
        self._answering: dict[ReplicaId, None] = {}
        self._parked: dict[ReplicaId, SendEntries] = {}
        self._recent: deque[tuple[Offset, Offset, int]] = deque(maxlen=_RECENT_ENTRIES)

    def appended(self, entry: EntryMeta) -> None:
        """An entry was appended at the end of the log."""
        self._recent.append((entry.base, entry.end, entry.size_bytes))

    def reset(self) -> None:
        """Leadership began or ended."""
        self._awaited.clear()
        self._answering.clear()
        self._parked.clear()
        self._recent.clear()

    # -- sending -------------------------------------------------------------------------------

    def send(self, effect: SendEntries) -> None:
        """Carry out SendEntries."""
        group = self._group
        node_id = group.node_of(effect.to)
        peers = group.node.peers
        if node_id is None or not peers.appends_up(node_id):
            self._postpone(effect)
        elif not peers.has_room(node_id):
            term = group.term
            self._parked[effect.to] = effect
            peers.when_room(node_id, lambda: self._room(effect, term))
        else:
            self._read_and_send(effect, node_id)

    def send_empty(self, message: AppendEntries, node_id: NodeId) -> None:
        """A probe or news of the commit."""
        awaited = self._await(message.to, message.previous.end)
        if not self._group.node.peers.appends_up(node_id):
            awaited.lost = True
        self._group.node.peers.send(node_id, self._group.group_id, message)

    def _postpone(self, effect: SendEntries) -> None:
        """The peer can not be reached, or what it needs is damaged here and is being mended: it
        is asked again in a later round."""
        self._await(effect.to, effect.previous.end).lost = True
        self._group.step(EntriesSent(effect.to, effect.previous, effect.previous, 0))

    def _room(self, effect: SendEntries, term: Term) -> None:
        group = self._group
        if self._parked.get(effect.to) is effect and group.leads(term):
            del self._parked[effect.to]
            self.send(effect)

    def _read_and_send(self, effect: SendEntries, node_id: NodeId) -> None:
        group = self._group
        end = group.log.end.end
        try:
            if self._is_copied_to(effect):
                frames = None
            else:
                frames = group.log.read_nowait(effect.previous.end, end, effect.max_bytes)
        except OffsetOutOfRange:
            self._trimmed(effect)
            return
        except LogCorrupt:
            self._postpone(effect)
            return
        if frames is None:
            group.node.tasks.start(
                self._read_later(effect, node_id, group.term, end),
                f"read group {group.group_id} for node {node_id}",
            )
        else:
            self._send(effect, node_id, frames)

    def _is_copied_to(self, effect: SendEntries) -> bool:
        """A learner lacks more than the entries that came in last."""
        if self._group.membership.is_voter(effect.to):
            return False
        return not self._recent or effect.previous.end < self._recent[0][0]

    async def _read_later(
        self, effect: SendEntries, node_id: NodeId, term: Term, end: Offset
    ) -> None:
        group = self._group
        try:
            async with group.node.log_reads:
                if not group.leads(term):
                    return
                frames = await group.log.read(effect.previous.end, end, effect.max_bytes)
            if self._is_copied_to(effect):
                await group.node.copy_rate.take(len(frames))
        except OffsetOutOfRange:
            if group.leads(term):
                self._trimmed(effect)
        except LogCorrupt:
            if group.leads(term):
                self._postpone(effect)
        else:
            if group.leads(term):
                self._send(effect, node_id, frames)

    def _send(self, effect: SendEntries, node_id: NodeId, frames: bytes) -> None:
        group = self._group
        previous = effect.previous
        if not frames:
            group.step(EntriesSent(effect.to, previous, previous, 0))
            return
        last = self._position_after(previous, frames)
        message = AppendEntries(
            group.replica_id,
            effect.to,
            group.term,
            previous,
            group.commit_end,
            group.log.start.end,
        )
        self._await(effect.to, last.end)
        group.node.peers.send_entries(node_id, group.group_id, message, frames)
        group.step(EntriesSent(effect.to, previous, last, len(frames)))

    def _position_after(self, previous: LogPosition, frames: bytes) -> LogPosition:
        """The position after frames that were read from `previous` on."""
        group = self._group
        size = 0
        for base, _, size_bytes in reversed(self._recent):
            size += size_bytes
            if base <= previous.end or size > len(frames):
                if base == previous.end and size == len(frames):
                    return group.log.end
                break
        entries, _ = group.node.codec.split(group.creation, frames)
        return LogPosition(entries[-1].term, entries[-1].end)

    def _trimmed(self, effect: SendEntries) -> None:
        """The log was trimmed above what the peer needs: the core shall know, and copy."""
        group = self._group
        group.step(LogReleased(group.log.start))
        group.step(EntriesSent(effect.to, effect.previous, effect.previous, 0))

    # -- answers, and their absence ------------------------------------------------------------

    def _await(self, peer: ReplicaId, end: Offset) -> _Awaited:
        group = self._group
        awaited = self._awaited.get(peer)
        if awaited is None:
            awaited = self._awaited[peer] = _Awaited(end, group.node.clock.monotonic_ms())
            group.node.retry_rounds.add(group.group_id, group)
        elif end > awaited.end:
            awaited.end = end
        return awaited

    def answered(self, response: AppendEntriesResponse) -> None:
        """A peer answered. A refusal leaves it awaited: it may be the answer to an earlier probe,
        and the one that is on its way must not get lost without notice."""
        awaited = self._awaited.get(response.sender)
        if not response.accepted:
            self._answering.pop(response.sender, None)
        else:
            self._answering[response.sender] = None
        if awaited is None or awaited.lost:
            return
        if response.accepted and response.match_end >= awaited.end:
            del self._awaited[response.sender]
        else:
            awaited.since_ms = self._group.node.clock.monotonic_ms()

    def stream_changed(self, node_id: NodeId) -> None:
        """The append stream to a node broke, or stands again: what was unanswered is lost."""
        group = self._group
        for peer in [*self._awaited, *(p for p in self._parked if p not in self._awaited)]:
            if group.node_of(peer) == node_id:
                self._lose(peer)

    def peer_restarted(self, node_id: NodeId) -> None:
        """The node began anew. Even a peer that had answered everything is probed: its new process
        does not know the commit, and an idle group would not tell it."""
        group = self._group
        for replica in group.membership.replicas():
            if replica.node_id == node_id:
                self._lose(replica.replica_id)

    def retry(self, now_ms: float) -> bool:
        """Ask again those who are silent though their nodes live; true while any is awaited."""
        group = self._group
        settings = group.node.settings
        for peer, awaited in list(self._awaited.items()):
            node_id = group.node_of(peer)
            if node_id is None:
                del self._awaited[peer]
                continue
            patience_ms = settings.retry_interval_ms
            if peer in self._answering:
                patience_ms = max(2 * settings.election_timeout_ms, patience_ms)
            if now_ms - awaited.since_ms >= patience_ms and group.node.peers.appends_up(node_id):
                self._lose(peer)
        return bool(self._awaited)

    def _lose(self, peer: ReplicaId) -> None:
        self._awaited.pop(peer, None)
        self._parked.pop(peer, None)
        self._answering.pop(peer, None)
        if self._group.role is Role.LEADER:
            self._group.step(PeerDisconnected(peer))
