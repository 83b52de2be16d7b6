"""Raft's invariants, looked at after every turn of a node in which one of its groups changed.

| invariant | how it is seen |
|---|---|
| election safety | the first process that leads a term owns it; nobody else ever leads it |
| leader completeness | a new leader's log holds, with its term, the furthest commit seen so far |
| log matching and state machine safety | a running checksum over the committed bytes is the same on every replica wherever two of them committed up to the same offset |
| commits do not move back | within the life of a process |
| terms do not move back | within the life of a process; and a node never forgets a term it led |
| state machines are equal at equal offsets | the metadata and the coordinators of all replicas, as far as they have followed (`state_machines`) |
| what was fsynced is there | when a node dies, what its leader counts as fsynced there is remembered and looked for after the restart |

The groups are seen through `replication.group.ReplicatedGroup` only. Observers just note that
something changed: the checks run after the turn, so that node code is never disturbed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from jepsen_like.sim.checks.state_machines import Applied, StateMachines
from jepsen_like.sim.ports.disk import SimDisk
from jepsen_like.sim.ports.loop import SimLoop
from jepsen_like.sim.trace import Trace
from replication.errors import LogCorrupt, OffsetOutOfRange
from replication.group import ReplicatedGroup
from replication.raft.effects import Role
from replication.types import GroupId, Membership, NodeId, Offset, ReplicaId, Term
from streamlog.model.batch import read_place

READ_BYTES_MAX: Final = 1 << 24


class InvariantBroken(AssertionError):
    """The simulation found a violation."""


@dataclass(slots=True)
class _Canon:
    """What is known of a group, over all its replicas."""

    leaders: dict[Term, tuple[NodeId, int]] = field(default_factory=dict)
    """Term to (node, life)."""
    checksums: dict[Offset, int] = field(default_factory=lambda: {Offset(0): 0})
    """Committed end to the checksum of all bytes below it."""
    commit_end: Offset = Offset(0)
    commit_term: Term = Term(0)
    read_end: Offset = Offset(0)
    """`Invariants.on_committed` was told of all entries below it."""


_Key: TypeAlias = tuple[NodeId, GroupId, ReplicaId]
"""A replica over all lives of its node; one that takes a lost one's place has another id."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """Up to where a node was known to have fsynced a group's log when it died."""

    end: Offset
    term: Term


class _GroupWatch:
    """One group of one process; implements `replication.group.GroupObserver`."""

    def __init__(self, process: WatchedProcess, group_id: GroupId, group: ReplicatedGroup) -> None:
        self.process, self.group_id, self.group = process, group_id, group
        self.roles: list[tuple[Role, Term]] = [(group.role, group.term)]
        self.commit_end = group.commit_end
        self.moved_back: tuple[Offset, Offset] | None = None
        """A commit that moved back, from and to."""
        self.term = Term(0)
        self.checked_end: Offset | None = Offset(0)
        """Committed bytes below it are in `checksum`; None: not known where to go on from."""
        self.checksum = 0
        self.dirty = False
        replica_id = group.log.creation.local_replica_id
        self.key: _Key = (process.node_id, group_id, replica_id)
        self._mark()

    def _mark(self) -> None:
        if not self.dirty:
            self.dirty = True
            self.process.dirty.append(self)

    def role_changed(self, role: Role, term: Term, leader: NodeId | None) -> None:
        """See GroupObserver."""
        self.roles.append((role, term))
        self._mark()

    def leadership_established(self, term: Term) -> None:
        """See GroupObserver."""
        self._mark()

    def committed(self, end: Offset) -> None:
        """See GroupObserver."""
        if end < self.commit_end:
            self.moved_back = (self.commit_end, end)
        self.commit_end = end
        self._mark()

    def log_replaced(self) -> None:
        """See GroupObserver: the bytes are others, but committed ones are the same."""
        self._mark()

    def membership_changed(self, membership: Membership, committed: bool) -> None:
        """See GroupObserver."""
        self._mark()


class WatchedProcess:
    """One life of a node."""

    def __init__(
        self,
        node_id: NodeId,
        life: int,
        disk: SimDisk,
        groups: Callable[[], Mapping[GroupId, ReplicatedGroup]],
        applied: Callable[[GroupId], Applied | None] = lambda _: None,
    ) -> None:
        self.node_id, self.life, self.disk = node_id, life, disk
        self.groups = groups
        """The node's groups; empty until it has any."""
        self.applied = applied
        """What the state machine of a group has followed; None: it has none."""
        self.known: Mapping[GroupId, ReplicatedGroup] = {}
        """What `groups` returned last: a node that begins anew has another mapping."""
        self.watches: dict[GroupId, _GroupWatch] = {}
        self.dirty: list[_GroupWatch] = []


