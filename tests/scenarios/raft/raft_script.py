"""The language of the scenario files: commands, and effects as readable text.

A file is prose (`#` lines) and blocks: command lines, `----`, what happens, an empty line.

| command | meaning |
|---|---|
| `cluster 1,2,3 [learners=4] [append=BYTES] [inflight=BYTES]` | replicas with empty logs |
| `log 1 term:span,... [term=T] [start=OFFSET:TERM]` | give a replica a durable log (all committed nowhere) |
| `add 4` | a replica with an empty log, not a member yet |
| `timeout 1` / `hear 2 leader=1 term=1` / `higher 1 term=5` | what the driver sees of time and leaders |
| `live 1 2,3` / `leader-live 2 yes` | what it sees of nodes |
| `propose 1 [span=1] [size=100]` / `log-start 1 4` | entries |
| `fsync 1 [count]` | finish writes |
| `send 1 2` | carry out the SendEntries |
| `deliver 1 2 [count]` / `drop 1 2 [count]` / `double 1 2` | messages from 1 to 2 |
| `flush 1` / `read 1 7` / `transfer 1 2` / `expire 1` | as the events |
| `change 1 1,2,4 [learners=3]` | ChangeMembership |
| `force 3 3` / `announce 1 by=3` | ForceMembership; LeaderAnnounced, in the other's term |
| `disconnect 1 2` / `crash 1` / `damage 1` | faults; a crash keeps what is fsynced |
| `want-copy 2` | CopyWanted |
| `released 1 4` | LogReleased |
| `install 1 2` / `install-fails 1 2` | carry out BeginInstall |
| `settle [without=3,4]` | everything, quietly, until nothing is left to do |
| `elect 1 [without=3]` | timeout and settle, quietly |
| `status [1,2]` / `messages` | how things are |
"""

from __future__ import annotations

from collections.abc import Callable

from replication.raft.effects import (
    AppendControl,
    AppendProposal,
    AppendReceived,
    BeginInstall,
    CommitAdvanced,
    Effect,
    LeadershipEstablished,
    LogStartCommitted,
    LogStartMoved,
    MembershipChanged,
    MembershipChangeRejected,
    NotifyCommit,
    PersistHardState,
    ReadReady,
    ReadRefused,
    RoleChanged,
    Send,
    SendEntries,
    TruncateLog,
)
from replication.raft.eras import era_of
from replication.raft.events import (
    ChangeMembership,
    CommitFlush,
    CopyWanted,
    ElectionTimeout,
    ForceMembership,
    HigherTermSeen,
    InstallFailed,
    LeaderAnnounced,
    LeaderHeard,
    LivePeersChanged,
    LogReleased,
    ProposeLogStart,
    ReadRequested,
    TransferExpired,
    TransferLeadership,
)
from replication.raft.limits import RaftLimits
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
from replication.types import (
    EntryMeta,
    HardState,
    LogPosition,
    Membership,
    Offset,
    Replica,
    ReplicaId,
    Term,
)
from tests.scenarios.raft.raft_cluster import (
    Cluster,
    DiskImage,
    MemoryLog,
    members,
)


def _ids(members_: tuple[Replica, ...]) -> str:
    return ",".join(str(m.replica_id) for m in members_)


def describe_membership(membership: Membership) -> str:
    """Voters, old voters and learners by id."""
    text = _ids(membership.voters)
    if membership.joint:
        text = f"{text} joint with {_ids(membership.old_voters)}"
    return f"{text} learners {_ids(membership.learners)}" if membership.learners else text


def _t(term: Term) -> str:
    """A term; of a later era as era/replica that began it.elections since."""
    if not era_of(term):
        return f"t{term}"
    return f"t{era_of(term)}/{term >> 16 & 0xFFFF}.{term & 0xFFFF}"


def _at(position: LogPosition) -> str:
    return f"{position.end}@{_t(position.term)}"


def describe_entry(entry: EntryMeta) -> str:
    """[base,end)@term, and what it is."""
    what = ""
    if entry.membership is not None:
        what = f" members({describe_membership(entry.membership)})"
    elif entry.log_start is not None:
        what = f" log-start({entry.log_start})"
    elif entry.control:
        what = " no-op"
    return f"[{entry.base},{entry.end})@{_t(entry.term)}{what}"


