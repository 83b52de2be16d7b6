"""Which replicas a node makes, removes and misses, through crashes at any point of a round."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from jepsen_like.sim.ports.disk import SimDisk
from replication.types import (
    DirectoryId,
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
)
from streamlog.cluster.local_replicas import LocalReplicas
from streamlog.cluster.local_state import LocalStateFile
from streamlog.cluster.metadata.machine import MetadataMachine
from streamlog.cluster.metadata.state import Founding, MetadataState, Partition, Topic
from streamlog.model.settings.topic import TopicConfig

HERE = NodeId(1)
DIRECTORY = DirectoryId(11)
GROUP = GroupId(3)


@dataclass(frozen=True)
class _Identity:
    node_id: NodeId
    directory_id: DirectoryId
    cluster_id: int


@dataclass
class _Log:
    lost: bool = False


@dataclass
class _Hosted:
    creation: GroupCreation
    log: _Log = field(default_factory=_Log)


class _Host:
    """The groups of a disk; dies before a creation or after a removal when told to."""

    def __init__(self) -> None:
        self.groups: dict[GroupId, _Hosted] = {}
        self.born: list[ReplicaId] = []
        self.die = ""
        self.to_renew: Callable[[], list[ReplicaId]] = list
        self.to_renew_meanwhile: list[ReplicaId] = []
        """What was asked to be replaced while a replica was gone, and the next one not here."""

    async def create(self, creation: GroupCreation, *, campaign: bool = False) -> None:
        if self.die == "before creation":
            raise asyncio.CancelledError
        self.groups[creation.group_id] = _Hosted(creation)
        self.born.append(creation.local_replica_id)

    async def remove(self, group_id: GroupId) -> None:
        del self.groups[group_id]
        self.to_renew_meanwhile += self.to_renew()
        if self.die == "after removal":
            raise asyncio.CancelledError


def replica(number: int, node: int) -> Replica:
    return Replica(ReplicaId(number), NodeId(node), DirectoryId(10 + node))


def state_of(
    wanted: list[tuple[int, int]],
    leaving: list[tuple[int, int]],
    placed: dict[int, int],
    version: int,
    *,
    never_settled: bool = False,
) -> MetadataState:
    """One partition; `wanted` and `leaving` are (replica id, node)."""
    replicas = tuple(replica(*each) for each in wanted)
    gone = tuple(replica(*each) for each in leaving)
    partition = Partition(
        number=0,
        topic_id=1,
        group_id=GROUP,
        replicas=replicas,
        leaving=gone,
        placed_offsets=tuple(Offset(placed[each.replica_id]) for each in (*replicas, *gone)),
        version=version,
        never_settled=never_settled or version == 0,
        next_replica_id=max(placed) + 1,
    )
    topic = Topic(1, "t", (partition,), TopicConfig(), (), 1, 1)
    founding = Founding(5, Membership((replica(1, 1),)))
    return replace(MetadataMachine(founding).initial(), topics={1: topic}, next_group_id=GroupId(4))


class Node:
    """A data directory, and processes on it one after the other."""

    def __init__(self) -> None:
        self.disk, self.host = SimDisk(), _Host()
        self.to_renew: list[ReplicaId] = []
        """What the last process asked to be replaced."""
        self.registered = True
        self.members: tuple[int, ...] = ()
        """What the leader says."""

    async def members_of(
        self, group_ids: Sequence[GroupId]
    ) -> dict[GroupId, tuple[ReplicaId, ...]]:
        return {group_id: tuple(map(ReplicaId, self.members)) for group_id in group_ids}

    async def life(self, *states: tuple[int, MetadataState]) -> list[GroupId]:
        """A process that hears of these states, by their ends; which groups it missed."""
        local = LocalStateFile(self.disk)
        await local.load()
        replicas = LocalReplicas(
            _Identity(HERE, DIRECTORY, 5),
            self.host,  # type: ignore[arg-type]
            local,
            self.members_of,
            lambda: self.registered,
        )
        self.host.to_renew = lambda: [replica_id for _, replica_id in replicas.to_renew]
        running = asyncio.ensure_future(replicas.run())
        missed: dict[GroupId, None] = {}
        for end, state in states:
            replicas.state_replaced(state, Offset(end))
            for _ in range(50):
                await asyncio.sleep(0)
            missed.update((each.group_id, None) for each in replicas.lost)
        self.to_renew = self.host.to_renew()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        self.host.die = ""
        return list(missed)


BORN = (8, state_of([(2, 2), (1, 1)], [], {1: 5, 2: 5}, 0))
COMES_BACK = (12, state_of([(2, 2), (3, 1)], [(1, 1)], {2: 5, 3: 10, 1: 5}, 2))
SETTLED = (14, state_of([(2, 2), (3, 1)], [], {2: 5, 3: 10}, 2))
GIVEN_UP = (14, state_of([(2, 2)], [], {2: 5}, 2))


async def test_a_replica_that_was_here_and_is_gone_is_lost() -> None:
    """It is not made anew under its id: it would vote with a blank memory."""
    node = Node()
    assert await node.life(BORN) == []
    node.host.groups.clear()
    assert await node.life(BORN) == [GROUP]
    assert node.host.born == [1]


async def test_a_replica_comes_when_the_older_one_has_left() -> None:
    """Whatever else the node did meanwhile."""
    node = Node()
    assert await node.life(BORN, COMES_BACK, SETTLED) == []
    assert node.host.born == [1, 3]


async def test_a_crash_after_a_removal_loses_nothing() -> None:
    """The state from before, which the next process sees first, does not want back what is gone."""
    node = Node()
    await node.life(BORN)
    node.host.die = "after removal"
    await node.life(GIVEN_UP)
    assert node.host.groups == {}
    assert await node.life(BORN, GIVEN_UP) == []
    assert node.host.born == [1]


async def test_a_crash_between_a_removal_and_the_creation_loses_nothing() -> None:
    """The next process makes the replica that was to follow."""
    node = Node()
    await node.life(BORN, COMES_BACK)
    node.host.die = "before creation"
    await node.life(COMES_BACK, SETTLED)
    assert node.host.groups == {}
    assert await node.life(BORN, SETTLED) == []
    assert node.host.born == [1, 3]


async def test_a_replica_that_was_sent_away_before_it_came_may_come_later() -> None:
    """It was placed, and was leaving again when its place became free; then it is wanted anew."""
    node = Node()
    leaves = (14, state_of([(2, 2)], [(3, 1)], {2: 5, 3: 10}, 3))
    wanted = (16, state_of([(2, 2), (3, 1)], [], {2: 5, 3: 10}, 4))
    assert await node.life(BORN, leaves) == []
    assert node.host.groups == {}
    assert await node.life(leaves, wanted) == []
    assert node.host.born == [1, 3]
    node.host.groups.clear()
    assert await node.life(wanted) == [GROUP]


async def test_a_damaged_journal_may_have_forgotten_creations() -> None:
    """Of a replica that was made, and took part, before the mark that tells of it was saved: it is
    lost, not made again. As of the registration of this start; the state may be older before."""
    node = Node()
    assert await node.life(BORN) == []
    node.host.groups.clear()
    node.disk = SimDisk()  # the mark was never saved
    local = LocalStateFile(node.disk)
    await local.save(creations_forgotten=True)
    node.registered = False
    assert await node.life(BORN) == []
    assert node.host.born == [1]
    node.registered = True
    assert await node.life(BORN) == [GROUP]
    assert (node.host.born, node.to_renew) == ([1], [1])
    # Then it is settled: what comes later is made.
    later = (16, state_of([(2, 2), (3, 1)], [(1, 1)], {2: 5, 3: 15, 1: 5}, 1))
    assert await node.life(later) == []
    assert node.host.born == [1, 3]


async def test_founders_that_are_leaving_already_are_made() -> None:
    """Nobody could lead, and those that follow could learn from nobody, if only they were made. One
    that was here once is not made again, and after a completed move none is."""
    node = Node()
    replaced = state_of([(3, 3)], [(1, 1), (2, 2)], {3: 7, 1: 5, 2: 5}, 1, never_settled=True)
    assert await node.life((8, replaced)) == []
    (hosted,) = node.host.groups.values()
    assert hosted.creation.membership == Membership((replica(1, 1), replica(2, 2)))
    node.host.groups.clear()
    assert await node.life((8, replaced)) == []
    assert node.host.born == [1]
    late = Node()
    settled_once = state_of([(3, 3)], [(1, 1), (2, 2)], {3: 7, 1: 5, 2: 5}, 3)
    assert await late.life((8, settled_once)) == []
    assert late.host.born == []


async def test_a_lost_replica_goes_when_its_group_has_the_next_one() -> None:
    """Not when the metadata wishes one: what is left of it may still be needed. The wish is kept
    over restarts, and the new one is no lost one meanwhile."""
    node = Node()
    await node.life(BORN)
    node.host.groups[GROUP].log.lost = True
    assert await node.life(BORN) == [GROUP]
    renewed = (12, state_of([(2, 2), (3, 1)], [(1, 1)], {2: 5, 3: 10, 1: 5}, 1))
    for _ in range(2):
        assert await node.life(renewed) == [GROUP]
        assert node.host.born == [1]
    node.members = (1, 2, 3)
    node.host.die = "after removal"
    await node.life(renewed)
    assert not node.host.groups
    assert await node.life(renewed) == []
    assert node.host.born == [1, 3]


async def test_a_replica_that_is_about_to_come_is_not_lost() -> None:
    """Another one in its place would wait for it to leave, which it does when that is there."""
    node = Node()
    await node.life(BORN)
    node.host.groups[GROUP].log.lost = True
    node.members = (1, 2, 3)
    renewed = (12, state_of([(2, 2), (3, 1)], [(1, 1)], {2: 5, 3: 10, 1: 5}, 1))
    assert await node.life(BORN, renewed) == [GROUP]
    assert node.host.born == [1, 3]
    assert (node.host.to_renew_meanwhile, node.to_renew) == ([], [])


async def test_a_replica_is_not_made_again_when_the_one_before_it_comes_back() -> None:
    """A damaged journal forgot the removal and the creation. The newer one may have voted: it is
    lost, too, and another one is asked for."""
    node = Node()
    await node.life(BORN)
    before = node.host.groups[GROUP]
    before.log.lost = True
    await node.life(BORN)
    node.members = (1, 2, 3)
    renewed = (12, state_of([(2, 2), (3, 1)], [(1, 1)], {2: 5, 3: 10, 1: 5}, 1))
    assert await node.life(renewed) == []
    assert node.host.born == [1, 3]
    node.host.groups = {GROUP: before}
    assert await node.life(renewed) == [GROUP]
    assert (node.host.born, node.to_renew) == ([1, 3], [3])
    once_more = (14, state_of([(2, 2), (4, 1)], [(1, 1), (3, 1)], {2: 5, 3: 10, 1: 5, 4: 13}, 2))
    node.members = (1, 2, 3, 4)
    assert await node.life(once_more) == []
    assert node.host.born == [1, 3, 4]
