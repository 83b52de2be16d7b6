"""What a store has promised by some moment: what must be found after a crash, and what may be.

Each group has a history: what it held after each of its writes. Of every bound there are two
values, `floor` (reported complete: must be there) and `ceiling` (asked for: may be there). The
writes of a group become durable in their order, so what is found is the state after one of the
writes between the two; of an append that was not reported complete, any number of whole entries.

A promise is a value: the record keeps one beside each event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from replication.types import GroupCreation, GroupId, HardState, LogPosition, Membership
from streamlog.model.batch import BatchHeader, read_header

PRODUCER_BATCHES_MAX: Final = 5
"""As docs/formats.md has it; on purpose not the store's own constant."""

Snapshot = tuple[LogPosition, bytes] | None


class Entry(NamedTuple):
    """One entry of a log."""

    base: int
    end: int
    term: int
    frame: bytes
    membership: Membership | None = None


class ProducerBatches(NamedTuple):
    """What a log says of a producer: its epoch, and its last batches as (first sequence, last
    sequence, first offset, last offset)."""

    epoch: int
    batches: tuple[tuple[int, int, int, int], ...]


class Held:
    """What a group holds after a write: all entries from offset 0 on, also those let go since.

    What follows from the entries is computed once, the simplest way there is.
    """

    def __init__(self, entries: tuple[Entry, ...], hard_state: HardState) -> None:
        self.entries = entries
        self.hard_state = hard_state

    def __repr__(self) -> str:
        return f"[0, {self.end}) in {len(self.entries)} entries, {self.hard_state}"

    @property
    def end(self) -> int:
        """Exclusive end of the log."""
        return self.entries[-1].end if self.entries else 0

    def entries_from(self, start: int) -> tuple[Entry, ...]:
        """Entries that begin at or above an offset."""
        return tuple(entry for entry in self.entries if entry.base >= start)

    def term_before(self, offset: int) -> int:
        """Term of the entry that ends at an offset; 0 at the beginning."""
        return next((e.term for e in reversed(self.entries) if e.end <= offset), 0)

    def is_boundary(self, offset: int) -> bool:
        """Some entry begins or ends there."""
        return offset == 0 or any(entry.end == offset for entry in self.entries)

    def terms_from(self, start: int) -> list[tuple[int, int]]:
        """Each term's first offset, from the term of the entry below `start` on."""
        found: list[tuple[int, int]] = []
        for entry in self.entries:
            if not found or found[-1][0] != entry.term:
                found.append((entry.term, entry.base))
        last_below = [index for index, (_, first) in enumerate(found) if first < start][-1:]
        return found[last_below[0] if last_below else 0 :]

    def memberships_from(self, first: Membership, start: int) -> tuple[tuple[int, Membership], ...]:
        """The membership in force at `start`, then the later ones."""
        in_force = first
        later: list[tuple[int, Membership]] = []
        for entry in self.entries:
            if entry.membership is None:
                continue
            if entry.base < start:
                in_force = entry.membership
            else:
                later.append((entry.base, entry.membership))
        return ((start, in_force), *later)

    @cached_property
    def _headers(self) -> list[BatchHeader]:
        return [read_header(entry.frame) for entry in self.entries]

    @cached_property
    def _folded(self) -> dict[int, tuple[int, dict[int, ProducerBatches]]]:
        return {}

    def folded(self, end: int) -> tuple[int, dict[int, ProducerBatches]]:
        """Offset after the last data record below `end`, and the producers of that prefix."""
        if end not in self._folded:
            self._folded[end] = self._fold(end)
        return self._folded[end]

    def _fold(self, end: int) -> tuple[int, dict[int, ProducerBatches]]:
        data_end = 0
        producers: dict[int, ProducerBatches] = {}
        for header in self._headers:
            if header.end_offset > end or header.control:
                continue
            data_end = header.end_offset
            if not header.has_producer:
                continue
            batch = (
                header.base_sequence,
                header.base_sequence + header.last_offset_delta,
                header.base_offset,
                header.end_offset - 1,
            )
            before = producers.get(header.producer_id)
            known = before.batches if before and before.epoch == header.producer_epoch else ()
            producers[header.producer_id] = ProducerBatches(
                header.producer_epoch, (*known, batch)[-PRODUCER_BATCHES_MAX:]
            )
        return data_end, producers


@dataclass(slots=True, eq=False)
class GroupHistory:
    """One group over all lives of a record. Invariant: `states` and `snapshots` only grow."""

    creation: GroupCreation
    states: list[Held] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=lambda: [None])
    _between: dict[int, list[Held]] = field(default_factory=dict)

    def possible(self, floor: int, ceiling: int) -> list[Held]:
        """The states from `floor` to `ceiling`, both inclusive, and those between two of them."""
        found: list[Held] = []
        for index in range(floor, ceiling + 1):
            if index > floor:
                found.extend(self._parts(index))
            found.append(self.states[index])
        return found

    def _parts(self, index: int) -> list[Held]:
        """What a part of the append number `index` leaves."""
        if index not in self._between:
            before, after = self.states[index - 1], self.states[index]
            known = len(before.entries)
            parts: list[Held] = []
            if before.hard_state == after.hard_state and after.entries[:known] == before.entries:
                parts = [
                    Held(after.entries[:count], after.hard_state)
                    for count in range(known + 1, len(after.entries))
                ]
            self._between[index] = parts
        return self._between[index]


@dataclass(frozen=True, slots=True)
class GroupPromise:
    """Of one group."""

    history: GroupHistory
    created: bool = False
    """Its creation was reported durable; it was asked for as soon as there is a promise."""
    delete_asked: bool = False
    deleted: bool = False
    floor: int = 0
    ceiling: int = 0
    """Indexes in `history.states`."""
    start_floor: int = 0
    """The log began here for its readers."""
    start_ceiling: int = 0
    """The largest start that was asked for."""
    snapshot_floor: int = 0
    snapshot_ceiling: int = 0
    """Indexes in `history.snapshots`."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Of the whole node."""

    groups: Mapping[GroupId, GroupPromise]
    directory_id: int | None = None
    """Of the formatted directory, once that was reported durable."""
    running: bool = False
    """The store was started and not asked to stop: the next start finds that out."""


NOTHING_PROMISED: Final = Promise({})


def between(early: Promise, late: Promise) -> Promise:
    """What holds of one disk state that a crash may leave at both moments: what must be there by
    the later one, what may be there by the earlier."""
    groups: dict[GroupId, GroupPromise] = {}
    for group_id in sorted({*early.groups, *late.groups}):
        first, last = early.groups.get(group_id), late.groups.get(group_id)
        if first is None or last is None:
            # Not asked for yet at the one, or found missing by a recovery before the other: in
            # both cases it must not be there.
            continue
        if first.history.creation != last.history.creation:
            # Another replica of the group: at the one moment it was not asked for yet, at the
            # other the one before was deleted.
            if last.created:
                groups[group_id] = last
            continue
        groups[group_id] = GroupPromise(
            history=last.history,
            created=last.created,
            delete_asked=first.delete_asked,
            deleted=last.deleted,
            floor=last.floor,
            ceiling=max(first.ceiling, last.floor),
            start_floor=last.start_floor,
            start_ceiling=max(first.start_ceiling, last.start_floor),
            snapshot_floor=last.snapshot_floor,
            snapshot_ceiling=max(first.snapshot_ceiling, last.snapshot_floor),
        )
    return Promise(groups, late.directory_id, running=early.running and late.running)
