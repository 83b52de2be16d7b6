"""What operators may ask of the metadata, what comes of it, and what they are refused with."""

from __future__ import annotations

import pytest

from replication.types import DirectoryId, Membership, NodeId, Offset, Replica, ReplicaId
from streamlog.cluster.metadata.command_codec import command_from_proto, command_to_proto
from streamlog.cluster.metadata.machine import MetadataMachine
from streamlog.cluster.metadata.moves import ASSIGNMENTS_MAX
from streamlog.cluster.metadata.records import (
    Assignment,
    Command,
    CreateTopic,
    ReassignPartitions,
    RegisterNode,
    RemoveNode,
    RenewReplica,
    SetControllers,
    SetNodeCondition,
    SetReplicationFactor,
    SettledGroup,
    SettlePartitions,
)
from streamlog.cluster.metadata.relocation import Relocation
from streamlog.cluster.metadata.state import Founding, MetadataState, NodeCondition, Partition
from streamlog.model.errors import Reason, StreamlogError

FOUNDING = Founding(
    77,
    Membership(tuple(Replica(ReplicaId(n), NodeId(n), DirectoryId(100 + n)) for n in (1, 2, 3))),
)
MACHINE = MetadataMachine(FOUNDING)
DRAINING, MAINTENANCE = NodeCondition.DRAINING, NodeCondition.MAINTENANCE


class Bench:
    """Commands one after the other, each by way of its bytes."""

    def __init__(self, nodes: int = 4, racks: int = 0) -> None:
        self.state: MetadataState = MACHINE.initial()
        self.records = 0
        for number in range(1, nodes + 1):
            rack = f"rack-{number % racks}" if racks else ""
            directory = DirectoryId(100 + number)
            self.do(RegisterNode(77, NodeId(number), f"n{number}:1", rack, directory, 1, 5))

    def do(self, command: Command) -> object:
        read = command_from_proto(command_to_proto(command))
        assert read == command
        decision = MACHINE.decide(self.state, read)
        for record in decision.records:
            again = MACHINE.decode(MACHINE.encode(record))
            assert again == record
            self.state = MACHINE.replay(self.state, again, Offset(self.records))
            self.records += 1
        assert MACHINE.restore(MACHINE.snapshot(self.state)) == self.state
        return decision.response

    def refused(self, command: Command) -> StreamlogError:
        before = self.state
        with pytest.raises(StreamlogError) as caught:
            self.do(command)
        assert self.state is before
        return caught.value

    def partition(self, topic: str, number: int = 0) -> Partition:
        return self.state.topics_by_name[topic].partitions[number]

    def partitions(self, topic: str) -> tuple[Partition, ...]:
        return self.state.topics_by_name[topic].partitions

    def settle(self, topic: str, number: int = 0) -> None:
        partition = self.partition(topic, number)
        ids = tuple(sorted(replica.replica_id for replica in partition.replicas))
        group = SettledGroup(partition.topic_id, number, partition.version, ids)
        self.do(SettlePartitions((group,)))


def nodes(*numbers: int) -> tuple[NodeId, ...]:
    return tuple(NodeId(number) for number in numbers)


def move(topic: str, number: int, *to: int, **more: object) -> ReassignPartitions:
    return ReassignPartitions((Assignment(topic, number, nodes(*to)),), **more)  # type: ignore[arg-type]


def test_a_move_keeps_who_stays_and_gives_new_ids_to_who_comes() -> None:
    """Ids are never given twice; who leaves is kept until the leader's report."""
    bench = Bench(5)
    bench.do(CreateTopic("a", 1, 3))
    before = bench.partition("a")
    stay, go = before.node_ids[:2], before.node_ids[2]
    bench.do(move("a", 0, *stay, 5))
    partition = bench.partition("a")
    assert partition.replicas[:2] == before.replicas[:2]
    assert partition.replicas[2].replica_id == 4
    assert [replica.node_id for replica in partition.leaving] == [go]
    assert partition.moving
    assert partition.version == 1
    assert partition.placed_offset(partition.replicas[0]) == before.placed_offsets[0]
    assert partition.placed_offset(partition.replicas[2]) == bench.records - 1
    bench.settle("a")
    settled = bench.partition("a")
    assert not settled.moving
    assert not settled.leaving
    bench.do(move("a", 0, *stay, go))
    assert bench.partition("a").replicas[2].replica_id == 5


