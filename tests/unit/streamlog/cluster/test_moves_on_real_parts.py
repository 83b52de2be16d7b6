"""Partitions move between nodes, and nodes come and go, on the real replication and storage."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from replication.errors import ReplicationError
from replication.group import Proposal
from replication.multiraft.group import Group
from replication.raft.effects import Role
from replication.types import METADATA_GROUP, NodeId
from streamlog.cluster.metadata.records import Assignment
from streamlog.cluster.metadata.state import NodeCondition, Topic
from streamlog.model.errors import Reason, StreamlogError
from streamlog.storage.entry_codec import BatchEntryCodec
from tests.fakes.cluster_world import Node, World, leaders, new_world


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Of the seed that the test names."""
    with new_world(request.param) as made:
        yield made


def created(world: World, name: str, partitions: int, factor: int = 3) -> Topic:
    """A topic that has all its leaders."""
    node = world.nodes[1]
    topic = node.run(
        node.cluster.create_topic(name, partition_count=partitions, replication_factor=factor)
    )
    world.wait(lambda: None not in leaders(world, topic).values())
    return topic


def now(world: World, topic: Topic) -> Topic:
    """The topic as node 1 knows it."""
    found = world.nodes[1].view.topic(topic.name)
    assert found is not None
    return found


def still(world: World, topic: Topic) -> bool:
    """Nothing of it moves, as every node knows, and every node holds exactly what it shall."""
    for node in world.nodes.values():
        known = node.view.topic(topic.name)
        if known is None or any(partition.moving for partition in known.partitions):
            return False
    return all(node.holds_what_it_must() for node in world.nodes.values())


def move(world: World, topic: Topic, number: int, *nodes: int) -> None:
    """Ask node 1 for it."""
    node = world.nodes[1]
    wish = Assignment(topic.name, number, tuple(NodeId(n) for n in nodes))
    node.run(node.cluster.operations.move_partitions([wish]))


@pytest.mark.parametrize("world", [1, 2], indirect=True)
def test_a_partition_moves_to_other_nodes(world: World) -> None:
    """All of its replicas go, the leader's too; those who are left delete theirs; the voters are
    exactly the new ones, and the preferred one leads."""
    world.boot(1, 2, 3, 4, 5, 6)
    topic = created(world, "a", 2)
    move(world, topic, 0, 4, 5, 6)
    world.wait(lambda: still(world, topic))
    partition = now(world, topic).partitions[0]
    assert partition.node_ids == (4, 5, 6)
    assert not partition.leaving
    for node_id in (4, 5, 6):
        group = world.nodes[node_id].host.groups[partition.group_id]
        assert group.membership == partition.membership()
    for node_id in (1, 2, 3):
        assert partition.group_id not in world.nodes[node_id].host.groups
    world.wait(lambda: leaders(world, topic)[0] == 4)


@pytest.mark.parametrize("world", [11], indirect=True)
def test_who_left_a_partition_knows_its_leader(world: World) -> None:
    """It stays the same, so that nobody announces it again, and clients may ask any node."""
    world.boot(1, 2, 3, 4)
    topic = created(world, "a", 1)
    leader, *others = now(world, topic).partitions[0].node_ids
    world.wait(lambda: leaders(world, topic)[0] == leader)
    newcomer = next(n for n in (1, 2, 3, 4) if n not in {leader, *others})
    move(world, topic, 0, leader, others[0], newcomer)
    world.wait(lambda: still(world, topic))
    group_id = now(world, topic).partitions[0].group_id
    assert group_id not in world.nodes[others[1]].host.groups
    known = world.nodes[others[1]].host.leader_of(group_id)
    assert known is not None
    assert known.node_id == leader


@pytest.mark.parametrize("world", [3], indirect=True)
def test_a_single_replica_moves(world: World) -> None:
    """There is no majority that stays: the leader takes the new one in, hands over, and goes."""
    world.boot(1, 2, 3, 4)
    topic = created(world, "a", 1, factor=1)
    start = now(world, topic).partitions[0].node_ids[0]
    target = 4 if start != 4 else 3
    move(world, topic, 0, target)
    world.wait(lambda: still(world, topic))
    world.wait(lambda: leaders(world, topic)[0] == target)


