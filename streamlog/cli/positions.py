"""Places in a log as people write them: start, end, 42, -10, @2026-01-31T00:00:00Z."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal, NamedTuple

from streamlog.cli.failure import EXIT_USAGE, CommandFailed

OFFSET_MAX = 2**63 - 1


class Where(NamedTuple):
    """A place: `number` is an offset, a count from the end, or Unix milliseconds."""

    kind: Literal["start", "end", "offset", "last", "time"]
    number: int = 0
    until_end: bool = False
    """Stop at what is the end now."""


def parse_start(text: str) -> Where:
    """What --from says. Raises CommandFailed."""
    place = text.removesuffix(":end")
    until_end = place != text
    if place in {"start", "end"}:
        return Where("start" if place == "start" else "end", 0, until_end)
    if re.fullmatch(r"-?[0-9]+", place) and abs(int(place)) <= OFFSET_MAX:
        number = int(place)
        kind: Literal["offset", "last"] = "last" if place.startswith("-") else "offset"
        return Where(kind, abs(number), until_end)
    if place.startswith("@"):
        return Where("time", parse_time("--from", place), until_end)
    raise CommandFailed(
        f"--from {text!r} is none of start, end, an offset, -N (the last N) and @TIME", EXIT_USAGE
    )


def parse_time(option: str, text: str) -> int:
    """Unix milliseconds of "@1767225600000" or "@2026-01-01T00:00:00Z"; local time without a
    zone. Raises CommandFailed."""
    written = text.removeprefix("@")
    if text.startswith("@"):
        if re.fullmatch(r"-?[0-9]{1,18}", written):
            return int(written)
        try:
            return int(datetime.fromisoformat(written).timestamp() * 1_000)
        except (ValueError, OverflowError):
            pass
    raise CommandFailed(
        f"{option} {text!r} is no time: @1767225600000 (Unix milliseconds) or @2026-01-01T00:00:00Z",
        EXIT_USAGE,
    )
