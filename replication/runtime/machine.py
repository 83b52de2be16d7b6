"""What a replicated state machine is: two pure functions and a snapshot.

The runtime beside this module runs one on a Raft group: append, commit, reply, snapshot, trim.
Metadata uses it now; consumer groups, transactions and every later coordinator will.

Invariants: `decide` and `replay` are pure (no clock, no randomness, no I/O: what they need is in
the command); `replay` is total (a record that was committed never fails to replay); a replica's
state is the fold of `replay` over the committed records.

Source of the shape: Kafka's CoordinatorRuntime.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from replication.types import Offset

State = TypeVar("State")
Command = TypeVar("Command", contravariant=True)
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Decision(Generic[Record]):
    """What a command changes and what its caller is told once that is committed."""

    records: tuple[Record, ...]
    response: object


class StateMachine(Protocol[State, Command, Record]):
    """A machine over an immutable (or copy-on-write) state."""

    def initial(self) -> State:
        """The state of an empty log."""
        ...

    def decide(self, state: State, command: Command) -> Decision[Record]:
        """What the command does in this state. Raises a domain error to refuse: nothing is
        appended then. With no records only the response is given (when all it saw is
        committed)."""
        ...

    def replay(self, state: State, record: Record, offset: Offset) -> State:
        """The state after the record that was appended at `offset`."""
        ...

    def encode(self, record: Record) -> bytes:
        """For the log."""
        ...

    def decode(self, data: bytes) -> Record:
        """From the log; an unknown newer record stops the replica with a clear error."""
        ...

    def snapshot(self, state: State) -> bytes:
        """The whole state, deterministic."""
        ...

    def restore(self, data: bytes) -> State:
        """From a snapshot."""
        ...
