"""What Tab offers without a cluster: quickly, and without a word."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamlog.cli.completion import (
    CLUSTER_TIMEOUT_S,
    complete_keys,
    complete_profiles,
    complete_settings,
    complete_topics,
)
from streamlog.cli.profiles import Profiles, profiles_file, save


class Given:
    """The command line so far, as a completion sees it."""

    def __init__(self, **params: object) -> None:
        self.params = params


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of somebody who listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_cluster_that_does_not_answer(silent: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Is given up after half a second."""
    began_s = time.monotonic()
    assert complete_topics(Given(bootstrap=silent), "or") == []  # type: ignore[arg-type]
    assert CLUSTER_TIMEOUT_S * 0.9 <= time.monotonic() - began_s < CLUSTER_TIMEOUT_S + 20
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bootstrap", ["127.0.0.1:1", "nonsense", ","])
def test_no_cluster(bootstrap: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is offered, and nothing is said."""
    assert complete_topics(Given(bootstrap=bootstrap), "") == []  # type: ignore[arg-type]
    assert capfd.readouterr() == ("", "")


def test_profiles_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that begin so; a file that can not be read has none."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert complete_profiles("") == []
    path = profiles_file(os.environ)
    save(path, Profiles({"prod": "h:1", "proof": "h:2", "test": "h:3"}))
    assert complete_profiles("pro") == ["prod", "proof"]
    path.write_text("= no TOML")
    assert complete_profiles("") == []
    assert complete_settings("retention.") == ["retention.bytes=", "retention.ms="]
    assert complete_keys("retention.m") == ["retention.ms"]


def test_bash_completes(tmp_path: Path) -> None:
    """The script that is installed works in the shell: a profile's name, and a file."""
    environment = {
        **os.environ,
        "XDG_CONFIG_HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    save(profiles_file(environment), Profiles({"prod": "h:1"}))
    script = """
        source <(streamlog --show-completion bash)
        COMP_WORDS=(streamlog topic list --profile pr) COMP_CWORD=4
        _streamlog_completion streamlog
        echo "${COMPREPLY[@]}"
        complete -p streamlog
    """
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "prod",
        "complete -o default -F _streamlog_completion streamlog",
    ]
