"""Which nodes live, and which groups that keeps quiet: one heartbeat per node pair.

Two questions are answered apart, because networks fail one way:
- as a follower: was the leader's node *heard* within the election timeout, in a heartbeat that
  speaks for this group? If not, the group's election is scheduled.
- as a leader: did the follower's node *answer* within it, and does it follow this group? The
  live set decides CheckQuorum.

Both cost nothing for a group while nothing changes. A node whose control stream broke is given
three heartbeat intervals to come back instead of the whole timeout: a killed process is found
quickly, and if only the stream broke, the other replicas refuse the pre-vote.

Time in which this process did not run (a pause, a long step) does not count as silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from replication.multiraft.heartbeat_sets import FollowedSet, LedSet, hash_of
from replication.ports import Clock
from replication.transport.messages import Heartbeat, HeartbeatAnswer, LedGroup
from replication.types import GroupId, NodeId, ReplicaId, Term

_SUSPICION_INTERVALS = 3
_NEVER = float("-inf")


class LivenessListener(Protocol):
    """What liveness tells of groups, and asks."""

    def follow_led(self, node_id: NodeId, led: LedGroup) -> Term | None:
        """A node leads a group: None when the local replica follows it, else its own term (0: no
        such replica)."""
        ...

    def leader_lapsed(self, group_id: GroupId) -> None:
        """The leader's node is silent, or began anew: elect another soon."""
        ...

    def leader_dropped(self, group_id: GroupId) -> None:
        """The leader's node says that it does not lead the group any more."""
        ...

    def live_peers_changed(self, group_id: GroupId) -> None:
        """A group that this node leads gained or lost live peers."""
        ...

    def higher_term_seen(self, group_id: GroupId, term: Term) -> None:
        """A peer's replica is in a later term than the one this node leads in."""
        ...

    def peer_restarted(self, node_id: NodeId, group_id: GroupId) -> None:
        """A node with a replica of a group that this node leads began anew."""
        ...


class _Peer:
    """One other node."""

    __slots__ = (
        "answered_ms",
        "answers",
        "boot_id",
        "followed",
        "heard_ms",
        "hears",
        "led",
        "suspect_ms",
    )

    def __init__(self) -> None:
        self.led = LedSet()
        self.followed = FollowedSet()
        self.heard_ms = _NEVER
        self.answered_ms = _NEVER
        self.suspect_ms: float | None = None
        self.boot_id = 0
        """Of its last answer; 0 before the first."""
        self.answers = False
        """Answered within the timeout, as of the last look."""
        self.hears = False
        """Was heard within the timeout, as of the last look."""


