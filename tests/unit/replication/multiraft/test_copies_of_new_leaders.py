"""Copies of leaders, before and after an entry of their term is committed, and copies that a replica
asks for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replication.group import ReplicatedGroup
from replication.raft.effects import Role
from replication.raft.events import CopyWanted
from replication.transport.messages import BulkReceiver, InstallBegin
from replication.types import GroupId, LogPosition, NodeId, Offset
from tests.fakes.multiraft_cluster import Cluster, Node, Recorder

SEVEN = GroupId(7)


@pytest.fixture
def three() -> Iterator[Cluster]:
    """Three nodes with group 7 on all of them; replica n is on node n, and node 1 leads."""
    cluster = Cluster(3)
    cluster.boot_all()
    cluster.create(7, [1, 2, 3])
    let_lead(cluster, 1)
    yield cluster
    cluster.close()


def let_lead(cluster: Cluster, node_id: int) -> None:
    leader = cluster.await_leader(7)
    if leader != node_id:
        handing_over = cluster.nodes[leader].group(7).transfer_leadership(NodeId(node_id))
        cluster.run(leader, handing_over)
    cluster.until(lambda: cluster.leader(7) == node_id)


def cut_off(cluster: Cluster, node_id: int, *, blocked: bool = True) -> None:
    """From the others."""
    change = cluster.fabric.block if blocked else cluster.fabric.unblock
    for other in cluster.node_ids:
        if other != node_id:
            change(f"node{node_id}", f"node{other}")
            change(f"node{other}", f"node{node_id}")


def note_copies(node: Node) -> list[InstallBegin]:
    """What comes to a node from now on: the beginnings of copies."""
    begun: list[InstallBegin] = []
    host, receives = node.host, node.host.install_received

    async def noted(node_id: NodeId, bulk: BulkReceiver) -> None:
        takes = bulk.receive

        async def receive() -> object:
            message = await takes()
            if isinstance(message, InstallBegin):
                begun.append(message)
            return message

        bulk.receive = receive  # type: ignore[method-assign, assignment]
        await receives(node_id, bulk)

    host.install_received = noted  # type: ignore[method-assign]
    return begun


def group_on(cluster: Cluster, node_id: int) -> ReplicatedGroup:
    return cluster.nodes[node_id].group(7)


def save_snapshot(cluster: Cluster, node_id: int, through: LogPosition) -> None:
    """The log is let go below it."""
    state = b"state of %d" % through.end
    cluster.run(node_id, group_on(cluster, node_id).log.save_snapshot(through, state))


@pytest.mark.parametrize("log_goes_on_below", [False, True])
def test_a_leader_that_needs_the_replica_it_has_to_copy_to_comes_to_serve(
    three: Cluster, *, log_goes_on_below: bool
) -> None:
    """One replica is gone; of the other two one fell behind, and the new leader, which has let go
    what it lacks, commits nothing without it. The copy says that more may be committed, and reaches
    as far as the leader's snapshot, though the leader has not heard yet that this is committed."""
    three.write(1, 7, b"everywhere")
    three.until(lambda: three.values(3, 7) == [b"everywhere"])
    cut_off(three, 3)
    let_lead(three, 2)
    for number in range(5):
        three.write(2, 7, b"missed %d" % number)
    group = group_on(three, 2)
    middle, end = LogPosition(group.term, Offset(group.log.end.end - 2)), group.log.end
    save_snapshot(three, 2, middle)
    missed = group_on(three, 3).log.end.end
    assert missed < middle.end < end.end
    disks = {node_id: three.kill(node_id) for node_id in (1, 2, 3)}
    log_start = end.end
    if log_goes_on_below:
        # A log lets go whole segments only.
        disks[2].logs[SEVEN].snapshot = (end, b"state of %d" % end.end)
        log_start = middle.end
    else:
        three.boot(2, disks[2])
        save_snapshot(three, 2, end)
        disks[2] = three.kill(2)
    cut_off(three, 3, blocked=False)
    begun = note_copies(three.boot(3, disks[3]))
    leader = three.boot(2, disks[2])
    assert leader.group(7).commit_end == log_start
    assert three.await_leader(7) == 2
    assert [(copy.unconfirmed, copy.start, copy.end) for copy in begun] == [(True, end, end.end)]
    behind = three.nodes[3].store.log(SEVEN)
    assert behind.now.snapshot == (end, b"state of %d" % end.end)
    three.write(2, 7, b"served")
    three.until(lambda: three.values(3, 7) == [b"served"])


