"""Random lives of one partition's replicas: wishes come and go, leaders act on what they know of them,
which may be old, reports arrive late, nodes create and delete replicas as they learn of it.

The group is modelled by its members alone (each change commits at once); the decisions are the real
ones: of the metadata, of a group's next step, of what is refused, of who may be deleted.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from replication.raft import membership_change
from replication.types import DirectoryId, Membership, NodeId, Offset, Replica, ReplicaId
from streamlog.cluster.membership_steps import Change, Done, HandOver, next_step
from streamlog.cluster.metadata import moves
from streamlog.cluster.metadata.machine import MetadataMachine
from streamlog.cluster.metadata.records import (
    Assignment,
    Command,
    CreateTopic,
    ReassignPartitions,
    RegisterNode,
    RenewReplica,
    SetReplicationFactor,
    SettledGroup,
    SettlePartitions,
)
from streamlog.cluster.metadata.state import Founding, MetadataState, Partition
from streamlog.model.errors import StreamlogError

NODES = [NodeId(number) for number in range(1, 6)]
FOUNDING = Founding(5, Membership((Replica(ReplicaId(1), NodeId(1), DirectoryId(11)),)))
A_NODE = st.sampled_from(NODES)
SOME_NODES = st.lists(A_NODE, min_size=1, max_size=3, unique=True)


class Moves(RuleBasedStateMachine):
    """One partition on five nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = MetadataMachine(FOUNDING)
        self.states: list[MetadataState] = [self.machine.initial()]
        self.known: dict[NodeId, int] = dict.fromkeys(NODES, 0)
        """How many records each node has applied."""
        self.through: dict[NodeId, int] = dict.fromkeys(NODES, 0)
        self.hosted: dict[NodeId, Replica] = {}
        self.born: set[ReplicaId] = set()
        self.reports: list[SettledGroup] = []
        self.members = Membership(())
        self.leader = NodeId(0)

    def do(self, command: Command) -> None:
        try:
            decision = self.machine.decide(self.states[-1], command)
        except StreamlogError:
            return
        for record in decision.records:
            offset = Offset(len(self.states))
            self.states.append(self.machine.replay(self.states[-1], record, offset))

    def partition(self, node_id: NodeId) -> Partition | None:
        """As the node knows it."""
        topic = self.states[self.known[node_id]].topics_by_name.get("a")
        return None if topic is None else topic.partitions[0]

    def current(self) -> Partition:
        return self.states[-1].topics_by_name["a"].partitions[0]

    @initialize(at_once=st.sampled_from([True, True, True, False]))
    def begin(self, *, at_once: bool) -> None:
        """All founders are made at once, or as their nodes learn of them."""
        for node_id in NODES:
            self.do(RegisterNode(5, node_id, f"n{node_id}:1", "", DirectoryId(10 + node_id), 1, 0))
        self.do(CreateTopic("a", 1, 3))
        self.founders = self.current().replicas
        if at_once:
            self.everybody_learns()

    def everybody_learns(self) -> None:
        for node_id in NODES:
            self.known[node_id] = len(self.states) - 1
            self.host(node_id)

    # Wishes.

    @rule(nodes=SOME_NODES)
    def wish(self, nodes: list[NodeId]) -> None:
        self.do(ReassignPartitions((Assignment("a", 0, tuple(nodes)),)))

    @rule(factor=st.integers(1, 4))
    def resize(self, factor: int) -> None:
        self.do(SetReplicationFactor("a", factor))

    # Nodes.

    @rule(node_id=A_NODE, records=st.integers(1, 4))
    def learn(self, node_id: NodeId, records: int) -> None:
        self.known[node_id] = min(len(self.states) - 1, self.known[node_id] + records)

    @rule(node_id=A_NODE)
    def host(self, node_id: NodeId) -> None:
        """What `LocalReplicas` does in a round."""
        partition = self.partition(node_id)
        if partition is None:
            return
        hosted = self.hosted.get(node_id)
        kept = (*partition.replicas, *partition.leaving)
        given_up = hosted is not None and hosted.replica_id < partition.next_replica_id
        if given_up and hosted not in kept:
            del self.hosted[node_id]
        here = [each for each in kept if each.node_id == node_id]
        newest = max(here, key=lambda each: each.replica_id, default=None)
        if newest is not None and self.hosted.get(node_id) not in kept:
            if partition.placed_offset(newest) < self.through[node_id]:
                if newest in partition.replicas:
                    self.do(RenewReplica(partition.topic_id, 0, newest.replica_id))
            elif newest in partition.replicas or partition.is_founder(newest):
                assert newest.replica_id not in self.born, "a replica forgot what it promised"
                self.born.add(newest.replica_id)
                self.hosted[node_id] = newest
                self.found(partition.birth_membership(newest))
        self.through[node_id] = self.known[node_id] + 1

    # The group.

    def found(self, membership: Membership | None) -> None:
        """It begins when most of the voters that one of its replicas is born with are there."""
        assert membership is not None
        voters = membership.voters
        able = [voter for voter in voters if self.is_hosted(voter)]
        if not self.members.voters and not membership.learners and len(able) > len(voters) // 2:
            assert sorted(voters) == sorted(self.founders)
            self.members, self.leader = membership, able[0].node_id

    @precondition(lambda self: self.members.voters)
    @rule()
    def step(self) -> None:
        """What `PartitionMoves` does on the leader's node, with what that one knows."""
        partition = self.partition(self.leader)
        assert partition is not None
        if not partition.moving:
            return
        target = partition.membership()
        own = self.hosted[self.leader].replica_id
        step = next_step(self.members, target, own, self.is_hosted)
        match step:
            case Change(to):
                following = [each.replica_id for each in self.hosted.values()]
                if membership_change.refusal(self.members, to, following) is None:
                    self.members = to
            case HandOver(to):
                self.leader = to[0].node_id
            case Done():
                ids = tuple(each.replica_id for each in target.voters)
                self.reports.append(SettledGroup(partition.topic_id, 0, target.version, ids))
            case _:
                pass

    @precondition(lambda self: self.members.voters)
    @rule(data=st.data())
    def elect(self, data: st.DataObject) -> None:
        able = [voter for voter in self.members.voters if self.is_hosted(voter)]
        self.leader = data.draw(st.sampled_from(able)).node_id

    @precondition(lambda self: self.reports)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        """Late, twice, or out of order."""
        self.do(SettlePartitions((data.draw(st.sampled_from(self.reports)),)))

    def is_hosted(self, replica: Replica) -> bool:
        return self.hosted.get(replica.node_id) == replica

    @invariant()
    def no_voter_was_deleted(self) -> None:
        for voter in self.members.voters:
            was_born = voter.replica_id in self.born
            assert self.is_hosted(voter) or not was_born, f"{voter} votes and is gone"

    @invariant()
    def moving_is_what_the_topics_say(self) -> None:
        state = self.states[-1]
        every = [p for topic in state.topics.values() for p in topic.partitions if p.moving]
        assert {p.group_id: p for p in every} == dict(state.moving)
        data = self.machine.snapshot(state)
        assert self.machine.restore(data) == state

    def teardown(self) -> None:
        """When everybody hears of everything, it comes to what is wanted."""
        if not self.states[-1].topics:
            return
        for _ in range(30):
            self.everybody_learns()
            able = [voter.node_id for voter in self.members.voters if self.is_hosted(voter)]
            assert able, "nobody can lead"
            if self.leader not in able:
                self.leader = able[0]
            self.step()
            if self.reports:
                self.do(SettlePartitions((self.reports[-1],)))
            self.no_voter_was_deleted()
        wanted = self.current()
        assert not wanted.moving
        assert not wanted.leaving
        assert sorted(self.hosted.values()) == sorted(wanted.replicas)
        assert self.members == wanted.membership()


