"""What `make toolchains` says of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract import toolchains
from contract.toolchains import LANGUAGES, Language, Tool, report


def test_what_is_missing_is_named_with_how_to_get_it() -> None:
    """A language is ready, or every missing tool of it has a line."""
    there = Tool("sh", "it is everywhere")
    gone = Tool("no-such-tool", "apt-get install it")
    never = Tool("<no/such.h>", "apt-get install its library", ("false",))
    lines, complete = report(
        [Language("a", "A", (there,)), Language("b", "B", (there, gone, never))]
    )
    assert lines == [
        "A: ready",
        "B: missing",
        "  no-such-tool: apt-get install it",
        "  <no/such.h>: apt-get install its library",
    ]
    assert not complete
    assert report([Language("a", "A", (there,))]) == (["A: ready"], True)


def test_tools_in_the_usual_places_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Installers of languages leave them beside the PATH."""
    tool = tmp_path / "a-tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert not Tool("a-tool", "").is_there()
    monkeypatch.setattr(toolchains, "USUAL_PLACES", (str(tmp_path),))
    assert Tool("a-tool", "").is_there()


def test_a_probe_that_can_not_run_means_missing() -> None:
    """Also when the compiler that it needs is missing itself."""
    assert not Tool("x", "", ("no-such-compiler", "--version")).is_there()
    assert Tool("x", "", ("true",)).is_there()


def test_every_folder_is_a_language() -> None:
    """So that no program is left out of the matrix."""
    folders = {path.name for path in toolchains.FOLDER.iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} <= {language.name for language in LANGUAGES}
    assert all(language.written for language in LANGUAGES if language.folder.exists())


def test_packages_that_are_missing_are_installed_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only those; without a way to them it is told, and they stay missing."""
    calls = tmp_path / "calls"
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {calls}\necho no network >&2\nexit 100\n')
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    there = toolchains.packaged("sh", "dash")
    gone = toolchains.packaged("no-such-tool", "its-package")
    toolchains.install([Language("a", "A", (there,))])
    assert not calls.exists()
    toolchains.install([Language("a", "A", (there, gone)), Language("b", "B", (gone,))])
    assert calls.read_text() == "update\ninstall --yes its-package\n"
    assert "apt-get install --yes its-package failed: no network" in capsys.readouterr().err
