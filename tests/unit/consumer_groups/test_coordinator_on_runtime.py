"""The coordinator's machine on the runtime of replicated state machines: they fit together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from consumer_groups.commands import AcknowledgeRevocation, Command, CommitOffsets, Join
from consumer_groups.coordinator import queries
from consumer_groups.coordinator.machine import CoordinatorMachine
from consumer_groups.errors import GroupError, Reason
from consumer_groups.responses import Acknowledged, Joined
from consumer_groups.types import MemberId, MemberInfo, Subscription
from replication.runtime.runtime import StateMachineRuntime
from replication.types import (
    DirectoryId,
    GroupCreation,
    GroupId,
    Membership,
    NodeId,
    Replica,
    ReplicaId,
)
from tests.fakes.memory_group import MemoryGroup
from tests.fakes.memory_log import MemoryCodec
from tests.unit.consumer_groups.group_bench import NAME, A, B, catalog, orders, owned, positions

LONG_MS = 60_000.0
REPLICA = Replica(ReplicaId(1), NodeId(1), DirectoryId(1))
CREATION = GroupCreation(GroupId(7), Membership((REPLICA,)), ReplicaId(1), "offsets")


class StillClock:
    def monotonic_ms(self) -> float:
        return 0.0

    def wall_ms(self) -> int:
        return 0


async def started() -> tuple[MemoryGroup, StateMachineRuntime[Any, Any, Any]]:
    group = MemoryGroup(CREATION, NodeId(1))
    machine: Any = CoordinatorMachine()
    runtime: StateMachineRuntime[Any, Any, Any] = StateMachineRuntime(
        group, machine, MemoryCodec(), StillClock()
    )
    await runtime.start()
    group.lead(1)
    return group, runtime


def joining(member_id: MemberId) -> Join:
    return Join(NAME, MemberInfo(member_id, Subscription.to("orders")), catalog(), 1)


async def answered(
    group: MemoryGroup, runtime: StateMachineRuntime[Any, Any, Any], command: Command
) -> object:
    """The answer, once everything is committed and leadership is confirmed."""
    task = asyncio.get_running_loop().create_task(runtime.execute(command, LONG_MS))
    while not task.done():
        await asyncio.sleep(0)
        group.commit()
        group.confirm()
    return await task


async def test_commands_sent_together_see_each_other() -> None:
    """Two joins in one batch: the second is decided on what the first will have done. Nobody is
    answered before the entry is committed."""
    group, runtime = await started()
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(runtime.execute(joining(m), LONG_MS)) for m in (A, B)]
    for _ in range(30):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    group.commit()
    first, second = await asyncio.gather(*tasks)
    assert isinstance(first, Joined)
    assert isinstance(second, Joined)
    assert owned(first.assignment) == orders(0, 1, 2, 3)
    assert owned(second.assignment) == ()
    (push,) = second.changed.pushes
    assert push.revoking == orders(2, 3)
    assert queries.describe(runtime.state, NAME).members[1].target == orders(2, 3)
    await runtime.stop()


async def test_a_refusal_reaches_the_caller() -> None:
    """As the machine's own error, once what it was judged on is certain."""
    group, runtime = await started()
    joined = await answered(group, runtime, joining(A))
    assert isinstance(joined, Joined)
    epoch = joined.assignment.member_epoch
    command = CommitOffsets(NAME, B, epoch, positions(orders(0)), 1)
    with pytest.raises(GroupError) as refusal:
        await answered(group, runtime, command)
    assert refusal.value.reason is Reason.UNKNOWN_MEMBER
    again = AcknowledgeRevocation(NAME, A, epoch, ())
    assert isinstance(await answered(group, runtime, again), Acknowledged)
    await runtime.stop()
