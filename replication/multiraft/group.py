"""One group on this node, as its users see it: proposals, reads, transfers, membership.

Implements `replication.group.ReplicatedGroup` on `ReplicaDriver`; `Following` keeps its election
timing. What callers wait for belongs to the group: a cancelled caller cancels nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from replication.errors import (
    LeadershipLost,
    LeadershipTransferFailed,
    LogCorrupt,
    MembershipChangeRefused,
    NotLeader,
    OffsetOutOfRange,
    Overloaded,
    ReplicationError,
    StorageFailed,
    invariant,
)
from replication.group import Proposal, SnapshotSource
from replication.log import EntryDraft, ReplicaLog
from replication.multiraft.context import NodeContext
from replication.multiraft.following import Following
from replication.multiraft.proposals import PendingProposals
from replication.multiraft.read_rounds import ReadRounds
from replication.multiraft.replica_driver import ReplicaDriver
from replication.multiraft.requests import Requests
from replication.raft.effects import AppendProposal, MembershipChanged, Role, RoleChanged
from replication.raft.eras import era_of
from replication.raft.events import (
    ChangeMembership,
    CommitFlush,
    CopyWanted,
    ElectionTimeout,
    ForceMembership,
    HigherTermSeen,
    LeaderAnnounced,
    LeaderHeard,
    LivePeersChanged,
    LogInstalled,
    MessageReceived,
    Propose,
    ProposeLogStart,
    ReadRequested,
    TransferExpired,
    TransferLeadership,
)
from replication.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Message,
    TimeoutNow,
    VoteRequest,
)
from replication.transport.messages import Announcement, LedGroup
from replication.types import Membership, NodeId, Offset, ReplicaId, Term


class Group(ReplicaDriver):
    """A replica on this node.

    Invariant: proposals, reads and requests wait only while this replica leads.
    """

    def __init__(self, log: ReplicaLog, node: NodeContext) -> None:
        self._proposals = PendingProposals()
        self._reads = ReadRounds(self._begin_read)
        self._requests = Requests()
        self._tokens = 0
        self._appended: Proposal | None = None
        self._snapshots: SnapshotSource | None = None
        self.heard_commit: tuple[Term, Offset] | None = None
        """As follower: the commit that the leader of that term told last, taken or not."""
        self.installing = False
        """A copy of the log is being received: entries are not taken meanwhile."""
        super().__init__(log, node)
        self.following = Following(self)

    # -- what can be read ----------------------------------------------------------------------

    @property
    def leader(self) -> NodeId | None:
        """Node that leads in `term`, as far as is known."""
        return None if self.leader_replica is None else self.node_of(self.leader_replica)

    @property
    def membership_committed(self) -> bool:
        """The configuration in force is known to be committed."""
        return self.core.membership_committed

    def leads(self, term: Term) -> bool:
        """This replica leads in that term, still."""
        return self.role is Role.LEADER and self.term == term and self.failed is None

    def replica_progress(self) -> Mapping[ReplicaId, Offset]:
        """As leader: fsynced match end of each member; else empty."""
        return self.core.match_ends()

    # -- proposals -----------------------------------------------------------------------------

    def propose(self, draft: EntryDraft) -> Proposal:
        """Append as the leader, at once; see ReplicatedGroup."""
        self._check_leading()
        size_bytes = draft.size_bytes
        waiting, limit = (
            self._proposals.uncommitted_bytes,
            self.node.settings.group_uncommitted_bytes_max,
        )
        if waiting and waiting + size_bytes > limit:
            raise Overloaded(f"uncommitted bytes of group {self.group_id}", waiting, limit)
        self.node.budget.check_proposal(size_bytes)
        self.log.check_room(size_bytes)
        invariant(not self._stepping, "a proposal within a step", group_id=self.group_id)
        self._tokens += 1
        self._draft = draft
        self.step(Propose(self._tokens, draft.span, size_bytes))
        appended, self._appended = self._appended, None
        if appended is None:
            raise self._failure() or self._not_leader()
        return appended

    def _check_leading(self) -> None:
        """Raises NotLeader or StorageFailed unless proposals are taken."""
        failure = self._failure()
        if failure is not None:
            raise failure
        if self.role is not Role.LEADER or not self.core.accepts_proposals:
            raise self._not_leader()

    def _not_leader(self) -> NotLeader:
        leader = self.leader
        return NotLeader(self.group_id, self.term, leader if leader != self.node.node_id else None)

    def _failure(self) -> ReplicationError | None:
        if self.failed is None:
            return None
        if isinstance(self.failed, (StorageFailed, LogCorrupt)):
            return self.failed
        return StorageFailed(f"group {self.group_id}", str(self.failed))

    def _proposal_appended(self, effect: AppendProposal, size_bytes: int) -> None:
        future = self._proposals.add(effect.end, size_bytes)
        self.node.budget.uncommitted_bytes += size_bytes
        self._appended = Proposal(effect.base, effect.end, effect.term, future)

    def _commit_advanced(self, end: Offset) -> None:
        self.node.budget.uncommitted_bytes -= self._proposals.commit(end)

    # -- reads ---------------------------------------------------------------------------------

    async def read_barrier(self) -> Offset:
        """A commit end of some moment after the call began; see ReplicatedGroup."""
        failure = self._failure()
        if failure is not None:
            raise failure
        if self.role is not Role.LEADER:
            raise self._not_leader()
        return await asyncio.shield(self._reads.join())

    def _begin_read(self, context: int) -> None:
        self.node.retry_rounds.add(self.group_id, self)
        self.step(ReadRequested(context))

    def _read_ready(self, context: int, commit_end: Offset) -> None:
        self._reads.ready(context, commit_end)

    def _read_refused(self, context: int) -> None:
        self._reads.refused(context, self._not_leader())

    # -- transfer, membership, log start -------------------------------------------------------

    async def transfer_leadership(self, to: NodeId) -> None:
        """Hand over; see ReplicatedGroup. Raises LeadershipTransferFailed."""
        self._check_leading()
        if to == self.node.node_id:
            return
        target = next((v.replica_id for v in self.membership.voters if v.node_id == to), None)
        if target is None or self._requests.transferring:
            reason = "it holds no voter" if target is None else "a transfer is under way"
            raise LeadershipTransferFailed(self.group_id, to, reason)
        term, done = self.term, self._requests.begin_transfer()
        self.step(TransferLeadership(target))
        try:
            async with asyncio.timeout(self.node.settings.election_timeout_ms / 1_000):
                await asyncio.shield(done)
        except TimeoutError:
            raise LeadershipTransferFailed(
                self.group_id, to, "it did not take over within the election timeout"
            ) from None
        finally:
            self._requests.end_transfer()
            if self.leads(term):
                self.step(TransferExpired())

    def ask_for_copy(self) -> None:
        """As follower: ask the leader for a whole copy; see ReplicatedGroup."""
        if self.failed is None:
            self.step(CopyWanted())

    def use_snapshots_of(self, source: SnapshotSource) -> None:
        """This runs on the group from now on."""
        self._snapshots = source

    def ask_for_snapshot(self, through: Offset) -> bool:
        """Have the state machine save a snapshot soon; see ReplicatedGroup."""
        return self._snapshots is not None and self._snapshots.save_snapshot_soon(through)

    async def change_membership(self, target: Membership) -> None:
        """Returns when the new configuration is committed; see ReplicatedGroup."""
        self._check_leading()
        if target.old_voters:
            raise MembershipChangeRefused(self.group_id, "the target must not be joint")
        if self._requests.changing:
            raise MembershipChangeRefused(self.group_id, "another change is under way")
        settled = self.core.membership_committed
        if settled and target == self.membership:
            return
        done = self._requests.begin_change(target)
        self.step(ChangeMembership(target))
        await asyncio.shield(done)

    async def force_membership(self, survivors: Sequence[ReplicaId]) -> None:
        """Go on with these voters, in a new era; returns when this replica leads and an entry of
        its term is committed. `forced_recovery` says whether it may be."""
        done = self._requests.begin_establishing()
        lost, durable = self.log.lost, None
        self.step(ForceMembership(tuple(survivors)))
        if lost and not self.core.lost:
            # Term and vote of the new era were written before: no checkpoint has the one without
            # the other.
            durable = self.log.accept_loss()
        self.following.campaigned()
        await asyncio.shield(done)
        if durable is not None:
            await asyncio.shield(durable)

    def leader_announced(self, term: Term) -> None:
        """A node says that it leads the group: matters when the group went on without this
        replica."""
        if term > self.term and era_of(term) > era_of(self.term) and self.failed is None:
            self.step(LeaderAnnounced(term))

    def _leadership_established(self) -> None:
        self._requests.established()

    @property
    def start(self) -> Offset:
        """First offset."""
        return self.core.start.end

    async def move_log_start(self, start: Offset) -> None:
        """Propose and await a control entry that moves the log's start, down to the base of the
        entry that holds `start`: a log begins at an entry's boundary. Raises OffsetOutOfRange
        above the commit."""
        self._check_leading()
        if start <= self.start:
            return
        if start > self.commit_end:
            raise OffsetOutOfRange(start, self.start, self.commit_end)
        term = self.term
        if start < self.commit_end:
            frames = await self.log.read(start, self.commit_end, 1)
            entries, _ = self.node.codec.split(self.creation, frames)
            start = entries[0].base
        if not self.leads(term):
            raise self._not_leader()
        if start <= self.start:
            return
        done = self._requests.begin_log_start(start)
        self.step(ProposeLogStart(start))
        await asyncio.shield(done)

    def _membership_changed(self, effect: MembershipChanged) -> None:
        if effect.committed:
            self._requests.membership_committed(effect.membership)
        if self.role is Role.LEADER:
            self._lead_members()
        elif effect.membership.is_voter(self.replica_id):
            self.following.became_voter()

    def _membership_change_rejected(self, reason: str) -> None:
        self._requests.change_refused(MembershipChangeRefused(self.group_id, reason))

    def _log_start_committed(self, start: Offset) -> None:
        self._requests.log_start_committed(start)

    # -- roles ---------------------------------------------------------------------------------

    def _role_changed(self, effect: RoleChanged) -> None:
        was_leader, was_term = self.role is Role.LEADER, self.term
        self.role, self.term, self.leader_replica = effect.role, effect.term, effect.leader
        if was_leader:
            self.node.counters.leaderships_lost += 1
            self._stepped_down(was_term)
        if effect.role is Role.LEADER:
            self.established = False
            self.node.counters.elections_won += 1
            self.sender.reset()
            self._lead_members()
            self.node.announce(Announcement(self.group_id, self.term, self.node.node_id))
        elif effect.leader is not None:
            self._requests.transferred()
        self.following.role_changed()
        self._note("role_changed", effect.role, effect.term, self.leader)

    def _stepped_down(self, term: Term) -> None:
        self.established = False
        self.sender.reset()
        self.node.liveness.unlead(self.group_id)
        self._fail_waiting(lambda: LeadershipLost(self.group_id, term))

    def _fail_waiting(self, make: Callable[[], Exception]) -> None:
        self.node.budget.uncommitted_bytes -= self._proposals.fail(make)
        self._requests.fail(make)
        failure = self._failure()
        self._reads.fail(lambda: failure or self._not_leader())

    def _lead_members(self) -> None:
        """Heartbeats shall speak for this group towards all its members' nodes."""
        nodes = dict.fromkeys(r.node_id for r in self.membership.replicas())
        nodes.pop(self.node.node_id, None)
        self.node.liveness.lead(self.group_id, self.term, self.replica_id, tuple(nodes))
        self.live_peers_changed()

    def live_peers_changed(self) -> None:
        """Tell the core of its live peers, if they are others than it was told."""
        live = self.live_peers()
        if live != self.core.live:
            self.step(LivePeersChanged(live))

    def live_peers(self) -> frozenset[ReplicaId]:
        """Peers whose nodes answer; none while this node's disk stalls."""
        node = self.node
        if node.disk_stalled:
            return frozenset()
        return frozenset(
            replica.replica_id
            for replica in self.membership.replicas()
            if replica.replica_id != self.replica_id
            and node.liveness.answers(replica.node_id, self.group_id)
        )

    # -- what arrives --------------------------------------------------------------------------

    def receive(self, node_id: NodeId, message: Message) -> None:
        """Anything but AppendEntries."""
        if message.to != self.replica_id or not self.accepts_from(message.sender, node_id):
            return
        if self.installing and isinstance(message, TimeoutNow):
            return
        if isinstance(message, AppendEntriesResponse):
            if self.leads(message.term):
                self.sender.answered(message)
            self.step(MessageReceived(message))
        elif isinstance(message, VoteRequest):
            self.step(MessageReceived(message, self.following.leader_live()))
        else:
            self.step(MessageReceived(message))

    def receive_append(self, node_id: NodeId, message: AppendEntries, data: bytes) -> bool:
        """AppendEntries, with its frames unchecked; False: the disk is behind, offer it again.
        Raises LogCorrupt on bad frames."""
        if (
            self.failed is not None
            or message.to != self.replica_id
            or not self.accepts_from(message.sender, node_id)
        ):
            return True
        if message.term >= self.term:
            self.heard_commit = (message.term, message.commit_end)
        if self.installing:
            return True
        frames: tuple[bytes, ...] = ()
        if data:
            try:
                self.log.check_room(len(data))
            except Overloaded:
                return False
            except ReplicationError:
                return True  # the disk is full or failed; the leader asks again
            entries, frames = self.node.codec.split(self.creation, data)
            message = AppendEntries(
                message.sender,
                message.to,
                message.term,
                message.previous,
                message.commit_end,
                message.log_start,
                entries,
            )
        self.step(MessageReceived(message), frames)
        self.following.append_heard(message)
        return True

    def follow_led(self, node_id: NodeId, led: LedGroup) -> Term | None:
        """A node's heartbeat says it leads this group: None when this replica follows it."""
        if self.core.is_ignored(led.leader, led.term):
            return Term(0)
        if self.failed is not None or not led.leader:
            return self.term
        if not self.accepts_from(led.leader, node_id) or led.term < self.term:
            return self.term
        if self.role is Role.LEADER and led.term == self.term:
            return self.term
        self.step(LeaderHeard(led.leader, led.term))
        return None if self.following.agreed(node_id, led) else self.term

    def higher_term_seen(self, term: Term) -> None:
        """A peer's replica is in a later term."""
        if term > self.term:
            self.step(HigherTermSeen(term))

    # -- rounds --------------------------------------------------------------------------------

    def begin_election(self) -> None:
        """The election timeout passed without a leader."""
        self.node.counters.elections_started += 1
        self.live_peers_changed()
        self.step(ElectionTimeout())
        self.following.campaigned()

    def flush_commit(self) -> None:
        """Tell followers of the commit."""
        self.step(CommitFlush())

    def retry(self, now_ms: float) -> bool:
        """Ask again what was not answered; true while something is waited for."""
        if self.role is not Role.LEADER or self.failed is not None:
            return False
        self._reads.retry()
        return self.sender.retry(now_ms) or bool(self._reads)

    def log_installed(self) -> None:
        """The log was replaced by a durable copy."""
        self.node.counters.installs_received += 1
        self._note("log_replaced")
        log = self.log
        self.step(
            LogInstalled(
                log.start,
                log.end,
                tuple(log.terms),
                tuple(log.memberships),
                tuple(log.log_starts),
            )
        )

    # -- the end -------------------------------------------------------------------------------

    def stop(self, error: Exception | None) -> None:
        """Take part no more; `error`: why. What is waited for fails with it."""
        if self.failed is not None:
            return
        was_leader, term = self.role is Role.LEADER, self.term
        self.failed = error or StorageFailed(f"group {self.group_id}", "the group was stopped")
        self.role, self.leader_replica, self.established = Role.FOLLOWER, None, False
        if was_leader:
            self.node.liveness.unlead(self.group_id)
        self.following.stop()
        self._held.clear()
        self.sender.reset()
        self.node.budget.synced(sum(size for _, size in self._received))
        self._received.clear()
        self.node.writes.forget(self.group_id)
        failure = None if error is None else self._failure()
        self._fail_waiting(lambda: failure or LeadershipLost(self.group_id, term))
        self._requests.fail_establishing(failure or LeadershipLost(self.group_id, term))
        self._note("role_changed", Role.FOLLOWER, term, None)
        if not self._telling:
            self._tell()