def test_a_move_back_uses_what_is_still_there() -> None:
    """The replicas that have not been deleted yet, with their ids and their age."""
    bench = Bench(4)
    bench.do(CreateTopic("a", 1, 3))
    before = bench.partition("a")
    bench.do(move("a", 0, *before.node_ids[:2], 4))
    bench.do(move("a", 0, *before.node_ids))
    partition = bench.partition("a")
    assert partition.replicas == before.replicas
    assert partition.placed_offsets[:3] == before.placed_offsets
    assert [replica.replica_id for replica in partition.leaving] == [4]
    assert partition.version == 2


def test_another_order_is_no_move() -> None:
    """Only the preferred leader changes."""
    bench = Bench(3)
    bench.do(CreateTopic("a", 1, 3))
    first, *rest = bench.partition("a").node_ids
    bench.do(move("a", 0, *rest, first))
    partition = bench.partition("a")
    assert partition.preferred_leader == rest[0]
    assert not partition.moving
    assert partition.version == 0


def test_only_the_newest_wish_is_settled() -> None:
    """Reports of another version, of other replicas, of unknown partitions mean nothing."""
    bench = Bench(4)
    bench.do(CreateTopic("a", 1, 3))
    bench.do(move("a", 0, 1, 2, 4))
    partition = bench.partition("a")
    ids = tuple(sorted(replica.replica_id for replica in partition.replicas))
    topic_id = partition.topic_id
    for group in (
        SettledGroup(topic_id, 0, 0, ids),
        SettledGroup(topic_id, 0, 2, ids),
        SettledGroup(topic_id, 0, 1, ids[:2]),
        SettledGroup(topic_id, 7, 1, ids),
        SettledGroup(99, 0, 1, ids),
    ):
        bench.do(SettlePartitions((group,)))
        assert bench.partition("a").moving
    bench.settle("a")
    assert not bench.partition("a").moving


