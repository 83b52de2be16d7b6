"""Tables, sizes, progress, names, and questions."""

from __future__ import annotations

import asyncio
import io
import sys

import pytest
import typer

from streamlog.cli.confirm import confirm
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.output import counted, size_text, table
from streamlog.cli.progress import Progress
from streamlog.cli.topics.names import hint, nearest


def test_a_table_is_never_cut() -> None:
    """Columns are as wide as their widest value; absent values are a dash."""
    rows: list[dict[str, object]] = [
        {"topic": "x" * 200, "set_at": None, "live": True, "replicas": [1, 2]},
        {"topic": "y", "set_at": 5, "live": False, "replicas": []},
    ]
    lines = table(rows).splitlines()
    assert lines[0].split() == ["topic", "set", "at", "live", "replicas"]
    assert lines[1].split() == ["x" * 200, "-", "yes", "1,2"]
    assert lines[2].split() == ["y", "5", "NO"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "0.98 KiB"),
        (1_024, "1.00 KiB"),
        (15 * 1_024, "15.0 KiB"),
        (200 * 1_024 * 1_024, "200 MiB"),
        (3 * 2**40, "3.00 TiB"),
        (5_000 * 2**40, "5000 TiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    """Three digits and a unit."""
    assert size_text(size) == text


def test_numbers_of_things() -> None:
    """One record, and two records."""
    assert [counted(n, "record") for n in (0, 1, 2)] == ["0 records", "1 record", "2 records"]


def test_names_that_are_like_it() -> None:
    """Whatever their case; a suggestion, or how to go on."""
    known = ["orders", "Orders-2", "payments"]
    assert nearest("ordres", known) == ["orders", "Orders-2"]
    assert nearest("PAYMENTS", known) == ["payments"]
    assert hint("order", known) == "did you mean 'orders' or 'Orders-2'?"
    assert hint("xyz", known) == "'streamlog topic list' shows those that there are"
    assert "streamlog topic create xyz" in hint("xyz", [])


class Terminal(io.StringIO):
    """Standard input of somebody who types."""

    def isatty(self) -> bool:
        return True


def test_questions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal is asked, on standard error; a script needs --yes; --yes asks nobody."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(CommandFailed, match="this needs --yes") as caught:
        confirm("delete all?", yes=False)
    assert caught.value.exit_code == EXIT_USAGE
    confirm("delete all?", yes=True)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    confirm("delete all?", yes=False)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    with pytest.raises(typer.Abort):
        confirm("delete all?", yes=False)
    asked = capsys.readouterr()
    assert asked.out == ""
    assert asked.err.count("delete all?") == 2


async def test_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rates are those since the line before; on what is no terminal nothing is printed."""
    async with Progress(total=200) as progress:
        begun_s, _, _ = progress._last
        progress.records, progress.size_bytes = 100, 2_048
        assert progress.line(begun_s + 2) == (
            "100 records (50%), 2.00 KiB; 50 records/s, 1.00 KiB/s"
        )
        progress.records += 10
        assert progress.line(begun_s + 3).endswith("10 records/s, 0 B/s")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("streamlog.cli.progress.PAUSE_S", 0)
    async with Progress(shown=True) as shown:
        shown.records = 77_000
        await asyncio.sleep(0.01)
    printed = capsys.readouterr()
    assert "77,000 records" in printed.err
    assert printed.out == ""
