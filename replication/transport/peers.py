"""All peers of a node: a link to each that the address book knows, and the streams from them.

Requests leave on this node's streams; answers go back on the stream the request came by. What
can not be sent now is lost, as on any network: Raft asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from replication.errors import violate
from replication.group import AddressBook
from replication.ports import CallFailed, Network, Random, Service, StatusCode
from replication.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    LeadershipEcho,
    LeadershipProbe,
    Message,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from replication.transport.identity import NodeIdentity
from replication.transport.inbound import InboundStreams
from replication.transport.link import PeerLink
from replication.transport.messages import (
    Announcement,
    BulkSender,
    Heartbeat,
    PeerHandler,
)
from replication.transport.settings import TransportSettings
from replication.transport.tasks import TaskOwner
from replication.types import GroupId, NodeId


class Peers:
    """Sends to peers by node id.

    `handler` hears of all that arrives; `on_failure` of a programmer's error in a task.
    """

    def __init__(
        self,
        *,
        identity: NodeIdentity,
        network: Network,
        addresses: AddressBook,
        random: Random,
        settings: TransportSettings,
        handler: PeerHandler,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._identity = identity
        self._network = network
        self._addresses = addresses
        self._random = random
        self._settings = settings
        self._handler = handler
        self._tasks = TaskOwner(on_failure)
        self._links: dict[NodeId, PeerLink] = {}
        self._inbound = InboundStreams(identity, settings, handler, self._tasks, self._heard_from)
        self._running = False

    def services(self) -> Sequence[Service]:
        """What the node must listen to for its peers."""
        return (self._inbound.service(),)

    def start(self) -> None:
        """Connect to every known node, and keep to the address book from then on."""
        self._running = True
        self._inbound.open()
        self.refresh()

    def refresh(self) -> None:
        """Connect to nodes that became known, and let go of those that left."""
        if not self._running:
            return
        known = self._addresses.nodes()
        if len(self._links) > len(known):
            for node_id in [each for each in self._links if each not in known]:
                link = self._links.pop(node_id)
                self._tasks.start(link.stop(), f"let go of node {node_id}")
        for node_id in known:
            if node_id not in self._links and node_id != self._identity.node_id:
                link = PeerLink(
                    node_id=node_id,
                    identity=self._identity,
                    network=self._network,
                    addresses=self._addresses,
                    random=self._random,
                    settings=self._settings,
                    handler=self._handler,
                    tasks=self._tasks,
                )
                self._links[node_id] = link
                link.start()

    async def stop(self) -> None:
        """Close all streams."""
        self._running = False
        self._inbound.close()
        for link in list(self._links.values()):
            await link.stop()
        await self._tasks.stop()

    def connected(self) -> Sequence[NodeId]:
        """Peers whose control stream stands, in the order they became known."""
        return [node_id for node_id, link in self._links.items() if link.control_up]

    def is_connected(self, node_id: NodeId) -> bool:
        """The control stream to the peer stands."""
        link = self._links.get(node_id)
        return link is not None and link.control_up

    def queues(self) -> dict[NodeId, tuple[bool, int]]:
        """By peer: whether its control stream stands, and bytes of entries that wait for it."""
        return {
            node_id: (link.control_up, link.appends.queued_bytes)
            for node_id, link in self._links.items()
        }

    def _heard_from(self, node_id: NodeId) -> None:
        link = self._links.get(node_id)
        if link is None:
            self.refresh()
        else:
            link.poke()

    # -- sending -----------------------------------------------------------------------------

    def send(self, node_id: NodeId, group_id: GroupId, message: Message) -> None:
        """Send a message of a group; AppendEntries here are without entries."""
        match message:
            case VoteRequest() | TimeoutNow() | LeadershipProbe():
                link = self._links.get(node_id)
                if link is not None and link.control_up:
                    link.control.put(group_id, message)
            case AppendEntries():
                if message.entries:
                    violate("entries are sent with their frames", group_id=group_id)
                self.send_entries(node_id, group_id, message, b"")
            case VoteResponse() | LeadershipEcho():
                replies = self._inbound.control_replies(node_id)
                if replies is not None:
                    replies.put(group_id, message)
            case AppendEntriesResponse():
                answers = self._inbound.append_replies(node_id)
                if answers is not None:
                    answers.put(group_id, message)
            case _:
                assert_never(message)

    def send_entries(
        self, node_id: NodeId, group_id: GroupId, message: AppendEntries, frames: bytes
    ) -> None:
        """Send entries; swallowed while the append stream is down."""
        link = self._links.get(node_id)
        if link is not None and link.appends_up:
            link.appends.put(group_id, message, frames)

    def appends_up(self, node_id: NodeId) -> bool:
        """The append stream to the peer stands."""
        link = self._links.get(node_id)
        return link is not None and link.appends_up

    def has_room(self, node_id: NodeId) -> bool:
        """The peer's append queue is below its bound (a stream that is down swallows)."""
        link = self._links.get(node_id)
        return link is None or not link.appends_up or not link.appends.full

    def when_room(self, node_id: NodeId, resume: Callable[[], None]) -> None:
        """Call `resume` once there is room; it is forgotten when the stream breaks."""
        self._links[node_id].appends.when_room(resume)

    def send_heartbeat(self, node_id: NodeId, heartbeat: Heartbeat) -> None:
        """Put a heartbeat before everything else that waits."""
        link = self._links.get(node_id)
        if link is not None and link.control_up:
            link.control.put_heartbeat(heartbeat)

    def announce(self, announcements: Sequence[Announcement], to: NodeId | None = None) -> None:
        """Tell all connected peers, or one of them, who leads."""
        for node_id, link in self._links.items():
            if link.control_up and to in {None, node_id}:
                for announcement in announcements:
                    link.control.announce(announcement)

    async def open_bulk(self, node_id: NodeId) -> BulkSender:
        """A stream for one copy. Raises CallFailed or TimeoutError."""
        link = self._links.get(node_id)
        if link is None:
            raise CallFailed(StatusCode.UNAVAILABLE, f"node {node_id} is not known")
        return await link.open_bulk()
