"""One node, composed of its parts: the composition root.

`streamlog server` and the simulator run exactly this; they differ in the ports. Nothing here, and
nothing below, touches the world in another way.

| start | stop, in reverse |
|---|---|
| take the data directory | (the port's owner gives it back) |
| load its identity; without one see that the address is free, and format it | |
| recover the logs, take part in their groups (not while blank) | stop the groups, flush, mark the stop as clean |
| listen, answering UNAVAILABLE | close the listener |
| belong to the cluster, know its metadata as before | stop the cluster's part |
| replay the consumer groups held here | end the streams of their members |
| open the public services, those for single records last | refuse calls |
| healthy | not healthy, first of all; then hand leaderships over |

The listener is up before the cluster is joined, because nodes find each other through it.

Invariant: after a failure (of the disk, of the metadata) the node is not healthy, and `failed`
returns the reason; whoever owns the process ends it. Nothing is retried here.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Task
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from replication.errors import invariant
from replication.group import ReplicatedGroup
from replication.ports import Listener, Ports, Service
from replication.transport.link import SERVICE as PEER_SERVICE
from replication.types import METADATA_GROUP, GroupId, NodeId
from streamlog.cluster.intervals import run_rounds
from streamlog.cluster.scrub import FIRST_WITHIN_MS
from streamlog.model.settings.live import LiveSettings
from streamlog.model.settings.node import NodeConfig
from streamlog.server.health import SERVICE_NAME as HEALTH_SERVICE
from streamlog.server.health import Health
from streamlog.server.identity_keeper import IdentityKeeper
from streamlog.server.member import Member
from streamlog.server.metrics.counters import NodeCounters
from streamlog.server.metrics.measured_disk import MeasuredDisk
from streamlog.server.metrics.measured_services import measured
from streamlog.server.readiness import Phase
from streamlog.server.reflection import Reflection
from streamlog.server.settings import replication_settings, store_settings
from streamlog.storage.identity import PATH as IDENTITY_PATH
from streamlog.storage.identity import (
    IdentityRefused,
    NodeIdentity,
    adopt_cluster,
    format_directory,
    load_identity,
)

PUBLIC_SERVICES: Final = (
    "streamlog.v1.LogService",
    "streamlog.v1.AdminService",
    "streamlog.v1.RecordService",
    "streamlog.v1.GroupService",
)
BLANK: Final = 0
"""Cluster id of a directory that belongs to no cluster yet."""
LISTENER_GRACE_MS: Final = 500.0
"""Calls under way get this long to end when the node stops."""

_LOG = logging.getLogger(__name__)


class _Joined(Exception):
    """A node of no cluster has learned which one it belongs to."""

    def __init__(self, cluster_id: int) -> None:
        self.cluster_id = cluster_id
        super().__init__(f"{cluster_id:032x}")


class Node:
    """One node, from its start to its stop; it is not started twice."""

    def __init__(self, config: NodeConfig, ports: Ports) -> None:
        """Nothing is touched yet. Raises StreamlogError(INVALID_CONFIG)."""
        self.settings = LiveSettings(config)
        """In force; some can be changed while the node runs."""
        self.counters = NodeCounters()
        """What is counted for those who watch the node."""
        disk = MeasuredDisk(ports.disk, ports.clock, self.counters.disk)
        self._ports = ports = replace(ports, disk=disk)
        self._replication_settings = replication_settings(config)
        self._store_settings = store_settings(config)
        self._boot_id = ports.random.getrandbits(64) or 1
        self._health = Health(PUBLIC_SERVICES)
        self._member: Member | None = None
        self._listener: Listener | None = None
        self._undo = AsyncExitStack()
        """Ends what was started, last first."""
        self._failure: Exception | None = None
        self._failure_known = asyncio.Event()
        self._phase = Phase.STARTING

    async def start(self) -> None:
        """Returns when the node serves, which on a blank one means: when it belongs to a cluster.

        After an exception, or a cancellation, `stop` gives back what was taken.

        Raises:
            OSError: the data directory is in use (EAGAIN) or can not be written, the address is
                in use (EADDRINUSE) or can not be bound.
            IdentityRefused: the data directory is another node's, another cluster's, or not one.
            StreamlogError: the cluster refuses the node, or its metadata is gone.
            ReplicationError: the logs can not be recovered.
        """
        await self._ports.disk.make_directory("")
        await self._ports.disk.lock()
        identity = await self._identity()
        while True:
            try:
                await self._take_part(identity)
                break
            except _Joined as joined:
                # The cluster's id is part of every file and every handshake; so it is written
                # down, and the node begins anew as a member, before it holds anything.
                await self._leave()
                identity = await adopt_cluster(self._ports.disk, identity, joined.cluster_id)
                _LOG.info("cluster_joined", extra={"cluster_id": f"{joined.cluster_id:032x}"})
        self._phase = Phase.SERVING
        self._health.set_serving(self._failure is None)

    async def stop(self) -> None:
        """Serve no more, and leave the data directory as a clean stop leaves it."""
        self._health.set_serving(False)
        served, self._phase = self._phase is Phase.SERVING, Phase.STOPPING
        if self._member is not None and served and self._failure is None:
            await self._member.cluster.leadership.leave(self.settings.now.shutdown_handover_ms)
        await self._leave()

    async def failed(self) -> Exception:
        """Returns, once the node can not go on, the reason."""
        await self._failure_known.wait()
        assert self._failure is not None
        return self._failure

    @property
    def address(self) -> str:
        """host:port that is bound; empty while the node does not listen."""
        return self._listener.address if self._listener is not None else ""

    @property
    def failure(self) -> Exception | None:
        """Why the node can not go on; None while it can."""
        return self._failure

    @property
    def phase(self) -> Phase:
        """Where in its life the node is."""
        return self._phase if self._failure is None else Phase.FAILED

    @property
    def member(self) -> Member | None:
        """The parts that take part in the cluster, to be looked at; None while there are none."""
        return self._member

    @property
    def groups(self) -> Mapping[GroupId, ReplicatedGroup]:
        """The replicas on this node; empty while it does not take part."""
        return self._member.groups.groups if self._member is not None else {}

    async def _identity(self) -> NodeIdentity:
        """Whose directory this is; a blank one becomes this node's."""
        node_id = NodeId(self.settings.now.node_id)
        disk, clock = self._ports.disk, self._ports.clock
        identity = await load_identity(disk)
        if identity is None:
            await self._check_address()
            identity = await format_directory(
                disk, self._ports.random, cluster_id=BLANK, node_id=node_id, wall_ms=clock.wall_ms()
            )
            _LOG.info("directory_formatted", extra={"node_id": node_id})
        if identity.node_id != node_id:
            raise IdentityRefused(
                IDENTITY_PATH,
                f"the data directory belongs to node {identity.node_id}, not to node {node_id}"
                + ("" if identity.cluster_id else "; it joined no cluster yet and can be deleted"),
            )
        return identity

    async def _check_address(self) -> None:
        """Before a blank directory is made this node's: can it listen at all? Raises OSError."""
        # With the service that has a port of its own.
        services = [Service(PEER_SERVICE, {}, {})]
        listener = await self._ports.network.listen(self.settings.now.bind, services)
        await listener.close(0)

    async def _take_part(self, identity: NodeIdentity) -> None:
        """Compose and start everything; of a blank node only what finds its cluster.

        Raises _Joined when the node has to begin anew.
        """

        def joined(cluster_id: int) -> None:
            if cluster_id != identity.cluster_id:
                raise _Joined(cluster_id)

        member = self._member = Member.composed(
            self.settings,
            self._ports,
            identity,
            replication_settings=self._replication_settings,
            store_settings=self._store_settings,
            boot_id=self._boot_id,
            counters=self.counters.broker,
            on_joined=joined,
            on_failure=self._fail,
        )
        undo = self._undo
        services = member.services()
        if identity.cluster_id != BLANK:
            await member.cluster.refuse_twin()
            await member.groups.start()
            # Only a store that was recovered may be stopped: a stop writes a checkpoint of what
            # it holds. One whose recovery failed is left as it lies.
            undo.push_async_callback(member.store.stop)
            undo.push_async_callback(member.groups.stop)
            self._keep(identity)
        if identity.cluster_id != BLANK or self.settings.now.founds_alone:
            # One that would found a cluster alone hears here who takes it for a member already.
            services = [*member.groups.services(), *services]
        listener = self._listener = await self._ports.network.listen(
            self.settings.now.bind,
            [
                measured(service, self._ports.clock, self.counters.calls)
                for service in (
                    *services,
                    self._health.service(),
                    *Reflection((*PUBLIC_SERVICES, HEALTH_SERVICE)).services(),
                )
            ],
        )
        undo.push_async_callback(listener.close, LISTENER_GRACE_MS)
        undo.push_async_callback(member.cluster.stop)
        await member.cluster.start()
        invariant(identity.cluster_id != BLANK, "a blank node took part")
        await _metadata_known(member)
        undo.push_async_callback(member.consumer_groups.stop)
        await member.consumer_groups.start()
        undo.push_async_callback(member.broker.stop)
        await member.broker.start()
        undo.push_async_callback(member.gateway.stop)
        await member.gateway.start()

    def _keep(self, identity: NodeIdentity) -> None:
        """See now and then that the directory still tells it, until the node leaves."""
        keeper = IdentityKeeper(self._ports.disk, identity, self._fail)
        rounds = run_rounds(
            keeper.round,
            lambda: self.settings.now.scrub_interval_ms,
            first_within_ms=FIRST_WITHIN_MS,
        )
        task = asyncio.get_running_loop().create_task(rounds, name="keep the identity")
        task.add_done_callback(self._kept)
        self._undo.push_async_callback(_end, task)

    def _kept(self, task: Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._fail(error)

    async def _leave(self) -> None:
        """Undo `_take_part`, as far as it came, in reverse."""
        undo, self._undo = self._undo, AsyncExitStack()
        await undo.aclose()
        self._member = self._listener = None

    def _fail(self, error: Exception) -> None:
        """The first reason counts; what follows from it does not."""
        if self._failure is None:
            self._failure = error
            self._health.set_serving(False)
            _LOG.error("node_failed", extra={"reason": str(error)}, exc_info=error)
            self._failure_known.set()


async def _end(task: Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _metadata_known(member: Member) -> None:
    """Wait until this node knows at least what it knew before it was started.

    What is committed of its own log it learns from the leader of the metadata. Before that its
    view is empty, or as old as the newest snapshot, and clients would be told that topics do not
    exist which do.
    """
    view, log = member.cluster.view, member.groups.groups[METADATA_GROUP].log
    known_before = log.end.end
    # A later leader may cut the end of the log off; then what is left of it counts.
    while view.metadata_offset < max(1, min(known_before, log.end.end)):
        await view.changed()


def build_node(config: NodeConfig, ports: Ports) -> Node:
    """A node of these settings in this world; nothing runs before its `start`."""
    return Node(config, ports)
