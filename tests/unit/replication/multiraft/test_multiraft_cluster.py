"""Three hosts in virtual time: election, replication, failover, restart, transfer, reads, copies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from replication.errors import (
    DiskFull,
    LeadershipLost,
    LeadershipTransferFailed,
    MembershipChangeRefused,
    NotLeader,
    Overloaded,
    StorageFailed,
)
from replication.multiraft import ReplicationSettings
from replication.raft.effects import Role
from replication.raft.events import ReadRequested
from replication.raft.messages import AppendEntries
from replication.types import GroupId, Membership, NodeId, Offset, ReplicaId
from tests.fakes.multiraft_cluster import Cluster, Recorder, replica


@pytest.fixture
def three() -> Iterator[Cluster]:
    """Three nodes with group 7 on all of them."""
    cluster = Cluster(3)
    cluster.boot_all()
    cluster.create(7, [1, 2, 3])
    yield cluster
    cluster.close()


def test_a_leader_is_elected_and_entries_reach_every_replica(three: Cluster) -> None:
    """One node leads, a proposal commits, and all replicas come to hold and commit it."""
    leader = three.await_leader(7)
    three.write(leader, 7, b"one", b"two")
    end = three.write(leader, 7, b"three")
    three.until(lambda: all(n.group(7).commit_end == end for n in three.nodes.values()), 1.0)
    for node_id in three.nodes:
        assert three.values(node_id, 7) == [b"one", b"two", b"three"]


def test_a_killed_leader_is_replaced_and_rejoins(three: Cluster) -> None:
    """After a SIGKILL another node leads within two seconds with all that was committed; the dead
    one comes back on its disk and catches up."""
    old = three.await_leader(7)
    three.write(old, 7, b"before")
    disk = three.kill(old)
    took = three.until(lambda: three.leader(7) not in {None, old}, 2.0)
    assert took < 1.5
    new = three.await_leader(7)
    three.write(new, 7, b"after")
    three.boot(old, disk)
    three.until(lambda: three.values(old, 7) == [b"before", b"after"], 3.0)


def test_a_cut_off_leader_is_replaced_and_its_proposals_end_indefinitely(three: Cluster) -> None:
    """A leader that is alone steps down within its election timeout (CheckQuorum) and ends its
    proposals with LeadershipLost; after healing it follows, and what only it held is gone."""
    old = three.await_leader(7)
    three.write(old, 7, b"kept")
    others = [n for n in three.nodes if n != old]
    for other in others:
        three.fabric.block(f"node{old}", f"node{other}")
        three.fabric.block(f"node{other}", f"node{old}")
    group = three.nodes[old].group(7)
    lost: list[BaseException | None] = []

    async def propose() -> None:
        proposal = group.propose(three.draft(old, 7, b"only here"))
        proposal.committed.add_done_callback(lambda f: lost.append(f.exception()))

    three.run(old, propose())
    three.until(lambda: three.leader(7) in others, 3.0)
    three.until(lambda: group.role is not Role.LEADER, 2.0)
    three.sleep(0.01)
    assert len(lost) == 1
    assert isinstance(lost[0], LeadershipLost)
    assert lost[0].indefinite
    new = three.await_leader(7)
    three.write(new, 7, b"new")
    three.fabric.unblock_all()
    three.until(lambda: three.values(old, 7) == [b"kept", b"new"], 10.0)


def test_a_whole_cluster_restarts_on_its_disks(three: Cluster) -> None:
    """All nodes die at once; started again, they elect a leader and hold what was committed."""
    leader = three.await_leader(7)
    three.write(leader, 7, b"a", b"b")
    three.sleep(0.1)
    disks = {node_id: three.kill(node_id) for node_id in list(three.nodes)}
    for node_id, disk in disks.items():
        three.boot(node_id, disk)
    leader = three.await_leader(7)
    three.write(leader, 7, b"c")
    three.until(lambda: all(three.values(n, 7) == [b"a", b"b", b"c"] for n in three.nodes))


def test_a_follower_that_restarts_hears_of_the_commit_of_an_idle_group(three: Cluster) -> None:
    """Though it had acknowledged everything and nothing is written any more."""
    leader = three.await_leader(7)
    end = three.write(leader, 7, b"a")
    follower = next(n for n in three.nodes if n != leader)
    three.until(lambda: three.nodes[follower].group(7).commit_end >= end)
    three.sleep(1.0)
    three.boot(follower, three.kill(follower))
    three.until(lambda: 7 in three.nodes[follower].host.groups)
    three.until(lambda: three.nodes[follower].group(7).commit_end >= end)
    assert three.await_leader(7) == leader


def test_leadership_is_handed_over_without_an_outage(three: Cluster) -> None:
    """A transfer ends with the target leading, well before an election timeout, and others are
    refused with the leader's name."""
    old = three.await_leader(7)
    three.write(old, 7, b"x")
    target = next(n for n in three.nodes if n != old)
    begin = three.scheduler.now
    three.run(old, three.nodes[old].group(7).transfer_leadership(NodeId(target)))
    assert three.scheduler.now - begin < 0.5
    assert three.await_leader(7) == target
    with pytest.raises(NotLeader) as refused:
        three.write(old, 7, b"y")
    assert refused.value.leader == target
    three.write(target, 7, b"y")


