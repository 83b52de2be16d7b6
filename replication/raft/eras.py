"""Eras: how a group goes on whose majority is gone for good, and what keeps the dead from it.

The upper 32 bits of a term are its era, the lower 32 count elections. Elections never leave their
era; only a forced recovery (`force`) begins the next one. It is an operator's decision, and it
breaks one invariant on purpose:

- Leader completeness (Raft thesis section 3.6.3) does not hold across it. What the lost majority
  committed and the surviving replica does not have is gone, and nobody can tell what it was.

Everything else holds, because of four rules. "Of an era" is said of a log by its last entry.

1. The survivor keeps its whole log, what was never known to be committed included, and appends
   the membership of the survivors in the first term of the next era. Term, vote and entry are
   durable before it counts its own vote. No other replica has an entry of that term: it names
   this replica, and an era is reached only through a replica that began it.
2. What a replica of an earlier era says is neither believed nor answered unless the membership
   names it. So those left behind never learn a term of the new era, and can not outbid it.
3. A replica campaigns, and is voted for, only with a log of the newest era that it, or the voter,
   knows. Those left behind that hear of the new era (its leader is announced to all nodes) stop
   leading and campaigning.
4. A follower whose log is of an earlier era than its leader's term believes nothing because it is
   committed here: it compares, and where the logs part below its commit, or below its start, it
   asks for a whole copy. So a replica that is taken in again comes to equal the survivor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from replication.raft.messages import Message
from replication.raft.replica_state import ReplicaState
from replication.types import Membership, ReplicaId, Term

ERA_BITS: Final = 32
"""Terms of one era: more elections than a group can hold."""


def era_of(term: Term) -> int:
    """The era, from 0."""
    return term >> ERA_BITS


def first_term_after(term: Term, replica_id: ReplicaId) -> Term:
    """The first term of the next era, as this replica begins it.

    It names the replica, so that two replicas that begin the same era, each without the other,
    share no term: an operator's mistake, but log matching survives it.
    """
    return Term((era_of(term) + 1) << ERA_BITS | (replica_id & 0xFFFF) << 16)


def newest_era(state: ReplicaState) -> int:
    """The newest era that the replica knows of."""
    return max(era_of(state.term), era_of(state.heard_term))


def is_left_behind(state: ReplicaState) -> bool:
    """A newer era is known than the log is of: it lacks what that era began with."""
    return era_of(state.terms.end.term) < newest_era(state)


def is_ignored(state: ReplicaState, sender: ReplicaId, term: Term) -> bool:
    """The sender was left behind by a forced recovery: neither believe nor answer it."""
    return era_of(term) < era_of(state.term) and state.memberships.current.find(sender) is None


def ignores(state: ReplicaState, message: Message) -> bool:
    """As `is_ignored`, of a message."""
    return message.term < state.term and is_ignored(state, message.sender, message.term)


def force_refusal(state: ReplicaState, survivors: Sequence[ReplicaId]) -> str | None:
    """Why this replica can not go on alone with `survivors`; None when it can."""
    membership = state.memberships.current
    if state.needs_install and not state.lost:
        return "its log is damaged, and waits for a copy"
    if not state.terms.end.end:
        return "nothing of its log is left" if state.lost else "its log is empty"
    if state.replica_id not in survivors:
        return f"it is replica {state.replica_id}, which is none of the survivors"
    for survivor in survivors:
        if membership.find(survivor) is None:
            return f"replica {survivor} is no member"
    if is_left_behind(state):
        return "the group went on without it already"
    return None


def surviving_membership(state: ReplicaState, survivors: Sequence[ReplicaId]) -> Membership:
    """The survivors vote, nobody else is a member."""
    membership = state.memberships.current
    found = (membership.find(survivor) for survivor in sorted(set(survivors)))
    return Membership(tuple(r for r in found if r is not None), version=membership.version)
