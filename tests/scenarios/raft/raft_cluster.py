"""A group of Raft cores with logs in memory: the dumbest driver that keeps a driver's duties.

Nothing happens by itself: whoever uses it decides when a disk flushes, when entries are read and
sent, which message arrives. A crash keeps what was flushed. Used by the scenarios and by the
randomised tests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from replication.raft.effects import (
    AppendControl,
    AppendProposal,
    AppendReceived,
    BeginInstall,
    Effect,
    LogStartCommitted,
    LogStartMoved,
    MembershipChanged,
    MembershipChangeRejected,
    NotifyCommit,
    PersistHardState,
    ReadReady,
    ReadRefused,
    Role,
    Send,
    SendEntries,
    TruncateLog,
)
from replication.raft.events import (
    EntriesSent,
    Event,
    InstallFailed,
    InstallSucceeded,
    LogInstalled,
    MessageReceived,
    PeerDisconnected,
    Propose,
    WriteCompleted,
)
from replication.raft.limits import RaftLimits
from replication.raft.messages import AppendEntries, Message
from replication.raft.replica import RaftReplica
from replication.types import (
    DirectoryId,
    EntryMeta,
    HardState,
    LogPosition,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    Term,
    WriteSequence,
)

EMPTY = LogPosition(Term(0), Offset(0))
SMALL = RaftLimits(append_bytes_max=250, inflight_bytes_max=500, pending_reads_max=4)
CoreMaker = Callable[..., RaftReplica]


def replicas(*ids: int) -> tuple[Replica, ...]:
    """Replica n on node n."""
    return tuple(Replica(ReplicaId(n), NodeId(n), DirectoryId(n)) for n in sorted(ids))


def members(voters: Iterable[int], learners: Iterable[int] = ()) -> Membership:
    """A simple configuration."""
    return Membership(replicas(*voters), (), replicas(*learners))


@dataclass(frozen=True, slots=True)
class MemoryLog:
    """An immutable log: every change makes a new one, so that a disk image is a reference."""

    start: LogPosition
    entries: tuple[EntryMeta, ...]
    base: Membership
    """In force at the start."""

    def parts_from(self, position: LogPosition) -> bool:
        """It has no entry of that term ending there, and would have one if it were the same."""
        held = {self.start, *(LogPosition(entry.term, entry.end) for entry in self.entries)}
        return self.start.end <= position.end and position not in held

    @property
    def end(self) -> LogPosition:
        if not self.entries:
            return self.start
        return LogPosition(self.entries[-1].term, self.entries[-1].end)

    def position(self, end: Offset) -> LogPosition:
        """Of an entry's boundary."""
        if end == self.start.end:
            return self.start
        return next(LogPosition(e.term, e.end) for e in self.entries if e.end == end)

    def append(self, entries: Iterable[EntryMeta]) -> MemoryLog:
        after = (*self.entries, *entries)
        edge = self.start.end
        for entry in after:
            assert entry.base == edge < entry.end, (entry, edge)
            edge = entry.end
        return MemoryLog(self.start, after, self.base)

    def truncate(self, cut: Offset) -> MemoryLog:
        assert cut == self.start.end or any(e.end == cut for e in self.entries), cut
        return MemoryLog(self.start, tuple(e for e in self.entries if e.end <= cut), self.base)

    def trim(self, start: Offset) -> MemoryLog:
        """Forget whole entries below `start`."""
        gone = [e for e in self.entries if e.end <= start]
        if not gone:
            return self
        base = self.base
        for entry in gone:
            base = entry.membership or base
        kept = self.entries[len(gone) :]
        return MemoryLog(LogPosition(gone[-1].term, gone[-1].end), kept, base)

    def read(self, start: Offset, max_bytes: int) -> tuple[EntryMeta, ...]:
        """Whole entries from `start` on, at least one if there is one."""
        taken: list[EntryMeta] = []
        size = 0
        for entry in self.entries:
            if entry.base < start:
                assert entry.end <= start, "a read within an entry"
                continue
            if taken and size + entry.size_bytes > max_bytes:
                break
            taken.append(entry)
            size += entry.size_bytes
        return tuple(taken)

    @property
    def terms(self) -> tuple[tuple[Term, Offset], ...]:
        runs: list[tuple[Term, Offset]] = []
        for entry in self.entries:
            if not runs or runs[-1][0] != entry.term:
                runs.append((entry.term, entry.base))
        return tuple(runs)

    @property
    def memberships(self) -> tuple[tuple[Offset, Membership], ...]:
        later = ((e.base, e.membership) for e in self.entries if e.membership is not None)
        return ((self.start.end, self.base), *later)

    @property
    def log_starts(self) -> tuple[tuple[Offset, Offset], ...]:
        return tuple((e.base, e.log_start) for e in self.entries if e.log_start is not None)


@dataclass(frozen=True, slots=True)
class DiskImage:
    """What a crash leaves."""

    hard_state: HardState
    log: MemoryLog
    needs_install: bool = False