def test_a_transfer_to_a_node_that_can_not_take_over_expires(three: Cluster) -> None:
    """The target is cut off: the transfer raises, and the leader takes proposals again."""
    leader = three.await_leader(7)
    target = next(n for n in three.nodes if n != leader)
    for other in three.nodes:
        three.fabric.block(f"node{other}", f"node{target}")
    three.write(leader, 7, b"unseen by the target")
    group = three.nodes[leader].group(7)
    with pytest.raises(LeadershipTransferFailed, match="election timeout"):
        three.run(leader, group.transfer_leadership(NodeId(target)))
    three.write(leader, 7, b"goes on")
    three.fabric.unblock_all()
    with pytest.raises(LeadershipTransferFailed, match="no voter"):
        three.run(leader, group.transfer_leadership(NodeId(99)))


def test_reads_share_rounds_and_see_what_was_committed_before(three: Cluster) -> None:
    """A hundred barriers at once cost one probe to each peer; a follower refuses."""
    leader = three.await_leader(7)
    end = three.write(leader, 7, b"x")
    node = three.nodes[leader]
    node.count_events = True

    async def read_many() -> list[Offset]:
        return list(await asyncio.gather(*(node.group(7).read_barrier() for _ in range(100))))

    assert three.run(leader, read_many()) == [end] * 100
    assert sum(isinstance(event, ReadRequested) for event in node.events) == 1
    follower = next(n for n in three.nodes if n != leader)
    with pytest.raises(NotLeader):
        three.run(follower, three.nodes[follower].group(7).read_barrier())


def test_a_read_of_a_deposed_leader_never_succeeds(three: Cluster) -> None:
    """A leader that was cut off can not confirm itself: its readers get NotLeader."""
    old = three.await_leader(7)
    for other in three.nodes:
        three.fabric.block(f"node{old}", f"node{other}")
        three.fabric.block(f"node{other}", f"node{old}")
    with pytest.raises(NotLeader):
        three.run(old, three.nodes[old].group(7).read_barrier())


def test_observers_hear_everything_in_order(three: Cluster) -> None:
    """Role, establishment and commits of a leader arrive in the order they happened."""
    recorder = Recorder()
    for node in three.nodes.values():
        node.group(7).add_observer(recorder)
        break
    first = next(iter(three.nodes))
    leader = three.await_leader(7)
    if leader != first:
        three.run(leader, three.nodes[leader].group(7).transfer_leadership(NodeId(first)))
        three.until(lambda: three.leader(7) == first)
    end = three.write(first, 7, b"x")
    kinds = [what[0] for what in recorder.heard]
    led = recorder.heard.index(("role", Role.LEADER, three.nodes[first].group(7).term, first))
    assert "established" in kinds[led:]
    assert recorder.heard[-1] == ("committed", end)
    commits = [what[1] for what in recorder.heard if what[0] == "committed"]
    assert commits == sorted(commits)  # type: ignore[type-var]


