"""What operators ask, as it goes over the wire and as its answers are understood."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from streamlog.client import (
    Admin,
    ClientError,
    NodeCondition,
    PartitionAssignment,
    RecoveryNode,
    ReplicaCopy,
)
from streamlog.client.transport import (
    Channel,
    ClientStream,
    Environment,
    TransportError,
)
from streamlog.v1 import admin_service_pb2 as pb
from streamlog.v1 import log_service_pb2 as log
from tests.fakes.fake_nodes import UNAVAILABLE, Clock, FakeCluster

Answers = Mapping[str, Callable[[bytes], Any]]
"""By method; a TransportError that is returned is raised."""


@dataclass
class Nodes:
    """Nodes that answer administrators as the test says; each call is noted."""

    answers: Mapping[str, Answers]
    """By address."""
    calls: list[tuple[str, str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = FakeCluster(*self.answers)

    def connect(self, address: str) -> Channel:
        return Answering(self, address, self.cluster.connect(address))

    def admin(self) -> Admin:
        """That asks the first of them."""
        return Admin(
            next(iter(self.answers)), environment=Environment(self, Clock(), random.Random(1))
        )


@dataclass
class Answering:
    """To one node."""

    nodes: Nodes
    address: str
    inner: Channel

    async def unary(self, method: str, request: bytes, timeout_ms: float) -> bytes:
        if "AdminService" not in method:
            return await self.inner.unary(method, request, timeout_ms)
        name = method.rpartition("/")[2]
        self.nodes.calls.append((self.address, name, request))
        answer = self.nodes.answers[self.address][name](request)
        if isinstance(answer, TransportError):
            raise answer
        data: bytes = answer.SerializeToString()
        return data

    def stream(self, method: str) -> ClientStream:
        return self.inner.stream(method)

    async def close(self) -> None:
        await self.inner.close()


async def test_a_node_is_drained_and_comes_back() -> None:
    """The conditions have their numbers on the wire; the answer is what the node holds."""
    nodes = Nodes(
        {"one:1": {"SetNodeCondition": lambda _: pb.SetNodeConditionResponse(replica_count=7)}}
    )
    async with nodes.admin() as admin:
        assert await admin.drain_node(3, replacement_node_id=4) == 7
        await admin.begin_maintenance(3, force=True, validate_only=True)
        await admin.return_to_service(3)
        with pytest.raises(ValueError, match="resting"):
            await admin.set_node_condition(3, "resting")
    asked = [pb.SetNodeConditionRequest.FromString(request) for _, _, request in nodes.calls]
    assert asked == [
        pb.SetNodeConditionRequest(
            node_id=3, condition=log.NODE_CONDITION_DRAINING, replacement_node_id=4
        ),
        pb.SetNodeConditionRequest(
            node_id=3, condition=log.NODE_CONDITION_MAINTENANCE, force=True, validate_only=True
        ),
        pb.SetNodeConditionRequest(node_id=3),
    ]


async def test_partitions_are_assigned() -> None:
    """Moves, replication factors and rebalancing speak of the same assignments."""
    wanted = PartitionAssignment("t", 2, (4, 1))
    resized = log.TopicMetadata(
        name="t", partitions=[log.PartitionMetadata(partition=2, replica_node_ids=[4, 1])]
    )
    planned = pb.PartitionAssignment(topic="t", partition=2, node_ids=[4, 1])
    nodes = Nodes(
        {
            "one:1": {
                "MovePartitions": lambda _: pb.MovePartitionsResponse(),
                "SetReplicationFactor": lambda _: pb.SetReplicationFactorResponse(topic=resized),
                "Rebalance": lambda _: pb.RebalanceResponse(assignments=[planned]),
            }
        }
    )
    async with nodes.admin() as admin:
        await admin.move_partitions([wanted], force=True)
        assert await admin.set_replication_factor("t", 2) == [wanted]
        assert await admin.rebalance(moves_max=5, validate_only=True) == [wanted]
    moved, factor, rebalance = (request for _, _, request in nodes.calls)
    assert pb.MovePartitionsRequest.FromString(moved) == pb.MovePartitionsRequest(
        assignments=[planned], force=True
    )
    assert pb.SetReplicationFactorRequest.FromString(factor).replication_factor == 2
    assert pb.RebalanceRequest.FromString(rebalance) == pb.RebalanceRequest(
        moves_max=5, validate_only=True
    )


def move(partition: int, leader: int, **known: Any) -> pb.PartitionMove:
    """Of topic t to the nodes 1 and 4."""
    return pb.PartitionMove(
        topic="t", partition=partition, node_ids=[1, 4], leader_node_id=leader, **known
    )


async def test_leaders_are_asked_how_far_their_moves_are() -> None:
    """Each is asked once; what a leader that is silent or dead would know stays unknown, and what
    moves only as another node believes is left out."""
    copies = [pb.ReplicaCopy(node_id=4, end_offset=60)]
    known = {"progress_known": True, "start_offset": 20, "end_offset": 100}

    def cluster(_: bytes) -> pb.DescribeClusterResponse:
        return pb.DescribeClusterResponse(
            nodes=[
                log.Node(node_id=1, address="one:1", live=True),
                log.Node(node_id=2, address="two:1", live=True),
                log.Node(node_id=3, address="three:1", live=True),
                log.Node(node_id=4, address="four:1", live=False),
            ]
        )

    nodes = Nodes(
        {
            "one:1": {
                "DescribeCluster": cluster,
                "ListMoves": lambda _: pb.ListMovesResponse(
                    moves=[move(2, 4), move(1, 2), move(0, 1, **known), move(3, 3), move(4, 2)]
                ),
            },
            "two:1": {
                "ListMoves": lambda _: pb.ListMovesResponse(
                    moves=[move(1, 2, copies=copies, **known), move(4, 1), move(9, 2, **known)]
                )
            },
            "three:1": {"ListMoves": lambda _: TransportError(UNAVAILABLE, "it is gone")},
            "four:1": {},
        }
    )
    async with nodes.admin() as admin:
        moves = await admin.list_moves()
    assert [(each.partition, each.progress_known) for each in moves] == [
        (0, True),
        (1, True),
        (2, False),
        (3, False),
        (4, False),
    ]
    assert moves[1].copies == (ReplicaCopy(4, 60),)
    assert moves[1].share_of(moves[1].copies[0]) == 0.5
    assert moves[1].share_of(ReplicaCopy(4, 0)) == 0.0
    assert [address for address, name, _ in nodes.calls if name == "ListMoves"] == [
        *("one:1", "two:1", "three:1"),
    ]


async def test_only_what_undoes_nothing_is_asked_twice() -> None:
    """An answer got lost: the end of a node is final, so it is asked for again; a change of
    controllers may have been changed by others since, so the caller is told."""
    lost = iter([TransportError(UNAVAILABLE, "the connection broke"), pb.RemoveNodeResponse()])
    nodes = Nodes(
        {
            "one:1": {
                "RemoveNode": lambda _: next(lost),
                "SetControllers": lambda _: TransportError(UNAVAILABLE, "the connection broke"),
            }
        }
    )
    async with nodes.admin() as admin:
        await admin.remove_node(3)
        with pytest.raises(ClientError) as caught:
            await admin.set_controllers([1, 2, 4])
    assert caught.value.indefinite
    assert [name for _, name, _ in nodes.calls] == ["RemoveNode", "RemoveNode", "SetControllers"]


async def test_descriptions_tell_of_conditions_and_moves() -> None:
    """Of nodes and of partitions; a condition of a later version counts as active."""
    nodes = Nodes(
        {
            "one:1": {
                "DescribeCluster": lambda _: pb.DescribeClusterResponse(
                    nodes=[
                        log.Node(
                            node_id=1,
                            condition=log.NODE_CONDITION_DRAINING,
                            replacement_node_id=2,
                        ),
                        log.Node(node_id=2, condition=77),  # type: ignore[arg-type]
                    ],
                    metadata_voter_node_ids=[1, 2],
                ),
                "DescribeTopic": lambda _: pb.DescribeTopicResponse(
                    topic=log.TopicMetadata(
                        name="t",
                        partitions=[
                            log.PartitionMetadata(
                                replica_node_ids=[2], moving=True, leaving_node_ids=[1]
                            )
                        ],
                    )
                ),
            }
        }
    )
    async with nodes.admin() as admin:
        cluster = await admin.describe_cluster()
        partition = (await admin.describe_topic("t")).partitions[0]
    draining, later = cluster.nodes
    assert (draining.condition, draining.replacement_node_id) == (NodeCondition.DRAINING, 2)
    assert later.condition is NodeCondition.ACTIVE
    assert cluster.metadata_voter_node_ids == (1, 2)
    assert (partition.moving, partition.leaving_node_ids) == (True, (1,))


async def test_replicas_are_told_with_their_last_term() -> None:
    """Raft's order of logs needs it; and a recovery names the nodes to compare with."""
    replica = pb.ReplicaDescription(topic="t", end_offset=90, end_term=6)
    answer = pb.ForceRecoverResponse(
        end_offset=90,
        end_term=6,
        other_nodes=[pb.RecoveryNode(node_id=2, address="two:1")],
    )
    nodes = Nodes(
        {
            "one:1": {
                "DescribeReplicas": lambda _: pb.DescribeReplicasResponse(replicas=[replica]),
                "ForceRecoverMetadata": lambda _: answer,
            }
        }
    )
    async with nodes.admin() as admin:
        (described,) = (await admin.describe_node("one:1")).replicas
        assert (described.end_term, described.end_offset) == (6, 90)
        planned = await admin.force_recover_cluster("one:1", dry_run=True)
        assert (planned.end_term, planned.end_offset) == (6, 90)
        assert planned.other_nodes == (RecoveryNode(2, "two:1"),)
