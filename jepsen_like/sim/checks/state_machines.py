"""State machines are equal at equal offsets, and no partition of a consumer group has two owners.

They are looked at after every turn in which their Raft group changed, as far as they have followed
by then: the metadata's on all nodes, the coordinators' on all replicas. The first state that is
seen at an offset is what all others must be there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, TypeAlias

from consumer_groups.coordinator.state import CoordinatorState, Group
from consumer_groups.types import Epoch, MemberId, TopicPartition
from replication.types import GroupId, Offset
from streamlog.cluster.metadata.state import MetadataState

STATES_KEPT: Final = 64
"""Of each machine, those at the newest offsets that were looked at: replicas are that close."""

State: TypeAlias = MetadataState | CoordinatorState
Applied: TypeAlias = tuple[Offset, State]
"""Everything below the offset is in the state."""


class StateMachines:
    """What is known of all machines."""

    def __init__(self) -> None:
        self.compared = 0
        """States that were held against that of another replica."""
        self._seen: dict[GroupId, OrderedDict[Offset, State]] = {}

    def wrong(self, group_id: GroupId, applied: Applied) -> str | None:
        """What is wrong with a replica's state; None: nothing that is known."""
        end, state = applied
        if not end:
            return None
        seen = self._seen.setdefault(group_id, OrderedDict())
        other = seen.get(end)
        if other is state:
            return None
        if other is not None:
            self.compared += 1
            if other == state:
                return None
            return f"has at {end} the state\n{state}\nwhere another replica has\n{other}"
        seen[end] = state
        if len(seen) > STATES_KEPT:
            seen.popitem(last=False)
        if isinstance(state, CoordinatorState):
            return next(_owned_twice(state), None)
        return None


def _owned_twice(state: CoordinatorState) -> Iterator[str]:
    for group in state.groups.values():
        holders: dict[TopicPartition, MemberId] = {}
        for member_id, partition, epoch in _holdings(group):
            if partition in holders:
                yield f"{partition} of {group.name} is held by {holders[partition]} and {member_id}"
            if epoch > group.epoch:
                yield f"{partition} was granted to {member_id} at {epoch}, beyond {group.epoch}"
            holders[partition] = member_id
        if holders != group.owners:
            yield f"{group.name} says that {group.owners} own what {holders} hold"


def _holdings(group: Group) -> Iterator[tuple[MemberId, TopicPartition, Epoch]]:
    for member_id, member in group.members.items():
        for partition, epoch in (*member.owned.items(), *member.revoking.items()):
            yield member_id, partition, epoch