def test_a_copy_of_a_leader_that_serves_is_confirmed(three: Cluster) -> None:
    """Nothing that was committed before can be lacking."""
    three.write(1, 7, b"everywhere")
    cut_off(three, 3)
    let_lead(three, 2)
    three.write(2, 7, b"missed")
    group = group_on(three, 2)
    through = group.log.end
    save_snapshot(three, 2, through)
    three.write(2, 7, b"behind the snapshot")
    begun = note_copies(three.nodes[3])
    cut_off(three, 3, blocked=False)
    three.until(lambda: three.values(3, 7) == [b"behind the snapshot"])
    assert [(copy.unconfirmed, copy.start) for copy in begun] == [(False, through)]
    assert begun[0].end == through.end + 1


def test_a_follower_is_given_a_copy_when_it_asks(three: Cluster) -> None:
    """Though it has all that the leader has: part of it can not be read. It follows
    afterwards; others are not copied to."""
    three.write(1, 7, b"let go", b"let go too")
    through = group_on(three, 1).log.end
    save_snapshot(three, 1, through)
    three.write(1, 7, b"kept")
    three.until(lambda: three.values(3, 7) == [b"let go", b"let go too", b"kept"])
    begun = {node_id: note_copies(three.nodes[node_id]) for node_id in (1, 2, 3)}
    recorder = Recorder()
    three.nodes[3].group(7).add_observer(recorder)
    ask(three, 3)
    three.until(lambda: ("replaced",) in recorder.heard)
    three.write(1, 7, b"afterwards")
    three.until(lambda: three.values(3, 7)[-1] == b"afterwards")
    assert three.values(3, 7) == [b"kept", b"afterwards"]
    assert three.nodes[3].store.log(SEVEN).now.snapshot == (through, b"state of %d" % through.end)
    assert {node_id: len(copies) for node_id, copies in begun.items()} == {1: 0, 2: 0, 3: 1}
    assert three.leader(7) == 1


def test_a_follower_that_asks_takes_entries_until_the_copy_is_there(three: Cluster) -> None:
    """A copy without what was on its way to it is not taken. What it acknowledges counts, and when
    it asks again, it is given a copy with that."""
    through = group_on(three, 1).log.end
    save_snapshot(three, 1, through)
    recorder = Recorder()
    three.nodes[3].group(7).add_observer(recorder)
    ask(three, 3)
    three.write(1, 7, b"on its way")
    three.sleep(2.0)
    three.write(1, 7, b"meanwhile")
    three.until(lambda: three.values(3, 7) == [b"on its way", b"meanwhile"])
    if ("replaced",) not in recorder.heard:
        ask(three, 3)
        three.until(lambda: ("replaced",) in recorder.heard)
    assert three.values(3, 7) == [b"on its way", b"meanwhile"]
    three.kill(2)
    three.write(1, 7, b"afterwards")
    three.until(lambda: three.values(3, 7) == [b"on its way", b"meanwhile", b"afterwards"])


def test_an_older_snapshot_than_the_log_begins_with_is_not_given_away(three: Cluster) -> None:
    """What lies between it and the log would be missing in the state, without a word. The follower
    keeps what it has."""
    three.write(1, 7, b"a", b"b")
    older = group_on(three, 1).log.end
    three.write(1, 7, b"c")
    through = group_on(three, 1).log.end
    three.until(lambda: three.values(3, 7) == [b"a", b"b", b"c"])
    save_snapshot(three, 1, through)
    log = three.nodes[1].store.log(SEVEN)
    kept, log.now.snapshot = log.now.snapshot, (older, b"an older state")
    begun = note_copies(three.nodes[3])
    ask(three, 3)
    three.sleep(2.0)
    assert begun == []
    log.now.snapshot = kept
    ask(three, 3)
    three.until(lambda: three.nodes[3].store.log(SEVEN).now.snapshot == kept)


def test_nothing_is_asked_for_without_a_leader_elsewhere(three: Cluster) -> None:
    """A leader does not ask itself, nor does one that knows no leader, nor a replica that takes
    part no more: who wants the copy asks again."""
    begun = [note_copies(node) for node in three.nodes.values()]
    ask(three, 1)
    three.sleep(1.0)
    assert group_on(three, 1).role is Role.LEADER
    three.kill(1)
    three.until(lambda: group_on(three, 2).role is Role.PRE_CANDIDATE)
    ask(three, 2)
    three.await_leader(7)
    three.sleep(1.0)
    gone = three.nodes[3]
    group = gone.group(7)
    three.run(3, gone.host.remove(SEVEN))
    gone.count_events = True

    async def ask_of_what_is_gone() -> None:
        group.ask_for_copy()

    three.run(3, ask_of_what_is_gone())
    three.sleep(1.0)
    assert not any(isinstance(event, CopyWanted) for event in gone.events)
    assert begun == [[], [], []]


def ask(cluster: Cluster, node_id: int) -> None:
    async def on_its_loop() -> None:
        cluster.nodes[node_id].group(7).ask_for_copy()

    cluster.run(node_id, on_its_loop())
