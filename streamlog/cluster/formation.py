"""How a node comes to belong to a cluster: it founds one, or finds one.

Founding happens once. Every controller starts blank with the same list; the one with the lowest id
(and `bootstrap`) waits until all others answer and are blank, writes the founding record (cluster
id, and the voters with their directory ids) to its disk, and from then on tells it to whoever asks.
The others ask all controllers until one tells them. So:

| at start | what happens |
|---|---|
| the directory has a founding | nothing is formed; controllers of the list that belong to another cluster are a reason to refuse when they are more than those of this one, and more than half as many as the controllers that the directory remembers |
| blank, some controller tells a founding that names this node and this directory | it is taken over |
| blank, it names this node with another directory | NODE_ID_TAKEN: the disk is not the one that voted |
| blank, it does not name this node | the node joins: it registers, and follows as a learner |
| blank, all controllers blank, lowest id, `bootstrap` | this node founds; if it is the only one, after a moment in which no other cluster claimed it (`claims`) |
| anything else | it waits |

A crash in the middle resumes: before the record is on the founder's disk nothing has happened, and
afterwards it is only told. Rejected: pushing the record to the others (two ways for one thing).

The list counts while the directory is blank. Later it may be out of date: of a cluster that one
node founded and that has three controllers now, the others may still list that one only. If it comes
back blank, as another cluster, it must not keep them from starting: it is one of three.

Invariant: a directory takes one founding in its life.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from replication.ports import CallFailed, Random
from replication.types import DirectoryId, Membership, NodeId, Replica, ReplicaId, whole
from streamlog.cluster.calls import PeerChannels
from streamlog.cluster.claims import CLAIM_WAIT_MS, Claims, blank_refusal
from streamlog.cluster.local_state import LocalStateFile
from streamlog.cluster.metadata.codec import (
    founding_from_proto,
)
from streamlog.cluster.metadata.state import Founding
from streamlog.cluster.v1 import cluster_service_pb2 as pb
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.node import NODE_SETTINGS, NodeConfig

ASK_TIMEOUT_MS: Final = 1_000
ASK_PAUSE_MS: Final = 100
REPORT_EVERY: Final = 100
"""Rounds of asking in vain after which the log says what is missing."""

_log = logging.getLogger(__name__)


class Identity(Protocol):
    """Who this node is on its disk (streamlog.storage.identity.NodeIdentity)."""

    @property
    def node_id(self) -> NodeId: ...

    @property
    def directory_id(self) -> DirectoryId: ...

    @property
    def cluster_id(self) -> int:
        """0: the directory belongs to no cluster yet."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """What another controller said of itself."""

    node_id: NodeId
    directory_id: DirectoryId
    founding: Founding | None
    controllers: str


def controllers_text(config: NodeConfig) -> str:
    """The list of controllers as nodes compare it."""
    return NODE_SETTINGS["controllers"].format(config.controllers)


class Formation:
    """Founds or finds the cluster of this node."""

    def __init__(
        self,
        config: NodeConfig,
        identity: Identity,
        local: LocalStateFile,
        channels: PeerChannels,
        random: Random,
        claims: Claims,
        remembered: Callable[[], Sequence[NodeId]],
    ) -> None:
        """`remembered`: the controllers in force, as the directory remembers them; empty: it
        remembers none."""
        self._config, self._identity, self._local = config, identity, local
        self._channels, self._random = channels, random
        self._claims, self._remembered = claims, remembered
        self._others = [
            (NodeId(node_id), address)
            for node_id, address in config.controllers
            if node_id != config.node_id
        ]

    async def find(self) -> Founding:
        """The cluster of this node, waiting as long as it takes. When the founding names this
        node it is on the disk already; else the node has yet to register.

        Raises StreamlogError: CLUSTER_MISMATCH, NODE_ID_TAKEN, INVALID_CONFIG.
        """
        founding = self._local.state.founding
        if founding is not None:
            self._warn_of_old_list()
            self._refuse_other_majority(founding, await self._ask_all())
            return founding
        if not self._others and not self._config.bootstrap:
            raise StreamlogError(
                Reason.INVALID_CONFIG,
                f"the data directory of node {self._identity.node_id} is blank and it is the only"
                " controller: set bootstrap to form a new cluster",
                {"key": "bootstrap", "value": "false"},
            )
        self._refuse_other_address()
        rounds = 0
        while True:
            peers = await self._ask_all()
            founding = self._told(peers)
            if founding is None and self._may_found(peers):
                await self._refuse_claimed()
                founding = self._found(peers)
            if founding is not None:
                await self._take(founding)
                return founding
            rounds += 1
            if rounds % REPORT_EVERY == 0:
                self._report(peers)
            await asyncio.sleep(ASK_PAUSE_MS / 1_000)

    async def _ask_all(self) -> list[Peer]:
        """Those of the other controllers that answer."""
        answers = await asyncio.gather(
            *(self._ask(node_id, address) for node_id, address in self._others)
        )
        return [answer for answer in answers if answer is not None]

    async def _ask(self, node_id: NodeId, address: str) -> Peer | None:
        request = pb.DescribeNodeRequest(node_id=self._identity.node_id).SerializeToString()
        try:
            data = await self._channels.call(address, "DescribeNode", request, ASK_TIMEOUT_MS)
        except (CallFailed, StreamlogError):
            return None
        message = pb.DescribeNodeResponse.FromString(data)
        if message.node_id != node_id:
            _log.warning(
                "controller_is_another",
                extra={"expected": node_id, "address": address, "answered": message.node_id},
            )
            return None
        return Peer(
            node_id,
            DirectoryId(whole(message.directory_id_high, message.directory_id_low)),
            founding_from_proto(message.founding) if message.HasField("founding") else None,
            message.controllers,
        )

    def _told(self, peers: Sequence[Peer]) -> Founding | None:
        """The founding that the others tell. Raises CLUSTER_MISMATCH when they differ."""
        tellers = [(peer.node_id, peer.founding) for peer in peers if peer.founding is not None]
        if not tellers:
            return None
        first_node, first = tellers[0]
        for node_id, founding in tellers[1:]:
            if founding != first:
                raise StreamlogError(
                    Reason.CLUSTER_MISMATCH,
                    f"controller {first_node} belongs to cluster {first.cluster_id:032x},"
                    f" controller {node_id} to {founding.cluster_id:032x}: name the controllers of"
                    " one cluster",
                )
        return first

    def _may_found(self, peers: Sequence[Peer]) -> bool:
        """This node is the one to found, and everybody is here and blank."""
        config = self._config
        if not config.bootstrap or config.node_id != config.controllers[0][0]:
            return False
        listed = controllers_text(config)
        for peer in peers:
            if peer.controllers != listed:
                _log.warning(
                    "controllers_differ",
                    extra={"peer": peer.node_id, "theirs": peer.controllers, "ours": listed},
                )
                return False
        return len(peers) == len(self._others)

    def _found(self, peers: Sequence[Peer]) -> Founding:
        directories = {peer.node_id: peer.directory_id for peer in peers}
        directories[self._identity.node_id] = self._identity.directory_id
        voters = tuple(
            Replica(ReplicaId(number), NodeId(node_id), directories[NodeId(node_id)])
            for number, (node_id, _) in enumerate(self._config.controllers, start=1)
        )
        return Founding(self._random.getrandbits(128) or 1, Membership(voters))

    async def _take(self, founding: Founding) -> None:
        """Write down a founding that names this node."""
        for replica in founding.membership.voters:
            if replica.node_id != self._identity.node_id:
                continue
            if replica.directory_id != self._identity.directory_id:
                raise StreamlogError(
                    Reason.NODE_ID_TAKEN,
                    f"node id {replica.node_id} belongs to data directory"
                    f" {replica.directory_id:032x} in cluster {founding.cluster_id:032x}, this is"
                    f" {self._identity.directory_id:032x}: a blank or other disk needs a node id"
                    " that was never used",
                    {"node_id": str(replica.node_id)},
                )
            await self._local.save(founding=founding, metadata_replica_id=replica.replica_id)

    def _refuse_other_address(self) -> None:
        """Refuse a blank controller that the list has elsewhere: the list is another node's, and
        with the flag to bootstrap it would found a second cluster of its own."""
        config = self._config
        listed = dict(config.controllers).get(config.node_id, config.advertised)
        if listed != config.advertised:
            raise StreamlogError(
                Reason.INVALID_CONFIG,
                f"controllers has node {config.node_id} at {listed}, but this node advertises"
                f" {config.advertised}: use a node id that nobody has, or correct the list",
                {"key": "controllers", "value": controllers_text(config)},
            )

    async def _refuse_claimed(self) -> None:
        """Refuse to found alone while a cluster counts this node among its members."""
        if self._config.founds_alone:
            claim = await self._claims.first(CLAIM_WAIT_MS)
            if claim is not None:
                raise blank_refusal(claim, self._identity.node_id)

    def _warn_of_old_list(self) -> None:
        """With this configuration a blank disk would form a cluster of its own."""
        listed = [node_id for node_id, _ in self._config.controllers]
        remembered = list(self._remembered())
        if self._config.bootstrap and remembered and listed != remembered:
            _log.warning(
                "controllers_outdated",
                extra={
                    "listed": listed,
                    "in_force": remembered,
                    "note": "list the controllers in force in controllers, and turn bootstrap off:"
                    " if its disk is lost this node would form a cluster of its own",
                },
            )

    def _refuse_other_majority(self, own: Founding, peers: Sequence[Peer]) -> None:
        """Refuse when more of the listed controllers belong to another cluster than to this one.
        A minority of those that are remembered is no reason: whoever has lost its disk may have
        founded another cluster, but this one lives."""
        foundings = [peer.founding for peer in peers if peer.founding is not None]
        same = sum(founding == own for founding in foundings) + self._config.is_controller
        others = [founding for founding in foundings if founding != own]
        if len(others) > same and 2 * len(others) > len(self._remembered()):
            raise StreamlogError(
                Reason.CLUSTER_MISMATCH,
                f"the data directory of node {self._identity.node_id} belongs to cluster"
                f" {own.cluster_id:032x}, the controllers to {others[0].cluster_id:032x}",
                {"cluster_id": f"{others[0].cluster_id:032x}"},
            )

    def _report(self, peers: Sequence[Peer]) -> None:
        here = {peer.node_id for peer in peers}
        founder = self._config.controllers[0][0]
        _log.info(
            "cluster_awaited",
            extra={
                "silent": [node_id for node_id, _ in self._others if node_id not in here],
                "blank": sorted(here),
                "note": f"if it is to be formed, node {founder} must be told to bootstrap, and all"
                " must list the same controllers",
            },
        )
