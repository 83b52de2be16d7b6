"""One node's part in the cluster: belongs to it, keeps its metadata, holds what it is given.

Composed of (each knows only what is above it):

| module | does |
|---|---|
| `view` | what this node knows: nodes, topics, partitions |
| `local_state` | what it must remember over a restart |
| `remembered_addresses` | where nodes were, as long as nothing is known to be committed |
| `claims` | hears that another cluster counts this node among its members |
| `remembered_controllers` | who voted on the metadata before the start |
| `formation` | founds or finds the cluster |
| `executor`, `forwarding` | brings commands to the metadata leader |
| `local_replicas` | creates and removes this node's replicas |
| `metadata_renewal` | replaces this node's replica of the metadata when it is lost |
| `committed_members` | asks leaders who the members of their groups are |
| `metadata_members` | as metadata leader: who votes on the metadata, and who follows |
| `evacuation` | as metadata leader: empties drained nodes, evens out preferred leaders and replicas |
| `partition_moves` | as leader of partitions: brings them to the replicas they shall have |
| `twins` | sees that no other process has its identity |
| `leadership` | lets leaders go home, and leave a node that stops |

The order of a start, for the composition root: store, group host, listener (with `services()`),
then `start()`, which on a blank node returns only when the node belongs to a cluster. On a node
that does already, it returns at once, and registers in the background.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Task
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from replication.errors import StorageFailed
from replication.group import GroupHost, ReplicatedGroup
from replication.log import EntryCodec
from replication.ports import Clock, Disk, Network, Random, Service
from replication.runtime.limits import RuntimeLimits
from replication.runtime.runtime import StateMachineRuntime
from replication.types import (
    METADATA_GROUP,
    GroupCreation,
    Membership,
    Offset,
    Replica,
    ReplicaId,
)
from streamlog.cluster.calls import PeerChannels
from streamlog.cluster.claims import Claims, member_refusal
from streamlog.cluster.committed_members import CommittedMembers
from streamlog.cluster.evacuation import Evacuation
from streamlog.cluster.executor import Executed, Executor, MetadataRuntime
from streamlog.cluster.formation import Formation, Identity
from streamlog.cluster.forwarding import Forwarding
from streamlog.cluster.intervals import run_rounds
from streamlog.cluster.leadership import REST_CHECK_MS, Leadership
from streamlog.cluster.local_replicas import LocalReplicas
from streamlog.cluster.local_state import ADVICE as STATE_ADVICE
from streamlog.cluster.local_state import PATH as LOCAL_STATE_PATH
from streamlog.cluster.local_state import LocalStateFile
from streamlog.cluster.metadata.checks import check_topic_name
from streamlog.cluster.metadata.machine import MetadataMachine
from streamlog.cluster.metadata.records import (
    AddPartitions,
    AlterTopic,
    Command,
    CreateTopic,
    DeleteTopic,
    Record,
    RegisterNode,
    RenewReplica,
)
from streamlog.cluster.metadata.state import Founding, MetadataState, Node, Partition, Topic
from streamlog.cluster.metadata_members import MetadataMembers
from streamlog.cluster.metadata_renewal import MetadataRenewal
from streamlog.cluster.operations import Operations
from streamlog.cluster.partition_moves import PartitionMoves
from streamlog.cluster.producer_ids import ProducerIds
from streamlog.cluster.remembered_addresses import addresses_in_log
from streamlog.cluster.remembered_controllers import remembered_controllers
from streamlog.cluster.repair import Repairer
from streamlog.cluster.scrub import FIRST_WITHIN_MS, Scrubber
from streamlog.cluster.twins import Twins
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.live import LiveSettings
from streamlog.storage.damage import DamageReports

KIND: Final = "metadata"
REGISTRATION_TIMEOUT_MS: Final = 5_000
REGISTRATION_PAUSE_MS: Final = 200
RENEW_INTERVAL_MS: Final = 2_000
TWIN_REFUSALS_MAX: Final = 50
"""Refusals because of another process of this identity, which may be dead and still heard."""
VIEW_WAIT_MS: Final = 5_000
"""Longest that a change waits for this node's own view to show it."""

_REFUSALS: Final = frozenset(
    {Reason.CLUSTER_MISMATCH, Reason.NODE_ID_TAKEN, Reason.INVALID_REQUEST, Reason.INVALID_CONFIG}
)
"""Answers to a registration after which the node must not go on."""

_log = logging.getLogger(__name__)


