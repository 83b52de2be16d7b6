"""Calls that ask about many partitions at once: bounded in number and in width, answered in order.

Each partition is answered by its leader, by itself: what goes wrong with one is told in its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

from replication.errors import ReplicationError
from streamlog.broker.error_mapping import to_proto
from streamlog.broker.partition import Partition
from streamlog.broker.partitions import Partitions
from streamlog.model.errors import Reason, StreamlogError
from streamlog.v1.error_pb2 import Error

QUESTIONS_MAX: Final = 10_000
WIDTH_MAX: Final = 64
"""Worked on at the same time."""


class PartitionAnswer(Protocol):
    """What is told of one partition: a message of the protocol."""

    topic_id: int
    partition: int

    @property
    def error(self) -> Error: ...


QuestionT = TypeVar("QuestionT")
AnswerT = TypeVar("AnswerT")
PartitionAnswerT = TypeVar("PartitionAnswerT", bound=PartitionAnswer)


async def each_in_order(
    what: str, questions: Sequence[QuestionT], answer: Callable[[QuestionT], Awaitable[AnswerT]]
) -> list[AnswerT]:
    """The answers in the order of the questions; one that fails answers so, and fails alone.

    Args:
        what: the questions' name in the request, for the refusal.
        questions: 1 to QUESTIONS_MAX.
        answer: does not raise what belongs to one question.

    Raises StreamlogError(INVALID_REQUEST) for their number.
    """
    if not 1 <= len(questions) <= QUESTIONS_MAX:
        raise StreamlogError(
            Reason.INVALID_REQUEST,
            f"{len(questions)} {what} in one call, 1 to {QUESTIONS_MAX} are allowed",
        )
    answers: list[AnswerT] = []
    for first in range(0, len(questions), WIDTH_MAX):
        answers += await asyncio.gather(*map(answer, questions[first : first + WIDTH_MAX]))
    return answers


async def answered_by_leader(
    partitions: Partitions,
    answer: PartitionAnswerT,
    fill: Callable[[Partition, PartitionAnswerT], Awaitable[None]],
) -> PartitionAnswerT:
    """The answer, filled in at the replica that leads, or with the error that clients are told."""
    try:
        partition = partitions.find_leader(answer.topic_id, answer.partition)
    except StreamlogError as error:
        answer.error.CopyFrom(to_proto(error))
        return answer
    try:
        await fill(partition, answer)
    except (StreamlogError, ReplicationError, TimeoutError) as error:
        answer.error.CopyFrom(to_proto(partitions.explain(partition, error)))
    return answer