def test_a_replica_created_late_gets_its_entries_soon(three: Cluster) -> None:
    """Two of three replicas exist and hold entries; the third is created: it has them within
    500 ms, though its leader was idle."""
    three.create(8, [1, 2, 3], on=[1, 2])
    leader = three.await_leader(8)
    three.write(leader, 8, b"early")
    three.sleep(3.0)
    members = three.nodes[leader].group(8).membership
    three.create_replica(8, 3, members, 3)
    three.until(lambda: three.values(3, 8) == [b"early"], 0.5)


def test_a_blank_learner_gets_a_copy_and_becomes_a_voter(three: Cluster) -> None:
    """The log's start moved, so a new replica can not be fed from 0: it is copied, follows, and
    is made a voter; the replica it replaces is out."""
    three.node_ids.append(4)
    three.boot(4)
    leader = three.await_leader(7)
    for index in range(20):
        three.write(leader, 7, *(b"%d" % index for _ in range(50)))
    group = three.nodes[leader].group(7)
    three.run(leader, group.move_log_start(Offset(500)))
    assert group.log.start.end > 0
    start = group.log.start.end
    newcomer = replica(4, 4)
    three.create_replica(7, 4, group.membership, 4)
    learning = Membership(group.membership.voters, (), (newcomer,))
    three.run(leader, group.change_membership(learning))
    three.until(lambda: group.replica_progress().get(ReplicaId(4)) == group.log.end.end, 3.0)
    assert three.nodes[4].group(7).log.start.end == start
    three.sleep(0.2)  # until its first probe is answered it does not count as following
    gone = next(n for n in (1, 2, 3) if n != leader)
    voters = tuple(v for v in group.membership.voters if v.node_id != gone)
    target = Membership((*voters, newcomer))
    three.run(leader, group.change_membership(target))
    assert group.membership == target
    end = three.write(leader, 7, b"with the new one")
    three.until(lambda: three.nodes[4].group(7).commit_end >= end, 1.0)
    assert three.values(4, 7)[-1] == b"with the new one"


def test_a_trim_survives_a_power_cut_of_every_replica(three: Cluster) -> None:
    """Acknowledged, but not yet noted beside the log on any disk: the entry that moved the start
    is committed again after the restart, and the start moves again, everywhere."""
    leader = three.await_leader(7)
    three.write(leader, 7, *(b"%d" % index for index in range(50)))
    end = three.write(leader, 7, b"kept")
    for node in three.nodes.values():
        node.store.log(GroupId(7)).log_start_committed = lambda start: None  # type: ignore[method-assign]
    group = three.nodes[leader].group(7)
    three.run(leader, group.move_log_start(Offset(end - 1)))
    assert group.start == end - 1
    disks = {node_id: three.kill(node_id) for node_id in list(three.nodes)}
    for node_id, disk in disks.items():
        three.boot(node_id, disk)
    three.await_leader(7)
    three.until(lambda: all(n.group(7).start == end - 1 for n in three.nodes.values()), 3.0)
    assert {n.group(7).log.start.end for n in three.nodes.values()} == {end - 1}


def test_a_membership_change_that_is_not_allowed_is_refused(three: Cluster) -> None:
    """A replica that does not follow yet can not become a voter at once."""
    leader = three.await_leader(7)
    group = three.nodes[leader].group(7)
    with pytest.raises(MembershipChangeRefused):
        three.run(
            leader,
            group.change_membership(Membership((*group.membership.voters, replica(9, 9)))),
        )


def test_how_far_a_copy_is_can_be_seen(three: Cluster) -> None:
    """While it is under way, and at the leader only; what was sent counts for nothing else."""
    three.node_ids.append(4)
    three.boot(4)
    leader = three.await_leader(7)
    for seed in range(8):
        three.write(leader, 7, random.Random(seed).randbytes(400_000))
    group = three.nodes[leader].group(7)
    three.run(leader, group.move_log_start(Offset(2)))
    newcomer = replica(4, 4)
    three.create_replica(7, 4, group.membership, 4)
    three.run(leader, group.change_membership(Membership(group.membership.voters, (), (newcomer,))))
    seen: dict[int, None] = {}

    def is_done() -> bool:
        if ReplicaId(4) in group.copied:
            seen[group.copied[ReplicaId(4)]] = None
        return group.replica_progress().get(ReplicaId(4)) == group.log.end.end

    three.until(is_done, 5.0)
    assert list(seen) == sorted(seen)
    assert len(seen) > 2
    assert group.copied == {}
    assert three.nodes[4].group(7).copied == {}


