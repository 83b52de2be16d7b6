"""One partition's replica on this node, as those who append to it and read from it see it.

An append is judged (leadership, duplicates, condition, the producer's window) and proposed in one
go, without waiting: what is judged is the log as it stands, committed or not. What was judged may
be told to the client only when everything it was judged on is committed in the leader's term;
therefore each answer, refusals included, comes with a future to wait for.

Invariants:
- The duplicate check goes before the condition: a retry of a conditional append that was stored
  is a success, not a failed condition.
- At most `UNCOMMITTED_BATCHES_PER_PRODUCER` batches of an idempotent producer are uncommitted:
  the window by which a retry is recognised holds as many, so none can fall out of it untold.
- Producer state is a function of the log's prefix and lives with the log
  (`storage/segments/log_state.py`); nothing of it is kept here, so truncation needs no undo in the
  broker.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from replication.errors import LeadershipLost, NotLeader
from replication.group import Proposal, ReplicatedGroup
from replication.log import ReplicaLog
from replication.raft.effects import Role
from replication.types import Membership, NodeId, Offset, Term
from streamlog.model.batch import BatchDraft
from streamlog.model.errors import Reason, StreamlogError
from streamlog.storage.segments.log_state import Duplicate, Fresh
from streamlog.storage.segments.retention import RetentionPolicy

UNCOMMITTED_BATCHES_PER_PRODUCER = 5


class PartitionLog(ReplicaLog, Protocol):
    """What a partition's log offers on top of what replication needs."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all its segments."""
        ...

    @property
    def segment_count(self) -> int:
        """Segment files."""
        ...

    async def retained_from(self, policy: RetentionPolicy, now_ms: int) -> Offset:
        """The offset from which on the policy keeps the log."""
        ...

    @property
    def data_end(self) -> int:
        """Offset after the last data record, control entries not counted."""
        ...

    def check_sequence(
        self, producer_id: int, epoch: int, base_sequence: int, count: int
    ) -> Fresh | Duplicate:
        """Judge a batch of an idempotent producer. Raises StreamlogError."""
        ...

    async def offset_for_timestamp(
        self, timestamp_ms: int, start: Offset
    ) -> tuple[Offset, int] | None:
        """First offset from `start` on, where a batch begins, whose timestamp is at or after, with
        it; None when all are before."""
        ...

    async def record_at(self, offset: Offset, end: Offset) -> tuple[Offset, int] | None:
        """First record of [offset, end) and its timestamp; None when there is none."""
        ...


@dataclass(slots=True)
class Append:
    """What became of one append, to be told when `ready` is done.

    `ready` None: tell it at once. When `ready` fails, that error is told instead.
    """

    ready: Future[None] | None
    base_offset: int = 0
    append_time_ms: int = -1
    duplicate: bool = False
    error: StreamlogError | None = None


Watcher = Callable[["Partition"], None]
"""Called, at once and without waiting, when the commit moved or the leadership changed."""