TestMoves = Moves.TestCase
TestMoves.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def is_caught() -> bool:
    """Random lives find the planted bug."""
    try:
        run_state_machine_as_test(
            Moves,
            settings=settings(
                max_examples=3_000,
                stateful_step_count=60,
                deadline=None,
                database=None,
                phases=[Phase.generate],
            ),
        )
    except AssertionError:
        return True
    return False


def test_an_older_wish_that_undoes_a_newer_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the group takes changes of any version. A leader that knows an old wish brings back
    a replica that is deleted once the newer wish is settled."""
    original = membership_change.refusal

    def careless(current: Membership, target: Membership, following: list[ReplicaId]) -> str | None:
        again = Membership(target.voters, (), target.learners, version=current.version)
        return original(current, again, following)

    monkeypatch.setattr(membership_change, "refusal", careless)
    assert is_caught()


def a_late_report() -> None:
    """There and back and there again; the report of the first move comes during the third one.
    Random lives meet it too, but rarely."""
    life = Moves()
    life.begin(at_once=True)
    here = list(life.current().node_ids)
    there = [*here[:2], next(node_id for node_id in NODES if node_id not in here)]
    for nodes in (there, here):
        life.wish(nodes=nodes)
        for _ in range(10):
            life.everybody_learns()
            life.step()
    life.wish(nodes=there)
    life.do(SettlePartitions((life.reports[0],)))
    life.everybody_learns()
    life.no_voter_was_deleted()


def test_a_late_report_that_is_believed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a report settles whatever wish names the same replicas, of any version."""
    original = moves.settle_partitions

    def careless(state: MetadataState, command: SettlePartitions) -> object:
        groups = tuple(
            SettledGroup(
                group.topic_id,
                group.partition,
                state.topics[group.topic_id].partitions[group.partition].version,
                group.replica_ids,
            )
            for group in command.groups
        )
        return original(state, SettlePartitions(groups))

    a_late_report()
    monkeypatch.setattr(moves, "settle_partitions", careless)
    with pytest.raises(AssertionError, match="votes and is gone"):
        a_late_report()


def test_founders_that_learn_from_each_other_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a founder is born as one only while the replicas were never changed. Moved before
    most of its founders are there, a partition has nobody who can lead."""

    def careless(partition: Partition, replica: Replica) -> bool:
        return partition.version == 0

    monkeypatch.setattr(Partition, "is_founder", careless)
    assert is_caught()
