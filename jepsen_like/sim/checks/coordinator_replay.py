"""The state of every coordinator is the replay of its log, on each replica.

A log is folded once, from its first entry on, as it is committed; the nodes' states also come from
snapshots, copies and restarts, and must be equal to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consumer_groups.coordinator.machine import CoordinatorMachine
from consumer_groups.coordinator.state import CoordinatorState
from jepsen_like.sim.checks.group_rest import coordinators
from jepsen_like.sim.cluster import SimCluster
from replication.group import ReplicatedGroup
from replication.types import GroupId, Offset
from streamlog.model.internal_topics import CONSUMER_OFFSETS
from streamlog.storage.entry_codec import BatchEntryCodec


@dataclass(slots=True)
class _Fold:
    end: Offset = Offset(0)
    state: CoordinatorState = field(default_factory=CoordinatorState)
    waiting: list[tuple[Offset, Offset, bytes]] = field(default_factory=list)
    """Base, end and bytes of what is not folded yet."""


class CoordinatorReplay:
    """Hears of every committed entry once, in order (`invariants.OnCommitted`)."""

    def __init__(self) -> None:
        self.records = 0
        self._machine, self._codec = CoordinatorMachine(), BatchEntryCodec()
        self._folds: dict[GroupId, _Fold] = {}

    def committed(self, group: ReplicatedGroup, base: Offset, end: Offset, frame: bytes) -> None:
        """An entry of some group; kept until it is known what the group is for."""
        if group.creation.kind == "partition":
            fold = self._folds.setdefault(group.creation.group_id, _Fold())
            fold.waiting.append((base, end, frame))

    def differing(self, cluster: SimCluster) -> str | None:
        """A coordinator whose state is not the replay of its log; None: there is none."""
        for node_id, coordinator in coordinators(cluster):
            group = coordinator.group
            fold = self._folds.get(group.creation.group_id)
            if fold is None:
                continue
            self._replay(fold)
            if fold.end != group.commit_end:
                continue  # what was committed could not be read, since it rotted at once
            mine, theirs = self._machine.snapshot(fold.state), coordinator.state
            if self._machine.snapshot(theirs) != mine:
                return (
                    f"partition {group.creation.partition} of {CONSUMER_OFFSETS} at {fold.end} on"
                    f" node {node_id} has the state\n{theirs}\nand its log replays to\n{fold.state}"
                )
        return None

    def _replay(self, fold: _Fold) -> None:
        waiting, fold.waiting = fold.waiting, []
        for base, end, frame in waiting:
            if base != fold.end:
                return
            for offset, value in self._codec.values(frame):
                record = self._machine.decode(value)
                fold.state = self._machine.replay(fold.state, record, offset)
                self.records += 1
            fold.end = end
