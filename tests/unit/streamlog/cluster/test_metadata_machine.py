"""The metadata machine: what each command does, and what it is refused with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replication.types import DirectoryId, Membership, NodeId, Offset, Replica, ReplicaId
from streamlog.cluster.metadata import command_codec
from streamlog.cluster.metadata.checks import PARTITIONS_MAX
from streamlog.cluster.metadata.codec import UnreadableMetadata
from streamlog.cluster.metadata.machine import MetadataMachine, ProducerIdBlock
from streamlog.cluster.metadata.records import (
    AddPartitions,
    AllocateProducerIds,
    AlterTopic,
    Command,
    CreateTopic,
    DeleteTopic,
    RegisterNode,
)
from streamlog.cluster.metadata.state import (
    RECENT_REQUESTS_MAX,
    Founding,
    MetadataState,
    Node,
    Topic,
)
from streamlog.cluster.v1 import metadata_pb2
from streamlog.model.errors import Reason, StreamlogError

FOUNDING = Founding(
    77,
    Membership(
        tuple(Replica(ReplicaId(n), NodeId(n), DirectoryId(100 + n)) for n in (1, 2, 3)),
    ),
)
MACHINE = MetadataMachine(FOUNDING)


class Bench:
    """A state to which commands are applied one after the other."""

    def __init__(self, nodes: int = 3) -> None:
        self.state: MetadataState = MACHINE.initial()
        self.offset = 0
        for number in range(1, nodes + 1):
            self.do(registration(number))

    def do(self, command: Command) -> object:
        """Decide, take the way over bytes, replay."""
        decision = MACHINE.decide(self.state, command)
        for record in decision.records:
            read = MACHINE.decode(MACHINE.encode(record))
            assert read == record
            self.state = MACHINE.replay(self.state, read, Offset(self.offset))
            self.offset += 1
        return decision.response

    def refused(self, command: Command) -> StreamlogError:
        before = self.state
        with pytest.raises(StreamlogError) as caught:
            self.do(command)
        assert self.state is before
        return caught.value

    def topic(self, name: str) -> Topic:
        return self.state.topics_by_name[name]


def registration(
    node_id: int, *, directory: int | None = None, cluster: int = 77, address: str = ""
) -> RegisterNode:
    return RegisterNode(
        cluster,
        NodeId(node_id),
        address or f"10.0.0.{node_id}:9092",
        f"rack-{node_id}",
        DirectoryId(100 + node_id if directory is None else directory),
        boot_id=1,
        registered_at_ms=5,
    )


def test_a_lost_replica_of_the_metadata_gets_a_new_id_once() -> None:
    """Of a controller as of others; its place in the members changes with it, and only then."""
    bench = Bench()
    for node_id in (1, 4):
        bench.do(registration(node_id))
        own = bench.state.nodes[NodeId(node_id)].metadata_replica_id
        version, unused = bench.state.members_version, bench.state.next_metadata_replica_id
        lost = replace(registration(node_id), lost_metadata_replica=own)
        for _ in range(2):
            bench.do(lost)
            assert bench.state.nodes[NodeId(node_id)].metadata_replica_id == unused
            assert bench.state.members_version == version + 1
        bench.do(replace(registration(node_id), boot_id=9))
        assert bench.state.nodes[NodeId(node_id)].metadata_replica_id == unused
        assert bench.state.members_version == version + 1


def test_controllers_keep_their_replica_and_others_get_new_ones() -> None:
    """Founding voters register with their founding identity; replica ids are never reused."""
    bench = Bench()
    first, second = bench.do(registration(9)), bench.do(registration(4))
    assert isinstance(first, Node)
    assert isinstance(second, Node)
    assert (first.metadata_replica_id, second.metadata_replica_id) == (4, 5)
    assert not first.controller
    assert bench.state.nodes[NodeId(2)].metadata_replica_id == 2
    assert bench.state.nodes[NodeId(2)].controller


def test_registration_again_changes_address_and_keeps_the_replica() -> None:
    """A node may move; the same registration twice leads to no record."""
    bench = Bench()
    bench.do(registration(9))
    moved = bench.do(registration(9, address="other:1"))
    assert isinstance(moved, Node)
    assert (moved.address, moved.metadata_replica_id) == ("other:1", 4)
    before = bench.offset
    assert bench.do(registration(9, address="other:1")) == moved
    assert bench.offset == before


@pytest.mark.parametrize("node_id", [1, 9])
def test_another_directory_under_a_known_id_is_refused(node_id: int) -> None:
    """A blank disk under an old id does not pass as the old node, registered before or not."""
    bench = Bench(nodes=0)
    if node_id == 9:
        bench.do(registration(9))
    error = bench.refused(registration(node_id, directory=5))
    assert error.reason is Reason.NODE_ID_TAKEN
    assert f"{5:032x}" in error.message


def test_another_cluster_is_refused() -> None:
    """Both identities are named."""
    error = Bench().refused(registration(9, cluster=78))
    assert error.reason is Reason.CLUSTER_MISMATCH
    assert f"{78:032x}" in error.message
    assert f"{77:032x}" in error.message


def test_a_topic_is_created_with_its_partitions() -> None:
    """Ids are new, replicas lie on distinct nodes with their directories, leaders alternate."""
    bench = Bench()
    created = bench.do(CreateTopic("flights", 6, 3, {"retention.ms": "-1"}, request_id=1))
    topic = bench.topic("flights")
    assert isinstance(created, Topic)
    assert (created.topic_id, len(created.partitions)) == (topic.topic_id, 6)
    assert [p.group_id for p in topic.partitions] == [1, 2, 3, 4, 5, 6]
    assert [p.number for p in topic.partitions] == list(range(6))
    assert topic.config.retention_ms == -1
    leaders = sorted(p.preferred_leader for p in topic.partitions)
    assert leaders == [1, 1, 2, 2, 3, 3]
    for partition in topic.partitions:
        assert sorted(r.replica_id for r in partition.replicas) == [1, 2, 3]
        assert all(r.directory_id == 100 + r.node_id for r in partition.replicas)
        assert partition.membership().voters == tuple(sorted(partition.replicas))
        assert partition.placed_offsets == (3, 3, 3)
    assert bench.state.partition_count == 6


def test_a_repeated_request_is_answered_alike_and_a_second_topic_refused() -> None:
    """The request id tells a repetition from a collision."""
    bench = Bench()
    bench.do(CreateTopic("a", 1, 1, request_id=5))
    before = bench.offset
    assert bench.do(CreateTopic("a", 1, 1, request_id=5)) == bench.topic("a")
    assert bench.offset == before
    assert bench.refused(CreateTopic("a", 1, 1, request_id=6)).reason is Reason.TOPIC_EXISTS
    assert bench.refused(CreateTopic("a", 1, 1)).reason is Reason.TOPIC_EXISTS


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\n", "a\x00", "é", "a" * 250])
def test_illegal_names_are_refused(name: str) -> None:
    """The message shows the name escaped, its length, and what is allowed."""
    error = Bench().refused(CreateTopic(name, 1, 1))
    assert error.reason is Reason.INVALID_TOPIC_NAME
    assert "1 to 249" in error.message
    assert error.message.isprintable()
    assert error.message.isascii()


def test_longest_name_is_taken() -> None:
    """249 characters, every kind of them."""
    bench = Bench()
    bench.do(CreateTopic("aZ9._-" + "x" * 243, 1, 1))
    assert len(bench.state.topics) == 1


@pytest.mark.parametrize("count", [0, 10_001, 4_000_000_000])
def test_partition_counts_out_of_range(count: int) -> None:
    """The value and the range are named."""
    error = Bench().refused(CreateTopic("a", count, 1))
    assert error.reason is Reason.INVALID_PARTITION_COUNT
    assert str(count) in error.message
    assert "1 to 10000" in error.message


@pytest.mark.parametrize(("factor", "nodes", "highest"), [(0, 3, 3), (4, 3, 3), (8, 9, 7)])
def test_replication_factors_out_of_range(factor: int, nodes: int, highest: int) -> None:
    """The value, the range and the number of nodes are named."""
    error = Bench(nodes).refused(CreateTopic("a", 1, factor))
    assert error.reason is Reason.INVALID_REPLICATION_FACTOR
    assert f"factor {factor} " in error.message
    assert f"1 to {highest}" in error.message
    assert f"{nodes} nodes" in error.message


def test_the_clusters_partitions_are_bounded() -> None:
    """The eleventh topic of 10,000 partitions does not fit."""
    bench = Bench(1)
    for number in range(PARTITIONS_MAX // 10_000):
        bench.do(CreateTopic(f"t{number}", 10_000, 1))
    error = bench.refused(CreateTopic("more", 1, 1))
    assert error.reason is Reason.INVALID_PARTITION_COUNT
    assert str(PARTITIONS_MAX) in error.message


def test_bad_configuration_is_refused() -> None:
    """Unknown keys and values out of range, at creation and later."""
    bench = Bench()
    error = bench.refused(CreateTopic("a", 1, 1, {"retention.mss": "1"}))
    assert error.reason is Reason.INVALID_CONFIG
    bench.do(CreateTopic("a", 1, 1))
    error = bench.refused(AlterTopic("a", {"segment.bytes": "1"}))
    assert "16384 to 1073741824" in error.message
    assert bench.refused(AlterTopic("a", {}, ("nope",))).reason is Reason.INVALID_CONFIG
    both = AlterTopic("a", {"segment.ms": "5000"}, ("segment.ms",))
    assert bench.refused(both).reason is Reason.INVALID_CONFIG


def test_settings_are_set_and_unset() -> None:
    """Only what differs from the defaults is stored; no change is no record."""
    bench = Bench()
    bench.do(CreateTopic("a", 1, 1, {"retention.ms": "5", "segment.ms": "5000"}))
    bench.do(AlterTopic("a", {"retention.bytes": "10"}, ("segment.ms",)))
    topic = bench.topic("a")
    assert topic.config.overrides() == {"retention.ms": "5", "retention.bytes": "10"}
    before = bench.offset
    bench.do(AlterTopic("a", {"retention.bytes": "10"}))
    assert bench.offset == before


def test_partitions_are_added_behind_the_last() -> None:
    """Groups are new, the routing epoch rises; fewer or as many are refused."""
    bench = Bench()
    bench.do(CreateTopic("a", 2, 3))
    bench.do(CreateTopic("b", 1, 1))
    bench.do(AddPartitions("a", 4))
    topic = bench.topic("a")
    assert [p.group_id for p in topic.partitions] == [1, 2, 4, 5]
    assert [p.number for p in topic.partitions] == [0, 1, 2, 3]
    assert topic.routing_epoch == 2
    for count in (3, 4, 10_001):
        error = bench.refused(AddPartitions("a", count))
        assert error.reason is Reason.INVALID_PARTITION_COUNT
        assert "5 to 10000" in error.message


def test_deletion_is_final() -> None:
    """A topic of the same name afterwards has new ids."""
    bench = Bench()
    bench.do(CreateTopic("a", 2, 1))
    bench.do(DeleteTopic("a"))
    assert bench.state.partition_count == 0
    assert bench.refused(DeleteTopic("a")).reason is Reason.UNKNOWN_TOPIC
    bench.do(CreateTopic("a", 1, 1))
    assert bench.topic("a").topic_id == 2
    assert bench.topic("a").partitions[0].group_id == 3


def test_repeated_changes_are_done_once() -> None:
    """Each change is recognised by its request, also from a snapshot, and also a deletion."""
    bench = Bench()
    bench.do(CreateTopic("a", 1, 1, request_id=1))
    for command in (
        AlterTopic("a", {"retention.ms": "5"}, request_id=2),
        AddPartitions("a", 4, request_id=3),
        DeleteTopic("a", request_id=4),
    ):
        bench.do(command)
        done = bench.offset
        bench.state = MACHINE.restore(MACHINE.snapshot(bench.state))
        answer = bench.do(command)
        assert bench.offset == done
        assert answer == bench.state.topics_by_name.get("a")
    assert bench.refused(DeleteTopic("a", request_id=5)).reason is Reason.UNKNOWN_TOPIC


@pytest.mark.parametrize("made_anew", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        CreateTopic("a", 1, 1, request_id=9),
        AlterTopic("a", {"retention.ms": "5"}, request_id=9),
        AddPartitions("a", 4, request_id=9),
    ],
)
def test_a_repeated_change_does_not_outlive_a_deletion(
    command: CreateTopic | AlterTopic | AddPartitions, made_anew: bool
) -> None:
    """A change whose answer got lost, and whose topic somebody else deleted before it came again:
    the topic does not come back, nor is the change refused as if it had had no effect; nor does it
    touch a topic that was made anew under the name."""
    bench = Bench()
    if not isinstance(command, CreateTopic):
        bench.do(CreateTopic("a", 1, 1, request_id=1))
    bench.do(command)
    bench.do(DeleteTopic("a", request_id=2))
    if made_anew:
        bench.do(CreateTopic("a", 1, 1, request_id=3))
    done = bench.offset
    bench.state = MACHINE.restore(MACHINE.snapshot(bench.state))
    if made_anew and not isinstance(command, CreateTopic):
        bench.do(command)
    else:
        assert bench.refused(command).reason is Reason.METADATA_OUTCOME_UNKNOWN
    assert bench.offset == done
    assert ("a" in bench.state.topics_by_name) is made_anew


def test_memory_of_requests_is_bounded() -> None:
    """Only the newest are kept."""
    bench = Bench()
    bench.do(CreateTopic("a", 1, 1))
    for number in range(1, RECENT_REQUESTS_MAX + 11):
        value = str(number % 2 + 1)
        bench.do(AlterTopic("a", {"retention.ms": value}, request_id=number))
    assert bench.state.recent_requests == tuple(range(11, RECENT_REQUESTS_MAX + 11))


def test_producer_ids_are_given_once() -> None:
    """Blocks follow each other; a size out of range is refused."""
    bench = Bench()
    assert bench.do(AllocateProducerIds(NodeId(1), 1_000)) == ProducerIdBlock(0, 1_000)
    assert bench.do(AllocateProducerIds(NodeId(2), 10)) == ProducerIdBlock(1_000, 10)
    assert bench.refused(AllocateProducerIds(NodeId(1), 0)).reason is Reason.INVALID_REQUEST


def test_checking_only_changes_nothing() -> None:
    """validate_only answers as the change would, without a record."""
    bench = Bench()
    topic = bench.do(CreateTopic("a", 2, 2, validate_only=True))
    assert isinstance(topic, Topic)
    assert len(topic.partitions) == 2
    assert not bench.state.topics
    bench.do(CreateTopic("a", 2, 2))
    before = bench.state
    bench.do(AlterTopic("a", {"retention.ms": "5"}, validate_only=True))
    bench.do(AddPartitions("a", 5, validate_only=True))
    assert bench.state is before


def test_dead_nodes_are_avoided_while_others_suffice() -> None:
    """A replica goes to a node that seems dead only when there are too few others."""
    bench = Bench(4)
    bench.do(CreateTopic("a", 8, 3, avoided_nodes=(NodeId(2),)))
    used = {r.node_id for p in bench.topic("a").partitions for r in p.replicas}
    assert used == {1, 3, 4}
    bench.do(CreateTopic("b", 8, 4, avoided_nodes=(NodeId(2),)))
    assert len(bench.topic("b").partitions[0].replicas) == 4


def test_snapshot_of_another_cluster_is_refused() -> None:
    """A snapshot does not bring a foreign founding in."""
    other = MetadataMachine(Founding(78, FOUNDING.membership))
    with pytest.raises(ValueError, match=f"{77:032x}"):
        other.restore(MACHINE.snapshot(Bench().state))


def test_unknown_records_and_snapshots_are_refused_clearly() -> None:
    """What a newer version wrote stops the replica with a reason."""
    for data in (b"", b"\xff", b"\xa2\x06\x00"):
        with pytest.raises(UnreadableMetadata):
            MACHINE.decode(data)
    newer = metadata_pb2.MetadataSnapshot(format_version=2).SerializeToString()
    with pytest.raises(UnreadableMetadata, match="format version 2"):
        MACHINE.restore(newer)


@pytest.mark.parametrize(
    "command",
    [
        registration(9),
        CreateTopic("a", 2, 3, {"retention.ms": "5"}, 2**64 - 1, True, (NodeId(4),)),
        AlterTopic("a", {"retention.ms": "5"}, ("segment.ms",), True, 2**63),
        AddPartitions("a", 9, True, (NodeId(4),), 8),
        DeleteTopic("a", 9),
        AllocateProducerIds(NodeId(3), 1_000),
    ],
)
def test_commands_survive_the_wire(command: Command) -> None:
    """Every command reads back as it was."""
    data = command_codec.command_to_proto(command).SerializeToString()
    assert (
        command_codec.command_from_proto(metadata_pb2.MetadataCommand.FromString(data)) == command
    )
    assert command_codec.command_from_proto(metadata_pb2.MetadataCommand()) is None
