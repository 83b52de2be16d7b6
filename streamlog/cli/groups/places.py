"""Where `streamlog group reset` moves a group: --to PLACE, --shift ±N, or what a file says."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.records.positions import OFFSET_MAX, Place, parse_place, parse_time

if TYPE_CHECKING:
    from streamlog.client import Admin, GroupDescription

REFUSED_SHOWN_MAX: Final = 5
"""Partitions that an error names."""
TO_FORMS: Final = "earliest, latest, an offset, @TIME and -DURATION (-2h, -1d12h)"
_DURATION: Final = re.compile(r"-(?:[0-9]{1,9}(?:ms|[smhdw]))+")

Pair = tuple[str, int]


@dataclass(frozen=True, slots=True)
class PlannedReset:
    """Where a group stands in a partition, and where it shall.

    Invariant: start <= new_offset <= end.
    """

    topic: str
    partition: int
    member_id: str
    """Who owns it; empty: nobody."""
    offset: int | None
    """None: nothing was committed."""
    new_offset: int
    start: int
    end: int
    limited: bool = False
    """The log does not reach as far as was asked for."""

    @property
    def changes(self) -> bool:
        """There is something to do."""
        return self.offset != self.new_offset

    def row(self) -> dict[str, Any]:
        """As it is printed."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "member": self.member_id or None,
            "offset": self.offset,
            "new_offset": self.new_offset,
            "change": None if self.offset is None else self.new_offset - self.offset,
            "start": self.start,
            "end": self.end,
        }


def parse_to(text: str, now_ms: int | None = None) -> Place:
    """What `--to` says. Raises CommandFailed."""
    if text == "earliest":
        return Place("start")
    if text == "latest":
        return Place("end")
    if _DURATION.fullmatch(text):
        return Place("time", parse_time("--to", f"@{text}", now_ms or _now_ms()))
    try:
        return parse_place("--to", text, now_ms)
    except CommandFailed as error:
        if text.startswith("@"):
            raise
        raise CommandFailed(f"--to {text!r} is none of {TO_FORMS}", EXIT_USAGE) from error


def parse_shift(text: str) -> int:
    """What `--shift` says. Raises CommandFailed."""
    if not re.fullmatch(r"[+-][0-9]{1,19}", text) or abs(int(text)) > OFFSET_MAX:
        raise CommandFailed(
            f"--shift {text!r} is no number of offsets with a sign: +100 or -100", EXIT_USAGE
        )
    return int(text)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class ResetPlan:
    """Computes new positions, within what the logs hold now."""

    def __init__(
        self,
        group: GroupDescription | None,
        starts: Mapping[Pair, int],
        ends: Mapping[Pair, int],
    ) -> None:
        """`group` None: it does not exist yet."""
        self._starts, self._ends = starts, ends
        known = group.partitions if group is not None else ()
        self._offsets = {
            (each.topic, each.partition): each.committed.offset
            for each in known
            if each.committed is not None
        }
        self._owners = {(each.topic, each.partition): each.member_id for each in known}

    def without_position(self) -> list[Pair]:
        """Partitions in which nothing was committed."""
        return [pair for pair in self._starts if pair not in self._offsets]

    def to(self, wanted: Mapping[Pair, int]) -> list[PlannedReset]:
        """To these offsets. Raises CommandFailed naming those that are not in their logs."""
        refused = [
            f"{offset} of {pair[0]}/{pair[1]} (it has {self._starts[pair]} to {self._ends[pair]})"
            for pair, offset in wanted.items()
            if not self._starts[pair] <= offset <= self._ends[pair]
        ]
        if refused:
            more = len(refused) - REFUSED_SHOWN_MAX
            shown = ", ".join(refused[:REFUSED_SHOWN_MAX]) + (
                f" and {more} more" if more > 0 else ""
            )
            raise CommandFailed(f"out of range: offset {shown}; nothing was changed")
        return [self._planned(pair, offset) for pair, offset in wanted.items()]

    def shifted(self, by: int) -> list[PlannedReset]:
        """By so many offsets, as far as the logs reach."""
        return [
            self._planned(pair, self._offsets[pair] + by)
            for pair in self._starts
            if pair in self._offsets
        ]

    def _planned(self, pair: Pair, wanted: int) -> PlannedReset:
        start, end = self._starts[pair], self._ends[pair]
        new_offset = min(max(wanted, start), end)
        return PlannedReset(
            *pair,
            self._owners.get(pair, ""),
            self._offsets.get(pair),
            new_offset,
            start,
            end,
            limited=new_offset != wanted,
        )


async def offsets_of(
    admin: Admin, place: Place, starts: Mapping[Pair, int], ends: Mapping[Pair, int]
) -> dict[Pair, int]:
    """The place in each partition. Raises ClientError."""
    match place.kind:
        case "start":
            return dict(starts)
        case "end":
            return dict(ends)
        case "time":
            found = await admin.list_offsets(list(starts), place.number)
            # What came since the ends were asked for does not count.
            return {
                pair: min(max(at.offset, starts[pair]), ends[pair])
                for pair, at in zip(starts, found.values(), strict=True)
            }
        case _:
            return dict.fromkeys(starts, place.number)


async def bounds_of(admin: Admin, pairs: Sequence[Pair]) -> tuple[dict[Pair, int], dict[Pair, int]]:
    """Where the logs begin and end. Raises ClientError, ValueError."""
    starts = await admin.list_offsets(pairs, "earliest")
    ends = await admin.list_offsets(pairs, "latest")
    return (
        {(pair.topic, pair.partition): at.offset for pair, at in starts.items()},
        {(pair.topic, pair.partition): at.offset for pair, at in ends.items()},
    )
