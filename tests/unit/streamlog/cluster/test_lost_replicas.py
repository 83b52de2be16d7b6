"""Part of a node's journal rots: its replicas may have forgotten votes, and are replaced by others
of new ids; on the real replication and storage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jepsen_like.sim.faults.journal_proof import proven_flushes
from replication.errors import RecoveryRefused
from replication.group import ReplicatedGroup
from replication.multiraft.group import Group
from replication.raft.eras import era_of
from replication.raft.messages import VoteRequest
from replication.types import METADATA_GROUP, GroupId, LogPosition, NodeId, Offset, ReplicaId, Term
from streamlog.cluster.metadata.records import Assignment
from streamlog.cluster.metadata.state import Partition, Topic
from streamlog.storage.entry_codec import BatchEntryCodec
from tests.fakes.cluster_world import Node, World, leaders, new_world


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Of the seed that the test names."""
    with new_world(request.param) as made:
        yield made


def created(world: World, factor: int) -> Topic:
    """A topic of one partition that has its leader."""
    node = world.nodes[1]
    create = node.cluster.create_topic("a", partition_count=1, replication_factor=factor)
    topic = node.run(create)
    world.wait(lambda: None not in leaders(world, topic).values())
    return topic


def partition_now(world: World, node_id: int = 1) -> Partition:
    """As a node knows it."""
    topic = world.nodes[node_id].view.topic("a")
    assert topic is not None
    return topic.partitions[0]


def write(world: World, topic: Topic, values: list[bytes]) -> None:
    """Have them committed, each in an entry of its own."""
    leader = leaders(world, topic)[0]
    assert leader is not None
    node = world.nodes[leader]
    group = node.host.groups[topic.partitions[0].group_id]

    async def proposed() -> None:
        for value in values:
            await group.propose(BatchEntryCodec().records(group.creation, [value], 0)).committed

    node.run(proposed())


def values_of(node: Node, group: ReplicatedGroup) -> list[bytes]:
    """What is committed there."""

    async def read() -> list[bytes]:
        found: list[bytes] = []
        at = group.log.start.end
        while at < group.commit_end:
            frames = await group.log.read(at, group.commit_end, 1 << 20)
            entries, _ = BatchEntryCodec().split(group.creation, frames)
            found += [value for _, value in BatchEntryCodec().values(frames)]
            at = entries[-1].end
        return found

    return node.run(read())


def rot(world: World, *node_ids: int) -> None:
    """The power fails, and the newest flush that is proven to have been durable is zeros."""
    world.scheduler.run(world.scheduler.now + 1)  # marks follow when nothing is written
    for node_id in node_ids:
        world.cut_power(node_id)
        disk = world.nodes[node_id].disk
        place = proven_flushes(disk)[-2]
        inode = disk.volume.file(place.path)
        for content in (inode.content, inode.durable):
            content.write(place.start, bytes(place.end - place.start))


def begin(world: World, node_id: int) -> Node:
    """Start a node that may have to wait."""
    node = Node(world, node_id, world.nodes[node_id].disk)
    world.nodes[node_id] = node
    world.every.append(node)
    world.wait(lambda: METADATA_GROUP in node.host.groups if hasattr(node, "host") else False)
    return node


def whole(world: World, group_id: GroupId) -> bool:
    """Three voters have the same log, and nothing of it moves."""
    partition = partition_now(world)
    groups = [node.host.groups.get(group_id) for node in world.nodes.values()]
    return (
        not partition.moving
        and all(
            group is not None
            and not group.log.needs_install
            and group.membership == partition.membership()
            for group in groups
        )
        and len({group.log.end for group in groups if group is not None}) == 1
    )


@pytest.mark.parametrize("world", [1, 2], indirect=True)
def test_all_replicas_of_a_damaged_journal_are_replaced(world: World) -> None:
    """Also that of the metadata, on which the node votes. They come back under new ids, with all
    records, and the lost ones are gone; until then none of them gave a vote."""
    world.boot(1, 2, 3)
    topic = created(world, 3)
    group_id = topic.partitions[0].group_id
    values = [b"value %d" % number for number in range(20)]
    write(world, topic, values)
    rot(world, 3)
    node = begin(world, 3)
    for each in (METADATA_GROUP, group_id):
        group = node.host.groups[each]
        assert isinstance(group, Group)
        if group.replica_id != ReplicaId(3):
            continue  # it was replaced already
        assert group.log.lost
        request = VoteRequest(
            ReplicaId(1), ReplicaId(3), Term(99), LogPosition(Term(99), Offset(99)), False, False
        )
        assert not group.log.hard_state.term > Term(98)
        node.loop.call_soon(group.receive, NodeId(1), request)
        world.scheduler.run(world.scheduler.now + 0.001)
        assert group.core.vote is None
    world.wait(lambda: node.starting.done() and whole(world, group_id))
    node.starting.result()
    partition = partition_now(world)
    assert [replica.replica_id for replica in partition.membership().voters] == [1, 2, 4]
    assert values_of(node, node.host.groups[group_id]) == values
    world.wait(
        lambda: all(
            [v.replica_id for v in n.host.groups[METADATA_GROUP].membership.voters] == [1, 2, 4]
            for n in world.nodes.values()
        )
    )
    assert not node.cluster.lost_replicas
    assert not node.failures