@pytest.mark.parametrize(
    ("command", "reason", "text"),
    [
        (move("b", 0, 1), Reason.UNKNOWN_TOPIC, "no topic 'b'"),
        (move("a", 7, 1), Reason.UNKNOWN_PARTITION, "0 to 0"),
        (move("a", 0), Reason.INVALID_REQUEST, "1 to 7 different ones"),
        (move("a", 0, 1, 1), Reason.INVALID_REQUEST, "1 to 7 different ones"),
        (move("a", 0, 1, 2, 9), Reason.UNKNOWN_NODE, "no node 9; registered are 1, 2, 3, 4"),
        (move("a", 0, 1, 2, 4, dead_nodes=nodes(4)), Reason.INVALID_REQUEST, "seems dead"),
        (
            move("a", 0, 1, 2, 4, dead_nodes=nodes(2, 3)),
            Reason.MAJORITY_AT_RISK,
            "only 1 of its present nodes 1, 2, 3 live",
        ),
        (move("a", 0, 2, dead_nodes=nodes(2)), Reason.MAJORITY_AT_RISK, "0 of its new nodes"),
        (
            ReassignPartitions((Assignment("a", 0, nodes(1)),) * 2),
            Reason.INVALID_REQUEST,
            "a/0 is named twice",
        ),
        (
            ReassignPartitions((Assignment("a", 0, nodes(1)),) * (ASSIGNMENTS_MAX + 1)),
            Reason.INVALID_REQUEST,
            "at most 1000",
        ),
        (SetReplicationFactor("a", 5), Reason.INVALID_REPLICATION_FACTOR, "1 to 4"),
        (
            SetReplicationFactor("a", 4, dead_nodes=nodes(4)),
            Reason.INVALID_REPLICATION_FACTOR,
            "too few nodes are alive",
        ),
        (SetNodeCondition(NodeId(9), DRAINING), Reason.UNKNOWN_NODE, "no node 9"),
        (
            SetNodeCondition(NodeId(3), DRAINING, NodeId(3)),
            Reason.INVALID_REQUEST,
            "can not replace node 3",
        ),
        (
            SetNodeCondition(NodeId(3), MAINTENANCE, NodeId(4)),
            Reason.INVALID_REQUEST,
            "shall not be drained",
        ),
        (
            SetNodeCondition(NodeId(1), DRAINING, dead_nodes=nodes(2, 3)),
            Reason.MAJORITY_AT_RISK,
            "a/0 has no majority",
        ),
        (
            SetNodeCondition(NodeId(1), MAINTENANCE, dead_nodes=nodes(2)),
            Reason.MAJORITY_AT_RISK,
            "the metadata would have no majority",
        ),
        (
            SetNodeCondition(NodeId(1), MAINTENANCE, voters=nodes(1)),
            Reason.MAJORITY_AT_RISK,
            "0 of 1 nodes that vote on the metadata now would serve (away: 1)",
        ),
        (
            SetNodeCondition(NodeId(1), MAINTENANCE, voters=nodes(1)),
            Reason.MAJORITY_AT_RISK,
            "the controllers change: 1, 2, 3 shall vote, 1 do: wait until that is done",
        ),
        (
            SetNodeCondition(NodeId(1), MAINTENANCE, voters=nodes(1, 2, 3), old_voters=nodes(1)),
            Reason.MAJORITY_AT_RISK,
            "0 of 1 nodes that voted on the metadata before",
        ),
        (
            SetNodeCondition(
                NodeId(4),
                MAINTENANCE,
                dead_nodes=nodes(2),
                voters=nodes(1, 2, 3),
                old_voters=nodes(1, 2, 4),
            ),
            Reason.MAJORITY_AT_RISK,
            "only 1 of 3 nodes that voted on the metadata before",
        ),
        (RemoveNode(NodeId(9)), Reason.UNKNOWN_NODE, "no node 9"),
        (
            RemoveNode(NodeId(4), voters=nodes(1, 2, 4)),
            Reason.NODE_IN_USE,
            "node 4 still votes on the metadata (1, 2, 4 do, 1, 2, 3 shall): wait until",
        ),
        (RemoveNode(NodeId(1)), Reason.NODE_IN_USE, "is a controller"),
        (SetControllers(()), Reason.INVALID_REQUEST, "1 to 7 different"),
        (SetControllers(nodes(1, 1)), Reason.INVALID_REQUEST, "1 to 7 different"),
        (SetControllers(nodes(1, 9)), Reason.UNKNOWN_NODE, "no node 9"),
        (
            SetControllers(nodes(1, 2, 4), dead_nodes=nodes(2, 4)),
            Reason.MAJORITY_AT_RISK,
            "only 1 of the 3 new controllers 1, 2, 4 live",
        ),
    ],
)
def test_refusals_say_what_and_why(command: Command, reason: Reason, text: str) -> None:
    """A topic on nodes 1, 2, 3 of four; nothing is half done."""
    bench = Bench(4)
    bench.do(CreateTopic("a", 1, 3))
    bench.do(move("a", 0, 1, 2, 3))
    bench.settle("a")
    error = bench.refused(command)
    assert error.reason is reason
    assert text in error.message


