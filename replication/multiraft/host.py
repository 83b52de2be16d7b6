"""All groups of a node: implements `replication.group.GroupHost`.

Bird's-eye view: `Peers` carries messages; `Liveness` beats and says which nodes live;
`ElectionSchedule` starts elections; `Group` drives one replica; `InstallSender` and
`InstallReceiver` copy logs; `LeaderDirectory` knows who leads elsewhere. This module only wires
them and passes on what arrives.

When the disk fails, or a group meets a bug, the node stops taking part in what is concerned and
tells `on_failed`: a failed fsync is never retried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from replication.errors import LogCorrupt, ReplicationError, StorageFailed, UnknownGroup
from replication.group import AddressBook, ForcedRecovery, KnownLeader, MembershipClaim
from replication.log import EntryCodec, LogStore, ReplicaLog
from replication.multiraft.budget import NodeBudget
from replication.multiraft.context import NodeContext
from replication.multiraft.copy_rate import CopyRate
from replication.multiraft.counters import ReplicationCounters
from replication.multiraft.directory import LeaderDirectory
from replication.multiraft.elections import ElectionSchedule
from replication.multiraft.forced_recovery import plan_recovery
from replication.multiraft.group import Group
from replication.multiraft.install_receiver import InstallReceiver
from replication.multiraft.install_sender import InstallSender
from replication.multiraft.liveness import Liveness
from replication.multiraft.outstanding_writes import OutstandingWrites
from replication.multiraft.replica_driver import ReplicaDriver
from replication.multiraft.rounds import Rounds
from replication.multiraft.settings import ReplicationSettings
from replication.ports import Clock, Network, Random, Service
from replication.raft.effects import Role
from replication.raft.events import Event
from replication.raft.messages import AppendEntries, Message
from replication.transport.identity import NodeIdentity
from replication.transport.messages import (
    Announcement,
    BulkReceiver,
    Heartbeat,
    HeartbeatAnswer,
    LedGroup,
)
from replication.transport.peers import Peers
from replication.transport.tasks import TaskOwner
from replication.types import (
    DirectoryId,
    GroupCreation,
    GroupId,
    NodeId,
    ReplicaId,
    Term,
    WriteSequence,
)

_LISTEN_TIMEOUTS = 2
"""Election timeouts after the start, before a node can say which nodes do not live."""


class MultiRaft:
    """The node's groups. `start` also starts the store, whose listener this is.

    Invariant: `_groups` holds every log of the store that is neither failed to open nor removed.
    """

    def __init__(
        self,
        identity: NodeIdentity,
        store: LogStore,
        codec: EntryCodec,
        network: Network,
        clock: Clock,
        random: Random,
        addresses: AddressBook,
        settings: ReplicationSettings,
        *,
        copy_bytes_per_second: Callable[[], int] = lambda: 0,
        on_failed: Callable[[Exception], None] | None = None,
        on_claimed: Callable[[MembershipClaim], None] | None = None,
        stepped: Callable[[Event], None] | None = None,
    ) -> None:
        """Wire the parts; nothing runs before `start`.

        Args:
            identity: who this node is.
            store: its logs; `start` starts it, its owner stops it.
            codec: frames entries.
            network: to other nodes.
            clock: of this node.
            random: for timeouts and identities of copies.
            addresses: where other nodes are.
            settings: times and bounds.
            copy_bytes_per_second: pace of copies to learners, asked for again and again; 0: none.
            on_failed: told once when the disk failed, and of every bug that stopped a group.
            on_claimed: told, each time, that a node of another cluster takes this one for a member;
                also before `start`, once `services` are listened to.
            stepped: called for each event that a replica steps; tests count with it.
        """
        self._identity = identity
        self._store = store
        self._codec = codec
        self._clock = clock
        self._settings = settings
        self._on_failed, self._on_claimed = on_failed, on_claimed
        self._groups: dict[GroupId, Group] = {}
        self._creating: dict[GroupId, asyncio.Lock] = {}
        self._directories: dict[NodeId, dict[GroupId, tuple[DirectoryId, ...]]] = {}
        self._directory = LeaderDirectory(settings.announced_groups_max)
        self._refusals: dict[NodeId, str] = {}
        self._running = False
        self._started_ms = 0.0
        self._failure: Exception | None = None
        self.dropped_messages = 0
        """Messages for groups that are not here, since the start."""
        tasks = TaskOwner(self._task_failed)
        self._tasks = tasks
        self._peers = Peers(
            identity=identity,
            network=network,
            addresses=addresses,
            random=random,
            settings=settings.transport(),
            handler=self,
            on_failure=self._task_failed,
        )
        self._addresses = addresses
        self._liveness = Liveness(
            boot_id=identity.boot_id,
            clock=clock,
            election_timeout_ms=settings.election_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            listener=self,
            send=self._peers.send_heartbeat,
            before_beat=self._before_beat,
        )
        copy_rate = CopyRate(clock, copy_bytes_per_second)
        install_sender = InstallSender(
            settings=settings,
            codec=codec,
            random=random,
            peers=self._peers,
            tasks=tasks,
            copy_rate=copy_rate,
        )
        self._install_receiver = InstallReceiver(self._groups, settings, tasks)
        self._node = NodeContext(
            identity=identity,
            settings=settings,
            codec=codec,
            clock=clock,
            random=random,
            tasks=tasks,
            peers=self._peers,
            liveness=self._liveness,
            elections=ElectionSchedule(clock, settings.elections_per_second, self._elect),
            commit_rounds=Rounds(settings.commit_flush_ms, _flush_commit),
            retry_rounds=Rounds(settings.retry_interval_ms / 2, self._retry),
            budget=NodeBudget(
                settings.node_uncommitted_bytes_max, settings.node_unsynced_bytes_max
            ),
            writes=OutstandingWrites(),
            counters=ReplicationCounters(),
            log_reads=asyncio.Semaphore(settings.log_reads_max),
            copy_rate=copy_rate,
            announce=self._announce,
            begin_install=install_sender.begin,
            members_changed=self._members_changed,
            group_failed=self._group_failed,
            stepped=stepped,
        )

    # -- GroupHost -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the store, open every recovered log and take part."""
        await self._store.start(self)
        self._running = True
        for node_id in self._addresses.nodes():
            self._liveness.know(node_id)
        for group_id in sorted(self._store.logs):
            if group_id not in self._groups:
                self._open(self._store.logs[group_id])
        self._started_ms = self._clock.monotonic_ms()
        self._peers.start()
        self._liveness.start()

    async def stop(self) -> None:
        """Take part no more; the logs are stopped by their owner."""
        self._running = False
        self._fall_silent(None)
        await self._peers.stop()
        await self._tasks.stop()

    def services(self) -> Sequence[Service]:
        """What the node must listen to for its peers."""
        return self._peers.services()

    @property
    def groups(self) -> Mapping[GroupId, Group]:
        """By id."""
        return self._groups

    async def create(self, creation: GroupCreation, *, campaign: bool) -> Group:
        """Create the replica and take part; `campaign`: try to lead at once. The same creation
        twice gives the same group. Raises StorageFailed, DiskFull."""
        lock = self._creating.setdefault(creation.group_id, asyncio.Lock())
        try:
            async with lock:
                group = self._groups.get(creation.group_id)
                if group is not None:
                    return group
                if self._failure is not None:
                    raise StorageFailed("creating a group", str(self._failure))
                log = await self._store.create(creation)
                group = self._open(log)
        finally:
            if not lock.locked():
                self._creating.pop(creation.group_id, None)
        if campaign and self._running:
            group.begin_election()
        return group

    async def remove(self, group_id: GroupId) -> None:
        """Stop the replica and delete its log; an unknown group is no error."""
        lock = self._creating.setdefault(group_id, asyncio.Lock())
        try:
            async with lock:
                group = self._groups.pop(group_id, None)
                if group is not None:
                    # The group may go on elsewhere, and its leader is not announced again.
                    if group.leader is not None:
                        self._directory.take(Announcement(group_id, group.term, group.leader))
                    group.stop(None)
                    self._close(group)
                await self._store.delete(group_id)
        finally:
            if not lock.locked():
                self._creating.pop(group_id, None)

    def forced_recovery(
        self,
        group_id: GroupId,
        survivors: Sequence[ReplicaId],
        lost: Sequence[ReplicaId] = (),
    ) -> ForcedRecovery:
        """What `force_membership` would do now; see GroupHost."""
        group = self._groups.get(group_id)
        if group is None:
            raise UnknownGroup(group_id)
        listened_ms = self._clock.monotonic_ms() - self._started_ms
        quiet_ms = _LISTEN_TIMEOUTS * self._settings.election_timeout_ms - listened_ms
        return plan_recovery(group, survivors, lost, self.live_nodes(), quiet_ms)

    async def force_membership(
        self,
        group_id: GroupId,
        survivors: Sequence[ReplicaId],
        lost: Sequence[ReplicaId] = (),
    ) -> ForcedRecovery:
        """Go on without a majority that is gone for good; see GroupHost."""
        recovery = self.forced_recovery(group_id, survivors, lost)
        await self._groups[group_id].force_membership(survivors)
        return recovery

    def leader_of(self, group_id: GroupId) -> KnownLeader | None:
        """Of any group of the cluster: local knowledge or the newest announcement.

        An announcement that names this node tells nothing that it does not know better: it may
        have stepped down since.
        """
        announced = self._directory.find(group_id)
        if announced is not None and announced.node_id == self._identity.node_id:
            announced = None
        group = self._groups.get(group_id)
        if group is None or group.failed is not None:
            return announced
        leader = group.leader
        if leader is None or (announced is not None and announced.term > group.term):
            return announced
        return KnownLeader(group.term, leader)

    def live_nodes(self) -> frozenset[NodeId]:
        """Nodes heard of within the failure detection time, this one included."""
        return frozenset([self._identity.node_id, *self._liveness.live_nodes()])

    def boot_of(self, node_id: NodeId) -> int:
        """Of the process that is heard under the id of another node; 0: none."""
        return self._liveness.boot_of(node_id)

    @property
    def failure(self) -> Exception | None:
        """Why the node stopped taking part; None while it does."""
        return self._failure

    @property
    def counters(self) -> ReplicationCounters:
        """What the groups went through."""
        return self._node.counters

    @property
    def copied_bytes(self) -> int:
        """What was copied to replicas that did not vote yet, since the start."""
        return self._node.copy_rate.copied_bytes

    @property
    def budget(self) -> NodeBudget:
        """Bytes that the groups hold in memory, and their bounds."""
        return self._node.budget

    @property
    def oldest_write_ms(self) -> float:
        """For how long the longest wait for the disk has lasted; 0 when nothing waits."""
        oldest_ms = self._node.writes.oldest_ms()
        return 0.0 if oldest_ms is None else max(0.0, self._clock.monotonic_ms() - oldest_ms)

    def peer_queues(self) -> Mapping[NodeId, tuple[bool, int]]:
        """By peer: whether its control stream stands, and bytes of entries that wait for it."""
        return self._peers.queues()

    @property
    def refusals(self) -> Mapping[NodeId, str]:
        """Nodes that refused this one, or were refused, and the newest reason."""
        return self._refusals

    # -- groups --------------------------------------------------------------------------------

    def _open(self, log: ReplicaLog) -> Group:
        group = Group(log, self._node)
        self._groups[group.group_id] = group
        if self._failure is None:
            group.following.started()
        return group

    def _close(self, group: ReplicaDriver) -> None:
        self._node.commit_rounds.discard(group.group_id)
        self._node.retry_rounds.discard(group.group_id)
        for directories in self._directories.values():
            directories.pop(group.group_id, None)

    def _members_changed(self, group: ReplicaDriver) -> None:
        """Remember which data directories the group's members are in."""
        by_node: dict[NodeId, tuple[DirectoryId, ...]] = {}
        for replica in group.membership.replicas():
            if replica.node_id != self._identity.node_id:
                before = by_node.get(replica.node_id, ())
                by_node[replica.node_id] = (*before, replica.directory_id)
        for node_id, directories in self._directories.items():
            if node_id not in by_node:
                directories.pop(group.group_id, None)
        for node_id, directory_ids in by_node.items():
            self._directories.setdefault(node_id, {})[group.group_id] = directory_ids

    def _elect(self, group_id: GroupId) -> None:
        group = self._groups.get(group_id)
        if group is None or group.failed is not None:
            return
        if self._node.disk_stalled or group.installing:
            group.following.dropped()
        else:
            group.begin_election()

    def _retry(self, group: ReplicaDriver) -> bool:
        return group.retry(self._clock.monotonic_ms())

    def _announce(self, announcement: Announcement) -> None:
        self._directory.take(announcement)
        self._peers.announce([announcement])

    # -- failures ------------------------------------------------------------------------------

    def _group_failed(self, group: ReplicaDriver, error: Exception) -> None:
        """A bug, or a damaged log: this group stops; a failed disk stops them all."""
        if isinstance(error, StorageFailed):
            self.storage_failed(error)
            return
        group.stop(error)
        self._close(group)
        if self._on_failed is not None and not isinstance(error, LogCorrupt):
            self._on_failed(error)

    def _task_failed(self, error: BaseException) -> None:
        failure = error if isinstance(error, Exception) else StorageFailed("a task", str(error))
        if isinstance(failure, StorageFailed):
            self.storage_failed(failure)
        elif self._on_failed is not None:
            self._on_failed(failure)

    def _fall_silent(self, error: Exception | None) -> None:
        self._liveness.stop()
        self._node.elections.stop()
        self._node.commit_rounds.stop()
        self._node.retry_rounds.stop()
        for group in list(self._groups.values()):
            group.stop(error)

    # -- LogListener ---------------------------------------------------------------------------

    def writes_completed(self, completed: Sequence[tuple[GroupId, WriteSequence]]) -> None:
        """For each group the newest write that is durable."""
        for group_id, write in completed:
            group = self._groups.get(group_id)
            if group is not None:
                group.write_completed(write)

    def storage_failed(self, error: Exception) -> None:
        """The disk failed: nothing will complete any more, and this node says nothing more."""
        if self._failure is not None:
            return
        self._failure = error
        failure = (
            error if isinstance(error, ReplicationError) else StorageFailed("disk", str(error))
        )
        self._fall_silent(failure)
        if self._on_failed is not None:
            self._on_failed(error)

    # -- LivenessListener ----------------------------------------------------------------------

    def follow_led(self, node_id: NodeId, led: LedGroup) -> Term | None:
        """A node leads a group: None when the local replica follows it, else its term."""
        group = self._groups.get(led.group_id)
        return Term(0) if group is None else group.follow_led(node_id, led)

    def leader_lapsed(self, group_id: GroupId) -> None:
        """The leader's node is silent, or began anew."""
        group = self._groups.get(group_id)
        if group is not None and group.failed is None:
            group.following.lapsed()

    def leader_dropped(self, group_id: GroupId) -> None:
        """The leader's node does not lead the group any more."""
        group = self._groups.get(group_id)
        if group is not None and group.failed is None:
            group.following.dropped()

    def live_peers_changed(self, group_id: GroupId) -> None:
        """A group that this node leads gained or lost live peers."""
        group = self._groups.get(group_id)
        if group is not None and group.role is Role.LEADER:
            group.live_peers_changed()

    def peer_restarted(self, node_id: NodeId, group_id: GroupId) -> None:
        """See LivenessListener."""
        group = self._groups.get(group_id)
        if group is not None:
            group.sender.peer_restarted(node_id)

    def higher_term_seen(self, group_id: GroupId, term: Term) -> None:
        """A peer's replica is in a later term."""
        group = self._groups.get(group_id)
        if group is not None:
            group.higher_term_seen(term)

    def _before_beat(self, now_ms: float, lateness_ms: float) -> None:
        """Keep to the address book; a disk that stalls costs the leaderships."""
        if lateness_ms:
            self._node.writes.shift(lateness_ms)
        self._peers.refresh()
        for node_id in self._addresses.nodes():
            self._liveness.know(node_id)
        oldest_ms = self._node.writes.oldest_ms()
        stalled = oldest_ms is not None and now_ms - oldest_ms >= self._settings.election_timeout_ms
        if stalled != self._node.disk_stalled:
            self._node.disk_stalled = stalled
            for group in list(self._groups.values()):
                if group.role is Role.LEADER:
                    group.live_peers_changed()

    # -- PeerHandler ---------------------------------------------------------------------------

    def directories_of(self, node_id: NodeId) -> tuple[DirectoryId, ...]:
        """Data directories that memberships name for the node."""
        known = self._directories.get(node_id, {})
        return tuple(dict.fromkeys(d for directories in known.values() for d in directories))

    def heartbeat_received(self, node_id: NodeId, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """A peer's heartbeat."""
        return self._liveness.heartbeat_received(node_id, heartbeat)

    def heartbeat_answered(self, node_id: NodeId, answer: HeartbeatAnswer) -> None:
        """The answer to one of ours."""
        self._liveness.heartbeat_answered(node_id, answer)

    def message_received(self, node_id: NodeId, group_id: GroupId, message: Message) -> None:
        """Anything but AppendEntries; for an unknown group it is dropped, and asked again."""
        group = self._groups.get(group_id)
        if group is None:
            self.dropped_messages += 1
        else:
            group.receive(node_id, message)

    def append_received(
        self, node_id: NodeId, group_id: GroupId, message: AppendEntries, frames: bytes
    ) -> bool:
        """AppendEntries; False: offer it again. Raises LogCorrupt."""
        group = self._groups.get(group_id)
        if group is None:
            self.dropped_messages += 1
            return True
        return group.receive_append(node_id, message, frames)

    async def append_room(self) -> None:
        """Returns when the node can take more entries."""
        await self._node.budget.room()

    def announcement_received(self, announcement: Announcement) -> None:
        """News of a leader."""
        self._directory.take(announcement)
        group = self._groups.get(announcement.group_id)
        if group is not None:
            group.leader_announced(announcement.term)

    def peer_connected(self, node_id: NodeId) -> None:
        """Our control stream stands: tell all that this node leads."""
        self._refusals.pop(node_id, None)
        led = [
            Announcement(group.group_id, group.term, self._identity.node_id)
            for group in self._groups.values()
            if group.role is Role.LEADER
        ]
        self._peers.announce(led, to=node_id)

    def peer_heard(self, node_id: NodeId) -> None:
        """The peer answered something."""
        self._liveness.peer_answered(node_id)

    def appends_connected(self, node_id: NodeId) -> None:
        """Our append stream stands (again)."""
        self._appends_changed(node_id)

    def appends_lost(self, node_id: NodeId) -> None:
        """Our append stream broke."""
        self._appends_changed(node_id)

    def _appends_changed(self, node_id: NodeId) -> None:
        for group_id in self._liveness.led_towards(node_id):
            group = self._groups.get(group_id)
            if group is not None:
                group.sender.stream_changed(node_id)

    def inbound_lost(self, node_id: NodeId) -> None:
        """The peer's control stream to us ended."""
        self._liveness.inbound_lost(node_id)

    def peer_refused(self, node_id: NodeId, reason: str) -> None:
        """The peer, or this node, refused to talk."""
        self._refusals[node_id] = reason

    def membership_claimed(self, claim: MembershipClaim) -> None:
        """A peer of another cluster takes this node for a member."""
        if self._on_claimed is not None:
            self._on_claimed(claim)

    async def install_received(self, node_id: NodeId, bulk: BulkReceiver) -> None:
        """A copy arrives."""
        await self._install_receiver.receive(node_id, bulk)


def _flush_commit(group: ReplicaDriver) -> bool:
    group.flush_commit()
    return False
