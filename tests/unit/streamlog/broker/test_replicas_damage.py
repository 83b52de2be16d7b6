"""What a node answers whose logs have damaged ranges, when it is asked what it stores."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from replication.group import GroupHost
from replication.ports import Disk
from replication.types import METADATA_GROUP, GroupId, NodeId, Offset
from streamlog.broker import replicas
from streamlog.broker.metadata import MetadataService
from streamlog.broker.replicas import ReplicaService
from streamlog.cluster.view import ClusterView
from streamlog.storage.damage import DamagedRange, DamageReports
from streamlog.v1 import admin_service_pb2 as pb
from tests.fakes.memory_group import MemoryGroup
from tests.fakes.store_harness import creation_of

TOPICS = {7: "rides", 8: "walks"}
DELETED = 9


class Node:
    """With a partition of each topic, groups 7 to 9, and the metadata."""

    def __init__(self) -> None:
        metadata = replace(
            creation_of(0), group_id=METADATA_GROUP, kind="metadata", topic_id=0, partition=0
        )
        creations = [
            metadata,
            *(replace(creation_of(topic), topic_id=topic) for topic in (*TOPICS, DELETED)),
        ]
        groups = {each.group_id: MemoryGroup(each, NodeId(1)) for each in creations}
        for group in groups.values():
            vars(group)["start"] = Offset(0)
            vars(group.log).update(size_bytes=1, segment_count=1)
        topics = {
            topic_id: SimpleNamespace(name=name, topic_id=topic_id)
            for topic_id, name in TOPICS.items()
        }
        self.damage = DamageReports()

        async def free_bytes() -> int:
            return 1_000

        self._service = ReplicaService(
            1,
            cast(
                "MetadataService",
                SimpleNamespace(find_topic={t.name: t for t in topics.values()}.__getitem__),
            ),
            cast("ClusterView", SimpleNamespace(topic_by_id=topics.get)),
            cast("GroupHost", SimpleNamespace(groups=groups)),
            cast("Disk", SimpleNamespace(free_bytes=free_bytes)),
            self.damage,
        )

    def report(self, group: int, start: int, end: int, *, of_snapshot: bool = False) -> None:
        self.damage.report(
            DamagedRange(
                GroupId(group), Offset(start), Offset(end), "a file", "rot", of_snapshot=of_snapshot
            )
        )

    def describe(
        self, topic: str = "", *, damage_only: bool = False
    ) -> pb.DescribeReplicasResponse:
        request = pb.DescribeReplicasRequest(topic=topic, damage_only=damage_only)
        return asyncio.run(self._service.describe(request))


def named(answer: pb.DescribeReplicasResponse) -> list[tuple[str, int, int, int, bool]]:
    return [
        (each.topic, each.partition, each.start_offset, each.end_offset, each.of_snapshot)
        for each in answer.damaged_ranges
    ]


def test_open_damage_is_told_with_its_partitions() -> None:
    """In order, the metadata's too; none of logs that are gone, or about to go; none when it is
    mended."""
    node = Node()
    assert node.describe().damaged_range_count == 0
    for group, start, end in ((8, 5, 9), (7, 20, 30), (7, 10, 20), (DELETED, 1, 2), (44, 1, 2)):
        node.report(group, start, end)
    node.report(METADATA_GROUP, 0, 70, of_snapshot=True)
    answer = node.describe()
    assert [each.topic for each in answer.replicas] == ["rides", "walks"]
    ours = [("rides", 7, 10, 20, False), ("rides", 7, 20, 30, False)]
    assert named(answer) == [("", 0, 0, 70, True), *ours, ("walks", 8, 5, 9, False)]
    assert answer.damaged_range_count == 4
    of_topic = node.describe("rides")
    assert (named(of_topic), of_topic.damaged_range_count) == (ours, 2)
    node.damage.close(GroupId(7), Offset(10), mended=True)
    assert named(node.describe("rides")) == ours[1:]


def test_who_asks_for_damage_only_gets_no_replicas() -> None:
    """A node may have ten thousand; the rest of the answer is the same."""
    node = Node()
    node.report(7, 10, 20)
    answer = node.describe(damage_only=True)
    assert (list(answer.replicas), answer.node_id, answer.disk_free_bytes) == ([], 1, 1_000)
    assert named(answer) == [("rides", 7, 10, 20, False)]


def test_an_answer_names_so_many_and_counts_all() -> None:
    """Each segment of a node may be damaged."""
    node = Node()
    for number in range(replicas.DAMAGED_RANGES_MAX + 5):
        node.report(7, number, number + 1)
    answer = node.describe(damage_only=True)
    assert len(answer.damaged_ranges) == replicas.DAMAGED_RANGES_MAX
    assert answer.damaged_range_count == replicas.DAMAGED_RANGES_MAX + 5
