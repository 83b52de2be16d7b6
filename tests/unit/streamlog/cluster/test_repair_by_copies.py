"""Damage that no other replica can mend, and what a replica tells that is asked for a range."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from replication.errors import LogCorrupt, StorageFailed
from replication.group import GroupHost
from replication.ports import CallFailed, Channel, Network, StatusCode
from replication.raft.effects import Role
from replication.types import (
    METADATA_GROUP,
    DirectoryId,
    EntryMeta,
    GroupCreation,
    GroupId,
    LogPosition,
    Membership,
    NodeId,
    Offset,
    Replica,
    ReplicaId,
    Term,
    WriteSequence,
)
from streamlog.cluster.calls import PeerChannels, refusal_of
from streamlog.cluster.repair import (
    LET_GO_WITHIN_MS,
    RETRY_PAUSE_MS,
    Repairer,
    serve_read_log,
)
from streamlog.cluster.v1 import cluster_service_pb2 as pb
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason
from streamlog.model.settings.node import NodeConfig
from streamlog.storage.damage import DamagedRange, DamageReports
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.segments.segment_repair import FetchCopy
from tests.fakes.memory_group import MemoryGroup
from tests.fakes.memory_log import MemoryLog
from tests.fakes.store_harness import run

TERM = Term(1)
ENTRIES = 8
DAMAGED = (Offset(2), Offset(5))
NODES = tuple(map(NodeId, (1, 2, 3)))
MEMBERS = Membership(tuple(Replica(ReplicaId(n), n, DirectoryId(0xD0 + n)) for n in NODES))
PARTITION = GroupCreation(GroupId(9), MEMBERS, ReplicaId(1), "partition", topic_id=7, partition=0)
OFFSETS = replace(PARTITION, freed_by_snapshots=True)
METADATA = replace(OFFSETS, group_id=METADATA_GROUP, kind="metadata", topic_id=0)
DUE_S = RETRY_PAUSE_MS / 2_000
"""By then the first try has ended, and the second one has not begun."""


class RepairedLog(MemoryLog):
    """A log with a damaged segment."""

    def __init__(self, creation: GroupCreation, damage: DamageReports) -> None:
        super().__init__(creation)
        self._damage = damage
        self.repairs = 0
        self.has_let_go = False

    async def repair(self, start: Offset, fetch: FetchCopy) -> bool:
        """As GroupLog does, from one source."""
        self.repairs += 1
        at, end = DAMAGED
        assert start == at
        if self.has_let_go:
            self._damage.close(self.creation.group_id, start, mended=False)
            return False
        while at < end:
            entries, _ = await fetch(at, end)
            at = entries[-1].end
        self._damage.close(self.creation.group_id, start, mended=True)
        return True


class Peers:
    """Implements Network as far as calls go: the other nodes, by address."""

    def __init__(self) -> None:
        self.hosts: dict[str, GroupHost] = {}

    def connect(self, address: str) -> Channel:
        async def unary(method: str, request: bytes, timeout_ms: float) -> bytes:
            assert method.endswith("/ReadLog")
            await asyncio.sleep(0.001)
            if address not in self.hosts:
                raise CallFailed(StatusCode.UNAVAILABLE, "connection refused")
            return await serve_read_log(self.hosts[address], request)

        return cast("Channel", SimpleNamespace(unary=unary))


def fill(group: MemoryGroup) -> None:
    """With entries of one record each, all committed."""
    for number in range(ENTRIES):
        draft = BatchEntryCodec().records(group.creation, [b"%d" % number], 1)
        base = group.log.end.end
        frame = draft.frame(base, TERM)
        meta = EntryMeta(base, Offset(base + draft.span), TERM, len(frame))
        group.log.append(WriteSequence(0), [frame], [meta])
    group.commit()


def host_of(*groups: MemoryGroup) -> GroupHost:
    by_id = {group.creation.group_id: group for group in groups}
    return cast("GroupHost", SimpleNamespace(groups=by_id, live_nodes=lambda: set(NODES)))


class World:
    """Node 1, part of whose log is damaged, and the two others."""

    def __init__(self, creation: GroupCreation) -> None:
        self.damage = DamageReports()
        self.group, *others = (MemoryGroup(creation, node_id) for node_id in NODES)
        self.group.log = self.log = RepairedLog(creation, self.damage)
        self.other = dict(zip(NODES[1:], others, strict=True))
        for group in (self.group, *others):
            fill(group)
        self.host = host_of(self.group)
        self.peers = Peers()
        for node_id, group in self.other.items():
            self.peers.hosts[f"n{node_id}:1"] = host_of(group)
        controllers = tuple((node_id, f"n{node_id}:1") for node_id in NODES)
        config = NodeConfig(node_id=1, bind="n1:1", insecure=True, controllers=controllers)
        view = ClusterView(config)
        self.handed_over: list[tuple[GroupId, int]] = []
        """Groups, and how often a copy had been asked for by then."""
        self.can_hand_over = True
        channels = PeerChannels(cast("Network", self.peers))
        self.repairer = Repairer(NodeId(1), view, self.host, channels, self.damage, self._hand_over)

    async def _hand_over(self, group_id: GroupId) -> bool:
        self.handed_over.append((group_id, self.group.copies_asked))
        await asyncio.sleep(0.001)
        if self.can_hand_over:
            self.group.follow(TERM + 1, NodeId(2))
        return self.can_hand_over

    def repair(self, seconds: float = DUE_S, *, of_snapshot: bool = False) -> None:
        """Report the damage, and let the repairer work for so long."""
        start, end = (Offset(0), self.log.start.end) if of_snapshot else DAMAGED
        group_id = self.group.creation.group_id
        damaged = DamagedRange(group_id, start, end, "a file", "rot", of_snapshot)

        async def work() -> None:
            running = asyncio.create_task(self.repairer.run())
            self.damage.report(damaged)
            await asyncio.sleep(seconds)
            assert not running.done()

        run(work())

    @property
    def is_open(self) -> bool:
        return bool(self.damage.open)


class Source:
    """Implements SnapshotSource: a state machine that has replayed so much."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.asked = 0

    def save_snapshot_soon(self, through: Offset) -> bool:
        self.asked += 1
        return self.end >= through


