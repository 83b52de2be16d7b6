"""Commands whose output goes nowhere, or comes from nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"{sys.executable} -m streamlog.cli.main"


def bash(line: str, directory: Path, output: int = subprocess.PIPE) -> tuple[int, str, str]:
    """Exit code of the line, output, errors. `output`: a descriptor for what it prints."""
    done = subprocess.run(
        ["bash", "-c", line.replace("streamlog ", f"{COMMAND} ")],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "XDG_CONFIG_HOME": str(directory), "COLUMNS": "80"},
    )
    return done.returncode, done.stdout or "", done.stderr


@pytest.mark.parametrize("command", ["--help", "server --help", "config show", "profile list"])
def test_nobody_reads(command: str, tmp_path: Path) -> None:
    """A closed pipe ends every command without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        code, _, errors = bash(f"streamlog {command}", tmp_path, writer)
    finally:
        os.close(writer)
    assert (code, errors) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("command", ["--help", "config show -o json", "profile list"])
def test_the_disk_is_full(command: str, tmp_path: Path) -> None:
    """Said in one line, and by the exit code."""
    code, _, errors = bash(f"streamlog {command} > /dev/full", tmp_path)
    assert (code, errors) == (1, "error: [Errno 28] No space left on device\n")


def test_closed_streams(tmp_path: Path) -> None:
    """As a daemon may start a command: without input, without output, without both."""
    for line in ("profile list", "profile delete x"):
        for closed in ("<&-", ">&-", "<&- >&- 2>&-"):
            code, _, errors = bash(f"streamlog {line} {closed}", tmp_path)
            assert code == (2 if "delete" in line else 0), (line, closed)
            assert "Traceback" not in errors
