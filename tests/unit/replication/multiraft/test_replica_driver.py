"""The interpreter of effects, with a scripted core in place of the real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from replication.errors import NotLeader, StorageFailed
from replication.multiraft.group import Group
from replication.raft.effects import (
    AppendControl,
    AppendProposal,
    CommitAdvanced,
    Effect,
    LeaderNoOp,
    PersistHardState,
    Role,
    RoleChanged,
    Send,
    SendEntries,
    TruncateLog,
)
from replication.raft.events import (
    CommitFlush,
    EntriesSent,
    Event,
    LivePeersChanged,
    PeerDisconnected,
    Propose,
    WriteCompleted,
)
from replication.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Message,
    VoteRequest,
    VoteResponse,
)
from replication.raft.replica import RaftReplica
from replication.types import (
    GroupId,
    HardState,
    LogPosition,
    NodeId,
    Offset,
    ReplicaId,
    Term,
    WriteSequence,
)
from tests.fakes.multiraft_cluster import Cluster, Recorder

ONE = ReplicaId(1)
TWO = ReplicaId(2)
ZERO = LogPosition(Term(0), Offset(0))


class ScriptedCore:
    """Answers each kind of event with what the script says, once; writes down what came."""

    def __init__(self) -> None:
        self.script: dict[type[Event], list[list[Effect]]] = {}
        self.events: list[Event] = []
        self.live: frozenset[ReplicaId] = frozenset()
        self.accepts_proposals = True
        self.membership_committed = True

    def on(self, kind: type[Event], *effects: Effect) -> None:
        self.script.setdefault(kind, []).append(list(effects))

    def step(self, event: Event) -> list[Effect]:
        self.events.append(event)
        answers = self.script.get(type(event), [])
        return answers.pop(0) if answers else []


class Bench:
    """Group 7 on node 1 of three (the others are down), with a scripted core."""

    def __init__(self) -> None:
        self.cluster = Cluster(3)
        self.node = self.cluster.boot(1)
        self.cluster.create(7, [1, 2, 3], on=[1])
        self.group: Group = self.node.group(7)
        self.core = ScriptedCore()
        self.group.core = cast("RaftReplica", self.core)
        self.sent: list[Message] = []
        peers = self.node.host._peers

        def send(node_id: NodeId, group_id: GroupId, message: Message) -> None:
            assert (node_id, group_id) == (2, 7)
            self.sent.append(message)

        peers.send = send  # type: ignore[method-assign]

    def step(self, event: Event, *effects: Effect) -> None:
        """Step an event that the core answers with these effects."""
        self.core.on(type(event), *effects)

        async def on_loop() -> None:
            self.group.step(event)

        self.cluster.run(1, on_loop())

    def lead(self) -> None:
        self.step(
            CommitFlush(),
            PersistHardState(WriteSequence(1), HardState(Term(3), ONE)),
            AppendControl(WriteSequence(2), Offset(0), Term(3), LeaderNoOp()),
            RoleChanged(Role.LEADER, Term(3), ONE),
        )


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.cluster.close()


def test_messages_wait_for_the_write_they_name(bench: Bench) -> None:
    """A message after write 1 leaves when the disk reported it, one after 0 at once."""
    now = VoteRequest(ONE, TWO, Term(3), ZERO, True)
    then = VoteResponse(ONE, TWO, Term(3), True, False)
    bench.node.store.fsync_ms = 50.0
    bench.step(
        CommitFlush(),
        PersistHardState(WriteSequence(1), HardState(Term(3), TWO)),
        Send(then, WriteSequence(1)),
        Send(now, WriteSequence(0)),
    )
    assert bench.sent == [now]
    bench.cluster.sleep(0.1)
    assert bench.sent == [now, then]
    assert bench.core.events[-1] == WriteCompleted(WriteSequence(1))
    assert bench.node.disk.logs[GroupId(7)].hard_state == HardState(Term(3), TWO)


def test_a_proposal_is_framed_appended_and_ends_with_its_commit(bench: Bench) -> None:
    """The core's place for the entry is where it goes; the future ends at the commit, no sooner."""
    bench.lead()
    bench.core.on(Propose, AppendProposal(WriteSequence(3), 1, Offset(1), Offset(3), Term(3)))

    async def propose() -> None:
        proposal = bench.group.propose(bench.cluster.draft(1, 7, b"a", b"b"))
        assert (proposal.base, proposal.end, proposal.term) == (1, 3, 3)
        bench.core.on(CommitFlush, CommitAdvanced(Offset(2)))
        bench.group.step(CommitFlush())
        assert not proposal.committed.done()
        bench.core.on(CommitFlush, CommitAdvanced(Offset(3)))
        bench.group.step(CommitFlush())
        await proposal.committed

    bench.cluster.run(1, propose())
    assert bench.cluster.values(1, 7) == [b"a", b"b"]
    assert bench.node.host._node.budget.uncommitted_bytes == 0


