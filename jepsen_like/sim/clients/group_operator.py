"""The operator of the simulated consumer groups: looks at them, resets, deletes, adds partitions.

It calls as bytes, without the client library. A group beside the others has no members: the
operator commits, reads and deletes its positions.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Final

from jepsen_like.checkers.history import Operation
from jepsen_like.sim.clients.group_load import GroupLoad
from jepsen_like.sim.clients.group_member import TOPIC
from streamlog.client.errors import ClientError
from streamlog.client.operate.admin import Admin
from streamlog.model.errors import Reason
from streamlog.v1 import group_service_pb2 as pb

ASIDE: Final = "aside"
"""The group without members."""
LOOK_S: Final = (0.2, 0.8)
"""Between two looks."""
CALL_PATIENCE_MS: Final = 2_000.0
FINAL_PATIENCE_MS: Final = 30_000.0
PARTITIONS_MAX: Final = 6
"""Of the topic, after partitions were added."""


class GroupOperator:
    """One process; each thing it is about is a task."""

    def __init__(self, load: GroupLoad) -> None:
        self.defects: list[str] = []
        """Answers that only a defect of a node explains."""
        self._load = load
        self._recorder, self._trace = load.recorder, load.trace
        self._process = load.process("operator")
        self._calls = load.calls(self._process)
        self._partition_count = load.options.partitions
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Look at the groups now and then."""
        self._ask(self._look(self._load.scheduler.random("operator looks")))

    @property
    def busy(self) -> list[asyncio.Task[None]]:
        """What it is still about."""
        return [task for task in self._tasks if not task.done()]

    def read_positions(self) -> asyncio.Task[None]:
        """Ask for all positions a last time. TimeoutError when nobody tells."""
        return self._process.loop.create_task(self._read_positions())

    def reset(self, group: str, rng: random.Random, done: Callable[[], None]) -> None:
        """Set some positions of a group; `done` is called when a coordinator did."""
        count = rng.randint(1, self._partition_count)
        numbers = sorted(rng.sample(range(self._partition_count), count))
        offsets = {n: rng.randint(0, self._recorder.ends.get(n, 0)) for n in numbers}
        self._ask(self._reset(group, offsets, done))

    def delete(self, group: str, done: Callable[[], None]) -> None:
        """Everybody leaves, and the group is deleted, which calls `done`; then they come back."""
        if group in self._load.closed:
            return
        self._load.closed[group] = None
        for each in self._load.living(group):
            each.member.going = True
        self._ask(self._delete_empty(group, done))

    def add_partition(self, done: Callable[[], None]) -> bool:
        """One more of the topic, and `done` when there is; False: there are enough."""
        if self._partition_count >= PARTITIONS_MAX:
            return False
        self._partition_count += 1
        self._ask(self._add_partition(self._partition_count, done))
        return True

    def _ask(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(self._process.loop.create_task(work))

    async def _look(self, rng: random.Random) -> None:
        """Read positions and descriptions; commit and delete those of the group aside."""
        low, high = LOOK_S
        while self._load.active:
            await asyncio.sleep(low + (high - low) * rng.random())
            group = rng.choice(self._load.names)
            act = rng.choice(["read", "read", "describe", "list", "store", "aside", "forget"])
            if act == "read":
                await self._read(group, CALL_PATIENCE_MS)
            elif act == "aside":
                await self._read(ASIDE, CALL_PATIENCE_MS)
            elif act == "store":
                await self._store(rng)
            elif act == "forget":
                await self._delete(ASIDE, lambda: None)
            else:
                await self._describe(group, all_groups=act == "list")

    async def _describe(self, group: str, *, all_groups: bool) -> None:
        try:
            if all_groups:
                await self._calls.call(
                    group,
                    "ListGroups",
                    pb.ListGroupsRequest(),
                    pb.ListGroupsResponse,
                    0,
                    again=True,
                )
            else:
                await self._calls.call(
                    group,
                    "DescribeGroup",
                    pb.DescribeGroupRequest(group=group),
                    pb.DescribeGroupResponse,
                    CALL_PATIENCE_MS,
                    again=True,
                )
        except ClientError as error:
            self._look_at(error)

    async def _read_positions(self) -> None:
        for group in (*self._load.names, ASIDE):
            if not await self._read(group, FINAL_PATIENCE_MS):
                raise TimeoutError(f"nobody tells the positions of {group}")

    async def _read(self, group: str, patience_ms: float) -> bool:
        """All positions of a group; whether they were told."""
        topic_id = self._load.known_topic_id()
        if not topic_id:
            return True  # no member was ever told of the topic, so there is no position
        numbers = range(self._partition_count)
        invoked = [self._recorder.invoke("operator", "committed", n, group=group) for n in numbers]
        wanted = [pb.GroupPartition(topic_id=topic_id, partition=n) for n in numbers]
        request = pb.FetchOffsetsRequest(group=group, partitions=wanted)
        try:
            answer = await self._calls.call(
                group, "FetchOffsets", request, pb.FetchOffsetsResponse, patience_ms, again=True
            )
        except ClientError as error:
            self._look_at(error)
            for operation in invoked:
                self._recorder.fail(operation, str(error))
            return False
        found = {each.partition: each.offset for each in answer.offsets}
        for operation in invoked:
            self._recorder.ok(operation, offset=found.get(operation.partition, -1))
        return True

    async def _store(self, rng: random.Random) -> None:
        """Commit for the group that has no members."""
        topic_id = self._load.known_topic_id()
        if not topic_id:
            return
        number = rng.randrange(self._partition_count)
        offset = rng.randint(0, 1_000)
        invoked = self._recorder.invoke("operator", "commit", number, group=ASIDE, offset=offset)
        offsets = [pb.GroupOffset(topic_id=topic_id, partition=number, offset=offset)]
        request = pb.CommitOffsetsRequest(group=ASIDE, offsets=offsets)
        try:
            await self._calls.call(
                ASIDE, "CommitOffsets", request, pb.CommitOffsetsResponse, CALL_PATIENCE_MS
            )
        except ClientError as error:
            self._failed([invoked], error)
        else:
            self._recorder.ok(invoked)

    async def _reset(self, group: str, offsets: dict[int, int], done: Callable[[], None]) -> None:
        topic_id = self._load.known_topic_id()
        if not topic_id:
            return
        invoked = [
            self._recorder.invoke("operator", "reset", number, group=group, offset=offset)
            for number, offset in offsets.items()
        ]
        wanted = [
            pb.GroupOffset(topic_id=topic_id, partition=number, offset=offset)
            for number, offset in offsets.items()
        ]
        request = pb.ResetOffsetsRequest(group=group, offsets=wanted)
        try:
            answer = await self._calls.call(
                group, "ResetOffsets", request, pb.ResetOffsetsResponse, CALL_PATIENCE_MS
            )
        except ClientError as error:
            self._failed(invoked, error)
        else:
            for operation in invoked:
                self._recorder.ok(operation, epoch=answer.group_epoch)
            done()

    async def _delete_empty(self, group: str, done: Callable[[], None]) -> None:
        try:
            for _ in range(100):
                if not self._load.living(group):
                    break
                await asyncio.sleep(0.05)
            await self._delete(group, done)
        finally:
            self._load.closed.pop(group, None)

    async def _delete(self, group: str, done: Callable[[], None]) -> None:
        invoked = [
            self._recorder.invoke("operator", "forget", number, group=group)
            for number in range(PARTITIONS_MAX)
        ]
        request = pb.DeleteGroupRequest(group=group)
        try:
            await self._calls.call(
                group, "DeleteGroup", request, pb.DeleteGroupResponse, CALL_PATIENCE_MS
            )
        except ClientError as error:
            self._failed(invoked, error)
        else:
            for operation in invoked:
                self._recorder.ok(operation)
            done()

    async def _add_partition(self, count: int, done: Callable[[], None]) -> None:
        bootstrap, environment = ",".join(self._load.addresses), self._process.environment
        async with Admin(bootstrap, environment=environment) as admin:
            try:
                await admin.add_partitions(TOPIC, count)
            except ClientError as error:
                self._look_at(error)
                self._trace.add("operator", f"partitions were not added: {error}")
            else:
                self._trace.add("operator", f"{TOPIC} has {count} partitions")
                done()

    def _failed(self, invoked: list[Operation], error: ClientError) -> None:
        self._look_at(error)
        for operation in invoked:
            if error.indefinite:
                self._recorder.info(operation, str(error))
            else:
                self._recorder.fail(operation, str(error))

    def _look_at(self, error: ClientError) -> None:
        if error.reason == Reason.INTERNAL_ERROR.name:
            self.defects.append(f"the operator was told: {error}")
