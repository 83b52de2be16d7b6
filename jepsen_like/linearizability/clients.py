"""Clients of a real cluster that contend for one partition's end and for one topic's name.

They work until they are told to end, and record what they asked for and what they were told: an
error that says nothing of the outcome leaves an operation open. Whoever drives them makes the
faults.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message

from jepsen_like.checkers.recording import Recording
from jepsen_like.linearizability.operations import Outcome, Timed
from streamlog.client import Admin, ClientError, ConditionFailed, Producer
from streamlog.client.connections.connection import ADMIN_SERVICE, Connection, Connections
from streamlog.client.connections.real_environment import real_environment
from streamlog.model.errors import Reason
from streamlog.v1 import admin_service_pb2 as pb

SETTING: Final = "retention.ms"
CALL_MS: Final = 4_000
PAUSE_S_MAX: Final = 0.03
DELIVERY_MS: Final = (100, 5_000)
"""Below the time of an election, so that outcomes stay unknown, and above it, so that the same batch
is sent again."""
_TELLING: Final = {
    Reason.TOPIC_EXISTS.name: ("create",),
    Reason.UNKNOWN_TOPIC.name: ("alter", "delete", "inspect"),
}
"""Refusals that tell whether there is a topic, and of what."""


class Ending:
    """Tells clients to end, and others how far they are."""

    def __init__(self) -> None:
        self.ended = False
        self.succeeded = 0
        """Operations that ended well."""

    async def until(self, more: int) -> None:
        """Wait for so many more successes."""
        wanted = self.succeeded + more
        while self.succeeded < wanted:
            await asyncio.sleep(0.02)


async def append_conditionally(
    name: str,
    bootstrap: str,
    topic: str,
    recording: Recording,
    ending: Ending,
    rng: random.Random,
) -> None:
    """Append single records to partition 0, each where the log is thought to end.

    A refusal tells where it does; now and then a record goes without a condition.
    """
    end, number = 0, 0
    async with Producer(
        bootstrap,
        linger_ms=0,
        delivery_timeout_ms=rng.choice(DELIVERY_MS),
        request_timeout_ms=1_000,
    ) as producer:
        while not ending.ended:
            value, number = f"{name}-{number}", number + 1
            expected = None if rng.random() < 0.1 else end
            sent = recording.invoke(
                name,
                "send",
                0,
                value=value,
                idempotent=True,
                expected=-1 if expected is None else expected,
            )
            try:
                stored = await producer.append_batch(
                    topic, 0, [value.encode()], expected_end_offset=expected
                )
            except ClientError as error:
                if isinstance(error, ConditionFailed):
                    end = int(error.metadata["end_offset"])
                if error.indefinite:  # Even a refusal: an earlier attempt may have been stored.
                    recording.info(sent, str(error))
                elif isinstance(error, ConditionFailed):
                    recording.fail(sent, str(error), end=end)
                else:
                    recording.fail(sent, str(error))
            else:
                recording.ok(sent, offset=stored.offset)
                end = stored.offset + 1
                ending.succeeded += 1
            await asyncio.sleep(PAUSE_S_MAX * rng.random())


async def watch_end(
    name: str,
    bootstrap: str,
    topic: str,
    recording: Recording,
    ending: Ending,
    rng: random.Random,
) -> None:
    """Ask for the end of partition 0."""
    async with Admin(bootstrap) as admin:
        while not ending.ended:
            asked = recording.invoke(name, "end", 0)
            try:
                found = await admin.list_offsets([(topic, 0)], "latest")
            except ClientError as error:
                recording.info(asked, str(error))
            else:
                (told,) = found.values()
                recording.ok(asked, end=told.offset)
                ending.succeeded += 1
            await asyncio.sleep(PAUSE_S_MAX * rng.random())


@dataclass(slots=True)
class TopicRecording:
    """Operations on one topic's name; calls and returns are counted, not timed.

    Invariant: every moment is used once.
    """

    name: str
    operations: list[Timed] = field(default_factory=list)
    moments: int = 0

    def moment(self) -> int:
        """The next one."""
        self.moments += 1
        return self.moments

    def ended(self, process: str, what: str, call: int, outcome: Outcome, value: str) -> None:
        """What became of an operation that was called at `call`."""
        self.operations.append(
            Timed(
                line=len(self.operations) + 1,
                key=self.name,
                process=process,
                call=call,
                returned=self.moment(),
                what=what,
                outcome=outcome,
                value=value,
            )
        )


class TopicClient:
    """Creates, alters, deletes and inspects one topic.

    Each operation is one call of one node, so that what nobody answers is at once known to be open.
    To inspect is to ask what no change at all would leave, which the leader of the
    metadata answers; DescribeTopic tells what the answering node knows, which may be older.
    """

    def __init__(
        self, process: str, recording: TopicRecording, ending: Ending, rng: random.Random
    ) -> None:
        self._process = process
        self._recording = recording
        self._ending = ending
        self._rng = rng
        self._values = 0

    async def work(self, addresses: list[str]) -> None:
        """Until the end, on one node after the other."""
        connections = Connections(real_environment())
        try:
            while not self._ending.ended:
                node = connections.to(self._rng.choice(addresses))
                what = self._rng.choice(
                    ["create", "alter", "alter", "delete", "inspect", "inspect"]
                )
                await self._do(node, what)
                await asyncio.sleep(PAUSE_S_MAX * self._rng.random())
        finally:
            await connections.close()

    async def _do(self, node: Connection, what: str) -> None:
        value = ""
        if what in {"create", "alter"}:
            self._values += 1
            value = str(1_000_000 * (1 + int(self._process)) + self._values)
        call = self._recording.moment()
        try:
            seen = await self._call(node, what, value)
        except ClientError as error:
            if what in _TELLING.get(error.reason, ()):
                self._recording.ended(self._process, what, call, "refused", value)
            elif error.indefinite and what != "inspect":
                self._recording.ended(self._process, what, call, "open", value)
        else:
            self._recording.ended(self._process, what, call, "ok", seen)
            self._ending.succeeded += 1

    async def _call(self, node: Connection, what: str, value: str) -> str:
        """The value that the topic had or got. Raises ClientError."""
        name = self._recording.name
        if what == "inspect":
            asked = pb.AlterTopicRequest(name=name, validate_only=True)
            answer = await node.unary(
                f"{ADMIN_SERVICE}AlterTopic", asked, pb.AlterTopicResponse, CALL_MS
            )
            return answer.config.get(SETTING, "")
        request: Message
        if what == "create":
            request = pb.CreateTopicRequest(
                name=name, partition_count=1, replication_factor=1, config={SETTING: value}
            )
            await node.unary(
                f"{ADMIN_SERVICE}CreateTopic", request, pb.CreateTopicResponse, CALL_MS
            )
        elif what == "alter":
            request = pb.AlterTopicRequest(name=name, set={SETTING: value})
            await node.unary(f"{ADMIN_SERVICE}AlterTopic", request, pb.AlterTopicResponse, CALL_MS)
        else:
            request = pb.DeleteTopicRequest(name=name)
            await node.unary(
                f"{ADMIN_SERVICE}DeleteTopic", request, pb.DeleteTopicResponse, CALL_MS
            )
        return value