def has_let_go(world: World, node_id: NodeId) -> None:
    """Part of it at least: the range is not whole there any more."""
    run(world.other[node_id].log.save_snapshot(LogPosition(TERM, Offset(3)), b"state"))


def has_let_go_here(world: World) -> None:
    run(world.log.save_snapshot(LogPosition(TERM, Offset(3)), b"state"))


def is_behind(world: World, node_id: NodeId) -> None:
    """It does not know that the end of the range is committed."""
    world.other[node_id].commit_end = Offset(4)


def is_behind_and_trimmed(world: World, node_id: NodeId) -> None:
    """After a start a replica knows no more to be committed than where its log begins."""
    has_let_go(world, node_id)
    world.other[node_id].commit_end = Offset(3)


def is_unreachable(world: World, node_id: NodeId) -> None:
    del world.peers.hosts[f"n{node_id}:1"]


def has_none(world: World, node_id: NodeId) -> None:
    world.peers.hosts[f"n{node_id}:1"] = host_of()


def awaits_a_copy(world: World, node_id: NodeId) -> None:
    world.other[node_id].log.needs_install = True


def fails_with(error: Exception) -> Callable[[World, NodeId], None]:
    def fails(world: World, node_id: NodeId) -> None:
        async def read(start: Offset, end: Offset, max_bytes: int) -> bytes:
            raise error

        world.other[node_id].log.read = read  # type: ignore[method-assign]

    return fails


is_damaged = fails_with(LogCorrupt(GroupId(0), "a file", "rot"))
is_failing = fails_with(StorageFailed("read", "Input/output error"))
HAVE_NOT = [
    is_behind,
    is_behind_and_trimmed,
    is_unreachable,
    has_none,
    awaits_a_copy,
    is_damaged,
    is_failing,
]
"""Why a replica can not give a range, though it may be had from it or others later."""


@pytest.mark.parametrize("creation", [METADATA, OFFSETS], ids=["metadata", "offsets"])
@pytest.mark.parametrize("other", [has_let_go, *HAVE_NOT], ids=lambda other: other.__name__)
@pytest.mark.parametrize("first", [True, False])
def test_a_copy_is_asked_for_when_a_replica_has_let_the_range_go(
    creation: GroupCreation, other: Callable[[World, NodeId], None], *, first: bool
) -> None:
    """One is enough, whatever the other one says: snapshots cover what it had. The damage stays open
    and is tried again, until the copy has come."""
    world = World(creation)
    trimmed, asked = NODES[1:] if first else (NODES[2], NODES[1])
    has_let_go(world, trimmed)
    other(world, asked)
    world.repair()
    assert (world.log.repairs, world.group.copies_asked) == (2, 1)
    assert world.is_open
    assert (world.damage.found, world.damage.mended) == (1, 0)
    assert world.handed_over == []