class Partition:
    """A GroupObserver of one partition's group, with the rules of appending."""

    def __init__(self, group: ReplicatedGroup) -> None:
        self.group = group
        self.log = cast("PartitionLog", group.log)
        self.topic_id = group.creation.topic_id
        self.number = group.creation.partition
        self.removed = False
        self._watchers: dict[Watcher, None] = {}
        self._uncommitted: dict[int, int] = {}
        self._waiters: list[tuple[int, int, Future[None]]] = []
        self._waiter_count = 0
        group.add_observer(self)

    # Appending.

    def append(
        self, draft: BatchDraft, *, expected_end_offset: int | None, append_time_ms: int | None
    ) -> Append:
        """Judge the batch and, if it is to be stored, propose it. Never waits.

        Raises what `ReplicatedGroup.propose` raises; nothing was appended then.
        """
        group = self.group
        if group.role is not Role.LEADER:
            raise NotLeader(group.creation.group_id, group.term, group.leader)
        try:
            if draft.has_producer:
                seen = self.log.check_sequence(
                    draft.producer_id, draft.producer_epoch, draft.base_sequence, draft.span
                )
                if isinstance(seen, Duplicate):
                    return Append(
                        self._when_committed(seen.last_offset + 1),
                        base_offset=seen.base_offset,
                        duplicate=True,
                    )
            if expected_end_offset is not None and expected_end_offset != self.log.data_end:
                raise StreamlogError(
                    Reason.CONDITION_FAILED,
                    f"expected end offset {expected_end_offset}, but partition {self.number} "
                    f"ends at {self.log.data_end}",
                    {"end_offset": str(self.log.data_end)},
                )
        except StreamlogError as refusal:
            return Append(self._when_committed(self.log.end.end), error=refusal)
        if draft.has_producer:
            self._check_window(draft.producer_id)
        if append_time_ms is not None:
            draft = draft.stamped(append_time_ms)
        proposal = group.propose(draft)
        if draft.has_producer:
            self._count_uncommitted(draft.producer_id, proposal)
        return Append(
            proposal.committed,
            base_offset=proposal.base,
            append_time_ms=-1 if append_time_ms is None else append_time_ms,
        )

    def _check_window(self, producer_id: int) -> None:
        uncommitted = self._uncommitted.get(producer_id, 0)
        if uncommitted >= UNCOMMITTED_BATCHES_PER_PRODUCER:
            raise StreamlogError(
                Reason.TOO_MANY_INFLIGHT,
                f"producer {producer_id} has {uncommitted} uncommitted batches on partition "
                f"{self.number}, at most {UNCOMMITTED_BATCHES_PER_PRODUCER} are allowed",
                retry_after_ms=10,
            )

    def _count_uncommitted(self, producer_id: int, proposal: Proposal) -> None:
        self._uncommitted[producer_id] = self._uncommitted.get(producer_id, 0) + 1

        def settled(_: Future[None]) -> None:
            left = self._uncommitted[producer_id] - 1
            if left:
                self._uncommitted[producer_id] = left
            else:
                del self._uncommitted[producer_id]

        proposal.committed.add_done_callback(settled)

    def _when_committed(self, end: int) -> Future[None] | None:
        """Done when [0, end) is committed and the leader's term is established."""
        if self.group.established and end <= self.group.commit_end:
            return None
        waiter: Future[None] = asyncio.get_running_loop().create_future()
        self._waiter_count += 1
        heapq.heappush(self._waiters, (end, self._waiter_count, waiter))
        return waiter

    def _release_waiters(self) -> None:
        while self._waiters and self.group.established:
            end, _, waiter = self._waiters[0]
            if end > self.group.commit_end:
                return
            heapq.heappop(self._waiters)
            if not waiter.done():
                waiter.set_result(None)

    def _fail_waiters(self, term: Term) -> None:
        for _, _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(LeadershipLost(self.group.creation.group_id, term))
        self._waiters.clear()

    # Watching.

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` from now on."""
        self._watchers[watcher] = None

    def unwatch(self, watcher: Watcher) -> None:
        """No more."""
        self._watchers.pop(watcher, None)

    def close(self) -> None:
        """The replica left this node."""
        self.removed = True
        self._fail_waiters(self.group.term)
        self._notify()

    def _notify(self) -> None:
        for watcher in tuple(self._watchers):
            watcher(self)

    # GroupObserver.

    def role_changed(self, role: Role, term: Term, leader: NodeId | None) -> None:
        """Nobody who waits for this node's leadership waits on when it is gone."""
        del leader
        if role is not Role.LEADER:
            self._fail_waiters(term)
        self._notify()

    def leadership_established(self, term: Term) -> None:
        """Refusals judged on earlier terms' entries may be told now."""
        del term
        self._release_waiters()
        self._notify()

    def committed(self, end: Offset) -> None:
        """Readers may have `[.., end)` now."""
        del end
        if self._waiters:
            self._release_waiters()
        if self._watchers:
            self._notify()

    def log_replaced(self) -> None:
        """Followers only: nothing here was derived from the log."""

    def membership_changed(self, membership: Membership, committed: bool) -> None:
        """Of no concern to readers and writers."""
