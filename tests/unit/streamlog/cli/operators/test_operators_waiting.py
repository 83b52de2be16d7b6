"""Waiting for what the cluster carries out by itself, and what is told meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from streamlog.cli.failure import CommandFailed
from streamlog.cli.operators import waiting
from streamlog.cli.operators.arrivals import (
    STALE_LOOKS,
    Arrival,
    Emptying,
    progress_of,
)
from streamlog.cli.operators.controllers import Voting
from streamlog.cli.operators.nodes import check_stop
from streamlog.cli.operators.restart_check import LAG_MAX, risks
from streamlog.cli.operators.waiting import advised, wait_until
from streamlog.client import (
    Admin,
    ClientError,
    ClusterDescription,
    NodeCondition,
    NodeDescription,
    PartitionAssignment,
    PartitionDescription,
    PartitionMove,
    ReplicaCopy,
    ReplicaDescription,
    TopicDescription,
    TopicUnknown,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once."""
    monkeypatch.setattr(waiting, "POLL_S", 0.0)


@dataclass
class FakeAdmin:
    """Answers what the test put there."""

    nodes: list[NodeDescription] = field(default_factory=list)
    voters: tuple[int, ...] = ()
    partitions: list[PartitionDescription] = field(default_factory=list)
    """Of topic t."""
    moves: list[PartitionMove] = field(default_factory=list)
    replicas: list[ReplicaDescription] = field(default_factory=list)
    held: Iterator[int] = field(default_factory=lambda: iter([]))
    refusal: ClientError | None = None
    """Of a maintenance."""

    async def describe_cluster(self) -> ClusterDescription:
        return ClusterDescription("", tuple(self.nodes), 1, 1, 1, 0, self.voters)

    async def describe_topic(self, name: str) -> TopicDescription:
        if name != "t":
            raise TopicUnknown(name)
        return TopicDescription(name, 1, tuple(self.partitions))

    async def list_moves(self) -> list[PartitionMove]:
        return self.moves

    async def describe_replicas(self) -> list[ReplicaDescription]:
        return self.replicas

    async def drain_node(self, node_id: int, *, force: bool, validate_only: bool) -> int:
        assert force
        assert validate_only
        return next(self.held)

    async def begin_maintenance(self, node_id: int, *, validate_only: bool) -> None:
        assert validate_only
        if self.refusal is not None:
            raise self.refusal

    def admin(self) -> Admin:
        return cast("Admin", self)


def node(node_id: int, condition: NodeCondition = NodeCondition.ACTIVE) -> NodeDescription:
    return NodeDescription(node_id, f"n{node_id}:1", "", True, node_id <= 3, condition)


def partition(
    *nodes: int, leaving: tuple[int, ...] = (), moving: bool = False
) -> PartitionDescription:
    return PartitionDescription(0, nodes[0], 1, nodes, 1, moving, leaving)


def move(*copies: ReplicaCopy, known: bool = True, leader: int = 1) -> PartitionMove:
    return PartitionMove("t", 0, (1, 4), (3,), leader, known, 100, 300, copies)


async def test_it_waits_until_nothing_is_left() -> None:
    """Failures that pass are borne; others end the wait."""
    answers: Iterator[str | ClientError | None] = iter(
        ["two", ClientError("an election", retriable=True), "one", None]
    )

    async def look() -> str | None:
        answer = next(answers)
        if isinstance(answer, ClientError):
            raise answer
        return answer

    await wait_until(look, timeout_s=None, afterwards="")
    assert next(answers, "all were asked for") == "all were asked for"
    answers = iter([ClientError("no such thing")])
    with pytest.raises(ClientError, match="no such thing"):
        await wait_until(look, timeout_s=None, afterwards="")


