"""The judge passes what keeps the promise and finds each way of breaking it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from jepsen_like.crash_states.enumeration import find_states, sample, states_at
from jepsen_like.crash_states.judge import Violation, judge
from jepsen_like.crash_states.losses import survivors
from jepsen_like.crash_states.pending import Playback
from jepsen_like.crash_states.promise import (
    Entry,
    GroupHistory,
    GroupPromise,
    Held,
    Promise,
    between,
)
from jepsen_like.crash_states.runs import (
    crashes_after_kill,
    crashes_of_recovery,
    examine,
    replay,
    workload_named,
)
from jepsen_like.crash_states.stored_node import NodeSettings, creation_of
from jepsen_like.crash_states.workloads import record_workload
from jepsen_like.sim.ports.disk import SimDisk
from jepsen_like.sim.ports.volume import Volume
from replication.types import GroupId, HardState, ReplicaId, Term

DIGEST = "0000000000000001"
SETTINGS = NodeSettings()


def finished(workload: str) -> tuple[Volume, Promise]:
    """The disk and the promise at the end of a record, with all that is pending lost."""
    record = record_workload(workload_named(workload), 1)
    playback = Playback(Volume())
    for event in record.events:
        playback.play(event)
    return playback.volume(survivors(playback.atoms(), "none")), record.promise


def changed(promise: Promise, **changes: int | bool | GroupHistory) -> Promise:
    """A promise with another one for group 1."""
    group = replace(promise.groups[GroupId(1)], **changes)  # type: ignore[arg-type]
    return replace(promise, groups={**promise.groups, GroupId(1): group})


def with_last(promise: Promise, change: Callable[[Held], Held]) -> Promise:
    """A promise whose every state of group 1 is changed."""
    group = promise.groups[GroupId(1)]
    states = [change(held) for held in group.history.states]
    history = GroupHistory(group.history.creation, states, group.history.snapshots)
    return changed(promise, history=history)


def other_vote(held: Held) -> Held:
    """With a vote that nobody cast."""
    return Held(held.entries, HardState(Term(held.hard_state.term + 1), ReplicaId(3)))


def other_byte(held: Held) -> Held:
    """With a byte that nobody wrote."""
    return Held(
        tuple(
            Entry(e.base, e.end, e.term, e.frame[:-1] + bytes([e.frame[-1] ^ 1]), e.membership)
            for e in held.entries
        ),
        held.hard_state,
    )


def test_a_kept_promise_passes() -> None:
    """The same disk and promise that the tests below change."""
    judge(*finished("votes"), SETTINGS, DIGEST)
    judge(*finished("snapshots"), SETTINGS, DIGEST)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda p: with_last(p, other_vote), "holds"),
        (lambda p: with_last(p, other_byte), "holds"),
        (lambda p: changed(p, start_floor=10**6), "begins at"),
        (lambda p: changed(p, start_ceiling=0), "begins at"),
        (lambda p: changed(p, snapshot_floor=0, snapshot_ceiling=0), "has snapshot"),
        (lambda p: changed(p, deleted=True), "there again"),
        (lambda p: replace(p, groups={}), "never asked for"),
        (lambda p: replace(p, directory_id=1), "another identity"),
        (
            lambda p: replace(
                p,
                groups={
                    **p.groups,
                    GroupId(7): GroupPromise(GroupHistory(creation_of(7)), created=True),
                },
            ),
            "group 7 is gone",
        ),
    ],
)
def test_a_broken_promise_is_found(break_it: Callable[[Promise], Promise], reason: str) -> None:
    """Each kind of what a store promises, changed by hand."""
    volume, promise = finished("snapshots")
    with pytest.raises(Violation, match=reason):
        judge(volume, break_it(promise), SETTINGS, DIGEST)


@pytest.mark.parametrize("lost", ["journal/", "checkpoint/", "groups/", "node.identity"])
def test_a_lost_file_is_found(lost: str) -> None:
    """No state is sound without what was synced: that the store refuses to start counts too."""
    volume, promise = finished("recycling")
    disk = SimDisk(volume=volume)
    for path in disk.files():
        if path.startswith(lost):
            directory, name = volume.parent(path)
            directory.unlink(name)
            del directory.durable[name]
    with pytest.raises(Violation):
        judge(volume, promise, SETTINGS, DIGEST)


def test_only_what_was_asked_for_may_be_there() -> None:
    """A state between two moments must keep the later floor and stay below the earlier ceiling."""
    history = GroupHistory(creation_of(1), [Held((), HardState(Term(n), None)) for n in range(9)])
    early = Promise({GroupId(1): GroupPromise(history, floor=2, ceiling=5)})
    late = Promise({GroupId(1): GroupPromise(history, created=True, floor=4, ceiling=8)})
    both = between(early, late).groups[GroupId(1)]
    assert (both.floor, both.ceiling, both.created) == (4, 5, True)
    assert not between(Promise({}), late).groups
    assert not between(early, Promise({})).groups


def test_a_replica_made_anew_is_not_the_one_before() -> None:
    """At a moment of each, neither may be there; nor may the one before when the other is asked
    for, or the other way round."""
    states = [Held((), HardState(Term(0), None))]
    before = Promise({GroupId(1): GroupPromise(GroupHistory(creation_of(1), states), True)})
    anew = Promise({GroupId(1): GroupPromise(GroupHistory(creation_of(1, 2), states))})
    assert not between(before, anew).groups
    volume, promise = finished("replacement")
    history = promise.groups[GroupId(1)].history
    other = GroupHistory(creation_of(1, 99), history.states, history.snapshots)
    with pytest.raises(Violation, match="group 1 is there as replica"):
        judge(volume, changed(promise, history=other), SETTINGS, DIGEST)


def test_enumeration_is_repeatable() -> None:
    """The same record and seed give the same states under the same names."""
    names = []
    for _ in range(2):
        record = record_workload(workload_named("large"), 5)
        found, tries = find_states(Volume, record.events, 5)
        assert tries > len(found) > 100
        chosen = sample(found, 40, 5)
        names.append([(s.name, s.digest) for s in states_at(Volume, record.events, chosen)])
        assert [digest for digest, _ in chosen] == [digest for _, digest in names[-1]]
    assert names[0] == names[1]


def test_a_state_is_made_again_by_its_name() -> None:
    """Also one of a crash during recovery, after a power cut and after a kill."""
    workload = workload_named("votes")
    state, reason = replay(workload, "1:62/all")
    assert state is not None
    assert (state.name, reason) == ("62/all", None)
    record = record_workload(workload, 1)
    for name, crashes in (
        ("1:62/all", crashes_of_recovery(workload, state, state.volume, 3)),
        ("1:60/killed", crashes_after_kill(workload, record, 60, 3)),
    ):
        for crash in crashes:
            again, reason = replay(workload, f"{name}+{crash.name}")
            assert again is not None
            assert (again.digest, reason) == (crash.digest, None)
    with pytest.raises(ValueError, match="no state"):
        replay(workload, "1:60/drop:100000")


def test_an_examination_counts_what_it_judged() -> None:
    """Distinct states, those of recoveries among them, none of which fails."""
    outcome = examine(workload_named("deletion"), 40, 7)
    assert 40 <= outcome.states <= 44
    assert outcome.during_recovery >= 4
    assert outcome.failed == 0
