"""Steps one replica's core and carries out its effects: the one interpreter.

Events that arise while effects are carried out are queued, never stepped in between, and
observers are told after all effects of an event are done: what an observer does (propose, say)
finds log and core in agreement.

The driver's duties: effects in order; a message leaves when the write it names is durable; a
disk without room is asked before the core gives an entry its place. A surprise while effects are
carried out (a bug, a damaged log) stops the group: log and core may differ from then on.

Neighbours: `Group` below it in the file tree gives roles and requests their meaning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import assert_never

from replication.errors import InvariantViolation, invariant
from replication.group import GroupObserver
from replication.log import EntryDraft, ReplicaLog
from replication.multiraft.context import NodeContext
from replication.multiraft.entry_sender import EntrySender
from replication.multiraft.held_messages import HeldMessages
from replication.raft.effects import (
    AppendControl,
    AppendProposal,
    AppendReceived,
    BeginInstall,
    CommitAdvanced,
    Effect,
    LeadershipEstablished,
    LogStartCommitted,
    LogStartMoved,
    MembershipChanged,
    MembershipChangeRejected,
    NotifyCommit,
    PersistHardState,
    ReadReady,
    ReadRefused,
    Role,
    RoleChanged,
    Send,
    SendEntries,
    TruncateLog,
)
from replication.raft.events import Event, MessageReceived, WriteCompleted
from replication.raft.messages import AppendEntries, Message
from replication.raft.replica import RaftReplica
from replication.types import (
    EntryMeta,
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Offset,
    ReplicaId,
    Term,
    WriteSequence,
)

_LEARNED_NODES_MAX = 64
"""Senders that the membership does not name (yet) whose nodes are remembered."""

Frames = tuple[bytes, ...]


class ReplicaDriver(ABC):
    """One replica and its log.

    Invariant: `role`, `term`, `leader_replica` and `commit_end` show what effects said, in order;
    `_written >= _durable` are the core's newest write and its newest durable one.
    """

    def __init__(self, log: ReplicaLog, node: NodeContext) -> None:
        self.node = node
        self.log = log
        self.creation: GroupCreation = log.creation
        self.group_id: GroupId = log.creation.group_id
        self.replica_id: ReplicaId = log.creation.local_replica_id
        self.role = Role.FOLLOWER
        self.term: Term = log.hard_state.term
        self.leader_replica: ReplicaId | None = None
        self.established = False
        self.commit_end: Offset = log.start.end
        self.failed: Exception | None = None
        self.copied: dict[ReplicaId, Offset] = {}
        """Of copies under way: the end of what was sent."""
        self.core = RaftReplica(
            self.replica_id,
            log.hard_state,
            log.start,
            log.end,
            log.terms,
            log.memberships,
            log.needs_install,
            node.settings.raft_limits(),
            log.log_starts,
            log.lost,
        )
        self.membership: Membership = self.core.membership
        self.sender = EntrySender(self)
        self._nodes: dict[ReplicaId, NodeId] = {}
        self._learned: dict[ReplicaId, NodeId] = {}
        self._remember_members()
        self._written = WriteSequence(0)
        self._durable = WriteSequence(0)
        self._held = HeldMessages()
        self._received: deque[tuple[WriteSequence, int]] = deque()
        self._draft: EntryDraft | None = None
        self._events: deque[tuple[Event, Frames]] = deque()
        self._stepping = False
        self._observers: list[GroupObserver] = []
        self._news: deque[tuple[str, tuple[object, ...]]] = deque()
        self._telling = False

    # -- stepping ------------------------------------------------------------------------------

    def step(self, event: Event, frames: Frames = ()) -> None:
        """Step the core, now or after the event whose effects are being carried out."""
        if self.failed is not None:
            return
        self._events.append((event, frames))
        if self._stepping:
            return
        self._stepping = True
        counted = self.node.stepped
        try:
            while self._events:
                event, frames = self._events.popleft()
                if counted is not None:
                    counted(event)
                for effect in self.core.step(event):
                    self._carry_out(effect, event, frames)
        except Exception as error:  # a half-done step must not go on
            self._events.clear()
            self.node.group_failed(self, error)
        finally:
            self._stepping = False
        if not self._telling:
            self._tell()

    def _carry_out(self, effect: Effect, event: Event, frames: Frames) -> None:
        match effect:
            case Send():
                self._send(effect)
            case SendEntries():
                self.sender.send(effect)
            case AppendProposal():
                self._append_proposal(effect)
            case AppendReceived():
                self._append_received(effect, event, frames)
            case CommitAdvanced():
                self.commit_end = effect.end
                self._commit_advanced(effect.end)
                self._note("committed", effect.end)
            case NotifyCommit():
                self.node.commit_rounds.add(self.group_id, self)
            case PersistHardState():
                self._wrote(effect.write)
                self.log.save_hard_state(effect.write, effect.state)
            case AppendControl():
                self._append_control(effect)
            case TruncateLog():
                self._wrote(effect.write)
                self.log.truncate(effect.write, effect.end)
            case RoleChanged():
                self._role_changed(effect)
            case LeadershipEstablished():
                self.established = True
                self._leadership_established()
                self._note("leadership_established", effect.term)
            case MembershipChanged():
                self.membership = effect.membership
                self._remember_members()
                self._membership_changed(effect)
                self._note("membership_changed", effect.membership, effect.committed)
            case LogStartCommitted():
                self.log.log_start_committed(effect.start)
                self._log_start_committed(effect.start)
            case BeginInstall():
                self.node.begin_install(self, effect.to)
            case MembershipChangeRejected():
                self._membership_change_rejected(effect.reason)
            case ReadReady():
                self._read_ready(effect.context, effect.commit_end)
            case ReadRefused():
                self._read_refused(effect.context)
            case _:
                assert_never(effect)

    # -- writes --------------------------------------------------------------------------------

    def _wrote(self, write: WriteSequence) -> None:
        invariant(
            write == self._written + 1,
            "writes are numbered without gaps",
            group_id=self.group_id,
            write=write,
            before=self._written,
        )
        if self._written == self._durable:
            self.node.writes.began(self.group_id, self.node.clock.monotonic_ms())
        self._written = write

    def _append_proposal(self, effect: AppendProposal) -> None:
        draft, self._draft = self._draft, None
        if draft is None or effect.end - effect.base != draft.span:
            raise InvariantViolation(f"group {self.group_id}: {effect} answers no proposal")
        frame = draft.frame(effect.base, effect.term)
        entry = EntryMeta(effect.base, effect.end, effect.term, len(frame))
        self._wrote(effect.write)
        self.log.append(effect.write, (frame,), (entry,))
        self.sender.appended(entry)
        self._proposal_appended(effect, len(frame))

    def _append_control(self, effect: AppendControl) -> None:
        body = effect.body
        draft = self.node.codec.control(self.creation, body, self.node.clock.wall_ms())
        frame = draft.frame(effect.base, effect.term)
        entry = EntryMeta(
            effect.base,
            Offset(effect.base + 1),
            effect.term,
            len(frame),
            control=True,
            membership=body if isinstance(body, Membership) else None,
            log_start=body.start if isinstance(body, LogStartMoved) else None,
        )
        self._wrote(effect.write)
        self.log.append(effect.write, (frame,), (entry,))
        self.sender.appended(entry)

    def _append_received(self, effect: AppendReceived, event: Event, frames: Frames) -> None:
        message = event.message if isinstance(event, MessageReceived) else None
        if not isinstance(message, AppendEntries) or len(frames) != len(message.entries):
            raise InvariantViolation(f"group {self.group_id}: {effect} answers no AppendEntries")
        taken, entries = frames[effect.first :], message.entries[effect.first :]
        self._wrote(effect.write)
        self.log.append(effect.write, taken, entries)
        size = sum(map(len, taken))
        self._received.append((effect.write, size))
        self.node.budget.received(size)

    def write_completed(self, write: WriteSequence) -> None:
        """This write of the log, and every earlier one, is durable."""
        if self.failed is not None or write <= self._durable:
            return
        self._durable = write
        self.node.writes.completed(
            self.group_id,
            self.node.clock.monotonic_ms(),
            all_durable=write >= self._written,
        )
        received = self._received
        while received and received[0][0] <= write:
            self.node.budget.synced(received.popleft()[1])
        self._held.release(write, self.term, self._dispatch)
        self.step(WriteCompleted(write))

    # -- messages ------------------------------------------------------------------------------

    def _send(self, effect: Send) -> None:
        if effect.after <= self._durable:
            self._dispatch(effect.message)
        else:
            self._held.hold(effect.after, effect.message)

    def _dispatch(self, message: Message) -> None:
        node_id = self.node_of(message.to)
        if node_id is None:
            return
        if isinstance(message, AppendEntries):
            self.sender.send_empty(message, node_id)
        else:
            self.node.peers.send(node_id, self.group_id, message)

    def node_of(self, replica_id: ReplicaId) -> NodeId | None:
        """Node of a replica, by the membership or by what it sent."""
        node_id = self._nodes.get(replica_id)
        return self._learned.get(replica_id) if node_id is None else node_id

    def accepts_from(self, sender: ReplicaId, node_id: NodeId) -> bool:
        """The sender lives on that node; one that the membership does not name is believed."""
        known = self._nodes.get(sender)
        if known is not None:
            return known == node_id
        if self._learned.get(sender) != node_id:
            if len(self._learned) >= _LEARNED_NODES_MAX:
                del self._learned[next(iter(self._learned))]
            self._learned[sender] = node_id
        return True

    def _remember_members(self) -> None:
        self._nodes = {r.replica_id: r.node_id for r in self.membership.replicas()}
        self.node.members_changed(self)

    # -- observers -----------------------------------------------------------------------------

    def add_observer(self, observer: GroupObserver) -> None:
        """It hears of what happens from now on."""
        self._observers.append(observer)

    def _note(self, what: str, *values: object) -> None:
        if self._observers:
            self._news.append((what, values))

    def _tell(self) -> None:
        """Tell observers, in order; what they cause is told after what they were told."""
        self._telling = True
        try:
            while self._news:
                what, values = self._news.popleft()
                for observer in self._observers:
                    getattr(observer, what)(*values)
        finally:
            self._telling = False

    # -- the meaning of it, for a group --------------------------------------------------------

    @abstractmethod
    def flush_commit(self) -> None:
        """Tell followers of the commit."""

    @abstractmethod
    def retry(self, now_ms: float) -> bool:
        """Ask again what was not answered; true while something is waited for."""

    @abstractmethod
    def stop(self, error: Exception | None) -> None:
        """Take part no more."""

    @abstractmethod
    def leads(self, term: Term) -> bool:
        """This replica leads in that term, still."""

    @abstractmethod
    def _role_changed(self, effect: RoleChanged) -> None: ...

    @abstractmethod
    def _leadership_established(self) -> None: ...

    @abstractmethod
    def _commit_advanced(self, end: Offset) -> None: ...

    @abstractmethod
    def _proposal_appended(self, effect: AppendProposal, size_bytes: int) -> None: ...

    @abstractmethod
    def _membership_changed(self, effect: MembershipChanged) -> None: ...

    @abstractmethod
    def _log_start_committed(self, start: Offset) -> None: ...

    @abstractmethod
    def _membership_change_rejected(self, reason: str) -> None: ...

    @abstractmethod
    def _read_ready(self, context: int, commit_end: Offset) -> None: ...

    @abstractmethod
    def _read_refused(self, context: int) -> None: ...