@dataclass(slots=True)
class Network:
    """Messages on their way, in order for each pair."""

    links: dict[tuple[int, int], deque[Message]] = field(default_factory=dict)

    def put(self, message: Message) -> None:
        self.link(message.sender, message.to).append(message)

    def link(self, source: int, target: int) -> deque[Message]:
        return self.links.setdefault((source, target), deque())


class Node:
    """A core with its log, its disk and its driver."""

    def __init__(
        self,
        replica_id: int,
        disk: DiskImage,
        network: Network,
        limits: RaftLimits = SMALL,
        make: CoreMaker = RaftReplica,
    ) -> None:
        self.replica_id = ReplicaId(replica_id)
        self.disk, self.network, self.limits, self.make = disk, network, limits, make
        self.leader_live = False
        self.journal: list[Effect] = []
        """Effects since it was last cleared."""
        self.read_answers: list[ReadReady | ReadRefused] = []
        self.rejections: list[str] = []
        self.start()

    def start(self) -> None:
        """Recover from the disk."""
        disk = self.disk
        log = disk.log
        self.log = log
        self.core = self.make(
            self.replica_id,
            disk.hard_state,
            log.start,
            log.end,
            log.terms,
            log.memberships,
            disk.needs_install,
            self.limits,
            log.log_starts,
        )
        self.pending: deque[tuple[WriteSequence, DiskImage]] = deque()
        """Unfinished writes, each with the image it leaves."""
        self.next_image = disk
        self.durable_write = 0
        self.parked: list[Send] = []
        self.asked: dict[ReplicaId, SendEntries] = {}
        self.installs: dict[ReplicaId, None] = {}
        self.flush_wanted = False
        self._stepping: Event | None = None
        self._size = 0

    # Steps ------------------------------------------------------------------------------------

    def step(self, event: Event) -> list[Effect]:
        """One step, with all its effects carried out."""
        self._stepping = event
        effects = self.core.step(event)
        self.journal.extend(effects)
        for effect in effects:
            self._carry_out(effect)
        if self.core.role is not Role.LEADER:
            self.asked.clear()
            self.installs.clear()
        return effects

    def propose(self, span: int, size_bytes: int, token: int = 0) -> list[Effect]:
        self._size = size_bytes
        return self.step(Propose(token, span, size_bytes))

    def _write(
        self, write: WriteSequence, *, log: MemoryLog | None = None, hard: HardState | None = None
    ) -> None:
        assert write == self.durable_write + len(self.pending) + 1, "writes are numbered in order"
        image = self.next_image
        self.next_image = DiskImage(hard or image.hard_state, log or image.log, image.needs_install)
        if log is not None:
            self.log = log
        self.pending.append((write, self.next_image))

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, PersistHardState):
            self._write(effect.write, hard=effect.state)
        elif isinstance(effect, AppendProposal):
            entry = EntryMeta(effect.base, effect.end, effect.term, self._size)
            self._write(effect.write, log=self.log.append([entry]))
        elif isinstance(effect, AppendControl):
            body = effect.body
            entry = EntryMeta(
                effect.base,
                Offset(effect.base + 1),
                effect.term,
                100,
                control=True,
                membership=body if isinstance(body, Membership) else None,
                log_start=body.start if isinstance(body, LogStartMoved) else None,
            )
            self._write(effect.write, log=self.log.append([entry]))
        elif isinstance(effect, AppendReceived):
            assert isinstance(self._stepping, MessageReceived)
            message = self._stepping.message
            assert isinstance(message, AppendEntries)
            self._write(effect.write, log=self.log.append(message.entries[effect.first :]))
        elif isinstance(effect, TruncateLog):
            self._write(effect.write, log=self.log.truncate(effect.end))
        elif isinstance(effect, Send):
            if effect.after > self.durable_write:
                self.parked.append(effect)
            else:
                self.network.put(effect.message)
        elif isinstance(effect, SendEntries):
            assert effect.to not in self.asked, "one SendEntries for a peer at a time"
            self.asked[effect.to] = effect
        elif isinstance(effect, BeginInstall):
            assert effect.to not in self.installs, "one install for a peer at a time"
            self.installs[effect.to] = None
        elif isinstance(effect, MembershipChanged):
            present = [r.replica_id for r in effect.membership.replicas()]
            self.asked = {to: asked for to, asked in self.asked.items() if to in present}
            self.installs = {to: None for to in self.installs if to in present}
        elif isinstance(effect, NotifyCommit):
            self.flush_wanted = True
        elif isinstance(effect, LogStartCommitted):
            self.log = self.log.trim(effect.start)
            image = self.next_image
            self.next_image = DiskImage(image.hard_state, image.log.trim(effect.start))
        elif isinstance(effect, ReadReady | ReadRefused):
            self.read_answers.append(effect)
        elif isinstance(effect, MembershipChangeRejected):
            self.rejections.append(effect.reason)

    # Disk -------------------------------------------------------------------------------------

    def fsync(self, count: int | None = None) -> None:
        """Finish the next `count` writes, or all."""
        finished = min(len(self.pending), len(self.pending) if count is None else count)
        if not finished:
            return
        for _ in range(finished):
            write, self.disk = self.pending.popleft()
        self.durable_write = write
        self.step(WriteCompleted(write))
        ready = [send for send in self.parked if send.after <= self.durable_write]
        self.parked = [send for send in self.parked if send.after > self.durable_write]
        for send in ready:
            self.journal.append(Send(send.message, WriteSequence(0)))
            self.network.put(send.message)

    # Network ----------------------------------------------------------------------------------

    def send_entries(self, to: int) -> bool:
        """Carry out the SendEntries for a peer; False when there is none."""
        asked = self.asked.pop(ReplicaId(to), None)
        if asked is None:
            return False
        core = self.core
        trimmed = asked.previous.end < self.log.start.end
        entries = () if trimmed else self.log.read(asked.previous.end, asked.max_bytes)
        if entries:
            self.network.put(
                AppendEntries(
                    self.replica_id,
                    asked.to,
                    core.term,
                    asked.previous,
                    core.commit_end,
                    core.start.end,
                    entries,
                )
            )
        last = LogPosition(entries[-1].term, entries[-1].end) if entries else asked.previous
        size = sum(entry.size_bytes for entry in entries)
        self.step(EntriesSent(asked.to, asked.previous, last, size))
        return True

    def disconnected(self, peer: int) -> None:
        """The stream to the peer broke."""
        self.asked.pop(ReplicaId(peer), None)
        self.step(PeerDisconnected(ReplicaId(peer)))

    def receive(self, message: Message) -> None:
        self.step(MessageReceived(message, self.leader_live))

    def install_from(self, leader: Node) -> bool:
        """Take a copy of the leader's committed log; False when it is of no use any more."""
        source, end = leader.log, leader.core.commit_end
        copy = MemoryLog(source.start, source.truncate(end).entries, source.base)
        leader.installs.pop(self.replica_id, None)
        if self.core.role is Role.LEADER:
            return False
        if not leader.core.established and (
            self.core.needs_install
            or (self.log.end.end > end and not self.log.parts_from(copy.start))
        ):
            return False
        if not self.core.needs_install and (
            end < self.core.commit_end
            or self.core.term > leader.core.term
            or (self.log.end.term == leader.core.term and self.log.end.end > end)
        ):
            return False
        self.fsync()
        self.log = copy
        self.disk = self.next_image = DiskImage(self.disk.hard_state, copy)
        self.step(LogInstalled(copy.start, copy.end, copy.terms, copy.memberships, copy.log_starts))
        leader.step(InstallSucceeded(self.replica_id, copy.end))
        return True


