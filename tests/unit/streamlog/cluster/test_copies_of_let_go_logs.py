"""Whole nodes: part of one's metadata log rots that the others have let go, behind their snapshots."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from jepsen_like.sim.ports.scheduler import silence
from replication.errors import DiskFull, LeadershipTransferFailed
from replication.raft.effects import Role
from replication.types import METADATA_GROUP, LogPosition, NodeId
from streamlog.cluster.metadata.state import MetadataState
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.segments.segment_logs import snapshot_path
from tests.fakes.multiraft_cluster import Recorder
from tests.fakes.node_world import PATIENCE_S, NodeWorld

T = TypeVar("T")
ALL = (1, 2, 3)
TOPICS_MAX = 200
TRANSFERS_MAX = 5
SEGMENTS = "groups/0000000000000000/00000001/"


class World(NodeWorld):
    """Nodes that save snapshots of the metadata often."""

    def __init__(self, nodes: int) -> None:
        super().__init__(nodes=nodes, snapshot_records=10, snapshot_bytes=4096)
        self.numbers = ALL[:nodes]
        self.rotten = self.numbers[-1]

    def log(self, number: int) -> GroupLog:
        """Of the metadata."""
        log = self.parts(number).groups.groups[METADATA_GROUP].log
        assert isinstance(log, GroupLog)
        return log

    @property
    def leader(self) -> int | None:
        for number in self.numbers:
            if self.node(number).is_serving:
                group = self.parts(number).groups.groups[METADATA_GROUP]
                if group.role is Role.LEADER and group.established:
                    return number
        return None

    def let_lead(self, number: int) -> None:
        """A transfer may expire: the other one may be behind, or have just been started."""
        for _ in range(TRANSFERS_MAX):
            self.wait(lambda: self.leader is not None)
            leader = self.leader
            assert leader is not None
            if leader == number:
                return
            group = self.parts(leader).groups.groups[METADATA_GROUP]
            with suppress(LeadershipTransferFailed):
                self.do(leader, group.transfer_leadership(NodeId(number)))
                self.wait(lambda: self.leader == number)
        assert self.leader == number

    def do(self, number: int, work: Coroutine[Any, Any, T]) -> T:
        """On a node's loop."""
        life = self.node(number).life
        assert life is not None
        return self.scheduler.complete(life.loop.create_task(work), PATIENCE_S)

    def create_topic(self, name: str) -> None:
        by = self.leader or 1
        cluster = self.parts(by).cluster
        self.do(by, cluster.create_topic(name, partition_count=1, replication_factor=1))

    def let_go_elsewhere(self) -> None:
        """Write metadata until the other nodes have let go what is in the first segment here, which
        can save no snapshot: its disk has no room for one, until `has_room`."""

        async def is_full(through: LogPosition, data: bytes) -> None:
            raise DiskFull(len(data), 0)

        log = self.log(self.rotten)
        assert log.start.end == 0
        log.save_snapshot = is_full  # type: ignore[method-assign]
        for number in range(TOPICS_MAX):
            self.create_topic(f"topic-{number}")
            self.do(self.rotten, self.parts(self.rotten).store.checkpoint_now())
            end = self.first_segment_end
            if end and all(self.log(n).start.end >= end for n in self.numbers if n != self.rotten):
                break
        assert log.start.end == 0
        end = self.first_segment_end
        assert end > 0
        assert all(self.log(n).start.end >= end for n in self.numbers if n != self.rotten)

    def has_room(self) -> None:
        """For snapshots, again."""
        del self.log(self.rotten).save_snapshot

    @property
    def first_segment_end(self) -> int:
        """Of the log that rots: where its second segment begins; 0 while there is none."""
        files = self.node(self.rotten).disk.files()
        bases = [int(path.removeprefix(SEGMENTS)[:20]) for path in files if is_segment(path)]
        return sorted(bases)[1] if len(bases) > 1 else 0

    def rot(self) -> None:
        """A byte in the midst of the first segment."""
        disk = self.node(self.rotten).disk
        path = min(filter(is_segment, disk.files()))
        disk.flip_bits(path, len(disk.content(path)) // 2)

    def states(self) -> list[MetadataState | None]:
        return [self.parts(number).cluster.view.state for number in self.alive()]

    def alive(self) -> list[int]:
        return [number for number in self.numbers if self.node(number).life is not None]

    def scrub(self) -> None:
        self.do(self.rotten, self.parts(self.rotten).cluster.scrubber.round())

    def find_damage(self) -> None:
        """There is one, and scrubbing finds it."""
        self.scrub()
        assert self.parts(self.rotten).store.damage.found == 1

    def until_mended(self, damaged_end: int) -> None:
        """No damage is open, the log begins behind it, and the node knows what the others know."""

        def is_mended() -> bool:
            first, *others = self.states()
            return (
                not self.parts(self.rotten).store.damage.open
                and self.log(self.rotten).start.end >= damaged_end
                and first is not None
                and all(first == other for other in others)
            )

        self.wait(is_mended)

    def check_in_use(self) -> None:
        """The node goes on with what it was given, also after another start, and leads again."""
        self.create_topic("afterwards")
        self.wait(lambda: self.view_has(self.rotten, "afterwards"))
        self.restart()
        self.let_lead(self.rotten)
        self.create_topic("led-again")
        self.wait(lambda: all(self.view_has(number, "led-again") for number in self.alive()))
        self.scrub()
        assert self.parts(self.rotten).store.damage.found == 0

    def view_has(self, number: int, name: str) -> bool:
        return self.parts(number).cluster.view.topic(name) is not None

    def restart(self, until: Callable[[], bool] | None = None) -> None:
        """After a power cut; until it serves, if nothing else is said."""
        node = self.node(self.rotten)
        self.cluster.kill(node, power_cut=True)
        self.cluster.start(node)
        self.wait(until or (lambda: node.is_serving))

    def found_damage(self) -> bool:
        """In this life."""
        life = self.node(self.rotten).life
        assert life is not None
        return life.node.member is not None and bool(life.node.member.store.damage.found)


def is_segment(path: str) -> bool:
    return path.startswith(SEGMENTS) and path.endswith(".segment")


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Of three nodes, or as many as the test says."""
    with silence():
        made = World(getattr(request, "param", len(ALL)))
        yield made
        made.dispose()


@pytest.mark.parametrize("gone", [None, 2], ids=["all three", "two of three"])
@pytest.mark.parametrize("leads", [False, True], ids=["follower", "leader"])
def test_the_node_is_given_a_copy_of_what_it_can_not_mend(
    world: World, *, leads: bool, gone: int | None
) -> None:
    """Nobody has the range any more. A leader lets another one lead before: its own log is what
    would be copied. Where a third node is gone, the two need each other all the while."""
    world.let_lead(world.rotten if leads else 1)
    world.let_go_elsewhere()
    damaged_end = world.first_segment_end
    recorder = Recorder()
    world.parts(world.rotten).groups.groups[METADATA_GROUP].add_observer(recorder)
    if gone is not None:
        world.cluster.kill(world.node(gone), power_cut=True)
    world.rot()
    world.find_damage()
    world.until_mended(damaged_end)
    replaced = recorder.heard.index(("replaced",))
    roles = [heard[1] for heard in recorder.heard[:replaced] if heard[0] == "role"]
    assert (Role.FOLLOWER in roles) == leads
    world.check_in_use()


ALONE_OR_NOT = pytest.mark.parametrize(
    ("world", "leads"),
    [(1, True), (3, False), (3, True)],
    indirect=["world"],
    ids=["alone", "follower", "leader"],
)


@pytest.mark.parametrize("how", ["rots", "is gone"])
@ALONE_OR_NOT
def test_a_snapshot_that_can_not_be_read_is_written_anew(
    world: World, how: str, *, leads: bool
) -> None:
    """Scrubbing finds it, long before it is needed. The state machine, which has what was in it,
    goes on, and writes another at once: alone it would not get through the next start."""
    world.let_lead(world.rotten if leads else 1)
    for number in range(TOPICS_MAX):
        world.create_topic(f"topic-{number}")
        if world.log(world.rotten).start.end:
            break
    log, disk = world.log(world.rotten), world.node(world.rotten).disk
    assert log.start.end > 0
    path = snapshot_path(METADATA_GROUP, log.generation)
    if how == "rots":
        disk.flip_bits(path, len(disk.content(path)) // 2)
    else:
        world.do(world.rotten, disk.remove(path))
    store = world.parts(world.rotten).store
    world.find_damage()
    world.until_mended(log.start.end)
    assert (store.damage.mended, log.generation) == (1, 1)
    world.check_in_use()


@ALONE_OR_NOT
def test_a_snapshot_takes_the_place_of_what_nobody_has(world: World, *, leads: bool) -> None:
    """The state machine is past the damage: with its state kept, the damaged segment is not needed."""
    world.let_lead(world.rotten if leads else 1)
    world.let_go_elsewhere()
    damaged_end = world.first_segment_end
    world.rot()
    world.has_room()
    log, store = world.log(world.rotten), world.parts(world.rotten).store
    world.find_damage()
    world.until_mended(damaged_end)
    assert (store.damage.mended, log.generation) == (0, 1)
    world.check_in_use()


@pytest.mark.parametrize("world", [1], indirect=True)
def test_alone_a_snapshot_takes_the_place_of_the_newest_segment(world: World) -> None:
    """Behind which another is begun, so that it can be let go."""
    world.let_lead(world.rotten)
    world.create_topic("before")
    log, store = world.log(world.rotten), world.parts(world.rotten).store
    world.do(world.rotten, store.checkpoint_now())
    assert (log.segment_count, log.start.end) == (1, 0)
    damaged_end = log.end.end
    world.rot()
    world.find_damage()
    world.until_mended(damaged_end)
    world.check_in_use()
    assert world.view_has(world.rotten, "before")


def test_a_node_whose_state_machine_can_not_get_past_the_damage_is_given_a_copy(
    world: World,
) -> None:
    """It was started anew, has no snapshot, and knows nothing of what comes behind the damage before
    the copy is there."""
    world.let_lead(1)
    world.let_go_elsewhere()
    damaged_end = world.first_segment_end
    newest = max(topic.topic_id for topic in world.parts(world.rotten).cluster.view.topics())
    world.rot()
    world.restart(until=world.found_damage)
    assert world.log(world.rotten).start.end == 0
    assert world.parts(world.rotten).cluster.view.topic_by_id(newest) is None
    world.until_mended(damaged_end)
    assert world.parts(world.rotten).cluster.view.topic_by_id(newest) is not None
    world.wait(lambda: world.node(world.rotten).is_serving)
    world.check_in_use()