def test_it_is_asked_for_again_when_no_copy_came() -> None:
    """Messages are lost, and a leader may not be able to give one yet; then it is quiet."""
    world = World(METADATA)
    for node_id in world.other:
        has_let_go(world, node_id)
    world.repair(10 * RETRY_PAUSE_MS / 1_000)
    assert 4 <= world.group.copies_asked <= 6
    assert world.is_open
    assert world.damage.found == 1


@pytest.mark.parametrize("creation", [METADATA, OFFSETS], ids=["metadata", "offsets"])
@pytest.mark.parametrize("second", HAVE_NOT, ids=lambda each: each.__name__)
@pytest.mark.parametrize("third", HAVE_NOT, ids=lambda each: each.__name__)
def test_no_copy_is_asked_for_while_the_range_may_be_had(
    creation: GroupCreation,
    second: Callable[[World, NodeId], None],
    third: Callable[[World, NodeId], None],
) -> None:
    """From replicas that nobody reaches now, or that are behind, or can not read it either."""
    world = World(creation)
    second(world, NODES[1])
    third(world, NODES[2])
    world.repair(3 * RETRY_PAUSE_MS / 1_000)
    assert world.group.copies_asked == 0
    assert world.handed_over == []
    assert world.log.repairs >= 2 * 2
    assert world.is_open


@pytest.mark.parametrize("creation", [METADATA, OFFSETS], ids=["metadata", "offsets"])
@pytest.mark.parametrize("sound", NODES[1:])
def test_what_a_replica_has_is_fetched_though_another_has_let_it_go(
    creation: GroupCreation, sound: NodeId
) -> None:
    """A copy is the last resort."""
    world = World(creation)
    for node_id in world.other:
        if node_id != sound:
            has_let_go(world, node_id)
    world.repair()
    assert (world.is_open, world.damage.mended, world.group.copies_asked) == (False, 1, 0)


def of_users_topic(log_start: int) -> World:
    """The others have let the damaged range go, and here the log begins there. It has no snapshots,
    and begins at the same offset on every replica."""
    world = World(PARTITION)
    for node_id in world.other:
        has_let_go(world, node_id)
    world.log.start = LogPosition(TERM, Offset(log_start))
    return world


@pytest.mark.parametrize("log_start", [0, 1, DAMAGED[0]])
@pytest.mark.parametrize("leads", [False, True])
def test_what_a_users_log_holds_is_not_given_up_for_a_copy(log_start: int, *, leads: bool) -> None:
    """That the others have let go what is part of the log here, this replica hears of, too: they
    are no more than ahead of it."""
    world = of_users_topic(log_start)
    if leads:
        world.group.lead(TERM)
    world.repair(2 * LET_GO_WITHIN_MS / 1_000)
    assert (world.group.copies_asked, world.handed_over) == (0, [])
    assert world.log.repairs > 4
    assert world.is_open


@pytest.mark.parametrize("log_start", range(DAMAGED[0] + 1, DAMAGED[1]))
@pytest.mark.parametrize("leads", [False, True])
def test_a_users_log_that_begins_within_the_damage_is_copied(
    log_start: int, *, leads: bool
) -> None:
    """The others have no more than the upper part of that segment, which mends nothing."""
    world = of_users_topic(log_start)
    if leads:
        world.group.lead(TERM)
    world.repair()
    assert world.group.copies_asked == 1
    assert world.handed_over == ([(PARTITION.group_id, 0)] if leads else [])


@pytest.mark.parametrize("log_start", [*range(DAMAGED[1], ENTRIES + 1)])
def test_what_lies_below_the_start_of_a_users_log_is_given_time_to_go(log_start: int) -> None:
    """The segment is removed with the start. Where that has not happened for long, something waits
    for it, and a copy is asked for."""
    world = of_users_topic(log_start)
    world.repair(LET_GO_WITHIN_MS / 1_000)
    assert world.group.copies_asked == 0
    assert world.log.repairs > 4
    again = of_users_topic(log_start)
    again.repair(4 * LET_GO_WITHIN_MS / 1_000)
    assert again.group.copies_asked >= 1