@pytest.mark.parametrize("world", [4], indirect=True)
def test_the_replication_factor_changes(world: World) -> None:
    """Up and down again; the leaders stay where they are."""
    world.boot(1, 2, 3)
    topic = created(world, "a", 6, factor=1)
    before = leaders(world, topic)
    operations = world.nodes[2].cluster.operations
    for factor in (3, 2, 1):
        wanted = world.nodes[2].run(operations.set_replication_factor("a", factor))
        assert {len(partition.replicas) for partition in wanted.partitions} == {factor}
        world.wait(lambda: still(world, topic))
        assert {len(partition.replicas) for partition in now(world, topic).partitions} == {factor}
        assert leaders(world, topic) == before


@pytest.mark.parametrize("world", [5], indirect=True)
def test_a_move_is_taken_back(world: World) -> None:
    """To the nodes it came from, while it is under way: their replicas are used again."""
    world.boot(1, 2, 3, 4)
    topic = created(world, "a", 1)
    before = now(world, topic).partitions[0]
    world.cut_power(4)
    down = world.nodes.pop(4)
    # Node 4 does not come: the move can not end.
    world.wait(lambda: 4 not in world.nodes[1].host.live_nodes())
    with pytest.raises(StreamlogError, match="seems dead"):
        move(world, topic, 0, 1, 2, 4)
    world.nodes[4] = down
    world.boot(4)
    world.wait(lambda: 4 in world.nodes[1].host.live_nodes())
    move(world, topic, 0, 1, 2, 4)
    world.cut_power(4)
    down = world.nodes.pop(4)
    move(world, topic, 0, *before.node_ids)
    world.wait(lambda: still(world, topic))
    after = now(world, topic).partitions[0]
    assert after.replicas == before.replicas
    assert after.version == before.version + 2
    world.nodes[4] = down
    world.boot(4)
    world.wait(lambda: still(world, topic))


@pytest.mark.parametrize("world", [6], indirect=True)
def test_a_node_is_drained_and_removed(world: World) -> None:
    """It ends up empty, also of what it led, and leaves; it does not come back, and its id is
    refused on a blank disk."""
    world.boot(1, 2, 3, 4)
    topic = created(world, "a", 12)
    assert any(4 in partition.node_ids for partition in topic.partitions)
    node = world.nodes[1]
    operations = node.cluster.operations
    with pytest.raises(StreamlogError, match="drain it first"):
        node.run(operations.remove_node(NodeId(4)))
    node.run(operations.set_condition(NodeId(4), NodeCondition.DRAINING))
    world.wait(lambda: set(world.nodes[4].host.groups) == {METADATA_GROUP})
    world.wait(lambda: still(world, topic))
    node.run(operations.remove_node(NodeId(4)))
    node.run(operations.remove_node(NodeId(4)))
    world.wait(
        lambda: all(
            replica.node_id != 4
            for n in (1, 2, 3)
            for replica in world.nodes[n].host.groups[METADATA_GROUP].membership.replicas()
        )
    )
    world.cut_power(4)
    gone = world.nodes.pop(4)
    again = Node(world, 4, gone.disk)
    world.every.append(again)
    world.wait(lambda: bool(again.failures) or again.starting.done())
    world.wait(lambda: bool(again.failures))
    assert isinstance(again.failures[0], StreamlogError)
    assert again.failures[0].reason is Reason.NODE_ID_TAKEN
    assert "was removed" in again.failures[0].message


