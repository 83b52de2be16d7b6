"""Random lives of the metadata against a dumb model, with snapshots and double replays between."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from replication.types import DirectoryId, Membership, NodeId, Offset, Replica, ReplicaId
from streamlog.cluster.metadata.machine import MetadataMachine, ProducerIdBlock
from streamlog.cluster.metadata.records import (
    AddPartitions,
    AllocateProducerIds,
    AlterTopic,
    Command,
    CreateTopic,
    DeleteTopic,
    Record,
    RegisterNode,
)
from streamlog.cluster.metadata.state import Founding, changed_loads
from streamlog.model.errors import StreamlogError

FOUNDING = Founding(5, Membership((Replica(ReplicaId(1), NodeId(1), DirectoryId(11)),)))
NAMES = st.sampled_from(["a", "b", "c"])


class MetadataLives(RuleBasedStateMachine):
    """Applies commands to the machine and to dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = MetadataMachine(FOUNDING)
        self.state = self.machine.initial()
        self.offset = 0
        self.log: list[tuple[Record, int]] = []
        self.nodes: dict[int, int] = {}
        self.topics: dict[str, tuple[int, dict[str, str]]] = {}
        self.group_ids: set[int] = set()
        self.producer_end = 0

    def do(self, command: Command) -> object | None:
        """The response, or None when it was refused."""
        try:
            decision = self.machine.decide(self.state, command)
        except StreamlogError:
            return None
        for record in decision.records:
            read = self.machine.decode(self.machine.encode(record))
            self.log.append((read, self.offset))
            self.state = self.machine.replay(self.state, read, Offset(self.offset))
            self.offset += 1
        return decision.response

    @rule(node_id=st.integers(1, 5), directory=st.integers(11, 12))
    def register(self, node_id: int, directory: int) -> None:
        node = RegisterNode(
            5, NodeId(node_id), f"n{node_id}:1", "", DirectoryId(directory), self.offset, 0
        )
        known = self.nodes.get(node_id, 11 if node_id == 1 else directory)
        assert (self.do(node) is not None) == (known == directory)
        if known == directory:
            self.nodes[node_id] = directory

    @rule(name=NAMES, count=st.integers(0, 4), factor=st.integers(0, 4))
    def create(self, name: str, count: int, factor: int) -> None:
        allowed = name not in self.topics and count > 0 and 1 <= factor <= min(7, len(self.nodes))
        assert (self.do(CreateTopic(name, count, factor)) is not None) == allowed
        if allowed:
            self.topics[name] = (count, {})
            self.take_groups(name, 0)

    @rule(name=NAMES, count=st.integers(0, 8))
    def add(self, name: str, count: int) -> None:
        before = self.topics.get(name)
        allowed = before is not None and count > before[0]
        assert (self.do(AddPartitions(name, count)) is not None) == allowed
        if before is not None and count > before[0]:
            self.topics[name] = (count, before[1])
            self.take_groups(name, before[0])

    def take_groups(self, name: str, first: int) -> None:
        """Group ids are new, ever."""
        for partition in self.state.topics_by_name[name].partitions[first:]:
            assert partition.group_id not in self.group_ids
            assert set(partition.placed_offsets) == {self.offset - 1}
            self.group_ids.add(partition.group_id)

    @rule(name=NAMES, value=st.none() | st.integers(1, 3))
    def alter(self, name: str, value: int | None) -> None:
        key = "retention.ms"
        command = AlterTopic(
            name, {} if value is None else {key: str(value)}, () if value else (key,)
        )
        assert (self.do(command) is not None) == (name in self.topics)
        if name in self.topics:
            config = {} if value is None else {key: str(value)}
            self.topics[name] = (self.topics[name][0], config)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        before = self.offset
        self.do(DeleteTopic(name))
        assert (self.offset > before) == (self.topics.pop(name, None) is not None)

    @rule(count=st.integers(1, 1_000))
    def allocate(self, count: int) -> None:
        block = self.do(AllocateProducerIds(NodeId(1), count))
        assert block == ProducerIdBlock(self.producer_end, count)
        self.producer_end += count

    @rule()
    def restart_from_snapshot(self) -> None:
        data = self.machine.snapshot(self.state)
        restored = self.machine.restore(data)
        assert restored == self.state
        assert self.machine.snapshot(restored) == data
        self.state = restored

    @rule()
    def replay_the_whole_log(self) -> None:
        state = self.machine.initial()
        for record, offset in self.log:
            state = self.machine.replay(state, record, Offset(offset))
        assert state == self.state

    @invariant()
    def equals_the_model(self) -> None:
        state = self.state
        assert {n: d.directory_id for n, d in state.nodes.items()} == self.nodes
        assert {
            name: (len(topic.partitions), topic.config.overrides())
            for name, topic in state.topics_by_name.items()
        } == self.topics
        assert {t.name: t for t in state.topics.values()} == dict(state.topics_by_name)
        assert state.partition_count == sum(count for count, _ in self.topics.values())
        every = [p for topic in state.topics.values() for p in topic.partitions]
        assert dict(state.loads) == changed_loads({}, every)
        replica_ids = [node.metadata_replica_id for node in state.nodes.values()]
        assert len(set(replica_ids)) == len(replica_ids)
        for topic in state.topics.values():
            for partition in topic.partitions:
                nodes = [replica.node_id for replica in partition.replicas]
                assert len(set(nodes)) == len(nodes)


MetadataLives.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestMetadataLives = MetadataLives.TestCase
