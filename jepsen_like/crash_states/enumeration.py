"""The states that a power cut may leave at the points of a record, each once.

A disk is often the same at many points; it is judged by what must be there at the last of them
and by what may be there at the first. What does not fit into the number asked for is left out by
a seeded sample.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from jepsen_like.crash_states.losses import Atom, rules_at_begin, rules_at_end, survivors
from jepsen_like.crash_states.pending import Playback
from jepsen_like.crash_states.promise import Promise, between
from jepsen_like.crash_states.record import Event
from jepsen_like.sim.ports.volume import Volume

OTHERS_MAX: Final = 6
"""Pending operations that are dropped or kept one by one at one point."""


@dataclass(slots=True)
class Place:
    """Where in the record a state was found."""

    point: int
    """The power is cut after this event, counted from 0."""
    rule: str
    first: int
    last: int
    """First and last point at which it was found."""

    @property
    def name(self) -> str:
        """For the command line: POINT/RULE."""
        return f"{self.point}/{self.rule}"


@dataclass(frozen=True, slots=True)
class CrashState:
    """A disk after a power cut."""

    name: str
    point: int
    digest: str
    volume: Volume
    promise: Promise
    lost: Sequence[str]
    """Operations of which something was lost."""


def find_states(
    base: Callable[[], Volume], events: Sequence[Event], seed: int, after: int = -1
) -> tuple[dict[str, Place], int]:
    """Every state that the rules reach at points behind `after`, by digest, and how many tries led
    to them."""
    rng = random.Random(seed)
    playback = Playback(base())
    found: dict[str, Place] = {}
    tries = 0
    for point, event in enumerate(events):
        durable = playback.play(event)
        if point <= after or (event.ended and not durable and event.kept is event.promised):
            continue
        atoms = playback.atoms()
        rules = (
            rules_at_end(atoms, rng, OTHERS_MAX)
            if event.ended
            else rules_at_begin(atoms, event.operation.number, rng, OTHERS_MAX)
        )
        for rule in rules:
            tries += 1
            digest = playback.digest(survivors(atoms, rule))
            place = found.get(digest)
            if place is None:
                found[digest] = Place(point, rule, point, point)
            else:
                place.last = point
    return found, tries


def sample(found: dict[str, Place], count: int, seed: int) -> list[tuple[str, Place]]:
    """At most so many of the states, in the order of the record."""
    places = list(found.items())
    if len(places) > count:
        places = random.Random(seed).sample(places, count)
    return sorted(places, key=lambda item: (item[1].point, item[1].rule))


def states_at(
    base: Callable[[], Volume],
    events: Sequence[Event],
    places: Sequence[tuple[str, Place]],
) -> Iterator[CrashState]:
    """The states, made one by one; `places` in the order of the record."""
    playback = Playback(base())
    operations = {event.operation.number: str(event.operation) for event in events}
    played = 0
    atoms: list[Atom] = []
    for digest, place in places:
        while played <= place.point:
            playback.play(events[played])
            played += 1
            atoms = []
        atoms = atoms or playback.atoms()
        kept = survivors(atoms, place.rule)
        whole = survivors(atoms, "all")
        lost = sorted({a.operation for a in atoms if kept.get(a) != whole[a]})
        yield CrashState(
            place.name,
            place.point,
            digest,
            playback.volume(kept),
            between(events[place.first].promised, events[place.last].kept),
            [operations[number] for number in lost],
        )
