"""The page of all commands is what the commands say."""

from __future__ import annotations

from pathlib import Path

from streamlog.cli.documentation import render

PAGE = Path(__file__).parents[4] / "docs" / "cli.md"


def test_the_page_is_what_the_commands_say() -> None:
    """Every command with its options and examples; made anew after a change of the help."""
    assert PAGE.read_text() == render(), "python -m streamlog.cli.documentation > docs/cli.md"


def test_options_and_settings_are_each_in_one_place() -> None:
    """A node's settings are on their own page; every other option has a row."""
    page = render()
    server = page.partition("## streamlog server\n")[2].partition("\n## ")[0]
    assert "| `--data-dir" in server
    assert "| `--retention-check-ms" not in server
    assert "--stop-with-input" not in page
    produce = page.partition("## streamlog produce\n")[2].partition("\n## ")[0]
    assert "| `--compression <zstd\\|none>` | Of the batches. [default: zstd] |" in produce