def test_a_snapshot_travels_with_the_copy(three: Cluster) -> None:
    """A state machine's group that was trimmed behind a snapshot gives a new replica both."""
    three.node_ids.append(4)
    three.boot(4)
    leader = three.await_leader(7)
    three.write(leader, 7, b"a", b"b")
    group = three.nodes[leader].group(7)
    through = group.log.end
    three.run(leader, group.log.save_snapshot(through, b"S" * 3_000_000))
    three.write(leader, 7, b"c")
    three.create_replica(7, 4, group.membership, 4)
    learning = Membership(group.membership.voters, (), (replica(4, 4),))
    recorder = Recorder()
    three.nodes[4].group(7).add_observer(recorder)
    three.run(leader, group.change_membership(learning))
    three.until(lambda: three.nodes[4].group(7).commit_end == group.commit_end, 3.0)
    log = three.nodes[4].store.log(GroupId(7))
    assert log.now.snapshot == (through, b"S" * 3_000_000)
    assert ("replaced",) in recorder.heard
    assert three.values(4, 7) == [b"c"]


def test_a_leader_whose_disk_stalls_steps_down(three: Cluster) -> None:
    """Writes of the leader's disk hang: another leads within three election timeouts, and the
    stalled one does not campaign against it."""
    old = three.await_leader(7)
    node = three.nodes[old]
    node.store.stalled = True

    async def propose() -> None:
        proposal = node.group(7).propose(three.draft(old, 7, b"stuck"))
        proposal.committed.add_done_callback(lambda f: f.exception())

    three.run(old, propose())
    three.until(lambda: three.leader(7) not in {None, old}, 3.5)
    term = three.nodes[three.await_leader(7)].group(7).term
    three.sleep(3.0)
    assert three.nodes[three.await_leader(7)].group(7).term == term
    three.run(old, node.store.resume())
    new = three.await_leader(7)
    three.write(new, 7, b"after")
    three.until(lambda: three.values(old, 7) == three.values(new, 7), 3.0)


def test_a_failed_disk_stops_the_node_for_good(three: Cluster) -> None:
    """After a failed fsync nothing is acknowledged, proposals get StorageFailed, heartbeats stop
    and the server is told; the others elect a leader."""
    old = three.await_leader(7)
    node = three.nodes[old]
    outcome: list[BaseException | None] = []

    async def fail() -> None:
        proposal = node.group(7).propose(three.draft(old, 7, b"x"))
        proposal.committed.add_done_callback(lambda f: outcome.append(f.exception()))
        node.store.fail()

    three.run(old, fail())
    three.sleep(0.01)
    assert isinstance(outcome[0], StorageFailed)
    assert [type(f) for f in node.failures] == [StorageFailed]
    node.failures.clear()
    with pytest.raises(StorageFailed):
        three.write(old, 7, b"y")
    three.until(lambda: three.leader(7) not in {None, old}, 3.0)


def test_a_full_disk_refuses_proposals_and_keeps_leading(three: Cluster) -> None:
    """DiskFull leaves log and core as they were; with room again the next proposal commits."""
    leader = three.await_leader(7)
    node = three.nodes[leader]
    node.store.full = True
    before = node.group(7).log.end
    with pytest.raises(DiskFull):
        three.write(leader, 7, b"x")
    assert node.group(7).log.end == before
    three.sleep(3.0)
    assert three.leader(7) == leader
    node.store.full = False
    three.write(leader, 7, b"y")


def test_uncommitted_bytes_are_bounded() -> None:
    """Without a quorum a leader takes proposals up to its bound, then says Overloaded."""
    settings = ReplicationSettings(group_uncommitted_bytes_max=64 << 10)
    cluster = Cluster(3, settings=settings)
    cluster.boot_all()
    cluster.create(7, [1, 2, 3])
    leader = cluster.await_leader(7)
    for node_id in cluster.nodes:
        if node_id != leader:
            cluster.nodes[node_id].store.stalled = True

    async def fill() -> None:
        for _ in range(10_000):
            proposal = cluster.nodes[leader].group(7).propose(cluster.draft(leader, 7, b"v" * 64))
            proposal.committed.add_done_callback(lambda f: f.exception())

    with pytest.raises(Overloaded, match="uncommitted bytes of group 7"):
        cluster.run(leader, fill())
    for node_id, node in cluster.nodes.items():
        cluster.run(node_id, node.store.resume())
    cluster.until(lambda: cluster.nodes[leader].group(7).core.commit_end > 100, 5.0)
    cluster.write(leader, 7, b"again")
    cluster.close()