def describe_message(message: Message) -> str:
    """One line without newlines."""
    m = message
    way = f"{m.sender}→{m.to} {_t(m.term)}"
    if isinstance(m, VoteRequest):
        kind = "pre-vote?" if m.pre_vote else "vote?"
        return f"{way} {kind} last={_at(m.last)}{' transfer' if m.leadership_transfer else ''}"
    if isinstance(m, VoteResponse):
        kind = "pre-vote" if m.pre_vote else "vote"
        return f"{way} {kind} {'granted' if m.granted else 'refused'}"
    if isinstance(m, AppendEntries):
        entries = " ".join(describe_entry(e) for e in m.entries) or "nothing"
        return f"{way} append after {_at(m.previous)} commit={m.commit_end}: {entries}"
    if isinstance(m, AppendEntriesResponse):
        if m.accepted:
            return f"{way} accepted match={m.match_end}"
        need = " needs-install" if m.needs_install else " wants-copy" if m.wants_copy else ""
        return f"{way} refused {m.refused_end} hint={_at(m.hint)}{need}"
    if isinstance(m, TimeoutNow):
        return f"{way} timeout-now"
    if isinstance(m, LeadershipProbe):
        return f"{way} still-following? context={m.context}"
    assert isinstance(m, LeadershipEcho)
    return f"{way} echo context={m.context}"


def describe(effect: Effect) -> str:
    """An effect in one line."""
    e = effect
    if isinstance(e, PersistHardState):
        return f"w{e.write} persist term={_t(e.state.term)[1:]} vote={e.state.vote or '-'}"
    if isinstance(e, AppendProposal):
        return f"w{e.write} append [{e.base},{e.end})@{_t(e.term)}"
    if isinstance(e, AppendControl):
        body = "no-op"
        if isinstance(e.body, Membership):
            body = f"members({describe_membership(e.body)})"
        elif isinstance(e.body, LogStartMoved):
            body = f"log-start({e.body.start})"
        return f"w{e.write} append [{e.base},{e.base + 1})@{_t(e.term)} {body}"
    if isinstance(e, AppendReceived):
        return f"w{e.write} append received, from entry {e.first}"
    if isinstance(e, TruncateLog):
        return f"w{e.write} truncate to {e.end}"
    if isinstance(e, Send):
        after = f" (after w{e.after})" if e.after else ""
        return f"send {describe_message(e.message)}{after}"
    if isinstance(e, SendEntries):
        return f"send entries to {e.to} after {_at(e.previous)}"
    if isinstance(e, BeginInstall):
        return f"begin install of {e.to}"
    if isinstance(e, CommitAdvanced):
        return f"committed {e.end}"
    if isinstance(e, LogStartCommitted):
        return f"log start committed {e.start}"
    if isinstance(e, NotifyCommit):
        return "wants commit flush"
    if isinstance(e, RoleChanged):
        return f"{e.role.value} {_t(e.term)} leader={e.leader or '-'}"
    if isinstance(e, LeadershipEstablished):
        return f"established {_t(e.term)}"
    if isinstance(e, MembershipChanged):
        state = "committed" if e.committed else "in force"
        return f"members {describe_membership(e.membership)} {state}"
    if isinstance(e, MembershipChangeRejected):
        return f"change rejected: {e.reason}"
    if isinstance(e, ReadReady):
        return f"read {e.context} ready at {e.commit_end}"
    assert isinstance(e, ReadRefused)
    return f"read {e.context} refused"