async def test_its_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that was given, with what is left and what to do; and without an answer for
    long."""

    async def look() -> str | None:
        await asyncio.sleep(0)
        return "3 of 4"

    with pytest.raises(CommandFailed) as caught:
        await wait_until(look, timeout_s=0, afterwards="watch it")
    assert caught.value.message == "not done within 0 s: 3 of 4; watch it"

    async def silent() -> str | None:
        raise ClientError("nobody answers", retriable=True)

    monkeypatch.setattr(waiting, "UNANSWERED_S", 0.0)
    with pytest.raises(ClientError, match="nobody answers"):
        await wait_until(silent, timeout_s=None, afterwards="")


def test_refusals_end_with_advice() -> None:
    """By reason; an error whose outcome is unknown says that the command may be repeated."""
    with (
        pytest.raises(CommandFailed, match="in use; drain it"),
        advised({"NODE_IN_USE": "drain it"}),
    ):
        raise ClientError("in use", reason="NODE_IN_USE")
    with pytest.raises(CommandFailed, match="run the command again"), advised({}):
        raise ClientError("no answer", indefinite=True)
    with pytest.raises(ClientError, match="other"), advised({"NODE_IN_USE": "drain it"}):
        raise ClientError("other", reason="OTHER")


async def test_partitions_arrive() -> None:
    """A node that does not know of the wish yet does not make it look done, nor refused."""
    fake = FakeAdmin(partitions=[partition(1, 3)])
    arrival = Arrival(fake.admin(), [PartitionAssignment("t", 0, (1, 4))])
    assert await arrival.look() == "0 of 1 partition moved"
    fake.moves, fake.partitions = [move(ReplicaCopy(4, 150))], [partition(1, 4, moving=True)]
    assert await arrival.look() == "0 of 1 partition moved; under way: t/0 (node 4: 25%)"
    fake.moves, fake.partitions = [], [partition(1, 4)]
    assert await arrival.look() is None


async def test_partitions_arrive_elsewhere_or_nowhere() -> None:
    """Somebody else moved one, which is told in the end; somebody deleted the topic, which is fine."""
    fake = FakeAdmin(partitions=[partition(2, 3)])
    arrival = Arrival(fake.admin(), [PartitionAssignment("t", 0, (1, 4))])
    for _ in range(STALE_LOOKS - 1):
        assert await arrival.look() is not None
    with pytest.raises(CommandFailed, match="t/0 is on nodes 2, 3 and not on 1, 4"):
        await arrival.look()
    gone = Arrival(fake.admin(), [PartitionAssignment("gone", 0, (1, 4))])
    assert await gone.look() is None


async def test_a_node_becomes_empty() -> None:
    """What it held at most is the whole; when nothing of it moves, that is told."""
    fake = FakeAdmin([node(3)], moves=[move(ReplicaCopy(4, 300))], held=iter([8, 6, 6, 0]))
    emptying = Emptying(fake.admin(), 3)
    assert await emptying.look() == "nothing has moved yet"
    fake.nodes = [node(3, NodeCondition.DRAINING)]
    assert await emptying.look() == "0 of 8 replicas given away; under way: t/0 (node 4: 100%)"
    assert await emptying.look() == "2 of 8 replicas given away; under way: t/0 (node 4: 100%)"
    fake.moves = []
    left = await emptying.look()
    assert left is not None
    assert "nothing moves now" in left
    assert await emptying.look() is None
    fake.nodes = [node(3)]
    for _ in range(STALE_LOOKS - 1):
        await emptying.look()
    with pytest.raises(CommandFailed, match="taken back into service"):
        await emptying.look()
    fake.nodes = []
    assert await emptying.look() is None


async def test_controllers_vote() -> None:
    """Both must be so: what is wanted, and who votes; another wish of somebody is told."""
    fake = FakeAdmin([node(1), node(2), node(3)], voters=(1,))
    voting = Voting(fake.admin(), [1, 2, 3])
    assert await voting.look() == "1, 2, 3 shall vote on the metadata, 1 do"
    fake.voters = (1, 2, 3)
    assert await voting.look() is None
    other = Voting(fake.admin(), [1, 2])
    for _ in range(STALE_LOOKS - 1):
        assert await other.look() is not None
    with pytest.raises(CommandFailed, match="shall be 1, 2, 3 and not 1, 2"):
        await other.look()


@pytest.mark.parametrize(
    ("present", "told"),
    [
        (move(ReplicaCopy(4, 0), ReplicaCopy(5, 200)), "node 4: 0%, node 5: 50%"),
        (move(), "members change"),
        (move(known=False), "not known"),
        (move(known=False, leader=0), "no leader"),
    ],
)
def test_how_far_a_move_is(present: PartitionMove, told: str) -> None:
    """In shares of the leader's log."""
    assert progress_of(present) == told


def replica(node_id: int, end: int, committed: int) -> ReplicaDescription:
    return ReplicaDescription(node_id, "t", 0, "follower", 0, end, committed, 0, 0)


FAR = LAG_MAX + 1_000
SOUND = FakeAdmin(
    [node(1), node(2), node(3)],
    (1, 2, 3),
    [partition(1, 2, 3)],
    replicas=[replica(1, FAR, FAR), replica(2, FAR, FAR), replica(3, FAR - LAG_MAX, 0)],
)


@pytest.mark.parametrize(
    ("changes", "risk"),
    [
        ({}, ""),
        ({"replicas": [*SOUND.replicas[:2], replica(3, 5, 5)]}, "of the others 2 have caught up"),
        ({"replicas": SOUND.replicas[:2]}, "of the others 2 have caught up"),
        ({"partitions": [partition(1, 2, 3, moving=True)]}, "on its way to other nodes"),
        (
            {"partitions": [partition(2, 3, 4, moving=True, leaving=(1,))]},
            "on its way to other nodes",
        ),
        ({"partitions": [partition(2, 3, 4)]}, ""),
        ({"refusal": ClientError("only 1 lives", reason="MAJORITY_AT_RISK")}, "only 1 lives"),
        # Dead already: the metadata's leader has told what there is to tell.
        ({"nodes": [replace(node(1), live=False), node(2), node(3)], "replicas": []}, ""),
        ({"nodes": [node(1), node(2), replace(node(3), live=False)], "partitions": []}, ""),
    ],
)
async def test_whether_node_1_may_stop(changes: dict[str, object], risk: str) -> None:
    """Its partitions keep a majority that lives and has caught up, nothing of it moves, and the
    metadata's leader, who knows the members in force, has nothing against it."""
    found = await risks(replace(SOUND, **changes).admin(), 1)  # type: ignore[arg-type]
    assert len(found) == (1 if risk else 0), found
    assert risk in "".join(found)


async def test_a_node_in_maintenance_is_not_said_to_be_free_to_stop() -> None:
    """Asked for again, when another one has died since: it stays in maintenance, and must run."""
    await check_stop(SOUND.admin(), 1)
    at_risk = ClientError("only 1 lives", reason="MAJORITY_AT_RISK")
    with pytest.raises(CommandFailed, match="must not be stopped now: only 1 lives"):
        await check_stop(replace(SOUND, refusal=at_risk).admin(), 1)


async def test_an_unknown_node_is_refused() -> None:
    """It is no node that may stop."""
    unknown = ClientError("there is no node 1", reason="UNKNOWN_NODE")
    with pytest.raises(ClientError, match="there is no node 1"):
        await risks(replace(SOUND, refusal=unknown).admin(), 1)
