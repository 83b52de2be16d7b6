"""The state machine of one partition of `__consumer_offsets`: what commands do.

| command | records | refused with |
|---|---|---|
| Join | GroupCreated, MemberJoined, TopicsResolved, EpochBumped, TargetAssigned, MembersReconciled | INVALID_*, UNKNOWN_*, STALE_*, INSTANCE_ID_IN_USE, GROUP_FULL, TOO_MANY_* |
| AcknowledgeRevocation | MembersReconciled | UNKNOWN_MEMBER, STALE_MEMBER_EPOCH |
| Leave, ExpireMember | MemberRemoved, EpochBumped, TopicsResolved, TargetAssigned, MembersReconciled | UNKNOWN_MEMBER (Leave) |
| TopicsChanged | TopicsResolved, PartitionsFenced, OffsetsForgotten, EpochBumped, TargetAssigned, MembersReconciled | UNKNOWN_GROUP, STALE_CATALOG, TOO_MANY_* |
| CommitOffsets | OffsetsCommitted | UNKNOWN_MEMBER, STALE_MEMBER_EPOCH, UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE, METADATA_TOO_LARGE, TOO_MANY_* |
| StoreOffsets | GroupCreated, OffsetsCommitted | GROUP_NOT_EMPTY, UNKNOWN_*, STALE_CATALOG, and as CommitOffsets |
| ResetOffsets | PartitionsFenced, OffsetsCommitted, EpochBumped, TargetAssigned, MembersReconciled | UNKNOWN_*, STALE_CATALOG, and as CommitOffsets |
| DeleteOffsets, ExpireOffsets | OffsetsForgotten, GroupDeleted | UNKNOWN_GROUP, GROUP_SUBSCRIBED |
| DeleteGroup | GroupDeleted | UNKNOWN_GROUP, GROUP_NOT_EMPTY |

The records of one decision belong together: the caller appends them as one entry.
A command that would change nothing leads to no record.

Invariant: `decide` and `replay` are pure; `replay` is total; a group is the fold of its records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from consumer_groups.commands import (
    AcknowledgeRevocation,
    Command,
    CommitOffsets,
    DeleteGroup,
    DeleteOffsets,
    ExpireMember,
    ExpireOffsets,
    Join,
    Leave,
    ResetOffsets,
    StoreOffsets,
    TopicsChanged,
)
from consumer_groups.coordinator import codec, membership, offsets, snapshot
from consumer_groups.coordinator.replay import replay
from consumer_groups.coordinator.state import CoordinatorState
from consumer_groups.records import Record
from consumer_groups.responses import Response


@dataclass(frozen=True, slots=True)
class Decision:
    """What a command changes and what its caller is told once that is committed."""

    records: tuple[Record, ...]
    response: Response


class CoordinatorMachine:
    """A replicated state machine: initial, decide, replay, encode, decode, snapshot, restore."""

    def initial(self) -> CoordinatorState:
        """The state of an empty log."""
        return CoordinatorState()

    def decide(self, state: CoordinatorState, command: Command) -> Decision:
        """What the command does in this state. Raises GroupError to refuse it."""
        records, response = _decided(state, command)
        return Decision(tuple(records), response)

    def replay(
        self,
        state: CoordinatorState,
        record: Record,
        offset: int,
    ) -> CoordinatorState:
        """The state after a record."""
        return replay(state, record)

    def encode(self, record: Record) -> bytes:
        """For the log."""
        return codec.encode_record(record)

    def decode(self, data: bytes) -> Record:
        """From the log. Raises UnreadableGroups."""
        return codec.decode_record(data)

    def snapshot(self, state: CoordinatorState) -> bytes:
        """The whole state; equal states give equal bytes."""
        return snapshot.encode_snapshot(state)

    def restore(self, data: bytes) -> CoordinatorState:
        """From a snapshot. Raises UnreadableGroups."""
        return snapshot.decode_snapshot(data)


def _decided(state: CoordinatorState, command: Command) -> tuple[list[Record], Response]:
    match command:
        case Join():
            return membership.join(state, command)
        case AcknowledgeRevocation():
            return membership.acknowledge(state, command)
        case Leave():
            return membership.leave(state, command)
        case ExpireMember():
            return membership.expire(state, command)
        case TopicsChanged():
            return membership.topics_changed(state, command)
        case CommitOffsets():
            return offsets.commit(state, command)
        case StoreOffsets():
            return offsets.store(state, command)
        case ResetOffsets():
            return offsets.reset(state, command)
        case DeleteOffsets():
            return offsets.delete_offsets(state, command)
        case ExpireOffsets():
            return offsets.expire_offsets(state, command)
        case DeleteGroup():
            return offsets.delete_group(state, command)
        case _:
            assert_never(command)
