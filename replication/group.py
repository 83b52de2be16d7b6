"""What is offered to those who build on replication: a node's groups, and one group.

`replication/multiraft` implements both protocols; the broker, the runtime of state machines and
the cluster layer use them. All calls are made on the node's event loop.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from replication.log import EntryDraft, ReplicaLog
from replication.ports import Service
from replication.raft.effects import Role
from replication.types import (
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    Term,
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """An entry that the leader appended; it is not committed before `committed` is done.

    `committed` ends with None, with LeadershipLost (indefinite), or with StorageFailed. It belongs
    to the group: wait through `asyncio.shield`, never cancel it.
    """

    base: Offset
    end: Offset
    term: Term
    committed: Future[None]


class GroupObserver(Protocol):
    """Hears of a group's changes, in order, synchronously; must not block or raise."""

    def role_changed(self, role: Role, term: Term, leader: NodeId | None) -> None:
        """Role, term or leader changed."""
        ...

    def leadership_established(self, term: Term) -> None:
        """This node leads and an entry of its own term committed: it may serve reads."""
        ...

    def committed(self, end: Offset) -> None:
        """The commit moved up to `end`."""
        ...

    def log_replaced(self) -> None:
        """A copy was installed: what was derived from the log must be derived anew."""
        ...

    def membership_changed(self, membership: Membership, committed: bool) -> None:
        """The configuration in force changed, or became committed."""
        ...


class SnapshotSource(Protocol):
    """The state machine that runs on a group."""

    def save_snapshot_soon(self, through: Offset) -> bool:
        """Keep the state as it is, also where it was kept before. False: not all that lies below
        `through` is in it, or it runs no more."""
        ...


class ReplicatedGroup(Protocol):
    """One group with a replica on this node."""

    @property
    def creation(self) -> GroupCreation: ...

    @property
    def log(self) -> ReplicaLog: ...

    @property
    def role(self) -> Role: ...

    @property
    def term(self) -> Term: ...

    @property
    def leader(self) -> NodeId | None:
        """Node that leads in `term`, as far as is known."""
        ...

    @property
    def established(self) -> bool:
        """This node leads, and an entry of its own term is committed."""
        ...

    @property
    def start(self) -> Offset:
        """First offset: what lies below was let go by a committed entry. The log's own start
        follows, when that entry is durable here and covered by a checkpoint."""
        ...

    @property
    def commit_end(self) -> Offset:
        """Exclusive end of what is known to be committed."""
        ...

    @property
    def membership(self) -> Membership:
        """The configuration in force."""
        ...

    @property
    def membership_committed(self) -> bool:
        """It is known to be committed."""
        ...

    def propose(self, draft: EntryDraft) -> Proposal:
        """Append as the leader, at once. Raises NotLeader, Overloaded (uncommitted bytes over
        their bound), DiskFull, StorageFailed; then nothing was appended."""
        ...

    async def read_barrier(self) -> Offset:
        """A commit end that was the group's at some moment after the call began (ReadIndex).
        Raises NotLeader; callers bound the wait with a timeout."""
        ...

    async def transfer_leadership(self, to: NodeId) -> None:
        """Hand over; returns when another leads or the transfer expired (then raises)."""
        ...

    async def change_membership(self, target: Membership) -> None:
        """Returns when the new configuration is committed. Raises MembershipChangeRefused."""
        ...

    @property
    def installing(self) -> bool:
        """A copy of the log is being received."""
        ...

    def ask_for_copy(self) -> None:
        """As follower: ask the leader for a whole copy of the log in the place of this one, part
        of which is damaged and was let go by the others. Whether it comes shows in `log_replaced`
        of the observers; nothing happens when there is no leader, or it is here."""
        ...

    def use_snapshots_of(self, source: SnapshotSource) -> None:
        """This runs on the group from now on."""
        ...

    def ask_for_snapshot(self, through: Offset) -> bool:
        """Have the state machine save a snapshot of its state soon: the one that is there, or part
        of the log below `through`, is damaged. False: none runs here, or it is not past that."""
        ...

    async def move_log_start(self, start: Offset) -> None:
        """Propose and await a control entry that moves the log's start."""
        ...

    def add_observer(self, observer: GroupObserver) -> None:
        """It hears of what happens from now on."""
        ...

    def replica_progress(self) -> Mapping[ReplicaId, Offset]:
        """As leader: fsynced match end of each member; else empty."""
        ...

    @property
    def copied(self) -> Mapping[ReplicaId, Offset]:
        """As leader: how much of the log was sent to replicas that are being given a whole copy.
        None of it counts before all of it is there; it is for people to see."""
        ...


