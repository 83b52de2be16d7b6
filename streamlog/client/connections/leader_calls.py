"""Calls about many partitions, each asked of its leader, and again until every one is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from streamlog.client.connections.backoff import Patience
from streamlog.client.connections.cluster_metadata import ClusterMetadata, PartitionId
from streamlog.client.connections.connection import Connection, Connections
from streamlog.client.errors import ClientError, ConnectionLost, from_wire
from streamlog.client.transport import Environment
from streamlog.model.errors import UNAVAILABLE, Reason
from streamlog.v1.error_pb2 import Error


class Answer(Protocol):
    """What a leader says of one partition: a message of the protocol."""

    topic_id: int
    partition: int

    @property
    def error(self) -> Error: ...

    def HasField(self, name: str, /) -> bool: ...  # noqa: N802  # protobuf's name


QuestionT = TypeVar("QuestionT")
AnswerT = TypeVar("AnswerT", bound=Answer)


class LeaderCalls:
    """Routing and retries for calls that leaders answer."""

    def __init__(
        self, metadata: ClusterMetadata, connections: Connections, environment: Environment
    ) -> None:
        self._metadata = metadata
        self._connections = connections
        self._environment = environment

    async def each(
        self,
        questions: Mapping[PartitionId, QuestionT],
        ask: Callable[[Connection, Sequence[QuestionT], float], Awaitable[Sequence[AnswerT]]],
    ) -> dict[PartitionId, AnswerT]:
        """An answer for each partition.

        Args:
            questions: by partition; asking twice must do no harm.
            ask: calls one leader, given the time it may take in ms. Raises ClientError.

        Raises the first error that a retry can not help, or the last one after the total
        timeout.
        """
        found, error = await self._ask_all(questions, ask, self._metadata.policy.total_timeout_ms)
        if error is not None:
            raise error
        return found

    async def those_that_answer(
        self,
        questions: Mapping[PartitionId, QuestionT],
        ask: Callable[[Connection, Sequence[QuestionT], float], Awaitable[Sequence[AnswerT]]],
        timeout_ms: float,
    ) -> dict[PartitionId, AnswerT]:
        """As `each`, but after `timeout_ms` with the answers that came, and no error for the
        others."""
        found, _ = await self._ask_all(questions, ask, timeout_ms)
        return found

    async def _ask_all(
        self,
        questions: Mapping[PartitionId, QuestionT],
        ask: Callable[[Connection, Sequence[QuestionT], float], Awaitable[Sequence[AnswerT]]],
        total_timeout_ms: float,
    ) -> tuple[dict[PartitionId, AnswerT], ClientError | None]:
        """The answers, and, when one is missing after the timeout, the last error."""
        patience = Patience(self._environment, total_timeout_ms)
        found: dict[PartitionId, AnswerT] = {}
        while True:
            by_leader: dict[str, list[QuestionT]] = {}
            error: ClientError | None = None
            for partition, question in questions.items():
                if partition in found:
                    continue
                address = self._metadata.leader_address(*partition)
                if address is None:
                    error = _no_leader(partition)
                    continue
                by_leader.setdefault(address, []).append(question)
            failures = await asyncio.gather(
                *(
                    self._ask(address, asked, ask, found, total_timeout_ms)
                    for address, asked in by_leader.items()
                )
            )
            error = next((failure for failure in failures if failure is not None), error)
            if error is None:
                return found, None
            if not await patience.pause(error.retry_after_ms):
                return found, error
            await self._metadata.refresh()

    async def _ask(
        self,
        address: str,
        questions: Sequence[QuestionT],
        ask: Callable[[Connection, Sequence[QuestionT], float], Awaitable[Sequence[AnswerT]]],
        found: dict[PartitionId, AnswerT],
        total_timeout_ms: float,
    ) -> ClientError | None:
        """Ask one leader; returns an error worth a retry, raises any other."""
        timeout_ms = min(self._metadata.policy.request_timeout_ms, total_timeout_ms)
        try:
            answers = await ask(self._connections.to(address), questions, timeout_ms)
        except ClientError as error:
            if not error.retriable:
                raise
            return error
        retry: ClientError | None = None
        for answer in answers:
            if answer.HasField("error"):
                answered = from_wire(answer.error)
                if not answered.retriable:
                    raise answered
                self._metadata.note_not_leader(answer.topic_id, answer.partition, answered)
                retry = answered
            else:
                found[answer.topic_id, answer.partition] = answer
        return retry


def _no_leader(partition: PartitionId) -> ClientError:
    return ConnectionLost(
        f"no leader of partition {partition[1]} is known",
        reason=Reason.LEADER_NOT_AVAILABLE.name,
        code=UNAVAILABLE,
        retriable=True,
    )
