"""When a producer is answered: what was judged on uncommitted entries waits for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from replication.errors import LeadershipLost
from replication.types import (
    DirectoryId,
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Replica,
    ReplicaId,
)
from streamlog.broker.partition import Append, Partition
from streamlog.model.batch import HAS_PRODUCER, BatchDraft
from streamlog.model.record_set import draft_of_values
from streamlog.storage.segments.log_state import Duplicate, Fresh
from tests.fakes.memory_group import MemoryGroup

TOPIC = 7


class Judge:
    """A log's memory of one producer, as far as a test says it has one."""

    def __init__(self, group: MemoryGroup) -> None:
        self.group = group
        self.seen: Duplicate | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.group.log, name)

    def check_sequence(self, *_: int) -> Fresh | Duplicate:
        return self.seen or Fresh()


def leader() -> tuple[MemoryGroup, Partition, Judge]:
    """A partition that this node leads, with its first entry committed."""
    voters = Membership((Replica(ReplicaId(1), NodeId(1), DirectoryId(1)),))
    group = MemoryGroup(
        GroupCreation(GroupId(1), voters, ReplicaId(1), "partition", TOPIC, 0), NodeId(1)
    )
    group.lead(1)
    partition, judge = Partition(group), Judge(group)
    partition.log = cast("Any", judge)
    return group, partition, judge


def batch() -> BatchDraft:
    draft = draft_of_values(
        [b"a", b"b"], topic_id=TOPIC, partition=0, timestamp_ms=1, compressor=None
    )
    return replace(draft, format_and_flags=draft.format_and_flags | HAS_PRODUCER, producer_id=5)


def append(partition: Partition) -> Append:
    return partition.append(batch(), expected_end_offset=None, append_time_ms=None)


async def test_a_duplicate_is_told_when_what_it_repeats_is_committed() -> None:
    """It may yet be lost with its leader, and the producer must not take it for stored."""
    group, partition, judge = leader()
    first = append(partition)
    end = int(group.log.end.end)
    judge.seen = Duplicate(first.base_offset, end - 1, 1)
    again = append(partition)
    assert (again.duplicate, again.base_offset) == (True, first.base_offset)
    assert again.ready is not None
    assert not again.ready.done()
    group.commit()
    assert again.ready.done()
    assert append(partition).ready is None, "committed by now: it is told at once"


async def test_a_duplicate_of_what_is_lost_with_its_leader_is_told_so() -> None:
    """The answer is indefinite, and the producer tries again at the next leader."""
    group, partition, judge = leader()
    first = append(partition)
    judge.seen = Duplicate(first.base_offset, int(group.log.end.end) - 1, 1)
    again = append(partition)
    group.follow(2)
    assert again.ready is not None
    assert isinstance(again.ready.exception(), LeadershipLost)


async def test_a_condition_that_fails_waits_for_what_it_met() -> None:
    """The end that is told is that of committed records."""
    group, partition, judge = leader()
    judge.data_end = 3  # type: ignore[attr-defined]
    append(partition)
    refused = partition.append(batch(), expected_end_offset=1, append_time_ms=None)
    assert refused.error is not None
    assert refused.ready is not None
    assert not refused.ready.done()
    group.commit()
    assert refused.ready.done()
    assert refused.ready.exception() is None
