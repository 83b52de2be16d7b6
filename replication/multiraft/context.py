"""What the groups of a node share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replication.log import EntryCodec
from replication.multiraft.budget import NodeBudget
from replication.multiraft.copy_rate import CopyRate
from replication.multiraft.counters import ReplicationCounters
from replication.multiraft.elections import ElectionSchedule
from replication.multiraft.liveness import Liveness
from replication.multiraft.outstanding_writes import OutstandingWrites
from replication.multiraft.rounds import Rounds
from replication.multiraft.settings import ReplicationSettings
from replication.ports import Clock, Random
from replication.raft.events import Event
from replication.transport.identity import NodeIdentity
from replication.transport.messages import Announcement
from replication.transport.peers import Peers
from replication.transport.tasks import TaskOwner
from replication.types import NodeId, ReplicaId

if TYPE_CHECKING:
    from replication.multiraft.replica_driver import ReplicaDriver


@dataclass(slots=True)
class NodeContext:
    """The node's parts, for its groups; owned and stopped by the host."""

    identity: NodeIdentity
    settings: ReplicationSettings
    codec: EntryCodec
    clock: Clock
    random: Random
    tasks: TaskOwner
    peers: Peers
    liveness: Liveness
    elections: ElectionSchedule
    commit_rounds: Rounds[ReplicaDriver]
    retry_rounds: Rounds[ReplicaDriver]
    budget: NodeBudget
    writes: OutstandingWrites
    counters: ReplicationCounters
    log_reads: asyncio.Semaphore
    copy_rate: CopyRate
    announce: Callable[[Announcement], None]
    begin_install: Callable[[ReplicaDriver, ReplicaId], None]
    members_changed: Callable[[ReplicaDriver], None]
    group_failed: Callable[[ReplicaDriver, Exception], None]
    """A bug or a damaged log: the group stopped."""
    stepped: Callable[[Event], None] | None = None
    """Called for each event that a replica steps; tests count with it."""
    disk_stalled: bool = False
    """A write waits longer than the election timeout: lead nothing, campaign for nothing."""

    @property
    def node_id(self) -> NodeId:
        """This node."""
        return self.identity.node_id