@pytest.mark.parametrize("can", [True, False])
def test_a_leader_hands_over_before_it_asks(*, can: bool) -> None:
    """It can not be given a copy of its own log. Where nobody takes over it does so again when it
    tries again."""
    world = World(METADATA)
    for node_id in world.other:
        has_let_go(world, node_id)
    world.group.lead(TERM)
    world.group.commit()
    world.can_hand_over = can
    world.repair(1.5 * RETRY_PAUSE_MS / 1_000)
    assert world.group.copies_asked == 2
    assert world.handed_over == [(METADATA_GROUP, 0)] + ([] if can else [(METADATA_GROUP, 1)])
    assert (world.group.role is Role.LEADER) != can


@pytest.mark.parametrize("leads", [False, True])
def test_for_a_damaged_snapshot_a_copy_is_asked(*, leads: bool) -> None:
    """No range of the log mends it; it is asked for again until a snapshot is there. The state
    machine waits for one, too."""
    world = World(OFFSETS)
    has_let_go_here(world)
    source = Source(0)
    world.group.use_snapshots_of(source)
    if leads:
        world.group.lead(TERM)
        world.group.commit()
    world.repair(1.5 * RETRY_PAUSE_MS / 1_000, of_snapshot=True)
    assert (world.log.repairs, world.group.copies_asked, world.is_open) == (0, 2, True)
    assert world.handed_over == ([(OFFSETS.group_id, 0)] if leads else [])
    assert source.asked == 2
    world.damage.close(OFFSETS.group_id, Offset(0), mended=True, of_snapshot=True)
    assert (world.is_open, world.damage.mended) == (False, 1)


def test_a_damaged_snapshot_is_written_anew_by_who_has_its_state() -> None:
    """It is asked for again until it is there, and nobody else is asked: a disk may have room for it
    later."""
    world = World(OFFSETS)
    has_let_go_here(world)
    source = Source(world.log.start.end)
    world.group.use_snapshots_of(source)
    world.repair(4 * LET_GO_WITHIN_MS / 1_000, of_snapshot=True)
    assert source.asked > 4
    assert (world.group.copies_asked, world.log.repairs) == (0, 0)
    assert world.is_open


@pytest.mark.parametrize("past", [True, False])
def test_a_snapshot_lets_go_of_what_nobody_has(*, past: bool) -> None:
    """If the state has what was in the damaged range. When that did not help, a copy is asked for."""
    world = World(OFFSETS)
    for node_id in world.other:
        has_let_go(world, node_id)
    source = Source(DAMAGED[1] if past else DAMAGED[1] - 1)
    world.group.use_snapshots_of(source)
    world.repair(RETRY_PAUSE_MS * 1.5 / 1_000)
    assert (source.asked, world.group.copies_asked) == (2, 0 if past else 2)
    world.repair(4 * LET_GO_WITHIN_MS / 1_000)
    assert world.group.copies_asked > 0


@pytest.mark.parametrize("node_id", NODES[1:])
def test_nothing_is_let_go_that_another_replica_has(node_id: NodeId) -> None:
    world = World(OFFSETS)
    has_let_go(world, node_id)
    world.group.use_snapshots_of(source := Source(DAMAGED[1]))
    world.repair()
    assert (source.asked, world.is_open, world.damage.mended) == (0, False, 1)


def test_damage_that_was_let_go_is_forgotten() -> None:
    """Also where there is nobody to mend it from."""
    alone = replace(PARTITION, membership=Membership(MEMBERS.voters[:1]))
    world = World(alone)
    world.repair(3 * RETRY_PAUSE_MS / 1_000)
    assert world.is_open
    world.log.has_let_go = True
    world.repair()
    assert (world.is_open, world.damage.mended) == (False, 0)


def test_a_damaged_snapshot_of_a_log_that_awaits_a_copy_is_forgotten() -> None:
    """The copy brings another."""
    world = World(OFFSETS)
    has_let_go_here(world)
    world.log.needs_install = True
    world.repair(of_snapshot=True)
    assert (world.is_open, world.damage.mended, world.group.copies_asked) == (False, 0, 0)