@pytest.mark.parametrize(
    ("moves", "dead", "node", "stuck"),
    [
        # On 1, 2, 3. To others: the old majority, and the new one.
        ([(4, 5, 6)], (2, 3), 1, True),
        ([(4, 5, 6)], (2,), 1, True),
        ([(4, 5, 6)], (2,), 4, False),
        ([(4, 5, 6)], (5,), 4, True),
        ([(4, 5, 6)], (), 1, False),
        ([(4, 5, 6)], (), 4, False),
        # One of three, whoever rests; the dead one is replaced.
        ([(1, 2, 4)], (), 1, False),
        ([(1, 2, 4)], (), 3, False),
        ([(1, 2, 4)], (), 4, False),
        ([(1, 2, 4)], (3,), 4, False),
        ([(1, 2, 4)], (3,), 1, True),
        # Taken back: the others may have a majority of their own.
        ([(4, 5, 6), (1, 2, 3)], (5,), 4, True),
        ([(1, 4, 5), (1, 2, 3)], (5,), 4, True),
        ([(1, 4, 5), (1, 2, 3)], (), 4, False),
        ([(1, 2, 4), (1, 2, 3)], (), 4, False),
        # Fewer and more replicas.
        ([(1, 2, 3, 4, 5)], (3,), 1, True),
        ([(1, 2, 3, 4, 5)], (4,), 1, False),
        ([(1,)], (3,), 2, True),
        ([(1,)], (), 2, False),
    ],
)
def test_a_node_rests_when_old_and_new_replicas_keep_a_majority(
    moves: list[tuple[int, ...]], dead: tuple[int, ...], node: int, stuck: bool
) -> None:
    """While a partition moves, both may decide; afterwards the new ones do."""
    bench = Bench(6)
    bench.do(SetControllers(nodes(6)))
    bench.do(CreateTopic("a", 1, 3))
    bench.do(move("a", 0, 1, 2, 3))
    bench.settle("a")
    for to in moves:
        bench.do(move("a", 0, *to))
    command = SetNodeCondition(NodeId(node), MAINTENANCE, dead_nodes=nodes(*dead))
    if stuck:
        error = bench.refused(command)
        assert error.reason is Reason.MAJORITY_AT_RISK
        assert "a/0 would be without a majority" in error.message
        assert "a/0 on the way to other nodes: wait" in error.message
    else:
        bench.do(command)
        assert bench.state.nodes[NodeId(node)].condition is MAINTENANCE


def test_a_replica_that_its_node_lost_is_no_part_of_the_old_majority() -> None:
    """Its node lives, and can not vote for it until its successor does."""
    bench = Bench(4)
    bench.do(CreateTopic("a", 1, 3))
    bench.do(move("a", 0, 2, 3, 4))
    bench.settle("a")
    lost = bench.partition("a").replicas[0]
    bench.do(RenewReplica(bench.partition("a").topic_id, 0, lost.replica_id))
    rest = SetNodeCondition(NodeId(4), MAINTENANCE)
    assert bench.refused(rest).reason is Reason.MAJORITY_AT_RISK
    bench.do(SetNodeCondition(NodeId(4), DRAINING, validate_only=True, force=True))
    bench.settle("a")
    bench.do(rest)


def test_what_is_so_already_is_answered_as_done() -> None:
    """Whoever died since. Who only checks a maintenance hears whether the node may be away now."""
    bench = Bench(5)
    bench.do(CreateTopic("a", 1, 3))
    bench.do(move("a", 0, 1, 2, 3))
    bench.settle("a")
    dead = nodes(2, 3)
    bench.do(SetNodeCondition(NodeId(1), MAINTENANCE))
    before = bench.state
    bench.do(SetNodeCondition(NodeId(1), MAINTENANCE, dead_nodes=dead))
    check = SetNodeCondition(NodeId(1), MAINTENANCE, dead_nodes=dead, validate_only=True)
    assert bench.refused(check).reason is Reason.MAJORITY_AT_RISK
    bench.do(SetControllers(nodes(1, 2, 3), dead_nodes=dead))
    assert bench.state is before
    bench.do(SetNodeCondition(NodeId(1), DRAINING, NodeId(4)))
    before = bench.state
    bench.do(SetNodeCondition(NodeId(1), DRAINING, NodeId(4), dead_nodes=nodes(2, 3, 4)))
    assert bench.state is before


def test_after_a_forced_recovery_a_node_is_drained() -> None:
    """What is left behind by the forced move has no majority, and never will."""
    bench = Bench(5)
    bench.do(CreateTopic("a", 1, 3))
    bench.do(move("a", 0, 1, 2, 3))
    bench.settle("a")
    dead = nodes(2, 3)
    bench.do(move("a", 0, 1, 4, force=True, dead_nodes=dead))
    bench.do(SetNodeCondition(NodeId(2), DRAINING, dead_nodes=dead))
    assert bench.state.nodes[NodeId(2)].condition is DRAINING


def test_after_a_forced_recovery_a_move_is_made_by_force() -> None:
    """The metadata thinks that no majority lives; the operator knows better."""
    bench = Bench(4)
    bench.do(CreateTopic("a", 1, 3))
    bench.do(move("a", 0, 1, 2, 3))
    bench.settle("a")
    dead = nodes(2, 3)
    assert bench.refused(move("a", 0, 1, 4, dead_nodes=dead)).reason is Reason.MAJORITY_AT_RISK
    bench.do(move("a", 0, 1, 4, force=True, dead_nodes=dead))
    assert bench.partition("a").node_ids == (1, 4)