@dataclass(frozen=True, slots=True)
class ForcedRecovery:
    """What a group goes on with, at one replica, when its majority is gone for good.

    Kept is the log of this replica, [start, end). Gone may be every committed entry from `end` on;
    nobody who is left knows whether there was any.
    """

    group_id: GroupId
    term: Term
    """Newest that this replica saw, before the recovery."""
    start: Offset
    end: Offset
    """Exclusive end of what is kept."""
    end_term: Term
    """Term of the last entry kept."""
    commit_end: Offset
    """As far as this replica knows; what it keeps above may never have been committed."""
    heard_commit_end: Offset
    """As the last leader told it, 0 when none did since the start: where it is above `end`,
    entries are gone for certain."""
    survivors: tuple[Replica, ...]
    left_behind: tuple[Replica, ...]
    """Members that are none any more. Should one of them come back, it is not listened to."""


@dataclass(frozen=True, slots=True)
class KnownLeader:
    """What a node was told of a group's leader."""

    term: Term
    node_id: NodeId


class AddressBook(Protocol):
    """Where nodes are."""

    def address_of(self, node_id: NodeId) -> str | None:
        """host:port for other nodes, or None when the node is not known (yet)."""
        ...

    def registered(self, node_id: NodeId) -> bool:
        """The node itself told its cluster this address. Else it is configured: a node of another
        cluster may be there."""
        ...

    def nodes(self) -> Sequence[NodeId]:
        """Every other node that is known, ascending."""
        ...


@dataclass(frozen=True, slots=True)
class MembershipClaim:
    """A node of another cluster counts this node among the members of its groups."""

    node_id: NodeId
    """Who says so."""
    cluster_id: int
    """The cluster of that node."""


class GroupHost(Protocol):
    """All groups of a node."""

    async def start(self) -> None:
        """Open every recovered log and take part."""
        ...

    async def stop(self) -> None:
        """Take part no more; the logs are stopped by their owner."""
        ...

    def services(self) -> Sequence[Service]:
        """What the node must listen to for its peers."""
        ...

    @property
    def groups(self) -> Mapping[GroupId, ReplicatedGroup]: ...

    async def create(self, creation: GroupCreation, *, campaign: bool) -> ReplicatedGroup:
        """Create the replica and take part; `campaign`: try to lead at once."""
        ...

    async def remove(self, group_id: GroupId) -> None:
        """Stop the replica and delete its log."""
        ...

    def forced_recovery(
        self,
        group_id: GroupId,
        survivors: Sequence[ReplicaId],
        lost: Sequence[ReplicaId] = (),
    ) -> ForcedRecovery:
        """What `force_membership` would do now. Raises UnknownGroup, RecoveryRefused."""
        ...

    async def force_membership(
        self,
        group_id: GroupId,
        survivors: Sequence[ReplicaId],
        lost: Sequence[ReplicaId] = (),
    ) -> ForcedRecovery:
        """Make the group go on with these members as its only voters, and with this replica's
        log: its majority is gone for good, says an operator.

        Returns when this node leads the group; callers bound the wait with a timeout. Breaks a
        promise: what the lost majority committed and this replica does not have is lost.

        Args:
            group_id: a group with a replica here.
            survivors: of its members; the replica here is one of them.
            lost: members that take part no more, though their nodes live.

        Raises UnknownGroup, and RecoveryRefused: a majority of the members is alive as far as
        this node knows, or the log here is damaged or empty.
        """
        ...

    def leader_of(self, group_id: GroupId) -> KnownLeader | None:
        """Of any group of the cluster: local knowledge or the newest announcement."""
        ...

    def boot_of(self, node_id: NodeId) -> int:
        """Boot id of the process that is heard under the id of another node; 0: none within the
        failure detection time."""
        ...

    def live_nodes(self) -> frozenset[NodeId]:
        """Nodes heard of within the failure detection time, this one included."""
        ...
