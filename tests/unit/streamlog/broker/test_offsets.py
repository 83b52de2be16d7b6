"""ListOffsets at a new leader: nothing is told before it knows what is committed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from replication.group import GroupHost
from replication.types import (
    DirectoryId,
    GroupCreation,
    LogPosition,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    Term,
)
from streamlog.broker.offsets import list_offsets
from streamlog.broker.partitions import Partitions
from streamlog.cluster.metadata.machine import MetadataMachine
from streamlog.cluster.metadata.records import CreateTopic, RegisterNode
from streamlog.cluster.metadata.state import Founding
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason
from streamlog.model.settings.node import NodeConfig
from streamlog.v1 import log_service_pb2
from tests.fakes.memory_group import MemoryGroup
from tests.fakes.memory_log import MemoryLog

HERE = NodeId(1)
FOUNDING = Founding(77, Membership((Replica(ReplicaId(1), HERE, DirectoryId(101)),)))
SPECS = [
    pytest.param(log_service_pb2.OFFSET_SPEC_EARLIEST, 2, id="earliest"),
    pytest.param(log_service_pb2.OFFSET_SPEC_LATEST, 5, id="latest"),
    pytest.param(log_service_pb2.OFFSET_SPEC_TIMESTAMP, 4, id="timestamp"),
    pytest.param(log_service_pb2.OFFSET_SPEC_RECORD, 3, id="record"),
]
"""What may be asked of the log of `new_leader`, and what is true of it."""


class TimedLog(MemoryLog):
    """Each record's timestamp is ten times its offset."""

    async def offset_for_timestamp(
        self, timestamp_ms: int, start: Offset
    ) -> tuple[Offset, int] | None:
        at = max(start, Offset(-(-timestamp_ms // 10)))
        return (at, 10 * at) if at < self.end.end else None

    async def record_at(self, offset: Offset, end: Offset) -> tuple[Offset, int] | None:
        return (offset, 10 * offset) if offset < end else None


def created() -> ClusterView:
    """The metadata with a topic of one partition, which is on this node."""
    machine = MetadataMachine(FOUNDING)
    state = machine.initial()
    at = 0
    for command in (
        RegisterNode(77, HERE, "n1:1", "", DirectoryId(101), 1, 5),
        CreateTopic("a", 1, 1),
    ):
        for record in machine.decide(state, command).records:
            state = machine.replay(state, record, Offset(at))
            at += 1
    view = ClusterView(
        NodeConfig(node_id=1, bind="n1:1", insecure=True, controllers=((1, "n1:1"),))
    )
    view.update(state, Offset(at))
    return view


def new_leader() -> tuple[MemoryGroup, Partitions]:
    """It took four records from the old leader, of which it knows one to be committed, and begins
    its term. The log's start has moved to 2, as it learns with what is committed."""
    view = created()
    partition = view.topics()[0].partitions[0]
    creation = GroupCreation(
        partition.group_id, partition.membership(), ReplicaId(1), "partition", partition.topic_id, 0
    )
    group = MemoryGroup(creation, HERE)
    group.log = TimedLog(creation)
    group.receive(1, [b"a"], [b"b"], [b"c"], [b"d"])
    group.commit(1)
    group.lead(2, establish=False)
    host = cast("GroupHost", SimpleNamespace(groups={creation.group_id: group}))
    return group, Partitions(HERE, view, host)


def establish(group: MemoryGroup) -> None:
    """The first entry of its term is committed, and with it what the old leader did."""
    group.commit()
    group.log.entries = group.log.entries[2:]
    group.log.start = LogPosition(Term(1), Offset(2))


async def ask(partitions: Partitions, spec: int) -> log_service_pb2.OffsetAnswer:
    """About the timestamp of offset 4, or about the record at 3."""
    topic_id = 1
    query = log_service_pb2.OffsetQuery(topic_id=topic_id, timestamp_ms=31, offset=3)
    query.spec = cast("log_service_pb2.OffsetSpec", spec)
    response = await list_offsets(partitions, log_service_pb2.ListOffsetsRequest(queries=[query]))
    (answer,) = response.answers
    assert (answer.topic_id, answer.partition) == (topic_id, 0)
    return answer


@pytest.mark.parametrize(("spec", "offset"), SPECS)
async def test_a_leader_that_does_not_know_what_is_committed_refuses(
    spec: int, offset: int
) -> None:
    """It tells neither an end below what was acknowledged, nor a start that no reader finds any
    more; the client is told to ask again soon, and is answered when the term is established."""
    group, partitions = new_leader()
    refused = await ask(partitions, spec)
    assert refused.error.reason == Reason.OFFSET_NOT_AVAILABLE.name
    assert refused.error.retriable
    assert not refused.error.indefinite
    assert 0 < refused.error.retry_after_ms <= 1_000
    blank = log_service_pb2.OffsetAnswer(topic_id=refused.topic_id)
    refused.ClearField("error")
    assert refused == blank, "nothing of what it does not know is told beside the error"
    establish(group)
    answer = await ask(partitions, spec)
    assert not answer.HasField("error")
    assert (answer.offset, answer.leader_term) == (offset, 2)


async def test_a_refusal_is_of_one_partition_alone() -> None:
    """A question that can not be answered yet does not keep others from their answer."""
    _, partitions = new_leader()
    earliest = log_service_pb2.OFFSET_SPEC_EARLIEST
    queries = [
        log_service_pb2.OffsetQuery(topic_id=1, partition=number, spec=earliest)
        for number in (0, 1)
    ]
    response = await list_offsets(partitions, log_service_pb2.ListOffsetsRequest(queries=queries))
    assert [answer.error.reason for answer in response.answers] == [
        Reason.OFFSET_NOT_AVAILABLE.name,
        Reason.UNKNOWN_PARTITION.name,
    ]
