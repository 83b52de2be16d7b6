"""Places in a log as people write them: start, end, 42, -10, @2026-01-31T00:00:00Z, @-1h.

A range is a place, and after a colon where it ends: `start:end`, `100:200`, `@-2h:@-1h`. What is
read without an end goes on for ever.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from streamlog.cli.failure import EXIT_USAGE, CommandFailed

OFFSET_MAX: Final = 2**63 - 1
TIME_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999."""
_UNIT_MS: Final = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
_AGO: Final = re.compile(r"-((?:[0-9]{1,9}(?:ms|[smhdw]))+)")
_PART: Final = re.compile(r"([0-9]+)(ms|[smhdw])")
TIME_FORMS: Final = "@2026-01-01T00:00:00Z, @1767225600000 (Unix milliseconds), @-1h30m or @now"


@dataclass(frozen=True, slots=True)
class Place:
    """`number` is an offset, a count from the end, or Unix milliseconds."""

    kind: Literal["start", "end", "offset", "last", "time"]
    number: int = 0


@dataclass(frozen=True, slots=True)
class Range:
    """From a place to another one, exclusive; `until` None: for ever."""

    start: Place
    until: Place | None = None


def parse_range(option: str, text: str, now_ms: int | None = None) -> Range:
    """What `--from` says. `now_ms` is what relative times count from. Raises CommandFailed."""
    forms = (
        "none of start, end, an offset, -N (N before the end) and @TIME, maybe with :end after it"
    )
    head, until = text, None
    if text.endswith(":end"):
        head, until = text.removesuffix(":end"), Place("end")
    elif ":@" in text:
        head, _, tail = text.partition(":@")
        until = Place("time", parse_time(option, f"@{tail}", now_ms))
    elif match := re.fullmatch(r"(start|[0-9]+):([0-9]+)", text):
        # Not after a time, whose own colons would be taken for it.
        head, until = match[1], Place("offset", int(match[2]))
    place = _place(option, head, now_ms)
    if place is None or (until is not None and until.number > OFFSET_MAX):
        raise CommandFailed(f"{option} {text!r} is {forms}", EXIT_USAGE)
    if until is not None and until.kind == place.kind and until.number < place.number:
        raise CommandFailed(f"{option} {text!r} ends before it begins", EXIT_USAGE)
    return Range(place, until)


def parse_place(option: str, text: str, now_ms: int | None = None) -> Place:
    """One place: start, end, an offset or @TIME. Raises CommandFailed."""
    place = _place(option, text, now_ms)
    if place is None or place.kind == "last":
        raise CommandFailed(
            f"{option} {text!r} is none of start, end, an offset and @TIME", EXIT_USAGE
        )
    return place


def _place(option: str, text: str, now_ms: int | None) -> Place | None:
    if text == "start":
        return Place("start")
    if text == "end":
        return Place("end")
    if re.fullmatch(r"-?[0-9]{1,19}", text) and abs(int(text)) <= OFFSET_MAX:
        return Place("last" if text.startswith("-") else "offset", abs(int(text)))
    if text.startswith("@"):
        return Place("time", parse_time(option, text, now_ms))
    return None


def parse_time(option: str, text: str, now_ms: int | None = None) -> int:
    """Unix milliseconds of "@1767225600000", "@2026-01-01T00:00:00Z", "@-1h30m" or "@now".

    A time without a zone is local. Raises CommandFailed.
    """
    written = text.removeprefix("@")
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    found: int | None = None
    if not text.startswith("@"):
        pass
    elif written == "now":
        found = now_ms
    elif re.fullmatch(r"[0-9]{1,18}", written):
        found = int(written)
    elif ago := _AGO.fullmatch(written):
        found = now_ms - sum(int(number) * _UNIT_MS[unit] for number, unit in _PART.findall(ago[1]))
    else:
        with suppress(ValueError, OverflowError):
            found = int(datetime.fromisoformat(written).timestamp() * 1_000)
    if found is None or not 0 <= found <= TIME_MS_MAX:
        raise CommandFailed(f"{option} {text!r} is no time: {TIME_FORMS}", EXIT_USAGE)
    return found
