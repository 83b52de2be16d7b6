"""A virtual environment with raftos in it, made once.

raftos pins a release of `cryptography` that can not be imported any more and does without it, in
plain UDP, when there is none; so it is installed without its dependencies. It imports `msgpack` in
any case.
"""

from __future__ import annotations

import fcntl
import subprocess
import venv
from pathlib import Path
from typing import Final

PACKAGES: Final = ("raftos==0.2.6", "msgpack==1.1.0")
INSTALL_SECONDS_MAX: Final = 60.0


class NotInstalled(Exception):
    """raftos can not be had here; says why."""


def python_with_raftos(directory: Path) -> Path:
    """The environment's Python; makes the environment in `directory` unless it is there.

    Raises NotInstalled.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Whoever comes while it is being made waits, and finds it.
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _made(directory)


def _made(directory: Path) -> Path:
    python = directory / "bin" / "python"
    marker = directory / "installed"
    wanted = "\n".join(PACKAGES)
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return python
    try:
        venv.create(directory, with_pip=True, clear=True)
        done = subprocess.run(
            [
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--retries=1",
                "--timeout=5",
                *PACKAGES,
            ],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotInstalled(f"raftos can not be installed: {error}") from error
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["no reason was given"]
        raise NotInstalled(f"raftos can not be installed; it needs a package index: {told[-1]}")
    marker.write_text(wanted, encoding="utf-8")
    return python