def test_a_follower_that_reads_from_disk_slowly_still_catches_up(three: Cluster) -> None:
    """Entries that are not at hand are read by a task, in pieces."""
    leader = three.await_leader(7)
    lagging = next(n for n in three.nodes if n != leader)
    disk = three.kill(lagging)
    for index in range(30):
        three.write(leader, 7, b"%06d" % index * 10_000)
    three.nodes[leader].store.log(GroupId(7)).cold = True
    three.boot(lagging, disk)
    three.until(lambda: len(three.values(lagging, 7)) == 30, 5.0)
    assert three.values(lagging, 7) == three.values(leader, 7)


def test_a_group_that_is_removed_takes_part_no_more(three: Cluster) -> None:
    """Its log is deleted, messages for it are dropped, and the rest goes on: clients that ask the
    node are still sent to the leader."""
    leader = three.await_leader(7)
    gone = next(n for n in three.nodes if n != leader)
    three.run(gone, three.nodes[gone].host.remove(GroupId(7)))
    assert GroupId(7) not in three.nodes[gone].store.logs
    three.write(leader, 7, b"x")
    three.run(gone, three.nodes[gone].host.remove(GroupId(7)))
    known = three.nodes[gone].host.leader_of(GroupId(7))
    assert known is not None
    assert known.node_id == leader


def test_every_node_learns_who_leads() -> None:
    """A node without a replica hears of leaders by announcement, also when it starts late."""
    cluster = Cluster(4)
    for node_id in (1, 2, 3):
        cluster.boot(node_id)
    cluster.create(7, [1, 2, 3])
    leader = cluster.await_leader(7)
    late = cluster.boot(4)
    cluster.until(lambda: late.host.leader_of(GroupId(7)) is not None, 1.5)
    known = late.host.leader_of(GroupId(7))
    assert known is not None
    assert known.node_id == leader
    cluster.kill(leader)
    cluster.until(lambda: cluster.leader(7) not in {None, leader}, 2.0)
    new = cluster.await_leader(7)
    cluster.sleep(0.1)
    known = late.host.leader_of(GroupId(7))
    assert known is not None
    assert (known.node_id, known.term) == (new, cluster.nodes[new].group(7).term)
    cluster.until(lambda: leader not in late.host.live_nodes(), 1.5)
    assert late.host.live_nodes() == {n for n in (1, 2, 3, 4) if n != leader}
    cluster.close()


def test_a_node_of_another_cluster_or_with_a_foreign_disk_is_refused(three: Cluster) -> None:
    """The reason names both sides, and nothing of the group reaches it."""
    three.await_leader(7)
    three.kill(3)
    three.foreign[3] = 0xBAD
    three.boot(3)
    three.sleep(1.0)
    reasons = [three.nodes[n].host.refusals.get(NodeId(3), "") for n in (1, 2)]
    assert all("belongs to cluster" in reason for reason in reasons)
    assert "cluster" in three.nodes[3].host.refusals[NodeId(1)]


def test_damaged_frames_end_the_stream_and_are_never_appended(three: Cluster) -> None:
    """A leader whose codec breaks a byte of what it sends: the follower refuses the stream."""
    leader = three.await_leader(7)
    follower = next(n for n in three.nodes if n != leader)
    peers = three.nodes[leader].host._peers
    link = peers._links[NodeId(follower)]
    put = link.appends.put
    broken: list[int] = []

    def corrupt(group_id: GroupId, message: AppendEntries, frames: bytes) -> None:
        if frames and not broken:
            broken.append(1)
            frames = frames[:-1] + bytes([frames[-1] ^ 1])
        put(group_id, message, frames)

    link.appends.put = corrupt  # type: ignore[method-assign]
    three.write(leader, 7, b"precious")
    three.until(lambda: three.values(follower, 7) == [b"precious"], 3.0)
    assert broken
