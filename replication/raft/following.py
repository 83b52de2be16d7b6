"""A follower's half of replication: AppendEntries (Raft thesis sections 3.5 and 3.6).

Everything below the commit is in the log of every later leader (leader completeness), so it is
taken as matching without a look. Above it, a position matches when this log has an entry of that
term ending there (log matching), and an entry is here already when its first offset holds its
term: one leader a term assigned each offset once.

After a forced recovery the first does not hold (`eras`, rule 4): until the log has an entry of
the leader's era, everything is compared, and where that can not be done below the commit, or the
logs part there, the log is given up for a whole copy.
"""

from __future__ import annotations

from replication.errors import invariant, violate
from replication.raft.effects import AppendReceived
from replication.raft.eras import era_of
from replication.raft.messages import AppendEntries, AppendEntriesResponse
from replication.raft.replica_state import ReplicaState
from replication.types import EntryMeta, LogPosition, Offset


def receive_entries(state: ReplicaState, message: AppendEntries) -> None:
    """Take what the leader of the current term sent, and answer."""
    if state.needs_install:
        _refuse(state, message, LogPosition(state.terms.start.term, state.terms.start.end))
        return
    terms = state.terms
    previous, end = message.previous, terms.end
    entries = message.entries
    other_era = era_of(end.term) < era_of(message.term)
    if other_era and not _joins_era(state, message):
        state.needs_install = True
        _refuse(state, message, terms.start)
        return
    if previous.end == end.end and previous.term == end.term:
        first = 0
    elif previous.end < state.commit_end or terms.holds(previous):
        first = _skip_known(state, entries)
    else:
        hint = terms.latest_at_or_below(previous)
        if hint is None or hint.end < state.commit_end:
            violate(
                "a leader's log parts from this one below the commit",
                append=message,
                commit_end=state.commit_end,
                end=end,
            )
        _refuse(state, message, hint)
        return
    match_end = entries[-1].end if entries else previous.end
    if not other_era:
        match_end = max(match_end, state.commit_end)
    if first < len(entries):
        _append(state, entries, first)
    writes = state.writes
    # The later of two writes covers both: durability is a prefix.
    after = max(writes.covering(match_end), state.hard_state_write)
    state.send(
        AppendEntriesResponse(state.replica_id, message.sender, state.term, True, match_end), after
    )
    commit_end = min(message.commit_end, match_end)
    if commit_end > state.commit_end:
        state.advance_commit(commit_end)


def ask_for_copy(state: ReplicaState) -> None:
    """Ask the leader, if there is one, for a whole copy of the log in the place of this one."""
    if state.leader is not None:
        state.send(
            AppendEntriesResponse(
                state.replica_id,
                state.leader,
                state.term,
                accepted=False,
                wants_copy=True,
            ),
            state.hard_state_write,
        )


def _joins_era(state: ReplicaState, message: AppendEntries) -> bool:
    """The log may be continued into the leader's era; False: part of what is committed here, or
    was let go, is not what the leader has."""
    terms, commit_end, previous = state.terms, state.commit_end, message.previous
    if not terms.holds(previous):
        hint = terms.latest_at_or_below(previous)
        return hint is not None and hint.end >= commit_end
    for entry in message.entries:
        if entry.base >= commit_end:
            break
        if terms.term_at(Offset(entry.base + 1)) != entry.term:
            return False
    return True


def _skip_known(state: ReplicaState, entries: tuple[EntryMeta, ...]) -> int:
    """Index of the first entry that is not here; what conflicts with it is cut away."""
    terms, commit_end = state.terms, state.commit_end
    for index, entry in enumerate(entries):
        if entry.end <= commit_end:
            continue
        if entry.base >= terms.end.end:
            return index
        if terms.term_at(Offset(entry.base + 1)) != entry.term:
            state.truncate(entry.base)
            return index
    return len(entries)


def _append(state: ReplicaState, entries: tuple[EntryMeta, ...], first: int) -> None:
    terms = state.terms
    invariant(
        entries[first].base == terms.end.end,
        "entries do not connect to the log",
        entry=entries[first],
        end=terms.end,
    )
    term, controls = entries[first].term, False
    for index in range(first, len(entries)):
        entry = entries[index]
        if entry.term != term:
            terms.append(term, entry.base)
            term = entry.term
        controls = controls or entry.control
    last = entries[-1].end
    terms.append(term, last)
    state.effects.append(AppendReceived(state.writes.append(last), first))
    if controls:
        for entry in entries[first:]:
            if entry.membership is not None:
                state.take_membership(entry.base, entry.membership)
            if entry.log_start is not None:
                state.take_log_start(entry.base, entry.log_start)


def _refuse(state: ReplicaState, message: AppendEntries, hint: LogPosition) -> None:
    state.send(
        AppendEntriesResponse(
            state.replica_id,
            message.sender,
            state.term,
            accepted=False,
            hint=hint,
            refused_end=message.previous.end,
            needs_install=state.needs_install,
        ),
        state.hard_state_write,
    )