class Cluster:
    """The node's part in the cluster. All calls are made on the node's event loop."""

    def __init__(
        self,
        *,
        settings: LiveSettings,
        identity: Identity,
        view: ClusterView,
        group_host: GroupHost,
        codec: EntryCodec,
        disk: Disk,
        network: Network,
        clock: Clock,
        random: Random,
        damage: DamageReports,
        claims: Claims | None = None,
        boot_id: int = 0,
        on_joined: Callable[[int], None] | None = None,
        on_failure: Callable[[Exception], None] | None = None,
    ) -> None:
        """`claims` hears whom other clusters take this node for. `boot_id` is new at each start of the process, and the one that peers hear; 0: one is
        made up. `on_joined` is called in `start` with the cluster id, when it is on this node's disk
        and before any group is created (what it raises, `start` raises); `on_failure` hears after
        the start why this node must stop (its registration was refused, its metadata can not be
        read)."""
        config = settings.now
        self._settings, self._identity, self.view = settings, identity, view
        self._host, self._codec, self._clock, self._random = group_host, codec, clock, random
        self._on_joined, self._on_failure = on_joined, on_failure
        self._damage = damage
        self._boot_id = boot_id or random.getrandbits(64) or 1
        self._channels = PeerChannels(network)
        self._twins = Twins(config, identity, self._boot_id, self._channels)
        self._local = LocalStateFile(disk)
        self._claims = claims or Claims()
        self._formation = Formation(
            config,
            identity,
            self._local,
            self._channels,
            random,
            self._claims,
            lambda: remembered_controllers(group_host),
        )
        self._executor = Executor(config, identity, view, group_host, self._local, self._boot_id)
        self._forwarding = Forwarding(
            config,
            view=view,
            host=group_host,
            executor=self._executor,
            channels=self._channels,
            clock=clock,
            random=random,
        )
        members = CommittedMembers(view, group_host, self._channels)
        self._replicas = LocalReplicas(
            identity, group_host, self._local, members.of, lambda: self.registered
        )
        self._renewal = MetadataRenewal(
            self._local, group_host, self._forwarding, self._registration_of
        )
        self.scrubber = Scrubber(
            group_host, clock, random, damage, lambda: settings.now.scrub_bytes_per_second
        )
        self.leadership = Leadership(identity.node_id, view, group_host)
        self._repairer = Repairer(
            identity.node_id, view, group_host, self._channels, damage, self.leadership.hand_over
        )
        self.operations = Operations(view, group_host, self._operate, self._request_id)
        self._producer_ids = ProducerIds(identity.node_id, self._forwarding)
        self._runtime: MetadataRuntime | None = None
        self._tasks: list[Task[None]] = []
        self.failure: Exception | None = None

    def services(self) -> Sequence[Service]:
        """What the node must listen to for its peers, from before `start`."""
        return [self._executor.service()]

    @property
    def runtime(self) -> MetadataRuntime | None:
        """The local replica of the metadata; None before the node joined."""
        return self._runtime

    @property
    def registered(self) -> bool:
        """The metadata that is applied here names this start of the node."""
        node = self._registration()
        return node is not None and node.boot_id == self._boot_id

    @property
    def lost_replicas(self) -> Sequence[Partition]:
        """Partitions whose replica was on this node and is gone, or may have forgotten votes."""
        return self._replicas.lost

    def on_replicas_changed(self, listener: Callable[[], None]) -> None:
        """It is called after replicas were created or removed on this node."""
        self._replicas.on_changed(listener)

    async def refuse_twin(self) -> None:
        """Before anything else of a node that belongs to its cluster already: raise
        StreamlogError(IDENTITY_IN_USE) when another process that lives has its identity."""
        try:
            await self._twins.refuse()
        except BaseException:
            await self._channels.close()
            raise

    async def start(self) -> None:
        """Belong to the cluster: found it, find it, or go on in it.

        A blank node returns when it has registered. Raises StreamlogError: CLUSTER_MISMATCH,
        NODE_ID_TAKEN, INVALID_CONFIG (blank, alone, and not told to bootstrap), CORRUPT_LOG
        (the metadata was here and is gone).
        """
        await self._local.load()
        self._refuse_lost_state()
        if self._damage.journal_has_gaps:
            await self._local.save(creations_forgotten=True)
        # A directory may have joined and yet never registered: a crash came between.
        member = self._local.state.metadata_group_created
        founding = await self._formation.find()
        self.view.joined(founding.cluster_id)
        joins = self._local.state.founding is None
        registered = await self._join(founding) if joins else None
        if self._on_joined is not None:
            self._on_joined(founding.cluster_id)
        group = await self._metadata_group(founding)
        await self._start_runtime(founding, group)
        self._spawn(self._heed_claims(founding))
        if member:
            self._spawn(self._stay_registered(founding, None))
            return
        if registered is None:
            registered = await self._register_until_done(founding)
        self._spawn(self._stay_registered(founding, registered))
        await self._await_view(registered.metadata_offset)

    async def stop(self) -> None:
        """End what runs; groups and store are stopped by their owners."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._runtime is not None:
            await self._runtime.stop()
        await self._channels.close()

    # Changes of metadata.

    async def create_topic(
        self,
        name: str,
        *,
        partition_count: int = 0,
        replication_factor: int = 0,
        overrides: Mapping[str, str] | None = None,
        validate_only: bool = False,
        timeout_ms: float | None = None,
    ) -> Topic:
        """Create a topic; committed when it returns. Zeros stand for the node's defaults.

        Raises StreamlogError: INVALID_TOPIC_NAME, INVALID_PARTITION_COUNT,
        INVALID_REPLICATION_FACTOR, INVALID_CONFIG, TOPIC_EXISTS, METADATA_UNAVAILABLE,
        METADATA_OUTCOME_UNKNOWN.
        """
        check_topic_name(name)
        # Controllers count although one may not have registered yet: the first topic of a young
        # cluster must not get fewer replicas than it will have nodes.
        nodes = len(self.view.other_nodes()) + 1
        command = CreateTopic(
            name,
            partition_count or self._settings.now.default_partitions,
            replication_factor or min(self._settings.now.default_replication_factor, nodes),
            dict(overrides or {}),
            self._request_id(),
            validate_only,
        )
        return await self._change_topic(command, timeout_ms)

    async def alter_topic(
        self,
        name: str,
        *,
        overrides: Mapping[str, str] | None = None,
        unset: Sequence[str] = (),
        validate_only: bool = False,
        timeout_ms: float | None = None,
    ) -> Topic:
        """Change a topic's settings. Raises StreamlogError as create_topic, and UNKNOWN_TOPIC."""
        check_topic_name(name)
        command = AlterTopic(
            name, dict(overrides or {}), tuple(unset), validate_only, self._request_id()
        )
        return await self._change_topic(command, timeout_ms)

    async def add_partitions(
        self,
        name: str,
        *,
        partition_count: int,
        validate_only: bool = False,
        timeout_ms: float | None = None,
    ) -> Topic:
        """Give a topic `partition_count` partitions in all. Raises as alter_topic."""
        check_topic_name(name)
        command = AddPartitions(name, partition_count, validate_only, request_id=self._request_id())
        return await self._change_topic(command, timeout_ms)

    async def delete_topic(self, name: str, *, timeout_ms: float | None = None) -> None:
        """Delete a topic; committed when it returns, the files follow. Raises as alter_topic."""
        check_topic_name(name)
        await self._change(DeleteTopic(name, self._request_id()), timeout_ms)

    async def allocate_producer_id(self, *, timeout_ms: float | None = None) -> int:
        """A producer id that nobody else has or had."""
        return await self._producer_ids.take(timeout_ms or self._settings.now.request_timeout_ms)

    async def wait_for_topic(self, name: str, timeout_ms: float) -> Topic:
        """The topic, as soon as this node knows it. Raises UNKNOWN_TOPIC when the time is up."""
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                while (topic := self.view.topic(name)) is None:
                    await self.view.changed()
                return topic
        except TimeoutError:
            raise StreamlogError(
                Reason.UNKNOWN_TOPIC, f"there is no topic {name!r} after {timeout_ms:g} ms"
            ) from None

    def _request_id(self) -> int:
        """Makes the repetition of a change harmless, and so an answer that got lost."""
        return self._random.getrandbits(64) or 1

    async def _change_topic(self, command: Command, timeout_ms: float | None) -> Topic:
        executed = await self._change(command, timeout_ms)
        if executed.topic is None:
            raise StreamlogError(Reason.INTERNAL_ERROR, "the metadata leader named no topic")
        return executed.topic

    async def _operate(self, command: Command) -> Executed:
        return await self._change(command, None)

    async def _change(self, command: Command, timeout_ms: float | None) -> Executed:
        if self._runtime is None:
            raise StreamlogError(
                Reason.METADATA_UNAVAILABLE, "this node has not joined its cluster yet"
            )
        executed = await self._forwarding.execute(
            command, timeout_ms or self._settings.now.request_timeout_ms
        )
        await self._await_view(executed.metadata_offset)
        return executed

    async def _await_view(self, offset: Offset) -> None:
        """Whoever changed something shall see it here; but the change is made even if that takes
        long, so the wait is bounded and its end no error."""
        try:
            async with asyncio.timeout(VIEW_WAIT_MS / 1_000):
                while self.view.metadata_offset < offset:
                    await self.view.changed()
        except TimeoutError:
            _log.warning("metadata_view_behind", extra={"waited_ms": VIEW_WAIT_MS})

    # Starting.

    async def _join(self, founding: Founding) -> Executed:
        """A blank node that the founding does not name: register, then remember."""
        executed = await self._register_until_done(founding)
        node = executed.node
        if node is None or executed.founding != founding:
            raise StreamlogError(
                Reason.CLUSTER_MISMATCH,
                f"the controllers tell of cluster {founding.cluster_id:032x}, the metadata leader"
                f" of {executed.founding.cluster_id:032x}",
            )
        await self._local.save(founding=founding, metadata_replica_id=node.metadata_replica_id)
        return executed

    async def _metadata_group(self, founding: Founding) -> ReplicatedGroup:
        """This node's replica of group 0; made once in the life of the directory."""
        group = self._host.groups.get(METADATA_GROUP)
        local = self._local.state
        if group is None and local.metadata_group_created:
            raise StreamlogError(
                Reason.CORRUPT_LOG,
                f"the metadata of cluster {founding.cluster_id:032x} was on this disk and is gone:"
                " start the node with an empty data directory and a node id that was never used",
            )
        if group is not None and group.log.lost:
            group = await self._renewal.renewed(group, founding)
            local = self._local.state
        if group is None:
            replica_id = local.metadata_replica_id
            assert replica_id is not None
            creation, campaign = self._metadata_creation(founding, replica_id)
            group = await self._host.create(creation, campaign=campaign)
        if group.creation.local_replica_id != local.metadata_replica_id:
            raise StorageFailed(
                "reading the node's state",
                f"{LOCAL_STATE_PATH} is another node's: it names replica"
                f" {local.metadata_replica_id} of the metadata, here is"
                f" {group.creation.local_replica_id}. {STATE_ADVICE}",
            )
        await self._local.save(metadata_group_created=True)
        return group

    def _refuse_lost_state(self) -> None:
        """A directory that belongs to a cluster says in `cluster.state` what was made here; without
        it what is gone would be made anew, blank."""
        cluster_id, founding = self._identity.cluster_id, self._local.state.founding
        if cluster_id == 0 or (founding is not None and founding.cluster_id == cluster_id):
            return
        what = "is missing" if founding is None else f"is of cluster {founding.cluster_id:032x}"
        raise StorageFailed(
            "reading the node's state",
            f"{LOCAL_STATE_PATH} {what}, but the data directory belongs to cluster"
            f" {cluster_id:032x}. {STATE_ADVICE}",
        )

    def _metadata_creation(
        self, founding: Founding, replica_id: ReplicaId
    ) -> tuple[GroupCreation, bool]:
        voters = founding.membership.voters
        if founding.membership.is_voter(replica_id):
            membership = founding.membership
        else:
            own = Replica(replica_id, self._identity.node_id, self._identity.directory_id)
            membership = Membership(voters, learners=(own,))
        campaign = voters[0].replica_id == replica_id
        creation = GroupCreation(
            METADATA_GROUP, membership, replica_id, KIND, freed_by_snapshots=True
        )
        return creation, campaign

    async def _start_runtime(self, founding: Founding, group: ReplicatedGroup) -> None:
        runtime: MetadataRuntime = StateMachineRuntime(
            group,
            MetadataMachine(founding),
            self._codec,
            self._clock,
            limits=RuntimeLimits(
                snapshot_bytes=self._settings.now.snapshot_bytes,
                snapshot_records=self._settings.now.snapshot_records,
            ),
            on_failure=self._fail,
        )
        members = MetadataMembers(group, self._host)
        group.add_observer(members)
        moves = PartitionMoves(self._host, self._forwarding)
        evacuation = Evacuation(self._settings, self._host, self._executor)
        # The view first: whoever hears of a change later finds it there.
        for listener in (_ViewFeeder(self.view), self._replicas, members, moves, evacuation):
            runtime.subscribe(listener)
        self._runtime = runtime
        await runtime.start()
        known = self.view.metadata_offset
        self.view.remember(await addresses_in_log(group.log, self._codec, known))
        self._executor.attach(runtime)
        self._spawn(self._replicas.run())
        self._spawn(
            run_rounds(self.leadership.return_home, lambda: self._settings.now.leader_return_ms)
        )
        self._spawn(run_rounds(self.leadership.rest, lambda: REST_CHECK_MS))
        self._spawn(members.run())
        self._spawn(moves.run())
        self._spawn(evacuation.run())
        self._spawn(run_rounds(self._renew_lost, lambda: RENEW_INTERVAL_MS))
        self._spawn(self._repairer.run())
        self._spawn(
            run_rounds(
                self.scrubber.round,
                lambda: self._settings.now.scrub_interval_ms,
                first_within_ms=FIRST_WITHIN_MS,
            )
        )

    async def _renew_lost(self) -> None:
        """Ask for new replicas in the place of those that are lost."""
        for partition, replica_id in self._replicas.to_renew:
            command = RenewReplica(partition.topic_id, partition.number, replica_id)
            try:
                await self._forwarding.execute(command, REGISTRATION_TIMEOUT_MS)
            except StreamlogError as error:
                _log.info("renewal_postponed", extra={"reason": str(error)})
                return

    async def _register_until_done(self, founding: Founding) -> Executed:
        """Register, as long as it takes. Raises StreamlogError when it is refused."""
        twins = 0
        while True:
            command = self._registration_of(founding)
            try:
                return await self._forwarding.execute(command, REGISTRATION_TIMEOUT_MS)
            except StreamlogError as error:
                twins += error.reason is Reason.IDENTITY_IN_USE
                if error.reason in _REFUSALS or twins > TWIN_REFUSALS_MAX:
                    raise
                _log.info("registration_postponed", extra={"reason": str(error)})
            await asyncio.sleep(REGISTRATION_PAUSE_MS / 1_000)

    def _registration_of(self, founding: Founding) -> RegisterNode:
        return RegisterNode(
            founding.cluster_id,
            self._identity.node_id,
            self._settings.now.advertised,
            self._settings.now.rack,
            self._identity.directory_id,
            self._boot_id,
            self._clock.wall_ms(),
        )

    async def _stay_registered(self, founding: Founding, registered: Executed | None) -> None:
        """Register, unless it is done, and see that no other start of this identity does."""
        try:
            while True:
                executed = registered or await self._register_until_done(founding)
                registered = None
                while self.view.metadata_offset < executed.metadata_offset:
                    await self.view.changed()
                while (twin := self._twins.overtaken_by(self._registration())) is None:
                    await self.view.changed()
                own, other = executed.node, self._registration()
                if own is None or other is None or own.registered_at_ms <= other.registered_at_ms:
                    self._fail(twin)
                    return
                # An earlier start asked, and was carried out only now: this one counts.
        except StreamlogError as error:
            self._fail(error)

    async def _heed_claims(self, founding: Founding) -> None:
        """Say which other clusters take this node for a member of theirs; if it is the only one
        of its own, it must not go on: what clients meant for the other one would end up here."""
        own_id = self._identity.node_id
        while True:
            claim = await self._claims.next()
            if claim.cluster_id == founding.cluster_id:
                continue  # heard while the directory was blank
            while self.view.state is None:
                await self.view.changed()
            refusal = member_refusal(claim, own_id, founding.cluster_id)
            _log.error(
                "claimed_by_another_cluster",
                extra={
                    "cluster_id": f"{founding.cluster_id:032x}",
                    "other_cluster_id": f"{claim.cluster_id:032x}",
                    "peer": claim.node_id,
                    "note": str(refusal),
                },
            )
            if not self.view.other_nodes():
                self._fail(refusal)
                return

    def _registration(self) -> Node | None:
        return self.view.node(self._identity.node_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)

    def _task_ended(self, task: Task[None]) -> None:
        """None of the tasks may end by an error: without it the node would go on half alive."""
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception):
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self.failure is not None:
            return
        self.failure = error
        _log.error("cluster_part_failed", extra={"reason": str(error)})
        if self._on_failure is not None:
            self._on_failure(error)


class _ViewFeeder:
    """Hands what was applied to the view."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def records_applied(
        self, records: Sequence[tuple[Offset, Record]], state: MetadataState, end: Offset
    ) -> None:
        del records
        self._view.update(state, end)

    def state_replaced(self, state: MetadataState, end: Offset) -> None:
        self._view.update(state, end)