def test_what_is_not_known_to_be_committed_is_left_alone() -> None:
    """It may be cut away yet, and only what is committed is the same everywhere."""
    world = World(METADATA)
    for node_id in world.other:
        has_let_go(world, node_id)
    world.group.commit_end = Offset(DAMAGED[1] - 1)
    world.repair(3 * RETRY_PAUSE_MS / 1_000)
    assert (world.log.repairs, world.group.copies_asked, world.is_open) == (0, 0, True)


def test_what_was_cut_away_is_not_waited_for() -> None:
    """The log ends within what was reported, and is committed as far as it goes."""
    world = World(PARTITION)
    world.log.truncate(WriteSequence(0), Offset(DAMAGED[1] - 1))
    world.group.commit_end = world.log.end.end
    world.repair()
    assert (world.is_open, world.damage.mended) == (False, 1)


@pytest.mark.parametrize("removed", [True, False])
def test_damage_of_a_log_that_is_not_there_any_more_is_forgotten(*, removed: bool) -> None:
    """The replica was removed, or waits for a copy already."""
    world = World(METADATA)
    if removed:
        cast("dict[GroupId, MemoryGroup]", world.host.groups).clear()
    world.log.needs_install = True
    world.repair()
    assert (world.is_open, world.damage.found, world.damage.mended) == (False, 1, 0)
    assert (world.log.repairs, world.group.copies_asked) == (0, 0)


def reason_of(host: GroupHost, request: bytes) -> Reason | None:
    """What is answered; None: frames."""

    async def ask() -> Reason | None:
        try:
            await serve_read_log(host, request)
        except CallFailed as failed:
            refusal = refusal_of(failed)
            assert refusal is not None
            return refusal.reason
        return None

    return run(ask())


def request_of(group_id: int, start: int, end: int) -> bytes:
    request = pb.ReadLogRequest(group_id=group_id, start_offset=start, end_offset=end)
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("log_start", "commit_end", "start", "end", "reason"),
    [
        pytest.param(0, 8, 2, 5, None, id="held"),
        pytest.param(2, 5, 2, 5, None, id="all that is held"),
        pytest.param(0, 8, 2, 9, Reason.OFFSET_NOT_AVAILABLE, id="beyond the log"),
        pytest.param(0, 4, 2, 5, Reason.OFFSET_NOT_AVAILABLE, id="not all is committed"),
        pytest.param(0, 2, 2, 5, Reason.OFFSET_NOT_AVAILABLE, id="nothing is committed"),
        pytest.param(0, 8, 5, 5, Reason.OFFSET_NOT_AVAILABLE, id="nothing"),
        pytest.param(3, 8, 2, 5, Reason.OFFSET_OUT_OF_RANGE, id="let go in part"),
        pytest.param(6, 6, 2, 5, Reason.OFFSET_OUT_OF_RANGE, id="let go"),
        pytest.param(3, 3, 2, 5, Reason.OFFSET_NOT_AVAILABLE, id="let go, the rest unknown"),
    ],
)
def test_what_a_replica_answers(
    log_start: int, commit_end: int, start: int, end: int, reason: Reason | None
) -> None:
    """Whether a range is gone or not known yet decides whether the other one asks for a copy."""
    group = MemoryGroup(METADATA, NodeId(2))
    fill(group)
    if log_start:
        run(group.log.save_snapshot(LogPosition(TERM, Offset(log_start)), b"state"))
    group.commit_end = Offset(commit_end)
    assert reason_of(host_of(group), request_of(0, start, end)) == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (has_none, Reason.OFFSET_NOT_AVAILABLE),
        (awaits_a_copy, Reason.OFFSET_NOT_AVAILABLE),
        (is_damaged, Reason.CORRUPT_LOG),
        (is_failing, Reason.STORAGE_FAILED),
    ],
    ids=["no replica", "awaits a copy", "damaged", "failing"],
)
def test_what_a_replica_answers_that_can_not_read(
    change: Callable[[World, NodeId], None], reason: Reason
) -> None:
    """None of this says that it has let the range go."""
    world = World(METADATA)
    change(world, NODES[1])
    assert reason_of(world.peers.hosts["n2:1"], request_of(0, 2, 5)) == reason


def test_a_request_that_is_none_is_refused() -> None:
    """Whatever comes from the network."""
    assert reason_of(host_of(), b"\xff") == Reason.MALFORMED_MESSAGE
