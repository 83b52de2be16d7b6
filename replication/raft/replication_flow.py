"""A leader's half of replication: what goes to which peer (Raft thesis sections 3.5, 10.2.1).

The driver reads and sends entries when it can: SendEntries asks, EntriesSent tells what went.
Peers are served in the order of their ids.
"""

from __future__ import annotations

from replication.errors import invariant
from replication.raft.effects import BeginInstall, NotifyCommit, SendEntries
from replication.raft.events import EntriesSent
from replication.raft.messages import AppendEntries, AppendEntriesResponse
from replication.raft.progress import INSTALL, PROBE, REPLICATE, PeerProgress
from replication.raft.replica_state import ReplicaState
from replication.types import LogPosition, Membership, Offset, ReplicaId


class ReplicationFlow:
    """Progress of every peer of a leader, and what each is to be sent.

    Invariant: one SendEntries at most is with the driver for a peer; a peer's `next` is the
    boundary of an entry of the leader's log, or lies below its start only while INSTALL.
    """

    __slots__ = ("_by_id", "_first", "_flush_asked", "_state", "peers")

    def __init__(self, state: ReplicaState) -> None:
        self._state = state
        self._first = state.terms.end.end
        """Offset of the leader's first entry."""
        self._by_id: dict[ReplicaId, PeerProgress] = {}
        self.peers: tuple[PeerProgress, ...] = ()
        """All members but the leader, by replica id."""
        self._flush_asked = False

    def find(self, replica_id: ReplicaId) -> PeerProgress | None:
        """The peer of that id, or None."""
        return self._by_id.get(replica_id)

    def set_members(self, membership: Membership, next_position: LogPosition) -> None:
        """Keep the progress of those who stay; newcomers are probed from `next_position`."""
        own = self._state.replica_id
        kept = self._by_id
        self._by_id = {}
        for member in membership.replicas():
            peer = member.replica_id
            if peer != own:
                self._by_id[peer] = kept.get(peer) or PeerProgress(peer, next_position)
        self.peers = tuple(self._by_id.values())

    # Sending ----------------------------------------------------------------------------------

    def send_new(self) -> None:
        """The log grew: pass it on to every peer that can take it."""
        for peer in self.peers:
            self._pump(peer)

    def _pump(self, peer: PeerProgress) -> None:
        if peer.asked is not None:
            return
        state = self._state
        if peer.state is REPLICATE:
            if (
                peer.next.end >= state.terms.end.end
                or peer.inflight_bytes >= state.limits.inflight_bytes_max
            ):
                return
        elif peer.state is INSTALL or peer.awaiting:
            return
        if peer.next.end < state.terms.start.end:
            self._install(peer)
            return
        peer.asked = peer.next
        state.effects.append(SendEntries(peer.replica_id, peer.next, state.limits.append_bytes_max))

    def entries_sent(self, event: EntriesSent) -> None:
        """The driver carried out a SendEntries."""
        peer = self._by_id.get(event.to)
        if peer is None or peer.asked is None or peer.asked != event.previous:
            return
        peer.asked = None
        if peer.state is INSTALL:
            return
        if peer.next != event.previous:
            self._pump(peer)
            return
        last, state = event.last, self._state
        invariant(
            event.previous.end <= last.end <= state.terms.end.end,
            "entries were sent that are not in the log",
            sent=event,
            end=state.terms.end,
        )
        nothing = last.end == event.previous.end
        if peer.state is PROBE:
            peer.awaiting = True
            if nothing:
                self._send_empty(peer)
            return
        if nothing:
            return
        peer.sent(last, event.size_bytes)
        peer.told = min(state.commit_end, last.end)
        self._pump(peer)

    def _send_empty(self, peer: PeerProgress) -> None:
        state = self._state
        peer.told = min(state.commit_end, peer.next.end)
        state.send(
            AppendEntries(
                state.replica_id,
                peer.replica_id,
                state.term,
                peer.next,
                state.commit_end,
                state.terms.start.end,
            )
        )

    # Answers ----------------------------------------------------------------------------------

    def accepted(self, peer: PeerProgress, match_end: Offset) -> bool:
        """The peer took what it was sent; True when its match grew."""
        if peer.state is INSTALL:
            # Said before the peer told that it needs a copy.
            return False
        state = self._state
        invariant(
            match_end <= state.terms.end.end,
            "a follower matches beyond its leader's log",
            peer=peer.replica_id,
            match_end=match_end,
            end=state.terms.end,
        )
        news = peer.acknowledge(match_end)
        if peer.state is PROBE or peer.next.end < peer.match:
            point = self._position(peer.match)
            if point is None:
                self._install(peer)
                return news
            peer.replicate(point)
            self.ask_flush()
        self._pump(peer)
        return news

    def refused(self, peer: PeerProgress, answer: AppendEntriesResponse) -> None:
        """The logs do not agree where the peer was asked."""
        if answer.needs_install:
            self._install_damaged(peer)
            return
        if answer.wants_copy:
            self._install_wanted(peer)
            return
        if peer.state is INSTALL or answer.refused_end <= peer.match:
            return
        if peer.state is PROBE and answer.refused_end != peer.next.end:
            return
        point = self._state.terms.greatest_common(answer.hint)
        if point is not None and point.end < peer.match:
            point = self._position(peer.match)
        if point is None:
            self._install(peer)
            return
        peer.probe(point)
        self._pump(peer)

    def lost(self, peer: PeerProgress, *, driver_forgot: bool) -> None:
        """What was on its way to the peer, or its answers, may be lost: probe from its match.

        `driver_forgot`: the SendEntries that was with the driver is gone too.
        """
        if driver_forgot:
            peer.asked = None
        if peer.state is INSTALL:
            return
        if peer.match or peer.state is REPLICATE:
            point = self._position(peer.match)
            if point is None:
                self._install(peer)
                return
            peer.probe(point)
        else:
            # Nothing is known of its log: ask at the point that was chosen before.
            peer.probe(peer.next)
        self._pump(peer)

    def _position(self, end: Offset) -> LogPosition | None:
        """The position that ends there; None below the log's start."""
        term = self._state.terms.term_at(end)
        return None if term is None else LogPosition(term, end)

    # Installs ---------------------------------------------------------------------------------

    def _install(self, peer: PeerProgress) -> None:
        peer.install(None)
        self._state.effects.append(BeginInstall(peer.replica_id))

    def _install_damaged(self, peer: PeerProgress) -> None:
        """The peer lost what it acknowledged: no copy may lack any of that.

        What it acknowledged in earlier terms is committed once this term is established, and what
        it did in this term lies below its match.
        """
        if peer.state is INSTALL:
            return
        floor = self._floor(peer)
        peer.match = Offset(0)
        peer.install(floor)
        self.begin_installs()

    def _install_wanted(self, peer: PeerProgress) -> None:
        """The peer goes on until the copy is there. It asks again when the commit has not got to
        what it acknowledged, which no copy may lack: without it the commit may not get there."""
        if peer.state is not INSTALL and self._floor(peer) <= self._state.commit_end:
            self._install(peer)

    def _floor(self, peer: PeerProgress) -> Offset:
        return max(peer.match, Offset(self._first + 1))

    def begin_installs(self) -> None:
        """The commit moved: begin the copies that waited for it."""
        for peer in self.peers:
            if peer.install_floor is not None and peer.install_floor <= self._state.commit_end:
                self._install(peer)

    def install_succeeded(self, peer: PeerProgress, end: LogPosition) -> None:
        """The peer holds a durable copy up to `end`."""
        if peer.state is not INSTALL:
            return
        peer.probe(end)
        peer.acknowledge(end.end)
        self._pump(peer)

    def install_failed(self, peer: PeerProgress) -> None:
        """The copy did not get through: the peer's next answer begins another."""
        if peer.state is INSTALL:
            peer.probe(self._state.terms.end)
            self._pump(peer)

    def log_trimmed(self) -> None:
        """The log's start moved: peers that need what is gone need a copy."""
        start = self._state.terms.start.end
        for peer in self.peers:
            if peer.state is not INSTALL and peer.next.end < start:
                self._install(peer)

    # News of the commit -----------------------------------------------------------------------

    def ask_flush(self) -> None:
        """Ask for a CommitFlush when a peer would not hear of the commit by what it is sent."""
        if self._flush_asked:
            return
        commit_end = self._state.commit_end
        for peer in self.peers:
            if peer.asked is None and _behind(peer, commit_end):
                self._flush_asked = True
                self._state.effects.append(NotifyCommit())
                return

    def flush_commit(self, *, last_words: bool = False) -> None:
        """Tell the commit to those who have not heard of it.

        `last_words`: the leader retires; what the driver has yet to send will not be sent.
        """
        self._flush_asked = False
        commit_end = self._state.commit_end
        for peer in self.peers:
            if (last_words or peer.asked is None) and _behind(peer, commit_end):
                self._send_empty(peer)


def _behind(peer: PeerProgress, commit_end: Offset) -> bool:
    return peer.state is REPLICATE and peer.told < commit_end and peer.told < peer.next.end
