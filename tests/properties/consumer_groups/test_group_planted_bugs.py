"""The model convicts coordinators with one rule broken each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from consumer_groups.assignors import ASSIGNORS, Assignment, StickyAssignor, Subscriber
from consumer_groups.commands import AcknowledgeRevocation
from consumer_groups.coordinator import membership, offsets, replay, snapshot, topics
from consumer_groups.coordinator.draft import Draft, known_member
from consumer_groups.coordinator.state import CoordinatorState, Group, Member
from consumer_groups.errors import GroupError
from consumer_groups.records import (
    Cause,
    GroupDeleted,
    MemberReconciled,
    PartitionsFenced,
    Record,
)
from consumer_groups.responses import Acknowledged
from consumer_groups.types import (
    NO_EPOCH,
    NOBODY,
    Epoch,
    MemberId,
    TopicCatalog,
    TopicId,
    TopicPartition,
)
from consumer_groups.v1 import coordinator_pb2
from tests.properties.consumer_groups.test_group_coordinator_model import GroupLives

EXAMPLES_MAX = 400
HUNT = settings(
    max_examples=EXAMPLES_MAX,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
    print_blob=False,
)


def hand_over_before_the_revocation_is_acknowledged(patch: pytest.MonkeyPatch) -> None:
    original = Draft._step

    def step(self: Draft, group: Group, member: Member) -> MemberReconciled | None:
        others = {p: owner for p, owner in group.owners.items() if owner == member.info.member_id}
        return original(self, replace(group, owners=others), member)

    patch.setattr(Draft, "_step", step)


def accept_the_commit_of_who_owns_whatever_its_epoch(patch: pytest.MonkeyPatch) -> None:
    def may_commit(member: Member, partition: TopicPartition, epoch: Epoch) -> bool:
        return epoch >= NO_EPOCH and (partition in member.owned or partition in member.revoking)

    patch.setattr(offsets, "_may_commit", may_commit)


def accept_the_commit_of_a_former_owner(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(offsets, "_may_commit", lambda *_: True)


def keep_the_epoch_on_a_reset(patch: pytest.MonkeyPatch) -> None:
    original = Draft.bump

    def bump(
        self: Draft, cause: Cause, at_ms: int, member_id: MemberId = NOBODY, detail: str = ""
    ) -> None:
        if cause is not Cause.OFFSETS_RESET:
            original(self, cause, at_ms, member_id, detail)

    patch.setattr(Draft, "bump", bump)


def reset_without_fencing(patch: pytest.MonkeyPatch) -> None:
    original = Draft.emit

    def emit(self: Draft, record: Record) -> None:
        if not isinstance(record, PartitionsFenced):
            original(self, record)

    patch.setattr(Draft, "emit", emit)


def let_an_expired_member_keep_what_it_owns(patch: pytest.MonkeyPatch) -> None:
    original = replay._without

    def without(group: Group, member_id: MemberId, at_ms: int) -> Group:
        return replace(original(group, member_id, at_ms), owners=group.owners)

    patch.setattr(replay, "_without", without)


def forget_pending_revocations_in_the_snapshot(patch: pytest.MonkeyPatch) -> None:
    original = snapshot.member_to_proto

    def member_to_proto(member: Member) -> coordinator_pb2.MemberSnapshot:
        return original(replace(member, revoking={}))

    patch.setattr(snapshot, "member_to_proto", member_to_proto)


def believe_old_acknowledgements(patch: pytest.MonkeyPatch) -> None:
    original = membership.acknowledge

    def acknowledge(
        state: CoordinatorState, command: AcknowledgeRevocation
    ) -> tuple[list[Record], Acknowledged]:
        epoch = known_member(state, command.group, command.member_id).epoch
        return original(state, replace(command, member_epoch=epoch))

    patch.setattr(membership, "acknowledge", acknowledge)


def give_to_members_that_have_yet_to_give_up(patch: pytest.MonkeyPatch) -> None:
    original = Draft._step

    def step(self: Draft, group: Group, member: Member) -> MemberReconciled | None:
        return original(self, group, replace(member, revoking={}))

    patch.setattr(Draft, "_step", step)


def tell_nobody_who_waits_that_a_partition_is_free(patch: pytest.MonkeyPatch) -> None:
    original = Draft.reconcile

    def reconcile(self: Draft) -> None:
        self._freed.clear()
        original(self)

    patch.setattr(Draft, "reconcile", reconcile)


def begin_a_group_that_is_made_again_at_epoch_0(patch: pytest.MonkeyPatch) -> None:
    original = replay.replay

    def forgetful(state: CoordinatorState, record: Record) -> CoordinatorState:
        after = original(state, record)
        return replace(after, epoch_floor=NO_EPOCH) if isinstance(record, GroupDeleted) else after

    patch.setattr("consumer_groups.coordinator.machine.replay", forgetful)


def keep_positions_of_deleted_topics(patch: pytest.MonkeyPatch) -> None:
    original = topics.take_catalog

    def take_catalog(draft: Draft, catalog: TopicCatalog) -> bool:
        kept, draft.group = draft.group, replace(draft.group, commits={})
        changed = original(draft, catalog)
        draft.group = replace(draft.group, commits=kept.commits)
        return changed

    patch.setattr(membership, "take_catalog", take_catalog)


def assign_all_partitions_but_the_last(patch: pytest.MonkeyPatch) -> None:
    original = StickyAssignor.assign

    def assign(
        self: StickyAssignor,
        subscribers: list[Subscriber],
        partition_counts: Mapping[TopicId, int],
        previous: Mapping[MemberId, tuple[TopicPartition, ...]],
    ) -> Assignment:
        result = original(self, subscribers, partition_counts, previous)
        last = max((p for mine in result.values() for p in mine), default=None)
        return {key: tuple(p for p in mine if p != last) for key, mine in result.items()}

    patch.setattr(type(ASSIGNORS["sticky"]), "assign", assign)


@pytest.mark.parametrize(
    "plant",
    [
        hand_over_before_the_revocation_is_acknowledged,
        accept_the_commit_of_who_owns_whatever_its_epoch,
        accept_the_commit_of_a_former_owner,
        keep_the_epoch_on_a_reset,
        reset_without_fencing,
        let_an_expired_member_keep_what_it_owns,
        forget_pending_revocations_in_the_snapshot,
        believe_old_acknowledgements,
        give_to_members_that_have_yet_to_give_up,
        tell_nobody_who_waits_that_a_partition_is_free,
        begin_a_group_that_is_made_again_at_epoch_0,
        keep_positions_of_deleted_topics,
        assign_all_partitions_but_the_last,
    ],
    ids=lambda plant: str(plant.__name__),
)
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each broken rule is noticed within EXAMPLES_MAX random lives."""
    plant(monkeypatch)
    with pytest.raises((AssertionError, GroupError, pytest.fail.Exception)):
        run_state_machine_as_test(GroupLives, settings=HUNT)
