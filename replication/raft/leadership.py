"""One replica's leadership of one term: commit, reads, transfer, changes of members.

It begins with an entry of its own (LeaderNoOp), because only entries of the current term are
committed by counting replicas (Raft thesis section 3.6.2), and ends with the term, or when the
driver sees no quorum (section 6.2), or when a configuration without the leader commits (4.2.2).
"""

from __future__ import annotations

from replication.raft.effects import (
    AppendProposal,
    LeaderNoOp,
    LeadershipEstablished,
    LogStartMoved,
    MembershipChangeRejected,
    ReadReady,
    ReadRefused,
)
from replication.raft.membership_change import enter_change, leave_joint, refusal
from replication.raft.messages import (
    AppendEntriesResponse,
    LeadershipEcho,
    LeadershipProbe,
    TimeoutNow,
)
from replication.raft.progress import REPLICATE, PeerProgress
from replication.raft.quorum import has_quorum, joint_end
from replication.raft.reads import PendingReads
from replication.raft.replica_state import ReplicaState
from replication.raft.replication_flow import ReplicationFlow
from replication.types import LogPosition, Membership, Offset, ReplicaId


class Leadership:
    """What a leader knows beyond every replica.

    Invariant: `established` exactly when an entry of the term is committed; `own.match` is the
    durable end of the leader's log: its copy counts like any other.
    """

    __slots__ = (
        "_old_voters",
        "_reads",
        "_state",
        "_timeout_now_sent",
        "_voters",
        "established",
        "first",
        "flow",
        "own",
        "retired",
        "transfer_target",
    )

    def __init__(self, state: ReplicaState) -> None:
        self._state = state
        self.first: Offset = state.terms.end.end
        """Offset of the term's first entry."""
        self.established = False
        self.retired = False
        """A configuration without this replica is committed: it must stop leading."""
        self.transfer_target: ReplicaId | None = None
        self._timeout_now_sent = False
        self._reads = PendingReads(state.limits.pending_reads_max)
        self.flow = ReplicationFlow(state)
        self.own = PeerProgress(state.replica_id, state.terms.end)
        self.own.match = state.writes.durable_end
        self._voters: tuple[PeerProgress, ...] = ()
        self._old_voters: tuple[PeerProgress, ...] = ()
        self._take_members(state.terms.end)

    def _take_members(self, next_position: LogPosition) -> None:
        """The configuration in force changed."""
        membership, flow = self._state.memberships.current, self.flow
        flow.set_members(membership, next_position)
        self._voters = tuple(flow.find(v.replica_id) or self.own for v in membership.voters)
        self._old_voters = tuple(flow.find(v.replica_id) or self.own for v in membership.old_voters)

    def begin(self) -> None:
        """Append the term's first entry."""
        self._state.append_control(LeaderNoOp())

    @property
    def accepts_proposals(self) -> bool:
        """No transfer is under way."""
        return self.transfer_target is None

    # Entries and their commit -----------------------------------------------------------------

    def propose(self, token: int, span: int) -> None:
        """Append a client's entry and send it on."""
        state = self._state
        base = state.terms.end.end
        end = Offset(base + span)
        state.terms.append(state.term, end)
        state.effects.append(AppendProposal(state.writes.append(end), token, base, end, state.term))
        self.flow.send_new()

    def propose_log_start(self, start: Offset) -> None:
        """Append an entry that moves the log's start, if it is a committed offset ahead of it."""
        if self._state.terms.start.end < start <= self._state.commit_end:
            self._state.append_control(LogStartMoved(start))
            self.flow.send_new()

    def own_writes_durable(self) -> None:
        """The leader's log is durable further than before."""
        self.own.match = self._state.writes.durable_end
        self.commit()

    def answered(self, answer: AppendEntriesResponse) -> None:
        """A peer answered AppendEntries in this term."""
        peer = self.flow.find(answer.sender)
        if peer is None:
            return
        if not answer.accepted:
            self.flow.refused(peer, answer)
            return
        if self.flow.accepted(peer, answer.match_end):
            self._hand_over_if_ready(peer)
            self.commit()

    def commit(self) -> None:
        """Commit what a majority has fsynced, if it is of this term (section 3.6.2)."""
        state = self._state
        end = joint_end([p.match for p in self._voters], [p.match for p in self._old_voters])
        if end <= state.commit_end or end <= self.first:
            return
        log_start = state.terms.start.end
        membership_committed = state.advance_commit(end)
        if not self.established:
            self._establish()
        self.flow.begin_installs()
        if state.terms.start.end != log_start:
            self.flow.log_trimmed()
        memberships = state.memberships
        if memberships.settled and memberships.current.joint:
            self._append_membership(leave_joint(memberships.current))
        if (
            membership_committed
            and memberships.settled
            and not memberships.current.is_voter(state.replica_id)
        ):
            self._retire()
        else:
            self.flow.ask_flush()

    def _establish(self) -> None:
        state = self._state
        self.established = True
        state.effects.append(LeadershipEstablished(state.term))
        for context in self._reads.unpark():
            self.read(context)

    def _retire(self) -> None:
        """Tell the others of the commit, and the best of them to take over (section 4.2.2)."""
        self.retired = True
        self.flow.flush_commit(last_words=True)
        ready = [p for p in self._voters if p is not self.own and p.state is REPLICATE]
        if ready:
            best = max(ready, key=lambda p: (p.match, -p.replica_id))
            self._send_timeout_now(best.replica_id)

    # Members ----------------------------------------------------------------------------------

    def change_membership(self, target: Membership) -> None:
        """Take up a change, or say why not."""
        state = self._state
        reason = self._change_refusal(target)
        if reason is not None:
            state.effects.append(MembershipChangeRejected(reason))
            return
        self._append_membership(enter_change(state.memberships.current, target))

    def _change_refusal(self, target: Membership) -> str | None:
        memberships = self._state.memberships
        if not self.established:
            return "no entry of the leader's term is committed yet"
        if not memberships.settled or memberships.current.joint:
            return "another change is under way"
        if self.transfer_target is not None:
            return f"leadership is being handed over to replica {self.transfer_target}"
        following = [p.replica_id for p in self.flow.peers if p.state is REPLICATE]
        return refusal(memberships.current, target, following)

    def _append_membership(self, membership: Membership) -> None:
        before = self._state.terms.end
        self._state.append_control(membership)
        self._take_members(before)
        if self.transfer_target is not None and not membership.is_voter(self.transfer_target):
            self.transfer_expired()
        self.flow.send_new()

    # Leadership transfer (section 3.10) -------------------------------------------------------

    def transfer(self, to: ReplicaId) -> None:
        """Stop taking proposals, and hand over once the target has the whole log."""
        peer = self.flow.find(to)
        if peer is None or not any(p is peer for p in self._voters) or to == self.transfer_target:
            return
        self.transfer_target, self._timeout_now_sent = to, False
        self._hand_over_if_ready(peer)

    def transfer_expired(self) -> None:
        """Take proposals again. The target may still be elected: then this leader is deposed."""
        self.transfer_target = None

    def _hand_over_if_ready(self, peer: PeerProgress) -> None:
        if (
            peer.replica_id == self.transfer_target
            and not self._timeout_now_sent
            and peer.match == self._state.terms.end.end
        ):
            self._timeout_now_sent = True
            self._send_timeout_now(peer.replica_id)

    def _send_timeout_now(self, to: ReplicaId) -> None:
        self._state.send(TimeoutNow(self._state.replica_id, to, self._state.term))

    # Reads (section 6.4) ----------------------------------------------------------------------

    def read(self, context: int) -> None:
        """Confirm leadership for a read; park it while the term is not established."""
        state = self._state
        if not self.established:
            self._refuse_read(self._reads.park(context))
            return
        if has_quorum(state.memberships.current, (state.replica_id,)):
            state.effects.append(ReadReady(context, state.commit_end))
            return
        self._refuse_read(self._reads.begin(context, state.commit_end))
        for peer in self.flow.peers:
            self._probe_for_read(peer.replica_id, context)

    def _probe_for_read(self, to: ReplicaId, context: int) -> None:
        state = self._state
        if state.memberships.current.is_voter(to):
            state.send(LeadershipProbe(state.replica_id, to, state.term, context))

    def _refuse_read(self, context: int | None) -> None:
        if context is not None:
            self._state.effects.append(ReadRefused(context))

    def echoed(self, echo: LeadershipEcho) -> None:
        """A replica confirmed that it is in this term."""
        state = self._state
        for context, commit_end in self._reads.echo(
            echo.sender, echo.context, state.replica_id, state.memberships.current
        ):
            state.effects.append(ReadReady(context, commit_end))

    def refuse_reads(self) -> None:
        """Leadership ended."""
        for context in self._reads.drain():
            self._refuse_read(context)

    # Peers come and go ------------------------------------------------------------------------

    def has_live_quorum(self) -> bool:
        """The driver sees a majority of each configuration (CheckQuorum, section 6.2)."""
        state = self._state
        return has_quorum(state.memberships.current, state.live | {state.replica_id})

    def peers_returned(self, before: frozenset[ReplicaId]) -> None:
        """Live peers that were not live before: what they were sent may be lost."""
        live, newest_read = self._state.live, self._reads.newest
        for peer in self.flow.peers:
            if peer.replica_id in live and peer.replica_id not in before:
                self.flow.lost(peer, driver_forgot=False)
                if newest_read is not None:
                    self._probe_for_read(peer.replica_id, newest_read)