class Script:
    """Runs the commands of one file."""

    def __init__(self) -> None:
        self._cluster = Cluster(members([1]))
        self._commands: dict[str, Callable[[list[str], dict[str, str]], list[str] | None]] = {
            name.removeprefix("_do_").replace("_", "-"): getattr(self, name)
            for name in dir(self)
            if name.startswith("_do_")
        }

    def run(self, line: str) -> list[str]:
        """Run one command; returns what happened, a line an effect."""
        name, *words = line.split()
        plain = [w for w in words if "=" not in w]
        named = dict(w.split("=", 1) for w in words if "=" in w)
        nodes = self._cluster.nodes
        for node in nodes.values():
            node.journal.clear()
        said = self._commands[name](plain, named)
        if said is not None:
            return said
        lines = [
            f"{n}: {describe(effect)}"
            for n, node in sorted(self._cluster.nodes.items())
            for effect in node.journal
        ]
        return lines or ["nothing"]

    def _do_cluster(self, plain: list[str], named: dict[str, str]) -> list[str]:
        membership = members(_numbers(plain[0]), _numbers(named.get("learners", "")))
        limits = RaftLimits(
            append_bytes_max=int(named.get("append", 1000)),
            inflight_bytes_max=int(named.get("inflight", 2000)),
            pending_reads_max=int(named.get("reads", 4)),
        )
        self._cluster = Cluster(membership, limits)
        return ["ok"]

    def _do_add(self, plain: list[str], _: dict[str, str]) -> list[str]:
        self._cluster.add(int(plain[0]))
        return ["ok"]

    def _do_log(self, plain: list[str], named: dict[str, str]) -> list[str]:
        node = self._cluster.nodes[int(plain[0])]
        start, start_term = (int(part) for part in named.get("start", "0:0").split(":"))
        entries: list[EntryMeta] = []
        edge, term = start, start_term
        for part in plain[1].split(",") if len(plain) > 1 else []:
            term, span = (int(piece) for piece in part.split(":"))
            entries.append(EntryMeta(Offset(edge), Offset(edge + span), Term(term), 100))
            edge += span
        log = MemoryLog(
            LogPosition(Term(start_term), Offset(start)),
            tuple(entries),
            self._cluster.first_membership,
        )
        node.disk = DiskImage(HardState(Term(int(named.get("term", term))), None), log)
        node.start()
        return ["ok"]

    def _do_timeout(self, plain: list[str], _: dict[str, str]) -> None:
        self._cluster.nodes[int(plain[0])].step(ElectionTimeout())

    def _do_hear(self, plain: list[str], named: dict[str, str]) -> None:
        event = LeaderHeard(ReplicaId(int(named["leader"])), Term(int(named["term"])))
        self._cluster.nodes[int(plain[0])].step(event)

    def _do_higher(self, plain: list[str], named: dict[str, str]) -> None:
        self._cluster.nodes[int(plain[0])].step(HigherTermSeen(Term(int(named["term"]))))

    def _do_live(self, plain: list[str], _: dict[str, str]) -> None:
        live = frozenset(ReplicaId(n) for n in _numbers(plain[1] if len(plain) > 1 else ""))
        self._cluster.nodes[int(plain[0])].step(LivePeersChanged(live))

    def _do_leader_live(self, plain: list[str], _: dict[str, str]) -> list[str]:
        for n in _numbers(plain[0]):
            self._cluster.nodes[n].leader_live = plain[1] == "yes"
        return ["ok"]

    def _do_propose(self, plain: list[str], named: dict[str, str]) -> None:
        self._cluster.nodes[int(plain[0])].propose(
            int(named.get("span", 1)), int(named.get("size", 100))
        )

    def _do_log_start(self, plain: list[str], _: dict[str, str]) -> None:
        self._cluster.nodes[int(plain[0])].step(ProposeLogStart(Offset(int(plain[1]))))

    def _do_fsync(self, plain: list[str], _: dict[str, str]) -> None:
        self._cluster.nodes[int(plain[0])].fsync(int(plain[1]) if len(plain) > 1 else None)

    def _do_send(self, plain: list[str], _: dict[str, str]) -> list[str] | None:
        asked = self._cluster.nodes[int(plain[0])].send_entries(int(plain[1]))
        return None if asked else ["nothing was asked for"]

    def _do_deliver(self, plain: list[str], _: dict[str, str]) -> None:
        source, target = int(plain[0]), int(plain[1])
        for _i in range(int(plain[2]) if len(plain) > 2 else 1_000):
            if not self._cluster.deliver(source, target):
                break

    def _do_drop(self, plain: list[str], _: dict[str, str]) -> list[str]:
        link = self._cluster.network.link(int(plain[0]), int(plain[1]))
        count = int(plain[2]) if len(plain) > 2 else len(link)
        return [f"lost {describe_message(link.popleft())}" for _i in range(count)] or ["nothing"]

    def _do_double(self, plain: list[str], _: dict[str, str]) -> list[str]:
        link = self._cluster.network.link(int(plain[0]), int(plain[1]))
        link.append(link[0])
        return [f"doubled {describe_message(link[0])}"]

    def _do_flush(self, plain: list[str], _: dict[str, str]) -> None:
        self._cluster.nodes[int(plain[0])].step(CommitFlush())

    def _do_read(self, plain: list[str], _: dict[str, str]) -> None:
        self._cluster.nodes[int(plain[0])].step(ReadRequested(int(plain[1])))

    def _do_transfer(self, plain: list[str], _: dict[str, str]) -> None:
        self._cluster.nodes[int(plain[0])].step(TransferLeadership(ReplicaId(int(plain[1]))))

    def _do_expire(self, plain: list[str], _: dict[str, str]) -> None:
        self._cluster.nodes[int(plain[0])].step(TransferExpired())

    def _do_change(self, plain: list[str], named: dict[str, str]) -> None:
        target = members(_numbers(plain[1]), _numbers(named.get("learners", "")))
        self._cluster.nodes[int(plain[0])].step(ChangeMembership(target))

    def _do_force(self, plain: list[str], _: dict[str, str]) -> None:
        survivors = tuple(ReplicaId(n) for n in _numbers(plain[1]))
        self._cluster.nodes[int(plain[0])].step(ForceMembership(survivors))

    def _do_announce(self, plain: list[str], named: dict[str, str]) -> None:
        term = self._cluster.nodes[int(named["by"])].core.term
        self._cluster.nodes[int(plain[0])].step(LeaderAnnounced(term))

    def _do_disconnect(self, plain: list[str], _: dict[str, str]) -> None:
        self._cluster.network.link(int(plain[0]), int(plain[1])).clear()
        self._cluster.nodes[int(plain[0])].disconnected(int(plain[1]))

    def _do_crash(self, plain: list[str], _: dict[str, str]) -> None:
        self._cluster.crash(int(plain[0]))

    def _do_damage(self, plain: list[str], _: dict[str, str]) -> None:
        node = self._cluster.nodes[int(plain[0])]
        empty = MemoryLog(LogPosition(Term(0), Offset(0)), (), self._cluster.first_membership)
        node.disk = DiskImage(node.disk.hard_state, empty, needs_install=True)
        self._cluster.crash(int(plain[0]))

    def _do_released(self, plain: list[str], _: dict[str, str]) -> None:
        node, end = self._cluster.nodes[int(plain[0])], Offset(int(plain[1]))
        term = next(entry.term for entry in node.log.entries if entry.base < end <= entry.end)
        node.step(LogReleased(LogPosition(term, end)))

    def _do_want_copy(self, plain: list[str], _: dict[str, str]) -> None:
        self._cluster.nodes[int(plain[0])].step(CopyWanted())

    def _do_install(self, plain: list[str], _: dict[str, str]) -> list[str] | None:
        leader, target = self._cluster.nodes[int(plain[0])], self._cluster.nodes[int(plain[1])]
        if target.replica_id not in leader.installs:
            return ["no install was asked for"]
        return None if target.install_from(leader) else ["the copy is of no use"]

    def _do_install_fails(self, plain: list[str], _: dict[str, str]) -> list[str] | None:
        leader, target = self._cluster.nodes[int(plain[0])], ReplicaId(int(plain[1]))
        if target not in leader.installs:
            return ["no install was asked for"]
        del leader.installs[target]
        leader.step(InstallFailed(target))
        return None

    def _do_settle(self, _: list[str], named: dict[str, str]) -> list[str]:
        self._cluster.settle(_numbers(named.get("without", "")))
        return ["ok"]

    def _do_elect(self, plain: list[str], named: dict[str, str]) -> list[str]:
        node = self._cluster.nodes[int(plain[0])]
        node.step(ElectionTimeout())
        without = _numbers(named.get("without", ""))
        self._cluster.settle(without)
        node.step(CommitFlush())
        self._cluster.settle(without)
        return [f"{node.core.role.value} {_t(node.core.term)}"]

    def _do_status(self, plain: list[str], _: dict[str, str]) -> list[str]:
        wanted = _numbers(plain[0]) if plain else sorted(self._cluster.nodes)
        lines: list[str] = []
        for n in wanted:
            node = self._cluster.nodes[n]
            core, log = node.core, node.log
            entries = " ".join(describe_entry(e) for e in log.entries) or "empty"
            start = f"from {_at(log.start)} " if log.start.end else ""
            lines.append(
                f"{n}: {core.role.value} {_t(core.term)} leader={core.leader or '-'} "
                f"commit={core.commit_end} durable={core.durable_end} {start}{entries}"
            )
        return lines

    def _do_messages(self, _: list[str], __: dict[str, str]) -> list[str]:
        lines = [
            describe_message(message)
            for _, link in sorted(self._cluster.network.links.items())
            for message in link
        ]
        return lines or ["none"]


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]
