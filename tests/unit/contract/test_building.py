"""Building a program of `examples/clients`: what is built, what fails, what only lacks a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract import clients, toolchains
from contract.clients import BuildFailed, DownloadFailed, build
from contract.toolchains import Language


@pytest.fixture
def language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Language:
    """One whose folder is empty yet."""
    monkeypatch.setattr(toolchains, "FOLDER", tmp_path / "examples")
    monkeypatch.setattr(clients, "VAR", tmp_path / "var")
    language = Language("b", "B", ())
    language.folder.mkdir(parents=True)
    return language


def script(language: Language, text: str) -> None:
    (language.folder / "build.sh").write_text(text)


def test_a_build_is_told_where_things_are(language: Language) -> None:
    """And leaves a program there."""
    script(language, 'test -d "$PROTO" && test -x "$PROTOC" && touch "$OUT/client"')
    assert build(language) == clients.VAR / "b" / "client"


def test_a_build_that_fails_shows_its_end(language: Language) -> None:
    """So does one that says that it succeeded, and left nothing."""
    script(language, "echo 'line 7: expected ;' >&2; exit 3")
    with pytest.raises(BuildFailed, match=r"(?s)B: code 3.*line 7: expected ;") as caught:
        build(language)
    assert not isinstance(caught.value, DownloadFailed)
    script(language, "true")
    with pytest.raises(BuildFailed, match="B: code 0"):
        build(language)


@pytest.mark.parametrize(
    "line",
    [
        "curl: (6) Could not resolve host: example.org",
        "dial tcp: lookup example.org: no such host",
        "npm error code ENOTFOUND",
        "Could not transfer artifact a:b:pom:1 from/to central",
    ],
)
def test_a_machine_without_a_network_is_no_defect_of_the_program(
    language: Language, line: str
) -> None:
    """The language is skipped by name then."""
    script(language, f"echo '{line}'; exit 1")
    with pytest.raises(DownloadFailed):
        build(language)
