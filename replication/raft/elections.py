"""Votes: who gets one, and who has won (Raft thesis sections 3.4, 3.6.1, 4.2.3 and 9.6).

A candidate's requests, and its vote for itself, wait for the fsync of its new term. That fsync
covers its log too, so a candidate never wins on entries that a crash would take from it.
"""

from __future__ import annotations

from replication.raft.effects import Role
from replication.raft.eras import era_of, is_left_behind, newest_era
from replication.raft.messages import VoteRequest, VoteResponse
from replication.raft.pending_writes import SENT_AT_ONCE
from replication.raft.quorum import has_quorum
from replication.raft.replica_state import ReplicaState
from replication.types import ReplicaId, Term, WriteSequence


class Campaign:
    """One attempt to be elected, or to learn whether it would succeed.

    Invariant: votes are for `term` only; the candidate's own counts from `own_write` on.
    """

    __slots__ = ("_granted", "own_write", "pre_vote", "term")

    def __init__(self, term: Term, *, pre_vote: bool, own_write: WriteSequence) -> None:
        self.term, self.pre_vote, self.own_write = term, pre_vote, own_write
        self._granted: dict[ReplicaId, None] = {}

    def grant(self, voter: ReplicaId) -> None:
        """The voter would vote, or votes, for the candidate."""
        self._granted[voter] = None

    def won(self, state: ReplicaState) -> bool:
        """A majority of each configuration in force granted."""
        return has_quorum(state.memberships.current, self._granted)


def may_campaign(state: ReplicaState) -> bool:
    """The replica's log is whole, and it is a voter or may still be needed as one.

    A replica that holds the entry that removes it, while the others do not, is the only one that
    can be elected; so it campaigns until that entry is known to be committed (section 4.2.2).
    """
    memberships, own = state.memberships, state.replica_id
    if state.needs_install or is_left_behind(state):
        return False
    return memberships.current.is_voter(own) or memberships.before_current.is_voter(own)


def ask_pre_votes(state: ReplicaState) -> Campaign:
    """Ask whether the next term could be won; nothing is promised, nothing is written."""
    state.become(Role.PRE_CANDIDATE, None)
    campaign = Campaign(Term(state.term + 1), pre_vote=True, own_write=SENT_AT_ONCE)
    campaign.grant(state.replica_id)
    _ask(state, campaign, transfer=False)
    return campaign


def ask_votes(state: ReplicaState, *, transfer: bool) -> Campaign:
    """Take the next term, vote for oneself and ask for votes once both are durable.

    `transfer`: the leader asked for this election; voters then do not protect it.
    """
    state.persist(Term(state.term + 1), state.replica_id)
    state.become(Role.CANDIDATE, None)
    campaign = Campaign(state.term, pre_vote=False, own_write=state.hard_state_write)
    _ask(state, campaign, transfer=transfer)
    return campaign


def campaign_alone(state: ReplicaState) -> Campaign:
    """Ask the survivors of a forced recovery for their votes, the own included, once the entry
    that names them is durable."""
    state.become(Role.CANDIDATE, None)
    written = state.writes.covering(state.terms.end.end)
    campaign = Campaign(state.term, pre_vote=False, own_write=written)
    _ask(state, campaign, transfer=False)
    return campaign


def _ask(state: ReplicaState, campaign: Campaign, *, transfer: bool) -> None:
    membership = state.memberships.current
    for member in membership.replicas():
        peer = member.replica_id
        if peer != state.replica_id and membership.is_voter(peer):
            request = VoteRequest(
                state.replica_id, peer, campaign.term, state.terms.end, campaign.pre_vote, transfer
            )
            state.send(request, campaign.own_write)


def log_is_enough(state: ReplicaState, request: VoteRequest) -> bool:
    """The candidate's log holds all that may be committed here (section 3.6.1)."""
    return (
        not state.needs_install
        and request.last >= state.terms.end
        and era_of(request.last.term) >= newest_era(state)
    )


def answer_pre_vote(state: ReplicaState, request: VoteRequest, *, leader_live: bool) -> None:
    """Say whether the vote would be given; term and vote stay as they are."""
    granted = request.term > state.term and not leader_live and log_is_enough(state, request)
    term = request.term if granted else state.term
    response = VoteResponse(state.replica_id, request.sender, term, granted, pre_vote=True)
    state.send(response, SENT_AT_ONCE if granted else state.hard_state_write)


def answer_vote(state: ReplicaState, request: VoteRequest) -> None:
    """Vote, or do not. The request's term is at most the replica's own by now."""
    granted = (
        request.term == state.term
        and (state.vote == request.sender or (state.vote is None and state.leader is None))
        and log_is_enough(state, request)
    )
    if granted and state.vote is None:
        state.persist(state.term, request.sender)
    response = VoteResponse(state.replica_id, request.sender, state.term, granted, pre_vote=False)
    state.send(response, state.hard_state_write)


def refuse_vote(state: ReplicaState, request: VoteRequest) -> None:
    """A leader lives: refuse without looking at the request's term (section 4.2.3)."""
    response = VoteResponse(state.replica_id, request.sender, state.term, False, request.pre_vote)
    state.send(response, state.hard_state_write)
