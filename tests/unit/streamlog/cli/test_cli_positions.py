"""Places and ranges as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.records.positions import Place, Range, parse_place, parse_range, parse_time

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
JANUARY_MS = int(datetime(2026, 1, 31, tzinfo=UTC).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("start", Range(Place("start"))),
        ("end", Range(Place("end"))),
        ("42", Range(Place("offset", 42))),
        ("-10", Range(Place("last", 10))),
        ("-10:end", Range(Place("last", 10), Place("end"))),
        ("start:end", Range(Place("start"), Place("end"))),
        ("start:7", Range(Place("start"), Place("offset", 7))),
        ("100:200", Range(Place("offset", 100), Place("offset", 200))),
        ("100:end", Range(Place("offset", 100), Place("end"))),
        ("@1767225600000", Range(Place("time", 1_767_225_600_000))),
        ("@2026-01-31T00:00:00Z", Range(Place("time", JANUARY_MS))),
        ("@2026-01-31T00:00:00Z:end", Range(Place("time", JANUARY_MS), Place("end"))),
        ("@2026-01-31T01:00:00+01:00:end", Range(Place("time", JANUARY_MS), Place("end"))),
        (
            "@2026-01-31T00:00:00Z:@2026-01-31T00:00:01Z",
            Range(Place("time", JANUARY_MS), Place("time", JANUARY_MS + 1_000)),
        ),
        ("@-1h", Range(Place("time", NOW_MS - HOUR_MS))),
        ("@-1h30m", Range(Place("time", NOW_MS - HOUR_MS * 3 // 2))),
        (
            "@-1h:@-30m",
            Range(Place("time", NOW_MS - HOUR_MS), Place("time", NOW_MS - HOUR_MS // 2)),
        ),
        ("@-2d:end", Range(Place("time", NOW_MS - 48 * HOUR_MS), Place("end"))),
        ("@-1w", Range(Place("time", NOW_MS - 7 * 24 * HOUR_MS))),
        ("@-250ms", Range(Place("time", NOW_MS - 250))),
        ("start:@now", Range(Place("start"), Place("time", NOW_MS))),
    ],
)
def test_every_form_of_a_range(text: str, expected: Range) -> None:
    """A place, or two with a colon between; a time keeps its own colons."""
    assert parse_range("--from", text, NOW_MS) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("noon", "none of start, end, an offset"),
        ("", "none of"),
        ("1.5", "none of"),
        ("99999999999999999999", "none of"),
        ("0:99999999999999999999", "none of"),
        ("end:start", "none of"),
        ("@noon", "'@noon' is no time: @2026-01-01T00:00:00Z"),
        ("@-3600", "is no time"),
        ("@-1y", "is no time"),
        ("@-", "is no time"),
        ("@-999999999w", "is no time"),
        ("@9999999999999999", "is no time"),
        ("start:@", "'@' is no time"),
        ("200:100", "ends before it begins"),
        ("@-1h:@-2h", "ends before it begins"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    """With the text, and what is allowed."""
    with pytest.raises(CommandFailed) as caught:
        parse_range("--from", text, NOW_MS)
    assert caught.value.exit_code == EXIT_USAGE
    assert words in caught.value.message
    assert caught.value.message.startswith("--from ")


def test_times_without_a_zone_are_local() -> None:
    """As a clock on the wall shows them."""
    local = int(datetime(2026, 1, 31, 12).timestamp() * 1_000)  # noqa: DTZ001
    assert parse_time("--at", "@2026-01-31T12:00") == local
    assert parse_time("--at", "@2026-01-31") == local - 12 * HOUR_MS


def test_one_place() -> None:
    """Of a command that takes no range, nor a number of records."""
    assert parse_place("--before", "17") == Place("offset", 17)
    assert parse_place("--before", "@-1h", NOW_MS) == Place("time", NOW_MS - HOUR_MS)
    for text in ("-3", "start:end", "x"):
        with pytest.raises(CommandFailed, match=f"--before '{text}' is none of"):
            parse_place("--before", text)
