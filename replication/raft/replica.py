"""One replica of one group: events in, effects out; no I/O, no clock, no randomness.

Who acts on what (rows: events; a dash: ignored; "adopt": take a higher term, follow):

| event              | follower        | pre-candidate   | candidate       | leader            |
|---|---|---|---|---|
| ElectionTimeout    | pre-candidate   | pre-candidate   | pre-candidate   | –                 |
| pre-vote majority  | –               | candidate       | –               | –                 |
| vote majority      | –               | –               | leader          | –                 |
| TimeoutNow         | candidate       | candidate       | adopt, candidate| –                 |
| AppendEntries, LeadershipProbe, LeaderHeard of its term | take | follower | follower | violation |
| any higher term    | adopt           | adopt           | adopt           | adopt             |
| LivePeersChanged   | noted           | noted           | noted           | no quorum: follower |
| own removal commits| –               | –               | –               | follower          |
| ForceMembership    | candidate       | candidate       | candidate       | candidate         |
| CopyWanted         | ask the leader  | –               | –               | –                 |
| LeaderAnnounced in a later era | noted | follower      | follower        | follower          |

Higher terms are adopted from every message except a pre-vote (asked or granted), and except a
VoteRequest while the leader lives. A replica campaigns while it is a voter, or its removal is not
known to be committed; never when it needs an install, or was left behind (`eras`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from replication.errors import invariant
from replication.raft.effects import Effect, MembershipChangeRejected, ReadRefused, Role
from replication.raft.elections import (
    Campaign,
    answer_pre_vote,
    answer_vote,
    ask_pre_votes,
    ask_votes,
    campaign_alone,
    log_is_enough,
    may_campaign,
    refuse_vote,
)
from replication.raft.eras import (
    era_of,
    first_term_after,
    force_refusal,
    ignores,
    is_left_behind,
    surviving_membership,
)
from replication.raft.events import (
    ChangeMembership,
    CommitFlush,
    CopyWanted,
    ElectionTimeout,
    EntriesSent,
    Event,
    ForceMembership,
    HigherTermSeen,
    InstallFailed,
    InstallSucceeded,
    LeaderAnnounced,
    LeaderHeard,
    LivePeersChanged,
    LogInstalled,
    LogReleased,
    MessageReceived,
    PeerDisconnected,
    Propose,
    ProposeLogStart,
    ReadRequested,
    TransferExpired,
    TransferLeadership,
    WriteCompleted,
)
from replication.raft.following import ask_for_copy, receive_entries
from replication.raft.leadership import Leadership
from replication.raft.limits import RaftLimits
from replication.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    LeadershipEcho,
    LeadershipProbe,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from replication.raft.readable import ReadableReplica
from replication.raft.replica_state import ReplicaState
from replication.raft.term_table import TermTable
from replication.types import (
    HardState,
    LogPosition,
    Membership,
    Offset,
    ReplicaId,
    Term,
)


class RaftReplica(ReadableReplica):
    """A replica. Call `step` with one event at a time and carry out the effects in order.

    Invariant: `_leadership` exists exactly while the role is LEADER, `_campaign` exactly while it
    is PRE_CANDIDATE or CANDIDATE.
    """

    def __init__(
        self,
        replica_id: ReplicaId,
        hard_state: HardState,
        start: LogPosition,
        end: LogPosition,
        terms: Iterable[tuple[Term, Offset]],
        memberships: Iterable[tuple[Offset, Membership]],
        needs_install: bool = False,
        limits: RaftLimits | None = None,
        log_starts: Iterable[tuple[Offset, Offset]] = (),
        lost: bool = False,
    ) -> None:
        """Start as a follower from recovered, durable state; the commit starts at `start`.

        Args:
            replica_id: this replica's id within the group.
            hard_state: term and vote as last made durable.
            start: first offset held, with the term of the entry before it.
            end: exclusive end of the durable log, with its last entry's term.
            terms: (term, first offset) of each term in the log, ascending.
            memberships: the one in force at `start`, then each later one at its entry's offset.
            needs_install: the log was damaged: never vote or acknowledge before an install.
            limits: bounds; the defaults of RaftLimits when None.
            log_starts: (offset of the entry, start) of the LogStartMoved entries in the log.
            lost: votes may be forgotten: never take part again, unless it is forced to.
        """
        self._state = ReplicaState(
            replica_id=replica_id,
            hard_state=hard_state,
            terms=TermTable(start, end, terms),
            memberships=memberships,
            log_starts=log_starts,
            needs_install=needs_install,
            lost=lost,
            limits=limits or RaftLimits(),
        )
        self._leadership: Leadership | None = None
        self._campaign: Campaign | None = None
        # Handlers by exact type: the unions are closed, and a test compares their members.
        self._on_event: dict[type[Any], Callable[[Any], None]] = {
            MessageReceived: self._message_received,
            ElectionTimeout: self._election_timeout,
            LeaderHeard: self._leader_heard,
            HigherTermSeen: self._higher_term_seen,
            LivePeersChanged: self._live_peers_changed,
            WriteCompleted: self._write_completed,
            Propose: self._propose,
            ProposeLogStart: self._propose_log_start,
            EntriesSent: self._entries_sent,
            PeerDisconnected: self._peer_disconnected,
            CommitFlush: self._commit_flush,
            ReadRequested: self._read_requested,
            TransferLeadership: self._transfer_leadership,
            TransferExpired: self._transfer_expired,
            ChangeMembership: self._change_membership,
            ForceMembership: self._force_membership,
            LeaderAnnounced: self._leader_announced,
            InstallSucceeded: self._install_succeeded,
            InstallFailed: self._install_failed,
            LogInstalled: self._log_installed,
            CopyWanted: self._copy_wanted,
            LogReleased: self._log_released,
        }
        self._on_message: dict[type[Any], Callable[[Any], None]] = {
            VoteResponse: self._vote_response,
            AppendEntries: self._append_entries,
            AppendEntriesResponse: self._append_response,
            TimeoutNow: self._timeout_now,
            LeadershipProbe: self._leadership_probe,
            LeadershipEcho: self._leadership_echo,
        }

    def step(self, event: Event) -> list[Effect]:
        """Take one event; returns what is to be done, in that order, before the next step.

        Raises:
            InvariantViolation: something that can not be true is; the replica must not go on.
        """
        state = self._state
        effects: list[Effect] = []
        state.effects = effects
        self._on_event[type(event)](event)
        return effects

    # Roles and terms --------------------------------------------------------------------------

    def _follow(self, term: Term, leader: ReplicaId | None, vote: ReplicaId | None = None) -> None:
        """Be a follower in `term`, the own or a later one; `vote` is given in a later one."""
        state = self._state
        self._campaign = None
        leadership, self._leadership = self._leadership, None
        if term > state.term:
            state.persist(term, vote)
        state.become(Role.FOLLOWER, leader)
        if leadership is not None:
            leadership.refuse_reads()

    def _hear_leader(self, term: Term, leader: ReplicaId) -> bool:
        """Something came from the leader of `term`; False when that term is over."""
        state = self._state
        if term < state.term:
            return False
        if term > state.term or state.role is not Role.FOLLOWER or state.leader != leader:
            invariant(
                term > state.term or state.leader is None,
                "two leaders in one term",
                term=term,
                known=state.leader,
                other=leader,
                replica_id=state.replica_id,
            )
            self._follow(term, leader)
        return True

    def _lead_if_won(self) -> None:
        state, campaign = self._state, self._campaign
        if campaign is None or not campaign.won(state):
            return
        if campaign.pre_vote:
            self._campaign = ask_votes(state, transfer=False)
            return
        self._campaign = None
        # The first entry is appended before anyone hears of the role and may propose.
        self._leadership = leadership = Leadership(state)
        leadership.begin()
        state.become(Role.LEADER, state.replica_id)
        leadership.flow.send_new()

    def _retire_if_removed(self, leadership: Leadership) -> None:
        if leadership.retired:
            self._follow(self._state.term, None)

    # Events -----------------------------------------------------------------------------------

    def _election_timeout(self, _: ElectionTimeout) -> None:
        state = self._state
        if state.role is not Role.LEADER and may_campaign(state):
            self._campaign = ask_pre_votes(state)
            self._lead_if_won()

    def _leader_heard(self, event: LeaderHeard) -> None:
        self._hear_leader(event.term, event.leader)

    def _higher_term_seen(self, event: HigherTermSeen) -> None:
        if event.term > self._state.term and self._state.role is not Role.FOLLOWER:
            self._follow(event.term, None)

    def _live_peers_changed(self, event: LivePeersChanged) -> None:
        before, self._state.live = self._state.live, event.live
        leadership = self._leadership
        if leadership is None:
            return
        if not leadership.has_live_quorum():
            self._follow(self._state.term, None)
            return
        leadership.peers_returned(before)

    def _write_completed(self, event: WriteCompleted) -> None:
        moved = self._state.writes.complete(event.write)
        leadership, campaign = self._leadership, self._campaign
        if leadership is not None:
            if moved:
                leadership.own_writes_durable()
                self._retire_if_removed(leadership)
        elif campaign is not None and not campaign.pre_vote and campaign.own_write <= event.write:
            campaign.grant(self._state.replica_id)
            self._lead_if_won()

    def _propose(self, event: Propose) -> None:
        leadership = self._leadership
        if leadership is not None and leadership.transfer_target is None:
            leadership.propose(event.token, event.span)

    def _propose_log_start(self, event: ProposeLogStart) -> None:
        if self._leadership is not None and self._leadership.accepts_proposals:
            self._leadership.propose_log_start(event.start)

    def _entries_sent(self, event: EntriesSent) -> None:
        if self._leadership is not None:
            self._leadership.flow.entries_sent(event)

    def _peer_disconnected(self, event: PeerDisconnected) -> None:
        leadership = self._leadership
        peer = None if leadership is None else leadership.flow.find(event.peer)
        if leadership is not None and peer is not None:
            leadership.flow.lost(peer, driver_forgot=True)

    def _commit_flush(self, _: CommitFlush) -> None:
        if self._leadership is not None:
            self._leadership.flow.flush_commit()

    def _read_requested(self, event: ReadRequested) -> None:
        if self._leadership is None:
            self._state.effects.append(ReadRefused(event.context))
        else:
            self._leadership.read(event.context)

    def _transfer_leadership(self, event: TransferLeadership) -> None:
        if self._leadership is not None:
            self._leadership.transfer(event.to)

    def _transfer_expired(self, _: TransferExpired) -> None:
        if self._leadership is not None:
            self._leadership.transfer_expired()

    def _change_membership(self, event: ChangeMembership) -> None:
        if self._leadership is not None:
            self._leadership.change_membership(event.target)

    def _force_membership(self, event: ForceMembership) -> None:
        state = self._state
        reason = force_refusal(state, event.survivors)
        if reason is not None:
            state.effects.append(MembershipChangeRejected(reason))
            return
        membership = surviving_membership(state, event.survivors)
        # Votes that it forgot were of the era that ends here.
        state.needs_install = state.lost = False
        self._follow(first_term_after(state.term, state.replica_id), None, vote=state.replica_id)
        state.append_control(membership)
        self._campaign = campaign_alone(state)

    def _leader_announced(self, event: LeaderAnnounced) -> None:
        state = self._state
        if era_of(event.term) > era_of(state.heard_term):
            state.heard_term = event.term
            if state.role is not Role.FOLLOWER and is_left_behind(state):
                self._follow(state.term, None)

    def _install_succeeded(self, event: InstallSucceeded) -> None:
        leadership = self._leadership
        peer = None if leadership is None else leadership.flow.find(event.peer)
        if leadership is not None and peer is not None:
            leadership.flow.install_succeeded(peer, event.end)

    def _install_failed(self, event: InstallFailed) -> None:
        leadership = self._leadership
        peer = None if leadership is None else leadership.flow.find(event.peer)
        if leadership is not None and peer is not None:
            leadership.flow.install_failed(peer)

    def _log_installed(self, event: LogInstalled) -> None:
        invariant(self._leadership is None, "a leader's log was replaced", event=event)
        state = self._state
        invariant(not state.lost, "a lost replica took a copy", event=event)
        terms = TermTable(event.start, event.end, event.terms)
        forgot = state.needs_install
        state.replace_log(terms, event.memberships, event.log_starts)
        if forgot and state.vote is None and state.leader is not None:
            # It may have voted in this term and forgotten it with its log: not a second time.
            state.persist(state.term, state.leader)

    def _copy_wanted(self, _: CopyWanted) -> None:
        if self._state.role is Role.FOLLOWER:
            ask_for_copy(self._state)

    def _log_released(self, event: LogReleased) -> None:
        start = event.start.end
        if start > self._state.commit_end:
            # A snapshot covers it: it was known to be committed before this process began.
            self._state.advance_commit(start)
        self._state.release(start)
        if self._leadership is not None:
            self._leadership.flow.log_trimmed()

    # Messages ---------------------------------------------------------------------------------

    def _message_received(self, event: MessageReceived) -> None:
        message = event.message
        if message.to != self._state.replica_id or ignores(self._state, message):
            return
        if isinstance(message, VoteRequest):
            self._vote_request(message, leader_live=event.leader_live)
        else:
            self._on_message[type(message)](message)

    def _vote_request(self, request: VoteRequest, *, leader_live: bool) -> None:
        state = self._state
        # A leader steps down when it loses its quorum; until then it lives.
        live = (leader_live or state.role is Role.LEADER) and not request.leadership_transfer
        if request.pre_vote:
            answer_pre_vote(state, request, leader_live=live)
        elif request.term > state.term and live:
            refuse_vote(state, request)
        else:
            if request.term > state.term:
                vote = request.sender if log_is_enough(state, request) else None
                self._follow(request.term, None, vote)
            answer_vote(state, request)

    def _vote_response(self, response: VoteResponse) -> None:
        state, campaign = self._state, self._campaign
        if response.term > state.term and not (response.pre_vote and response.granted):
            self._follow(response.term, None)
        elif (
            campaign is not None
            and response.granted
            and response.pre_vote == campaign.pre_vote
            and response.term == campaign.term
        ):
            campaign.grant(response.sender)
            self._lead_if_won()

    def _append_entries(self, message: AppendEntries) -> None:
        state = self._state
        if message.term < state.term:
            # Tells a deposed leader so.
            state.send(
                AppendEntriesResponse(state.replica_id, message.sender, state.term, False),
                state.hard_state_write,
            )
            return
        if message.term > state.term or state.leader != message.sender:
            self._hear_leader(message.term, message.sender)
        receive_entries(state, message)

    def _append_response(self, response: AppendEntriesResponse) -> None:
        leadership, term = self._leadership, self._state.term
        if response.term != term:
            if response.term > term:
                self._follow(response.term, None)
        elif leadership is not None:
            leadership.answered(response)
            self._retire_if_removed(leadership)

    def _timeout_now(self, message: TimeoutNow) -> None:
        if self._hear_leader(message.term, message.sender) and may_campaign(self._state):
            self._campaign = ask_votes(self._state, transfer=True)

    def _leadership_probe(self, probe: LeadershipProbe) -> None:
        state = self._state
        self._hear_leader(probe.term, probe.sender)
        if not state.needs_install:
            state.send(
                LeadershipEcho(state.replica_id, probe.sender, state.term, probe.context),
                state.hard_state_write,
            )

    def _leadership_echo(self, echo: LeadershipEcho) -> None:
        leadership, term = self._leadership, self._state.term
        if echo.term > term:
            self._follow(echo.term, None)
        elif echo.term == term and leadership is not None:
            leadership.echoed(echo)