class Cluster:
    """Nodes by replica id, and the network between them."""

    def __init__(
        self,
        membership: Membership,
        limits: RaftLimits = SMALL,
        make: CoreMaker = RaftReplica,
    ) -> None:
        self.network = Network()
        self.limits, self.make = limits, make
        self.nodes: dict[int, Node] = {}
        self.first_membership = membership
        for member in membership.replicas():
            self.add(member.replica_id)

    def add(self, replica_id: int) -> Node:
        """A replica with an empty log."""
        image = DiskImage(HardState(Term(0), None), MemoryLog(EMPTY, (), self.first_membership))
        self.nodes[replica_id] = Node(replica_id, image, self.network, self.limits, self.make)
        return self.nodes[replica_id]

    def deliver(self, source: int, target: int) -> bool:
        """Hand over the next message of a link; False when there is none."""
        link = self.network.link(source, target)
        if not link:
            return False
        message = link.popleft()
        if target in self.nodes:
            self.nodes[target].receive(message)
        return True

    def crash(self, replica_id: int) -> None:
        """Lose what is not on the disk, and all messages to and from; recover."""
        for (source, target), link in self.network.links.items():
            if replica_id in {source, target}:
                link.clear()
        self.nodes[replica_id].start()
        for other in sorted(self.nodes):
            if other != replica_id:
                self.nodes[other].disconnected(replica_id)

    def settle(self, without: Iterable[int] = (), rounds_max: int = 200) -> None:
        """Flush, send and deliver among all nodes but `without` until nothing is left to do."""
        present = [n for n in sorted(self.nodes) if n not in set(without)]
        for _ in range(rounds_max):
            busy = False
            for n in present:
                node = self.nodes[n]
                busy = busy or bool(node.pending)
                node.fsync()
                for peer in sorted(node.asked):
                    if peer in present:
                        busy = node.send_entries(peer) or busy
                for peer in sorted(node.installs):
                    if peer in present and node.core.leader == node.replica_id:
                        if not self.nodes[peer].install_from(node):
                            node.step(InstallFailed(peer))
                        busy = True
            for source in present:
                for target in present:
                    while self.deliver(source, target):
                        busy = True
            if not busy:
                return
        raise AssertionError("the cluster does not come to rest")
