"""What nodes say to each other beyond the messages of single groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from replication.group import MembershipClaim
from replication.raft.messages import AppendEntries, Message
from replication.types import (
    DirectoryId,
    GroupId,
    LogPosition,
    Membership,
    NodeId,
    Offset,
    ReplicaId,
    Term,
)


@dataclass(frozen=True, slots=True)
class LedGroup:
    """A group that the sender of a heartbeat leads; in a refusal `leader` is 0 and `term` the
    refusing replica's own (0: there is no such replica)."""

    group_id: GroupId
    term: Term
    leader: ReplicaId = ReplicaId(0)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One for all groups the sender leads towards the receiver.

    `groups`: the whole set, or None when only its version and hash are sent.
    """

    boot_id: int
    set_version: int
    set_hash: int
    groups: tuple[LedGroup, ...] | None


@dataclass(frozen=True, slots=True)
class HeartbeatAnswer:
    """`agreed_set_version` 0 asks for the whole set; `refused` names the groups of the set that
    the answering node does not follow in that term."""

    boot_id: int
    agreed_set_version: int
    refused: tuple[LedGroup, ...] = ()


@dataclass(frozen=True, slots=True)
class Announcement:
    """`leader` leads the group in `term`; unpersisted news for all nodes."""

    group_id: GroupId
    term: Term
    leader: NodeId


@dataclass(frozen=True, slots=True)
class InstallBegin:
    """First message of a copy; see proto/replication/v1/peer_service.proto."""

    group_id: GroupId
    sender: ReplicaId
    to: ReplicaId
    term: Term
    install_id: int
    start: LogPosition
    end: Offset
    membership: Membership
    log_state: bytes
    snapshot_bytes: int | None
    """None: a plain log without a snapshot."""
    unconfirmed: bool = False
    """Earlier leaders may have committed more than [start, end)."""


@dataclass(frozen=True, slots=True)
class InstallChunk:
    """A run of the copy: of the snapshot, or whole frames of the log."""

    group_id: GroupId
    to: ReplicaId
    install_id: int
    snapshot: bool
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class InstallProgress:
    """The receiver's answer; `failure` is empty unless the copy was refused or broke."""

    group_id: GroupId
    sender: ReplicaId
    install_id: int
    term: Term
    received_bytes: int
    done: bool = False
    end: Offset = Offset(0)
    failure: str = ""


class BulkReceiver(Protocol):
    """The receiver's end of one copy."""

    async def receive(self) -> InstallBegin | InstallChunk | None:
        """The next message; None when the sender has no more. Raises CallFailed."""
        ...

    async def send(self, progress: InstallProgress) -> None:
        """Answer."""
        ...


class BulkSender(Protocol):
    """The sender's end of one copy."""

    async def send(self, message: InstallBegin | InstallChunk) -> None:
        """Send; waits for flow control. Raises CallFailed."""
        ...

    async def receive(self) -> InstallProgress | None:
        """The next answer; None when the receiver ended. Raises CallFailed."""
        ...

    def cancel(self) -> None:
        """Give the copy up."""
        ...


class PeerHandler(Protocol):
    """Who hears of everything that arrives. Synchronous parts must not block."""

    def directories_of(self, node_id: NodeId) -> tuple[DirectoryId, ...]:
        """Data directories that memberships name for the node; empty: unknown."""
        ...

    def boot_of(self, node_id: NodeId) -> int:
        """Boot id of the process that is heard under the node's id; 0: none."""
        ...

    def heartbeat_received(self, node_id: NodeId, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """A peer's heartbeat; the result goes back."""
        ...

    def heartbeat_answered(self, node_id: NodeId, answer: HeartbeatAnswer) -> None:
        """The answer to one of ours."""
        ...

    def message_received(self, node_id: NodeId, group_id: GroupId, message: Message) -> None:
        """Anything but AppendEntries."""
        ...

    def append_received(
        self, node_id: NodeId, group_id: GroupId, message: AppendEntries, frames: bytes
    ) -> bool:
        """AppendEntries whose `entries` are still empty: they are in `frames`, unchecked. False:
        the disk is behind, offer it again in a moment. Raises LogCorrupt, which ends the
        stream."""
        ...

    async def append_room(self) -> None:
        """Returns when the node can take more entries."""
        ...

    def announcement_received(self, announcement: Announcement) -> None:
        """News of a leader."""
        ...

    def peer_connected(self, node_id: NodeId) -> None:
        """Our control stream to the peer stands."""
        ...

    def peer_heard(self, node_id: NodeId) -> None:
        """The peer answered something on our control stream."""
        ...

    def appends_connected(self, node_id: NodeId) -> None:
        """Our append stream to the peer stands (again)."""
        ...

    def appends_lost(self, node_id: NodeId) -> None:
        """Our append stream broke: what was queued or in flight may be lost."""
        ...

    def inbound_lost(self, node_id: NodeId) -> None:
        """The peer's control stream to us ended: its process may have."""
        ...

    def peer_refused(self, node_id: NodeId, reason: str) -> None:
        """The peer, or this node, refused to talk."""
        ...

    def membership_claimed(self, claim: MembershipClaim) -> None:
        """A peer of another cluster takes this node for a member; it is refused, too."""
        ...

    async def install_received(self, node_id: NodeId, bulk: BulkReceiver) -> None:
        """A copy arrives."""
        ...