def test_after_a_forced_recovery_other_controllers_are_named() -> None:
    """Whoever decides has the majority of those that vote, though most that were named are lost."""
    bench = Bench(5)
    bench.do(SetControllers(nodes(1, 4, 5), dead_nodes=nodes(2, 3)))
    assert bench.state.controllers == nodes(1, 4, 5)


def test_repeated_and_checked_requests_change_nothing() -> None:
    """By their identity, or because they only ask."""
    bench = Bench(4)
    bench.do(CreateTopic("a", 1, 3))
    wish = move("a", 0, 1, 2, 4, request_id=8)
    bench.do(wish)
    bench.do(move("a", 0, 1, 2, 3, request_id=9))
    before = bench.state
    bench.do(wish)
    bench.do(move("a", 0, 4, validate_only=True))
    bench.do(SetReplicationFactor("a", 1, validate_only=True))
    bench.do(SetNodeCondition(NodeId(4), MAINTENANCE, validate_only=True))
    bench.do(SetControllers(nodes(1, 2, 4), validate_only=True))
    assert bench.state is before


def test_a_drained_node_gets_nothing_new_and_is_removed_for_good() -> None:
    """Removal takes an empty node; its id is refused for ever, also on its old disk."""
    bench = Bench(4)
    bench.do(CreateTopic("a", 4, 3))
    bench.do(SetNodeCondition(NodeId(4), DRAINING))
    bench.do(CreateTopic("b", 8, 3))
    assert all(4 not in p.node_ids for p in bench.state.topics_by_name["b"].partitions)
    assert bench.refused(CreateTopic("c", 1, 4)).reason is Reason.INVALID_REPLICATION_FACTOR
    error = bench.refused(RemoveNode(NodeId(4)))
    assert error.reason is Reason.NODE_IN_USE
    assert error.metadata["partitions"] == "3"
    for partition in bench.state.topics_by_name["a"].partitions:
        move_ = Relocation(bench.state).replacement(partition, NodeId(4))
        if 4 in partition.node_ids:
            assert move_ is not None
            bench.do(move("a", partition.number, *move_.node_ids))
            assert bench.refused(RemoveNode(NodeId(4))).reason is Reason.NODE_IN_USE
            bench.settle("a", partition.number)
    bench.do(RemoveNode(NodeId(4)))
    before = bench.state
    bench.do(RemoveNode(NodeId(4)))
    assert bench.state is before
    again = RegisterNode(77, NodeId(4), "n4:1", "", DirectoryId(104), 2, 6)
    error = bench.refused(again)
    assert error.reason is Reason.NODE_ID_TAKEN
    assert "was removed" in error.message
    assert "(it was removed)" in bench.refused(SetNodeCondition(NodeId(4), DRAINING)).message


def test_a_node_keeps_its_condition_over_a_restart() -> None:
    """A registration says nothing about it."""
    bench = Bench(4)
    bench.do(SetNodeCondition(NodeId(4), DRAINING, NodeId(2)))
    bench.do(RegisterNode(77, NodeId(4), "elsewhere:1", "", DirectoryId(104), 2, 6))
    node = bench.state.nodes[NodeId(4)]
    assert (node.address, node.condition, node.replacement) == ("elsewhere:1", DRAINING, 2)


def test_draining_needs_room_elsewhere() -> None:
    """Three replicas do not fit on two nodes."""
    bench = Bench(3)
    bench.do(CreateTopic("a", 1, 3))
    error = bench.refused(SetNodeCondition(NodeId(3), DRAINING))
    assert error.reason is Reason.INVALID_REPLICATION_FACTOR
    assert "only 2 other nodes" in error.message


def test_maintenance_of_one_replica_only_is_forced_or_refused() -> None:
    """What nobody else holds is away as long."""
    bench = Bench(3)
    bench.do(CreateTopic("a", 1, 1))
    holder = bench.partition("a").node_ids[0]
    error = bench.refused(SetNodeCondition(holder, MAINTENANCE))
    assert error.reason is Reason.MAJORITY_AT_RISK
    assert "a/0" in error.message
    bench.do(SetNodeCondition(holder, MAINTENANCE, force=True))
    assert bench.state.nodes[holder].condition is MAINTENANCE


