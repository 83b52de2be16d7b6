"""A replicated group in memory, driven by the test: it leads, commits and loses when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from replication.errors import LeadershipLost, NotLeader
from replication.group import GroupObserver, Proposal, SnapshotSource
from replication.log import EntryDraft
from replication.raft.effects import Role
from replication.types import (
    EntryMeta,
    GroupCreation,
    LogPosition,
    Membership,
    NodeId,
    Offset,
    ReplicaId,
    Term,
    WriteSequence,
)
from tests.fakes.memory_log import MemoryDraft, MemoryLog

_WRITE = WriteSequence(0)


class MemoryGroup:
    """Implements replication.group.ReplicatedGroup."""

    def __init__(self, creation: GroupCreation, node_id: NodeId) -> None:
        self.creation = creation
        self.node_id = node_id
        self.log = MemoryLog(creation)
        self.role = Role.FOLLOWER
        self.term = Term(0)
        self.leader: NodeId | None = None
        self.established = False
        self.commit_end = Offset(0)
        self.membership = creation.membership
        self.membership_committed = True
        self.observers: list[GroupObserver] = []
        self.proposals: list[Proposal] = []
        self.copies_asked = 0
        self.snapshots: SnapshotSource | None = None
        self.installing = False
        self.barriers: list[asyncio.Future[Offset]] = []
        self.confirm_reads = True
        """Read barriers end at once; else they wait for `confirm` or the end of leadership."""
        self.refuse: Exception | None = None
        """What `propose` raises."""
        self.proposed: Callable[[], None] = lambda: None

    def add_observer(self, observer: GroupObserver) -> None:
        self.observers.append(observer)

    def _append(self, draft: EntryDraft, term: Term) -> EntryMeta:
        base = self.log.end.end
        frame = draft.frame(base, term)
        control = isinstance(draft, MemoryDraft) and draft.control
        meta = EntryMeta(base, Offset(base + draft.span), term, len(frame), control)
        self.log.append(_WRITE, [frame], [meta])
        return meta

    def propose(self, draft: EntryDraft) -> Proposal:
        if self.role is not Role.LEADER:
            raise self._not_leader()
        if self.refuse is not None:
            raise self.refuse
        meta = self._append(draft, self.term)
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        proposal = Proposal(meta.base, meta.end, self.term, committed)
        self.proposals.append(proposal)
        self.proposed()
        return proposal

    async def read_barrier(self) -> Offset:
        if self.role is not Role.LEADER:
            raise self._not_leader()
        if self.confirm_reads:
            return self.commit_end
        barrier: asyncio.Future[Offset] = asyncio.get_running_loop().create_future()
        self.barriers.append(barrier)
        return await barrier

    async def transfer_leadership(self, to: NodeId) -> None:
        raise NotImplementedError

    async def change_membership(self, target: Membership) -> None:
        if self.role is not Role.LEADER:
            raise self._not_leader()
        self.membership = target
        self.proposed()
        for observer in self.observers:
            observer.membership_changed(target, committed=True)

    @property
    def start(self) -> Offset:
        return self.log.start.end

    def ask_for_copy(self) -> None:
        """Noted."""
        self.copies_asked += 1

    def use_snapshots_of(self, source: SnapshotSource) -> None:
        self.snapshots = source

    def ask_for_snapshot(self, through: Offset) -> bool:
        return self.snapshots is not None and self.snapshots.save_snapshot_soon(through)

    async def move_log_start(self, start: Offset) -> None:
        raise NotImplementedError

    def replica_progress(self) -> Mapping[ReplicaId, Offset]:
        return {}

    @property
    def copied(self) -> Mapping[ReplicaId, Offset]:
        return {}

    def _not_leader(self) -> NotLeader:
        return NotLeader(self.creation.group_id, self.term, self.leader)

    # What the test makes happen.

    def lead(self, term: int, *, establish: bool = True) -> None:
        """Win an election: append the first entry of the term, and commit it at once or not."""
        self.role, self.term, self.leader = Role.LEADER, Term(term), self.node_id
        self.established = False
        self._append(MemoryDraft((), control=True), self.term)
        for observer in self.observers:
            observer.role_changed(self.role, self.term, self.leader)
        if establish:
            self.commit()

    def commit(self, end: int | None = None) -> None:
        """The commit moves to `end`, or to the end of the log."""
        self.commit_end = self.log.end.end if end is None else Offset(end)
        done = [p for p in self.proposals if p.end <= self.commit_end]
        self.proposals = [p for p in self.proposals if p.end > self.commit_end]
        for observer in self.observers:
            observer.committed(self.commit_end)
        if self.role is Role.LEADER and not self.established:
            first = next(m for m, _ in self.log.entries if m.term == self.term)
            if first.end <= self.commit_end:
                self.established = True
                for observer in self.observers:
                    observer.leadership_established(self.term)
        for proposal in done:
            proposal.committed.set_result(None)

    def confirm(self) -> None:
        """A majority confirmed that this node still leads."""
        for barrier in self.barriers:
            barrier.set_result(self.commit_end)
        self.barriers.clear()

    def follow(self, term: int, leader: NodeId | None = None) -> None:
        """Step down."""
        lost, self.proposals = self.proposals, []
        barriers, self.barriers = self.barriers, []
        old = self.term
        self.role, self.term, self.leader = Role.FOLLOWER, Term(term), leader
        self.established = False
        for proposal in lost:
            proposal.committed.set_exception(LeadershipLost(self.creation.group_id, old))
        for barrier in barriers:
            barrier.set_exception(self._not_leader())
        for observer in self.observers:
            observer.role_changed(self.role, self.term, self.leader)

    def receive(self, term: int, *entries: Sequence[bytes], keep: int | None = None) -> None:
        """As a follower, take entries of a leader, after cutting the log back to `keep`."""
        if keep is not None:
            assert keep >= self.commit_end
            self.log.truncate(_WRITE, Offset(keep))
        for values in entries:
            self._append(MemoryDraft(tuple(values)), Term(term))

    def install(self, through: LogPosition, snapshot: bytes) -> None:
        """A copy takes the log's place."""
        self.log.entries.clear()
        self.log.start, self.log.snapshot = through, (through, snapshot)
        self.commit_end = through.end
        for observer in self.observers:
            observer.log_replaced()
