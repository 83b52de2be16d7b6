"""Calls that ask about many partitions at once: bounded in number and in width, answered in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from streamlog.model.errors import Reason, StreamlogError

QUESTIONS_MAX: Final = 10_000
WIDTH_MAX: Final = 64
"""Worked on at the same time."""

QuestionT = TypeVar("QuestionT")
AnswerT = TypeVar("AnswerT")


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
