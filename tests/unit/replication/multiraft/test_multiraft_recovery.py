"""Hosts in virtual time: a majority is gone for good, and one that is left goes on alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from replication.errors import NotLeader, RecoveryRefused, UnknownGroup
from replication.group import ForcedRecovery
from replication.raft.effects import Role
from replication.types import GroupId, Membership, NodeId, ReplicaId
from tests.fakes.memory_store import MemoryDisk
from tests.fakes.multiraft_cluster import Cluster, replica

SEVEN = GroupId(7)


@pytest.fixture
def three() -> Iterator[Cluster]:
    """Three nodes with group 7 on all of them; replica n is on node n."""
    cluster = Cluster(3)
    cluster.boot_all()
    cluster.create(7, [1, 2, 3])
    yield cluster
    cluster.close()


def force(cluster: Cluster, node_id: int, *survivors: int) -> ForcedRecovery:
    ids = [ReplicaId(n) for n in survivors]
    return cluster.run(node_id, cluster.nodes[node_id].host.force_membership(SEVEN, ids))


def lose_majority(cluster: Cluster) -> dict[int, MemoryDisk]:
    """Nodes 1 and 2 commit one entry more than node 3 has, and die; their disks."""
    leader = cluster.await_leader(7)
    cluster.write(leader, 7, b"everywhere")
    cluster.until(lambda: cluster.values(3, 7) == [b"everywhere"], 2.0)
    for other in (1, 2):
        cluster.fabric.block("node3", f"node{other}")
        cluster.fabric.block(f"node{other}", "node3")
    cluster.until(lambda: cluster.leader(7) in {1, 2}, 5.0)
    leader = cluster.await_leader(7)
    cluster.write(leader, 7, b"not on node 3")
    disks = {node_id: cluster.kill(node_id) for node_id in (1, 2)}
    for other in (1, 2):
        cluster.fabric.unblock("node3", f"node{other}")
        cluster.fabric.unblock(f"node{other}", "node3")
    cluster.sleep(5.0)
    assert cluster.leader(7) is None
    return disks


def test_the_survivor_goes_on_with_all_it_had(three: Cluster) -> None:
    """It says what it keeps and whom it leaves behind, leads, and takes writes; after a restart
    it leads again, alone."""
    lose_majority(three)
    before = three.nodes[3].group(7).core.end
    recovery = force(three, 3, 3)
    assert (recovery.group_id, recovery.end, recovery.end_term) == (7, before.end, before.term)
    assert [r.node_id for r in recovery.survivors] == [3]
    assert [r.node_id for r in recovery.left_behind] == [1, 2]
    three.write(3, 7, b"alone")
    assert three.values(3, 7) == [b"everywhere", b"alone"]
    three.boot(3, three.kill(3))
    assert three.await_leader(7) == 3
    three.write(3, 7, b"again")
    assert three.values(3, 7) == [b"everywhere", b"alone", b"again"]
    assert three.nodes[3].group(7).membership == Membership((replica(3, 3),))


def test_a_replica_that_comes_back_does_no_harm(three: Cluster) -> None:
    """Neither one of the lost, nor both, which are a majority of the members that they know: they
    give up when they hear of the later era, and the survivor never steps down."""
    disks = lose_majority(three)
    force(three, 3, 3)
    term = three.nodes[3].group(7).term
    three.boot(1, disks[1])
    three.write(3, 7, b"one is back")
    three.boot(2, disks[2])
    three.sleep(10.0)
    for node_id in (1, 2):
        group = three.nodes[node_id].group(7)
        assert group.role is not Role.LEADER
        assert group.core.left_behind
        known = three.nodes[node_id].host.leader_of(SEVEN)
        assert known is not None
        assert known.node_id == 3
        with pytest.raises(NotLeader):
            group.propose(three.draft(node_id, 7, b"into the void"))
    assert (three.nodes[3].group(7).term, three.leader(7)) == (term, 3)
    three.write(3, 7, b"both are back")
    assert three.values(3, 7) == [b"everywhere", b"one is back", b"both are back"]


def test_a_replica_that_is_taken_in_again_comes_to_equal_the_survivor(three: Cluster) -> None:
    """What only the lost majority had committed is not in its log any more."""
    disks = lose_majority(three)
    force(three, 3, 3)
    three.write(3, 7, b"alone")
    three.boot(1, disks[1])
    target = Membership((replica(3, 3),), (), (replica(1, 1),))
    three.run(3, three.nodes[3].group(7).change_membership(target))
    three.until(lambda: three.values(1, 7) == [b"everywhere", b"alone"], 5.0)
    three.sleep(1.0)
    both = Membership((replica(1, 1), replica(3, 3)))
    three.run(3, three.nodes[3].group(7).change_membership(both))
    three.run(3, three.nodes[3].group(7).transfer_leadership(NodeId(1)))
    three.write(1, 7, b"from the one that came back")
    three.until(lambda: three.values(3, 7)[-1] == b"from the one that came back", 5.0)


def test_it_is_refused_while_a_majority_lives(three: Cluster) -> None:
    """Heard of within the failure detection time; and by a node that started too lately to know,
    for a group that is not here, and by a replica that is no member or has nothing."""
    three.await_leader(7)
    three.sleep(5.0)
    with pytest.raises(RecoveryRefused, match="majority of its members is alive, on nodes 1, 2, 3"):
        force(three, 3, 3)
    disk = three.kill(1)
    with pytest.raises(RecoveryRefused, match="alive, on nodes"):
        force(three, 3, 3)
    three.kill(2)
    with pytest.raises(RecoveryRefused, match="alive, on nodes"):
        force(three, 3, 3)
    three.sleep(5.0)
    with pytest.raises(RecoveryRefused, match="none of the survivors"):
        force(three, 3, 1)
    with pytest.raises(RecoveryRefused, match="replica 9 is no member"):
        force(three, 3, 3, 9)
    with pytest.raises(UnknownGroup):
        three.nodes[3].host.forced_recovery(GroupId(8), [ReplicaId(3)])
    three.kill(3)
    three.boot(1, disk)
    with pytest.raises(RecoveryRefused, match="started too lately to know"):
        force(three, 1, 1)
    three.sleep(5.0)
    force(three, 1, 1)


def test_an_empty_replica_is_refused() -> None:
    """A log that never got an entry is no replica to go on with."""
    cluster = Cluster(3)
    cluster.boot(3)
    cluster.create(7, [1, 2, 3], on=[3])
    cluster.sleep(5.0)
    with pytest.raises(RecoveryRefused, match="its log is empty"):
        force(cluster, 3, 3)
    cluster.close()


def test_two_survivors_of_five() -> None:
    """The one that is named first brings the other to its own log; both are needed from then on."""
    cluster = Cluster(5)
    cluster.boot_all()
    cluster.create(7, [1, 2, 3, 4, 5])
    leader = cluster.await_leader(7)
    cluster.write(leader, 7, b"everywhere")
    cluster.until(lambda: cluster.values(5, 7) == cluster.values(4, 7) == [b"everywhere"], 2.0)
    for node_id in (1, 2, 3):
        cluster.kill(node_id)
    cluster.sleep(5.0)
    force(cluster, 4, 4, 5)
    cluster.write(4, 7, b"two of five")
    cluster.until(lambda: cluster.values(5, 7) == [b"everywhere", b"two of five"], 2.0)
    cluster.kill(5)
    cluster.until(lambda: cluster.leader(7) is None, 5.0)
    cluster.close()


def test_a_caller_that_gives_up_waiting_changes_nothing(three: Cluster) -> None:
    """The recovery was journalled; the group leads all the same."""
    lose_majority(three)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await three.nodes[3].host.force_membership(SEVEN, [ReplicaId(3)])

    three.run(3, give_up())
    assert three.await_leader(7) == 3
