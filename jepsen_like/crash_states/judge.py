"""Opens a disk that a power cut left, and judges what recovery makes of it.

1. The store starts: a refusal is a failure, because every state is a legal one.
2. What was promised is there, byte for byte, and nothing else: entries, hard state, creations and
   deletions, the log's start, terms, memberships, producers, snapshots. Nothing is called rotten.
3. Everything goes on: new entries (small, large), votes and a new group are taken.
4. The power is cut again; the next recovery finds the same and the new.

Of some states (by their digest) the power is cut right after recovery, which must change nothing.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from jepsen_like.crash_states.pending import Playback
from jepsen_like.crash_states.promise import (
    Entry,
    GroupHistory,
    GroupPromise,
    Held,
    ProducerBatches,
    Promise,
    Snapshot,
)
from jepsen_like.crash_states.record import Record
from jepsen_like.crash_states.recording_disk import LATENCY, InstantDisk, RecordingDisk
from jepsen_like.crash_states.stored_node import PRODUCERS, NodeSettings, StoredNode, entries_of
from jepsen_like.crash_states.virtual_time import VirtualLoop, run
from jepsen_like.sim.ports.volume import Volume
from replication.types import GroupCreation, GroupId, HardState, Membership
from streamlog.storage.group.group_log import GroupLog
from streamlog.storage.identity import load_identity
from streamlog.storage.segments.log_state import LogState, restore_log_state
from streamlog.storage.store import NodeStore

LATER_S: Final = 1_000.0
"""When the next life begins: its clock goes on."""
NEW_GROUP: Final = 99
"""Id of the first group that is made after a recovery."""
_TWICE_ONE_IN: Final = 4
"""So many states see a second crash at once after their recovery."""

Producers = tuple[tuple[int, ProducerBatches], ...]


class Violation(Exception):
    """A promise is broken."""


@dataclass(frozen=True, slots=True)
class GroupView:
    """What a recovered group shows."""

    creation: GroupCreation
    entries: tuple[Entry, ...]
    end: int
    start: int
    start_term: int
    hard_state: HardState
    terms: tuple[tuple[int, int], ...]
    memberships: tuple[tuple[int, Membership], ...]
    producers: Producers
    producers_of_start: Producers
    data_end: int
    snapshot: Snapshot


Views = dict[GroupId, GroupView]


def judge(volume: Volume, promise: Promise, settings: NodeSettings, digest: str) -> None:
    """Raise Violation when a promise is broken on this disk. The volume is used up."""
    rng = random.Random(digest)
    if int(digest, 16) % _TWICE_ONE_IN == 0:
        life = _Life(volume, settings)
        promise = life.run(life.recover(promise))
        volume = life.power_cut(rng)
    life = _Life(volume, settings)
    promise = life.run(life.recover_and_go_on(promise, rng))
    life = _Life(life.power_cut(rng), settings)
    life.run(life.recover(promise))


def _brief(view: GroupView) -> str:
    end = view.entries[-1].end if view.entries else view.start
    return f"[{view.start}, {end}) in {len(view.entries)} entries, {view.hard_state}"


def record_recovery(volume: Volume, promise: Promise, settings: NodeSettings, seed: int) -> Record:
    """Recover on a disk that records, then write; for crashes during recovery. The volume is used
    up. What recovery finds is promised from the moment at which the store has started.

    Raises Violation when it fails.
    """
    record = Record()
    record.promised(promise)
    _recover_recorded(record, volume, settings, seed)
    return record


def record_after_kill(record: Record, point: int, settings: NodeSettings, seed: int) -> Record:
    """The process is killed after an event, and the machine lives: the next process sees what was
    not synced too. The record goes on with its recovery, then writes.

    Raises Violation when that fails.
    """
    playback = Playback(Volume())
    for event in record.events[: point + 1]:
        playback.play(event)
    begun = record.until(point)
    _recover_recorded(begun, playback.live, settings, seed)
    return begun


def _recover_recorded(record: Record, volume: Volume, settings: NodeSettings, seed: int) -> None:
    """The groups' histories are copied: this life adds to its own."""
    rng = random.Random(seed)
    promise = record.promise
    histories: dict[GroupId, GroupHistory] = {}
    groups: dict[GroupId, GroupPromise] = {}
    for group_id, promised in promise.groups.items():
        before = promised.history
        histories[group_id] = GroupHistory(
            before.creation,
            before.states[: promised.ceiling + 1],
            before.snapshots[: promised.snapshot_ceiling + 1],
        )
        groups[group_id] = replace(promised, history=histories[group_id])
    record.promised(replace(promise, groups=groups))
    node = StoredNode(RecordingDisk(record, rng, LATENCY, volume), record, histories, rng, settings)

    async def live() -> None:
        await node.start()
        await _write_more(node, sorted(node.store.logs))

    try:
        run(live(), LATER_S)
    except Exception as error:
        raise Violation(f"{type(error).__name__}: {error}") from error


