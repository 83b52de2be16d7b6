"""A random life of one Raft group, and the checks that must hold after every step of it.

One seed decides everything: messages are lost, doubled and reordered, disks flush late, replicas
crash (losing what was not flushed), links break, leaders hand over, members change, logs are
trimmed and copied. Then all is healed, and the group must serve.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from replication.raft.effects import CommitAdvanced, ReadReady, Role, RoleChanged
from replication.raft.events import (
    ChangeMembership,
    CommitFlush,
    CopyWanted,
    ElectionTimeout,
    HigherTermSeen,
    InstallFailed,
    LeaderHeard,
    LivePeersChanged,
    ProposeLogStart,
    ReadRequested,
    TransferExpired,
    TransferLeadership,
)
from replication.raft.messages import Message, VoteResponse
from replication.raft.replica import RaftReplica
from replication.types import EntryMeta, Offset, ReplicaId, Term
from tests.scenarios.raft.raft_cluster import SMALL, Cluster, CoreMaker, Node, members


class PropertyViolated(Exception):
    """One of Raft's properties (figure 3.2 of the thesis) does not hold."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise PropertyViolated(what)


class Checker:
    """Raft's properties over a cluster, told of every step."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._leaders: dict[Term, int] = {}
        self._votes: dict[tuple[ReplicaId, Term], ReplicaId] = {}
        self._commits: dict[int, Offset] = {}
        self._seen: dict[int, RaftReplica] = {}
        self.committed: dict[Offset, EntryMeta] = {}
        """Every entry that any replica ever held committed, by base."""
        self._committed_in: dict[Offset, Term] = {}
        """The term in which each of them was committed, which may be above its own."""
        self.committed_end = Offset(0)
        self.reads: dict[int, Offset] = {}
        """Commit that was known anywhere when a read was asked for."""

    def sent(self, message: Message) -> None:
        """A replica votes once in a term."""
        if isinstance(message, VoteResponse) and message.granted and not message.pre_vote:
            given = self._votes.setdefault((message.sender, message.term), message.to)
            require(given == message.to, f"two votes of {message.sender} in term {message.term}")

    def stepped(self, node: Node) -> None:
        """Look at what the node did since the last call."""
        for effect in node.journal:
            if isinstance(effect, RoleChanged) and effect.role is Role.LEADER:
                self._elected(node, effect.term)
            elif isinstance(effect, CommitAdvanced):
                self._commit(node, effect.end)
            elif isinstance(effect, ReadReady):
                require(
                    effect.commit_end >= self.reads[effect.context],
                    f"a read at {effect.commit_end} misses {self.reads[effect.context]}",
                )
        node.journal.clear()
        core = node.core
        if self._seen.get(node.replica_id) is not core:
            self._seen[node.replica_id] = core
            self._commits[node.replica_id] = core.commit_end
        require(core.commit_end >= self._commits[node.replica_id], "the commit went back")
        self._commits[node.replica_id] = core.commit_end
        require(core.end == node.log.end, f"core and log differ: {core.end}, {node.log.end}")

    def _elected(self, node: Node, term: Term) -> None:
        known = self._leaders.setdefault(term, node.replica_id)
        require(known == node.replica_id, f"replicas {known} and {node.replica_id} lead {term}")
        held = {entry.base: entry for entry in node.log.entries}
        for base, entry in self.committed.items():
            if base >= node.log.start.end and self._committed_in[base] < term:
                require(held.get(base) == entry, f"leader of {term} lacks committed {entry}")

    def _commit(self, node: Node, end: Offset) -> None:
        before = self._commits.get(node.replica_id, Offset(0))
        for entry in node.log.entries:
            if before <= entry.base < end:
                known = self.committed.setdefault(entry.base, entry)
                require(known == entry, f"{entry} is committed where {known} was")
                self._committed_in.setdefault(entry.base, node.core.term)
        self._commits[node.replica_id] = max(before, end)
        if end > self.committed_end:
            self.committed_end = end
            self._durable(node, end)

    def _durable(self, node: Node, end: Offset) -> None:
        """What commits first is on the disks of a majority of each configuration."""
        core = node.core
        if core.role is not Role.LEADER:
            return
        last = next(entry for entry in node.log.entries if entry.end == end)

        def holds(n: int) -> bool:
            other = self._cluster.nodes.get(n)
            if other is None:
                return False
            log = other.disk.log
            return log.start.end >= end or last in log.entries

        # A configuration that came into force with this commit is not the one that decided.
        if core.membership_committed and not core.membership.joint:
            voters = [v.replica_id for v in core.membership.voters]
            require(
                2 * sum(map(holds, voters)) > len(voters),
                f"{last} committed without a majority of disks",
            )

    def logs_match(self) -> None:
        """Logs that agree on an entry agree on everything before it (log matching)."""
        nodes = list(self._cluster.nodes.values())
        for i, left in enumerate(nodes):
            for right in nodes[i + 1 :]:
                start = max(left.log.start.end, right.log.start.end)
                ours = [e for e in left.log.entries if e.base >= start]
                theirs = [e for e in right.log.entries if e.base >= start]
                same = [(e.end, e.term) for e in theirs]
                shared = max((k for k, e in enumerate(ours) if (e.end, e.term) in same), default=-1)
                require(
                    ours[: shared + 1] == theirs[: shared + 1],
                    f"logs of {left.replica_id} and {right.replica_id} do not match",
                )


class Life:
    """One seed's worth of trouble."""

    def __init__(self, seed: int, make: CoreMaker = RaftReplica) -> None:
        self.random = random.Random(seed)
        voters = self.random.choice([3, 3, 4, 5])
        everyone = range(1, 6)
        learners = [n for n in everyone if n > voters and self.random.random() < 0.5]
        self.cluster = Cluster(members(range(1, voters + 1), learners), SMALL, make)
        for n in everyone:
            if n not in self.cluster.nodes:
                self.cluster.add(n)
        self.checker = Checker(self.cluster)
        self._blocked: set[tuple[int, int]] = set()
        self._token = 1000
        self._context = 0
        self._link_sizes: dict[tuple[int, int], int] = {}
        self._actions: list[tuple[int, Callable[[Node], None]]] = [
            (240, self._deliver),
            (100, self._fsync),
            (100, self._send),
            (40, self._propose),
            (10, self._change),
            (10, self._install),
            (8, self._heartbeat),
            (8, self._flush),
            (6, self._leader_live),
            (5, self._log_start),
            (5, self._read),
            (4, self._double),
            (4, self._partition),
            (3, self._want_copy),
            (3, self._timeout),
            (2, self._drop),
            (2, self._transfer),
            (2, self._live),
            (2, self._crash),
        ]
        self._weights = [weight for weight, _ in self._actions]

    def run(self, steps: int) -> None:
        """Live, then heal, then serve."""
        nodes = self.cluster.nodes
        for step in range(steps):
            (_, action), *_ = self.random.choices(self._actions, self._weights)
            action(nodes[self.random.choice(sorted(nodes))])
            self._check()
            if step % 50 == 0:
                self.checker.logs_match()
        self._heal()
        self.checker.logs_match()

    def _check(self) -> None:
        for node in self.cluster.nodes.values():
            if node.journal or node.core.commit_end != self.checker.committed_end:
                self.checker.stepped(node)
        for link in self.cluster.network.links.values():
            for message in link:
                self.checker.sent(message)

    # Faults and work --------------------------------------------------------------------------

    def _links_of(self, node: Node) -> list[tuple[int, int]]:
        return [
            key
            for key, link in sorted(self.cluster.network.links.items())
            if link and key[1] == node.replica_id and key not in self._blocked
        ]

    def _deliver(self, node: Node) -> None:
        links = self._links_of(node)
        while not links:
            if not any(self._links_of(other) for other in self.cluster.nodes.values()):
                return
            links = self._links_of(
                self.cluster.nodes[self.random.choice(sorted(self.cluster.nodes))]
            )
        source, target = self.random.choice(links)
        link = self.cluster.network.link(source, target)
        if self.random.random() < 0.1:
            link.rotate(-self.random.randrange(len(link)))
        self.cluster.deliver(source, target)

    def _double(self, node: Node) -> None:
        for key in self._links_of(node)[:1]:
            link = self.cluster.network.link(*key)
            link.append(link[0])

    def _drop(self, node: Node) -> None:
        """A link breaks: what is on it is lost, and the sender may hear of it."""
        source, target = node.replica_id, self.random.choice(sorted(self.cluster.nodes))
        if source != target:
            self.cluster.network.link(source, target).clear()
            node.disconnected(target)

    def _partition(self, node: Node) -> None:
        if self.random.random() < 0.6:
            self._blocked.clear()
            return
        for other in self.cluster.nodes:
            if other != node.replica_id and self.random.random() < 0.7:
                self._blocked |= {(other, node.replica_id), (node.replica_id, other)}

    def _fsync(self, node: Node) -> None:
        if node.pending:
            node.fsync(self.random.randint(1, len(node.pending)))

    def _send(self, node: Node) -> None:
        if node.asked:
            node.send_entries(self.random.choice(sorted(node.asked)))

    def _propose(self, node: Node) -> None:
        if node.core.accepts_proposals:
            self._token += 1
            node.propose(self.random.randint(1, 3), self._token % 97 + 10, self._token)

    def _timeout(self, node: Node) -> None:
        node.leader_live = False
        node.step(ElectionTimeout())

    def _heartbeat(self, node: Node) -> None:
        other = self.cluster.nodes[self.random.choice(sorted(self.cluster.nodes))]
        if other is not node and (node.replica_id, other.replica_id) not in self._blocked:
            self._beat(node, other)

    @staticmethod
    def _beat(leader: Node, other: Node) -> None:
        """A node's heartbeat, for one group."""
        core = leader.core
        if core.role is not Role.LEADER or core.membership.find(other.replica_id) is None:
            return
        if other.core.term > core.term:
            leader.step(HigherTermSeen(other.core.term))
        else:
            other.step(LeaderHeard(leader.replica_id, core.term))

    def _flush(self, node: Node) -> None:
        if node.flush_wanted:
            node.flush_wanted = False
            node.step(CommitFlush())

    def _read(self, node: Node) -> None:
        if node.core.role is Role.LEADER:
            self._context += 1
            self.checker.reads[self._context] = self.checker.committed_end
            node.step(ReadRequested(self._context))

    def _live(self, node: Node) -> None:
        me = node.replica_id
        live = [n for n in self.cluster.nodes if n != me and (n, me) not in self._blocked]
        node.step(LivePeersChanged(frozenset(ReplicaId(n) for n in live)))

    def _leader_live(self, node: Node) -> None:
        node.leader_live = node.core.leader is not None and self.random.random() < 0.5

    def _crash(self, node: Node) -> None:
        """Messages that were on their way may still arrive."""
        node.start()
        for other in self.cluster.nodes.values():
            if other is not node:
                other.installs.pop(node.replica_id, None)
                if other.core.role is Role.LEADER:
                    other.step(InstallFailed(node.replica_id))
                other.disconnected(node.replica_id)

    def _install(self, node: Node) -> None:
        for peer in sorted(node.installs):
            target = self.cluster.nodes[peer]
            if self.random.random() < 0.3 or not target.install_from(node):
                node.installs.pop(peer, None)
                node.step(InstallFailed(peer))

    def _want_copy(self, node: Node) -> None:
        node.step(CopyWanted())

    def _transfer(self, node: Node) -> None:
        if node.core.transfer_target is not None:
            node.step(TransferExpired())
        else:
            node.step(TransferLeadership(ReplicaId(self.random.choice(sorted(self.cluster.nodes)))))

    def _change(self, node: Node) -> None:
        if node.core.role is not Role.LEADER:
            return
        everyone = sorted(self.cluster.nodes)
        now = node.core.membership
        eligible = [r.replica_id for r in now.replicas()]
        voters = self.random.sample(eligible, self.random.randint(1, len(eligible)))
        learners = [n for n in everyone if n not in voters and self.random.random() < 0.6]
        node.step(ChangeMembership(members(voters, learners)))

    def _log_start(self, node: Node) -> None:
        boundaries = [e.end for e in node.log.entries if e.end <= node.core.commit_end]
        if node.core.role is Role.LEADER and boundaries and self.random.random() < 0.4:
            node.step(ProposeLogStart(self.random.choice(boundaries)))

    # Healing ----------------------------------------------------------------------------------

    def _leaders(self) -> list[Node]:
        return [n for n in self.cluster.nodes.values() if n.core.role is Role.LEADER]

    def _heal(self) -> None:
        """With all links up and all disks flushing, a leader is there soon and everybody follows."""
        self._blocked.clear()
        nodes = self.cluster.nodes
        for node in nodes.values():
            node.leader_live = False
            for peer in sorted(nodes):
                if peer != node.replica_id:
                    node.disconnected(peer)
            if node.core.role is Role.LEADER:
                node.step(TransferExpired())
        for _ in range(12):
            self._settle()
            leaders = [n for n in self._leaders() if n.core.established]
            if leaders and self._serves(max(leaders, key=lambda n: n.core.term)):
                return
            if not leaders:
                for node in nodes.values():
                    node.step(ElectionTimeout())
                    self._settle()
                    if any(n.core.established for n in self._leaders()):
                        break
        require(False, "no leader serves after healing")

    def _settle(self) -> None:
        for _ in range(3):
            self.cluster.settle()
            for leader in self._leaders():
                for other in self.cluster.nodes.values():
                    if other is not leader:
                        self._beat(leader, other)
            self._check()
        self.cluster.settle()
        self._check()

    def _serves(self, leader: Node) -> bool:
        """A proposal commits on every member; then there is nothing left to say."""
        leader.propose(1, 50, 0)
        for _ in range(3):
            self._settle()
            leader.step(CommitFlush())
        self._settle()
        core = leader.core
        if core.role is not Role.LEADER or not core.membership_committed:
            return False
        for member in core.membership.replicas():
            other = self.cluster.nodes[member.replica_id]
            if other.core.commit_end != leader.log.end.end or other.log.end != leader.log.end:
                return False
        return not any(node.asked for node in self.cluster.nodes.values())
