"""Runs workloads, judges the states that a crash may leave of them, and tells what failed.

A workload is recorded with one seed after another until it gave its share of distinct states. Of
some of the states the recovery is recorded in its turn, and the power cut again during it.

A state has a name from which it can be made again: SEED:POINT/RULE, and for a crash during the
recovery of such a state +POINT/RULE after it (see `losses` for the rules). SEED:POINT/killed+POINT/RULE
is a power cut while the process recovers that follows one which was killed, with its page cache.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from jepsen_like.crash_states.enumeration import CrashState, find_states, sample, states_at
from jepsen_like.crash_states.judge import (
    Violation,
    judge,
    record_after_kill,
    record_recovery,
)
from jepsen_like.crash_states.pending import copied
from jepsen_like.crash_states.record import Record
from jepsen_like.crash_states.workloads import WORKLOADS, Workload, record_workload
from jepsen_like.sim.ports.volume import Volume

RECORDS_MAX: Final = 24
"""Seeds that one workload is recorded with."""
STATES_OF_RECORD_MAX: Final = 400
"""States judged of one record: more records show more interleavings."""
RECOVERIES_ONE_IN: Final = 16
"""States whose recovery is crashed into."""
CRASHES_OF_RECOVERY: Final = 4
"""States judged of each of those."""
CRASHES_AFTER_KILL: Final = 8
"""States judged of the recovery of each process that was killed."""
_KILLED_DURING: Final = ("write_durable", "rename", "sync", "truncate")
KILLED: Final = "killed"
FAILURES_SHOWN_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """A state that recovery does not cope with."""

    workload: str
    state: str
    reason: str
    lost: Sequence[str]

    @property
    def command(self) -> str:
        """What to type to see it again."""
        return f"python -m jepsen_like.crash_states --workload {self.workload} --state {self.state}"


@dataclass(slots=True)
class Outcome:
    """Of one workload."""

    workload: str
    records: int = 0
    operations: int = 0
    tries: int = 0
    """Rules that were applied; many lead to the same state."""
    states: int = 0
    """Distinct states judged, those of crashes during recovery included."""
    during_recovery: int = 0
    cpu_s: float = 0.0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    """The first few."""


def workload_named(name: str) -> Workload:
    """ValueError when there is none."""
    for workload in WORKLOADS:
        if workload.name == name:
            return workload
    raise ValueError(f"no workload is named {name!r}: {', '.join(w.name for w in WORKLOADS)}")


def share_of(workload: Workload, states: int) -> int:
    """How many of the states of all workloads are this one's, rounded up."""
    return -(-states * workload.share // sum(other.share for other in WORKLOADS))


def examine(
    workload: Workload,
    states: int,
    seed: int,
    *,
    failures_max: int | None = None,
) -> Outcome:
    """Judge so many states of a workload; fewer when its records have no more, or when so many
    failed."""
    began = time.process_time()
    outcome = Outcome(workload.name)
    seen: dict[str, None] = {}
    for record_seed in range(seed, seed + RECORDS_MAX):
        if outcome.states >= states or _enough(outcome, failures_max):
            break
        outcome.records += 1
        for _ in _judge_record(workload, record_seed, states, outcome, seen):
            if _enough(outcome, failures_max):
                break
    outcome.cpu_s = time.process_time() - began
    return outcome


Task = tuple[str, int, int]
"""Name of a workload, how many states of it, seed."""


def examine_task(task: Task) -> Outcome:
    """As `examine`; in a worker process."""
    name, states, seed = task
    return examine(workload_named(name), states, seed)


def _enough(outcome: Outcome, failures_max: int | None) -> bool:
    return failures_max is not None and outcome.failed >= failures_max


def _judge_record(
    workload: Workload, seed: int, states: int, outcome: Outcome, seen: dict[str, None]
) -> Iterator[None]:
    """Judge states of one record, as many as are still asked for."""
    record = record_workload(workload, seed)
    outcome.operations += len(record.operations)
    found, tries = find_states(Volume, record.events, seed)
    outcome.tries += tries
    new = {digest: place for digest, place in found.items() if digest not in seen}
    count = min(states - outcome.states, STATES_OF_RECORD_MAX)
    # The crashes during recovery have their part in the number.
    later = CRASHES_OF_RECOVERY + CRASHES_AFTER_KILL
    kills = _kills(record, seed)
    first = -(-count * RECOVERIES_ONE_IN // (RECOVERIES_ONE_IN + later))
    for number, state in enumerate(states_at(Volume, record.events, sample(new, first, seed))):
        seen[state.digest] = None
        turn = number % RECOVERIES_ONE_IN
        again = copied(state.volume) if turn == 0 else None
        sound = _judge(workload, f"{seed}:{state.name}", state, outcome)
        yield
        try:
            if again is not None and sound:
                name = f"{seed}:{state.name}"
                crashes = crashes_of_recovery(workload, state, again, CRASHES_OF_RECOVERY)
            elif turn == RECOVERIES_ONE_IN // 2 and kills:
                point = kills.pop()
                name = f"{seed}:{point}/{KILLED}"
                crashes = crashes_after_kill(workload, record, point, CRASHES_AFTER_KILL)
            else:
                continue
        except Violation as violation:
            # It was found sound, or its page cache was there: then it failed without a crash.
            _failed(workload, name, (), str(violation), outcome)
            yield
            continue
        for crash in crashes:
            if crash.digest not in seen:
                seen[crash.digest] = None
                outcome.during_recovery += 1
                _judge(workload, f"{name}+{crash.name}", crash, outcome)
                yield


def _kills(record: Record, seed: int) -> list[int]:
    """Points at which a kill leaves something that only the page cache holds, in any order; half
    of them in the middle of a flush of the journal."""
    rng = random.Random(seed)
    of_journal: list[int] = []
    others: list[int] = []
    for point, event in enumerate(record.events):
        if not event.ended and event.operation.kind in _KILLED_DURING:
            flush = event.operation.kind == "write_durable"
            (of_journal if flush else others).append(point)
    rng.shuffle(of_journal)
    rng.shuffle(others)
    pairs = zip(of_journal, others, strict=False)
    return [point for pair in pairs for point in pair]


def crashes_of_recovery(
    workload: Workload, state: CrashState, volume: Volume, count: int | None
) -> Iterator[CrashState]:
    """States that a second power cut leaves, during and right after the recovery of one: so many,
    or all. `volume` is the state's, which was judged and is used up."""
    seed = int(state.digest[:8], 16)
    record = record_recovery(copied(volume), state.promise, workload.settings, seed)
    found, _ = find_states(lambda: copied(volume), record.events, seed)
    places = sample(found, len(found) if count is None else count, seed)
    return states_at(lambda: copied(volume), record.events, places)


def crashes_after_kill(
    workload: Workload, record: Record, point: int, count: int | None
) -> Iterator[CrashState]:
    """States that a power cut leaves during and right after the recovery of a process that was
    killed after an event, and left its page cache: so many, or all."""
    killed = record_after_kill(record, point, workload.settings, point)
    found, _ = find_states(Volume, killed.events, point, after=point)
    places = sample(found, len(found) if count is None else count, point)
    return states_at(Volume, killed.events, places)


def replay(workload: Workload, name: str) -> tuple[CrashState | None, str | None]:
    """Make one state again by its name and judge it: what is wrong with it, or None. There is no
    state when a recovery that no power cut disturbed failed.

    ValueError when the name names no state.
    """
    try:
        state = _state_named(workload, name)
    except Violation as violation:
        return None, str(violation)
    try:
        judge(copied(state.volume), state.promise, workload.settings, state.digest)
    except Violation as violation:
        return state, str(violation)
    return state, None


def _state_named(workload: Workload, name: str) -> CrashState:
    seed_text, _, places = name.partition(":")
    seed = int(seed_text)
    first, _, second = places.partition("+")
    point, _, rule = first.partition("/")
    if rule == KILLED:
        record = record_workload(workload, seed)
        return _find(crashes_after_kill(workload, record, int(point), None), second)
    state = _find(states_of_record(workload, seed), first)
    if not second:
        return state
    return _find(crashes_of_recovery(workload, state, state.volume, None), second)


def states_of_record(workload: Workload, seed: int) -> Iterator[CrashState]:
    """All states that the rules reach from one record."""
    record = record_workload(workload, seed)
    found, _ = find_states(Volume, record.events, seed)
    return states_at(Volume, record.events, sample(found, len(found), seed))


def _find(states: Iterator[CrashState], name: str) -> CrashState:
    for state in states:
        if state.name == name:
            return state
    raise ValueError(f"there is no state {name!r}")


def _judge(workload: Workload, name: str, state: CrashState, outcome: Outcome) -> bool:
    outcome.states += 1
    try:
        judge(state.volume, state.promise, workload.settings, state.digest)
    except Violation as violation:
        _failed(workload, name, state.lost, str(violation), outcome)
        return False
    return True


def _failed(
    workload: Workload, name: str, lost: Sequence[str], reason: str, outcome: Outcome
) -> None:
    outcome.failed += 1
    if len(outcome.failures) < FAILURES_SHOWN_MAX:
        outcome.failures.append(Failure(workload.name, name, reason, lost))
