"""The coordinator against a dumb model of who may own and commit what; and planted bugs."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from tests.properties.consumer_groups.group_walk import walk
from tests.properties.consumer_groups.group_world import World

WHICH = st.integers(0, 11)
GROUP = st.integers(0, 1)
SMALL = st.integers(0, 4)

SETTINGS = settings(
    max_examples=120,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)


class GroupLives(RuleBasedStateMachine):
    """Random lives of two groups."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def some_member(self) -> bool:
        """There is anybody to act."""
        return any(ledger.clients for ledger in self.world.ledgers.values())

    @rule(group=GROUP, subscription=SMALL, assignor=SMALL, instance=st.integers(0, 6))
    def join(self, group: int, subscription: int, assignor: int, instance: int) -> None:
        self.world.join(group, subscription, assignor, instance)

    @rule(group=GROUP, instance=st.integers(0, 3))
    def join_alike(self, group: int, instance: int) -> None:
        self.world.join(group, 2, 0, instance)

    @precondition(some_member)
    @rule(which=WHICH)
    def join_beside(self, which: int) -> None:
        self.world.join_beside(which)

    @precondition(some_member)
    @rule(which=WHICH, subscription=st.integers(0, 8))
    def reconnect(self, which: int, subscription: int) -> None:
        self.world.reconnect(which, subscription)

    @precondition(some_member)
    @rule(which=WHICH)
    def deliver(self, which: int) -> None:
        self.world.deliver(which)

    @precondition(some_member)
    @rule(which=WHICH)
    def lose(self, which: int) -> None:
        self.world.lose(which)

    @precondition(some_member)
    @rule(which=WHICH)
    def heartbeat(self, which: int) -> None:
        self.world.heartbeat(which)

    @precondition(some_member)
    @rule(which=WHICH, count=SMALL)
    def acknowledge(self, which: int, count: int) -> None:
        self.world.deliver(which)
        self.world.acknowledge(which, count)

    @precondition(some_member)
    @rule(which=WHICH, epoch=st.integers(0, 60))
    def acknowledge_again(self, which: int, epoch: int) -> None:
        self.world.acknowledge_again(which, epoch)

    @precondition(some_member)
    @rule(which=WHICH)
    def leave(self, which: int) -> None:
        self.world.leave(which)

    @precondition(some_member)
    @rule(which=WHICH, cause=st.integers(0, 2), age=st.integers(0, 2))
    def expire(self, which: int, cause: int, age: int) -> None:
        self.world.expire(which, cause, age)

    @precondition(some_member)
    @rule(which=WHICH, offset=st.integers(0, 1000), age=st.integers(0, 2))
    def commit(self, which: int, offset: int, age: int) -> None:
        self.world.commit(which, offset, age)

    @precondition(some_member)
    @rule(which=WHICH, partition=WHICH)
    def commit_what_is_not_owned(self, which: int, partition: int) -> None:
        self.world.commit_what_is_not_owned(which, partition)

    @rule(group=GROUP, which=WHICH, epoch=st.integers(0, 2))
    def commit_of_zombie(self, group: int, which: int, epoch: int) -> None:
        self.world.commit_of_zombie(group, which, epoch)

    @rule(group=GROUP, first=WHICH, count=SMALL, offset=st.integers(0, 1000))
    def reset(self, group: int, first: int, count: int, offset: int) -> None:
        self.world.reset(group, first, count, offset)

    @rule(group=GROUP, first=WHICH, count=SMALL, offset=st.integers(0, 1000))
    def store(self, group: int, first: int, count: int, offset: int) -> None:
        self.world.store(group, first, count, offset)

    @rule(group=GROUP, first=WHICH, count=SMALL)
    def delete_offsets(self, group: int, first: int, count: int) -> None:
        self.world.delete_offsets(group, first, count)

    @rule(group=GROUP, wait_ms=st.sampled_from((0, 500, 2_000)))
    def expire_offsets(self, group: int, wait_ms: int) -> None:
        self.world.expire_offsets(group, wait_ms)

    @rule(group=GROUP)
    def delete_group(self, group: int) -> None:
        self.world.delete_group(group)

    @rule(which=SMALL, partitions=st.integers(0, 6))
    def change_topic(self, which: int, partitions: int) -> None:
        self.world.change_topic(which, partitions)

    @rule()
    def tell_groups_of_topics(self) -> None:
        self.world.tell_groups_of_topics()

    @rule()
    def take_snapshot(self) -> None:
        self.world.take_snapshot()

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @invariant()
    def coordinator_and_model_agree(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        if self.world.sound:
            self.world.restart()
            self.world.settle()
            self.world.check()


TestGroupLives = GroupLives.TestCase
TestGroupLives.settings = SETTINGS


@pytest.mark.parametrize("seed", range(40))
def test_long_lives_keep_the_rules_too(seed: int) -> None:
    """200 steps each; `walk(SEED)` replays one."""
    walk(seed)
