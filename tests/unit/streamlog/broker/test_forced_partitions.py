"""What nodes tell of their replicas before a partition is forced on; hosts in virtual time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from replication.types import GroupId, NodeId
from streamlog.broker.recovery import RecoveryService
from streamlog.model.errors import Reason, StreamlogError
from streamlog.v1 import admin_service_pb2 as pb
from tests.fakes.multiraft_cluster import Cluster


class View:
    """Knows all nodes but the last one's address."""

    cluster_id = 1

    def __init__(self, node_id: int) -> None:
        self._node_id = node_id

    def other_nodes(self) -> list[NodeId]:
        return [NodeId(n) for n in range(1, 7) if n != self._node_id]

    def address_of(self, node_id: NodeId) -> str | None:
        return f"n{node_id}:1" if node_id < 6 else None


def asked(cluster: Cluster, node_id: int, **fields: Any) -> pb.ForceRecoverResponse:
    """Of partition t/0, which is group 7."""
    partition = SimpleNamespace(group_id=GroupId(7), renewed=())
    metadata: Any = SimpleNamespace(
        find_topic=lambda name: SimpleNamespace(name=name, partitions=[partition])
    )
    settings: Any = SimpleNamespace(now=SimpleNamespace(node_id=node_id, request_timeout_ms=30_000))
    view: Any = View(node_id)
    service = RecoveryService(settings, metadata, view, cluster.nodes[node_id].host)
    request = pb.ForceRecoverPartitionRequest(topic="t", node_id=node_id, **fields)
    return cluster.run(node_id, service.partition(request))


def test_of_two_survivors_the_shorter_log_may_be_the_better() -> None:
    """A former leader has a long tail of an old term; the other one has what was committed since. The
    nodes tell last terms, and in their order nothing that is committed is lost."""
    cluster = Cluster(5)
    cluster.boot_all()
    cluster.create(7, [1, 2, 3, 4, 5])
    former = cluster.await_leader(7)
    cluster.write(former, 7, b"everywhere")
    others = [n for n in range(1, 6) if n != former]
    cluster.until(lambda: all(cluster.values(n, 7) == [b"everywhere"] for n in others))
    for other in others:
        cluster.fabric.block(f"node{former}", f"node{other}")
        cluster.fabric.block(f"node{other}", f"node{former}")

    async def propose() -> None:
        for number in range(10):
            draft = cluster.draft(former, 7, b"never committed %d" % number)
            cluster.nodes[former].group(7).propose(draft)

    cluster.run(former, propose())
    cluster.until(lambda: cluster.leader(7) in others)
    newer = cluster.await_leader(7)
    cluster.write(newer, 7, b"committed")
    for other in set(others) - {newer}:
        cluster.kill(other)
    cluster.sleep(5.0)
    for way in ((former, newer), (newer, former)):
        cluster.fabric.unblock(f"node{way[0]}", f"node{way[1]}")
    cluster.sleep(5.0)
    tail, best = (asked(cluster, n, dry_run=True) for n in (former, newer))
    assert tail.end_offset > best.end_offset
    assert 0 < tail.end_term < best.end_term
    known = [(each.node_id, each.address) for each in best.other_nodes]
    assert known == [(n, f"n{n}:1") for n in range(1, 6) if n != newer]
    forced = asked(cluster, newer, accept_data_loss="t/0")
    assert (forced.forced, forced.end_term) == (True, best.end_term)
    assert cluster.values(newer, 7) == [b"everywhere", b"committed"]
    cluster.close()


def test_a_refusal_tells_the_position_of_a_log_that_would_do() -> None:
    """So that replicas are compared although a node hears of a majority; an empty log has none."""
    cluster = Cluster(3)
    cluster.boot_all()
    cluster.create(7, [1, 2, 3])
    cluster.await_leader(7)
    cluster.sleep(5.0)
    end = cluster.nodes[1].group(7).core.end
    with pytest.raises(StreamlogError, match="a majority of its members is alive") as caught:
        asked(cluster, 1, dry_run=True)
    assert caught.value.reason is Reason.RECOVERY_REFUSED
    assert caught.value.metadata == {"end_term": str(end.term), "end_offset": str(end.end)}
    cluster.close()
    cluster = Cluster(3)
    cluster.boot(3)
    cluster.create(7, [1, 2, 3], on=[3])
    with pytest.raises(StreamlogError, match="its log is empty") as caught:
        asked(cluster, 3, dry_run=True)
    assert caught.value.metadata == {}
    cluster.close()