def test_events_of_effects_are_queued_and_observers_told_afterwards(bench: Bench) -> None:
    """SendEntries answers with an event in the midst of the effects: it is stepped after them. An
    observer that proposes finds log and core agreed."""
    bench.lead()
    heard: list[str] = []

    class Proposer(Recorder):
        def committed(self, end: Offset) -> None:
            heard.append(f"committed {end}")
            if end == 1:
                bench.core.on(
                    Propose, AppendProposal(WriteSequence(4), 1, Offset(2), Offset(3), Term(3))
                )
                bench.core.on(Propose, CommitAdvanced(Offset(9)))
                bench.group.propose(bench.cluster.draft(1, 7, b"x"))
                heard.append("proposed")

    bench.group.add_observer(Proposer())
    bench.step(
        CommitFlush(),
        SendEntries(TWO, ZERO, 1_000),
        CommitAdvanced(Offset(1)),
        AppendControl(WriteSequence(3), Offset(1), Term(3), LeaderNoOp()),
    )
    assert heard == ["committed 1", "proposed"]
    kinds = [type(event) for event in bench.core.events]
    assert kinds.index(EntriesSent) < kinds.index(Propose)
    assert bench.group.log.end == LogPosition(Term(3), Offset(3))
    assert bench.group.failed is None


def test_what_the_core_does_not_take_is_not_appended(bench: Bench) -> None:
    """No AppendProposal came back: NotLeader, and the log is as it was."""
    bench.lead()
    with pytest.raises(NotLeader):
        bench.cluster.write(1, 7, b"x")
    assert bench.group.log.end.end == 1


def test_effects_that_can_not_be_stop_the_group_and_tell_the_server(bench: Bench) -> None:
    """A write number out of order: nothing more is carried out, and waiting callers fail."""
    bench.lead()
    bench.step(
        CommitFlush(),
        TruncateLog(WriteSequence(9), Offset(0)),
        CommitAdvanced(Offset(1)),
    )
    assert bench.group.failed is not None
    assert "numbered without gaps" in str(bench.node.failures.pop())
    assert bench.group.commit_end == 0
    assert bench.group.role is Role.FOLLOWER
    with pytest.raises(StorageFailed):
        bench.cluster.write(1, 7, b"x")


def test_a_leader_is_told_which_peers_live(bench: Bench) -> None:
    """The core hears of live peers when that differs from what it was told, and only then."""
    bench.core.live = frozenset({TWO})
    bench.lead()
    assert bench.core.events[-1] == LivePeersChanged(frozenset())


def test_a_probe_is_missed_when_its_stream_breaks_after_a_late_refusal(bench: Bench) -> None:
    """The refusal answers an earlier probe of which there were two, and which the core had heard of:
    what is on its way now is still awaited, and is asked again once the stream stands."""
    bench.lead()
    sender, peers = bench.group.sender, bench.node.host._peers
    peers.appends_up = lambda node_id: True  # type: ignore[method-assign]
    probe = AppendEntries(ONE, TWO, Term(3), ZERO, Offset(0), Offset(0))
    late = AppendEntriesResponse(TWO, ONE, Term(3), False, refused_end=Offset(9))

    async def on_loop() -> None:
        sender.send_empty(probe, NodeId(2))
        sender.answered(late)
        sender.stream_changed(NodeId(2))

    bench.cluster.run(1, on_loop())
    assert bench.core.events[-1] == PeerDisconnected(TWO)