def test_controllers_are_a_wish_of_their_own_version() -> None:
    """The nodes' flags follow, and whoever becomes a member or leaves counts the version up."""
    bench = Bench(5)
    assert bench.state.controllers == (1, 2, 3)
    assert bench.state.members_version == 2  # nodes 4 and 5 came
    bench.do(SetControllers(nodes(5, 4, 1)))
    assert bench.state.controllers == (1, 4, 5)
    assert [n for n, node in sorted(bench.state.nodes.items()) if node.controller] == [1, 4, 5]
    assert bench.state.members_version == 3
    bench.do(RemoveNode(NodeId(2)))
    assert bench.state.members_version == 4


def test_a_lost_replica_gets_a_successor_on_its_node() -> None:
    """Of a new id; a second report of the same loss, or of the only replica, changes nothing."""
    bench = Bench(3)
    bench.do(CreateTopic("a", 1, 3))
    bench.do(CreateTopic("b", 1, 1))
    lost = bench.partition("a").replicas[1]
    report = RenewReplica(bench.partition("a").topic_id, 0, lost.replica_id)
    bench.do(report)
    partition = bench.partition("a")
    assert partition.replicas[1].replica_id == 4
    assert partition.replicas[1].node_id == lost.node_id
    assert partition.leaving == (lost,)
    membership = partition.birth_membership(partition.replicas[1])
    assert membership is not None
    assert membership.learners == (partition.replicas[1],)
    before = bench.state
    bench.do(report)
    bench.do(RenewReplica(bench.partition("b").topic_id, 0, ReplicaId(1)))
    bench.do(RenewReplica(99, 0, ReplicaId(1)))
    assert bench.state is before


def test_a_late_only_replica_is_never_born_blank() -> None:
    """It would take its empty log for the partition's."""
    bench = Bench(3)
    bench.do(CreateTopic("a", 1, 1))
    here = bench.partition("a").node_ids[0]
    other = next(n for n in (1, 2, 3) if n != here)
    bench.do(move("a", 0, other))
    partition = bench.partition("a")
    born = partition.birth_membership(partition.replicas[0])
    assert born is not None
    assert [voter.node_id for voter in born.voters] == [here]
    assert partition.birth_membership(partition.leaving[0]) == Membership(partition.leaving)
    bench.settle("a")
    partition = bench.partition("a")
    assert partition.birth_membership(partition.replicas[0]) is None


def test_founders_begin_the_log_until_a_move_is_completed() -> None:
    """However often the replicas change before. Else each would learn from the others, and none
    could lead."""
    bench = Bench(5)
    bench.do(CreateTopic("a", 1, 3))
    founders = bench.partition("a").replicas
    others = [n for n in range(1, 6) if n not in bench.partition("a").node_ids]
    bench.do(move("a", 0, *others))
    bench.do(
        RenewReplica(bench.partition("a").topic_id, 0, bench.partition("a").replicas[0].replica_id)
    )
    partition = bench.partition("a")
    for founder in founders:
        assert partition.birth_membership(founder) == Membership(tuple(sorted(founders)))
    for later in partition.replicas:
        born = partition.birth_membership(later)
        assert born is not None
        assert born.learners == (later,)
    bench.settle("a")
    assert bench.partition("a").founders == ()


def test_racks_are_kept_when_replicas_move() -> None:
    """Six nodes in three racks: a replacement comes from the rack that would be missing."""
    bench = Bench(6, racks=3)
    bench.do(CreateTopic("a", 12, 3))
    for partition in bench.state.topics_by_name["a"].partitions:
        for gone in partition.node_ids:
            planned = Relocation(bench.state, (gone,)).replacement(partition, gone)
            assert planned is not None
            racks = {bench.state.nodes[node_id].rack for node_id in planned.node_ids}
            assert len(racks) == 3
            assert planned.node_ids.index(
                next(n for n in planned.node_ids if n not in partition.node_ids)
            ) == partition.node_ids.index(gone)


