"""The planted bugs: what each patch file says.

    Breaks: the rule, in words
    Seeds-from: 6
    Seeds-at-most: 200

    --- a/streamlog/storage/group/group_files.py
    +++ b/streamlog/storage/group/group_files.py
    ...

Above the diff are lines `Key: value`. Besides `Breaks` there are the keys of one way to look for
the bug: `Seeds-from` and `Seeds-at-most`, or `Crash-states-of` (a workload) and `States`, or
`Test` (path::name).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jepsen_like.planted.patch import (
    Patch,
    PatchDoesNotFit,
    UnreadablePatch,
    apply_patch,
    parse_patch,
)

PATCHES: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class BySeeds:
    """It is simulated with one seed after the other until one fails."""

    first: int
    """The first seed: just below one that shows it, to be fast."""
    at_most: int
    """It must be caught within so many seeds."""

    @property
    def seeds(self) -> range:
        """Those that may be tried."""
        return range(self.first, self.first + self.at_most)


@dataclass(frozen=True, slots=True)
class ByCrashStates:
    """States that a crash may leave of the disk are judged."""

    workload: str
    """What the storage engine does before."""
    states: int
    """How many are judged."""


@dataclass(frozen=True, slots=True)
class ByTest:
    """It is convicted by the failure of a test: what the simulator meets in few seeds only, or
    never, is shown where it is sure to be met."""

    test: str
    """path::name"""


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """One change of the source."""

    name: str
    breaks: str
    """The rule, in words."""
    patch: Patch
    way: BySeeds | ByCrashStates | ByTest
    """How it is looked for."""

    @property
    def module(self) -> str:
        """The module that it changes."""
        return self.patch.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def planted(self, source: str) -> str:
        """The module's source with the bug.

        Raises PatchDoesNotFit: the code went on without its bug.
        """
        try:
            return apply_patch(self.patch, source)
        except PatchDoesNotFit as error:
            raise PatchDoesNotFit(
                f"jepsen_like/planted/{self.name}.patch: {error}\n"
                "Move it along with the code: plant the bug in the source, and put the output of"
                " `git diff` in place of the diff under the patch's head."
            ) from None


def parse_bug(name: str, text: str) -> PlantedBug:
    """A bug from its patch file.

    Raises UnreadablePatch: the diff is none of one file, or the head has not the keys that it
    needs, and those alone.
    """
    head, patch = parse_patch(text)
    keys = dict(_keys(head))
    breaks = keys.pop("Breaks", "")
    if not breaks:
        raise UnreadablePatch("the head does not say what the bug breaks")
    return PlantedBug(name, breaks, patch, _way(keys))


def _way(keys: Mapping[str, str]) -> BySeeds | ByCrashStates | ByTest:
    match sorted(keys.items()):
        case [("Seeds-at-most", at_most), ("Seeds-from", first)]:
            return BySeeds(int(first), int(at_most))
        case [("Crash-states-of", workload), ("States", states)]:
            return ByCrashStates(workload, int(states))
        case [("Test", test)]:
            return ByTest(test)
        case others:
            raise UnreadablePatch(f"the keys in the head are of no one way to look: {others}")


def _keys(head: str) -> Iterator[tuple[str, str]]:
    """Lines that git writes above a diff (`diff --git`, `index`) are passed over."""
    for line in head.split("\n"):
        key, colon, value = line.partition(": ")
        if colon:
            yield key, value.strip()


def _read_bug(path: Path) -> PlantedBug:
    try:
        return parse_bug(path.stem, path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnreadablePatch(f"{path.name}: {error}") from error


BUGS: Final = tuple(_read_bug(path) for path in sorted(PATCHES.glob("*.patch")))
"""All of them, by name."""
