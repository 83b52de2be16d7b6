"""Many groups on each node: idle ones run no code, and a killed node's are led anew quickly."""

from __future__ import annotations

import asyncio
import time

from replication.types import GroupCreation, GroupId, Membership, ReplicaId
from tests.fakes.multiraft_cluster import Cluster, replica


def _create_many(cluster: Cluster, count: int) -> None:
    """Groups 1 to `count` on nodes 1 to 3; the first replica is on each node in turn."""

    async def create_on(node_id: int) -> None:
        host = cluster.nodes[node_id].host
        for group_id in range(1, count + 1):
            order = [(group_id + place) % 3 + 1 for place in range(3)]
            members = Membership(tuple(replica(i + 1, n) for i, n in enumerate(order)))
            creation = GroupCreation(
                GroupId(group_id), members, ReplicaId(order.index(node_id) + 1), "partition", 9, 0
            )
            await host.create(creation, campaign=False)

    async def gather(node_id: int) -> None:
        await asyncio.gather(create_on(node_id))

    tasks = [node.loop.create_task(gather(n)) for n, node in cluster.nodes.items()]
    cluster.until(lambda: all(task.done() for task in tasks), 60.0)
    for task in tasks:
        task.result()


def _led(cluster: Cluster) -> dict[int, int]:
    """How many groups each node leads, established."""
    return {
        node_id: sum(group.established for group in node.host.groups.values())
        for node_id, node in cluster.nodes.items()
    }


def test_idle_groups_run_no_code() -> None:
    """1,000 idle groups on each of 3 nodes: in 10 s not one event reaches a replica, no group has
    a deadline, and leaders are spread evenly; the cost on the machine is printed."""
    cluster = Cluster(3)
    cluster.fsync_ms = 0.2
    cluster.boot_all()
    _create_many(cluster, 1_000)
    cluster.until(lambda: sum(_led(cluster).values()) == 1_000, 20.0)
    cluster.sleep(3.0)
    assert all(count >= 300 for count in _led(cluster).values()), _led(cluster)
    for node in cluster.nodes.values():
        node.count_events = True
        assert len(node.host._node.elections) == 0
    events_before, cpu_before = cluster.scheduler.events, time.process_time()
    cluster.sleep(10.0)
    cpu_s = time.process_time() - cpu_before
    callbacks = cluster.scheduler.events - events_before
    assert [len(node.events) for node in cluster.nodes.values()] == [0, 0, 0]
    # 3 nodes beat 10 times a second to 2 others: what runs is per node pair, not per group.
    assert callbacks < 600 * 30
    print(f"3 x 1,000 idle groups, 10 s: {callbacks} callbacks, {cpu_s:.2f} s CPU simulated")
    cluster.close()


def test_a_killed_nodes_groups_are_led_anew_within_two_seconds() -> None:
    """600 groups: all leaders of the killed node are replaced in 2 s, by both survivors, and the
    leaders that lived keep their terms."""
    cluster = Cluster(3, seed=5)
    cluster.boot_all()
    _create_many(cluster, 600)
    cluster.until(lambda: sum(_led(cluster).values()) == 600, 20.0)
    cluster.sleep(1.0)
    kept = {
        group.group_id: group.term
        for node_id in (2, 3)
        for group in cluster.nodes[node_id].host.groups.values()
        if group.established
    }
    assert 100 < len(kept) < 600
    cluster.kill(1)
    took = cluster.until(lambda: sum(_led(cluster).values()) == 600, 5.0)
    print(f"600 groups, one of three nodes killed: all led again after {took:.2f} s simulated")
    assert took < 2.0
    for node_id in (2, 3):
        for group in cluster.nodes[node_id].host.groups.values():
            assert group.term == kept.get(group.group_id, group.term)
    led = _led(cluster)
    assert min(led.values()) >= 200, led
    cluster.close()


def test_a_node_that_goes_silent_is_replaced_too() -> None:
    """A power cut resets no connection: the election timeout finds it, in 2 s all is led."""
    cluster = Cluster(3, seed=6)
    cluster.boot_all()
    _create_many(cluster, 60)
    cluster.until(lambda: sum(_led(cluster).values()) == 60, 20.0)
    cluster.sleep(1.0)
    for other in (2, 3):
        cluster.fabric.block("node1", f"node{other}")
        cluster.fabric.block(f"node{other}", "node1")
    survivors = (cluster.nodes[2], cluster.nodes[3])
    took = cluster.until(
        lambda: sum(g.established for n in survivors for g in n.host.groups.values()) == 60, 5.0
    )
    assert took < 2.0
    cluster.fabric.unblock_all()
    cluster.until(
        lambda: (
            cluster.nodes[1].host.live_nodes() == {1, 2, 3}
            and all(g.leader in {2, 3} for g in cluster.nodes[1].host.groups.values())
        ),
        5.0,
    )
    cluster.close()


def test_a_paused_node_does_not_depose_leaders_that_live() -> None:
    """A node that did not run for 5 s does not count its own absence as the others' silence."""
    cluster = Cluster(3, seed=7)
    cluster.boot_all()
    _create_many(cluster, 30)
    cluster.until(lambda: sum(_led(cluster).values()) == 30, 20.0)
    cluster.sleep(1.0)
    node = cluster.nodes[1]
    cluster.scheduler.pause(node.loop)
    cluster.sleep(5.0)
    others = (cluster.nodes[2], cluster.nodes[3])
    assert sum(g.established for n in others for g in n.host.groups.values()) == 30
    terms = {g: group.term for g, group in others[0].host.groups.items()}
    cluster.scheduler.resume(node.loop)
    cluster.sleep(5.0)
    assert {g: group.term for g, group in others[0].host.groups.items()} == terms
    assert all(group.leader is not None for group in node.host.groups.values())
    cluster.close()