@pytest.mark.parametrize(("before", "after", "racks"), [(3, 4, 0), (3, 5, 0), (2, 6, 0), (3, 6, 3)])
def test_balancing_fills_new_nodes_and_then_rests(before: int, after: int, racks: int) -> None:
    """Replicas and leaderships end within one of each other, in few moves, and a second plan is
    empty."""
    bench = Bench(before, racks)
    factor = min(3, before)
    bench.do(CreateTopic("a", 12, factor))
    bench.do(CreateTopic("b", 5, factor))
    for number in range(before + 1, after + 1):
        rack = f"rack-{number % racks}" if racks else ""
        directory = DirectoryId(100 + number)
        bench.do(RegisterNode(77, NodeId(number), f"n{number}:1", rack, directory, 1, 5))
    total = 17 * factor
    plan = Relocation(bench.state).balance(1_000)
    moved = sum(len(set(planned.node_ids) - set(planned.partition.node_ids)) for planned in plan)
    assert moved <= total - total // after * before
    for planned in plan:
        name = bench.state.topics[planned.partition.topic_id].name
        bench.do(move(name, planned.partition.number, *planned.node_ids))
        bench.settle(name, planned.partition.number)
    loads = [bench.state.loads[NodeId(number)] for number in range(1, after + 1)]
    replicas = [load.replicas for load in loads]
    leaders = [load.leaders for load in loads]
    assert max(replicas) - min(replicas) <= 1
    assert max(leaders) - min(leaders) <= 2
    assert not Relocation(bench.state).balance(1_000)


def test_preferred_leaders_are_evened_without_a_copy() -> None:
    """A node that is preferred by all gives leaderships away, a few at a time, to nodes that hold
    the partitions already; a new node gets nothing; in the end nothing is left to do."""
    bench = Bench(4)
    bench.do(CreateTopic("a", 12, 3))
    for number in range(12):
        bench.do(move("a", number, 1, 2, 3))
        bench.settle("a", number)
    before = bench.partitions("a")
    for _ in range(4):
        plan = Relocation(bench.state).even_leaders(2)
        assert len(plan) == 2
        wanted = tuple(Assignment("a", each.partition.number, each.node_ids) for each in plan)
        bench.do(ReassignPartitions(wanted, order_only=True))
    assert [bench.state.loads[node_id].leaders for node_id in nodes(1, 2, 3)] == [4, 4, 4]
    assert not Relocation(bench.state).even_leaders(2)
    for old, new in zip(before, bench.partitions("a"), strict=True):
        assert sorted(new.replicas) == sorted(old.replicas)
        assert (new.version, new.moving) == (old.version, False)


def test_another_order_overrules_no_other_wish() -> None:
    """It was planned before the wish was known: partitions that move, or have moved, keep it."""
    bench = Bench(5)
    bench.do(CreateTopic("a", 2, 3))
    moving, moved = (partition.node_ids for partition in bench.partitions("a"))
    for number, before in enumerate((moving, moved)):
        new = next(n for n in range(1, 6) if n not in before)
        bench.do(move("a", number, *before[:2], new))
    bench.settle("a", 1)
    wished = bench.partitions("a")
    bench.do(move("a", 0, *reversed(wished[0].node_ids), order_only=True))
    bench.do(move("a", 1, *reversed(moved), order_only=True))
    assert bench.partitions("a") == wished
    bench.do(move("a", 1, *reversed(wished[1].node_ids), order_only=True))
    assert bench.partition("a", 1).replicas == tuple(reversed(wished[1].replicas))


def test_a_smaller_factor_takes_the_dead_and_the_fullest_first() -> None:
    """The preferred leader stays."""
    bench = Bench(4)
    bench.do(CreateTopic("a", 4, 3))
    leaders = [
        partition.preferred_leader for partition in bench.state.topics_by_name["a"].partitions
    ]
    bench.do(SetReplicationFactor("a", 2, dead_nodes=nodes(4)))
    for partition, leader in zip(bench.state.topics_by_name["a"].partitions, leaders, strict=True):
        assert len(partition.replicas) == 2
        if leader != 4:
            assert partition.preferred_leader == leader
            assert 4 not in partition.node_ids