class _Life:
    """One process on the disk."""

    def __init__(self, volume: Volume, settings: NodeSettings) -> None:
        self._disk = InstantDisk(volume=volume)
        self._settings = settings
        self._loop = VirtualLoop(LATER_S)

    def run(self, work: Coroutine[Any, Any, Promise]) -> Promise:
        """Run, then end without a stop."""
        try:
            return self._loop.run_until_complete(work)
        except Violation:
            raise
        except Exception as error:
            raise Violation(f"{type(error).__name__}: {error}") from error
        finally:
            self._loop.abandon()

    def power_cut(self, rng: random.Random) -> Volume:
        """What the next process finds."""
        return self._disk.crash(rng).volume

    async def recover(self, promise: Promise) -> Promise:
        """Start, and hold what is there against the promise; exactly that is promised then."""
        node = StoredNode(self._disk, Record(), {}, random.Random(0), self._settings)
        return await self._recover(node, promise)

    async def recover_and_go_on(self, promise: Promise, rng: random.Random) -> Promise:
        """As `recover`, then write, until all of it is durable; that is promised then."""
        record = Record()
        histories: dict[GroupId, GroupHistory] = {}
        node = StoredNode(self._disk, record, histories, rng, self._settings)
        found = await self._recover(node, promise)
        histories.update({g: promised.history for g, promised in found.groups.items()})
        record.promised(found)
        await _write_more(node, sorted(histories))
        return record.promise

    async def _start(self, node: StoredNode) -> NodeStore:
        store = await node.recover()
        recovered = store.recovered
        assert recovered is not None
        for group in recovered.groups:
            if group.damage is not None:
                raise Violation(f"group {group.replay.group_id} lost its log: {group.damage}")
        if recovered.gaps:
            raise Violation(f"a crash is taken for rot of the journal: {recovered.gaps}")
        if recovered.damaged_checkpoints:
            raise Violation(f"a checkpoint is damaged: {recovered.damaged_checkpoints}")
        if store.unknown_directories:
            raise Violation(f"nothing accounts for {store.unknown_directories}")
        return store

    async def _recover(self, node: StoredNode, promise: Promise) -> Promise:
        store = await self._start(node)
        identity = await load_identity(self._disk)
        assert identity is not None
        if promise.directory_id not in {None, identity.directory_id}:
            raise Violation("the directory has another identity")
        if promise.running and not store.unclean_start:
            raise Violation("an unclean stop passes for a clean one")
        found = await _look(store)
        groups: dict[GroupId, GroupPromise] = {}
        for group_id in sorted({*promise.groups, *found}):
            kept = _check_group(group_id, promise.groups.get(group_id), found.get(group_id))
            if kept is not None:
                groups[group_id] = kept
        return Promise(groups, int(identity.directory_id), running=True)


async def _look(store: NodeStore) -> Views:
    """What the store shows of its groups."""
    views: Views = {}
    for group_id, log in sorted(store.logs.items()):
        assert isinstance(log, GroupLog)
        state = log.segment_log.state
        restored, end = restore_log_state(log.log_state(log.start.end), "the start's state")
        if end != log.start.end:
            raise Violation(f"group {group_id}: the state of the start, {log.start}, is of {end}")
        views[group_id] = GroupView(
            creation=log.creation,
            entries=await entries_of(log),
            end=log.end.end,
            start=log.start.end,
            start_term=log.start.term,
            hard_state=log.hard_state,
            terms=tuple(log.terms),
            memberships=tuple(log.memberships),
            producers=_producers(state),
            producers_of_start=_producers(restored),
            data_end=state.data_end,
            snapshot=await log.load_snapshot(),
        )
    return views