@pytest.mark.parametrize("world", [7], indirect=True)
def test_a_dead_node_is_replaced(world: World) -> None:
    """One new node takes over everything a dead one had, its vote on the metadata included."""
    world.boot(1, 2, 3)
    topic = created(world, "a", 6)
    world.cut_power(3)
    del world.nodes[3]
    world.boot(4)
    node = world.nodes[1]
    operations = node.cluster.operations
    world.wait(lambda: 3 not in node.host.live_nodes() and 4 in node.host.live_nodes())
    with pytest.raises(StreamlogError, match="can not replace"):
        node.run(operations.set_condition(NodeId(3), NodeCondition.DRAINING, replacement=NodeId(3)))
    node.run(operations.set_controllers([NodeId(1), NodeId(2), NodeId(4)]))
    node.run(operations.set_condition(NodeId(3), NodeCondition.DRAINING, replacement=NodeId(4)))
    world.wait(
        lambda: all(3 not in partition.node_ids for partition in now(world, topic).partitions)
    )
    world.wait(lambda: still(world, topic))
    after = now(world, topic)
    for before, partition in zip(topic.partitions, after.partitions, strict=True):
        assert partition.node_ids == tuple(4 if n == 3 else n for n in before.node_ids)
    node.run(operations.remove_node(NodeId(3)))
    metadata = world.nodes[4].host.groups[METADATA_GROUP]
    world.wait(lambda: [v.node_id for v in metadata.membership.voters] == [1, 2, 4])


@pytest.mark.parametrize("world", [8], indirect=True)
def test_the_controllers_change_one_after_the_other(world: World) -> None:
    """1 to 3 to 5 to three others: the old leader hands over, and the metadata goes on."""
    world.boot(1, 2, 3, 4, 5, 6)
    for wanted in ([1], [1, 2, 3], [1, 2, 3, 4, 5], [4, 5, 6]):
        node = world.nodes[6]
        node.run(node.cluster.operations.set_controllers([NodeId(n) for n in wanted]))

        def voting(wanted: list[int] = wanted) -> bool:
            memberships = [
                each.host.groups[METADATA_GROUP].membership for each in world.nodes.values()
            ]
            return all(
                not membership.joint
                and sorted(voter.node_id for voter in membership.voters) == wanted
                and len(membership.replicas()) == 6
                for membership in memberships
            )

        world.wait(voting)
        created(world, f"t{len(wanted)}{wanted[0]}", 1)
    leader = world.nodes[1].host.leader_of(METADATA_GROUP)
    assert leader is not None
    assert leader.node_id in {4, 5, 6}


@pytest.mark.parametrize("world", [12], indirect=True)
def test_who_votes_still_is_not_spared(world: World) -> None:
    """What counts is who votes on the metadata, not only who shall: the last voter may not rest
    before others vote, and nobody is removed who does."""
    world.boot(1, 2, 3, 4)
    node = world.nodes[4]
    operations = node.cluster.operations

    def name(*wanted: int) -> None:
        node.run(operations.set_controllers([NodeId(n) for n in wanted]))

    def votes(*wanted: int) -> bool:
        group = world.nodes[1].host.groups[METADATA_GROUP]
        voters = [voter.node_id for voter in group.membership.voters]
        return not group.membership.joint and sorted(voters) == list(wanted)

    name(1)
    world.wait(lambda: votes(1))
    name(1, 2, 3)
    assert votes(1)
    with pytest.raises(StreamlogError, match="1, 2, 3 shall vote, 1 do") as caught:
        node.run(operations.set_condition(NodeId(1), NodeCondition.MAINTENANCE))
    assert caught.value.reason is Reason.MAJORITY_AT_RISK
    world.wait(lambda: votes(1, 2, 3))
    node.run(operations.set_condition(NodeId(1), NodeCondition.MAINTENANCE))
    node.run(operations.set_condition(NodeId(1), NodeCondition.ACTIVE))
    name(1, 2, 4)
    with pytest.raises(StreamlogError, match="node 3 still votes on the metadata") as caught:
        node.run(operations.remove_node(NodeId(3)))
    assert caught.value.reason is Reason.NODE_IN_USE
    world.wait(lambda: votes(1, 2, 4))
    node.run(operations.remove_node(NodeId(3)))


