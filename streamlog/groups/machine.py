"""The group coordinator as `replication.runtime` wants a state machine.

Both packages stand alone, so that each has its own `Decision`; this is the seam.
"""

from __future__ import annotations

from consumer_groups.commands import Command
from consumer_groups.coordinator.machine import CoordinatorMachine
from consumer_groups.coordinator.state import CoordinatorState
from consumer_groups.records import Record
from replication.runtime.machine import Decision
from replication.runtime.runtime import StateMachineRuntime
from replication.types import Offset

GroupRuntime = StateMachineRuntime[CoordinatorState, Command, Record]


class GroupMachine:
    """replication.runtime.machine.StateMachine over a CoordinatorMachine."""

    def __init__(self) -> None:
        self._machine = CoordinatorMachine()

    def initial(self) -> CoordinatorState:
        """The state of an empty log."""
        return self._machine.initial()

    def decide(self, state: CoordinatorState, command: Command) -> Decision[Record]:
        """What the command does. Raises GroupError."""
        decision = self._machine.decide(state, command)
        return Decision(decision.records, decision.response)

    def replay(self, state: CoordinatorState, record: Record, offset: Offset) -> CoordinatorState:
        """The state after a record."""
        return self._machine.replay(state, record, offset)

    def encode(self, record: Record) -> bytes:
        """For the log."""
        return self._machine.encode(record)

    def decode(self, data: bytes) -> Record:
        """From the log. Raises UnreadableGroups."""
        return self._machine.decode(data)

    def snapshot(self, state: CoordinatorState) -> bytes:
        """The whole state."""
        return self._machine.snapshot(state)

    def restore(self, data: bytes) -> CoordinatorState:
        """From a snapshot. Raises UnreadableGroups."""
        return self._machine.restore(data)
