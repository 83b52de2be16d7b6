"""What others may read of a replica between steps; nothing here changes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replication.raft.effects import Role
from replication.raft.eras import force_refusal, is_ignored, is_left_behind
from replication.raft.leadership import Leadership
from replication.raft.replica_state import ReplicaState
from replication.types import LogPosition, Membership, Offset, ReplicaId, Term


class ReadableReplica:
    """A replica's state, as properties."""

    _state: ReplicaState
    _leadership: Leadership | None

    @property
    def replica_id(self) -> ReplicaId:
        """Of this replica, within its group."""
        return self._state.replica_id

    @property
    def role(self) -> Role:
        """Role in `term`."""
        return self._state.role

    @property
    def term(self) -> Term:
        """Newest term that was seen; maybe not durable yet."""
        return self._state.term

    @property
    def vote(self) -> ReplicaId | None:
        """Whom this replica voted for in `term`."""
        return self._state.vote

    @property
    def leader(self) -> ReplicaId | None:
        """Who leads `term`, as far as is known."""
        return self._state.leader

    @property
    def start(self) -> LogPosition:
        """First offset held, and the term of the entry before it."""
        return self._state.terms.start

    @property
    def end(self) -> LogPosition:
        """Exclusive end of the log, durable or not, and its last entry's term."""
        return self._state.terms.end

    @property
    def durable_end(self) -> Offset:
        """Exclusive end of what is fsynced of the log."""
        return self._state.writes.durable_end

    @property
    def commit_end(self) -> Offset:
        """Exclusive end of what is known to be committed."""
        return self._state.commit_end

    @property
    def terms(self) -> tuple[tuple[Term, Offset], ...]:
        """(term, first offset) of each term in the log, ascending."""
        return self._state.terms.runs

    @property
    def membership(self) -> Membership:
        """The configuration in force, committed or not."""
        return self._state.memberships.current

    @property
    def membership_committed(self) -> bool:
        """The configuration in force is known to be committed."""
        return self._state.memberships.settled

    @property
    def lost(self) -> bool:
        """See ReplicaLog.lost."""
        return self._state.lost

    @property
    def needs_install(self) -> bool:
        """The log is not whole; the replica neither votes nor acknowledges."""
        return self._state.needs_install

    @property
    def left_behind(self) -> bool:
        """The group went on without what this replica lacks; see `eras`."""
        return is_left_behind(self._state)

    def force_refusal(self, survivors: Sequence[ReplicaId]) -> str | None:
        """Why ForceMembership would be rejected; None when it would not."""
        return force_refusal(self._state, survivors)

    def is_ignored(self, sender: ReplicaId, term: Term) -> bool:
        """What that replica says in that term is neither believed nor answered; see `eras`."""
        return is_ignored(self._state, sender, term)

    @property
    def live(self) -> frozenset[ReplicaId]:
        """Peers whose nodes answered lately, as the driver said last."""
        return self._state.live

    @property
    def established(self) -> bool:
        """This replica leads, and an entry of its own term is committed."""
        leadership = self._leadership
        return leadership is not None and leadership.established

    @property
    def accepts_proposals(self) -> bool:
        """This replica leads, and is not handing over: Propose is answered by AppendProposal."""
        leadership = self._leadership
        return leadership is not None and leadership.accepts_proposals

    @property
    def transfer_target(self) -> ReplicaId | None:
        """To whom leadership is being handed over."""
        return self._leadership.transfer_target if self._leadership is not None else None

    def match_ends(self) -> Mapping[ReplicaId, Offset]:
        """As leader: fsynced match end of each member, by replica id; else empty."""
        leadership = self._leadership
        if leadership is None:
            return {}
        every = [*leadership.flow.peers]
        if self.membership.find(self.replica_id) is not None:
            every.append(leadership.own)
        return {p.replica_id: p.match for p in sorted(every, key=lambda p: p.replica_id)}