OnCommitted: TypeAlias = Callable[[ReplicatedGroup, Offset, Offset, bytes], None]
"""A group's committed entry: base, end and bytes."""


class Invariants:
    """Everything that is watched, and what is known of it.

    `on_committed` is told of every committed entry that some node could read, once and in order.
    """

    def __init__(self, trace: Trace, on_committed: OnCommitted | None = None) -> None:
        self._on_committed = on_committed
        self.checks = 0
        self.elections = 0
        self.machines = StateMachines()
        self._trace = trace
        self._processes: dict[SimLoop, WatchedProcess] = {}
        self._canons: dict[GroupId, _Canon] = {}
        self._claims: dict[_Key, _Claim] = {}
        self._led: dict[_Key, Term] = {}

    def watch(self, loop: SimLoop, process: WatchedProcess) -> None:
        """From now on."""
        self._processes[loop] = process

    def after_turn(self, loop: SimLoop) -> None:
        """Look at what changed. Raises InvariantBroken."""
        process = self._processes.get(loop)
        if process is None:
            return
        groups = process.groups()
        if groups is not process.known or len(groups) != len(process.watches):
            process.known = groups
            if groups or process.watches:
                self._discover(process, groups)
        while process.dirty:
            watch = process.dirty.pop()
            watch.dirty = False
            self._check(watch)

    def settle(self) -> None:
        """Look at everything that could not be read when it changed."""
        for loop in list(self._processes):
            process = self._processes[loop]
            for watch in process.watches.values():
                self._check(watch)

    def leaders(self) -> list[NodeId]:
        """Nodes that lead a group now, once for each."""
        return [
            process.node_id
            for process in self._processes.values()
            for watch in process.watches.values()
            if watch.group.role is Role.LEADER
        ]

    def process_dies(self, loop: SimLoop) -> None:
        """Remember what must be there after the restart."""
        process = self._processes.pop(loop, None)
        if process is None:
            return
        for watch in process.watches.values():
            claim = self._claim(process, watch)
            if claim is not None:
                self._claims[watch.key] = claim

    def _claim(self, process: WatchedProcess, watch: _GroupWatch) -> _Claim | None:
        log = watch.group.log
        for other in self._processes.values():
            leading = other.watches.get(watch.group_id)
            if (
                leading is not None
                and leading.group.role is Role.LEADER
                and leading.group.term == watch.group.term
            ):
                match = leading.group.replica_progress().get(log.creation.local_replica_id)
                return self._claim_at(watch, match)
        if watch.group.role is Role.LEADER:
            match = watch.group.replica_progress().get(log.creation.local_replica_id)
            return self._claim_at(watch, match)
        return None

    def _claim_at(self, watch: _GroupWatch, end: Offset | None) -> _Claim | None:
        log = watch.group.log
        if end is None or not log.start.end < end <= log.end.end:
            return None
        term = log.term_at(end)
        return None if term is None else _Claim(end, term)

    def _discover(self, process: WatchedProcess, groups: Mapping[GroupId, ReplicatedGroup]) -> None:
        for group_id, watch in list(process.watches.items()):
            if groups.get(group_id) is not watch.group:
                del process.watches[group_id]
        for group_id, group in groups.items():
            if group_id in process.watches:
                continue
            watch = _GroupWatch(process, group_id, group)
            process.watches[group_id] = watch
            group.add_observer(watch)
            self._check_recovered(process, watch)

    def _check_recovered(self, process: WatchedProcess, watch: _GroupWatch) -> None:
        key = watch.key
        log = watch.group.log
        if log.needs_install:
            self._claims.pop(key, None)  # rot: it knows that it lost what it had fsynced
            return
        claim = self._claims.pop(key, None)
        if claim is not None and claim.end > log.start.end:
            found = log.term_at(claim.end)
            if found != claim.term:
                self._broken(
                    watch,
                    f"had fsynced its log up to {claim.end} in term {claim.term} before it died;"
                    f" now the log is {log.start} to {log.end} with term {found} there",
                )
        led = self._led.get(key, Term(0))
        if log.hard_state.term < led:
            self._broken(watch, f"led term {led} and recovered with {log.hard_state}")

    def _check(self, watch: _GroupWatch) -> None:
        self.checks += 1
        canon = self._canons.get(watch.group_id)
        if canon is None:
            canon = self._canons[watch.group_id] = _Canon()
        roles, watch.roles = watch.roles, []
        for role, term in roles:
            self._check_role(watch, canon, role, term)
        if watch.moved_back is not None:
            self._broken(
                watch, f"moved its commit back from {watch.moved_back[0]} to {watch.moved_back[1]}"
            )
        self._check_committed(watch, canon)
        applied = watch.process.applied(watch.group_id)
        wrong = None if applied is None else self.machines.wrong(watch.group_id, applied)
        if wrong is not None:
            self._broken(watch, wrong)

    def _check_role(self, watch: _GroupWatch, canon: _Canon, role: Role, term: Term) -> None:
        process = watch.process
        if term < watch.term:
            self._broken(watch, f"went from term {watch.term} to {term}")
        watch.term = term
        if role is not Role.LEADER:
            return
        me = (process.node_id, process.life)
        owner = canon.leaders.setdefault(term, me)
        if owner != me:
            self._broken(watch, f"leads term {term}, which node {owner[0]} led (life {owner[1]})")
        self._led[watch.key] = term
        self.elections += 1
        self._trace.add(f"node {process.node_id}", f"leads group {watch.group_id} in term {term}")
        log = watch.group.log
        if canon.commit_term > term:
            # Elected belatedly, by votes that were under way while a later term went on: Raft
            # allows it, and such a leader can commit nothing any more.
            return
        if canon.commit_end > log.start.end and watch.group.role is Role.LEADER:
            found = log.term_at(canon.commit_end)
            if found != canon.commit_term:
                self._broken(
                    watch,
                    f"leads term {term} with a log of {log.start} to {log.end}, but"
                    f" {canon.commit_end} in term {canon.commit_term} was committed; it has"
                    f" term {found} there",
                )

    def _check_committed(self, watch: _GroupWatch, canon: _Canon) -> None:
        log = watch.group.log
        end = watch.commit_end
        if watch.checked_end is None or watch.checked_end < log.start.end:
            known = canon.checksums.get(log.start.end)
            watch.checked_end = log.start.end if known is not None else None
            watch.checksum = known or 0
        if end > canon.commit_end:
            term = log.term_at(end)
            if term is None:
                self._broken(watch, f"committed {end} beyond its log, {log.start} to {log.end}")
            else:
                canon.commit_end, canon.commit_term = end, term
        if watch.checked_end is None or watch.checked_end >= end:
            return
        frames = self._read(watch, end)
        position = 0
        while position < len(frames):
            length, base, frame_end = read_place(frames, position)
            frame = memoryview(frames)[position : position + length]
            watch.checksum = zlib.crc32(frame, watch.checksum)
            watch.checked_end = Offset(frame_end)
            position += length
            known = canon.checksums.setdefault(watch.checked_end, watch.checksum)
            if known != watch.checksum:
                self._broken(
                    watch, f"committed other bytes below {frame_end} than another replica did"
                )
            if self._on_committed is not None and base == canon.read_end:
                canon.read_end = watch.checked_end
                self._on_committed(watch.group, Offset(base), canon.read_end, bytes(frame))
        if watch.checked_end < end and frames:
            watch.dirty = True
            watch.process.dirty.append(watch)

    def _read(self, watch: _GroupWatch, end: Offset) -> bytes:
        """Committed frames from `checked_end` on; empty when they can not be read now."""
        assert watch.checked_end is not None
        faults = watch.process.disk.faults
        cold, faults.cold_read_probability = faults.cold_read_probability, 0.0
        try:
            return watch.group.log.read_nowait(watch.checked_end, end, READ_BYTES_MAX) or b""
        except (OffsetOutOfRange, LogCorrupt):
            return b""  # trimmed, or damaged and to be mended
        finally:
            faults.cold_read_probability = cold

    def _broken(self, watch: _GroupWatch, message: str) -> None:
        raise InvariantBroken(
            f"node {watch.process.node_id} (life {watch.process.life}), group {watch.group_id}:"
            f" {message}"
        )