class Liveness:
    """The node's view of the others.

    Invariant: `answers` and `hears` change only together with the calls that tell the groups.
    """

    def __init__(
        self,
        *,
        boot_id: int,
        clock: Clock,
        election_timeout_ms: float,
        heartbeat_interval_ms: float,
        listener: LivenessListener,
        send: Callable[[NodeId, Heartbeat], None],
        before_beat: Callable[[float, float], None],
    ) -> None:
        self._boot_id = boot_id
        self._clock = clock
        self._timeout_ms = election_timeout_ms
        self._interval_ms = heartbeat_interval_ms
        self._listener = listener
        self._send = send
        self._before_beat = before_beat
        self._peers: dict[NodeId, _Peer] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last_beat_ms = 0.0
        self._silent = False

    def start(self) -> None:
        """Begin to beat."""
        self._last_beat_ms = self._clock.monotonic_ms()
        self._beat()

    def stop(self) -> None:
        """Fall silent."""
        self._silent = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- what the groups of this node tell -----------------------------------------------------

    def lead(
        self, group_id: GroupId, term: Term, leader: ReplicaId, nodes: tuple[NodeId, ...]
    ) -> None:
        """This node leads the group towards `nodes`, and towards no other."""
        for node_id in nodes:
            self._peer(node_id).led.add(group_id, term, leader)
        for node_id, peer in self._peers.items():
            if node_id not in nodes:
                peer.led.remove(group_id)

    def unlead(self, group_id: GroupId) -> None:
        """This node does not lead the group."""
        for peer in self._peers.values():
            peer.led.remove(group_id)

    def unfollow(self, group_id: GroupId, node_id: NodeId) -> None:
        """The local replica does not follow that node's any more."""
        self._peer(node_id).followed.unfollow(group_id)

    # -- what the groups of this node ask ------------------------------------------------------

    def heard(self, node_id: NodeId) -> bool:
        """The node was heard within the election timeout, as of now."""
        peer = self._peers.get(node_id)
        return peer is not None and self._hears(peer, self._clock.monotonic_ms())

    def boot_of(self, node_id: NodeId) -> int:
        """Boot id of the process that is heard under the node's id, as of now; 0: none. One whose
        stream ended may be dead, and does not count."""
        peer = self._peers.get(node_id)
        if peer is None or peer.suspect_ms is not None:
            return 0
        return peer.followed.boot_id if self._hears(peer, self._clock.monotonic_ms()) else 0

    def answers(self, node_id: NodeId, group_id: GroupId) -> bool:
        """The node answered within the election timeout and does not refuse the group."""
        peer = self._peers.get(node_id)
        return peer is not None and peer.answers and group_id not in peer.led.refused

    def led_towards(self, node_id: NodeId) -> list[GroupId]:
        """Groups that this node leads and the other has a replica of."""
        peer = self._peers.get(node_id)
        return [] if peer is None else peer.led.groups()

    def live_nodes(self) -> list[NodeId]:
        """Nodes that were heard or that answered within the timeout."""
        now_ms = self._clock.monotonic_ms()
        return [
            node_id
            for node_id, peer in self._peers.items()
            if now_ms - max(peer.heard_ms, peer.answered_ms) < self._timeout_ms
        ]

    # -- what arrives --------------------------------------------------------------------------

    def heartbeat_received(self, node_id: NodeId, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """A peer's heartbeat."""
        peer = self._peer(node_id)
        followed = peer.followed
        if followed.boot_id not in {0, heartbeat.boot_id}:
            self._lapse(peer)
        if not followed.matches(heartbeat):
            groups = heartbeat.groups
            if groups is None or hash_of(groups) != heartbeat.set_hash:
                if heartbeat.set_version != 0:
                    return HeartbeatAnswer(self._boot_id, 0)
                groups = ()
            dropped = followed.agree(heartbeat, groups)
            self._heard(peer)
            for group_id in dropped:
                self._listener.leader_dropped(group_id)
        else:
            self._heard(peer)
        if not followed.refused:
            return followed.answer(self._boot_id, ())
        refusals: list[LedGroup] = []
        for led in list(followed.refused.values()):
            own_term = self._listener.follow_led(node_id, led)
            if own_term is None:
                followed.follow(led)
            else:
                refusals.append(LedGroup(led.group_id, own_term))
        return followed.answer(self._boot_id, refusals)

    def heartbeat_answered(self, node_id: NodeId, answer: HeartbeatAnswer) -> None:
        """The answer to one of ours."""
        peer = self._peer(node_id)
        led = peer.led
        if peer.boot_id not in {0, answer.boot_id}:
            for group_id in led.groups():
                self._listener.peer_restarted(node_id, group_id)
        peer.boot_id = answer.boot_id
        for group_id in led.answered(answer):
            refused = led.refused.get(group_id)
            term = led.term_of(group_id)
            if refused is not None and term is not None and refused > term:
                self._listener.higher_term_seen(group_id, refused)
            else:
                self._listener.live_peers_changed(group_id)

    def peer_answered(self, node_id: NodeId) -> None:
        """The node answered something on the control stream."""
        peer = self._peer(node_id)
        peer.answered_ms = self._clock.monotonic_ms()
        if not peer.answers:
            peer.answers = True
            for group_id in peer.led.groups():
                self._listener.live_peers_changed(group_id)

    def inbound_lost(self, node_id: NodeId) -> None:
        """The node's control stream to us ended."""
        peer = self._peer(node_id)
        if peer.suspect_ms is None:
            peer.suspect_ms = self._clock.monotonic_ms()

    # -- the beat ------------------------------------------------------------------------------

    def _beat(self) -> None:
        now_ms = self._clock.monotonic_ms()
        lateness_ms = now_ms - self._last_beat_ms - self._interval_ms
        if lateness_ms <= self._interval_ms:
            lateness_ms = 0.0
        else:
            for peer in self._peers.values():
                peer.heard_ms += lateness_ms
                peer.answered_ms += lateness_ms
                if peer.suspect_ms is not None:
                    peer.suspect_ms += lateness_ms
        self._last_beat_ms = now_ms
        self._timer = asyncio.get_running_loop().call_later(self._interval_ms / 1_000, self._beat)
        self._before_beat(now_ms, lateness_ms)
        if self._silent:
            return
        for node_id, peer in self._peers.items():
            self._send(node_id, peer.led.heartbeat(self._boot_id))
        for peer in list(self._peers.values()):
            if peer.hears and not self._hears(peer, now_ms):
                self._lapse(peer)
            if peer.answers and now_ms - peer.answered_ms >= self._timeout_ms:
                peer.answers = False
                for group_id in peer.led.groups():
                    self._listener.live_peers_changed(group_id)

    def know(self, node_id: NodeId) -> None:
        """A node that is beaten for from now on."""
        self._peer(node_id)

    def _peer(self, node_id: NodeId) -> _Peer:
        peer = self._peers.get(node_id)
        if peer is None:
            peer = self._peers[node_id] = _Peer()
        return peer

    def _heard(self, peer: _Peer) -> None:
        peer.heard_ms = self._clock.monotonic_ms()
        peer.suspect_ms = None
        peer.hears = True

    def _hears(self, peer: _Peer, now_ms: float) -> bool:
        if now_ms - peer.heard_ms >= self._timeout_ms:
            return False
        if peer.suspect_ms is None:
            return True
        return now_ms - peer.suspect_ms < _SUSPICION_INTERVALS * self._interval_ms

    def _lapse(self, peer: _Peer) -> None:
        """The node is silent or began anew: what it led is led by nobody, as far as is known."""
        peer.hears = False
        for group_id in peer.followed.forget():
            self._listener.leader_lapsed(group_id)
