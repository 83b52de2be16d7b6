"""What a member commits before it lets go of partitions."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from streamlog.client import ClientError, TopicPartition
from streamlog.client.groups.commits import Commit, Commits
from streamlog.client.groups.committing import Committing
from streamlog.client.groups.member import Member
from streamlog.client.groups.progress import Progress
from streamlog.model.errors import Reason
from streamlog.v1 import group_service_pb2 as pb

PAIRS = [TopicPartition("t", number) for number in range(3)]


class Clock:
    """The loop's."""

    def monotonic_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1_000

    def wall_ms(self) -> int:
        return 0


class Part:
    """A member with three partitions, all read up to 5."""

    def __init__(self) -> None:
        self.member = Member(lambda: "m1")
        self.member.joining(0)
        assignment = pb.MemberAssignment(member_epoch=1)
        for _, number in PAIRS:
            assignment.assigned.add(topic_id=7, topic="t", partition=number, grant_epoch=1)
        self.member.told(assignment, 0)
        self.commits = Commits(lambda: None)
        self.progress = Progress(cast("Any", None), lambda: True)
        for pair in PAIRS:
            self.progress.begin(pair, 5, None)
        nothing = cast("Any", None)
        self.committing = Committing(
            "g", self.commits, self.progress, nothing, nothing, nothing, Clock(), automatic=True
        )
        self.committing.member = self.member

    async def sent(self) -> Commit:
        """The next commit, once it is there."""
        async with asyncio.timeout(60):
            while (commit := self.commits.next()) is None:
                await asyncio.sleep(0)
        return commit


def numbers(commit: Commit) -> list[int]:
    return [number for _, number in commit.offsets]


async def test_one_that_was_lost_does_not_cost_the_others_their_positions() -> None:
    """A commit is all or nothing: refused for one partition, it is repeated without it."""
    part = Part()
    finishing = asyncio.create_task(part.committing.finish(PAIRS, Clock().monotonic_ms() + 60_000))
    first = await part.sent()
    assert numbers(first) == [0, 1, 2]
    stale = Reason.STALE_MEMBER_EPOCH
    part.commits.answered(
        first.sequence,
        ClientError("no", reason=stale.name, code=stale.info.code, metadata={"partitions": "7/1"}),
    )
    second = await part.sent()
    assert numbers(second) == [0, 2]
    assert not finishing.done()
    part.commits.answered(second.sequence, None)
    async with asyncio.timeout(60):
        await finishing
    assert part.progress.uncommitted(PAIRS, handed=False) == {PAIRS[1]: 5}


async def test_it_waits_no_longer_than_it_may() -> None:
    """Without an answer the partitions are let go all the same."""
    part = Part()
    async with asyncio.timeout(60):
        await part.committing.finish(PAIRS, Clock().monotonic_ms() + 1)
    assert part.commits.mentions([(7, 0)])


async def test_positions_of_a_revoked_partition_go_under_the_epoch_they_were_taken_in() -> None:
    """One that was fenced and given anew before the revocation was heard of makes a commit of its
    own, which the coordinator refuses; the others are under the newest epoch."""
    part = Part()
    assignment = pb.MemberAssignment(member_epoch=6, revoking=[pb.GroupPartition(topic_id=7)])
    for _, number in PAIRS[1:]:
        assignment.assigned.add(topic_id=7, topic="t", partition=number, grant_epoch=1)
    part.member.told(assignment, 1)
    part.committing.commit_nowait(None, None)
    found = {}
    for _ in range(2):
        commit = await part.sent()
        found[commit.epoch] = numbers(commit)
        part.commits.answered(commit.sequence, None)
    assert found == {1: [0], 6: [1, 2]}