def _producers(state: LogState) -> Producers:
    found: dict[int, ProducerBatches] = {}
    for producer_id in PRODUCERS:
        known = state.producer(producer_id)
        if known is not None:
            batches = tuple(
                (b.base_sequence, b.last_sequence, b.base_offset, b.last_offset)
                for b in known.batches
            )
            found[producer_id] = ProducerBatches(known.epoch, batches)
    return tuple(sorted(found.items()))


def _check_group(
    group_id: GroupId, promise: GroupPromise | None, view: GroupView | None
) -> GroupPromise | None:
    """Raise Violation unless the group is as promised; gives back what it promises from now on."""
    if view is None:
        if promise is not None and promise.created and not promise.delete_asked:
            raise Violation(f"group {group_id} is gone")
        return None
    if promise is None:
        raise Violation(f"group {group_id} is there, and was never asked for")
    creation = promise.history.creation
    if view.creation.local_replica_id != creation.local_replica_id:
        raise Violation(
            f"group {group_id} is there as replica {view.creation.local_replica_id}, expected "
            f"{creation.local_replica_id}"
        )
    if promise.deleted:
        raise Violation(f"group {group_id} was deleted, and is there again")
    start = view.start
    if not promise.start_floor <= start <= promise.start_ceiling:
        raise Violation(
            f"group {group_id} begins at {start}, expected {promise.start_floor} to "
            f"{promise.start_ceiling}"
        )
    snapshots = promise.history.snapshots[promise.snapshot_floor : promise.snapshot_ceiling + 1]
    if view.snapshot not in snapshots:
        raise Violation(f"group {group_id} has snapshot {view.snapshot}, expected {snapshots}")
    held = _match(group_id, promise, view)
    expected = _view_of(held, creation, start, view.snapshot)
    for name in GroupView.__slots__:
        is_, should = getattr(view, name), getattr(expected, name)
        if is_ != should:
            raise Violation(f"group {group_id}: {name} is {is_}, expected {should}")
    return GroupPromise(
        GroupHistory(creation, [held], [view.snapshot]),
        created=True,
        # A start that is journalled may be carried out by any later life.
        start_floor=start,
        start_ceiling=promise.start_ceiling,
    )


def _view_of(held: Held, creation: GroupCreation, start: int, snapshot: Snapshot) -> GroupView:
    data_end, producers = held.folded(held.end)
    _, producers_of_start = held.folded(start)
    return GroupView(
        creation=creation,
        entries=held.entries_from(start),
        end=max(start, held.end),
        start=start,
        start_term=held.term_before(start),
        hard_state=held.hard_state,
        terms=tuple(held.terms_from(start)),
        memberships=held.memberships_from(creation.membership, start),
        producers=tuple(sorted(producers.items())),
        producers_of_start=tuple(sorted(producers_of_start.items())),
        data_end=data_end,
        snapshot=snapshot,
    )


def _match(group_id: GroupId, promise: GroupPromise, view: GroupView) -> Held:
    """The state that was found. Raises Violation when it is none of those possible."""
    possible = promise.history.possible(promise.floor, promise.ceiling)
    for held in possible:
        if held.hard_state == view.hard_state and held.entries_from(view.start) == view.entries:
            return held
    first, last = possible[0], possible[-1]
    raise Violation(
        f"group {group_id} holds {_brief(view)}; expected one of {len(possible)} states from "
        f"{first} (reported complete) to {last} (asked for)"
    )


async def _write_more(node: StoredNode, numbers: Sequence[int]) -> None:
    """A little of everything, until it is durable."""
    for number in numbers:
        before = node.now(number)
        node.hard_state(number, before.hard_state.term + 1, 1)
        node.append(number, [0])
        node.append(number, [300, 200])
        node.append(number, [5_000])
        node.produce(number, PRODUCERS[0], 100)
    # An earlier life may have made one already.
    new = max([NEW_GROUP - 1, *numbers]) + 1
    await node.create(new)
    node.append(new, [100])
    await node.settled(*numbers, new)
