"""Shrinks a failing seed: leaves out faults, strikes, operations and clients while it still fails.

Greedy, biggest steps first, until nothing more can be left out or the time is over:

1. Nothing that came after the violation: no later strike, no longer load.
2. Half of the strikes, again and again.
3. Each kind of fault that struck.
4. Fewer operations, producers, consumers, groups, members.
5. Single strikes, when few are left.

Each try is a run, and counts as failing only when its first violation is of the same kind: the
smallest case shall be one of the defect that was found. Rejected: leaving out single bytes or
messages; a run has no list of them, it follows from the seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from jepsen_like.sim.options import SimOptions, draw_options
from jepsen_like.sim.runs.narrowing import Narrowing

WITHIN_S: Final = 60.0
"""Default time, of the wall clock."""
SINGLE_STRIKES_MAX: Final = 16
"""Strikes are tried one by one when at most so many are left."""
LOAD_STEP_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Tried:
    """What a run of a narrowed seed came to."""

    violations: list[str]
    strikes: dict[str, int]
    strikes_tried: int
    """Strikes that came up before the end, those that did nothing included."""
    ended_load_ms: float
    """How much of the load had passed when it ended."""
    trace: list[str] = field(default_factory=list)
    """Its last lines."""


Run = Callable[[SimOptions], Tried]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest case that was found."""

    narrowing: Narrowing
    violations: list[str]
    trace: list[str]
    """The last lines of its run."""
    runs: int
    finished: bool
    """Nothing more can be left out; else the time was over."""


def kind_of(violation: str) -> str:
    """What a violation says first: the name of the checker or of the exception, and one word."""
    name, _, message = violation.partition(":")
    return " ".join((name, *message.split(maxsplit=1)[:1]))


def shrink(seed: int, run: Run, *, within_s: float = WITHIN_S) -> Shrunk | None:
    """Find a small failing case of a failing seed; None when the seed does not fail."""
    return _Shrinker(seed, run, within_s).shrink()


class _Shrinker:
    """One seed.

    Invariant: `best` failed in the run that gave `seen`.
    """

    def __init__(self, seed: int, run: Run, within_s: float) -> None:
        self._options = draw_options(seed)
        self._run = run
        self._deadline = time.monotonic() + within_s
        self._runs = 0
        self._kind = ""
        self.best = Narrowing()
        self.seen = Tried([], {}, 0, 0.0)

    def shrink(self) -> Shrunk | None:
        self._runs += 1
        self.seen = self._run(self._options)
        if not self.seen.violations:
            return None
        self._kind = kind_of(self.seen.violations[0])
        finished = self._passes()
        seen = self.seen
        return Shrunk(self.best, seen.violations, seen.trace, self._runs, finished)

    def _passes(self) -> bool:
        """Whether everything was tried in time."""
        while True:
            before = self.best
            for candidate in self._candidates():
                if time.monotonic() > self._deadline:
                    return False
                self._try(candidate)
            if self.best == before:
                return True

    def _try(self, candidate: Narrowing) -> None:
        self._runs += 1
        found = self._run(candidate.apply(self._options))
        if found.violations and kind_of(found.violations[0]) == self._kind:
            self.best, self.seen = candidate, found

    def _candidates(self) -> Iterator[Narrowing]:
        """Each is narrower than `best` is at that moment."""
        if self.best.strikes is None and self._options.faults:
            yield replace(self.best, strikes=self.seen.strikes_tried)
        load_ms = LOAD_STEP_MS * (1 + int(self.seen.ended_load_ms) // LOAD_STEP_MS)
        if load_ms < self._now.load_ms:
            yield replace(self.best, load_ms=load_ms)
        yield from self._fewer_strikes()
        for fault in self._options.faults:
            if fault not in self.best.without and self.seen.strikes.get(fault):
                yield replace(self.best, without=(*self.best.without, fault))
        if self._now.producers > 1:
            yield replace(self.best, producers=1)
        if self._now.consumers > 0:
            yield replace(self.best, consumers=0)
        for groups in range(self._now.groups):
            yield replace(self.best, groups=groups)
        if self._now.groups and self._now.members > 1:
            yield replace(self.best, members=self._now.members - 1)
        for part in (1 / 16, 1 / 4, 1 / 2, 3 / 4):
            records = int(part * self._now.records_per_producer)
            if records:
                yield replace(self.best, operations=records)
        strikes = self.best.strikes or 0
        for number in range(strikes if strikes <= SINGLE_STRIKES_MAX else 0):
            if number not in self.best.skip:
                yield replace(self.best, skip=tuple(sorted((*self.best.skip, number))))

    def _fewer_strikes(self) -> Iterator[Narrowing]:
        """Halves what may be left out, between the most that was enough not and the least that
        was."""
        low = -1
        while (high := self.best.strikes or 0) - low > 1:
            middle = (low + high) // 2
            yield replace(self.best, strikes=middle)
            if self.best.strikes != middle:
                low = middle

    @property
    def _now(self) -> SimOptions:
        """The options with `best`."""
        return self.best.apply(self._options)