@pytest.mark.parametrize("world", [9], indirect=True)
def test_a_node_in_maintenance_leads_nothing(world: World) -> None:
    """It hands over all of it, gets nothing back, and gets it back afterwards. A second one is
    refused: two of three would rest."""
    world.boot(1, 2, 3)
    topic = created(world, "a", 9)
    placed = {p.number: p.preferred_leader for p in topic.partitions}
    node = world.nodes[1]
    operations = node.cluster.operations
    node.run(operations.set_condition(NodeId(2), NodeCondition.MAINTENANCE))
    world.wait(lambda: 2 not in leaders(world, topic).values())
    world.scheduler.run(world.scheduler.now + 30)
    assert 2 not in leaders(world, topic).values()
    with pytest.raises(StreamlogError) as caught:
        node.run(operations.set_condition(NodeId(3), NodeCondition.MAINTENANCE))
    assert caught.value.reason is Reason.MAJORITY_AT_RISK
    node.run(operations.set_condition(NodeId(2), NodeCondition.ACTIVE))
    world.wait(lambda: leaders(world, topic) == placed)


@pytest.mark.parametrize("world", [10], indirect=True)
def test_a_lost_replica_is_replaced_on_its_node(world: World) -> None:
    """Its files vanished while the node was down: the others take a new one in, of a new id."""
    world.boot(1, 2, 3)
    topic = created(world, "a", 2)
    partition = topic.partitions[0]
    node = world.nodes[3]
    node.run(node.host.remove(partition.group_id))
    world.cut_power(3)
    world.boot(3)

    def renewed() -> bool:
        after = now(world, topic).partitions[0]
        replica = after.replica_on(NodeId(3))
        return replica is not None and replica.replica_id == 4 and not after.moving

    world.wait(renewed)
    world.wait(lambda: still(world, topic))
    assert not world.nodes[3].cluster.lost_replicas


@pytest.mark.parametrize("world", [11], indirect=True)
def test_replicas_are_evened_out_only_where_it_is_wanted(world: World) -> None:
    """A new node stays empty; when the metadata's leader is told to balance, it gets its share, and
    then nothing moves any more."""
    world.boot(1, 2, 3)
    topic = created(world, "a", 12)
    world.boot(4)
    world.scheduler.run(world.scheduler.now + 60)
    assert set(world.nodes[4].host.groups) == {METADATA_GROUP}
    world.balances = True
    for node_id in (1, 2, 3, 4):
        world.cut_power(node_id)
    world.boot(1, 2, 3, 4)

    def even() -> bool:
        state = world.nodes[1].view.state
        loads = [] if state is None else [load.replicas for load in state.loads.values()]
        return loads == [9, 9, 9, 9] and still(world, topic)

    world.wait(even)
    versions = [partition.version for partition in now(world, topic).partitions]
    world.scheduler.run(world.scheduler.now + 60)
    assert [partition.version for partition in now(world, topic).partitions] == versions


def preferred(world: World) -> list[int]:
    """Of how many partitions each node is the preferred leader, as node 1 knows it."""
    state = world.nodes[1].view.state
    return (
        [] if state is None else [state.loads[node_id].leaders for node_id in sorted(state.loads)]
    )


@pytest.mark.parametrize("world", [12], indirect=True)
def test_leaders_are_evened_out_by_themselves(world: World) -> None:
    """Without a copy, and without `balance.replicas`; not while a node is out of service, and
    neither while one is down."""
    world.boot(1, 2, 3)
    topic = created(world, "a", 12)
    operations = world.nodes[1].cluster.operations
    world.nodes[1].run(operations.set_condition(NodeId(3), NodeCondition.MAINTENANCE))
    for number in range(12):
        move(world, topic, number, 1, 2, 3)
    world.scheduler.run(world.scheduler.now + 30)
    assert preferred(world) == [12, 0, 0]
    world.cut_power(2)
    down = world.nodes.pop(2)
    world.nodes[1].run(operations.set_condition(NodeId(3), NodeCondition.ACTIVE))
    world.scheduler.run(world.scheduler.now + 30)
    assert preferred(world) == [12, 0, 0]
    world.nodes[2] = down
    world.boot(2)
    world.wait(lambda: preferred(world) == [4, 4, 4])
    world.wait(lambda: sorted(map(str, leaders(world, topic).values())) == [*"111122223333"])
    assert {partition.version for partition in now(world, topic).partitions} == {0}