@pytest.mark.parametrize("world", [3], indirect=True)
def test_an_only_replica_waits_for_an_operator(world: World) -> None:
    """Nobody else has its records: it serves nothing, says so, and keeps what is left; when it is
    forced on, what was written before the damage is there, and it is lost no more."""
    world.boot(1, 2, 3)
    topic = created(world, 1)
    (home,) = topic.partitions[0].node_ids
    group_id = topic.partitions[0].group_id
    values = [b"value %d" % number for number in range(5)]
    write(world, topic, values)
    rot(world, int(home))
    world.boot(int(home))
    node = world.nodes[int(home)]
    world.scheduler.run(world.scheduler.now + 30)
    group = node.host.groups[group_id]
    assert group.log.lost
    assert not group.established
    assert [each.group_id for each in node.cluster.lost_replicas] == [group_id]
    own = group.creation.local_replica_id
    plan = node.host.forced_recovery(group_id, [own])
    assert plan.start < plan.end <= len(values) + 1
    node.run(node.host.force_membership(group_id, [own]))
    assert era_of(group.term) == 1
    assert not node.cluster.lost_replicas
    kept = values_of(node, group)
    assert kept
    assert kept == values[: len(kept)]
    write(world, topic, [b"later"])
    world.cut_power(int(home))
    world.boot(int(home))
    again = world.nodes[int(home)]
    world.wait(lambda: again.host.groups[group_id].established)
    world.wait(lambda: values_of(again, again.host.groups[group_id]) == [*kept, b"later"])


@pytest.mark.parametrize("world", [4], indirect=True)
def test_a_lost_majority_is_not_replaced_but_given_up(world: World) -> None:
    """Two of three are lost at once: no vote of theirs counts, and nothing is deleted. An operator
    stops them, goes on with the third one, and starts them again: new replicas take their places."""
    world.boot(1, 2, 3)
    topic = created(world, 3)
    group_id = topic.partitions[0].group_id
    values = [b"value %d" % number for number in range(10)]
    write(world, topic, values)
    rot(world, 2, 3)
    survivor = world.nodes[1]
    commits = {each: group.commit_end for each, group in survivor.host.groups.items()}
    waiting = [begin(world, node_id) for node_id in (2, 3)]
    world.scheduler.run(world.scheduler.now + 30)
    assert {each: group.commit_end for each, group in survivor.host.groups.items()} == commits
    for node in waiting:
        assert not node.starting.done()
        for each in (METADATA_GROUP, group_id):
            assert node.host.groups[each].log.lost
    with pytest.raises(RecoveryRefused, match="a majority of its members is alive"):
        survivor.host.forced_recovery(METADATA_GROUP, [ReplicaId(1)])
    for node_id in (2, 3):
        world.cut_power(node_id)
    world.scheduler.run(world.scheduler.now + 5)
    for each in (METADATA_GROUP, group_id):
        survivor.run(survivor.host.force_membership(each, [ReplicaId(1)]))
    for node_id in (2, 3):
        begin(world, node_id)
    world.wait(lambda: all(node.starting.done() for node in world.nodes.values()))
    world.wait(lambda: whole(world, group_id))
    assert [r.replica_id for r in partition_now(world).membership().voters] == [1, 4, 5]
    for node in world.nodes.values():
        assert values_of(node, node.host.groups[group_id]) == values


@pytest.mark.parametrize("world", [5], indirect=True)
def test_lost_replicas_are_not_taken_for_alive(world: World) -> None:
    """A majority of a partition is lost while the metadata lives on, and nodes live whose replicas
    do not: the metadata tells. Nothing is deleted before an operator went on with the third."""
    world.boot(1, 2, 3, 4, 5)
    topic = created(world, 3)
    group_id = topic.partitions[0].group_id
    wish = Assignment("a", 0, (NodeId(3), NodeId(4), NodeId(5)))
    world.nodes[1].run(world.nodes[1].cluster.operations.move_partitions([wish]))
    world.wait(lambda: not partition_now(world).moving)
    world.wait(lambda: leaders(world, topic)[0] is not None)
    values = [b"value %d" % number for number in range(10)]
    write(world, topic, values)
    rot(world, 4, 5)
    world.boot(4, 5)
    world.wait(lambda: len(partition_now(world, 3).renewed) == 2)
    world.scheduler.run(world.scheduler.now + 10)
    for node_id in (4, 5):
        assert world.nodes[node_id].host.groups[group_id].log.lost
        assert world.nodes[node_id].cluster.lost_replicas
    survivor = world.nodes[3]
    own = survivor.host.groups[group_id].creation.local_replica_id
    with pytest.raises(RecoveryRefused, match="alive"):
        survivor.host.forced_recovery(group_id, [own])
    renewed = [each.replica_id for each in partition_now(world, 3).renewed]
    survivor.run(survivor.host.force_membership(group_id, [own], renewed))
    world.wait(
        lambda: (
            not partition_now(world).moving
            and all(
                (group := world.nodes[node_id].host.groups.get(group_id)) is not None
                and not group.log.lost
                and values_of(world.nodes[node_id], group) == values
                for node_id in (3, 4, 5)
            )
        )
    )
    assert not any(node.cluster.lost_replicas for node in world.nodes.values())
