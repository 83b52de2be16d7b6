"""Messages of a replica that wait for a write: votes and append replies leave after the fsync.

Invariant: a message of an earlier term than the replica's is never let out. An append reply that
waited while a later leader's truncation was queued behind its write would acknowledge bytes that
are gone when the write completes.
"""

from __future__ import annotations

from collections.abc import Callable

from replication.raft.messages import Message, VoteResponse
from replication.types import Term, WriteSequence


class HeldMessages:
    """In the order of the effects."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: list[tuple[WriteSequence, Message]] = []

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, after: WriteSequence, message: Message) -> None:
        """Keep a message until `after` is durable."""
        self._held.append((after, message))

    def release(self, durable: WriteSequence, term: Term, send: Callable[[Message], None]) -> None:
        """Send what waited for `durable` or an earlier write and is still of `term`."""
        if not self._held:
            return
        held, self._held = self._held, []
        for after, message in held:
            if message.term < term and not isinstance(message, VoteResponse):
                continue
            if after <= durable:
                send(message)
            else:
                self._held.append((after, message))

    def clear(self) -> None:
        """Forget all."""
        self._held.clear()
