"""What one replica is: its hard state, its log as the core sees it, its commit.

The parts that decide (`elections`, `following`, `leadership`) share this one state and write
what they want done to `effects`; `replica` owns it and chooses who acts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from replication.errors import invariant
from replication.raft.effects import (
    AppendControl,
    CommitAdvanced,
    ControlBody,
    Effect,
    LogStartCommitted,
    LogStartMoved,
    MembershipChanged,
    PersistHardState,
    Role,
    RoleChanged,
    Send,
    TruncateLog,
)
from replication.raft.limits import RaftLimits
from replication.raft.membership_change import MembershipHistory
from replication.raft.messages import Message
from replication.raft.pending_writes import SENT_AT_ONCE, PendingWrites
from replication.raft.term_table import TermTable
from replication.types import (
    HardState,
    Membership,
    Offset,
    ReplicaId,
    Term,
    WriteSequence,
)

TRANSITIONS: dict[Role, tuple[Role, ...]] = {
    Role.FOLLOWER: (Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE),
    Role.PRE_CANDIDATE: (Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE),
    Role.CANDIDATE: (Role.FOLLOWER, Role.PRE_CANDIDATE, Role.LEADER),
    Role.LEADER: (Role.FOLLOWER,),
}
"""Roles that may follow each role. A follower skips the pre-vote when told to (TimeoutNow)."""


class ReplicaState:
    """The state of one replica.

    Invariant: term and commit never fall (a log that needs an install excepted: it forgot what
    it had); commit_end lies within the log; at most one leader is known in a term.
    """

    __slots__ = (
        "_announced",
        "_hard_state_write",
        "_log_starts",
        "commit_end",
        "effects",
        "heard_term",
        "leader",
        "limits",
        "live",
        "lost",
        "memberships",
        "needs_install",
        "replica_id",
        "role",
        "term",
        "terms",
        "vote",
        "writes",
    )

    def __init__(
        self,
        *,
        replica_id: ReplicaId,
        hard_state: HardState,
        terms: TermTable,
        memberships: Iterable[tuple[Offset, Membership]],
        log_starts: Iterable[tuple[Offset, Offset]],
        needs_install: bool,
        lost: bool,
        limits: RaftLimits,
    ) -> None:
        self.replica_id = replica_id
        self.limits = limits
        self.term: Term = hard_state.term
        self.vote: ReplicaId | None = hard_state.vote
        self.role = Role.FOLLOWER
        self.leader: ReplicaId | None = None
        self._announced = RoleChanged(self.role, self.term, self.leader)
        self.live: frozenset[ReplicaId] = frozenset()
        """Peers whose nodes answered lately, as the driver said last."""
        self.needs_install = needs_install or lost
        self.lost = lost
        """It may have forgotten votes: nothing but an operator's will makes it take part again."""
        self.terms = terms
        """The shape of the log; `terms.end` is its end."""
        self.memberships = MembershipHistory(memberships)
        self.writes = PendingWrites(terms.end.end)
        self.commit_end: Offset = terms.start.end
        self.memberships.commit(self.commit_end)
        self._log_starts: deque[tuple[Offset, Offset]] = deque(log_starts)
        """(offset of the entry, start) of control entries above the commit that move the log's
        start."""
        self._hard_state_write = SENT_AT_ONCE
        self.heard_term: Term = hard_state.term
        """Newest term in which the group is said to be led; matters by its era only (`eras`)."""
        self.effects: list[Effect] = []

    # Hard state and role ----------------------------------------------------------------------

    def persist(self, term: Term, vote: ReplicaId | None) -> None:
        """Take term and vote, and have them written."""
        invariant(
            term > self.term or (term == self.term and self.vote in {None, vote}),
            "a term falls, or a vote changes within its term",
            term=self.term,
            vote=self.vote,
            new_term=term,
            new_vote=vote,
        )
        self.term, self.vote = term, vote
        self._hard_state_write = self.writes.issue()
        self.effects.append(PersistHardState(self._hard_state_write, HardState(term, vote)))

    @property
    def hard_state_write(self) -> WriteSequence:
        """The write that makes term and vote durable; 0 when they are."""
        return self.writes.outstanding(self._hard_state_write)

    def become(self, role: Role, leader: ReplicaId | None) -> None:
        """Change role or known leader within the term (or in one just taken)."""
        invariant(
            role in TRANSITIONS[self.role],
            "an illegal change of role",
            was=self.role,
            becomes=role,
            replica_id=self.replica_id,
            term=self.term,
        )
        self.role, self.leader = role, leader
        changed = RoleChanged(role, self.term, leader)
        if changed != self._announced:
            self._announced = changed
            self.effects.append(changed)

    def send(self, message: Message, after: WriteSequence = SENT_AT_ONCE) -> None:
        """Send a message once a write is durable."""
        self.effects.append(Send(message, after))

    # The log ----------------------------------------------------------------------------------

    def append_control(self, body: ControlBody) -> Offset:
        """Append a control entry in the current term; returns its offset."""
        base = self.terms.end.end
        end = Offset(base + 1)
        self.terms.append(self.term, end)
        self.effects.append(AppendControl(self.writes.append(end), base, self.term, body))
        if isinstance(body, Membership):
            self.take_membership(base, body)
        elif isinstance(body, LogStartMoved):
            self.take_log_start(base, body.start)
        return base

    def take_membership(self, offset: Offset, membership: Membership) -> None:
        """An entry at `offset` that was just appended puts this membership in force."""
        self.memberships.append(offset, membership)
        self.effects.append(MembershipChanged(membership, committed=False))

    def take_log_start(self, offset: Offset, start: Offset) -> None:
        """An entry at `offset` that was just appended moves the log's start when it commits."""
        self._log_starts.append((offset, start))

    def truncate(self, cut: Offset) -> None:
        """Remove [cut, ...), with the configurations that came into force there."""
        invariant(
            cut >= self.commit_end,
            "committed entries would be overwritten",
            cut=cut,
            commit_end=self.commit_end,
            replica_id=self.replica_id,
            term=self.term,
        )
        self.terms.truncate(cut)
        self.effects.append(TruncateLog(self.writes.truncate(cut), cut))
        while self._log_starts and self._log_starts[-1][0] >= cut:
            self._log_starts.pop()
        if self.memberships.truncate(cut):
            self.effects.append(
                MembershipChanged(self.memberships.current, committed=self.memberships.settled)
            )

    def advance_commit(self, end: Offset) -> bool:
        """Everything below `end` is committed; True when that newly includes a configuration."""
        invariant(
            self.commit_end < end <= self.terms.end.end,
            "the commit goes back, or beyond the log",
            commit_end=self.commit_end,
            to=end,
            log_end=self.terms.end,
        )
        self.commit_end = end
        self.effects.append(CommitAdvanced(end))
        while self._log_starts and self._log_starts[0][0] < end:
            self._move_start(self._log_starts.popleft()[1])
        if self.memberships.settled or not self.memberships.commit(end):
            return False
        self.effects.append(MembershipChanged(self.memberships.committed, committed=True))
        return True

    def _move_start(self, start: Offset) -> None:
        if start > self.terms.start.end:
            self.release(start)
            self.effects.append(LogStartCommitted(start))

    def release(self, start: Offset) -> None:
        """The log begins at a committed offset now; an older one changes nothing."""
        if start > self.terms.start.end:
            invariant(
                start <= self.commit_end,
                "uncommitted entries are trimmed",
                start=start,
                commit_end=self.commit_end,
            )
            self.terms = self.terms.released(start)

    def replace_log(
        self,
        terms: TermTable,
        memberships: Iterable[tuple[Offset, Membership]],
        log_starts: Iterable[tuple[Offset, Offset]],
    ) -> None:
        """A durable copy of committed bytes is the log now."""
        end = terms.end.end
        invariant(
            end >= self.commit_end or self.needs_install,
            "an installed log ends below the commit",
            end=end,
            commit_end=self.commit_end,
        )
        advanced = end > self.commit_end
        self.terms, self.commit_end = terms, end
        self.memberships = MembershipHistory(memberships)
        self.memberships.commit(end)
        self.writes.replace(end)
        self._log_starts.clear()
        self.needs_install = False
        self.effects.append(MembershipChanged(self.memberships.current, committed=True))
        if advanced:
            self.effects.append(CommitAdvanced(end))
        for _, start in log_starts:
            self._move_start(start)