@pytest.mark.parametrize("world", [13], indirect=True)
def test_leaders_stay_where_they_are_named(world: World) -> None:
    """Where they shall not be evened out; they still go home."""
    world.balances_leaders = False
    world.boot(1, 2, 3)
    topic = created(world, "a", 6)
    for number in range(6):
        move(world, topic, number, 1, 2, 3)
    world.scheduler.run(world.scheduler.now + 30)
    assert preferred(world) == [6, 0, 0]
    world.wait(lambda: set(leaders(world, topic).values()) == {1})


REFUSALS = {
    Reason.MAJORITY_AT_RISK,
    Reason.INVALID_REQUEST,
    Reason.INVALID_REPLICATION_FACTOR,
    Reason.METADATA_UNAVAILABLE,
    Reason.METADATA_OUTCOME_UNKNOWN,
}


@pytest.mark.parametrize("world", list(range(20, 32)), indirect=True)
def test_moves_survive_power_cuts(world: World) -> None:
    """Random moves, drains and returns while nodes lose power: in the end everything is where it
    shall be, nothing that was committed is gone, and no node complains."""
    world.boot(1, 2, 3, 4, 5)
    rng = random.Random(world.random.random())
    topic = created(world, "a", 4)
    written: dict[int, int] = {}
    for _ in range(25):
        node = world.nodes[rng.choice([1, 2, 3, 4, 5])]
        operations = node.cluster.operations
        number = rng.randrange(4)
        try:
            match rng.choice(["move", "move", "factor", "drain", "back", "cut", "write", "write"]):
                case "move":
                    nodes = rng.sample([1, 2, 3, 4, 5], rng.choice([1, 2, 3, 3, 3]))
                    wish = Assignment("a", number, tuple(NodeId(n) for n in nodes))
                    node.run(operations.move_partitions([wish]))
                case "factor":
                    node.run(operations.set_replication_factor("a", rng.choice([2, 3])))
                case "drain":
                    victim = NodeId(rng.choice([3, 4, 5]))
                    node.run(operations.set_condition(victim, NodeCondition.DRAINING))
                case "back":
                    for drained in (NodeId(3), NodeId(4), NodeId(5)):
                        node.run(operations.set_condition(drained, NodeCondition.ACTIVE))
                case "cut":
                    unlucky = rng.choice([1, 2, 3, 4, 5])
                    world.cut_power(unlucky)
                    world.boot(unlucky)
                case "write":
                    _write(world, topic, number, written)
        except StreamlogError as error:
            if error.reason not in REFUSALS:
                raise
        world.scheduler.run(world.scheduler.now + rng.choice([0.0, 0.05, 0.3, 2.0]))
    world.wait(lambda: still(world, topic))
    world.wait(lambda: None not in leaders(world, topic).values())
    for number, end in written.items():
        partition = now(world, topic).partitions[number]
        for node_id in partition.node_ids:
            group = world.nodes[node_id].host.groups[partition.group_id]
            world.wait(lambda group=group, end=end: group.log.end.end >= end)  # type: ignore[misc]
    for node in world.nodes.values():
        assert not node.failures
        assert not node.loop.failures
        assert not node.cluster.lost_replicas


def _write(world: World, topic: Topic, number: int, written: dict[int, int]) -> None:
    """Commit an entry at whoever leads; what was committed is noted."""
    group_id = topic.partitions[number].group_id
    for node in world.nodes.values():
        group = node.host.groups.get(group_id)
        if group is None or group.role is not Role.LEADER:
            continue
        try:
            proposal = node.run(_propose(group))
        except ReplicationError:
            return
        world.scheduler.run(world.scheduler.now + 2)
        if proposal.committed.done() and proposal.committed.exception() is None:
            written[number] = max(written.get(number, 0), proposal.end)
        return


async def _propose(group: Group) -> Proposal:
    draft = BatchEntryCodec().records(group.creation, [b"x" * 2_000], 0)
    return group.propose(draft)
