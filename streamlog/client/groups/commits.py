"""Commits on their way: one at a time, in the order in which they were asked for.

With two on the way at a time, the first could fail and be sent again after the second was stored:
the group's position would go back. So the next one leaves when the one before is answered, and
what nobody waits for is merged meanwhile, the newest position of a partition first.

A commit may be sent again, on this stream or the next one: it names the epoch of its positions, and
is refused when that is over.

Invariants:
- At most WAITING_MAX commits wait; at the bound BufferFull is raised.
- Everybody who asked for a commit is told how it ended, once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from streamlog.client.errors import BufferFull, ClientClosed, ClientError, CommitRefused
from streamlog.client.groups.coordinator_calls import may_help
from streamlog.client.groups.member import PartitionId
from streamlog.client.groups.options import OffsetAndMetadata
from streamlog.client.records import TopicPartition
from streamlog.model.errors import FAILED_PRECONDITION, RESOURCE_EXHAUSTED
from streamlog.v1 import group_service_pb2 as pb

WAITING_MAX: Final = 1_000
TOLD_MAX: Final = 10_000
"""Callers whose positions were merged into one commit."""

Told = Callable[[ClientError | None], None]


@dataclass(slots=True, eq=False)
class Commit:
    """Positions under one epoch, and who wants to know how it ends."""

    epoch: int
    offsets: dict[PartitionId, OffsetAndMetadata]
    names: dict[PartitionId, TopicPartition]
    told: list[Told]
    merges: bool
    """Nobody waits for it: newer positions may take its place."""
    sequence: int = 0
    """As sent last."""
    was_sent: bool = False

    def message(self) -> list[pb.GroupOffset]:
        """For the wire."""
        return [
            pb.GroupOffset(
                topic_id=topic_id, partition=number, offset=at.offset, metadata=at.metadata
            )
            for (topic_id, number), at in self.offsets.items()
        ]

    def end(self, error: ClientError | None) -> None:
        """Tell them."""
        told, self.told = self.told, []
        for tell in told:
            tell(error)


@dataclass(slots=True)
class Commits:
    """The queue. `wake`: something is there to be sent."""

    wake: Callable[[], None]
    _waiting: deque[Commit] = field(default_factory=deque)
    _on_the_way: Commit | None = None
    _sequence: int = 0

    def add(
        self,
        epoch: int,
        offsets: Mapping[PartitionId, OffsetAndMetadata],
        names: Mapping[PartitionId, TopicPartition],
        told: Told,
        *,
        merges: bool,
    ) -> Commit:
        """Commit these positions; all of them, or none. Raises BufferFull."""
        last = self._waiting[-1] if self._waiting else None
        if merges and last is not None and last.merges and last.epoch == epoch:
            if len(last.told) >= TOLD_MAX:
                raise _full(len(last.told), TOLD_MAX)
            last.offsets.update(offsets)
            last.names.update(names)
            last.told.append(told)
            return last
        if len(self._waiting) >= WAITING_MAX:
            raise _full(len(self._waiting), WAITING_MAX)
        commit = Commit(epoch, dict(offsets), dict(names), [told], merges)
        self._waiting.append(commit)
        self.wake()
        return commit

    def next(self) -> Commit | None:
        """The one to be sent now; it is on the way until it is answered."""
        if self._on_the_way is not None or not self._waiting:
            return None
        self._sequence += 1
        commit = self._on_the_way = self._waiting.popleft()
        commit.sequence, commit.was_sent, commit.merges = self._sequence, True, False
        return commit

    def answered(self, sequence: int, error: ClientError | None) -> bool:
        """False: it is to be sent again after a pause; call `wake` then."""
        commit = self._on_the_way
        if commit is None or commit.sequence != sequence:
            return True
        self._on_the_way = None
        if error is not None and may_help(error):
            self._waiting.appendleft(commit)
            return False
        commit.end(None if error is None else refused(error, commit.names))
        self.wake()
        return True

    def failed(self, sequence: int, error: ClientError) -> None:
        """It was tried for long enough."""
        commit = self._on_the_way
        if commit is not None and commit.sequence == sequence:
            self._on_the_way = None
            commit.end(error)
            self.wake()

    def stream_lost(self) -> None:
        """What was on the way is to be sent again, first."""
        commit, self._on_the_way = self._on_the_way, None
        if commit is not None:
            self._waiting.appendleft(commit)

    def abandon(self, commit: Commit) -> None:
        """Nobody waits for it any more; if it was not sent yet, it will not be."""
        commit.told.clear()
        if commit in self._waiting and not commit.was_sent:
            self._waiting.remove(commit)

    def refuse_all(self, error: ClientError) -> None:
        """None of them can succeed any more."""
        commits = [commit for commit in (self._on_the_way, *self._waiting) if commit is not None]
        self._on_the_way = None
        self._waiting.clear()
        for commit in commits:
            commit.end(refused(error, commit.names))

    def close(self) -> None:
        """The consumer is closed: nobody sends them, or hears the answer."""
        commits = [commit for commit in (self._on_the_way, *self._waiting) if commit is not None]
        self._on_the_way = None
        self._waiting.clear()
        for commit in commits:
            commit.end(
                ClientClosed(
                    "the consumer was closed before its commit was answered",
                    code=FAILED_PRECONDITION,
                    indefinite=commit.was_sent,
                )
            )

    def mentions(self, partitions: Iterable[PartitionId]) -> bool:
        """Some of these are yet to be committed."""
        asked = dict.fromkeys(partitions)
        commits = (self._on_the_way, *self._waiting)
        return any(c is not None and not asked.keys().isdisjoint(c.offsets) for c in commits)


def refused(error: ClientError, names: Mapping[PartitionId, TopicPartition]) -> CommitRefused:
    """Why a commit had no effect, with the partitions it was refused for: those that the
    coordinator named, or all of it."""
    by_text = {f"{topic_id}/{number}": pair for (topic_id, number), pair in names.items()}
    named = [
        by_text[text] for text in error.metadata.get("partitions", "").split(",") if text in by_text
    ]
    return CommitRefused(
        error.message,
        reason=error.reason,
        code=error.code,
        metadata=error.metadata,
        retriable=error.retriable,
        indefinite=error.indefinite,
        partitions=named or list(names.values()),
    )


def _full(count: int, most: int) -> BufferFull:
    return BufferFull(
        f"{count} of at most {most} commits wait for the coordinator",
        code=RESOURCE_EXHAUSTED,
        retriable=True,
    )
