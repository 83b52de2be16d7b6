"""A seed with less of it: without some faults, with fewer strikes, operations and clients.

A narrowing is applied to what the seed drew, so that all the rest stays as it is. It is written
as the arguments of `make sim` and of `python -m jepsen_like.sim`, and read from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jepsen_like.sim.options import FAULTS, SimOptions


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What is left out; None and empty: nothing."""

    without: tuple[str, ...] = ()
    """Kinds of faults."""
    skip: tuple[int, ...] = ()
    """Numbers of strikes, from 0."""
    strikes: int | None = None
    """At most so many."""
    operations: int | None = None
    """Records a producer sends at most."""
    load_ms: int | None = None
    """How long clients work under faults."""
    producers: int | None = None
    consumers: int | None = None
    groups: int | None = None
    members: int | None = None

    def apply(self, options: SimOptions) -> SimOptions:
        """The seed's options with less."""

        def least(drawn: int, wanted: int | None) -> int:
            return drawn if wanted is None else min(drawn, wanted)

        return replace(
            options,
            without=self.without,
            skip=self.skip,
            strikes_max=self.strikes,
            records_per_producer=least(options.records_per_producer, self.operations),
            load_ms=min(options.load_ms, options.load_ms if self.load_ms is None else self.load_ms),
            producers=least(options.producers, self.producers),
            consumers=least(options.consumers, self.consumers),
            groups=least(options.groups, self.groups),
            members=least(options.members, self.members),
        )

    def settings(self) -> list[tuple[str, str]]:
        """Names and values of what is narrowed."""
        numbers = (
            ("strikes", self.strikes),
            ("operations", self.operations),
            ("load-ms", self.load_ms),
            ("producers", self.producers),
            ("consumers", self.consumers),
            ("groups", self.groups),
            ("members", self.members),
        )
        return [
            *([("without", ",".join(map(hyphened, self.without)))] if self.without else []),
            *([("skip", ",".join(map(str, self.skip)))] if self.skip else []),
            *((name, str(value)) for name, value in numbers if value is not None),
        ]

    def make_arguments(self) -> str:
        """For `make sim`: `WITHOUT=bit-rot STRIKES=3`."""
        settings = ((name.upper().replace("-", "_"), value) for name, value in self.settings())
        return "".join(f" {name}={value}" for name, value in settings)

    def arguments(self) -> list[str]:
        """For `python -m jepsen_like.sim`."""
        return [part for name, value in self.settings() for part in (f"--{name}", value)]


def hyphened(fault: str) -> str:
    """A fault's name without spaces."""
    return fault.replace(" ", "-")


def faults_named(text: str) -> tuple[str, ...]:
    """Faults of a list with commas; ValueError names one that does not exist."""
    by_name = {hyphened(fault): fault for fault in FAULTS}
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(f"no such fault: {', '.join(unknown)}; there are {', '.join(by_name)}")
    return tuple(by_name[name] for name in names)


def strikes_named(text: str) -> tuple[int, ...]:
    """Numbers of a list with commas."""
    return tuple(int(number) for number in text.split(",") if number)


def replay_command(seed: int, narrowing: Narrowing | None = None) -> str:
    """What to type to see it again."""
    narrowing = narrowing if narrowing is not None else Narrowing()
    arguments: Sequence[str] = ["--seed", str(seed), *narrowing.arguments()]
    return (
        f"make sim SEED={seed}{narrowing.make_arguments()}"
        f"    (or: python -m jepsen_like.sim {' '.join(arguments)})"
    )
