"""Unified diffs of one file, read and applied to its text.

Stricter than `git apply` and `patch`, which take what fits best: a hunk fits where its head says,
or else at the one other place that has its lines. No fuzz, no guessing between two places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_HUNK: Final = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@.*")
_FILE_BEFORE: Final = "--- a/"
_FILE_AFTER: Final = "+++ b/"


class UnreadablePatch(ValueError):
    """This is no unified diff of one file."""


class PatchDoesNotFit(ValueError):
    """The text does not have the lines that a patch changes, or has them more than once."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that become others, both with their context. Invariant: `before` is not empty."""

    line: int
    """Where `before` begins, counted from 0."""
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Patch:
    """What changes in one file."""

    path: str
    """From the root of the repository, with `/`."""
    hunks: tuple[Hunk, ...]
    """In the order of their lines; at least one."""


def parse_patch(text: str) -> tuple[str, Patch]:
    """The text above the diff, and the diff.

    Raises UnreadablePatch: it is of no file or of several, or a hunk has other numbers of lines
    than its head says.
    """
    lines = text.removesuffix("\n").split("\n")
    begin = next((at for at, line in enumerate(lines) if line.startswith(_FILE_BEFORE)), None)
    if begin is None:
        raise UnreadablePatch(f"no line begins with {_FILE_BEFORE!r}")
    path = lines[begin].removeprefix(_FILE_BEFORE)
    if lines[begin + 1 : begin + 2] != [_FILE_AFTER + path]:
        raise UnreadablePatch(f"{_FILE_BEFORE}{path} is not followed by {_FILE_AFTER}{path}")
    hunks = tuple(_hunks(lines[begin + 2 :]))
    if not hunks:
        raise UnreadablePatch(f"nothing changes in {path}")
    return "\n".join(lines[:begin]), Patch(path, hunks)


def _hunks(lines: Sequence[str]) -> Iterator[Hunk]:
    at = 0
    while at < len(lines):
        head = _HUNK.fullmatch(lines[at])
        if head is None:
            raise UnreadablePatch(f"expected the head of a hunk, not {lines[at]!r}")
        wanted = (int(head[2] or 1), int(head[3] or 1))
        at += 1
        before: list[str] = []
        after: list[str] = []
        while (len(before), len(after)) != wanted and at < len(lines):
            # Editors make an empty line of an empty line of context.
            mark, line = lines[at][:1] or " ", lines[at][1:]
            if mark not in " -+":
                break
            if mark != "+":
                before.append(line)
            if mark != "-":
                after.append(line)
            at += 1
        if (len(before), len(after)) != wanted or not before:
            raise UnreadablePatch(
                f"{head[0]!r} is followed by {len(before)} old and {len(after)} new lines"
            )
        yield Hunk(int(head[1]) - 1, tuple(before), tuple(after))


def apply_patch(patch: Patch, source: str) -> str:
    """The text of the file with the change.

    Raises PatchDoesNotFit: with the lines and where they were found.
    """
    lines = source.split("\n")
    changed: list[str] = []
    done = 0
    for hunk in patch.hunks:
        at = _place(patch.path, hunk, lines, done)
        changed += lines[done:at]
        changed += hunk.after
        done = at + len(hunk.before)
    return "\n".join([*changed, *lines[done:]])


def _place(path: str, hunk: Hunk, lines: Sequence[str], begin: int) -> int:
    """Where it fits, not before `begin`."""
    size = len(hunk.before)
    places = [
        at
        for at in range(begin, len(lines) - size + 1)
        if tuple(lines[at : at + size]) == hunk.before
    ]
    if hunk.line in places:
        return hunk.line
    if len(places) == 1:
        return places[0]
    raise PatchDoesNotFit(
        f"{path} has the following lines not at line {hunk.line + 1}"
        + (f" but at {', '.join(str(at + 1) for at in places)}" if places else " nor elsewhere")
        + "".join(f"\n  {line}" for line in hunk.before)
    )
